//! Files that commands write.

use std::path::Path;

use jhalak_common::{Error, Result};

/// Makes the folder of a file that is to be written, before the work that fills it begins.
///
/// # Errors
/// InvalidInput if the file cannot be there.
pub fn make_folder_of(file: &Path) -> Result<()> {
    if file.is_dir() {
        return Err(Error::invalid(format!("{} is a folder: name a file in it", file.display())));
    }
    match file.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        Some(folder) => std::fs::create_dir_all(folder).map_err(|error| cannot_write(file, &error)),
        None => Ok(()),
    }
}

/// Returns the error of a file that cannot be written.
pub fn cannot_write(file: &Path, error: &std::io::Error) -> Error {
    Error::invalid(format!("cannot write {}: {error}", file.display()))
}
