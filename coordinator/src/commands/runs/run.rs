//! `jhalak run`: everything in one process.

use std::collections::BTreeSet;
use std::sync::Arc;

use clap::Args;
use jhalak_common::models::Registry;
use jhalak_common::process::shutdown;
use jhalak_common::queue::{self, WorkKind};
use jhalak_common::settings::Settings;
use jhalak_common::{Error, Result, store};
use jhalak_worker::inference::Models;
use jhalak_worker::job_loop::Worker;
use jhalak_worker::jobs::Context;
use tokio_util::sync::CancellationToken;

use super::outcome;
use crate::commands::args::{DatasetArgs, GridArgs, ResumeArgs};
use crate::console::output::Output;
use crate::plan::{self, Request, dataset_source};
use crate::run::RunDriver;
use crate::run::dispatch::Priority;

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
}

impl Run {
    pub(in crate::commands) async fn execute(self, settings: Settings, output: Output) -> Result<u8> {
        let settings = self.grid.apply(settings);
        let stop = shutdown::on_signal()?;
        let source = dataset_source::read(&self.dataset.dataset, self.dataset.movies.as_deref(), &settings).await?;
        crate::commands::dataset::report_rejects(&source.reading, &output);
        let store = store::open(&settings.store, &settings.s3).await?;
        let draft = plan::draft(store.as_ref(), &source, &settings, Request::default(), None).await?;
        let (plan, _) = plan::freeze(store.as_ref(), draft).await?;
        output.progress.say(&format!("run {} in {}", plan.spec.id, store.url()));
        let queue = queue::open("memory:", &settings.rabbitmq).await?;
        // Opens the models of a GPU provider in any case: a missing provider is an error even if nothing is to embed.
        let needed = !plan.trailers.trailers.is_empty() || !settings.inference.provider.is_cpu();
        let models = match needed {
            false => None,
            true => Some(Models::open(&settings, Registry::load(settings.models.registry.as_deref())?)?),
        };
        let mut of_worker = settings.clone();
        of_worker
            .worker
            .sources
            .extend(plan.trailers.trailers.iter().map(|trailer| trailer.store.clone()).collect::<BTreeSet<_>>());
        let context = Arc::new(Context::new(store.clone(), of_worker, models)?);
        let worker = Arc::new(Worker::new(queue.clone(), context, &settings)?);
        worker.check().await?;
        let stop_worker = CancellationToken::new();
        let mut working = tokio::spawn({
            let stop_worker = stop_worker.clone();
            async move { worker.run(&WorkKind::ALL, stop_worker).await }
        });
        let driver = RunDriver {
            plan: &plan,
            reading: &source.reading,
            store,
            queue: queue.clone(),
            settings: &settings,
            progress: &output.progress,
            stop: &stop,
            wait: true,
            priority: Priority::default(),
            resume: self.resume.resume,
            reprocess: None,
        };
        let panicked = |e| Error::bug("the worker panicked").with_source(e);
        let code = tokio::select! {
            ended = driver.run() => {
                // Reported before the worker stops: its errors must not hide the outcome of the run.
                let code = ended.and_then(|ended| outcome::print(ended, &plan, true, &output));
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
}
