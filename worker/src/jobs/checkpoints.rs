//! Checkpoints of trainings, in the store: `checkpoints/KIND/RECIPE/ID@CONTENT/STAGE.safetensors`.
//!
//! They are not artifacts: a fold's result is the same with and without them, and they are removed
//! when it is committed. Any worker that takes the job again resumes from them. A failing store
//! costs the checkpoint, never the job.

use std::sync::Arc;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::TryStreamExt;
use jhalak_common::artifact::ArtifactKey;
use jhalak_common::store::ObjectStore;
use jhalak_common::telemetry::list::CHECKPOINT_WRITES;
use jhalak_common::{ErrorKind, Result};
use tokio::runtime::Handle;

use jhalak_nn::CheckpointStore;

use super::progress::JobProgress;

/// The checkpoints of one fold's trainings.
pub(super) struct Checkpoints {
    store: Arc<dyn ObjectStore>,
    runtime: Handle,
    folder: String,
    interval: Duration,
    last: Mutex<Instant>,
    progress: Arc<JobProgress>,
}

impl Checkpoints {
    /// Checkpoints of the fold whose result is committed at `key`. A new one is due `interval`
    /// after the last one. Notes in `progress` that one was written.
    ///
    /// # Panics
    /// Outside of an async runtime.
    pub(super) fn new(
        store: Arc<dyn ObjectStore>,
        key: &ArtifactKey,
        interval: Duration,
        progress: Arc<JobProgress>,
    ) -> Self {
        let folder = key.checkpoint_folder();
        Checkpoints { store, runtime: Handle::current(), folder, interval, last: Mutex::new(Instant::now()), progress }
    }

    fn key(&self, stage: &str) -> String {
        format!("{}/{stage}.safetensors", self.folder)
    }

    /// Removes all checkpoints of the fold.
    pub(super) async fn remove(&self) {
        let prefix = format!("{}/", self.folder);
        let removed: Result<()> = async {
            let found: Vec<_> = self.store.list(&prefix).try_collect().await?;
            for object in found {
                self.store.delete(&object.key).await?;
            }
            Ok(())
        }
        .await;
        if let Err(error) = removed {
            tracing::warn!(prefix, %error, "cannot remove the checkpoints of a finished training");
        }
    }
}

impl CheckpointStore for Checkpoints {
    fn load(&self, stage: &str) -> Option<Vec<u8>> {
        let key = self.key(stage);
        match self.runtime.block_on(self.store.get(&key)) {
            Ok(bytes) => Some(bytes.into()),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => {
                tracing::warn!(key, %error, "cannot read the checkpoint of an interrupted training: training from the start");
                None
            }
        }
    }

    fn due(&self) -> bool {
        self.progress.takes_save_request() || self.last.lock().is_ok_and(|last| last.elapsed() >= self.interval)
    }

    fn keep(&self, stage: &str, state: Vec<u8>) {
        let key = self.key(stage);
        match self.runtime.block_on(self.store.put(&key, Bytes::from(state))) {
            Ok(()) => {
                CHECKPOINT_WRITES.increment(&["ok"]);
                self.progress.note_saved();
            }
            Err(error) => {
                CHECKPOINT_WRITES.increment(&["failed"]);
                tracing::warn!(key, %error, "cannot write a checkpoint");
            }
        }
        if let Ok(mut last) = self.last.lock() {
            *last = Instant::now();
        }
    }
}
