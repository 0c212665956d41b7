//! Settings: defaults, overridden by a file, the environment (`JHALAK__SECTION__KEY`) and flags, in
//! this order. Unknown keys are refused.

pub mod ca_file;
mod evaluate;
mod extract;
mod inference;
mod load;
mod processes;
mod range;
pub mod reference;
mod report;
pub mod secret_file;
mod services;
mod sources;
mod telemetry;

use std::fmt;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::dataset::ReadSettings;
use crate::error::{Error, Result};
use crate::redact::{self, redact_url};

pub use evaluate::{EvaluateSettings, Grid};
pub use extract::{ExtractSettings, KeyframePosition, Strategy, TablePrecision};
pub use inference::{InferenceSettings, ModelSettings, Provider, cache_folder};
pub use processes::{CoordinatorSettings, DecodeSettings, OnStop, WorkerSettings};
pub use report::{Images, Measure, ReportSettings};
pub use services::{QueueSettings, S3Settings};
pub use sources::SourceSettings;
pub use telemetry::TelemetrySettings;

/// The queue of one process.
pub const MEMORY: &str = "memory:";

/// The prefix of variables of the environment that set settings: `JHALAK__SECTION__KEY`.
pub(crate) const ENVIRONMENT_PREFIX: &str = "JHALAK";

/// All settings. Each section is one part of the system; names contain units.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The store for artifacts and runs: `file:///path`, a path, or `s3://bucket/prefix`.
    pub store: String,
    /// The queue for jobs: `memory:` (one process) or `amqp://user:password@host:port/vhost`. A
    /// password is never printed.
    pub queue: String,
    /// A file with the queue's URL, in place of the setting queue. User and password in it are read
    /// again at each connection, so that they can be changed.
    pub queue_file: Option<PathBuf>,
    /// Access to S3. Credentials come from the usual AWS environment, profile or pod identity, or
    /// from files, never from the settings.
    pub s3: S3Settings,
    /// Delays and limits of the queue.
    pub rabbitmq: QueueSettings,
    /// The coordinator process.
    pub coordinator: CoordinatorSettings,
    /// The worker process.
    pub worker: WorkerSettings,
    /// Files of models and of ONNX Runtime, and the chosen models.
    pub models: ModelSettings,
    /// Inference.
    pub inference: InferenceSettings,
    /// Extraction from trailers.
    pub extract: ExtractSettings,
    /// Limits of decoding one trailer, which runs in a child process.
    pub decode: DecodeSettings,
    /// Reading of datasets: `dataset.scale` of the ratings, `dataset.dislike_at_most` and
    /// `dataset.like_at_least`, the stars that map scales to three classes, and
    /// `dataset.max_rejected_percent`.
    pub dataset: ReadSettings,
    /// Trailers on web servers.
    pub sources: SourceSettings,
    /// Training and evaluation.
    pub evaluate: EvaluateSettings,
    /// The report.
    pub report: ReportSettings,
    /// Metrics and probes.
    pub telemetry: TelemetrySettings,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            store: ".local/store".into(),
            queue: MEMORY.into(),
            queue_file: None,
            s3: S3Settings::default(),
            rabbitmq: QueueSettings::default(),
            coordinator: CoordinatorSettings::default(),
            worker: WorkerSettings::default(),
            models: ModelSettings::default(),
            inference: InferenceSettings::default(),
            extract: ExtractSettings::default(),
            decode: DecodeSettings::default(),
            dataset: ReadSettings::default(),
            sources: SourceSettings::default(),
            evaluate: EvaluateSettings::default(),
            report: ReportSettings::default(),
            telemetry: TelemetrySettings::default(),
        }
    }
}

impl fmt::Debug for Settings {
    /// Shows no secret: the password in the queue's URL is removed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.shown())
    }
}

impl Settings {
    /// Returns the keyframe strategies, without duplicates, the primary one first.
    pub fn strategies(&self) -> Vec<Strategy> {
        let others: &[Strategy] = match self.evaluate.grid {
            Grid::Standard => &[],
            Grid::Paper => &Strategy::ALL,
        };
        let mut strategies = vec![self.extract.strategy];
        for &strategy in self.extract.also.iter().chain(others) {
            if !strategies.contains(&strategy) {
                strategies.push(strategy);
            }
        }
        strategies
    }

    /// Returns the settings as JSON, for display and reports, without the password in the queue's
    /// URL and without what may be one in another location.
    pub fn shown(&self) -> serde_json::Value {
        let mut shown = serde_json::to_value(self).unwrap_or_default();
        redact_values(&mut shown);
        if let Some(queue) = shown.get_mut("queue") {
            *queue = redact_url(&self.queue).into();
        }
        shown
    }

    fn check(&self) -> Result<()> {
        self.extract.check()?;
        self.evaluate.check()?;
        self.coordinator.check()?;
        self.worker.check()?;
        self.rabbitmq.check()?;
        self.s3.check()?;
        self.sources.check()?;
        self.inference.check()?;
        if self.worker.job_limit_ms >= self.rabbitmq.consumer_timeout_ms {
            return Err(Error::invalid(format!(
                "the setting worker.job_limit_ms is {}: it must be less than rabbitmq.consumer_timeout_ms, which is {} (the \
                 broker's own consumer_timeout)",
                self.worker.job_limit_ms, self.rabbitmq.consumer_timeout_ms
            )));
        }
        self.decode.check()
    }
}

/// Takes what may be a password out of every text.
fn redact_values(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::String(text) => *text = redact::shown_setting(text),
        serde_json::Value::Array(values) => values.iter_mut().for_each(redact_values),
        serde_json::Value::Object(values) => values.values_mut().for_each(redact_values),
        _ => {}
    }
}
