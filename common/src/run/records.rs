//! The stored records of a run: their keys, and reading and writing them as versioned JSON.

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::artifact::check_version;
use crate::error::{Error, ErrorKind, Result};
use crate::hash::{self, Hash};
use crate::store::{self, ObjectStore, PutOutcome};

/// The version of stored records that this program writes.
pub const RUN_VERSION: u32 = 1;

/// The version of a specification whose trailers are in shards, and the newest that is read.
pub const SHARDED_VERSION: u32 = 2;

/// Returns the key of the normalised dataset with this hash.
pub fn dataset_key(content: &Hash) -> String {
    format!("datasets/{content}/dataset.json")
}

/// Returns the key of the shard of a list of trailers with this hash: gzip of a [`TrailerList`] as
/// JSON, whose hash it is.
///
/// [`TrailerList`]: super::TrailerList
pub fn trailer_shard_key(content: &Hash) -> String {
    format!("trailer-lists/{content}.json.gz")
}

/// Returns the key of given folds with this hash: a JSON list with a list of test pairs (indexes of
/// the dataset's ratings) for each fold.
pub fn folds_key(content: &Hash) -> String {
    format!("folds/{content}.json")
}

/// Returns the key of the file `name` of a run.
pub fn run_key(run: &str, name: &str) -> String {
    format!("runs/{run}/{name}")
}

/// Whether a coordinator has planned the run in this store.
pub async fn is_planned(store: &dyn ObjectStore, run: &str) -> Result<bool> {
    store::exists(store, &run_key(run, SPECIFICATION)).await
}

/// Whether the run was cancelled.
pub async fn is_cancelled(store: &dyn ObjectStore, run: &str) -> Result<bool> {
    store::exists(store, &run_key(run, CANCELLED)).await
}

/// The name of a run's specification, written before its first job is sent.
pub const SPECIFICATION: &str = "spec.json";

/// The name of the record that cancels a run.
pub const CANCELLED: &str = "cancelled.json";

/// The name under which messages are quarantined that name no run, because they are not jobs. It is
/// the id of no run: those contain a `-`.
pub const UNREADABLE_RUN: &str = "unreadable";

/// Returns the folder of a run's quarantine records.
pub fn quarantine_folder(run: &str) -> String {
    run_key(run, "quarantine/")
}

/// Returns the key of a job's quarantine record. Characters of the job's id that are not valid in a
/// key are replaced.
pub fn quarantine_key(run: &str, job: &str) -> String {
    let name: String =
        job.chars().map(|c| if c.is_ascii_alphanumeric() || "-_.@=".contains(c) { c } else { '_' }).take(180).collect();
    format!("{}{name}-{}.json", quarantine_folder(run), &hash::of_bytes(job.as_bytes()).short()[..8])
}

/// Writes `value` as JSON, replacing an existing record.
pub async fn put_json(store: &dyn ObjectStore, key: &str, value: &impl Serialize) -> Result<()> {
    store.put(key, to_json(value)?).await
}

/// Writes `value` as JSON unless the record exists; true if this call wrote it.
pub async fn put_json_once(store: &dyn ObjectStore, key: &str, value: &impl Serialize) -> Result<bool> {
    Ok(store.put_if_absent(key, to_json(value)?).await? == PutOutcome::Created)
}

/// Reads a versioned JSON record; None if it does not exist.
pub async fn get_json<T: DeserializeOwned>(store: &dyn ObjectStore, key: &str) -> Result<Option<T>> {
    let bytes = match store.get(key).await {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e),
    };
    // Parsed twice, so that a list of a hundred thousand trailers is never held in memory as JSON
    // values.
    let head: Head =
        serde_json::from_slice(&bytes).map_err(|e| Error::invalid(format!("{key} is not JSON")).with_source(e))?;
    check_version(&serde_json::json!({ "version": head.version }), SHARDED_VERSION, key)?;
    serde_json::from_slice(&bytes)
        .map(Some)
        .map_err(|e| Error::invalid(format!("{key} does not have the format of its version")).with_source(e))
}

/// The version field of every stored record.
#[derive(Deserialize)]
struct Head {
    version: Option<Value>,
}

fn to_json(value: &impl Serialize) -> Result<Bytes> {
    let value = serde_json::to_value(value).map_err(|e| Error::bug("a record does not serialise").with_source(e))?;
    Ok(hash::canonical_json(&value).into())
}
