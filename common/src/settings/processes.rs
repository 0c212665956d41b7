//! Settings of processes: coordinator, worker, and the child process that decodes a trailer.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::range::require;
use crate::error::Result;

/// The coordinator process.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CoordinatorSettings {
    /// Maximum number of jobs of one run that are on the queue or with workers at once; the rest
    /// waits in the store. Usually far fewer are: two for each slot of the workers.
    pub window: usize,
    /// How long `submit` waits at its start for a broker that cannot be reached.
    pub start_wait_ms: u64,
    /// Number of trailers from which `submit` states beforehand how much memory and how many
    /// requests to the store the run takes.
    pub estimate_from: usize,
}

impl Default for CoordinatorSettings {
    fn default() -> Self {
        CoordinatorSettings { window: 2_000, start_wait_ms: 60_000, estimate_from: 50_000 }
    }
}

impl CoordinatorSettings {
    /// Checks the ranges of the settings.
    pub(super) fn check(&self) -> Result<()> {
        require(self.window >= 1, "coordinator.window", "at least 1")
    }
}

/// The worker process.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct WorkerSettings {
    /// Number of concurrent jobs; 0 means one per core.
    pub slots: usize,
    /// Attempts of a job before it is quarantined.
    pub attempts: u32,
    /// Crashes and lost connections of a job's workers before it is quarantined.
    pub redeliveries: u32,
    /// Locations of trailers outside the worker's own store that jobs may read, such as
    /// `s3://bucket/dataset`: everything below them. `jhalak-worker` with a store on S3 reads no
    /// local folder. `jhalak run` adds its dataset.
    pub sources: Vec<String>,
    /// How long a job may take. An extraction is then quarantined; a training that has saved its
    /// state goes back to the queue and resumes. Less than rabbitmq.consumer_timeout_ms.
    pub job_limit_ms: u64,
    /// End of running jobs after SIGTERM: `finish` lets them end within the grace period,
    /// `hand-back` returns them to the queue at once. A training saves its state after its current
    /// epoch, if the grace period lasts that long.
    pub on_stop: OnStop,
    /// Grace period after SIGTERM for running jobs, before they are returned to the queue.
    pub grace_ms: u64,
    /// Folder for scratch files; each worker creates and removes its own folder in it.
    pub scratch: PathBuf,
    /// Maximum size of a worker's scratch folder in megabytes: jobs wait until their trailers fit.
    /// A larger trailer is quarantined.
    pub scratch_mb: u32,
    /// A file that the worker touches while it is alive, for `jhalak-worker health`. Default: none.
    pub heartbeat_file: Option<PathBuf>,
    /// Interval of checkpoints of a training in the store, from which an interrupted training
    /// resumes. 0 means after every epoch.
    pub checkpoint_ms: u64,
}

/// The end of running jobs when a stop of the worker is requested.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OnStop {
    /// They may end within the grace period.
    #[default]
    Finish,
    /// They return to the queue at once.
    HandBack,
}

impl Default for WorkerSettings {
    fn default() -> Self {
        WorkerSettings {
            slots: 0,
            attempts: 5,
            redeliveries: 10,
            sources: Vec::new(),
            job_limit_ms: 1_500_000,
            on_stop: OnStop::Finish,
            grace_ms: 25_000,
            scratch: std::env::temp_dir(),
            scratch_mb: 4_096,
            heartbeat_file: None,
            checkpoint_ms: 60_000,
        }
    }
}

impl WorkerSettings {
    /// Checks the ranges of the settings.
    pub(super) fn check(&self) -> Result<()> {
        require(self.attempts >= 1, "worker.attempts", "at least 1")?;
        require(self.redeliveries >= 1, "worker.redeliveries", "at least 1")?;
        require(self.job_limit_ms >= 1_000, "worker.job_limit_ms", "at least 1000")?;
        require(self.scratch_mb >= 1, "worker.scratch_mb", "at least 1")?;
        require(self.slots <= 1024, "worker.slots", "0 to 1024")
    }
}

/// Limits of decoding one trailer, which runs in a child process (invariant 5 in ARCHITECTURE.md).
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DecodeSettings {
    /// Address space of the child process.
    pub memory_mb: u64,
    /// CPU time of the child process.
    pub cpu_s: u64,
    /// Wall time of the child process.
    pub wall_s: u64,
    /// Maximum size of each file that the child writes.
    pub output_mb: u64,
}

impl Default for DecodeSettings {
    fn default() -> Self {
        DecodeSettings { memory_mb: 2_048, cpu_s: 600, wall_s: 900, output_mb: 1_024 }
    }
}

impl DecodeSettings {
    /// Checks the ranges of the settings.
    pub(super) fn check(&self) -> Result<()> {
        require(self.memory_mb >= 256, "decode.memory_mb", "at least 256")?;
        for (limit, key) in
            [(self.cpu_s, "decode.cpu_s"), (self.wall_s, "decode.wall_s"), (self.output_mb, "decode.output_mb")]
        {
            require(limit >= 1, key, "at least 1: with 0, every decode would fail")?;
        }
        Ok(())
    }
}
