//! What the jobs of one worker share.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use jhalak_common::settings::Settings;
use jhalak_common::store::{self, ObjectStore};
use jhalak_common::{Error, Result};
use tokio::sync::Mutex;

use super::training_inputs::TrainingInputs;
use crate::scratch::Scratch;
use jhalak_models::inference::Models;

/// What the jobs of one worker share.
pub struct Context {
    /// The store of the artifacts.
    pub store: Arc<dyn ObjectStore>,
    /// The settings.
    pub settings: Settings,
    /// The models, each loaded at its first use. None in a worker that takes no extraction jobs.
    pub models: Option<Models>,
    /// The worker's scratch space.
    pub scratch: Scratch,
    /// The program that decodes when started as `decode-child`: this one.
    pub program: PathBuf,
    /// The dataset and the tables that training jobs read last.
    pub(super) training_inputs: TrainingInputs,
    /// Stores that hold trailers, by URL.
    sources: Mutex<BTreeMap<String, Arc<dyn ObjectStore>>>,
}

impl Context {
    /// Creates the scratch folder that `settings` names, and the context around it.
    pub fn new(store: Arc<dyn ObjectStore>, settings: Settings, models: Option<Models>) -> Result<Self> {
        let scratch = Scratch::create(&settings.worker.scratch, settings.worker.scratch_mb)?;
        let program = std::env::current_exe().map_err(|e| Error::from(e).context("the path of this program"))?;
        Ok(Context {
            store,
            settings,
            models,
            scratch,
            program,
            training_inputs: TrainingInputs::default(),
            sources: Mutex::default(),
        })
    }

    /// Returns the store at `url`, which holds trailers: the worker's own or another, opened once.
    pub(super) async fn source(&self, url: &str) -> Result<Arc<dyn ObjectStore>> {
        if url == self.store.url() {
            return Ok(self.store.clone());
        }
        let mut sources = self.sources.lock().await;
        if let Some(source) = sources.get(url) {
            return Ok(source.clone());
        }
        let source = store::open(url, &self.settings.s3).await?;
        sources.insert(url.to_string(), source.clone());
        Ok(source)
    }
}
