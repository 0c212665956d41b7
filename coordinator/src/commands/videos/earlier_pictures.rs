//! The keyframes of an earlier call in the folder that a call writes to: stale pictures must not
//! pass for new ones.

use std::collections::BTreeSet;
use std::path::Path;

use jhalak_common::{Error, ErrorKind, Result};
use serde_json::Value;

use crate::console::files::cannot_write;

/// The list of a call's pictures.
pub(super) const LIST: &str = "keyframes.json";

/// The largest list, in bytes.
const MAX_LIST: u64 = 64 << 20;

/// What an earlier call left in the folder.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Earlier {
    /// The pictures of the same video name that its list names.
    pictures: BTreeSet<String>,
    /// The file name of another video whose list is replaced.
    pub(super) replaced: Option<String>,
}

impl Earlier {
    /// Looks into `out` before `count` pictures `STEM-00.jpg`, ... of `video` are written there.
    ///
    /// # Errors
    /// InvalidInput for pictures of this name that would stay and that the list does not name, or
    /// that it names for another video; for a list that is not one of an earlier call.
    pub(super) fn find(out: &Path, video: &Path, stem: &str, count: u32) -> Result<Earlier> {
        let mut earlier = Earlier::default();
        if let Some(list) = read_list(&out.join(LIST))? {
            let listed = ["keyframes", "padding"].iter().filter_map(|part| list[*part].as_array()).flatten();
            let name = |one: &Value| Some(Path::new(one["file"].as_str()?).file_name()?.to_str()?.to_owned());
            let pictures: BTreeSet<String> =
                listed.filter_map(name).filter(|name| number(name, stem).is_some()).collect();
            let other = Path::new(list["file"].as_str().unwrap_or_default());
            match (is_same(video, other), pictures.first()) {
                (true, _) => earlier.pictures = pictures,
                (false, None) => earlier.replaced = other.file_name().map(|name| name.to_string_lossy().into_owned()),
                (false, Some(first)) => {
                    return Err(Error::invalid(format!(
                        "{} holds {first} and other pictures of {}, whose names this call would write too: name another \
                         folder",
                        out.display(),
                        other.display()
                    )));
                }
            }
        }
        let entries = match std::fs::read_dir(out) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(earlier),
            Err(e) => return Err(cannot_write(out, e)),
        };
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        // The list of another video does not say whose the pictures of lower numbers are.
        let is_listed_elsewhere = earlier.replaced.is_some();
        let stays = |name: &String| number(name, stem).is_some_and(|number| number >= count || is_listed_elsewhere);
        let mut unknown: Vec<String> = names.filter(|name| stays(name) && !earlier.pictures.contains(name)).collect();
        unknown.sort();
        match unknown.first() {
            None => Ok(earlier),
            Some(first) => Err(Error::invalid(format!(
                "{} holds {first}, which {LIST} does not list as a picture of this video: it would be replaced, or stay \
                 among the new pictures. Remove it, or name another folder",
                out.display()
            ))),
        }
    }

    /// Removes the pictures of the earlier call that are not among `written`, and returns their
    /// names.
    ///
    /// # Errors
    /// The error of the file system.
    pub(super) fn remove(&self, out: &Path, written: &BTreeSet<String>) -> Result<Vec<String>> {
        let mut removed = Vec::new();
        for name in self.pictures.difference(written) {
            match std::fs::remove_file(out.join(name)) {
                Ok(()) => removed.push(name.clone()),
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
                Err(e) => return Err(cannot_write(&out.join(name), e)),
            }
        }
        Ok(removed)
    }
}

/// Whether two paths name one video. A path of an earlier call in another folder says no more than
/// its file name.
fn is_same(video: &Path, earlier: &Path) -> bool {
    match (video.canonicalize(), earlier.canonicalize()) {
        (Ok(video), Ok(earlier)) => video == earlier,
        _ => video.file_name() == earlier.file_name(),
    }
}

