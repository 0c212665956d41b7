//! Assigns trailers to movies: files in `trailers/`, named by movie id, and locations in the
//! catalogue.

use std::collections::{BTreeMap, BTreeSet};

use super::assembly::Assembly;
use super::movie_ids::MovieIds;
use super::movies;
use super::reject::{Kind, excerpt, id_of_file_name, is_movie_id};
use crate::compact::{TextMap, Texts};
use crate::dataset::normal_form::Movie;
use crate::redact::shown_location;

/// File extensions of trailers, in lower or upper case. The contents are checked when a trailer is
/// opened. Locations in the catalogue may have any.
pub const TRAILER_EXTENSIONS: [&str; 29] = [
    "mp4", "webm", "mkv", "mov", "avi", "mpg", "mpeg", "m4v", "ts", "m2ts", "mts", "ogv", "ogg", "flv", "f4v", "wmv",
    "asf", "3gp", "3g2", "mxf", "vob", "m2v", "dv", "rm", "rmvb", "nut", "gif", "apng", "y4m",
];

/// The folder of the trailers.
const FOLDER: &str = "trailers/";

/// The trailers of a reading.
#[derive(Debug, Default)]
pub(super) struct Trailers {
    /// The trailer of each movie.
    pub chosen: TextMap,
    /// Further files of a movie, in ascending order. Each is a reject too.
    pub others: BTreeMap<String, Vec<String>>,
}

/// Whether a file has the extension of a trailer.
pub(super) fn is_video(name: &str) -> bool {
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    TRAILER_EXTENSIONS.iter().any(|known| extension.eq_ignore_ascii_case(known))
}

/// Whether a name cannot be that of an object in a store, and would be obeyed by a terminal.
fn is_forbidden(name: &str) -> bool {
    name.chars().any(|c| c.is_control() || c == '\\')
}

/// Whether there is any trailer.
pub(super) fn any(names: &Texts) -> bool {
    names.iter().any(is_video)
}

/// Returns the path of a trailer without `trailers/` and without its extension.
fn stem_path(key: &str) -> &str {
    let file = key.strip_prefix(FOLDER).unwrap_or(key);
    let name = file.rfind('/').map_or(0, |slash| slash + 1);
    file[name..].rfind('.').map_or(file, |dot| &file[..name + dot])
}

/// The ids of trailers without a table: the names of their files. Files of one name in several
/// folders are called by their path.
struct PlainIds<'a> {
    /// Names that occur in more than one folder.
    repeated: BTreeSet<&'a str>,
}

impl<'a> PlainIds<'a> {
    fn new(names: &'a Texts) -> PlainIds<'a> {
        let mut folders: BTreeMap<&str, &str> = BTreeMap::new();
        let mut repeated = BTreeSet::new();
        for path in names.iter().filter(|key| is_video(key)).map(stem_path) {
            let (folder, stem) = path.rsplit_once('/').unwrap_or(("", path));
            if *folders.entry(stem).or_insert(folder) != folder {
                repeated.insert(stem);
            }
        }
        PlainIds { repeated }
    }

    fn of(&self, key: &str) -> String {
        let path = stem_path(key);
        let stem = path.rsplit('/').next().unwrap_or(path);
        let name = if self.repeated.contains(stem) { path.replace('/', " - ") } else { stem.to_owned() };
        id_of_file_name(&name)
    }
}

/// Adds a movie for each trailer, of a dataset without any table.
pub(super) fn add_movies(names: &Texts, assembly: &mut Assembly) {
    let ids = PlainIds::new(names);
    let mut changed = Vec::new();
    for key in names.iter().filter(|key| is_video(key) && !is_forbidden(key)) {
        let id = ids.of(key);
        if !id.ends_with(stem_path(key).rsplit('/').next().unwrap_or(key)) {
            changed.push(format!("{} is {id}", excerpt(key)));
        }
        if is_movie_id(&id) && !assembly.has_movie(&id) {
            let movie = Movie { id: id.clone(), name: id, ..Movie::default() };
            assembly.movie("trailers", 0, movie);
        }
    }
    if !ids.repeated.is_empty() {
        let shown: Vec<String> = ids.repeated.iter().take(5).map(|stem| excerpt(stem)).collect();
        assembly.notes.push(format!(
            "trailers: files named {} are in several folders: their ids are FOLDER - NAME",
            shown.join(", ")
        ));
    }
    if let Some(first) = changed.first() {
        assembly.notes.push(format!(
            "trailers: {} names are not valid as ids, and _ stands for what ids cannot hold: {first}",
            changed.len()
        ));
    }
    assembly.movies_complete();
}

/// Returns the movie of a file among the trailers: the file's name, or else the nearest folder that
/// is a movie's id (`trailers/tt1/official.mp4`).
fn movie_of(key: &str, ids: &MovieIds) -> Option<u32> {
    stem_path(key).rsplit('/').find_map(|name| ids.index_of_name(name))
}

/// The trailer of each movie while they are assigned.
struct Chosen<'a> {
    names: &'a Texts,
    locations: Texts,
    /// By movie: 0 for none, else 1 more than the place among the locations, and after them among
    /// the names.
    places: Vec<u32>,
}

