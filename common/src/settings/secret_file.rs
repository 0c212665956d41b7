//! Secrets in files, as Kubernetes mounts them: they are read again when they are used again, so
//! that they can be changed under a running process.

use std::path::Path;

use crate::error::{Error, Result};

/// The longest secret that is read, in bytes.
const MAX_BYTES: u64 = 16 << 10;

/// Reads the secret in the file that `setting` names. Blanks and line ends around it do not count.
///
/// # Errors
/// InvalidInput with the setting and the file if it cannot be read, is empty, too long or not text.
pub fn read(setting: &str, path: &Path) -> Result<String> {
    let wrong = |why: &str| Error::invalid(format!("the file {} (setting {setting}) {why}", path.display()));
    let length = std::fs::metadata(path).map_err(|e| wrong("cannot be read").with_source(e))?.len();
    if length > MAX_BYTES {
        return Err(wrong("is longer than a secret can be: it must hold the secret alone"));
    }
    // The error of bytes that are not text would show them.
    let bytes = std::fs::read(path).map_err(|e| wrong("cannot be read").with_source(e))?;
    let text = String::from_utf8(bytes).map_err(|_| wrong("is not UTF-8 text"))?;
    let secret = text.trim();
    if secret.is_empty() {
        return Err(wrong("is empty: it must hold the secret"));
    }
    if secret.contains(|c: char| c.is_control()) {
        return Err(wrong("has more than one line: it must hold the secret alone"));
    }
    Ok(secret.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_holds_one_secret_and_nothing_else() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("secret");
        std::fs::write(&file, " hunter2\r\n").expect("room on disk");
        assert_eq!(read("queue_file", &file).expect("a secret"), "hunter2");
        for (bytes, word) in [
            (b"".as_slice(), "empty"),
            (b"\n", "empty"),
            (b"hunter2\nhunter3", "one line"),
            (b"hunter2\xff", "UTF-8"),
            (&[b'h'; 20_000], "longer"),
        ] {
            std::fs::write(&file, bytes).expect("room on disk");
            let error = read("queue_file", &file).expect_err(word).chain();
            assert!(error.contains(word) && error.contains("queue_file") && !error.contains("hunter2"), "{error}");
        }
        assert!(read("queue_file", &folder.path().join("absent")).expect_err("none").chain().contains("absent"));
    }
}
