//! The jobs, one file each: load, compute off the async threads, commit.

mod cell;
mod checkpoints;
mod extract;
mod fit;
mod probe;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use jhalak_common::run::job::{Job, Task};
use jhalak_common::settings::Settings;
use jhalak_common::store::{self, ObjectStore};
use jhalak_common::{Error, Result};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use crate::scratch::Scratch;
use jhalak_models::inference::Models;

/// What a job did, for the job's result and the log.
#[derive(Debug, Default)]
pub struct JobStats {
    /// Artifacts that this job committed.
    pub committed: usize,
    /// Seconds of each step, by the step's name.
    pub seconds: BTreeMap<String, f64>,
}

/// What the jobs of one worker share.
pub struct Context {
    /// Where artifacts are kept.
    pub store: Arc<dyn ObjectStore>,
    /// The settings.
    pub settings: Settings,
    /// The models, loaded when first used. None in a worker that takes no extraction jobs.
    pub models: Option<Models>,
    /// Room for files.
    pub scratch: Scratch,
    /// The program that decodes when started as `decode-child`: this one.
    pub program: PathBuf,
    /// Datasets and tables that training jobs have read.
    pub inputs: cell::Inputs,
    /// Stores that trailers are fetched from, by URL.
    sources: Mutex<BTreeMap<String, Arc<dyn ObjectStore>>>,
}

impl Context {
    /// Opens what jobs need.
    pub fn new(store: Arc<dyn ObjectStore>, settings: Settings, models: Option<Models>) -> Result<Self> {
        let scratch = Scratch::create(&settings.worker.scratch, settings.worker.scratch_mb)?;
        let program = std::env::current_exe().map_err(|e| Error::from(e).context("the path of this program"))?;
        Ok(Context {
            store,
            settings,
            models,
            scratch,
            program,
            inputs: cell::Inputs::default(),
            sources: Mutex::default(),
        })
    }

    /// The store at `url`: the worker's own, or another that trailers lie in.
    async fn source(&self, url: &str) -> Result<Arc<dyn ObjectStore>> {
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

/// Runs a job to the point where every artifact of it is committed.
///
/// # Errors
/// Their kind decides: transient ones are tried again, Cancelled hands the job back, every other one quarantines it.
pub async fn run(context: &Arc<Context>, job: &Job, cut: CancellationToken) -> Result<JobStats> {
    if job.store != context.store.url() {
        return Err(Error::transient(format!(
            "the run lives in {} and this worker writes to {}: start workers with the run's store",
            job.store,
            context.store.url()
        )));
    }
    // A worker of another version would commit other bytes than the recipe stands for.
    if let Some(recipe) = job.task.recipes().into_iter().find(|recipe| recipe.contract != recipe.kind.contract()) {
        return Err(Error::transient(format!(
            "the job asks for contract {} of {} and this worker knows {}: start workers of the coordinator's version",
            recipe.contract,
            recipe.kind.name(),
            recipe.kind.contract()
        )));
    }
    match &job.task {
        Task::Extract(task) => extract::run(context, task, cut).await,
        Task::Cell(task) => cell::run(context, task, cut).await,
        Task::Fit(task) => fit::run(context, task, cut).await,
        Task::Probe(task) => probe::run(context, task).await,
    }
}

/// Adds up the seconds of a job's steps.
struct Clock(Instant);

impl Clock {
    fn start() -> Self {
        Clock(Instant::now())
    }

    /// Notes the time since the last note under `step`.
    fn note(&mut self, done: &mut JobStats, step: &str) {
        let now = Instant::now();
        *done.seconds.entry(step.to_string()).or_default() += (now - self.0).as_secs_f64();
        self.0 = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jhalak_common::ErrorKind;
    use jhalak_common::artifact::{ArtifactKind, Recipe, Subject};
    use jhalak_common::hash;
    use jhalak_common::queue::WorkKind;
    use jhalak_common::run::job::{MESSAGE_VERSION, ProbeTask};

    #[tokio::test]
    async fn a_worker_makes_nothing_by_a_contract_that_it_does_not_know() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut settings = Settings::default();
        settings.worker.scratch = folder.path().join("scratch");
        let place = folder.path().join("store").display().to_string();
        let store = store::open(&place, &settings.s3).await.expect("a folder");
        let context = Arc::new(Context::new(store.clone(), settings, None).expect("no model is needed"));
        let job = |contract: u32| {
            let recipe = Recipe { contract, ..Recipe::new(ArtifactKind::Probe, serde_json::json!({})).expect("JSON") };
            let subject = Subject { id: "one".into(), content: hash::of_bytes(b"one") };
            let task = Task::Probe(ProbeTask { workers: WorkKind::Train, subject, recipe: Some(recipe) });
            Job { version: MESSAGE_VERSION, id: "one".into(), run: "run".into(), store: store.url(), attempt: 0, task }
        };
        let known = ArtifactKind::Probe.contract();
        let error = run(&context, &job(known + 1), CancellationToken::new()).await.expect_err("a newer contract");
        assert_eq!(error.kind(), ErrorKind::Transient, "another worker may know it");
        assert!(error.to_string().contains("the coordinator's version"), "{error}");
        assert_eq!(run(&context, &job(known), CancellationToken::new()).await.expect("its own").committed, 1);
    }
}
