//! States of interrupted trainings, in the store: `checkpoints/RECIPE/ID@CONTENT/STAGE.safetensors`.
//!
//! They lie outside of the artifacts: a fold's result is the same with or without them, and they go when it is committed. Whichever worker
//! takes the job again goes on from there. A store that fails costs the state, never the job.

use std::sync::Arc;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::TryStreamExt;
use jhalak_common::artifact::ArtifactKey;
use jhalak_common::store::ObjectStore;
use jhalak_common::{ErrorKind, Result};
use tokio::runtime::Handle;

use jhalak_nn::Resume;

/// The states of one fold's trainings.
pub(super) struct Checkpoints {
    store: Arc<dyn ObjectStore>,
    runtime: Handle,
    folder: String,
    every: Duration,
    last: Mutex<Instant>,
}

impl Checkpoints {
    /// Of the fold whose result goes to `key`. A state is kept when `every` has passed since the last one.
    ///
    /// # Panics
    /// Outside of an asynchronous runtime.
    pub(super) fn new(store: Arc<dyn ObjectStore>, key: &ArtifactKey, every: Duration) -> Self {
        let folder = key.checkpoint_folder();
        Checkpoints { store, runtime: Handle::current(), folder, every, last: Mutex::new(Instant::now()) }
    }

    fn object(&self, stage: &str) -> String {
        format!("{}/{stage}.safetensors", self.folder)
    }

    /// Removes every state of the fold.
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
            tracing::warn!(prefix, %error, "states of a finished training stay in the store");
        }
    }
}

impl Resume for Checkpoints {
    fn load(&self, stage: &str) -> Option<Vec<u8>> {
        let key = self.object(stage);
        match self.runtime.block_on(self.store.get(&key)) {
            Ok(bytes) => Some(bytes.into()),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => {
                tracing::warn!(key, %error, "the state of an interrupted training cannot be read: starting again");
                None
            }
        }
    }

    fn due(&self) -> bool {
        self.last.lock().is_ok_and(|last| last.elapsed() >= self.every)
    }

    fn keep(&self, stage: &str, state: Vec<u8>) {
        let key = self.object(stage);
        if let Err(error) = self.runtime.block_on(self.store.put(&key, Bytes::from(state))) {
            tracing::warn!(key, %error, "the state of a training was not kept");
        }
        if let Ok(mut last) = self.last.lock() {
            *last = Instant::now();
        }
    }
}
