//! `jhalak submit`: plans a run and sends its jobs to workers elsewhere.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use jhalak_common::artifact::ArtifactKind;
use jhalak_common::process::{exit, shutdown};
use jhalak_common::queue::Queue;
use jhalak_common::run::Stage;
use jhalak_common::run::{self, RunSpec};
use jhalak_common::settings::Settings;
use jhalak_common::store::ObjectStore;
use jhalak_common::telemetry::metric::Program;
use jhalak_common::telemetry::server;
use jhalak_common::{Error, Result, queue, store};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{detach, outcome, slot};
use crate::commands::args::{DatasetArgs, GridArgs, ResumeArgs, ToleranceArgs};
use crate::console::output::Output;
use crate::plan::{self, Plan, Request, estimate, grid};
use crate::run::gauges::{self, Leading};
use crate::run::priority::Priority;
use crate::run::{RunDriver, RunOutcome};
use crate::run::{dry_run, reprocess};

/// How often a submit that waits for the broker says so.
const WAIT_INTERVAL: Duration = Duration::from_secs(30);

/// Plan a run, send its jobs to workers and wait for the report
///
/// Committed artifacts are not made again. The same dataset with the same settings is the same run, whoever submits
/// it: submit again to resume a run whose coordinator was stopped. Needs a queue and a store that the workers share.
#[derive(Args)]
#[command(after_help = "Examples:
  # Show what a run of the demo would do, and why
  jhalak submit --config demo/jhalak.toml \\
    --dataset .local/demo/dataset --dry-run
  # Submit to a broker, leave a coordinator in the background and return
  jhalak submit --config demo/jhalak.toml \\
    --dataset .local/demo/dataset --queue amqp://localhost --detach")]
pub struct Submit {
    #[command(flatten)]
    dataset: DatasetArgs,
    #[command(flatten)]
    grid: GridArgs,
    #[command(flatten)]
    resume: ResumeArgs,
    #[command(flatten)]
    tolerance: ToleranceArgs,
    /// Wait until the run has ended, even if another coordinator drives it
    ///
    /// Implied without --slot.
    #[arg(long, conflicts_with = "detach", help_heading = "Execution")]
    wait: bool,
    /// Leave a coordinator in the background and return
    ///
    /// `jhalak watch RUN` shows the progress of the run.
    #[arg(long, help_heading = "Execution")]
    detach: bool,
    /// Start at most one run for this slot, for example 2026-11-22
    ///
    /// A second submit of the slot resumes the existing run: it makes missing artifacts only, and reports a run that is
    /// complete. A Kubernetes CronJob passes the name of its Job, which ends in the scheduled minute.
    ///
    /// [env: JHALAK_SLOT=; empty counts as unset]
    #[arg(long, value_name = "NAME", value_parser = slot::parse, help_heading = "Execution")]
    slot: Option<String>,
    /// Share of the workers while other runs also need them
    #[arg(long, value_enum, default_value = "normal", help_heading = "Execution")]
    priority: Priority,
    /// Accept the existing run of the slot although it was planned with other settings
    ///
    /// Without this option, such a submit changes nothing and exits with 8.
    #[arg(long, help_heading = "Execution")]
    accept_existing: bool,
    /// Extract only trailers without artifacts of some kind, under any recipe
    ///
    /// A changed model or setting alone causes no extraction. Nothing is run if no trailer is new.
    #[arg(long, conflicts_with = "embeddings", help_heading = "Selection")]
    only_new: bool,
    /// Make committed artifacts of this kind again, and all artifacts derived from them
    ///
    /// Kinds: keyframes, scenes, objects, video-embedding, audio-embedding, video-table, audio-table, video-parts,
    /// audio-parts, cell.
    #[arg(long, value_name = "KIND", value_parser = kind, help_heading = "Selection")]
    reprocess: Option<ArtifactKind>,
    /// Print the planned work and its reasons without changing anything
    #[arg(long, help_heading = "Execution")]
    dry_run: bool,
}

fn kind(name: &str) -> Result<ArtifactKind, String> {
    ArtifactKind::parse(name).map_err(|e| e.to_string())
}

