//! Which keys and prefixes every store can hold.

use crate::error::{Error, Result};

/// The folder below the root where unfinished writes are kept; no key starts with it.
pub(super) const UNFINISHED: &str = ".tmp";

/// Checks that `key` is one that every store can hold: parts of 1 to 255 bytes joined by `/`, no `.` or `..` part, no
/// control characters, no backslash, at most 1,024 bytes, its first part not `.tmp` (where a local store keeps unfinished
/// writes). A key from a hostile dataset cannot leave its folder.
pub fn check_key(key: &str) -> Result<()> {
    let valid = !key.is_empty()
        && key.len() <= 1024
        && key.split('/').all(|part| !part.is_empty() && part.len() <= 255 && part != "." && part != "..")
        && key.split('/').next() != Some(UNFINISHED)
        && !key.chars().any(|c| c.is_control() || c == '\\');
    if valid { Ok(()) } else { Err(Error::invalid(format!("`{}` is no valid object key", key.escape_debug()))) }
}

/// Checks that `prefix` can be the start of a valid key: empty, a key, a part of one, or a key and `/`.
pub fn check_prefix(prefix: &str) -> Result<()> {
    if prefix.is_empty() { Ok(()) } else { check_key(prefix.strip_suffix('/').unwrap_or(prefix)) }
}
