//! Scratch space: one folder for each worker process, removed at its end. The next worker removes
//! the folder of a killed one.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use jhalak_common::telemetry::list::{SCRATCH, SCRATCH_LIMIT, SCRATCH_WAIT};
use jhalak_common::{Error, ErrorKind, Result, free_space};
use rustix::fs::{FlockOperation, flock};
use tempfile::TempDir;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

const PREFIX: &str = "jhalak-worker-";
const LOCK: &str = "lock";

/// Reserved for each job in addition to its trailer, in MB (2^20 bytes): keyframes, and sound at 64
/// kB a second.
pub const OUTPUT_MB: u64 = 64;

/// Bytes that [`Scratch::check`] writes.
const CHECK_BYTES: usize = 1 << 20;

/// A worker's own scratch folder. The lock file inside shows other workers that its owner is alive.
#[derive(Debug)]
pub struct Scratch {
    folder: TempDir,
    _lock: File,
    /// MB (2^20 bytes) that no job has reserved.
    free_mb: Arc<Semaphore>,
    total_mb: u32,
}

/// A job's own folder and its reserved space, both released when dropped.
#[derive(Debug)]
pub struct JobFolder {
    folder: TempDir,
    _reserved: OwnedSemaphorePermit,
}

impl JobFolder {
    /// The folder's path.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}

impl Scratch {
    /// Creates this process's folder below `root`, with space for `total_mb` MB, and removes
    /// folders whose owners died.
    pub fn create(root: &Path, total_mb: u32) -> Result<Scratch> {
        let named = |e: std::io::Error| {
            Error::from(e).context(format!("the scratch folder {} (setting worker.scratch)", root.display()))
        };
        fs::create_dir_all(root).map_err(named)?;
        remove_abandoned(root).map_err(named)?;
        let folder = tempfile::Builder::new().prefix(PREFIX).tempdir_in(root).map_err(named)?;
        let lock = File::create(folder.path().join(LOCK)).map_err(named)?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|e| named(e.into()))?;
        Ok(Scratch { folder, _lock: lock, free_mb: Arc::new(Semaphore::new(total_mb as usize)), total_mb })
    }

    /// Creates an empty folder for one job on a trailer of `trailer_bytes`. Waits until there is
    /// space for it.
    ///
    /// # Errors
    /// InvalidInput for a trailer that is larger than all of the scratch space.
    pub async fn job_folder(&self, trailer_bytes: u64) -> Result<JobFolder> {
        let trailer_mb = trailer_bytes.div_ceil(1 << 20);
        if trailer_mb > u64::from(self.total_mb) {
            return Err(Error::invalid(format!(
                "the trailer of {trailer_mb} MB does not fit in the worker's scratch space of {} MB: raise worker.scratch_mb",
                self.total_mb
            )));
        }
        let wanted = u32::try_from(trailer_mb + OUTPUT_MB).unwrap_or(u32::MAX).min(self.total_mb);
        let began = Instant::now();
        let reserved = self.free_mb.clone().acquire_many_owned(wanted).await;
        SCRATCH_WAIT.observe(&[], began.elapsed().as_secs_f64());
        let reserved = reserved.map_err(|e| Error::bug("the scratch space was closed").with_source(e))?;
        let folder =
            tempfile::Builder::new().prefix("job-").tempdir_in(self.folder.path()).map_err(|e| self.unable(e))?;
        Ok(JobFolder { folder, _reserved: reserved })
    }

    /// Checks that files can be written to the scratch folder.
    ///
    /// # Errors
    /// StorageFull when there is no room for a megabyte, else Unable.
    pub async fn check(&self) -> Result<()> {
        let folder = self.folder.path().to_path_buf();
        let probed = tokio::task::spawn_blocking(move || {
            let mut file = tempfile::Builder::new().prefix("check-").tempfile_in(folder)?;
            file.write_all(&vec![0; CHECK_BYTES])
        });
        let probed = probed.await.map_err(|e| Error::bug("the check of the scratch folder panicked").with_source(e))?;
        probed.map_err(|e| self.unable(e))
    }

