//! The resources that the jobs of one worker share.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use jhalak_common::settings::{MEMORY, Settings};
use jhalak_common::store::{self, ObjectStore};
use jhalak_common::{Error, Result};
use tokio::sync::Mutex;

use super::training_inputs::TrainingInputs;
use crate::scratch::Scratch;
use jhalak_models::inference::Models;

/// Stores of trailers that are kept open.
const MAX_SOURCES: usize = 16;

/// The resources that the jobs of one worker share.
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

    /// Returns the store at `url`, which holds trailers: the worker's own or one that the setting
    /// worker.sources allows, opened once.
    ///
    /// # Errors
    /// Permission for any other location: a message must not open what the worker alone may read.
    pub(super) async fn source(&self, url: &str) -> Result<Arc<dyn ObjectStore>> {
        let own = self.store.url();
        if url == own {
            return Ok(self.store.clone());
        }
        // The settings name the hosts that may be read.
        let is_https = url.starts_with("https://");
        let is_allowed =
            is_https || [&own].into_iter().chain(&self.settings.worker.sources).any(|root| contains(root, url));
        // A message of a broker names no local file to a worker over S3; those of `jhalak run` are
        // its own.
        let is_foreign = own.starts_with("s3://") && !url.starts_with("s3://") && !is_https;
        if !is_allowed || (is_foreign && self.settings.queue != MEMORY) {
            return Err(Error::permission(format!(
                "the trailer is in {}, which this worker may not read: add the location of the dataset to worker.sources",
                url.escape_debug()
            )));
        }
        let mut sources = self.sources.lock().await;
        if let Some(source) = sources.get(url) {
            return Ok(source.clone());
        }
        let source = store::open_source(url, &self.settings).await?;
        if sources.len() >= MAX_SOURCES {
            sources.clear();
        }
        sources.insert(url.to_string(), source.clone());
        Ok(source)
    }
}

/// Whether the location `url` is `root` or lies below it. A location with `..` lies nowhere.
fn contains(root: &str, url: &str) -> bool {
    let path = |location: &str| location.strip_prefix("file://").unwrap_or(location).trim_end_matches('/').to_string();
    let (root, url) = (path(root), path(url));
    let rest = match url.strip_prefix(&root) {
        Some(rest) if !root.is_empty() => rest,
        _ => return false,
    };
    (rest.is_empty() || rest.starts_with('/')) && !url.split('/').any(|part| part == ".." || part == ".")
}

#[cfg(test)]
mod tests {
    use super::contains;

    #[test]
    fn a_source_contains_only_paths_below_it() {
        for (root, url) in [
            ("s3://films/dataset", "s3://films/dataset"),
            ("s3://films/dataset/", "s3://films/dataset/2026"),
            ("s3://films", "s3://films/dataset"),
            ("file:///data", "file:///data/films"),
            ("/data", "file:///data/films"),
        ] {
            assert!(contains(root, url), "{root} {url}");
        }
        for (root, url) in [
            ("s3://films/dataset", "s3://films/dataset2"),
            ("s3://films/dataset", "s3://films"),
            ("s3://films", "s3://films-of-others/x"),
            ("file:///data", "file:///data/../etc"),
            ("file:///data", "s3://data"),
            ("", "file:///etc"),
            ("/", "file:///etc"),
        ] {
            assert!(!contains(root, url), "{root} {url}");
        }
    }
}