/// Opens the broker, and waits for it as long as the setting coordinator.start_wait_ms allows.
async fn connect(settings: &Settings, stop: &CancellationToken, output: &Output) -> Result<Arc<dyn Queue>> {
    let limit = Duration::from_millis(settings.coordinator.start_wait_ms);
    let mut said: Option<Instant> = None;
    let began = Instant::now();
    let waits = |error: &Error| {
        if said.is_none_or(|at| at.elapsed() > WAIT_INTERVAL) {
            said = Some(Instant::now());
            let left = limit.saturating_sub(began.elapsed()).as_secs();
            output.progress.say(&format!("{}: waiting up to {left} s more for the broker", error.chain()));
        }
    };
    tokio::select! {
        () = stop.cancelled() => Err(Error::cancelled("stop requested; nothing was sent")),
        queue = queue::open_within(&settings.queue, &settings.rabbitmq, limit, waits) => queue,
    }
}

impl Submit {
    pub(in crate::commands) async fn execute(mut self, settings: Settings, output: Output) -> Result<u8> {
        let settings = self.grid.apply(settings);
        if settings.queue == "memory:" && !self.dry_run {
            return Err(Error::invalid(
                "submit needs a broker: set queue (JHALAK__QUEUE) to amqp://..., or use `jhalak run`, which needs none",
            ));
        }
        if self.slot.is_none() {
            self.slot = slot::from_environment(std::env::var_os(slot::VARIABLE))?;
        }
        let stop = shutdown::on_signal()?;
        #[cfg_attr(not(feature = "local"), expect(unused_mut))]
        let mut source = self.dataset.read(&settings).await?;
        #[cfg(feature = "local")]
        crate::commands::probe::take_those_that_open(&mut source, &stop, &settings).await?;
        crate::commands::dataset::report_rejects(&source.reading, &output);
        let store = store::open(&settings.store, &settings.s3).await?;
        let folds = self.grid.folds(&source.reading.dataset, &output)?;
        let given = self.grid.given(&source.reading.dataset, &output)?;
        let request =
            Request { slot: self.slot.as_deref(), only_new: self.only_new, folds: folds.as_ref(), given: &given };
        let share = (!self.dry_run).then_some(store.as_ref());
        let draft = plan::draft(store.as_ref(), &source, &settings, request, share).await?;
        if let Some(reason) = grid::why_no_ensemble(&draft.plan.spec, source.reading.dataset.ratings.len()) {
            output.progress.say(&format!("without the ensemble: {reason}"));
        }
        if draft.plan.trailers.trailers.len() >= settings.coordinator.estimate_from {
            output.progress.say(&estimate::text(&draft.plan));
        }
        if self.dry_run {
            return self.describe(store.as_ref(), draft.plan, &output).await;
        }
        if draft.plan.spec.only.as_ref().is_some_and(|only| only.is_empty()) {
            output.print(&json!({ "run": null, "new": 0 }), "no new trailers: nothing to run")?;
            return Ok(exit::DONE);
        }
        // A refused or unreachable queue is reported before anything is written.
        let queue = connect(&settings, &stop, &output).await?;
        let asked = draft.plan.spec.dataset.content;
        let requested = draft.plan.spec.clone();
        let mut reading = source.into_reading();
        let (plan, found) = plan::freeze(store.as_ref(), draft).await?;
        let id = &plan.spec.id;
        output.progress.say(&format!("run {id} in {}", store.url()));
        if found && plan.spec.slot.is_some() {
            slot::say_found(store.as_ref(), &plan.spec, self.priority, &output).await?;
            if self.refuses(&requested, &plan.spec, &output)? {
                queue.close().await;
                return Ok(exit::DIFFERENT);
            }
            // A CronJob's submit must not fail because somebody cancelled the run of its slot.
            if !self.wait && !self.resume.resume && run::is_cancelled(store.as_ref(), id).await? {
                queue.close().await;
                let text = format!("the run {id} was cancelled: resume it with --resume");
                let state = Stage::Cancelled.name();
                output.print(&json!({ "run": id, "found": true, "state": state }), &text)?;
                return Ok(exit::DONE);
            }
        }
        if plan.spec.dataset.content != asked {
            output.progress.say(slot::DATASET_CHANGED);
            reading.dataset = plan::frozen_dataset(store.as_ref(), &plan).await?;
        }
        if self.detach {
            queue.close().await;
            return leave(&plan, &settings, &output);
        }
        let leading = Leading::default();
        gauges::note_settings(&settings);
        let health = {
            let leading = leading.clone();
            move || leading.health()
        };
        let server = server::serve(settings.telemetry.listen.as_deref(), Program::Coordinator, health).await?;
        let driver = RunDriver {
            plan: &plan,
            reading: &reading,
            store,
            queue: queue.clone(),
            settings: &settings,
            progress: &output.progress,
            stop: &stop,
            wait: self.wait || self.slot.is_none(),
            priority: self.priority,
            resume: self.resume.resume,
            reprocess: self.reprocess,
            leading: leading.clone(),
        };
        let wait = driver.wait;
        let ended = driver.run().await;
        queue.close().await;
        if let Some(server) = server {
            server.last_scrape(Duration::from_millis(settings.telemetry.last_scrape_ms)).await;
        }
        let ended = ended?;
        let is_led_elsewhere = matches!(ended, RunOutcome::LedElsewhere(_));
        let code = outcome::print(ended, &plan, wait, self.tolerance.allow_quarantined, &output)?;
        Ok(if is_led_elsewhere && self.says_unused(&output) { exit::DIFFERENT } else { code })
    }

