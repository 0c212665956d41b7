//! How much space a file system has left, for the message about a full one.

use std::path::Path;

use crate::error::{Error, ErrorKind};

/// Adds to an error about a full file system how much is free where `path` lies, how much `needed`
/// bytes are, and how to resume. Returns every other error as it is.
pub fn explain(error: Error, path: &Path, needed: u64) -> Error {
    if error.kind() != ErrorKind::StorageFull {
        return error;
    }
    let needed = size(needed);
    let free = match free_at(path) {
        Some((0, _)) => "0 bytes are free".to_owned(),
        Some((bytes, 0)) => format!("{} are free, and no file can be created", size(bytes)),
        Some((bytes, _)) => format!("{} are free", size(bytes)),
        None => "the free space is unknown".to_owned(),
    };
    let text = format!(
        "{error}: {free}, {needed} are needed at once (or a quota is used up): make room there, then repeat the command; \
         committed artifacts are kept"
    );
    Error::new(ErrorKind::StorageFull, text)
}

/// Returns the bytes and the files that an ordinary user may still create on the file system of
/// `path`, or of its nearest folder that exists.
fn free_at(path: &Path) -> Option<(u64, u64)> {
    let folder = path.ancestors().find(|folder| folder.exists())?;
    let found = rustix::fs::statvfs(folder).ok()?;
    // Some file systems do not limit files and report none.
    let files = if found.f_files == 0 { u64::MAX } else { found.f_favail };
    Some((found.f_bavail.saturating_mul(found.f_frsize), files))
}

/// Writes a number of bytes, in kB (2^10 bytes) or MB (2^20 bytes) where it is larger.
pub fn size(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} bytes"),
        1024..1_048_576 => format!("{} kB", bytes.div_ceil(1 << 10)),
        _ => format!("{:.1} MB", bytes as f64 / f64::from(1 << 20)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_explained_and_other_errors_stay() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("missing/file");
        let full = || Error::from(std::io::Error::from(std::io::ErrorKind::StorageFull)).context("cannot write x");
        let text = explain(full(), &path, 5 << 20).chain();
        for word in ["cannot write x", "are free", "5.0 MB are needed", "repeat the command"] {
            assert!(text.contains(word), "{text}");
        }
        let other = explain(Error::invalid("another"), &path, 5).chain();
        assert_eq!(other, "another");
        assert_eq!((size(12), size(1025), size(3 << 20)), ("12 bytes".into(), "2 kB".into(), "3.0 MB".into()));
    }
}
