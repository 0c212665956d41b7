//! The trailers of a dataset: where each is, whether it can be read, and what identifies it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};
use jhalak_common::artifact::Subject;
use jhalak_common::compact::Packed;
use jhalak_common::dataset::{Reading, StatedContent};
use jhalak_common::hash::{self, Hash};
use jhalak_common::run::job::Trailer;
use jhalak_common::store::local::LocalStore;
use jhalak_common::store::{Listed, ObjectStore, https};
use jhalak_common::{Error, ErrorKind, Result};
use percent_encoding::percent_decode_str;
use tempfile::NamedTempFile;

/// Maximum number of trailers that are identified at once.
const MAX_CONCURRENT_TRAILERS: usize = 8;

/// A dataset and the location of its trailers.
pub struct Source {
    /// The tables.
    pub reading: Reading,
    /// The folder as the user named it.
    pub url: String,
    /// Files that would fail in the run, by trailer: empty files.
    pub found: Vec<String>,
    pub(super) location: Location,
    /// The buckets and web servers that the catalogue names, by `s3://bucket` and `https://host`.
    /// None for a server that the settings do not allow.
    pub(super) buckets: BTreeMap<String, Option<Arc<dyn ObjectStore>>>,
    /// SHA-256 and size of the local trailers whose SHA-256 the catalogue states, by movie.
    pub(super) hashes: BTreeMap<String, (Hash, u64)>,
}

/// The location of a trailer.
enum TrailerLocation {
    File(PathBuf),
    Object { store: Arc<dyn ObjectStore>, key: String },
}

/// A trailer as a file on this machine.
pub enum LocalFile {
    /// The trailer itself.
    Own(PathBuf),
    /// A copy of an object, removed when it is dropped.
    Fetched(NamedTempFile),
}

impl LocalFile {
    /// Returns the path.
    pub fn path(&self) -> &Path {
        match self {
            LocalFile::Own(path) => path,
            LocalFile::Fetched(file) => file.path(),
        }
    }
}

/// The location of a dataset.
pub(super) enum Location {
    Folder(PathBuf),
    Store { store: Arc<dyn ObjectStore>, listed: Listed },
}

/// Splits `s3://bucket/key` into `s3://bucket` and the key, and `https://host/path` into the server
/// and the path.
pub(super) fn object(location: &str) -> Option<(String, String)> {
    if location.starts_with("https://") {
        return https::split(location).ok();
    }
    let slash = location.strip_prefix("s3://")?.find('/')? + "s3://".len();
    Some((location[..slash].to_owned(), location[slash + 1..].to_owned()))
}

impl Source {
    /// Identifies the trailers, in ascending order of movie id. With `upload`, uploads trailers of
    /// a local folder into that store first, so that workers on other machines can read them.
    ///
    /// A local file whose bytes cannot be read is identified by its size and time, and the run
    /// quarantines it, unless no other trailer can be read: then the disk or the folder is to
    /// blame.
    ///
    /// # Errors
    /// Those of files and stores.
    pub async fn trailers(&self, upload: Option<&dyn ObjectStore>) -> Result<Packed<Trailer>> {
        let found = stream::iter(self.reading.trailers.iter()).map(|(id, key)| async move {
            let failed = match self.trailer(id, key, upload).await {
                Err(e) if e.kind() == ErrorKind::Transient && upload.is_none() => e,
                other => return other.map(|trailer| (trailer, None)),
            };
            let TrailerLocation::File(path) = self.locate(key)? else { return Err(failed) };
            let trailer = self.unreadable(id, key, &path).await?;
            Ok::<_, Error>((trailer, Some(failed)))
        });
        let mut found = found.buffered(MAX_CONCURRENT_TRAILERS);
        let (mut trailers, mut unreadable, mut first) = (Packed::default(), 0, None);
        while let Some((trailer, failed)) = found.try_next().await? {
            if let Some(error) = failed {
                tracing::warn!(movie = trailer.subject.id, error = %error.chain(), "a trailer cannot be read");
                unreadable += 1;
                first.get_or_insert(error);
            }
            trailers.push(trailer);
        }
        match first.filter(|_| unreadable == trailers.len()) {
            Some(error) => Err(error.context("no trailer can be read")),
            None => Ok(trailers),
        }
    }