/// Reads the list of an earlier call, if there is one.
fn read_list(path: &Path) -> Result<Option<Value>> {
    let other = || {
        Error::invalid(format!(
            "{} is not a list of keyframes of an earlier call, and would be replaced: remove it, or name another folder",
            path.display()
        ))
    };
    match std::fs::metadata(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Error::from(e).context(path.display().to_string())),
        Ok(metadata) if !metadata.is_file() || metadata.len() > MAX_LIST => return Err(other()),
        Ok(_) => {}
    }
    let bytes =
        std::fs::read(path).map_err(|e| Error::new(ErrorKind::InvalidInput, format!("{}: {e}", path.display())))?;
    let list: Value = serde_json::from_slice(&bytes).map_err(|_| other())?;
    if list["keyframes"].is_array() && list["file"].is_string() { Ok(Some(list)) } else { Err(other()) }
}

/// Returns the number in the name of a picture, `STEM-07.jpg`.
fn number(name: &str, stem: &str) -> Option<u32> {
    let digits = name.strip_prefix(stem)?.strip_prefix('-')?.strip_suffix(".jpg")?;
    let is_number = (2..=3).contains(&digits.len()) && digits.bytes().all(|c| c.is_ascii_digit());
    digits.parse().ok().filter(|_| is_number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_of_an_earlier_call_are_removed_and_others_are_not() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let at = |name: &str| folder.path().join(name);
        let put = |names: &[&str]| names.iter().for_each(|name| std::fs::write(at(name), "x").expect("room on disk"));
        let list = |video: &str, names: &[&str]| {
            let keyframes: Vec<Value> = names.iter().map(|name| serde_json::json!({ "file": at(name) })).collect();
            let list = serde_json::json!({ "file": video, "keyframes": keyframes, "padding": [] });
            std::fs::write(at(LIST), list.to_string()).expect("room on disk");
        };
        let video = Path::new("film.mp4");
        let find = |count| Earlier::find(folder.path(), video, "film", count);
        assert_eq!(Earlier::find(&at("none"), video, "film", 1).expect("no folder yet"), Earlier::default());
        put(&["film-00.jpg", "film-01.jpg", "film-02.jpg", "film-2.jpg", "other-09.jpg", "film-x.jpg"]);
        // Without a list nobody knows who wrote them.
        assert_eq!(find(3).expect("all are replaced"), Earlier::default());
        let refused = find(2).expect_err("one would stay").to_string();
        assert!(refused.contains("film-02.jpg") && refused.contains("name another folder"), "{refused}");

        list("/a/film.mp4", &["film-00.jpg", "film-01.jpg", "film-02.jpg", "gone-05.jpg"]);
        let earlier = find(2).expect("the list knows it");
        let written = ["film-00.jpg", "film-01.jpg"].map(str::to_owned).into();
        assert_eq!(earlier.remove(folder.path(), &written).expect("removable"), ["film-02.jpg"]);
        assert!(!at("film-02.jpg").exists() && at("film-01.jpg").exists() && at("other-09.jpg").exists());

        list("b/other.mp4", &["other-09.jpg"]);
        assert!(find(2).expect_err("whose is it?").to_string().contains("film-00.jpg"));
        ["film-00.jpg", "film-01.jpg"].iter().for_each(|name| std::fs::remove_file(at(name)).expect("removable"));
        let earlier = find(2).expect("another video");
        assert_eq!(earlier.replaced.as_deref(), Some("other.mp4"));
        assert!(
            earlier.remove(folder.path(), &BTreeSet::new()).expect("nothing").is_empty() && at("other-09.jpg").exists()
        );
        // Other videos whose pictures have the same names: by extension, or by letters that names
        // lose.
        list("a/film.webm", &["film-00.jpg"]);
        assert!(find(2).expect_err("another film").to_string().contains("of a/film.webm"));
        list("शोले.mp4", &["____-00.jpg"]);
        let lost = Earlier::find(folder.path(), Path::new("लगान.mp4"), "____", 2).expect_err("the same letters");
        assert!(lost.to_string().contains("शोले.mp4"), "{lost}");
        let own = Earlier::find(folder.path(), Path::new("शोले.mp4"), "____", 2).expect("its own");
        assert_eq!(own.pictures.len(), 1);
        std::fs::write(at(LIST), "{}").expect("room on disk");
        assert!(find(2).expect_err("somebody's file").to_string().contains("not a list of keyframes"));
    }
}
