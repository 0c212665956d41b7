//! The inputs of the engine of a run: services, progress, and the signals that stop it.

use std::sync::Arc;
use std::time::Duration;

use jhalak_common::Result;
use jhalak_common::queue::Queue;
use jhalak_common::run::{self, RunState, SigningKey, run_key};
use jhalak_common::store::ObjectStore;
use jhalak_common::telemetry::trace::TraceContext;
use tokio_util::sync::CancellationToken;

use crate::console::progress::Progress;
use crate::run::gauges;
use crate::run::lease::Lease;
use crate::run::priority::Priority;
use crate::run::timings::Timings;

/// The services of a run and what stops it.
pub struct RunContext {
    /// Holds artifacts and the run's records.
    pub store: Arc<dyn ObjectStore>,
    /// Carries jobs and results.
    pub queue: Arc<dyn Queue>,
    /// Shows progress on stderr.
    pub progress: Progress,
    /// Stops the engine early; messages on the queue stay there.
    pub signals: StopSignals,
    /// Maximum number of jobs that are on the queue or with workers at once.
    pub window: usize,
    /// The longest delay before a failed job is on the queue again.
    pub longest_retry: Duration,
    /// Whether another coordinator has led the run before: its messages may be on the queue.
    pub is_successor: bool,
    /// Signs jobs; None where workers take unsigned ones.
    pub signing_key: Option<SigningKey>,
    /// The share of the workers that the run gets while other runs need them.
    pub priority: Priority,
    /// How long stages and jobs took.
    pub timings: Timings,
    /// The place of the run in its trace, to which the traces of trailers refer.
    pub trace: TraceContext,
}

/// The reason why a run stops before its end.
#[derive(Debug, Clone, Default)]
pub struct StopSignals {
    /// A stop of this process was requested.
    pub stop: CancellationToken,
    /// Another coordinator has taken the lease.
    pub superseded: CancellationToken,
    /// The run was cancelled.
    pub cancelled: CancellationToken,
}

impl StopSignals {
    /// Combines the signal of this process with those of its lease.
    pub fn new(stop: &CancellationToken, lease: &Lease) -> StopSignals {
        StopSignals { stop: stop.clone(), superseded: lease.superseded.clone(), cancelled: lease.cancelled.clone() }
    }
}

/// How a stage, or all stages of a run, ended.
#[derive(Debug)]
pub enum Ended<T> {
    /// Every job is committed or quarantined.
    Completed(T),
    /// The run was cancelled; committed artifacts are kept.
    Cancelled,
    /// Another coordinator holds the lease.
    Superseded,
}

impl RunContext {
    /// Writes the state record of a run.
    pub(super) async fn write_state(&self, run: &str, state: &RunState) -> Result<()> {
        gauges::note_stage(run, state);
        let priority = Some(self.priority).filter(|priority| *priority != Priority::Normal);
        let state = RunState { priority: priority.map(|priority| priority.name().to_owned()), ..state.clone() };
        run::put_json(self.store.as_ref(), &run_key(run, "state.json"), &state).await
    }
}