    /// Identifies a local file by its size and time, as a store does.
    async fn unreadable(&self, id: &str, location: &str, path: &Path) -> Result<Trailer> {
        let (store, key) = self.local_store(location, path)?;
        let found = LocalStore::open_to_read(store.trim_start_matches("file://"))?.head(&key).await?;
        let content = Trailer::content_of_tag(found.size, &found.tag);
        let subject = Subject { id: id.into(), content };
        Ok(Trailer { subject, store, key, size: found.size, tag: Some(found.tag) })
    }

    /// Returns the tables, and frees what planning alone needs: the list of the dataset's objects
    /// and what the catalogue states of them.
    pub fn into_reading(self) -> Reading {
        let mut reading = self.reading;
        (reading.other_trailers, reading.stated) = (BTreeMap::new(), BTreeMap::new());
        reading
    }

    /// Returns the store and the key of a local trailer.
    fn local_store(&self, location: &str, path: &Path) -> Result<(String, String)> {
        if let (Location::Folder(folder), false) = (&self.location, location.contains("://")) {
            return Ok((file_url(folder)?, location.to_owned()));
        }
        let name = path.file_name().and_then(|name| name.to_str());
        match (path.parent(), name) {
            (Some(folder), Some(name)) => Ok((file_url(folder)?, name.to_owned())),
            _ => Err(Error::invalid(format!("the trailer {location} is not the path of a file"))),
        }
    }

    /// Returns the location of a trailer: a key of the dataset, or a location in the catalogue.
    fn locate(&self, key: &str) -> Result<TrailerLocation> {
        if let Some((bucket, key)) = object(key) {
            return match self.buckets.get(&bucket).cloned() {
                Some(Some(store)) => Ok(TrailerLocation::Object { store, key }),
                Some(None) => Err(Error::permission(format!(
                    "{bucket} is not allowed: add the host to the setting sources.https_hosts, or fetch the file first"
                ))),
                None => Err(Error::bug(format!("the bucket {bucket} was not opened"))),
            };
        }
        if key.starts_with("https://") {
            return Err(Error::invalid("not a location: write https://host/path, without query and fragment"));
        }
        Ok(match (key.strip_prefix("file://"), &self.location) {
            (Some(path), _) => TrailerLocation::File(file_of_url(path)?),
            (None, Location::Folder(folder)) => TrailerLocation::File(folder.join(key)),
            (None, Location::Store { store, .. }) => {
                TrailerLocation::Object { store: store.clone(), key: key.to_owned() }
            }
        })
    }

    /// Returns size and tag of an object.
    async fn size(&self, store: &dyn ObjectStore, key: &str, location: &str) -> Result<(u64, String)> {
        let listed = match &self.location {
            Location::Store { listed, .. } if location == key => listed.get(key),
            _ => None,
        };
        match listed {
            Some(listed) => Ok(listed),
            None => store.head(key).await.map(|meta| (meta.size, meta.tag)),
        }
    }

    /// Returns the SHA-256 that the catalogue or the list of objects states for a trailer.
    fn stated_sha256(&self, id: &str, location: &str) -> Option<Hash> {
        let of_catalogue = self.reading.stated.get(id).and_then(|stated| stated.sha256);
        of_catalogue.or_else(|| self.listed_sha256(location))
    }

    fn listed_sha256(&self, location: &str) -> Option<Hash> {
        match &self.location {
            Location::Store { listed, .. } => listed.sha256(location),
            Location::Folder(_) => None,
        }
    }

    /// Leaves out the trailers that cannot be read (dangling links, pipes, devices,
    /// objects that do not exist) and those whose content is not what the catalogue states. Finds
    /// empty ones. Takes another file of the movie, if there is one that can be read.
    pub(super) async fn leave_out_unreadable_trailers(&mut self) -> Result<()> {
        let this = &*self;
        let looked = stream::iter(this.reading.trailers.iter()).map(|(id, key)| async move {
            let Some((stays, reason)) = this.fault(id, key).await? else { return Ok(None) };
            for other in this.reading.other_trailers.get(id).into_iter().flatten() {
                if this.fault(id, other).await?.is_none() {
                    return Ok(Some((id.to_owned(), key.to_owned(), stays, reason, Some(other.clone()))));
                }
            }
            Ok::<_, Error>(Some((id.to_owned(), key.to_owned(), stays, reason, None)))
        });
        let faults = looked.buffered(MAX_CONCURRENT_TRAILERS).try_filter_map(|fault| async move { Ok(fault) });
        let faults: Vec<_> = faults.try_collect().await?;
        for (id, key, stays, reason, other) in faults {
            match other {
                Some(other) => self.reading.replace_trailer(&id, &other, &reason),
                None if stays => self.found.push(format!("trailers: movie {id}, `{}`: {reason}", key.escape_debug())),
                None => self.reading.leave_out_trailer(&id, reason),
            }
        }
        self.hold_to_stated_hashes().await
    }

