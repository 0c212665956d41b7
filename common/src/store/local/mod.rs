//! The object store in a folder: one file per object, with the key as path below the root.
//!
//! A write goes to a new file in `.tmp` below the root, is flushed to disk, and gets its final name
//! in one step (rename, or a hard link if the object must not exist yet); then the folder is
//! flushed. A crash leaves at most a file in `.tmp`, which readers ignore and a later start removes
//! once it is old.

mod object;
mod walk;

use std::fmt;
use std::fs::{self, File, Permissions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use tempfile::NamedTempFile;

use super::interface::{ObjectMeta, ObjectStore, PutOutcome, no_such_range};
use super::key::{UNFINISHED, check_key};
use crate::error::{Error, Result};
use crate::free_space;

use object::{copy_object, describe, object_metadata, open_object};

/// An unfinished write that was not touched for this long belongs to a process that has ended.
const ABANDONED_AFTER: Duration = Duration::from_secs(24 * 3600);

/// An object store in a local folder.
///
/// Other programs may write into the folder, for example a dataset: reading follows symbolic links,
/// creates nothing and skips files whose names are not valid keys. Writing never follows a link out
/// of the root.
#[derive(Clone)]
pub struct LocalStore {
    root: Arc<Path>,
}

impl LocalStore {
    /// Opens the store in the folder `root`. The folder is created by the first write.
    ///
    /// # Errors
    /// InvalidInput if `root` is empty or a file.
    pub fn open(root: impl AsRef<Path>) -> Result<LocalStore> {
        let store = Self::open_to_read(root)?;
        remove_abandoned(&store.root.join(UNFINISHED), ABANDONED_AFTER);
        Ok(store)
    }

    /// Opens a folder that belongs to others: does not remove unfinished writes.
    ///
    /// # Errors
    /// InvalidInput if `root` is empty or a file.
    pub fn open_to_read(root: impl AsRef<Path>) -> Result<LocalStore> {
        let given = root.as_ref();
        if given.as_os_str().is_empty() {
            return Err(Error::invalid("the store names no folder: write file:///path or a path"));
        }
        let root = std::path::absolute(given)
            .map_err(|e| Error::from(e).context(format_args!("cannot open the store {}", given.display())))?;
        if root.exists() && !root.is_dir() {
            return Err(Error::invalid(format!("the store {} is not a folder: name a folder", root.display())));
        }
        Ok(LocalStore { root: root.into() })
    }

    /// The folder that holds the objects.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Runs `work` on the path of `key` on a blocking thread; errors name the operation and the
    /// object.
    async fn blocking<T: Send + 'static>(
        &self,
        what: &'static str,
        key: &str,
        work: impl FnOnce(&Self, &Path) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        check_key(key)?;
        let path = self.root.join(key);
        let store = self.clone();
        tokio::task::spawn_blocking(move || {
            work(&store, &path).map_err(|e| e.context(format_args!("cannot {what} {}", path.display())))
        })
        .await
        .map_err(|e| Error::bug(format!("the thread to {what} an object ended")).with_source(e))?
    }

    /// Fills a new unfinished file and flushes it to disk. Its modification time is set with
    /// nanoseconds, so that two contents of one key never share a tag even if the clock of the file
    /// system is coarse.
    fn write_unfinished(&self, fill: impl FnOnce(&mut File) -> Result<()>) -> Result<NamedTempFile> {
        let folder = self.root.join(UNFINISHED);
        let create = || {
            // Default permissions, restricted by the umask: several users may share a store.
            tempfile::Builder::new().permissions(Permissions::from_mode(0o666)).tempfile_in(&folder)
        };
        let mut unfinished = match create() {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                create_folders(&folder)?;
                create()?
            }
            other => other?,
        };
        fill(unfinished.as_file_mut())?;
        unfinished.as_file().set_modified(SystemTime::now())?;
        unfinished.as_file().sync_all()?;
        Ok(unfinished)
    }

    /// Returns the folder of `path`, created if missing.
    ///
    /// # Errors
    /// Permission if a symbolic link leads out of the root.
    fn prepare_parent<'a>(&self, path: &'a Path) -> Result<&'a Path> {
        let parent = path.parent().ok_or_else(|| Error::bug("an object's path has no parent"))?;
        if parent.is_dir() {
            self.check_inside(parent)?;
            return Ok(parent);
        }
        // The nearest existing folder is checked before anything is created through a link.
        let existing = parent.ancestors().find(|p| fs::symlink_metadata(p).is_ok()).unwrap_or(parent);
        if existing.starts_with(&self.root) {
            self.check_inside(existing)?;
        }
        create_folders(parent)?;
        Ok(parent)
    }

    fn check_inside(&self, folder: &Path) -> Result<()> {
        if fs::canonicalize(folder)?.starts_with(fs::canonicalize(&self.root)?) {
            return Ok(());
        }
        Err(Error::permission(format!(
            "{} leads out of the store through a symbolic link: remove the link",
            folder.display()
        )))
    }

    fn replace(&self, path: &Path, fill: impl FnOnce(&mut File) -> Result<()>) -> Result<()> {
        let parent = self.prepare_parent(path)?;
        self.write_unfinished(fill)?.persist(path).map_err(|e| e.error)?;
        flush_folder(parent)
    }
}

#[async_trait]
impl ObjectStore for LocalStore {
    fn url(&self) -> String {
        format!("file://{}", self.root.display())
    }

