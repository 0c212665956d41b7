//! Settings: defaults, then a file, then the environment (`JHALAK__SECTION__KEY`), then flags. Unknown keys are refused.

pub mod ca_file;

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::dataset::ReadSettings;
use crate::error::{Error, Result};

/// Everything that can be set. Each section is one part of the system; units are in the names.
#[derive(Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Where artifacts and runs are kept: `file:///path`, a path, or `s3://bucket/prefix`.
    pub store: String,
    /// What carries jobs: `memory:` (one process) or `amqp://user:password@host:port/vhost`. May hold a password: never printed.
    pub queue: String,
    /// S3 access; credentials come from the usual AWS environment, profile or pod identity, never from here.
    pub s3: S3Settings,
    /// The queue's delays and limits.
    pub rabbitmq: QueueSettings,
    /// The coordinator process.
    pub coordinator: CoordinatorSettings,
    /// The worker process.
    pub worker: WorkerSettings,
    /// The files of models and of ONNX Runtime, and which models are used.
    pub models: ModelSettings,
    /// How models are run.
    pub inference: InferenceSettings,
    /// What is extracted from a trailer.
    pub extract: ExtractSettings,
    /// Limits on the decoding of one trailer, which runs in a child process.
    pub decode: DecodeSettings,
    /// How a dataset's files are read: `dataset.dislike_at_most` and `dataset.like_at_least`, the stars that make MovieLens' three classes.
    pub dataset: ReadSettings,
    /// What is trained and evaluated.
    pub evaluate: EvaluateSettings,
}

/// Access to S3 or a server that speaks it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct S3Settings {
    /// The server's URL where it is not AWS (SeaweedFS, MinIO, Ceph): path-style addressing is used there.
    pub endpoint: Option<String>,
    /// The region; `us-east-1` where neither this nor the environment says otherwise.
    pub region: Option<String>,
    /// Certificate authorities (PEM) that are trusted for `https` beside those of the machine.
    pub ca_file: Option<PathBuf>,
    /// How long to wait for a connection.
    pub connect_timeout_ms: u64,
    /// How long a transfer may stay without a single byte before it is cut and tried again.
    pub stall_timeout_ms: u64,
    /// How often one request is tried in all.
    pub attempts: u32,
    /// Files larger than this are uploaded in parts of this size (at least 5 MiB).
    pub part_size_bytes: u64,
}

/// The queue's delays and limits.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QueueSettings {
    /// Delay before each retry, shortest first; the last one serves all later retries. The number and the length of the
    /// tiers are part of the topology: all processes on one broker must agree.
    pub retry_delays_ms: Vec<u64>,
    /// After so many deliveries without acknowledgement the broker itself dead-letters a message.
    pub delivery_limit: u32,
    /// Certificate authorities (PEM) that are trusted for `amqps` beside those of the machine.
    pub ca_file: Option<PathBuf>,
    /// How long to wait for the broker when connecting.
    pub connect_timeout_ms: u64,
    /// How long a message may wait for a broker that is away before publishing it fails.
    pub publish_timeout_ms: u64,
    /// The heartbeat of a connection.
    pub heartbeat_s: u16,
    /// Prefix of every exchange and queue, so that several systems can share a broker.
    pub prefix: String,
}

/// The coordinator process.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CoordinatorSettings {
    /// Jobs of one run that are on the queue or with workers at once, at most: the rest waits in the store.
    pub window: usize,
}

/// The worker process.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WorkerSettings {
    /// How many jobs run side by side; 0 means one for each core.
    pub slots: usize,
    /// How often a job is tried before it is quarantined.
    pub attempts: u32,
    /// How long running jobs may take to finish after SIGTERM before they are handed back.
    pub grace_ms: u64,
    /// Folder for scratch files; each worker makes and removes a folder of its own inside.
    pub scratch: PathBuf,
    /// How much a worker keeps there at most, in megabytes: jobs whose trailers have no room wait. A trailer larger than this is quarantined.
    pub scratch_mb: u32,
    /// A file that the worker touches while it lives, for `jhalak-worker health`; none where this is not set.
    pub heartbeat_file: Option<PathBuf>,
    /// Time after which a training's state is kept in the store again, so that an interrupted one goes on there. 0 keeps it after every epoch.
    pub checkpoint_ms: u64,
}