    /// Why a trailer cannot be used, and whether it stays for a run to quarantine; None if it can.
    async fn fault(&self, id: &str, location: &str) -> Result<Option<(bool, String)>> {
        let stated = self.reading.stated.get(id);
        let differs = |size: u64, tag: Option<&str>| {
            let difference = stated.and_then(|stated| stated.difference(size, tag));
            difference.map(|difference| (false, difference))
        };
        let found = match self.locate(location) {
            Err(e) if matches!(e.kind(), ErrorKind::Permission | ErrorKind::InvalidInput) => {
                return Ok(Some((false, e.to_string())));
            }
            found => found?,
        };
        Ok(match found {
            TrailerLocation::File(path) => match (file_fault(&path), std::fs::metadata(&path)) {
                (None, Ok(metadata)) => differs(metadata.len(), None),
                (fault, _) => fault,
            },
            TrailerLocation::Object { store, key } => match self.size(store.as_ref(), &key, location).await {
                Ok((0, _)) => Some((true, "is empty".to_owned())),
                Ok((_, tag)) if tag.is_empty() && self.stated_sha256(id, location).is_none() => {
                    let reason = "its server gives neither ETag nor Last-Modified: state its SHA-256 in trailer_sha256";
                    Some((false, reason.to_owned()))
                }
                Ok((size, tag)) => match (stated.and_then(|stated| stated.sha256), self.listed_sha256(location)) {
                    (Some(one), Some(other)) if one != other => Some((
                        false,
                        format!("the catalogue states the SHA-256 {one}, and the list of objects {other}: correct one"),
                    )),
                    // A list of objects may state the SHA-256 in place of the tag.
                    _ if tag.is_empty() => {
                        let sized = stated.map(|stated| StatedContent { tag: None, ..stated.clone() });
                        sized.and_then(|stated| stated.difference(size, None)).map(|difference| (false, difference))
                    }
                    _ => differs(size, Some(&tag)),
                },
                Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::Permission | ErrorKind::InvalidInput) => {
                    Some((false, e.chain()))
                }
                Err(e) => return Err(e.context(format!("the trailer of movie {id}, {}", location.escape_debug()))),
            },
        })
    }

    /// Leaves out the local trailers whose SHA-256 is not what the catalogue states. Workers check
    /// objects when they fetch them.
    async fn hold_to_stated_hashes(&mut self) -> Result<()> {
        let stated = self.reading.stated.iter().filter_map(|(id, stated)| Some((id, stated.sha256?)));
        let files: Vec<_> = stated
            .filter_map(|(id, stated)| match self.reading.trailers.get(id).map(|key| self.locate(key)) {
                Some(Ok(TrailerLocation::File(path))) => Some((id.clone(), stated, path)),
                _ => None,
            })
            .collect();
        let hashed = stream::iter(files)
            .map(|(id, stated, path)| async move { Ok::<_, Error>((id, stated, hash::of_file(path).await?)) });
        let hashed: Vec<_> = hashed.buffered(MAX_CONCURRENT_TRAILERS).try_collect().await?;
        for (id, stated, (found, size)) in hashed {
            if found == stated {
                self.hashes.insert(id, (found, size));
            } else {
                let reason = format!("its SHA-256 is {found}, and the catalogue states {stated}: is it another file?");
                self.reading.leave_out_trailer(&id, reason);
            }
        }
        Ok(())
    }

    /// Tries the files of the movies that have several with `opens`, in ascending order, and takes
    /// the first that opens. Those of a store are fetched to the folder `scratch`, one at a time.
    ///
    /// # Errors
    /// Those of `opens` and of the store that are not about the file.
    pub async fn take_those_that_open(
        &mut self,
        scratch: &Path,
        opens: impl AsyncFn(&Path) -> Result<bool>,
    ) -> Result<()> {
        let several: Vec<_> = self.reading.other_trailers.iter().map(|(id, o)| (id.clone(), o.clone())).collect();
        for (id, others) in several {
            let Some(first) = self.reading.trailers.get(&id).map(str::to_owned) else { continue };
            for key in std::iter::once(&first).chain(&others) {
                if self.fault(&id, key).await?.is_some() {
                    continue;
                }
                let file = self.local_file(key, scratch).await?;
                let does_open = opens(file.path()).await?;
                if does_open {
                    if *key != first {
                        self.reading.replace_trailer(&id, key, "it does not open");
                        self.found.retain(|line| !line.starts_with(&format!("trailers: movie {id}, ")));
                    }
                    break;
                }
            }
        }
        Ok(())
    }

    /// Returns the trailers that can be read and are not empty: the movie and the location of each.
    ///
    /// # Errors
    /// A store that does not answer.
    pub async fn readable_trailers(&self) -> Result<Vec<(String, String)>> {
        let looked = stream::iter(self.reading.trailers.iter()).map(|(id, location)| async move {
            Ok::<_, Error>(self.fault(id, location).await?.is_none().then(|| (id.to_owned(), location.to_owned())))
        });
        looked.buffered(MAX_CONCURRENT_TRAILERS).try_filter_map(|found| async move { Ok(found) }).try_collect().await
    }

    /// Returns the file of a trailer: its own, or one below `scratch` that the object is fetched
    /// to.
    pub async fn local_file(&self, location: &str, scratch: &Path) -> Result<LocalFile> {
        match self.locate(location)? {
            TrailerLocation::File(path) => Ok(LocalFile::Own(path)),
            TrailerLocation::Object { store, key } => {
                let at = |e: std::io::Error| Error::from(e).context(format!("{}", scratch.display()));
                let fetched = NamedTempFile::with_prefix_in("jhalak-", scratch).map_err(at)?;
                store.download(&key, fetched.path(), None).await.map_err(|e| e.context(location.escape_debug()))?;
                Ok(LocalFile::Fetched(fetched))
            }
        }
    }

    async fn trailer(&self, id: &str, location: &str, upload: Option<&dyn ObjectStore>) -> Result<Trailer> {
        match self.locate(location)? {
            TrailerLocation::Object { store, key } => {
                let (size, tag) = self.size(store.as_ref(), &key, location).await?;
                // A worker holds the bytes to a stated SHA-256, and else to the tag.
                let (content, tag) = match self.stated_sha256(id, location) {
                    Some(sha256) => (sha256, None),
                    None => (Trailer::content_of_tag(size, &tag), Some(tag)),
                };
                Ok(Trailer { subject: Subject { id: id.into(), content }, store: store.url(), key, size, tag })
            }
            TrailerLocation::File(path) => {
                let (content, size) = match self.hashes.get(id) {
                    Some(known) => *known,
                    None => hash::of_file(path.clone()).await?,
                };
                let subject = Subject { id: id.into(), content };
                let Some(target) = upload else {
                    let (store, key) = self.local_store(location, &path)?;
                    return Ok(Trailer { subject, store, key, size, tag: None });
                };
                let extension = path.extension().and_then(|e| e.to_str()).unwrap_or("bin").to_ascii_lowercase();
                let uploaded = format!("trailers/{content}.{extension}");
                match target.head(&uploaded).await {
                    Ok(meta) if meta.size == size => {}
                    Ok(_) => target.upload(&uploaded, &path).await?,
                    Err(e) if e.kind() == ErrorKind::NotFound => target.upload(&uploaded, &path).await?,
                    Err(e) => return Err(e),
                }
                Ok(Trailer { subject, store: target.url(), key: uploaded, size, tag: None })
            }
        }
    }
}

