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

pub mod embedding_file;
pub mod recipes;
pub mod table_file;

use std::path::PathBuf;

use bytes::Bytes;
use futures::TryStreamExt;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{Error, ErrorKind, Result};
use crate::hash::{self, Hash};
use crate::store::{ObjectStore, PutOutcome, check_key};

/// The version of the commit record that this program writes and the newest that it reads.
pub const COMMIT_VERSION: u32 = 1;

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

/// The place of an artifact.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ArtifactKey {
    /// What it is.
    pub kind: ArtifactKind,
    /// How it is made.
    pub recipe: Hash,
    /// What it is about.
    pub subject: Subject,
}

impl ArtifactKey {
    /// The place of what `recipe` makes of `subject`.
    pub fn new(recipe: &Recipe, subject: &Subject) -> Self {
        ArtifactKey { kind: recipe.kind, recipe: recipe.hash(), subject: subject.clone() }
    }

    /// The folder that holds every artifact of one recipe.
    pub fn recipe_folder(kind: ArtifactKind, recipe: &Hash) -> String {
        format!("artifacts/{}/{}/", kind.name(), recipe.short())
    }

    /// The name of the subject's folder below the recipe's.
    pub fn subject_folder(subject: &Subject) -> String {
        format!("{}@{}", subject.id, subject.content.short())
    }

    /// The folder of this artifact, with a `/` at its end.
    pub fn folder(&self) -> String {
        format!("{}{}/", Self::recipe_folder(self.kind, &self.recipe), Self::subject_folder(&self.subject))
    }

    /// The key of one of its files.
    pub fn file(&self, name: &str) -> String {
        format!("{}{name}", self.folder())
    }

    /// The key of its commit record.
    pub fn commit(&self) -> String {
        self.file("commit.json")
    }
}

/// The record that makes an artifact exist.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CommitRecord {
    /// [`COMMIT_VERSION`] of the writer.
    pub version: u32,
    /// How it was made.
    pub recipe: Recipe,
    /// What it is about.
    pub subject: Subject,
    /// Its files, in the order in which they were put.
    pub files: Vec<FileRecord>,
    /// What a reader should know without opening the files: dimensions, counts, why something is short or absent.
    pub facts: Value,
}

/// One file of an artifact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRecord {
    /// Its name in the artifact's folder.
    pub name: String,
    /// Its length in bytes.
    pub size: u64,
    /// The hash of its bytes.
    pub sha256: Hash,
}

/// The bytes of a file to be committed.
#[derive(Debug)]
pub enum Body {
    /// Small: in memory.
    Bytes(Bytes),
    /// Large: on disk.
    File(PathBuf),
}

/// What came of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Commit {
    /// This call made the artifact exist.
    Committed,
    /// Another worker had committed it before; its bytes are the same.
    LostRace,
}

/// Puts the files of an artifact, then its commit record where none exists.
pub async fn commit(
    store: &dyn ObjectStore,
    recipe: &Recipe,
    subject: &Subject,
    files: Vec<(&str, Body)>,
    facts: Value,
) -> Result<Commit> {
    let key = ArtifactKey::new(recipe, subject);
    check_key(&key.commit())?;
    let mut records = Vec::with_capacity(files.len());
    for (name, body) in files {
        let place = key.file(name);
        let record = match body {
            Body::Bytes(bytes) => {
                let record = FileRecord { name: name.into(), size: bytes.len() as u64, sha256: hash::of_bytes(&bytes) };
                store.put(&place, bytes).await?;
                record
            }
            Body::File(path) => {
                let (sha256, size) = hash::of_file(path.clone()).await?;
                store.upload(&place, &path).await?;
                FileRecord { name: name.into(), size, sha256 }
            }
        };
        records.push(record);
        crate::process::fault_point::reach("after-first-put");
    }
    let record = CommitRecord {
        version: COMMIT_VERSION,
        recipe: recipe.clone(),
        subject: subject.clone(),
        files: records,
        facts,
    };
    let json = hash::canonical_json(
        &serde_json::to_value(&record).map_err(|e| Error::bug("a commit record does not serialise").with_source(e))?,
    );
    Ok(match store.put_if_absent(&key.commit(), json.into()).await? {
        PutOutcome::Created => Commit::Committed,
        PutOutcome::AlreadyExists => Commit::LostRace,
    })
}

/// The commit record of an artifact, None where it does not exist.
pub async fn committed(store: &dyn ObjectStore, key: &ArtifactKey) -> Result<Option<CommitRecord>> {
    let place = key.commit();
    let bytes = match store.get(&place).await {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e),
    };
    let value: Value = serde_json::from_slice(&bytes).map_err(|e| {
        Error::invalid(format!("the commit record {place} is damaged: delete it to have it made again")).with_source(e)
    })?;
    check_version(&value, COMMIT_VERSION, &place)?;
    let record: CommitRecord = serde_json::from_value(value).map_err(|e| {
        Error::invalid(format!("the commit record {place} is damaged: delete it to have it made again")).with_source(e)
    })?;
    if record.recipe.hash() != key.recipe || record.subject != key.subject {
        return Err(Error::invalid(format!(
            "the commit record {place} belongs to another recipe or subject: delete it to have it made again"
        )));
    }
    Ok(Some(record))
}

/// Refuses a stored or sent `value` whose `version` is newer than `newest`.
pub fn check_version(value: &Value, newest: u32, what: &str) -> Result<()> {
    match value.get("version").and_then(Value::as_u64) {
        Some(version) if (1..=u64::from(newest)).contains(&version) => Ok(()),
        Some(version) => Err(Error::invalid(format!(
            "{what} has version {version}, and this program reads up to {newest}: upgrade it"
        ))),
        None => Err(Error::invalid(format!("{what} has no version"))),
    }
}

/// Reads the file `name` of a committed artifact and checks its bytes against the record.
pub async fn read_file(store: &dyn ObjectStore, record: &CommitRecord, name: &str) -> Result<Bytes> {
    let key = ArtifactKey::new(&record.recipe, &record.subject);
    let place = key.file(name);
    let Some(file) = record.files.iter().find(|f| f.name == name) else {
        return Err(Error::invalid(format!("the artifact {} has no file {name}", key.folder())));
    };
    let advice = "`jhalak doctor --store --repair` and the same run once more make it again";
    let bytes = match store.get(&place).await {
        Err(e) if e.kind() == ErrorKind::NotFound => {
            return Err(Error::invalid(format!("{place} was committed and is missing: {advice}")));
        }
        other => other?,
    };
    if hash::of_bytes(&bytes) != file.sha256 {
        return Err(Error::invalid(format!("{place} is not what was committed: {advice}")));
    }
    Ok(bytes)
}

/// The subjects' folders (see [`ArtifactKey::subject_folder`]) of everything committed under one recipe, in ascending order.
pub async fn list_committed(store: &dyn ObjectStore, kind: ArtifactKind, recipe: &Hash) -> Result<Vec<String>> {
    let mut found = Vec::new();
    each_committed(store, kind, recipe, |subject| found.push(subject.to_string())).await?;
    Ok(found)
}

/// Shows the same folders one by one, for callers that keep less than the names.
pub async fn each_committed(
    store: &dyn ObjectStore,
    kind: ArtifactKind,
    recipe: &Hash,
    mut show: impl FnMut(&str),
) -> Result<()> {
    let folder = ArtifactKey::recipe_folder(kind, recipe);
    let mut objects = store.list(&folder);
    while let Some(object) = objects.try_next().await? {
        if let Some(subject) = object.key[folder.len()..].strip_suffix("/commit.json") {
            show(subject);
        }
    }
    Ok(())
}
