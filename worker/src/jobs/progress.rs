//! What a job reports of itself: how many artifacts it committed, and the seconds of its steps.

use std::collections::BTreeMap;
use std::time::Instant;

/// What a job did, for its result and the log.
#[derive(Debug, Default)]
pub struct JobStats {
    /// Artifacts that this job committed.
    pub committed: usize,
    /// Seconds of each step, by the step's name.
    pub seconds: BTreeMap<String, f64>,
}

/// Measures the steps of a job.
pub(super) struct StepTimer(Instant);

impl StepTimer {
    /// Starts the first step.
    pub(super) fn start() -> Self {
        StepTimer(Instant::now())
    }

    /// Ends a step: adds the time since the end of the last one to `step`.
    pub(super) fn end(&mut self, stats: &mut JobStats, step: &str) {
        let now = Instant::now();
        *stats.seconds.entry(step.to_string()).or_default() += (now - self.0).as_secs_f64();
        self.0 = now;
    }
}