/// Returns the file of `file://` and `path`. Many programs write blanks and others as `%20`; a file
/// whose name has that text itself is taken before.
///
/// # Errors
/// InvalidInput where both files exist.
fn file_of_url(path: &str) -> Result<PathBuf> {
    let literal = PathBuf::from(path);
    let decoded = percent_decode_str(path).decode_utf8().map(|path| PathBuf::from(path.as_ref()));
    match decoded {
        Ok(decoded) if decoded != literal && decoded.is_file() => match literal.exists() {
            true => Err(Error::invalid(format!(
                "may mean {} or {}: write the path without file://",
                literal.display(),
                decoded.display()
            ))),
            false => Ok(decoded),
        },
        _ => Ok(literal),
    }
}

/// Why a file cannot be a trailer, and whether it stays for a run to quarantine; None if it can.
fn file_fault(path: &Path) -> Option<(bool, String)> {
    use std::os::unix::fs::FileTypeExt;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    if name.contains(char::is_control) {
        return Some((false, "the name has control characters: rename the file".to_owned()));
    }
    let is_link = std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink());
    match std::fs::metadata(path) {
        Err(_) if is_link => Some((false, "a link to a file that does not exist".to_owned())),
        // Folders are listed with a sign in place of bytes that are not UTF-8.
        Err(_) if name.contains(char::REPLACEMENT_CHARACTER) => {
            Some((false, "the name is not UTF-8: rename the file".to_owned()))
        }
        Err(error) => Some((false, format!("cannot be opened: {error}"))),
        Ok(metadata) if metadata.is_dir() => Some((false, "a folder, not a file".to_owned())),
        Ok(metadata) if metadata.file_type().is_fifo() => Some((false, "a pipe, not a file".to_owned())),
        Ok(metadata) if !metadata.is_file() => Some((false, "a device or socket, not a file".to_owned())),
        Ok(metadata) if metadata.len() == 0 => Some((true, "is empty".to_owned())),
        Ok(_) => None,
    }
}

