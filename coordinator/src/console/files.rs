//! Files that commands write.

use std::fs::File;
use std::path::Path;

use jhalak_common::{Error, ErrorKind, Result};

/// Makes the folder of a file that is to be written, before the work that fills it begins.
///
/// # Errors
/// InvalidInput if the file cannot be there; otherwise the error of the file system.
pub fn make_folder_of(file: &Path) -> Result<()> {
    if file.is_dir() {
        return Err(Error::invalid(format!("{} is a folder: name a file in it", file.display())));
    }
    match file.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        Some(folder) => std::fs::create_dir_all(folder).map_err(|error| cannot_write(file, error)),
        None => Ok(()),
    }
}

/// Writes a file, and replaces one that is there. Of a file that cannot be written whole, as on a
/// full disk, nothing is left.
///
/// # Errors
/// As [`cannot_write`].
pub fn write(file: &Path, bytes: &[u8]) -> Result<()> {
    std::fs::write(file, bytes).map_err(|error| {
        // A part would pass for the whole; an error of its removal adds nothing.
        let _ = if file.is_file() { std::fs::remove_file(file) } else { Ok(()) };
        cannot_write(file, error)
    })
}

/// Creates a file that must not exist.
///
/// # Errors
/// InvalidInput if it exists; otherwise the error of the file system.
pub fn create_new(file: &Path) -> Result<File> {
    File::create_new(file).map_err(|e| match e.kind() {
        std::io::ErrorKind::AlreadyExists => {
            Error::invalid(format!("{} exists: remove it, or name another file", file.display()))
        }
        _ => cannot_write(file, e),
    })
}

/// Returns the error of a file that cannot be written, with the way out.
pub fn cannot_write(file: &Path, error: std::io::Error) -> Error {
    with_way_out(Error::from(error), file)
}

/// Adds the file and the way out to the error of writing it.
pub fn with_way_out(error: Error, file: &Path) -> Error {
    let name = file.display();
    let (kind, way) = match error.kind() {
        ErrorKind::StorageFull => (ErrorKind::StorageFull, ": make room on its disk, then repeat the command"),
        ErrorKind::Unable => (ErrorKind::Unable, ": choose a path that you may write to"),
        ErrorKind::NotFound => (ErrorKind::InvalidInput, ": choose another path"),
        other => (other, ""),
    };
    Error::new(kind, format!("cannot write {name}: {error}{way}")).with_source(error)
}
