//! `jhalak submit`: plans a run and sends its jobs to workers elsewhere.

use std::process::{Command, Stdio};

use clap::Args;
use jhalak_common::artifact::ArtifactKind;
use jhalak_common::process::{exit, shutdown};
use jhalak_common::run::{self, RunState, run_key};
use jhalak_common::settings::Settings;
use jhalak_common::store::ObjectStore;
use jhalak_common::{Error, Result, queue, store};
use serde_json::json;

use super::outcome;
use crate::commands::args::{DatasetArgs, GridArgs};
use crate::console::output::Output;
use crate::plan::{self, Plan, Request, dataset_source};
use crate::run::RunDriver;
use crate::run::{dry_run, reprocess};

/// Plans a run over a dataset and sends its jobs to the workers on the queue; stays until the report is written. What is committed already
/// is not done again, and the same dataset with the same settings is the same run, whoever submits it. Killed and started again, it goes on.
#[derive(Args)]
pub struct Submit {
    #[command(flatten)]
    dataset: DatasetArgs,
    #[command(flatten)]
    grid: GridArgs,
    /// Stay until the run has ended, also where another coordinator drives it (the default, but with --slot).
    #[arg(long, conflicts_with = "detach")]
    wait: bool,
    /// Plan the run, leave a coordinator in the background, and return. `jhalak watch RUN` shows how it goes.
    #[arg(long)]
    detach: bool,
    /// What the run is for, as in 2026-11-22: one run a slot. A second submit of a slot finds the first, says so and ends with 0, or goes on
    /// where its coordinator died. A CronJob gives the name of its Job, which ends in the scheduled minute.
    #[arg(long, env = "JHALAK_SLOT", value_name = "WORD")]
    slot: Option<String>,
    /// Extract only trailers that lack a kind of artifact altogether: a changed model or setting alone sends nothing. Without any, nothing is run.
    #[arg(long)]
    only_new: bool,
    /// Make artifacts of this kind again although they are committed, and what is made from them: keyframes, scenes, objects, video-embedding, audio-embedding,
    /// video-table, audio-table, cell.
    #[arg(long, value_name = "KIND", value_parser = kind)]
    reprocess: Option<ArtifactKind>,
    /// Print what would run and why; send, write and remove nothing.
    #[arg(long)]
    dry_run: bool,
}

fn kind(name: &str) -> Result<ArtifactKind, String> {
    ArtifactKind::parse(name).map_err(|e| e.to_string())
}

impl Submit {
    pub(in crate::commands) async fn execute(mut self, settings: Settings, output: Output) -> Result<u8> {
        let settings = self.grid.apply(settings);
        if settings.queue == "memory:" && !self.dry_run {
            return Err(Error::invalid(
                "submit needs a broker that workers share: set queue (JHALAK__QUEUE) to amqp://..., or use `jhalak run`, which needs none",
            ));
        }
        // A variable that is set to nothing is one that is not set.
        self.slot = self.slot.filter(|slot| !slot.is_empty());
        let stop = shutdown::on_signal()?;
        let mut source = dataset_source::read(&self.dataset.dataset, self.dataset.movies.as_deref(), &settings).await?;
        crate::commands::dataset::tell_rejects(&source.reading, &output);
        let store = store::open(&settings.store, &settings.s3).await?;
        let request = Request { slot: self.slot.as_deref(), only_new: self.only_new };
        let share = (!self.dry_run).then_some(store.as_ref());
        let draft = plan::draft(store.as_ref(), &source, &settings, request, share).await?;
        if self.dry_run {
            return self.describe(store.as_ref(), &draft.plan, &output).await;
        }
        if draft.plan.spec.only.as_ref().is_some_and(|only| only.is_empty()) {
            output.print(&json!({ "run": null, "new": 0 }), "no trailer is new: nothing is run")?;
            return Ok(exit::DONE);
        }
        // Refused or unreachable, it is told before anything is written.
        let queue = queue::open(&settings.queue, &settings.rabbitmq).await?;
        let asked = draft.plan.spec.dataset.content;
        let (plan, found) = plan::freeze(store.as_ref(), draft).await?;
        let id = &plan.spec.id;
        output.progress.say(&format!("run {id} in {}", store.url()));
        if found && plan.spec.slot.is_some() {
            output.progress.say(&format!("the slot has its run already, planned {:.0}", plan.spec.created));
            if let (false, Some(state)) = (self.wait, ended(store.as_ref(), id).await?) {
                queue.close().await;
                let text = format!("the run {id} has ended: {}", state.stage.name());
                output.print(&json!({ "run": id, "found": true, "state": state.stage.name() }), &text)?;
                return Ok(exit::DONE);
            }
        }
        if plan.spec.dataset.content != asked {
            output.progress.say(
                "the dataset has changed since this slot's run was planned: the run goes on with what was frozen then",
            );
            source.reading.dataset = plan::frozen_dataset(store.as_ref(), &plan).await?;
        }
        if self.detach {
            queue.close().await;
            return leave(&plan, &output);
        }
        let driver = RunDriver {
            plan: &plan,
            reading: &source.reading,
            store,
            queue: queue.clone(),
            settings: &settings,
            progress: &output.progress,
            stop: &stop,
            wait: self.wait || self.slot.is_none(),
            reprocess: self.reprocess,
        };
        let wait = driver.wait;
        let ended = driver.run().await;
        queue.close().await;
        outcome::print(ended?, &plan, wait, &output)
    }

    async fn describe(&self, store: &dyn ObjectStore, plan: &Plan, output: &Output) -> Result<u8> {
        let again = match self.reprocess {
            Some(kind) => reprocess::select(store, plan, kind).await?,
            None => Vec::new(),
        };
        let dry_run = dry_run::describe(store, plan, &again).await?;
        output.print(&dry_run, &dry_run.text())?;
        Ok(exit::DONE)
    }
}

/// The run's state where it has ended.
async fn ended(store: &dyn ObjectStore, run: &str) -> Result<Option<RunState>> {
    let state: Option<RunState> = run::get_json(store, &run_key(run, "state.json")).await?;
    Ok(state.filter(|state| state.stage.is_final()))
}

/// Starts this same command without `--detach` in the background.
fn leave(plan: &Plan, output: &Output) -> Result<u8> {
    use std::os::unix::process::CommandExt;
    let run = &plan.spec.id;
    let log = std::env::temp_dir().join(format!("jhalak-{run}-{}.log", std::process::id()));
    let file = std::fs::File::create(&log).map_err(|e| Error::from(e).context(format!("the log {}", log.display())))?;
    let program = std::env::current_exe().map_err(|e| Error::from(e).context("the path of this program"))?;
    let mut command = Command::new(program);
    command.args(std::env::args_os().skip(1).map(|arg| if arg == "--detach" { "--wait".into() } else { arg }));
    // A group of its own: an interrupt from this terminal is not meant for it.
    command.process_group(0).stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
    let child = command.spawn().map_err(|e| Error::from(e).context("the coordinator in the background"))?;
    let text = format!(
        "run {run} is driven by process {} in the background, its words go to {}\n`jhalak watch {run}` shows how it goes, `jhalak cancel {run}` ends it",
        child.id(),
        log.display()
    );
    output.print(&json!({ "run": run, "process": child.id(), "log": log }), &text)?;
    Ok(exit::DONE)
}