    async fn get(&self, key: &str) -> Result<Bytes> {
        self.blocking("read", key, |_, path| {
            let (mut file, meta) = open_object(path)?;
            let mut bytes = Vec::with_capacity(usize::try_from(meta.len()).unwrap_or(0));
            file.read_to_end(&mut bytes)?;
            Ok(bytes.into())
        })
        .await
    }

    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes> {
        let name = key.to_string();
        self.blocking("read", key, move |_, path| {
            let (mut file, meta) = open_object(path)?;
            let length = range.end.saturating_sub(range.start);
            if length == 0 || range.end > meta.len() {
                return Err(no_such_range(&name, &range));
            }
            file.seek(SeekFrom::Start(range.start))?;
            let mut bytes = vec![0; usize::try_from(length).map_err(|_| no_such_range(&name, &range))?];
            file.read_exact(&mut bytes)?;
            Ok(bytes.into())
        })
        .await
    }

    async fn download(&self, key: &str, to: &Path, tag: Option<&str>) -> Result<ObjectMeta> {
        let (to, tag, name) = (to.to_path_buf(), tag.map(str::to_string), key.to_string());
        self.blocking("copy", key, move |_, path| {
            copy_object(path, name, &to, tag.as_deref()).inspect_err(|_| {
                // An incomplete file is useless; an error of its removal adds nothing.
                let _ = fs::remove_file(&to);
            })
        })
        .await
    }

    async fn head(&self, key: &str) -> Result<ObjectMeta> {
        let name = key.to_string();
        self.blocking("look at", key, |_, path| Ok(describe(name, &object_metadata(path)?))).await
    }

    async fn put(&self, key: &str, bytes: Bytes) -> Result<()> {
        self.blocking("write", key, move |store, path| {
            let written = store.replace(path, |file| Ok(file.write_all(&bytes)?));
            written.map_err(|e| free_space::explain(e, path, bytes.len() as u64))
        })
        .await
    }

    async fn put_if_absent(&self, key: &str, bytes: Bytes) -> Result<PutOutcome> {
        self.blocking("create", key, move |store, path| {
            let parent = store.prepare_parent(path)?;
            let outcome = if fs::symlink_metadata(path).is_ok() {
                PutOutcome::AlreadyExists
            } else {
                let written = store.write_unfinished(|file| Ok(file.write_all(&bytes)?));
                let unfinished = written.map_err(|e| free_space::explain(e, path, bytes.len() as u64))?;
                match fs::hard_link(unfinished.path(), path) {
                    Ok(()) => PutOutcome::Created,
                    Err(e) if e.kind() == io::ErrorKind::AlreadyExists => PutOutcome::AlreadyExists,
                    Err(e) => {
                        let advice = format!("{}: the store needs a file system with hard links", store.root.display());
                        return Err(Error::from(e).context(advice));
                    }
                }
            };
            // Also for the loser: an object that it reports as existing must survive a power cut.
            flush_folder(parent)?;
            Ok(outcome)
        })
        .await
    }

    async fn upload(&self, key: &str, from: &Path) -> Result<()> {
        let from = from.to_path_buf();
        self.blocking("write", key, move |store, path| {
            let mut source = File::open(&from).map_err(|e| Error::from(e).context(from.display()))?;
            let length = source.metadata()?.len();
            let written = store.replace(path, |file| Ok(io::copy(&mut source, file).map(|_| ())?));
            written.map_err(|e| free_space::explain(e, path, length))
        })
        .await
    }

    fn list(&self, prefix: &str) -> BoxStream<'_, Result<ObjectMeta>> {
        walk::list(self.root.clone(), prefix)
    }

    async fn delete(&self, key: &str) -> Result<()> {
        self.blocking("delete", key, |store, path| {
            let Some(parent) = path.parent().filter(|parent| parent.is_dir()) else { return Ok(()) };
            store.check_inside(parent)?;
            match fs::symlink_metadata(path) {
                // A folder is not an object: there is nothing to remove.
                Ok(meta) if meta.is_dir() => return Ok(()),
                Ok(_) => fs::remove_file(path)
                    .or_else(|e| if e.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(e) })?,
                Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
                Err(e) => return Err(e.into()),
            }
            flush_folder(parent)
        })
        .await
    }
}

impl fmt::Debug for LocalStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LocalStore({})", self.root.display())
    }
}

/// Creates `folder` and its missing parents, each flushed into its parent so that none is lost in a
/// power cut.
fn create_folders(folder: &Path) -> Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let parent = folder.parent().ok_or_else(|| Error::bug("the root folder does not exist"))?;
    create_folders(parent)?;
    match fs::create_dir(folder) {
        Ok(()) => flush_folder(parent),
        // Another writer created it first.
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => Ok(()),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
            Err(Error::invalid(format!("{} is an object, so no object can be stored below it", folder.display())))
        }
        Err(e) => Err(Error::from(e).context(format_args!("creating {}", folder.display()))),
    }
}

/// Makes the names in `folder` durable.
fn flush_folder(folder: &Path) -> Result<()> {
    Ok(File::open(folder)?.sync_all()?)
}

/// Removes unfinished writes that were not touched for `age`. A file that cannot be removed stays;
/// it is harmless.
fn remove_abandoned(folder: &Path, age: Duration) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let idle = entry.metadata().and_then(|m| m.modified()).ok().and_then(|time| time.elapsed().ok());
        if idle.is_some_and(|idle| idle >= age) {
            match fs::remove_file(entry.path()) {
                Ok(()) => {
                    tracing::info!(file = %entry.path().display(), "removed an unfinished write")
                }
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => {
                    tracing::warn!(file = %entry.path().display(), error = %e, "cannot remove an unfinished write")
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
