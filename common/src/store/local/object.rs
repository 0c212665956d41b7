//! One object as a file: its metadata, opening and copying it.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::time::UNIX_EPOCH;

use crate::error::{Error, Result};
use crate::store::interface::ObjectMeta;

/// Returns the metadata of a file, following links. Anything else (a folder, a pipe) is not an
/// object.
pub(super) fn object_metadata(path: &Path) -> Result<fs::Metadata> {
    match fs::metadata(path) {
        Ok(meta) if meta.is_file() => Ok(meta),
        Ok(_) => Err(Error::not_found("there is no such object")),
        Err(e) if e.kind() == io::ErrorKind::NotADirectory => Err(Error::not_found("there is no such object")),
        Err(e) => Err(e.into()),
    }
}

/// Opens an object for reading. Its type is checked first: opening a pipe would wait for a writer
/// forever.
pub(super) fn open_object(path: &Path) -> Result<(File, fs::Metadata)> {
    object_metadata(path)?;
    let file = File::open(path)?;
    let meta = file.metadata()?;
    Ok((file, meta))
}

pub(super) fn copy_object(path: &Path, key: String, to: &Path, tag: Option<&str>) -> Result<ObjectMeta> {
    let (mut file, before) = open_object(path)?;
    let before = describe(key.clone(), &before);
    // The message names no tag: who may send jobs must not learn the tags of files.
    if tag.is_some_and(|tag| tag != before.tag) {
        return Err(Error::invalid("its content was replaced since the run was planned: submit again"));
    }
    let writing = |e: io::Error| Error::from(e).context(format_args!("writing {}", to.display()));
    io::copy(&mut file, &mut File::create(to).map_err(writing)?).map_err(writing)?;
    // This store replaces files whole, but another program may have written into this one.
    if describe(key, &file.metadata()?) != before {
        return Err(Error::invalid("it was changed while it was read: do not change the dataset during a run"));
    }
    Ok(before)
}

/// Returns the metadata of an object; the tag consists of size and modification time.
pub(super) fn describe(key: String, meta: &fs::Metadata) -> ObjectMeta {
    let modified = meta.modified().unwrap_or(UNIX_EPOCH);
    let (sign, time) = match modified.duration_since(UNIX_EPOCH) {
        Ok(after) => ("", after),
        Err(before) => ("-", before.duration()),
    };
    ObjectMeta {
        key,
        size: meta.len(),
        tag: format!("{}-{sign}{}.{:09}", meta.len(), time.as_secs(), time.subsec_nanos()),
    }
}