    /// Says which options the coordinator that drives the run does not use; false when there are
    /// none.
    fn says_unused(&self, output: &Output) -> bool {
        let given = [("--reprocess", self.reprocess.is_some()), ("--priority", self.priority != Priority::Normal)];
        let unused: Vec<&str> = given.iter().filter(|(_, given)| *given).map(|(name, _)| *name).collect();
        if unused.is_empty() {
            return false;
        }
        output.progress.say(&format!(
            "not used: {}. The other coordinator decides what runs; submit again with --wait, or when it has ended",
            unused.join(", ")
        ));
        true
    }

    /// Whether the run of a slot was planned with other settings than those requested, and that is not
    /// accepted. Says so.
    fn refuses(&self, requested: &RunSpec, existing: &RunSpec, output: &Output) -> Result<bool> {
        let differences = slot::differences(requested, existing);
        if differences.is_empty() || self.accept_existing {
            return Ok(false);
        }
        let id = &existing.id;
        let text = format!(
            "the run {id} of this slot was planned with another {}: these settings are not used; submit with another \
             slot, or accept the existing run with --accept-existing",
            differences.join(", ")
        );
        output.print(&json!({ "run": id, "found": true, "differs": differences }), &text)?;
        Ok(true)
    }

    async fn describe(&self, store: &dyn ObjectStore, mut plan: Plan, output: &Output) -> Result<u8> {
        // The run of a slot is what it was planned as.
        if plan.spec.slot.is_some()
            && let Some(existing) = plan::find(store, &plan.spec.id).await?
        {
            slot::say_found(store, &existing.spec, self.priority, output).await?;
            if self.refuses(&plan.spec, &existing.spec, output)? {
                return Ok(exit::DIFFERENT);
            }
            if !self.wait {
                slot::say_why_left(store, &existing.spec.id, self.resume.resume, output).await?;
            }
            if plan.spec.dataset.content != existing.spec.dataset.content {
                output.progress.say(slot::DATASET_CHANGED);
            }
            plan = existing;
        }
        let plan = &plan;
        let again = match self.reprocess {
            Some(kind) => reprocess::select(store, plan, kind).await?,
            None => Vec::new(),
        };
        let dry_run = dry_run::describe(store, plan, &again).await?;
        output.print(&dry_run, &dry_run.text())?;
        Ok(exit::DONE)
    }
}

/// Starts this same command without `--detach` in the background.
fn leave(plan: &Plan, settings: &Settings, output: &Output) -> Result<u8> {
    use std::os::unix::process::CommandExt;
    let run = &plan.spec.id;
    let log = std::env::temp_dir().join(format!("jhalak-{run}-{}.log", std::process::id()));
    let file = std::fs::File::create(&log).map_err(|e| Error::from(e).context(format!("the log {}", log.display())))?;
    let program = std::env::current_exe().map_err(|e| Error::from(e).context("the path of this program"))?;
    let mut command = Command::new(program);
    let (arguments, names_queue) = detach::arguments(std::env::args_os().skip(1));
    command.args(arguments);
    if names_queue {
        command.env("JHALAK__QUEUE", &settings.queue);
    }
    // A group of its own: an interrupt from this terminal is not meant for it.
    command.process_group(0).stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
    let child = command.spawn().map_err(|e| Error::from(e).context("the coordinator in the background"))?;
    let text = format!(
        "run {run} is driven by process {} in the background, log: {}\nshow its progress: jhalak watch {run}\ncancel it:         jhalak cancel {run}",
        child.id(),
        log.display()
    );
    output.print(&json!({ "run": run, "process": child.id(), "log": log }), &text)?;
    Ok(exit::DONE)
}
