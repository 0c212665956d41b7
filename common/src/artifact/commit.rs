//! Committing an artifact and finding committed ones: files first, `commit.json` last and only
//! where none exists.

use std::path::PathBuf;

use bytes::Bytes;
use futures::TryStreamExt;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::key::{ArtifactKey, ArtifactPath};
use super::{ArtifactKind, Recipe, Subject};
use crate::error::{Error, ErrorKind, Result};
use crate::hash::{self, Hash};
use crate::process::fault_point;
use crate::store::{ObjectStore, PutOutcome, check_key};

/// The version of the commit record that this program writes and the newest that it reads.
pub const COMMIT_VERSION: u32 = 1;

/// The record that makes an artifact exist.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CommitRecord {
    /// [`COMMIT_VERSION`] of the writer.
    pub version: u32,
    /// How it was made.
    pub recipe: Recipe,
    /// What it is about.
    pub subject: Subject,
    /// Its files, in the order in which they were written.
    pub files: Vec<FileRecord>,
    /// Facts for readers that do not open the files: dimensions, counts, why a file is short or
    /// absent.
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

/// The result of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Commit {
    /// This call committed the artifact.
    Committed,
    /// Another worker committed it first, with the same bytes.
    LostRace,
}

/// Writes the files of an artifact, then its commit record unless one exists (invariants 2 and 3 in
/// ARCHITECTURE.md).
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
        fault_point::reach("after-first-put");
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

/// Reads the commit record of an artifact; None if it does not exist.
pub async fn committed(store: &dyn ObjectStore, key: &ArtifactKey) -> Result<Option<CommitRecord>> {
    let place = key.commit();
    let bytes = match store.get(&place).await {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e),
    };
    let value: Value = serde_json::from_slice(&bytes).map_err(|e| {
        Error::invalid(format!(
            "the commit record {place} is damaged: delete it, and the next run makes the artifact again"
        ))
        .with_source(e)
    })?;
    check_version(&value, COMMIT_VERSION, &place)?;
    let record: CommitRecord = serde_json::from_value(value).map_err(|e| {
        Error::invalid(format!(
            "the commit record {place} is damaged: delete it, and the next run makes the artifact again"
        ))
        .with_source(e)
    })?;
    if record.recipe.hash() != key.recipe || record.subject != key.subject {
        return Err(Error::invalid(format!(
            "the commit record {place} belongs to another recipe or subject: delete it, and the next run makes the artifact again"
        )));
    }
    Ok(Some(record))
}

/// Refuses a stored or received `value` whose `version` is newer than `newest`.
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
    let advice = "run `jhalak doctor --store --repair`, then the same run again";
    let bytes = match store.get(&place).await {
        Err(e) if e.kind() == ErrorKind::NotFound => {
            return Err(Error::invalid(format!("{place} was committed but is missing: {advice}")));
        }
        other => other?,
    };
    if hash::of_bytes(&bytes) != file.sha256 {
        return Err(Error::invalid(format!("{place} differs from what was committed: {advice}")));
    }
    Ok(bytes)
}

/// Lists the subject folders ([`ArtifactKey::subject_folder`]) of every artifact committed under
/// one recipe, in ascending order.
pub async fn list_committed(store: &dyn ObjectStore, kind: ArtifactKind, recipe: &Hash) -> Result<Vec<String>> {
    let mut found = Vec::new();
    each_committed(store, kind, recipe, |subject| found.push(subject.to_string())).await?;
    Ok(found)
}

/// Calls `visit` with the subject folder of every artifact committed under one recipe, for callers
/// that need not hold the whole list.
pub async fn each_committed(
    store: &dyn ObjectStore,
    kind: ArtifactKind,
    recipe: &Hash,
    visit: impl FnMut(&str),
) -> Result<()> {
    each_committed_below(store, &ArtifactKey::recipe_folder(kind, recipe), visit).await
}

/// Calls `visit` with the subject folder of every committed artifact of `kind`, once for each
/// recipe.
pub async fn each_committed_of_kind(
    store: &dyn ObjectStore,
    kind: ArtifactKind,
    visit: impl FnMut(&str),
) -> Result<()> {
    each_committed_below(store, &ArtifactKey::kind_folder(kind), visit).await
}

async fn each_committed_below(store: &dyn ObjectStore, folder: &str, mut visit: impl FnMut(&str)) -> Result<()> {
    let mut objects = store.list(folder);
    while let Some(object) = objects.try_next().await? {
        if let Some(path) = ArtifactKey::parse(&object.key).filter(ArtifactPath::is_commit) {
            visit(path.subject);
        }
    }
    Ok(())
}
