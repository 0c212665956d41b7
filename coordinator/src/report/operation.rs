//! How the run went: its stages, its throughput, its slowest trailers. Measured by the process that
//! finished the run.

use serde::{Deserialize, Serialize};

/// How the run went.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Operation {
    /// Seconds of each stage of the last drive, in their order.
    pub stages: Vec<Seconds>,
    /// Trailers that the last drive extracted.
    pub extracted: u64,
    /// Those by the hour; `None` when it extracted none.
    pub trailers_an_hour: Option<f64>,
    /// Seconds that workers spent on those trailers, by step, the longest first.
    pub steps: Vec<Seconds>,
    /// The slowest of those trailers, the slowest first.
    pub slowest: Vec<SlowTrailer>,
    /// Quarantined jobs that are not trailers: folds and fits, each with its reason.
    pub failed_jobs: Vec<FailedJob>,
}

/// The seconds of a stage or a step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Seconds {
    /// Its name.
    pub name: String,
    /// Its seconds.
    pub seconds: f64,
}

/// A trailer that took long.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SlowTrailer {
    /// The movie's id.
    pub movie: String,
    /// The movie's title.
    pub title: String,
    /// The seconds of its job, without waiting for a slot.
    pub seconds: f64,
    /// The step that took longest.
    pub longest_step: String,
}

/// A quarantined job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedJob {
    /// The subject of the job.
    pub about: String,
    /// Why.
    pub reason: String,
}