/// The files of models and of ONNX Runtime, and which models are used.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModelSettings {
    /// The registry of models; the one built into the program where this is not set.
    pub registry: Option<PathBuf>,
    /// The folder that holds the model files named in the registry.
    pub folder: PathBuf,
    /// The ONNX Runtime library.
    pub onnxruntime: PathBuf,
    /// The model for video embeddings, by its name in the registry.
    pub video: String,
    /// Other models for video embeddings, of the keyframes of `extract.strategy` alone: the method's Table V has another one than its others.
    pub video_also: Vec<String>,
    /// The model for audio embeddings, by its name in the registry.
    pub audio: String,
    /// The model that finds objects, by its name in the registry.
    pub detector: String,
}

/// How models are run.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct InferenceSettings {
    /// What computes: `cpu`, or with a program built for it (`--features cuda`) `cuda` or `tensorrt`. One that is asked for and is not there is
    /// an error at start.
    pub provider: Provider,
    /// The number of the device, where the provider has several.
    pub device: u32,
    /// Threads inside one inference. 1 gives the same bytes everywhere, and jobs side by side use the other cores.
    pub threads: usize,
    /// Whether a model keeps the memory of its largest inference for the next one (faster), or gives it back each time.
    pub arena: bool,
    /// Rows (pictures, clips, chunks of sound) at most that are gathered from the jobs in flight into one inference; a single request may be
    /// larger. 0 leaves it to the provider: 1 on the processor, where rows together are no faster (BENCHMARKS.md) and take that much more
    /// memory, 16 on a GPU.
    pub batch: usize,
    /// How long the first row waits for others before a batch that is not full is run; 0 takes what is there.
    pub wait_ms: u64,
}

impl InferenceSettings {
    /// Rows at most that are gathered into one inference, `batch` decided.
    pub fn gathered_rows(&self) -> usize {
        match (self.batch, self.provider) {
            (0, Provider::Cpu) => 1,
            (0, _) => 16,
            (rows, _) => rows,
        }
    }
}

/// What computes an inference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", try_from = "String")]
pub enum Provider {
    /// The processor.
    #[default]
    Cpu,
    /// An NVIDIA GPU through CUDA.
    Cuda,
    /// An NVIDIA GPU through TensorRT, and CUDA for what that does not know.
    Tensorrt,
}

impl TryFrom<String> for Provider {
    type Error = String;
    fn try_from(word: String) -> Result<Provider, String> {
        [Provider::Cpu, Provider::Cuda, Provider::Tensorrt]
            .into_iter()
            .find(|provider| provider.name() == word)
            .ok_or_else(|| format!("inference.provider is `{word}`, and must be cpu, cuda or tensorrt"))
    }
}

impl Provider {
    /// The word used in settings.
    pub fn name(self) -> &'static str {
        match self {
            Provider::Cpu => "cpu",
            Provider::Cuda => "cuda",
            Provider::Tensorrt => "tensorrt",
        }
    }

    /// Whether it is the default: recipes then do not speak of it.
    pub fn is_cpu(&self) -> bool {
        *self == Provider::Cpu
    }
}

/// What is extracted from a trailer.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ExtractSettings {
    /// How keyframes are chosen: `equal-interval`, `scene-middle` or `scene-object` (method, section 3).
    pub strategy: Strategy,
    /// Other strategies whose keyframes and embeddings are made in the same decode, for comparison. The grid `paper` takes all.
    pub also: Vec<Strategy>,
    /// For the strategies that look at scenes: a frame whose score reaches this begins a scene. PySceneDetect's default is 27; the method's
    /// notebook has 10 for scene-middle.
    pub scene_threshold: f64,
    /// For the same: frames that a scene has at least.
    pub min_scene_len: u32,
    /// For scene-object: scenes of this many frames or fewer are passed over.
    pub scenes_longer_than: u64,
    /// For scene-object: objects count that score more than this.
    pub object_confidence: f32,
    /// For scene-object: every how many frames of a scene the detector looks. 1 is the method's every frame.
    pub object_stride: u64,
    /// Which point of each of the 16 intervals is taken: its `start` (as the method says) or its `middle`.
    pub keyframe_position: KeyframePosition,
    /// JPEG quality of the keyframes, 1 to 100.
    pub jpeg_quality: u8,
}

/// How keyframes are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// At equal intervals over the trailer.
    #[default]
    EqualInterval,
    /// The middle frames of the scenes in the middle of the trailer.
    SceneMiddle,
    /// Of each scene the frame with the most objects times classes, of those the ones with the most objects.
    SceneObject,
}

impl Strategy {
    /// Every strategy, in the paper's order.
    pub const ALL: [Strategy; 3] = [Strategy::EqualInterval, Strategy::SceneMiddle, Strategy::SceneObject];

