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

/// Files up to this size are created under their own name and only where none exists, which holds
/// them in memory; larger ones are uploaded in parts under a name of their content.
const MAX_CONDITIONAL_BYTES: u64 = 32 << 20;

/// The record that makes an artifact exist.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CommitRecord {
    /// [`COMMIT_VERSION`] of the writer.
    pub version: u32,
    /// How it was made.
    pub recipe: Recipe,
    /// The subject.
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
    /// Its name, such as `keyframes.tar`.
    pub name: String,
    /// The name of its object in the artifact's folder, where that is not `name`: another copy of
    /// the job had put other bytes there, or the file is large. It contains a hash of the bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<String>,
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
    /// Another worker committed it first.
    LostRace,
}

impl FileRecord {
    /// Returns the key of its object in the artifact `key`.
    pub fn key(&self, key: &ArtifactKey) -> String {
        key.file(self.object.as_deref().unwrap_or(&self.name))
    }
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
        let record = put_file(store, &key, name, body).await?;
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
    let json = Bytes::from(json);
    Ok(match store.put_if_absent(&key.commit(), json.clone()).await? {
        PutOutcome::Created => Commit::Committed,
        // A full disk leaves empty files. Two writers at once write the same facts.
        PutOutcome::AlreadyExists if is_empty(store, &key.commit()).await? => {
            store.put(&key.commit(), json).await?;
            Commit::Committed
        }
        PutOutcome::AlreadyExists => Commit::LostRace,
    })
}

/// Whether an object is there and has no bytes.
async fn is_empty(store: &dyn ObjectStore, key: &str) -> Result<bool> {
    match store.head(key).await {
        Ok(found) => Ok(found.size == 0),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(false),
        Err(e) => Err(e),
    }
}

/// Writes one file of an artifact and never replaces an object: two copies of a job may write
/// different bytes (the embedding of another type of processor differs in its last bits), and the
/// later copy must not put its bytes over those that the first one commits.
async fn put_file(store: &dyn ObjectStore, key: &ArtifactKey, name: &str, body: Body) -> Result<FileRecord> {
    let (sha256, size) = match &body {
        Body::Bytes(bytes) => (hash::of_bytes(bytes), bytes.len() as u64),
        Body::File(path) => hash::of_file(path.clone()).await?,
    };
    let mut record = FileRecord { name: name.into(), object: None, size, sha256 };
    let bytes = match body {
        Body::Bytes(bytes) => bytes,
        Body::File(path) if size <= MAX_CONDITIONAL_BYTES => tokio::fs::read(path).await?.into(),
        Body::File(path) => {
            record.object = Some(object_name(name, &sha256));
            store.upload(&record.key(key), &path).await?;
            return Ok(record);
        }
    };
    let object = record.key(key);
    if store.put_if_absent(&object, bytes.clone()).await? == PutOutcome::AlreadyExists {
        let is_same = match store.head(&object).await {
            Ok(found) => found.size == size && hash::of_bytes(&store.get(&object).await?) == sha256,
            Err(e) if e.kind() == ErrorKind::NotFound => false,
            Err(e) => return Err(e),
        };
        if !is_same {
            record.object = Some(object_name(name, &sha256));
            store.put(&record.key(key), bytes).await?;
        }
    }
    Ok(record)
}

/// Returns the name of an object that only these bytes ever have: `keyframes.tar` with the hash
/// `0123...` is `keyframes-0123456789abcdef.tar`.
fn object_name(name: &str, sha256: &Hash) -> String {
    let hash = sha256.short();
    match name.rsplit_once('.') {
        Some((stem, extension)) => format!("{stem}-{hash}.{extension}"),
        None => format!("{name}-{hash}"),
    }
}

/// Reads the commit record of an artifact; None if it does not exist, or is empty, as a full disk
/// leaves files: the next commit writes it.
pub async fn committed(store: &dyn ObjectStore, key: &ArtifactKey) -> Result<Option<CommitRecord>> {
    let place = key.commit();
    let bytes = match store.get(&place).await {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e),
    };
    if bytes.is_empty() {
        return Ok(None);
    }
    let damaged = || {
        Error::invalid(format!(
            "the commit record {place} is damaged: delete it, and the next run makes the artifact again"
        ))
    };
    let value: Value = serde_json::from_slice(&bytes).map_err(|e| damaged().with_source(e))?;
    if !has_version(&value) {
        return Err(damaged());
    }
    check_version(&value, COMMIT_VERSION, &place)?;
    let record: CommitRecord = serde_json::from_value(value).map_err(|e| damaged().with_source(e))?;
    if record.recipe.hash() != key.recipe || record.subject != key.subject {
        return Err(Error::invalid(format!(
            "the commit record {place} belongs to another recipe or subject: delete it, and the next run makes the artifact again"
        )));
    }
    Ok(Some(record))
}