    /// The error of a worker whose scratch folder does not work.
    fn unable(&self, error: std::io::Error) -> Error {
        let error = Error::from(error);
        if error.kind() == ErrorKind::StorageFull {
            return self.explain_full(error, CHECK_BYTES as u64);
        }
        let folder = self.folder.path().display();
        Error::unable(format!(
            "the scratch folder {folder} cannot be written ({error}): set worker.scratch to a folder that no other \
             program cleans up"
        ))
    }

    /// Adds to the error of a job whose scratch folder is full how much is free, and that `needed`
    /// bytes are needed. Returns every other error as it is.
    pub fn explain_full(&self, error: Error, needed: u64) -> Error {
        if error.kind() != ErrorKind::StorageFull {
            return error;
        }
        let folder = self.folder.path();
        let error = error.context(format!("the scratch folder {} (setting worker.scratch) is full", folder.display()));
        free_space::explain(error, folder, needed)
    }

    /// Sets the gauges of scratch space.
    pub(crate) fn observe(&self) {
        let mb = f64::from(1 << 20);
        let reserved = (self.total_mb as usize).saturating_sub(self.free_mb.available_permits());
        SCRATCH.set(&[], reserved as f64 * mb);
        SCRATCH_LIMIT.set(&[], f64::from(self.total_mb) * mb);
    }

    /// The folder's path.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}

fn remove_abandoned(root: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(root)? {
        let path: PathBuf = entry?.path();
        let is_workers = path.file_name().and_then(|n| n.to_str()).is_some_and(|n| n.starts_with(PREFIX));
        // Leave a folder without a lock: its owner is creating it right now, or died in that
        // moment.
        let Some(lock) = is_workers.then(|| File::open(path.join(LOCK)).ok()).flatten() else { continue };
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok() {
            match fs::remove_dir_all(&path) {
                Ok(()) => tracing::info!(folder = %path.display(), "removed the scratch folder of a worker that died"),
                Err(e) => {
                    tracing::warn!(folder = %path.display(), error = %e, "cannot remove the scratch folder of a worker that died")
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
    fn the_folder_of_a_dead_worker_is_removed_and_that_of_a_living_one_stays() {
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
    async fn a_scratch_folder_that_was_removed_is_the_machines_fault() {
        let root = tempfile::tempdir().expect("a temporary folder");
        let scratch = Scratch::create(root.path(), 100).expect("a scratch folder");
        scratch.check().await.expect("a folder that can be written");
        fs::remove_dir_all(scratch.path()).expect("a folder");
        assert_eq!(scratch.check().await.expect_err("it is gone").kind(), ErrorKind::Unable);
        let error = scratch.job_folder(1).await.expect_err("it is gone");
        assert!(error.kind() == ErrorKind::Unable && error.chain().contains("worker.scratch"), "{}", error.chain());
    }

    #[tokio::test]
    async fn jobs_wait_for_scratch_space_and_a_trailer_that_never_fits_is_refused() {
        let root = tempfile::tempdir().expect("a temporary folder");
        let scratch = Scratch::create(root.path(), 100).expect("a scratch folder");
        let first = scratch.job_folder(20 << 20).await.expect("there is space");
        let mut second = Box::pin(scratch.job_folder(20 << 20));
        assert!(futures::poll!(&mut second).is_pending(), "84 of 100 MB are taken");
        drop(first);
        let second = second.await.expect("there is space again");
        assert!(second.path().is_dir());
        drop(second);
        // A trailer that leaves no space for its decoded output runs alone.
        drop(scratch.job_folder(100 << 20).await.expect("it fits"));
        let error = scratch.job_folder((100 << 20) + 1).await.expect_err("it never fits");
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.chain().contains("worker.scratch_mb"), "{}", error.chain());
    }
}