    /// The word used in settings, recipes and reports.
    pub fn name(self) -> &'static str {
        match self {
            Strategy::EqualInterval => "equal-interval",
            Strategy::SceneMiddle => "scene-middle",
            Strategy::SceneObject => "scene-object",
        }
    }

    /// Whether it looks at scenes.
    pub fn by_scenes(self) -> bool {
        self != Strategy::EqualInterval
    }
}

/// Which point of an interval an equal-interval keyframe is taken at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyframePosition {
    /// i x D / 16.
    Start,
    /// (i + 1/2) x D / 16.
    Middle,
}

/// Limits on the decoding of one trailer.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DecodeSettings {
    /// Address space of the child process.
    pub memory_mb: u64,
    /// CPU time of the child process.
    pub cpu_s: u64,
    /// Wall time of the child process.
    pub wall_s: u64,
    /// Size of any one file that the child writes.
    pub output_mb: u64,
}

/// What is trained and evaluated.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EvaluateSettings {
    /// The seed of every split, initialisation and shuffle.
    pub seed: u64,
    /// Number of folds.
    pub folds: usize,
    /// Epochs of a training at most. The method's is 150; fewer make a quick look.
    pub epochs: usize,
    /// Which cells a run evaluates.
    pub grid: Grid,
}

/// Which cells a run evaluates.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Grid {
    /// Each modality through the classifier and the ANN, baselines and the honest model.
    #[default]
    Standard,
    /// Tables II to VI and Figure 7 of the paper, cell by cell.
    Paper,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            store: ".local/store".into(),
            queue: "memory:".into(),
            s3: S3Settings::default(),
            rabbitmq: QueueSettings::default(),
            coordinator: CoordinatorSettings::default(),
            worker: WorkerSettings::default(),
            models: ModelSettings::default(),
            inference: InferenceSettings::default(),
            extract: ExtractSettings::default(),
            decode: DecodeSettings::default(),
            dataset: ReadSettings::default(),
            evaluate: EvaluateSettings::default(),
        }
    }
}

impl Default for S3Settings {
    fn default() -> Self {
        S3Settings {
            endpoint: None,
            region: None,
            ca_file: None,
            connect_timeout_ms: 5_000,
            stall_timeout_ms: 20_000,
            attempts: 6,
            part_size_bytes: 16 << 20,
        }
    }
}

impl Default for QueueSettings {
    fn default() -> Self {
        QueueSettings {
            retry_delays_ms: vec![1_000, 10_000, 60_000, 300_000],
            delivery_limit: 20,
            ca_file: None,
            connect_timeout_ms: 10_000,
            publish_timeout_ms: 120_000,
            heartbeat_s: 30,
            prefix: "jhalak".into(),
        }
    }
}

impl Default for CoordinatorSettings {
    fn default() -> Self {
        CoordinatorSettings { window: 2_000 }
    }
}

impl Default for WorkerSettings {
    fn default() -> Self {
        WorkerSettings {
            slots: 0,
            attempts: 5,
            grace_ms: 25_000,
            scratch: std::env::temp_dir(),
            scratch_mb: 4_096,
            heartbeat_file: None,
            checkpoint_ms: 60_000,
        }
    }
}

impl Default for ModelSettings {
    fn default() -> Self {
        ModelSettings {
            registry: None,
            folder: ".local/models".into(),
            onnxruntime: ".local/onnxruntime/libonnxruntime.so".into(),
            video: "efficientnet-lite0".into(),
            video_also: Vec::new(),
            audio: "speech-embedding".into(),
            detector: "nanodet-g".into(),
        }
    }
}

impl Default for InferenceSettings {
    fn default() -> Self {
        InferenceSettings { provider: Provider::Cpu, device: 0, threads: 1, arena: true, batch: 0, wait_ms: 2 }
    }
}

impl Default for ExtractSettings {
    fn default() -> Self {
        ExtractSettings {
            strategy: Strategy::EqualInterval,
            also: Vec::new(),
            scene_threshold: 27.0,
            min_scene_len: 15,
            scenes_longer_than: 20,
            object_confidence: 0.5,
            object_stride: 1,
            keyframe_position: KeyframePosition::Start,
            jpeg_quality: 95,
        }
    }
}

impl Default for DecodeSettings {
    fn default() -> Self {
        DecodeSettings { memory_mb: 2_048, cpu_s: 600, wall_s: 900, output_mb: 1_024 }
    }
}

impl Default for EvaluateSettings {
    fn default() -> Self {
        EvaluateSettings { seed: 0, folds: 5, epochs: 150, grid: Grid::Standard }
    }
}

impl fmt::Debug for Settings {
    /// Shows no secret: the password in the queue's URL is left out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.shown())
    }
}

