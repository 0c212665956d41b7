//! The metrics of the run that this process drives.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use jhalak_common::queue::{Backlog, WorkKind};
use jhalak_common::run::{RunState, Stage};
use jhalak_common::settings::Settings;
use jhalak_common::telemetry::health::Health;
use jhalak_common::telemetry::list::{
    BUILD_INFO, CONSUMER_TIMEOUT, QUEUE_CONSUMERS, QUEUE_MESSAGES, RUN_JOBS, RUN_PROGRESS, RUN_STAGE,
};

/// Whether this process drives its run now, for probes.
#[derive(Debug, Clone, Default)]
pub struct Leading(Arc<AtomicBool>);

impl Leading {
    /// Begins to drive the run, until the returned value is dropped.
    pub(super) fn begin(&self) -> Drive {
        self.0.store(true, Ordering::SeqCst);
        Drive(self.clone())
    }

    /// Returns the answer for probes.
    pub fn health(&self) -> Health {
        match self.0.load(Ordering::SeqCst) {
            true => Health::Ready,
            false => Health::NotReady,
        }
    }
}

/// A run that this process drives.
pub(super) struct Drive(Leading);

impl Drive {
    /// Ends the metrics of a run that another coordinator drives from now on.
    pub(super) fn hand_over(self) {
        for gauge in [&RUN_JOBS, &RUN_STAGE, &RUN_PROGRESS, &QUEUE_MESSAGES, &QUEUE_CONSUMERS] {
            gauge.clear();
        }
    }
}

impl Drop for Drive {
    fn drop(&mut self) {
        self.0.0.store(false, Ordering::SeqCst);
    }
}

/// Sets what does not change.
pub fn note_settings(settings: &Settings) {
    BUILD_INFO.set(&[env!("CARGO_PKG_VERSION"), settings.inference.provider.name()], 1.0);
    CONSUMER_TIMEOUT.set(&[], settings.rabbitmq.consumer_timeout_ms as f64 / 1_000.0);
}

/// Notes the stage of a run.
pub(super) fn note_stage(run: &str, state: &RunState) {
    RUN_STAGE.clear();
    RUN_STAGE.set(&[run, state.stage.name()], 1.0);
    let progressed = state.progressed.unwrap_or(state.updated);
    RUN_PROGRESS.set(&[run], progressed.as_millisecond() as f64 / 1_000.0);
}

/// The jobs of a stage by their state.
#[derive(Debug, Clone, Copy)]
pub(super) struct JobCounts {
    pub(super) waiting: usize,
    pub(super) sent: usize,
    pub(super) committed: usize,
    pub(super) quarantined: usize,
}

/// Notes the jobs of the stage that a run is in. Those of its earlier stages stay.
pub(super) fn note_jobs(run: &str, stage: Stage, jobs: JobCounts) {
    let JobCounts { waiting, sent, committed, quarantined } = jobs;
    for (state, count) in [("waiting", waiting), ("sent", sent), ("committed", committed), ("quarantined", quarantined)]
    {
        RUN_JOBS.set(&[run, stage.name(), state], count as f64);
    }
}

/// Removes the number of workers: the broker has not answered for long, and nobody knows it.
pub(super) fn forget_workers() {
    QUEUE_CONSUMERS.clear();
}

/// Removes what waited on the queue of an earlier stage: it is not observed any more.
pub(super) fn forget_backlog() {
    QUEUE_MESSAGES.clear();
    QUEUE_CONSUMERS.clear();
}

/// Notes what waits on the queue; nothing where the broker did not answer.
pub(super) fn note_backlog(kind: WorkKind, backlog: Option<Backlog>) {
    let Some(Backlog { ready, delayed, consumers }) = backlog else { return };
    QUEUE_MESSAGES.set(&["work", kind.name()], ready as f64);
    QUEUE_MESSAGES.set(&["retry", kind.name()], delayed as f64);
    QUEUE_CONSUMERS.set(&[kind.name()], f64::from(consumers));
}
