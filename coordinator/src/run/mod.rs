//! The engine of a run: acquires the lease, drives the stages, and writes the report. `run` and
//! `submit` share it. It returns values and prints nothing on stdout.

pub mod context;
pub mod dispatch;
pub mod dry_run;
pub mod end_states;
pub mod finish;
pub mod gauges;
#[cfg(test)]
mod golden_run_tests;
pub mod jobs;
pub mod lease;
pub mod missing;
pub mod priority;
pub mod quarantined;
pub mod remaining;
pub mod report_data;
pub mod reprocess;
pub mod run_integrity;
pub mod stages;
pub mod tasks;
#[cfg(test)]
pub(crate) mod testing;
pub mod timings;

use std::sync::Arc;
use std::time::{Duration, Instant};

use jhalak_common::artifact::ArtifactKind;
use jhalak_common::dataset::Reading;
use jhalak_common::queue::Queue;
use jhalak_common::run::{self, RunState, SigningKey, run_key};
use jhalak_common::settings::Settings;
use jhalak_common::store::ObjectStore;
use jhalak_common::telemetry::trace::{self, TraceContext};
use jhalak_common::{Error, ErrorKind, Result};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::console::progress::Progress;
use crate::plan::Plan;
use crate::run::context::{Ended, RunContext, StopSignals};
use crate::run::finish::Finished;
use crate::run::gauges::Leading;
use crate::run::lease::{Claim, Holder, Lease};
use crate::run::priority::Priority;
use crate::run::timings::Timings;

/// How long the store or the broker may be unreachable in the middle of a run before this process
/// gives up.
const MAX_OUTAGE: Duration = Duration::from_secs(300);

/// The pause before the run is tried again after an outage.
const RETRY_PAUSE: Duration = Duration::from_secs(5);

/// Drives a planned run to its end.
pub struct RunDriver<'a> {
    /// The frozen run.
    pub plan: &'a Plan,
    /// The frozen dataset.
    pub reading: &'a Reading,
    /// Holds artifacts and the run's records.
    pub store: Arc<dyn ObjectStore>,
    /// Carries jobs and results.
    pub queue: Arc<dyn Queue>,
    /// The settings.
    pub settings: &'a Settings,
    /// Shows progress on stderr.
    pub progress: &'a Progress,
    /// The stop signal of this process.
    pub stop: &'a CancellationToken,
    /// Wait while another coordinator drives the run, instead of returning its holder.
    pub wait: bool,
    /// The share of the workers that the run gets while other runs need them.
    pub priority: Priority,
    /// Resume the run if it was cancelled.
    pub resume: bool,
    /// A kind of artifact to make again although it is committed.
    pub reprocess: Option<ArtifactKind>,
    /// Set while this process drives the run.
    pub leading: Leading,
}

/// How a run ended for this process.
pub enum RunOutcome {
    /// Every job is committed or quarantined, and the report is written.
    Finished(Box<Finished>),
    /// The run was cancelled; committed artifacts are kept. Holds its state record.
    Cancelled(Option<RunState>),
    /// Another live coordinator drives the run.
    LedElsewhere(Holder),
}

