//! Model files and how models are run.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::range::require;
use crate::error::Result;

/// Files of models and of ONNX Runtime, and the chosen models.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ModelSettings {
    /// The registry of models. Default: the built-in registry.
    pub registry: Option<PathBuf>,
    /// The folder with the model files of the registry. Default: `.local/models` if it exists in
    /// the current folder, else `models` in the cache folder (`$JHALAK_CACHE`, or `jhalak` in
    /// `$XDG_CACHE_HOME` or `~/.cache`), where missing models are fetched at their first use.
    pub folder: PathBuf,
    /// The ONNX Runtime library. Default: `.local/onnxruntime/libonnxruntime.so` if it exists, else
    /// the same below the cache folder, where it is fetched at its first use.
    pub onnxruntime: PathBuf,
    /// Name in the registry of the model for video embeddings.
    pub video: String,
    /// Other models for video embeddings, only for the keyframes of `extract.strategy`: Table V of
    /// the paper uses another model than its other tables.
    pub video_also: Vec<String>,
    /// Name in the registry of the model for audio embeddings.
    pub audio: String,
    /// Name in the registry of the object detector.
    pub detector: String,
}

impl Default for ModelSettings {
    fn default() -> Self {
        ModelSettings {
            registry: None,
            folder: installed("models"),
            onnxruntime: installed("onnxruntime/libonnxruntime.so"),
            video: "efficientnet-lite0".into(),
            video_also: Vec::new(),
            audio: "speech-embedding".into(),
            detector: "nanodet-g".into(),
        }
    }
}

/// Returns the folder for downloads: `$JHALAK_CACHE`, or `jhalak` in `$XDG_CACHE_HOME` or
/// `~/.cache`, as an absolute path. None if none of these variables is set.
pub fn cache_folder() -> Option<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let xdg = || variable("XDG_CACHE_HOME").or_else(|| variable("HOME").map(|home| home.join(".cache")));
    let folder = variable("JHALAK_CACHE").or_else(|| xdg().map(|folder| folder.join("jhalak")))?;
    std::path::absolute(folder).ok()
}

/// Returns `name` below `.local` if it exists in the current folder, a checkout; else below the
/// cache folder.
fn installed(name: &str) -> PathBuf {
    let local = std::path::Path::new(".local").join(name);
    match cache_folder() {
        Some(cache) if !local.exists() => cache.join(name),
        _ => local,
    }
}

/// Inference.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct InferenceSettings {
    /// The execution provider: `cpu`, or in a build with `--features cuda` also `cuda` or
    /// `tensorrt`. An unavailable provider is an error at start (invariant 7 in ARCHITECTURE.md).
    #[schemars(with = "String")]
    pub provider: Provider,
    /// The number of the device, if the provider has several.
    pub device: u32,
    /// Threads of one inference. 1 gives the same bytes everywhere; concurrent jobs use the other
    /// cores.
    pub threads: usize,
    /// Whether a model keeps the memory of its largest inference for the next one (faster) or frees
    /// it each time.
    pub arena: bool,
    /// Maximum number of rows (pictures, clips, chunks of sound) that are gathered from running
    /// jobs into one inference; a single request may be larger. 0 means 1 on the CPU, where batches
    /// are not faster (BENCHMARKS.md) and need more memory, and 16 on a GPU.
    pub batch: usize,
    /// How long the first row waits for others before an incomplete batch is run; 0 does not wait.
    pub wait_ms: u64,
}

impl Default for InferenceSettings {
    fn default() -> Self {
        InferenceSettings { provider: Provider::Cpu, device: 0, threads: 1, arena: true, batch: 0, wait_ms: 2 }
    }
}

impl InferenceSettings {
    /// Returns the maximum number of gathered rows, with 0 resolved by provider.
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

/// The execution provider of an inference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", try_from = "String")]
pub enum Provider {
    /// The CPU.
    #[default]
    Cpu,
    /// An NVIDIA GPU through CUDA.
    Cuda,
    /// An NVIDIA GPU through TensorRT, with CUDA for unsupported operators.
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
    /// Returns the name used in settings.
    pub fn name(self) -> &'static str {
        match self {
            Provider::Cpu => "cpu",
            Provider::Cuda => "cuda",
            Provider::Tensorrt => "tensorrt",
        }
    }

    /// Whether it is the default, which recipes omit.
    pub fn is_cpu(&self) -> bool {
        *self == Provider::Cpu
    }
}
