//! Trailers that visitors bring: extracted by the run's recipes into a store of their own, which is
//! removed with the server.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt;
use jhalak_common::artifact::{ArtifactKey, Recipe, Subject};
use jhalak_common::models::Registry;
use jhalak_common::run::job::{ExtractTask, Job, Task, Trailer};
use jhalak_common::settings::Settings;
use jhalak_common::store::ObjectStore;
use jhalak_common::store::local::LocalStore;
use jhalak_common::{Error, Result, hash};
use jhalak_worker::blocking;
use jhalak_worker::inference::Models;
use jhalak_worker::jobs::{self, Context, JobProgress};
use tokio::fs::File;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

/// Uploads whose artifacts are held.
const MAX_HELD: usize = 20;

/// The workshop for uploads: a store in a temporary folder, and the models.
pub struct Uploads {
    context: Arc<Context>,
    store: Arc<LocalStore>,
    folder: tempfile::TempDir,
    held: Mutex<VecDeque<Upload>>,
}

/// An extracted upload.
#[derive(Clone)]
pub struct Upload {
    /// Its id and content.
    pub subject: Subject,
    /// The recipes of its artifacts.
    pub recipes: Vec<Recipe>,
}

impl Uploads {
    /// Creates the store and opens ONNX Runtime; models are loaded when first used.
    ///
    /// # Errors
    /// InvalidInput, with the path, where ONNX Runtime is missing.
    pub async fn open(settings: &Settings) -> Result<Uploads> {
        let folder = tempfile::tempdir()?;
        let store = Arc::new(LocalStore::open(folder.path().join("store"))?);
        let (own, of_worker) = (settings.clone(), settings.clone());
        let models =
            blocking::compute(move || Models::open(&own, Registry::load(own.models.registry.as_deref())?)).await?;
        let context = Arc::new(Context::new(store.clone(), of_worker, Some(models))?);
        Ok(Uploads { context, store, folder, held: Mutex::default() })
    }

    /// The store of the artifacts.
    pub fn store(&self) -> &dyn ObjectStore {
        self.store.as_ref()
    }

    /// Creates the file that an upload is written to; removed when dropped.
    pub async fn file(&self) -> Result<(File, tempfile::TempPath)> {
        let path = tempfile::NamedTempFile::new_in(self.folder.path())?.into_temp_path();
        Ok((File::create(&path).await?, path))
    }

    /// Extracts an uploaded file by these recipes. The decoder runs in its sandbox; the decode ends
    /// when the future is dropped.
    ///
    /// # Errors
    /// InvalidInput with the decoder's output for a file that is not a video.
    pub async fn extract(&self, run: &str, path: tempfile::TempPath, recipes: &[Recipe]) -> Result<Upload> {
        let (content, size) = hash::of_file(path.to_path_buf()).await?;
        let subject = Subject { id: format!("upload-{}", content.short()), content };
        let key = format!("uploads/{}", subject.id);
        self.store.upload(&key, &path).await?;
        let trailer = Trailer { subject: subject.clone(), store: self.store.url(), key: key.clone(), size, tag: None };
        let task = Task::Extract(ExtractTask { trailer, wanted: recipes.to_vec() });
        let job = Job::new(&subject.id, run, self.store.url(), task);
        let limit = Duration::from_millis(self.context.settings.worker.job_limit_ms);
        let stop = CancellationToken::new();
        let _stopped_when_dropped = stop.clone().drop_guard();
        let progress = Arc::new(JobProgress::new());
        let ran = jobs::run(&self.context, &job, &progress, stop.clone());
        let ended = tokio::time::timeout(limit, ran).await;
        self.store.delete(&key).await?;
        ended.map_err(|_| Error::invalid(format!("it took more than {} s", limit.as_secs())))??;
        let upload = Upload { subject, recipes: recipes.to_vec() };
        self.hold(upload.clone()).await?;
        Ok(upload)
    }

    /// Returns an upload that is still held.
    pub async fn find(&self, id: &str) -> Option<Upload> {
        self.held.lock().await.iter().find(|upload| upload.subject.id == id).cloned()
    }

    /// Holds an upload and removes the artifacts of the oldest one.
    async fn hold(&self, upload: Upload) -> Result<()> {
        let mut held = self.held.lock().await;
        held.retain(|other| other.subject != upload.subject);
        held.push_back(upload);
        if held.len() <= MAX_HELD {
            return Ok(());
        }
        let Some(oldest) = held.pop_front() else { return Ok(()) };
        for recipe in &oldest.recipes {
            let folder = ArtifactKey::new(recipe, &oldest.subject).folder();
            let keys: Vec<String> = self.store.list(&folder).map_ok(|object| object.key).try_collect().await?;
            for key in keys {
                self.store.delete(&key).await?;
            }
        }
        Ok(())
    }
}
