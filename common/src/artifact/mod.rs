//! Artifacts: the content-addressed results of jobs, committed last.
//!
//! The location of an artifact consists of its kind, the hash of its [`Recipe`] and its [`Subject`]
//! (a trailer or a dataset, with the hash of its content):
//!
//! ```text
//! artifacts/KIND/RECIPE/ID@CONTENT/FILE...
//! artifacts/KIND/RECIPE/ID@CONTENT/commit.json
//! ```
//!
//! `commit.json` is written last and only if none exists; files without it are ignored. It holds no
//! time, host or run, so that the same input and recipe give the same bytes on every machine.

mod commit;
pub mod embedding_file;
mod key;
pub mod recipes;
pub mod table;
pub mod table_file;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{Error, Result};
use crate::hash::{self, Hash};

pub use commit::{
    Body, COMMIT_VERSION, Commit, CommitRecord, FileRecord, check_version, commit, committed, each_committed,
    each_committed_of_kind, has_version, list_committed, read_file,
};
pub use key::{ARTIFACTS_FOLDER, ArtifactKey, ArtifactPath, COMMIT_FILE};

/// The kind of an artifact. Its name is part of the location in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ArtifactKind {
    /// 16 keyframes of a trailer as JPEG in one tar that webdataset reads: `keyframes.tar`.
    Keyframes,
    /// The scenes of a trailer, for keyframe strategies that use scenes: `scenes.csv` in the format
    /// of PySceneDetect's `list-scenes`, and `scenes.json` with the score of every frame.
    Scenes,
    /// The objects that a detector found in a trailer, per keyframe, with a histogram over classes:
    /// `objects.json`.
    Objects,
    /// The video embedding of a trailer, one vector per keyframe and their mean:
    /// `embedding.safetensors`.
    VideoEmbedding,
    /// The audio embedding of a trailer, the mean over time and, if the recipe says so, over each
    /// of up to 16 windows: `embedding.safetensors`; no file for a trailer without sound.
    AudioEmbedding,
    /// The video embeddings of all trailers of a run: `embeddings.parquet`, in shards above 5,000
    /// rows ([`table`]).
    VideoTable,
    /// The audio embeddings of all trailers of a run, as the video embeddings.
    AudioTable,
    /// The keyframes of all trailers of a run as vectors, those of a trailer in their order: as the
    /// video embeddings, with a row for each part of a trailer.
    VideoParts,
    /// The sound windows of all trailers of a run, as the keyframes.
    AudioParts,
    /// One fold of one cell of the evaluation grid: `result.json`.
    Cell,
    /// Only a commit record: the result of a probe, see [`crate::run::job::ProbeTask`].
    Probe,
    /// The final model: `model.json`, `model.safetensors`, `model.onnx` and the files that they
    /// need.
    Model,
}

impl ArtifactKind {
    /// Every kind.
    pub const ALL: [ArtifactKind; 12] = [
        ArtifactKind::Keyframes,
        ArtifactKind::Scenes,
        ArtifactKind::Objects,
        ArtifactKind::VideoEmbedding,
        ArtifactKind::AudioEmbedding,
        ArtifactKind::VideoTable,
        ArtifactKind::AudioTable,
        ArtifactKind::VideoParts,
        ArtifactKind::AudioParts,
        ArtifactKind::Cell,
        ArtifactKind::Probe,
        ArtifactKind::Model,
    ];