/// `url` without its user and password, for logs and reports.
pub fn redact_url(url: &str) -> String {
    match url::Url::parse(url) {
        Ok(mut parsed) if parsed.has_authority() => {
            // Both fail only for URLs that cannot have credentials, and those hold none.
            let _ = parsed.set_username("");
            let _ = parsed.set_password(None);
            parsed.set_query(None);
            parsed.to_string()
        }
        _ if url == "memory:" => url.to_string(),
        _ => "(a URL that cannot be read)".to_string(),
    }
}

impl Settings {
    /// Defaults, overlaid by the TOML file `file` where given, then by the environment, then by `flags` (`section.key`, value).
    ///
    /// # Errors
    /// InvalidInput that names the key where a key is unknown, or a value has the wrong type or is out of range.
    pub fn load(file: Option<&Path>, flags: &[(&str, String)]) -> Result<Settings> {
        let mut builder = config::Config::builder();
        if let Some(path) = file {
            if !path.is_file() {
                return Err(Error::invalid(format!("the configuration file {} does not exist", path.display())));
            }
            builder = builder.add_source(config::File::from(path).format(config::FileFormat::Toml));
        }
        let environment = config::Environment::with_prefix("JHALAK")
            .prefix_separator("__")
            .separator("__")
            .try_parsing(true)
            .list_separator(",")
            .with_list_parse_key("rabbitmq.retry_delays_ms")
            .with_list_parse_key("extract.also")
            .with_list_parse_key("models.video_also");
        builder = builder.add_source(environment);
        for (key, value) in flags {
            builder = builder
                .set_override(*key, value.as_str())
                .map_err(|e| Error::invalid(format!("setting {key}: {e}")))?;
        }
        let merged = builder.build().map_err(|e| Error::invalid(format!("the configuration cannot be read: {e}")))?;
        let settings: Settings =
            merged.try_deserialize().map_err(|e| Error::invalid(format!("the configuration is not valid: {e}")))?;
        settings.check()?;
        Ok(settings)
    }

    /// The strategies that keyframes are chosen by, the run's own first, each once.
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

    /// The settings as JSON, for people and reports: without the password in the queue's URL.
    pub fn shown(&self) -> serde_json::Value {
        let mut shown = serde_json::to_value(self).unwrap_or_default();
        if let Some(queue) = shown.get_mut("queue") {
            *queue = redact_url(&self.queue).into();
        }
        shown
    }

    fn check(&self) -> Result<()> {
        let require = |valid: bool, key: &str, range: &str| {
            if valid {
                Ok(())
            } else {
                Err(Error::invalid(format!("the setting {key} is out of range: it must be {range}")))
            }
        };
        require((1..=100).contains(&self.extract.jpeg_quality), "extract.jpeg_quality", "1 to 100")?;
        let threshold = self.extract.scene_threshold;
        require(threshold > 0.0 && threshold <= 255.0, "extract.scene_threshold", "above 0 and at most 255")?;
        require((0.0..=1.0).contains(&self.extract.object_confidence), "extract.object_confidence", "0 to 1")?;
        require(self.extract.object_stride >= 1, "extract.object_stride", "at least 1")?;
        require((2..=100).contains(&self.evaluate.folds), "evaluate.folds", "2 to 100")?;
        require(self.evaluate.epochs >= 1, "evaluate.epochs", "at least 1")?;
        require(self.coordinator.window >= 1, "coordinator.window", "at least 1")?;
        require(self.worker.attempts >= 1, "worker.attempts", "at least 1")?;
        require(self.worker.scratch_mb >= 1, "worker.scratch_mb", "at least 1")?;
        require(self.worker.slots <= 1024, "worker.slots", "0 to 1024")?;
        require(!self.rabbitmq.retry_delays_ms.is_empty(), "rabbitmq.retry_delays_ms", "a list of at least one delay")?;
        require(!self.rabbitmq.prefix.is_empty(), "rabbitmq.prefix", "a word")?;
        require(self.s3.attempts >= 1, "s3.attempts", "at least 1")?;
        require(self.s3.part_size_bytes >= 5 << 20, "s3.part_size_bytes", "at least 5242880")?;
        require((1..=1024).contains(&self.inference.threads), "inference.threads", "1 to 1024")?;
        require(self.inference.batch <= 1024, "inference.batch", "0 to 1024")?;
        require(self.inference.wait_ms <= 10_000, "inference.wait_ms", "0 to 10000")?;
        require(self.decode.memory_mb >= 256, "decode.memory_mb", "at least 256")
    }
}