impl RunDriver<'_> {
    /// Drives the run until it ends or another coordinator drives it.
    pub async fn run(self) -> Result<RunOutcome> {
        // A span of the highest level, so that every log line carries the run at every verbosity.
        let span = tracing::error_span!("run", run = self.plan.spec.id);
        let mut traced = trace::root("run");
        traced.set("jhalak.run", self.plan.spec.id.clone());
        let context = traced.context_or(&TraceContext::default());
        let ended = self.run_under_lease(&context).instrument(span).await;
        if let Err(error) = &ended {
            traced.fail(error.kind());
        }
        ended
    }

    async fn run_under_lease(mut self, context: &TraceContext) -> Result<RunOutcome> {
        let run = &self.plan.spec.id;
        let progress = self.progress;
        // A later cancellation stands.
        let mut revive = self.resume && run::is_cancelled(self.store.as_ref(), run).await?;
        loop {
            let acquire = async || {
                let say = |holder: &Holder| {
                    progress.say(&format!("the run {run} is held by {holder}: checking whether that process is alive"));
                };
                lease::acquire(&self.store, run, self.wait, self.stop, say).await
            };
            let lease = match self.through_outages(acquire).await? {
                Claim::Acquired(lease) => lease,
                Claim::Held(holder) => return Ok(RunOutcome::LedElsewhere(holder)),
            };
            if revive {
                progress.say("resuming a cancelled run");
                self.store.delete(&run_key(run, run::CANCELLED)).await?;
                revive = false;
            }
            let drop_retryable = async || quarantined::drop_retryable(self.store.as_ref(), self.plan).await;
            let tried_again = self.through_outages(drop_retryable).await?;
            if tried_again > 0 {
                progress.say(&format!(
                    "{tried_again} jobs failed because of a machine or a missing file and are tried again"
                ));
            }
            let driving = self.leading.begin();
            let ended = self.drive_through_outages(&lease, context).await;
            lease.release().await;
            match ended? {
                Some(outcome) => return Ok(outcome),
                None => {
                    driving.hand_over();
                    progress.say("another coordinator has taken over the run");
                }
            }
        }
    }

    /// Drives the run, and again after an outage of the store or the broker. Returns None when
    /// another coordinator took over.
    async fn drive_through_outages(&mut self, lease: &Lease, context: &TraceContext) -> Result<Option<RunOutcome>> {
        let mut outage_since = None;
        loop {
            let began = Instant::now();
            let error = match self.drive(lease, outage_since.is_some(), context).await {
                Err(error) if is_outage(&error) => error,
                other => return other,
            };
            let since = *outage_since.get_or_insert(began);
            // A drive that lasted this long made progress and has met another outage.
            if began.elapsed() > MAX_OUTAGE {
                outage_since = None;
            } else if since.elapsed() > MAX_OUTAGE {
                return Err(error);
            }
            self.pause(error).await?;
        }
    }

    /// Repeats a step before the run is driven, through an outage of the store.
    async fn through_outages<T>(&self, step: impl AsyncFn() -> Result<T>) -> Result<T> {
        let began = Instant::now();
        loop {
            match step().await {
                Err(error) if is_outage(&error) && began.elapsed() < MAX_OUTAGE => self.pause(error).await?,
                ended => return ended,
            }
        }
    }

    /// Says what is away and waits before the next try. Returns the error when this process is
    /// stopped.
    async fn pause(&self, error: Error) -> Result<()> {
        self.progress.say(&format!("{}: trying again in {} s", error.chain(), RETRY_PAUSE.as_secs()));
        tokio::select! {
            () = self.stop.cancelled() => Err(error),
            () = tokio::time::sleep(RETRY_PAUSE) => Ok(()),
        }
    }

    /// Drives the run while this process holds the lease. Returns None when another coordinator
    /// took over.
    async fn drive(&mut self, lease: &Lease, is_again: bool, context: &TraceContext) -> Result<Option<RunOutcome>> {
        let (plan, run) = (self.plan, &self.plan.spec.id);
        if run::is_cancelled(self.store.as_ref(), run).await? {
            return self.cancelled().await.map(Some);
        }
        if let Some(kind) = self.reprocess {
            let keys = reprocess::select(self.store.as_ref(), plan, kind).await?;
            self.progress.say(&format!("making {} artifacts again", keys.len()));
            reprocess::retract(self.store.as_ref(), &keys).await?;
            // Cleared last: after an outage the rest is selected again.
            self.reprocess = None;
        }
        let retry_delays = &self.settings.rabbitmq.retry_delays_ms;
        let context = RunContext {
            store: self.store.clone(),
            queue: self.queue.clone(),
            progress: self.progress.clone(),
            signals: StopSignals::new(self.stop, lease),
            window: self.settings.coordinator.window,
            longest_retry: Duration::from_millis(retry_delays.iter().copied().max().unwrap_or(0)),
            is_successor: lease.is_successor || is_again,
            priority: self.priority,
            timings: Timings::default(),
            signing_key: SigningKey::load(self.settings.rabbitmq.signing_key_file.as_deref())?,
            trace: context.clone(),
        };
        match stages::drive(&context, plan).await? {
            Ended::Completed(summary) => {
                let finished = finish::finish(&context, plan, self.reading, summary, self.settings).await?;
                Ok(Some(RunOutcome::Finished(Box::new(finished))))
            }
            Ended::Cancelled => self.cancelled().await.map(Some),
            Ended::Superseded => Ok(None),
        }
    }

    async fn cancelled(&self) -> Result<RunOutcome> {
        let state = run::get_json(self.store.as_ref(), &run_key(&self.plan.spec.id, "state.json")).await?;
        Ok(RunOutcome::Cancelled(state))
    }
}

