//! Model files and how models are run.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::range::require;
use crate::error::Result;

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

impl Default for InferenceSettings {
    fn default() -> Self {
        InferenceSettings { provider: Provider::Cpu, device: 0, threads: 1, arena: true, batch: 0, wait_ms: 2 }
    }
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

    /// Checks the ranges of the settings.
    pub(super) fn check(&self) -> Result<()> {
        require((1..=1024).contains(&self.threads), "inference.threads", "1 to 1024")?;
        require(self.batch <= 1024, "inference.batch", "0 to 1024")?;
        require(self.wait_ms <= 10_000, "inference.wait_ms", "0 to 10000")
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
