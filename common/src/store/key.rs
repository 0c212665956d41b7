//! Valid keys and prefixes of objects.

use crate::error::{Error, Result};

/// The folder for unfinished writes below the root of a local store; no key starts with it.
pub(super) const UNFINISHED: &str = ".tmp";

/// Checks that `key` is valid in every store: parts of 1 to 255 bytes joined by `/`, no `.` or `..`
/// part, no control characters, no backslash, at most 1,024 bytes, its first part not `.tmp`
/// (unfinished writes of a local store). A key from a hostile dataset cannot leave its folder.
pub fn check_key(key: &str) -> Result<()> {
    let valid = !key.is_empty()
        && key.len() <= 1024
        && key.split('/').all(|part| !part.is_empty() && part.len() <= 255 && part != "." && part != "..")
        && key.split('/').next() != Some(UNFINISHED)
        && !key.chars().any(|c| c.is_control() || c == '\\');
    if valid { Ok(()) } else { Err(Error::invalid(format!("`{}` is not a valid object key", key.escape_debug()))) }
}

/// Checks that `prefix` can be the start of a valid key: empty, a key, a part of one, or a key and
/// `/`.
pub fn check_prefix(prefix: &str) -> Result<()> {
    if prefix.is_empty() { Ok(()) } else { check_key(prefix.strip_suffix('/').unwrap_or(prefix)) }
}