    /// Returns the name used in keys, messages and reports.
    pub fn name(self) -> &'static str {
        match self {
            ArtifactKind::Keyframes => "keyframes",
            ArtifactKind::Scenes => "scenes",
            ArtifactKind::Objects => "objects",
            ArtifactKind::VideoEmbedding => "video-embedding",
            ArtifactKind::AudioEmbedding => "audio-embedding",
            ArtifactKind::VideoTable => "video-table",
            ArtifactKind::AudioTable => "audio-table",
            ArtifactKind::VideoParts => "video-parts",
            ArtifactKind::AudioParts => "audio-parts",
            ArtifactKind::Cell => "cell",
            ArtifactKind::Probe => "probe",
            ArtifactKind::Model => "model",
        }
    }

    /// Returns the kind of table that holds the parts of this kind of embedding.
    pub fn parts_table(self) -> Option<ArtifactKind> {
        match self {
            ArtifactKind::VideoEmbedding => Some(ArtifactKind::VideoParts),
            ArtifactKind::AudioEmbedding => Some(ArtifactKind::AudioParts),
            _ => None,
        }
    }

    /// Whether it is a table of parts: one with several rows for a trailer.
    pub fn has_parts(self) -> bool {
        matches!(self, ArtifactKind::VideoParts | ArtifactKind::AudioParts)
    }

    /// Parses the name of a kind.
    ///
    /// # Errors
    /// InvalidInput with the list of kinds.
    pub fn parse(name: &str) -> Result<ArtifactKind> {
        ArtifactKind::ALL.into_iter().find(|kind| kind.name() == name).ok_or_else(|| {
            let known = ArtifactKind::ALL.map(ArtifactKind::name).join(", ");
            Error::invalid(format!("`{name}` is not a kind of artifact: use one of {known}"))
        })
    }

    /// The version of the producer's contract. It is raised whenever the same parameters would give
    /// other bytes, so that older artifacts count as missing.
    pub fn contract(self) -> u32 {
        match self {
            // 2: JPEG from an encoder of this program. 3: JPEG from libjpeg-turbo. 4: times from
            // the first frame shown, spread over the length that the packets show; detectors held
            // to what their files state. 5: a gap before the first B-frame of an AVI adds no time.
            // 6: the length of the last frame, packets before the first key packet and a gap in an
            // AVI with timestamps move no target; a varying rate is compared in milliseconds.
            ArtifactKind::Keyframes => 6,
            // 2: real times in addition to PySceneDetect's. 3: the last scene ends with its last
            // frame at the rate that is shown. 4: as keyframes of contract 6.
            ArtifactKind::Scenes => 4,
            // 2: times from the first frame shown; detectors held to what their files state. 3: a
            // gap in an AVI with timestamps adds no time; detectors that were misread are refused.
            ArtifactKind::Objects => 3,
            // 2: a model that takes the whole sound at once also gets its last samples. 3: the
            // loudness of the sound over time in the facts. 4: the file states what it is.
            ArtifactKind::AudioEmbedding => 4,
            // 2: keyframes decoded by libjpeg-turbo and resized as Pillow does. 3: without
            // keyframes, the vector of a clip of zeros. 4: the file states what it is.
            ArtifactKind::VideoEmbedding => 4,
            // 2: dislikes are repeated at most up to the count of the rarer other class. 3: a
            // factorisation machine and likeness by shared viewers in the ensemble.
            ArtifactKind::Cell => 3,
            // 3: the card for people calls the stacked model ensemble. 4: as cells of contract 3.
            // 5: safetensors files state what they are. 6: weights between movies.
            // 7: ensembles reduce embeddings of new trailers.
            ArtifactKind::Model => 7,
            _ => 1,
        }
    }
}

/// How an artifact is made. Two artifacts of one subject with equal recipes have equal bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recipe {
    /// The kind of the artifact.
    pub kind: ArtifactKind,
    /// [`ArtifactKind::contract`] of the program that planned it.
    pub contract: u32,
    /// The producer's parameters.
    pub params: Value,
    /// The SHA-256 of each model file used.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<Hash>,
    /// The recipes of the artifacts that it is made from (upstream).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub upstream: Vec<Hash>,
}

impl Recipe {
    /// Creates a recipe of `kind` with the current contract.
    pub fn new(kind: ArtifactKind, params: impl Serialize) -> Result<Self> {
        let params = serde_json::to_value(params)
            .map_err(|e| Error::bug(format!("the parameters of {} do not serialise", kind.name())).with_source(e))?;
        Ok(Recipe { kind, contract: kind.contract(), params, models: Vec::new(), upstream: Vec::new() })
    }

    /// Returns the SHA-256 of the recipe's canonical JSON.
    pub fn hash(&self) -> Hash {
        hash::of_json(&serde_json::json!({
            "kind": self.kind, "contract": self.contract, "params": self.params, "models": self.models, "upstream": self.upstream,
        }))
    }

    /// Parses the parameters into the producer's type.
    pub fn parse<T: serde::de::DeserializeOwned>(&self) -> Result<T> {
        T::deserialize(&self.params).map_err(|e| {
            Error::invalid(format!("the {} recipe has parameters that this version does not read", self.kind.name()))
                .with_source(e)
        })
    }
}

/// The subject of an artifact: a trailer (its movie id and the hash of its bytes) or a dataset.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Subject {
    /// A movie id or the name of a dataset, valid in a key.
    pub id: String,
    /// The hash of its content.
    pub content: Hash,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_one_name_in_keys_and_records() {
        for kind in ArtifactKind::ALL {
            assert_eq!(ArtifactKind::parse(kind.name()).ok(), Some(kind));
            assert_eq!(serde_json::to_value(kind).ok(), Some(kind.name().into()));
        }
        let error = ArtifactKind::parse("trailer").expect_err("not a kind").to_string();
        assert!(error.contains("keyframes") && error.contains("model"), "{error}");
    }
}