fn file_url(folder: &Path) -> Result<String> {
    let absolute =
        folder.canonicalize().map_err(|e| Error::from(e).context(format!("the dataset {}", folder.display())))?;
    Ok(format!("file://{}", absolute.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The memory of a process is a file whose first byte cannot be read.
    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn one_file_that_cannot_be_read_does_not_end_the_run() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("a.mp4"), "video").expect("room on disk");
        std::os::unix::fs::symlink("/proc/self/mem", at("b.mp4")).expect("a link");
        let source = |names: &[&str]| {
            let files = names.iter().map(|name| ((*name).to_owned(), at("a.mp4"))).collect();
            let mut source = crate::plan::dataset_source::of_files("d", files).expect("files");
            source.location = Location::Folder(folder.path().to_owned());
            for name in names {
                source.reading.trailers.insert((*name).to_owned(), format!("{name}.mp4"));
            }
            source
        };
        let both = source(&["a", "b"]).trailers(None).await.expect("one can be read");
        let tags: Vec<bool> = both.iter().map(|trailer| trailer.tag.is_some()).collect();
        assert_eq!(tags, [false, true]);
        assert!(both.iter().all(|trailer| trailer.check_tag().is_ok()));
        let none = source(&["b"]).trailers(None).await.expect_err("the disk is to blame").chain();
        assert!(none.contains("no trailer can be read") && none.contains("b.mp4"), "{none}");
    }

    #[test]
    fn a_name_that_no_key_can_hold_is_a_fault_of_the_file() {
        use std::os::unix::ffi::OsStrExt;
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join(std::ffi::OsStr::from_bytes(b"a\xff.mp4")), "video").expect("room on disk");
        std::fs::write(folder.path().join("a\nb.mp4"), "video").expect("room on disk");
        let fault = |name: &str| file_fault(&folder.path().join(name)).expect("a fault").1;
        assert_eq!(fault("a\u{fffd}.mp4"), "the name is not UTF-8: rename the file");
        assert_eq!(fault("a\nb.mp4"), "the name has control characters: rename the file");
        assert!(fault("none.mp4").starts_with("cannot be opened"));
    }

    #[test]
    fn a_file_url_is_decoded_unless_a_file_has_the_written_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        let url = format!("{}/a%20b.mp4", folder.path().display());
        assert_eq!(file_of_url(&url).expect("a path"), at("a%20b.mp4"));
        std::fs::write(at("a b.mp4"), "video").expect("room on disk");
        assert_eq!(file_of_url(&url).expect("a path"), at("a b.mp4"));
        std::fs::write(at("a%20b.mp4"), "another").expect("room on disk");
        let error = file_of_url(&url).expect_err("two files").to_string();
        assert!(error.contains("a b.mp4") && error.contains("without file://"), "{error}");
    }
}
