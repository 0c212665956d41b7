//! Scratch space: a folder for each worker process, removed at its end; what a killed process left is removed by the next.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use jhalak_common::{Error, Result};
use rustix::fs::{FlockOperation, flock};
use tempfile::TempDir;

const PREFIX: &str = "jhalak-worker-";
const LOCK: &str = "lock";

/// A worker's own scratch folder. The lock inside tells others that its owner lives.
#[derive(Debug)]
pub struct Scratch {
    folder: TempDir,
    _lock: File,
}

impl Scratch {
    /// Makes a folder of this process's own below `root` and removes those whose owners have died.
    pub fn create(root: &Path) -> Result<Scratch> {
        let named = |e: std::io::Error| {
            Error::from(e).context(format!("the scratch folder {} (setting worker.scratch)", root.display()))
        };
        fs::create_dir_all(root).map_err(named)?;
        remove_abandoned(root).map_err(named)?;
        let folder = tempfile::Builder::new().prefix(PREFIX).tempdir_in(root).map_err(named)?;
        let lock = File::create(folder.path().join(LOCK)).map_err(named)?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|e| named(e.into()))?;
        Ok(Scratch { folder, _lock: lock })
    }

    /// A new empty folder for one job, removed when dropped.
    pub fn job_folder(&self) -> Result<TempDir> {
        tempfile::Builder::new()
            .prefix("job-")
            .tempdir_in(self.folder.path())
            .map_err(|e| Error::from(e).context("a scratch folder for the job"))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}

fn remove_abandoned(root: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(root)? {
        let path: PathBuf = entry?.path();
        let ours = path.file_name().and_then(|n| n.to_str()).is_some_and(|n| n.starts_with(PREFIX));
        // A folder without a lock is being made at this moment, or its owner died just then: leave it.
        let Some(lock) = ours.then(|| File::open(path.join(LOCK)).ok()).flatten() else { continue };
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok() {
            match fs::remove_dir_all(&path) {
                Ok(()) => tracing::info!(folder = %path.display(), "removed the scratch folder of a worker that died"),
                Err(e) => {
                    tracing::warn!(folder = %path.display(), error = %e, "the scratch folder of a worker that died cannot be removed")
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_owners_folder_is_removed_and_a_living_owners_stays() {
        let root = tempfile::tempdir().expect("a temporary folder");
        let living = Scratch::create(root.path()).expect("a scratch folder");
        let dead = root.path().join("jhalak-worker-dead");
        fs::create_dir(&dead).expect("a folder");
        fs::write(dead.join(LOCK), "").expect("a file");
        let other = Scratch::create(root.path()).expect("a scratch folder");
        assert!(!dead.exists());
        assert!(living.path().exists() && other.path().exists());
        drop(living);
        assert_eq!(fs::read_dir(root.path()).expect("readable").count(), 1);
    }
}
