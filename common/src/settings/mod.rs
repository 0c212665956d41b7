//! Settings: defaults, overridden by a file, the environment (`JHALAK__SECTION__KEY`) and flags, in
//! this order. Unknown keys are refused.

pub mod ca_file;
mod evaluate;
mod extract;
mod inference;
mod processes;
mod range;
mod redact;
pub mod reference;
mod report;
pub mod secret_file;
mod services;
mod sources;
mod telemetry;

use std::fmt;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::dataset::ReadSettings;
use crate::error::{Error, Result};

pub use evaluate::{EvaluateSettings, Grid};
pub use extract::{ExtractSettings, KeyframePosition, Strategy};
pub use inference::{InferenceSettings, ModelSettings, Provider, cache_folder};
pub use processes::{CoordinatorSettings, DecodeSettings, OnStop, WorkerSettings};
pub use redact::{has_password, is_path, is_unambiguous, redact_text, redact_url, shown_location};
pub use report::{Images, ReportSettings};
pub use services::{QueueSettings, S3Settings};
pub use sources::SourceSettings;
pub use telemetry::TelemetrySettings;

/// The queue of one process.
const MEMORY: &str = "memory:";

/// The prefix of variables of the environment that set settings: `JHALAK__SECTION__KEY`.
pub(crate) const ENVIRONMENT_PREFIX: &str = "JHALAK";

/// Settings that are lists: in the environment and on the command line, commas separate their values.
const LISTS: [&str; 5] =
    ["rabbitmq.retry_delays_ms", "worker.sources", "sources.https_hosts", "extract.also", "models.video_also"];

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
    /// Access to S3. Credentials come from the usual AWS environment, profile or pod identity, or from
    /// files, never from the settings.
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
    /// Loads the defaults, overridden by the TOML file `file` if given, then by the environment,
    /// then by `flags` (`section.key`, value).
    ///
    /// # Errors
    /// InvalidInput with the key if a key is unknown, or a value has the wrong type or is out of
    /// range.
    pub fn load(file: Option<&Path>, flags: &[(String, String)]) -> Result<Settings> {
        check_environment(std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()))?;
        let mut builder = config::Config::builder();
        if let Some(path) = file {
            if !path.is_file() {
                return Err(Error::invalid(format!("the configuration file {} does not exist", path.display())));
            }
            builder = builder.add_source(config::File::from(path).format(config::FileFormat::Toml));
        }
        let environment = config::Environment::with_prefix(ENVIRONMENT_PREFIX)
            .prefix_separator("__")
            .separator("__")
            .try_parsing(true)
            .list_separator(",");
        let environment = LISTS.iter().fold(environment, |source, list| source.with_list_parse_key(list));
        builder = builder.add_source(environment);
        for (key, value) in flags {
            let value: config::Value = match LISTS.contains(&key.as_str()) {
                true => value.split(',').filter(|one| !one.is_empty()).map(str::to_owned).collect::<Vec<_>>().into(),
                false => value.as_str().into(),
            };
            builder =
                builder.set_override(key.as_str(), value).map_err(|e| Error::invalid(format!("setting {key}: {e}")))?;
        }
        let merged = builder.build().map_err(|e| {
            Error::invalid(format!("the configuration cannot be read: {}", redact_text(&e.to_string())))
        })?;
        let mut settings: Settings = merged
            .try_deserialize()
            .map_err(|e| Error::invalid(format!("the configuration is not valid: {}", redact_text(&e.to_string()))))?;
        settings.read_queue_file()?;
        settings.check()?;
        Ok(settings)
    }

    /// Takes the queue's URL from its file, if one is named.
    fn read_queue_file(&mut self) -> Result<()> {
        let Some(file) = &self.queue_file else { return Ok(()) };
        if self.queue != MEMORY {
            return Err(Error::invalid("the settings queue and queue_file are both set: remove one of them"));
        }
        self.queue = secret_file::read("queue_file", file)?;
        self.rabbitmq.url_file = Some(file.clone());
        Ok(())
    }

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
    /// URL.
    pub fn shown(&self) -> serde_json::Value {
        let mut shown = serde_json::to_value(self).unwrap_or_default();
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

/// Refuses variables that look like settings and would not be read: with one underscore after
/// `JHALAK` in place of two.
fn check_environment(names: impl Iterator<Item = String>) -> Result<()> {
    const SECTIONS: [&str; 14] = [
        "STORE",
        "QUEUE",
        "S3",
        "RABBITMQ",
        "COORDINATOR",
        "WORKER",
        "MODELS",
        "INFERENCE",
        "EXTRACT",
        "DECODE",
        "DATASET",
        "EVALUATE",
        "SOURCES",
        "TELEMETRY",
    ];
    for name in names {
        let Some(rest) = name.strip_prefix("JHALAK_").filter(|rest| !rest.starts_with('_')) else { continue };
        let section = SECTIONS
            .iter()
            .find(|section| rest.strip_prefix(**section).is_some_and(|r| r.is_empty() || r.starts_with('_')));
        if let Some(section) = section {
            let key = rest[section.len()..].trim_start_matches('_');
            let separator = match (key.is_empty(), *section) {
                (true, _) => "",
                (false, "STORE" | "QUEUE") => "_",
                (false, _) => "__",
            };
            return Err(Error::invalid(format!(
                "the environment variable {name} is not read: settings have two underscores, JHALAK__{section}{separator}{key}"
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_with_one_underscore_are_refused_with_the_right_name() {
        let check = |name: &str| check_environment([name.to_owned()].into_iter());
        for name in ["JHALAK__STORE", "JHALAK_CONFIG", "JHALAK_SLOT", "JHALAK_STOREROOM", "JHALAK_CACHE", "PATH"] {
            assert!(check(name).is_ok(), "{name}");
        }
        for (name, right) in [("JHALAK_STORE", "JHALAK__STORE"), ("JHALAK_DECODE_WALL_S", "JHALAK__DECODE__WALL_S")] {
            let refused = check(name).expect_err(name).to_string();
            assert!(refused.contains(name) && refused.ends_with(right), "{refused}");
        }
    }
}
