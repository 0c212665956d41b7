//! The jobs, one file each. A job loads its inputs, computes on threads for blocking work, and
//! commits its artifacts.

mod cell;
mod checkpoints;
mod context;
mod extract;
mod fit;
mod probe;
mod progress;
mod run_job;
mod training_inputs;

use std::sync::Arc;

use jhalak_common::run::job::{Job, Task};
use jhalak_common::{Error, Result};
use tokio_util::sync::CancellationToken;

pub use context::Context;
pub use extract::decode_limits;
pub use progress::JobProgress;
pub use run_job::RunJob;

/// Runs a job until each of its artifacts is committed, or `stop` is cancelled. Returns the number
/// of artifacts that it committed.
///
/// # Errors
/// Their kind decides: a transient one is tried again, Cancelled and Unable hand the job back,
/// every other one quarantines it unless this worker is found to be the cause.
pub async fn run(
    context: &Arc<Context>,
    job: &Job,
    progress: &Arc<JobProgress>,
    stop: CancellationToken,
) -> Result<usize> {
    if job.store != context.store.url() {
        return Err(Error::unable(format!(
            "the run is in {} and this worker writes to {}: start workers with the run's store",
            job.store,
            context.store.url()
        )));
    }
    // By another contract this worker would commit bytes that do not match the recipe.
    if let Some(recipe) = job.task.recipes().into_iter().find(|recipe| recipe.contract != recipe.kind.contract()) {
        return Err(Error::unable(format!(
            "the job requires contract {} of {} and this worker knows {}: start workers of the coordinator's version",
            recipe.contract,
            recipe.kind.name(),
            recipe.kind.contract()
        )));
    }
    match &job.task {
        Task::Extract(task) => extract::run(context, task, progress, stop).await,
        Task::Cell(task) => cell::run(context, task, progress, stop).await,
        Task::Fit(task) => fit::run(context, task, progress, stop).await,
        Task::Probe(task) => probe::run(context, task).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jhalak_common::ErrorKind;
    use jhalak_common::artifact::{self, ArtifactKind, Recipe, Subject};
    use jhalak_common::queue::WorkKind;
    use jhalak_common::run::job::{ExtractTask, ProbeTask, Trailer};
    use jhalak_common::settings::Settings;
    use jhalak_common::store::local::LocalStore;
    use jhalak_common::{hash, store::ObjectStore};
    use serde_json::json;

    /// A context without models whose store is empty; the folder holds both store and scratch
    /// space.
    fn context() -> (tempfile::TempDir, Arc<Context>) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut settings = Settings::default();
        settings.worker.scratch = folder.path().join("scratch");
        let store = LocalStore::open(folder.path().join("store")).expect("a folder");
        let context = Context::new(Arc::new(store), settings, None).expect("no model is needed");
        (folder, Arc::new(context))
    }

    fn subject() -> Subject {
        Subject { id: "one".into(), content: hash::of_bytes(b"one") }
    }

    fn job(context: &Context, task: Task) -> Job {
        Job::new("one", "run", context.store.url(), task)
    }

    fn probe(recipe: Recipe) -> Task {
        Task::Probe(ProbeTask { workers: WorkKind::Train, subject: subject(), recipe: Some(recipe) })
    }

    async fn run_now(context: &Arc<Context>, job: &Job) -> Result<usize> {
        run(context, job, &Arc::new(JobProgress::new()), CancellationToken::new()).await
    }

    #[tokio::test]
    async fn a_job_with_an_unknown_contract_is_left_to_other_workers() {
        let (_folder, context) = context();
        let probe =
            |contract: u32| probe(Recipe { contract, ..Recipe::new(ArtifactKind::Probe, json!({})).expect("JSON") });
        let known = ArtifactKind::Probe.contract();
        let error = run_now(&context, &job(&context, probe(known + 1))).await.expect_err("a newer contract");
        assert_eq!(error.kind(), ErrorKind::Unable, "another worker may know it");
        assert!(error.to_string().contains("the coordinator's version"), "{error}");
        assert_eq!(run_now(&context, &job(&context, probe(known))).await.expect("its own"), 1);
    }

    #[tokio::test]
    async fn a_job_of_another_store_is_left_to_other_workers() {
        let (_folder, context) = context();
        let recipe = Recipe::new(ArtifactKind::Probe, json!({})).expect("JSON");
        let job = Job { store: "s3://other".into(), ..job(&context, probe(recipe)) };
        let error = run_now(&context, &job).await.expect_err("another store");
        assert_eq!(error.kind(), ErrorKind::Unable);
        assert!(error.to_string().contains("s3://other"), "{error}");
    }

    #[tokio::test]
    async fn a_committed_artifact_is_neither_decoded_nor_committed_again() {
        let (_folder, context) = context();
        let scenes = Recipe::new(ArtifactKind::Scenes, json!({})).expect("JSON");
        // The trailer does not exist: a job that downloads it fails.
        let trailer =
            Trailer { subject: subject(), store: context.store.url(), key: "absent.mp4".into(), size: 1, tag: None };
        let job = job(&context, Task::Extract(ExtractTask { trailer, wanted: vec![scenes.clone()] }));
        assert_eq!(run_now(&context, &job).await.expect_err("no trailer").kind(), ErrorKind::NotFound);
        let store: &dyn ObjectStore = context.store.as_ref();
        artifact::commit(store, &scenes, &subject(), Vec::new(), json!({})).await.expect("committed");
        assert_eq!(run_now(&context, &job).await.expect("nothing is missing"), 0);
    }
}
