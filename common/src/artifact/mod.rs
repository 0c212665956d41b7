//! Artifacts: what jobs make, content-addressed and committed last.
//!
//! An artifact's place is made of its kind, its [`Recipe`]'s hash and its [`Subject`] (a trailer or a dataset, with the hash of its content):
//!
//! ```text
//! artifacts/KIND/RECIPE/ID@CONTENT/FILE...
//! artifacts/KIND/RECIPE/ID@CONTENT/commit.json
//! ```
//!
//! `commit.json` is written last and only where none exists; without it nothing else there is looked at. It holds no time, host or
//! run, so that the same input and recipe give the same bytes wherever they were made.

mod commit;
pub mod embedding_file;
mod key;
pub mod recipes;
pub mod table_file;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{Error, Result};
use crate::hash::{self, Hash};

pub use commit::{
    Body, COMMIT_VERSION, Commit, CommitRecord, FileRecord, check_version, commit, committed, each_committed,
    each_committed_of_kind, list_committed, read_file,
};
pub use key::{ARTIFACTS_FOLDER, ArtifactKey, ArtifactPath, COMMIT_FILE};

/// What an artifact is. The name is part of its place in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ArtifactKind {
    /// 16 keyframes of a trailer as JPEG in one tar that webdataset reads: `keyframes.tar`.
    Keyframes,
    /// A trailer's scenes, where its keyframes are chosen by them: `scenes.csv` as PySceneDetect's `list-scenes` writes it, and `scenes.json`
    /// with every frame's score.
    Scenes,
    /// What a detector saw on the way to a trailer's keyframes: the objects of each keyframe, and a histogram over classes: `objects.json`.
    Objects,
    /// A trailer's video embedding, a vector a keyframe and their mean: `embedding.safetensors`.
    VideoEmbedding,
    /// A trailer's audio embedding, its mean over time: `embedding.safetensors`; no file for a trailer without sound.
    AudioEmbedding,
    /// The video embeddings of all trailers of a run: `embeddings.parquet`.
    VideoTable,
    /// The audio embeddings of all trailers of a run: `embeddings.parquet`.
    AudioTable,
    /// One fold of one cell of the evaluation grid: `result.json`.
    Cell,
    /// Nothing but its commit record: what a probe leaves, see [`crate::run::job::ProbeTask`].
    Probe,
    /// The final model: `model.json`, `model.safetensors`, `model.onnx` and what they need beside them.
    Model,
}

impl ArtifactKind {
    /// The word used in keys, messages and reports.
    pub fn name(self) -> &'static str {
        match self {
            ArtifactKind::Keyframes => "keyframes",
            ArtifactKind::Scenes => "scenes",
            ArtifactKind::Objects => "objects",
            ArtifactKind::VideoEmbedding => "video-embedding",
            ArtifactKind::AudioEmbedding => "audio-embedding",
            ArtifactKind::VideoTable => "video-table",
            ArtifactKind::AudioTable => "audio-table",
            ArtifactKind::Cell => "cell",
            ArtifactKind::Probe => "probe",
            ArtifactKind::Model => "model",
        }
    }

    /// The kind of this name.
    ///
    /// # Errors
    /// InvalidInput that names the kinds there are.
    pub fn parse(name: &str) -> Result<ArtifactKind> {
        serde_json::from_value(Value::from(name)).map_err(|e| Error::invalid(format!("no artifact is called so: {e}")))
    }

    /// The version of what a producer of this kind does: raised whenever the same parameters would give other bytes, so that
    /// what was made before counts as missing.
    pub fn contract(self) -> u32 {
        match self {
            // 2: JPEG by this program's own encoder.
            ArtifactKind::Keyframes => 2,
            // 2: a model that hears the whole sound at once hears its last samples too.
            ArtifactKind::AudioEmbedding => 2,
            // 2: keyframes decoded by libjpeg-turbo and resized as Pillow does.
            ArtifactKind::VideoEmbedding => 2,
            // 2: dislikes are repeated up to the number of the rarer other class, and no more.
            ArtifactKind::Cell | ArtifactKind::Model => 2,
            _ => 1,
        }
    }
}

/// How an artifact is made. Two artifacts of one subject with equal recipes have equal bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recipe {
    /// What is made.
    pub kind: ArtifactKind,
    /// [`ArtifactKind::contract`] of the program that planned it.
    pub contract: u32,
    /// The parameters of its producer.
    pub params: Value,
    /// The SHA-256 of each model file used.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<Hash>,
    /// The recipes of the artifacts that it is made from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub upstream: Vec<Hash>,
}

impl Recipe {
    /// The recipe of `kind` with the current contract.
    pub fn new(kind: ArtifactKind, params: impl Serialize) -> Result<Self> {
        let params = serde_json::to_value(params)
            .map_err(|e| Error::bug(format!("the parameters of {} do not serialise", kind.name())).with_source(e))?;
        Ok(Recipe { kind, contract: kind.contract(), params, models: Vec::new(), upstream: Vec::new() })
    }

    /// The hash that stands for this recipe: SHA-256 over its canonical JSON.
    pub fn hash(&self) -> Hash {
        hash::of_json(&serde_json::json!({
            "kind": self.kind, "contract": self.contract, "params": self.params, "models": self.models, "upstream": self.upstream,
        }))
    }

    /// The parameters as the type that the producer reads.
    pub fn parse<T: serde::de::DeserializeOwned>(&self) -> Result<T> {
        T::deserialize(&self.params).map_err(|e| {
            Error::invalid(format!("the {} recipe has parameters that this version does not read", self.kind.name()))
                .with_source(e)
        })
    }
}

/// What an artifact is about: a trailer (its movie id and the hash of its bytes) or a dataset.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Subject {
    /// A movie id or a dataset's name; fit for a key.
    pub id: String,
    /// What identifies its content.
    pub content: Hash,
}