/// Whether a stored `value` has a version, whichever: without one no program wrote it.
pub fn has_version(value: &Value) -> bool {
    value.get("version").and_then(Value::as_u64).is_some_and(|version| version > 0)
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
///
/// # Errors
/// NotFound, with the way out, if the file is missing or does not hold the committed bytes: a job
/// that needs them is not at fault.
pub async fn read_file(store: &dyn ObjectStore, record: &CommitRecord, name: &str) -> Result<Bytes> {
    let key = ArtifactKey::new(&record.recipe, &record.subject);
    let Some(file) = record.files.iter().find(|f| f.name == name) else {
        return Err(Error::invalid(format!("the artifact {} has no file {name}", key.folder())));
    };
    let place = file.key(&key);
    let advice = "run `jhalak doctor --store --repair`, then the same run again";
    let bytes = match store.get(&place).await {
        Err(e) if e.kind() == ErrorKind::NotFound => {
            return Err(Error::not_found(format!("{place} was committed but is missing: {advice}")));
        }
        other => other?,
    };
    if hash::of_bytes(&bytes) != file.sha256 {
        return Err(Error::not_found(format!("{place} differs from what was committed: {advice}")));
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
        if object.size == 0 {
            continue;
        }
        if let Some(path) = ArtifactKey::parse(&object.key).filter(ArtifactPath::is_commit) {
            visit(path.subject);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::local::LocalStore;
    use serde_json::json;

    async fn commit_bytes(store: &dyn ObjectStore, bytes: &'static [u8]) -> Commit {
        let recipe = Recipe::new(ArtifactKind::Scenes, json!({})).expect("JSON");
        let subject = Subject { id: "m".into(), content: hash::of_bytes(b"m") };
        let files = vec![("scenes.csv", Body::Bytes(Bytes::from_static(bytes)))];
        commit(store, &recipe, &subject, files, json!({})).await.expect("room on disk")
    }

    #[tokio::test]
    async fn a_later_copy_with_other_bytes_changes_no_committed_byte() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = LocalStore::open(folder.path()).expect("a folder");
        assert_eq!(commit_bytes(&store, b"first").await, Commit::Committed);
        assert_eq!(commit_bytes(&store, b"other").await, Commit::LostRace);
        let recipe = Recipe::new(ArtifactKind::Scenes, json!({})).expect("JSON");
        let subject = Subject { id: "m".into(), content: hash::of_bytes(b"m") };
        let key = ArtifactKey::new(&recipe, &subject);
        let record = committed(&store, &key).await.expect("readable").expect("a record");
        assert_eq!(read_file(&store, &record, "scenes.csv").await.expect("intact"), "first");
        assert_eq!(record.files[0].object, None, "a file has its own name unless that is taken");
    }

    #[tokio::test]
    async fn an_empty_record_that_a_full_disk_left_is_not_a_commit() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = LocalStore::open(folder.path()).expect("a folder");
        let recipe = Recipe::new(ArtifactKind::Scenes, json!({})).expect("JSON");
        let subject = Subject { id: "m".into(), content: hash::of_bytes(b"m") };
        let key = ArtifactKey::new(&recipe, &subject);
        for name in [key.commit(), key.file("scenes.csv")] {
            store.put(&name, Bytes::new()).await.expect("room on disk");
        }
        let listed = async || {
            let mut found = 0;
            each_committed(&store, ArtifactKind::Scenes, &recipe.hash(), |_| found += 1).await.expect("a folder");
            found
        };
        assert_eq!((committed(&store, &key).await.expect("readable"), listed().await), (None, 0));
        assert_eq!(commit_bytes(&store, b"first").await, Commit::Committed);
        assert_eq!(listed().await, 1);
        let record = committed(&store, &key).await.expect("readable").expect("a record");
        assert_eq!(read_file(&store, &record, "scenes.csv").await.expect("intact"), "first");
        assert_eq!(commit_bytes(&store, b"other").await, Commit::LostRace);
    }

    #[tokio::test]
    async fn an_artifact_is_committed_beside_the_other_bytes_of_a_copy_that_never_committed() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = LocalStore::open(folder.path()).expect("a folder");
        let recipe = Recipe::new(ArtifactKind::Scenes, json!({})).expect("JSON");
        let subject = Subject { id: "m".into(), content: hash::of_bytes(b"m") };
        let key = ArtifactKey::new(&recipe, &subject);
        store.put(&key.file("scenes.csv"), Bytes::from_static(b"of a dead worker")).await.expect("room on disk");
        assert_eq!(commit_bytes(&store, b"first").await, Commit::Committed);
        let record = committed(&store, &key).await.expect("readable").expect("a record");
        assert_eq!(read_file(&store, &record, "scenes.csv").await.expect("intact"), "first");
        let name = record.files[0].object.clone().expect("a name of its content");
        assert!(name.starts_with("scenes-") && name.ends_with(".csv"), "{name}");
    }
}