/// Whether a service is away for now. Credentials that expired are renewed by others in minutes.
fn is_outage(error: &Error) -> bool {
    error.kind().is_transient() || error.kind() == ErrorKind::Permission
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::testing::{empty_reading, plan};
    use crate::run::testing::Bench;
    use jhalak_common::run::{Cancellation, RUN_VERSION, Stage};

    /// A run without jobs: no trailers, no cells, no final model.
    fn empty_plan() -> Plan {
        let mut plan = plan(0);
        plan.spec.cells.clear();
        plan.spec.fit = None;
        plan
    }

    async fn drive(bench: &Bench, plan: &Plan, wait: bool, resume: bool) -> RunOutcome {
        let (settings, progress, stop) = (Settings::default(), Progress::new(true), CancellationToken::new());
        let driver = RunDriver {
            plan,
            reading: &empty_reading(),
            store: bench.store.clone(),
            queue: Arc::new(bench.queue.another()),
            settings: &settings,
            progress: &progress,
            stop: &stop,
            wait,
            priority: Priority::default(),
            resume,
            reprocess: None,
            leading: Leading::default(),
        };
        driver.run().await.expect("a run without errors")
    }

    async fn cancel(bench: &Bench, plan: &Plan) {
        let record = Cancellation { version: RUN_VERSION, at: jiff::Timestamp::now() };
        let key = run_key(&plan.spec.id, run::CANCELLED);
        run::put_json(bench.store.as_ref(), &key, &record).await.expect("room on disk");
    }

    #[tokio::test]
    async fn a_run_ends_with_its_report_in_the_store_and_a_released_lease() {
        let (bench, plan) = (Bench::new(), empty_plan());
        let RunOutcome::Finished(finished) = drive(&bench, &plan, true, false).await else { panic!("it has no jobs") };
        assert_eq!((finished.stage, finished.made, &finished.model), (Stage::Done, 0, &None));
        assert!(finished.page.ends_with("/report/index.html"), "{}", finished.page);
        let report = run_key(&plan.spec.id, "report/report.json");
        let written = bench.store.get(&report).await.expect("a report");
        assert_eq!(bench.state(&plan).await.stage, Stage::Done);
        assert!(lease::holder(bench.store.as_ref(), &plan.spec.id).await.expect("readable").is_none());
        // A second run makes nothing and keeps the report.
        assert!(matches!(drive(&bench, &plan, true, false).await, RunOutcome::Finished(_)));
        assert_eq!(bench.store.get(&report).await.expect("a report"), written);
    }

    #[tokio::test]
    async fn without_wait_a_run_that_a_live_coordinator_drives_is_left_to_it() {
        let (bench, plan) = (Bench::new(), empty_plan());
        let stop = CancellationToken::new();
        let claim = lease::acquire(&bench.store, &plan.spec.id, true, &stop, |_| {}).await.expect("a lease");
        let Claim::Acquired(_lease) = claim else { panic!("it is free") };
        let outcome = drive(&bench, &plan, false, false).await;
        assert!(matches!(outcome, RunOutcome::LedElsewhere(holder) if holder == Holder::this_process()));
    }

    #[tokio::test]
    async fn a_cancelled_run_is_resumed_only_on_request() {
        let (bench, plan) = (Bench::new(), empty_plan());
        cancel(&bench, &plan).await;
        assert!(matches!(drive(&bench, &plan, true, false).await, RunOutcome::Cancelled(_)));
        assert!(matches!(drive(&bench, &plan, true, true).await, RunOutcome::Finished(_)));
        assert!(matches!(drive(&bench, &plan, true, false).await, RunOutcome::Finished(_)));
    }
}
