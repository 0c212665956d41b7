//! Scratch space: a folder for each worker process, removed at its end; what a killed process left is removed by the next.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jhalak_common::{Error, Result};
use rustix::fs::{FlockOperation, flock};
use tempfile::TempDir;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

const PREFIX: &str = "jhalak-worker-";
const LOCK: &str = "lock";

/// What a decode writes beside its trailer: keyframes, and sound at 64 kB a second. Set aside for each job.
const OUTPUT_MB: u64 = 64;

/// A worker's own scratch folder. The lock inside tells others that its owner lives.
#[derive(Debug)]
pub struct Scratch {
    folder: TempDir,
    _lock: File,
    /// Megabytes (2^20 bytes) that no job has set aside.
    room: Arc<Semaphore>,
    all_mb: u32,
}

/// A job's own folder, removed when dropped, and the room that it has set aside.
#[derive(Debug)]
pub struct JobFolder {
    folder: TempDir,
    _room: OwnedSemaphorePermit,
}

impl JobFolder {
    /// Where it is.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}

impl Scratch {
    /// Makes a folder of this process's own below `root`, with room for `all_mb` megabytes, and removes those whose owners have died.
    pub fn create(root: &Path, all_mb: u32) -> Result<Scratch> {
        let named = |e: std::io::Error| {
            Error::from(e).context(format!("the scratch folder {} (setting worker.scratch)", root.display()))
        };
        fs::create_dir_all(root).map_err(named)?;
        remove_abandoned(root).map_err(named)?;
        let folder = tempfile::Builder::new().prefix(PREFIX).tempdir_in(root).map_err(named)?;
        let lock = File::create(folder.path().join(LOCK)).map_err(named)?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|e| named(e.into()))?;
        Ok(Scratch { folder, _lock: lock, room: Arc::new(Semaphore::new(all_mb as usize)), all_mb })
    }

    /// A new empty folder for one job on a trailer of `trailer_bytes`, removed when dropped. Waits until there is room for it.
    ///
    /// # Errors
    /// InvalidInput for a trailer that never has room.
    pub async fn job_folder(&self, trailer_bytes: u64) -> Result<JobFolder> {
        let trailer_mb = trailer_bytes.div_ceil(1 << 20);
        if trailer_mb > u64::from(self.all_mb) {
            return Err(Error::invalid(format!(
                "the trailer of {trailer_mb} MB has no room in the worker's scratch space of {} MB: raise worker.scratch_mb",
                self.all_mb
            )));
        }
        let wanted = u32::try_from(trailer_mb + OUTPUT_MB).unwrap_or(u32::MAX).min(self.all_mb);
        let room = self.room.clone().acquire_many_owned(wanted).await;
        let room = room.map_err(|e| Error::bug("the scratch space was closed").with_source(e))?;
        let folder = tempfile::Builder::new()
            .prefix("job-")
            .tempdir_in(self.folder.path())
            .map_err(|e| Error::from(e).context("a scratch folder for the job"))?;
        Ok(JobFolder { folder, _room: room })
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
        let living = Scratch::create(root.path(), 100).expect("a scratch folder");
        let dead = root.path().join("jhalak-worker-dead");
        fs::create_dir(&dead).expect("a folder");
        fs::write(dead.join(LOCK), "").expect("a file");
        let other = Scratch::create(root.path(), 100).expect("a scratch folder");
        assert!(!dead.exists());
        assert!(living.path().exists() && other.path().exists());
        drop(living);
        assert_eq!(fs::read_dir(root.path()).expect("readable").count(), 1);
    }

    #[tokio::test]
    async fn jobs_wait_for_room_and_what_never_fits_is_refused() {
        let root = tempfile::tempdir().expect("a temporary folder");
        let scratch = Scratch::create(root.path(), 100).expect("a scratch folder");
        let first = scratch.job_folder(20 << 20).await.expect("there is room");
        let mut second = Box::pin(scratch.job_folder(20 << 20));
        assert!(futures::poll!(&mut second).is_pending(), "84 of 100 MB are taken");
        drop(first);
        let second = second.await.expect("there is room again");
        assert!(second.path().is_dir());
        drop(second);
        // A trailer that leaves no room for what is decoded from it runs alone.
        drop(scratch.job_folder(100 << 20).await.expect("it fits"));
        let error = scratch.job_folder((100 << 20) + 1).await.expect_err("it never fits");
        assert_eq!(error.kind(), jhalak_common::ErrorKind::InvalidInput);
        assert!(error.chain().contains("worker.scratch_mb"), "{}", error.chain());
    }
}