impl Chosen<'_> {
    fn get(&self, movie: u32) -> Option<&str> {
        let place = self.places[movie as usize].checked_sub(1)? as usize;
        self.locations.get(place).or_else(|| self.names.get(place - self.locations.len()))
    }
}

/// Assigns the trailers that the catalogue names, then those among `names`. They are sorted: of two
/// files for one movie, the same one always comes first. With `top`, there is no table, and
/// files in every folder are trailers.
pub(super) fn assign(names: &Texts, top: bool, assembly: &mut Assembly) -> Trailers {
    let stated = std::mem::take(&mut assembly.locations);
    let mut chosen = Chosen { names, locations: Texts::default(), places: vec![0; assembly.movie_ids().len()] };
    for row in stated.ids.sorted_indices() {
        let (id, cell) = (&stated.ids[row as usize], &stated.cells[row as usize]);
        match (location(cell), assembly.movie_ids().index(id)) {
            (Ok(location), Some(movie)) => {
                chosen.locations.push(&location);
                chosen.places[movie as usize] = chosen.locations.len() as u32;
            }
            (Err(reason), _) => {
                let subject = format!("movie {}, cell trailer", excerpt(id));
                let reason = format!("{reason}: {}", excerpt(&shown_location(cell)));
                let line = stated.lines[row as usize];
                assembly.rejects.add(Kind::Cell("trailer"), movies::FILE, Some(line), subject, reason);
            }
            (Ok(_), None) => {}
        }
    }
    drop(stated);
    let named = chosen.locations.clone().into_ascending();
    let mut others: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let none = Texts::default();
    let ids = PlainIds::new(if top { names } else { &none });
    for (place, key) in names.iter().enumerate() {
        let file = match key.strip_prefix(FOLDER) {
            Some(file) => file,
            None if top && is_video(key) => key,
            None => continue,
        };
        if file.is_empty() || named.position(key).is_some() {
            continue;
        }
        let movie = match top {
            true => assembly.movie_ids().index(&ids.of(key)),
            false => movie_of(key, assembly.movie_ids()),
        };
        let reason = if file.ends_with('/') {
            "a folder that is too deep, or leads back to a folder above it, is not read".to_owned()
        } else if is_forbidden(key) {
            "the name has a control character or a backslash: rename the file".to_owned()
        } else if !is_video(file) {
            format!("not a trailer: the name must end in one of .{}", TRAILER_EXTENSIONS.join(" ."))
        } else if let Some(movie) = movie {
            match chosen.get(movie) {
                Some(first) => {
                    let reason = second(first);
                    others.entry(assembly.movie_ids().id(movie).to_owned()).or_default().push(key.to_owned());
                    reason
                }
                None => {
                    chosen.places[movie as usize] = (chosen.locations.len() + place + 1) as u32;
                    continue;
                }
            }
        } else if top {
            "the name is not valid as a movie id".to_owned()
        } else {
            "the catalogue has no movie for this trailer".to_owned()
        };
        assembly.rejects.add(Kind::Other, "trailers", None, shown(key), reason);
    }
    let movies = 0..chosen.places.len() as u32;
    let chosen = movies.filter_map(|movie| Some((assembly.movie_ids().id(movie), chosen.get(movie)?))).collect();
    Trailers { chosen, others }
}

