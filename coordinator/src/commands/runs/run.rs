//! `jhalak run`: everything in one process.

use std::collections::BTreeSet;
use std::sync::Arc;

use clap::Args;
use jhalak_common::models::Registry;
use jhalak_common::process::shutdown;
use jhalak_common::queue::{self, Queue, WorkKind};
use jhalak_common::settings::Settings;
use jhalak_common::store::{self, ObjectStore};
use jhalak_common::telemetry::metric::Program;
use jhalak_common::telemetry::server;
use jhalak_common::{Error, Result};
use jhalak_worker::detect::trial;
use jhalak_worker::inference::Models;
use jhalak_worker::job_loop::Worker;
use jhalak_worker::jobs::Context;
use tokio_util::sync::CancellationToken;

use super::outcome;
use super::report::add_measures;
use crate::commands::args::{DatasetArgs, GridArgs, ResumeArgs, ToleranceArgs};
use crate::commands::models::first_use;
use crate::console::output::Output;
use crate::console::progress::Progress;
use crate::plan::dataset_source::Source;
use crate::plan::{self, Plan, Request, grid};
use crate::run::gauges::{self, Leading};
use crate::run::priority::Priority;
use crate::run::remaining;
use crate::run::{RunDriver, RunOutcome};

/// Run the whole pipeline in this process, without servers
///
/// Extracts keyframes and sound, computes embeddings, evaluates models, fits the final model and writes the report.
/// An interrupted run resumes when the same command is started again: committed artifacts are not made twice.
#[derive(Args)]
#[command(after_help = "Examples:
  # Run the demo with its settings
  jhalak run --dataset .local/demo/dataset --config demo/jhalak.toml
  # Print the result as JSON, without progress output
  jhalak run --dataset .local/demo/dataset --config demo/jhalak.toml --json -q")]
pub struct Run {
    #[command(flatten)]
    dataset: DatasetArgs,
    #[command(flatten)]
    grid: GridArgs,
    #[command(flatten)]
    resume: ResumeArgs,
    #[command(flatten)]
    tolerance: ToleranceArgs,
}

impl Run {
    pub(in crate::commands) async fn execute(self, settings: Settings, output: Output) -> Result<u8> {
        let settings = self.grid.apply(settings);
        let source = self.dataset.read(&settings).await?;
        let folds = self.grid.folds(&source.reading.dataset, &output)?;
        let given = self.grid.given(&source.reading.dataset, &output)?;
        let request = Request { folds: folds.as_ref(), given: &given, ..Request::default() };
        let allow_quarantined = self.tolerance.allow_quarantined;
        in_this_process(source, settings, request, self.resume.resume, allow_quarantined, &output).await
    }
}

/// Drives the run of a dataset to its end in this process, and prints its outcome. `allow_quarantined`: see
/// [`ToleranceArgs`].
pub(in crate::commands) async fn in_this_process(
    mut source: Source,
    settings: Settings,
    request: Request<'_>,
    resume: bool,
    allow_quarantined: bool,
    output: &Output,
) -> Result<u8> {
    let stop = shutdown::on_signal()?;
    crate::commands::probe::take_those_that_open(&mut source, &stop, &settings).await?;
    crate::commands::dataset::report_rejects(&source.reading, output);
    let store = store::open(&settings.store, &settings.s3).await?;
    let draft = plan::draft(store.as_ref(), &source, &settings, request, None).await?;
    if let Some(reason) = grid::why_no_ensemble(&draft.plan.spec, source.reading.dataset.ratings.len()) {
        output.progress.say(&format!("without the ensemble: {reason}"));
    }
    let queue = queue::open("memory:", &settings.rabbitmq).await?;
    if !draft.plan.trailers.trailers.is_empty() {
        first_use::fetch_missing(&settings, &first_use::of_settings(&settings)?, output).await?;
    }
    // Checked before anything is planned: a failed start leaves no run behind.
    let worker = checked_worker(&draft.plan, store.clone(), queue.clone(), &settings, &output.progress).await?;
    let reading = source.into_reading();
    let (plan, _) = plan::freeze(store.as_ref(), draft).await?;
    output.progress.say(&format!("run {} in {}", plan.spec.id, store.url()));
    gauges::note_settings(&settings);
    let listen = settings.telemetry.listen.as_deref().unwrap_or("off");
    let observed = worker.clone();
    let _server = server::serve(Some(listen), Program::Both, move || observed.observe()).await?;
    let stop_worker = CancellationToken::new();
    let mut working = tokio::spawn({
        let stop_worker = stop_worker.clone();
        async move { worker.run(&WorkKind::ALL, stop_worker).await }
    });
    let kept = store.clone();
    let driver = RunDriver {
        plan: &plan,
        reading: &reading,
        store,
        queue: queue.clone(),
        settings: &settings,
        progress: &output.progress,
        stop: &stop,
        wait: true,
        priority: Priority::default(),
        resume,
        reprocess: None,
        leading: Leading::default(),
    };
    let panicked = |e| Error::bug("the worker panicked").with_source(e);
    let code = tokio::select! {
        ended = driver.run() => {
            let ended = match ended {
                Ok(ended) => Ok(measured(ended, &plan, &settings, kept.as_ref(), &stop, &output.progress).await),
                failed => failed,
            };
            // Reported before the worker stops: its errors must not hide the outcome of the run.
            let code = ended.and_then(|ended| outcome::print(ended, &plan, true, allow_quarantined, output));
            stop_worker.cancel();
            let worked = working.await.map_err(panicked)?;
            let code = code?;
            worked?;
            code
        }
        ended = &mut working => {
            ended.map_err(panicked)?.map_err(|e| e.context(format!(
                "the run {} stopped: repeat the command to resume it", plan.spec.id
            )))?;
            return Err(Error::bug("the worker ended before its work"));
        }
    };
    queue.close().await;
    Ok(code)
}

