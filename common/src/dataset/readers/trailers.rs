//! Assigns trailers to movies: files in `trailers/`, named by movie id.

use std::collections::BTreeMap;

use super::assembly::Assembly;
use super::reject::{excerpt, is_movie_id};

/// File extensions of trailers, in lower or upper case. The contents are checked when a trailer is
/// opened.
pub const TRAILER_EXTENSIONS: [&str; 29] = [
    "mp4", "webm", "mkv", "mov", "avi", "mpg", "mpeg", "m4v", "ts", "m2ts", "mts", "ogv", "ogg", "flv", "f4v", "wmv",
    "asf", "3gp", "3g2", "mxf", "vob", "m2v", "dv", "rm", "rmvb", "nut", "gif", "apng", "y4m",
];

/// Assigns the trailers among `names`, which are sorted, so that the first of two for one movie is
/// always the same file.
pub(super) fn assign(names: &[String], assembly: &mut Assembly) -> BTreeMap<String, String> {
    let mut trailers: BTreeMap<String, String> = BTreeMap::new();
    for key in names {
        let Some(file) = key.strip_prefix("trailers/").filter(|file| !file.is_empty()) else { continue };
        let (id, extension) = file.rsplit_once('.').unwrap_or((file, ""));
        let is_video = TRAILER_EXTENSIONS.iter().any(|known| extension.eq_ignore_ascii_case(known));
        let reason = if file.contains('/') {
            "a folder among the trailers is not read".to_owned()
        } else if !is_video {
            format!("not a trailer: the name must end in one of .{}", TRAILER_EXTENSIONS.join(" ."))
        } else if !is_movie_id(id) || !assembly.has_movie(id) {
            "the catalogue has no movie for this trailer".to_owned()
        } else if let Some(first) = trailers.get(id) {
            format!("a second trailer of this movie: {first} is kept")
        } else {
            trailers.insert(id.to_owned(), key.clone());
            continue;
        };
        assembly.rejects.add("trailers", None, excerpt(file), reason);
    }
    trailers
}
