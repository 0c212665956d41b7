//! Assigns trailers to movies: files in `trailers/`, named by movie id, and locations in the
//! catalogue.

use std::collections::{BTreeMap, BTreeSet};

use super::assembly::Assembly;
use super::movies;
use super::reject::{Kind, excerpt, is_movie_id};
use crate::dataset::normal_form::Movie;
use crate::settings::shown_location;

/// File extensions of trailers, in lower or upper case. The contents are checked when a trailer is
/// opened. Locations in the catalogue may have any.
pub const TRAILER_EXTENSIONS: [&str; 29] = [
    "mp4", "webm", "mkv", "mov", "avi", "mpg", "mpeg", "m4v", "ts", "m2ts", "mts", "ogv", "ogg", "flv", "f4v", "wmv",
    "asf", "3gp", "3g2", "mxf", "vob", "m2v", "dv", "rm", "rmvb", "nut", "gif", "apng", "y4m",
];

/// Whether a file has the extension of a trailer.
pub(super) fn is_video(name: &str) -> bool {
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    TRAILER_EXTENSIONS.iter().any(|known| extension.eq_ignore_ascii_case(known))
}

/// Whether there is any trailer, in `trailers/` or at the top.
pub(super) fn any(names: &[String]) -> bool {
    names.iter().any(|name| is_video(name))
}

/// Adds a movie for each trailer, of a dataset without any table.
pub(super) fn add_movies(names: &[String], assembly: &mut Assembly) {
    for key in names.iter().filter(|key| is_video(key)) {
        let file = key.strip_prefix("trailers/").unwrap_or(key);
        let id = file.rsplit_once('.').map_or(file, |(id, _)| id);
        if is_movie_id(id) && !assembly.has_movie(id) {
            let movie = Movie { id: id.to_owned(), name: id.to_owned(), ..Movie::default() };
            assembly.movie("trailers", 0, movie);
        }
    }
    assembly.movies_complete();
}

/// Assigns the trailers that the catalogue names, then those among `names`, which are sorted, so
/// that the first of two for one movie is always the same file. With `top`, files at the top are
/// trailers too.
pub(super) fn assign(names: &[String], top: bool, assembly: &mut Assembly) -> BTreeMap<String, String> {
    let mut trailers = BTreeMap::new();
    for (id, (cell, line)) in std::mem::take(&mut assembly.locations) {
        match location(&cell) {
            Ok(location) => {
                trailers.insert(id, location);
            }
            Err(reason) => {
                let subject = format!("movie {}, cell trailer", excerpt(&id));
                let reason = format!("{reason}: {}", excerpt(&shown_location(&cell)));
                assembly.rejects.add(Kind::Cell("trailer"), movies::FILE, Some(line), subject, reason);
            }
        }
    }
    let named: BTreeSet<String> = trailers.values().cloned().collect();
    for key in names {
        let file = match key.strip_prefix("trailers/") {
            Some(file) => file,
            None if top && is_video(key) => key,
            None => continue,
        };
        if file.is_empty() || named.contains(key) {
            continue;
        }
        let id = file.rsplit_once('.').map_or(file, |(id, _)| id);
        let reason = if file.contains('/') {
            "a folder among the trailers is not read".to_owned()
        } else if !is_video(file) {
            format!("not a trailer: the name must end in one of .{}", TRAILER_EXTENSIONS.join(" ."))
        } else if top && !is_movie_id(id) {
            "the name is not valid as a movie id".to_owned()
        } else if !is_movie_id(id) || !assembly.has_movie(id) {
            "the catalogue has no movie for this trailer".to_owned()
        } else if let Some(first) = trailers.get(id) {
            format!("a second trailer of this movie: {first} is kept")
        } else {
            trailers.insert(id.to_owned(), key.clone());
            continue;
        };
        assembly.rejects.add(Kind::Other, "trailers", None, excerpt(file), reason);
    }
    trailers
}

/// Checks the location of a trailer in the catalogue: a path below the dataset's folder, an
/// absolute path, `file:///` or `s3://bucket/key`.
fn location(cell: &str) -> Result<String, &'static str> {
    if cell.chars().any(|c| c.is_control() || c == '\\') {
        return Err("not a location: it has a control character or a backslash");
    }
    if let Some((scheme, rest)) = cell.split_once("://") {
        if rest.contains('@') || rest.contains('?') {
            return Err("not a location: it may hold credentials, which come from the environment");
        }
        return match scheme {
            "file" if rest.starts_with('/') => Ok(cell.to_owned()),
            "s3" if rest.split_once('/').is_some_and(|(bucket, key)| !bucket.is_empty() && !key.is_empty()) => {
                Ok(cell.to_owned())
            }
            "file" => Err("not a location: write file:///path"),
            "s3" => Err("not a location: write s3://bucket/key"),
            _ => Err("only paths, file:/// and s3:// are read: fetch the file first"),
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