/// Adds the measures of the settings to the report of a run that has ended. The run's end does not depend on them.
async fn measured(
    mut ended: RunOutcome,
    plan: &Plan,
    settings: &Settings,
    store: &dyn ObjectStore,
    stop: &CancellationToken,
    progress: &Progress,
) -> RunOutcome {
    let RunOutcome::Finished(finished) = &mut ended else { return ended };
    let wanted = &settings.report.measures;
    if finished.report.dataset.ratings > settings.evaluate.ensemble_ratings as u64 {
        return ended;
    }
    if let Err(error) = add_measures(&mut finished.report, wanted, store, plan, stop, progress).await {
        let (run, names) = (&plan.spec.id, wanted.iter().map(|measure| measure.name()).collect::<Vec<_>>().join(","));
        progress.warn(&format!("{}: `jhalak report {run} --measures {names}` adds what is missing", error.chain()));
    }
    ended
}

/// Returns the worker of this process after its checks: ONNX Runtime, its provider, the models, the scratch folder, and
/// that the store takes writes.
async fn checked_worker(
    plan: &Plan,
    store: Arc<dyn ObjectStore>,
    queue: Arc<dyn Queue>,
    settings: &Settings,
    progress: &Progress,
) -> Result<Arc<Worker>> {
    let models = checked_models(plan, store.as_ref(), settings, progress).await?;
    let mut of_worker = settings.clone();
    let sources: BTreeSet<String> = plan.trailers.trailers.iter().map(|trailer| trailer.store.clone()).collect();
    of_worker.worker.sources.extend(sources);
    let context = Arc::new(Context::new(store, of_worker, models)?);
    let worker = Arc::new(Worker::new(queue, context, settings)?);
    worker.check().await?;
    Ok(worker)
}

/// Loads and tries the models that the run needs. None if no trailer lacks an artifact and they cannot be loaded.
async fn checked_models(
    plan: &Plan,
    store: &dyn ObjectStore,
    settings: &Settings,
    progress: &Progress,
) -> Result<Option<Models>> {
    // A missing provider is an error even if nothing is to embed.
    let on_processor = settings.inference.provider.is_cpu();
    if plan.trailers.trailers.is_empty() && on_processor {
        return Ok(None);
    }
    let load = || {
        let models = Models::open(settings, Registry::load(settings.models.registry.as_deref())?)?;
        if !plan.trailers.trailers.is_empty() {
            trial::try_chosen(&models, settings)?;
        }
        Ok(models)
    };
    match tokio::task::block_in_place(load) {
        Ok(models) => Ok(Some(models)),
        Err(error) if on_processor => {
            let remaining = remaining::extraction(store, plan, &BTreeSet::new()).await?;
            if remaining.missing.iter().any(|missing| *missing != 0) {
                return Err(error);
            }
            progress.say(&format!("every trailer is extracted, so the run needs no models: {}", error.chain()));
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