/// Why a second file of a movie is left out.
pub(in crate::dataset) fn second(kept: &str) -> String {
    format!("a second trailer of this movie: {kept} is kept")
}

/// Writes a file among the trailers for a reject.
pub(in crate::dataset) fn shown(key: &str) -> String {
    excerpt(key.strip_prefix(FOLDER).unwrap_or(key))
}

/// Checks the location of a trailer in the catalogue: a path below the dataset's folder, an
/// absolute path, `file:///path`, `s3://bucket/key` or `https://host/path`.
fn location(cell: &str) -> Result<String, &'static str> {
    if is_forbidden(cell) {
        return Err("not a location: it has a control character or a backslash");
    }
    if let Some((scheme, rest)) = cell.split_once("://") {
        if rest.contains('@') || rest.contains('?') {
            return Err(
                "not a location: @ and ? may be those of credentials, which come from the environment: copy the \
                 file to a name without them",
            );
        }
        let local = rest.strip_prefix("localhost").filter(|path| path.starts_with('/')).unwrap_or(rest);
        let lower = scheme.to_ascii_lowercase();
        let cell = format!("{lower}://{}", if lower == "file" { local } else { rest });
        return match lower.as_str() {
            "file" if local.starts_with('/') => Ok(cell),
            "s3" if rest.split_once('/').is_some_and(|(bucket, key)| !bucket.is_empty() && !key.is_empty()) => Ok(cell),
            "https" if rest.split_once('/').is_some_and(|(host, path)| !host.is_empty() && !path.is_empty()) => {
                Ok(cell)
            }
            "file" => Err("not a location: write file:///path"),
            "s3" => Err("not a location: write s3://bucket/key"),
            "https" => Err("not a location: write https://host/path"),
            _ => Err("only paths, file:///, s3:// and https:// are read: fetch the file first"),
        };
    }
    if cell.starts_with('/') {
        return Ok(format!("file://{cell}"));
    }
    let parts: Vec<&str> = cell.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    if parts.contains(&"..") {
        return Err("a path outside the dataset's folder: write it absolutely, as /path or file:///path");
    }
    if parts.is_empty() { Err("not a location") } else { Ok(parts.join("/")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_is_read_in_the_forms_that_programs_write() {
        for (cell, read) in [
            ("trailers/./a b.mp4", "trailers/a b.mp4"),
            ("/data/a.mp4", "file:///data/a.mp4"),
            ("file://localhost/data/a.mp4", "file:///data/a.mp4"),
            ("FILE:///data/a.mp4", "file:///data/a.mp4"),
            ("HTTPS://host/A.mp4", "https://host/A.mp4"),
            ("s3://bucket/a#1.mp4", "s3://bucket/a#1.mp4"),
        ] {
            assert_eq!(location(cell).as_deref(), Ok(read), "{cell}");
        }
        for (cell, reason) in [
            ("file://server/a.mp4", "write file:///path"),
            ("s3://bucket", "write s3://bucket/key"),
            ("https://host/a?token=1", "name without them"),
            ("a\tb.mp4", "control character"),
            ("../a.mp4", "outside"),
            ("ftp://host/a.mp4", "fetch the file first"),
        ] {
            assert!(location(cell).is_err_and(|found| found.contains(reason)), "{cell}");
        }
    }
}
