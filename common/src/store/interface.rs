//! The object store: where trailers are read from and artifacts are kept. Storage is the truth of every run.
//!
//! One narrow trait, implemented by a local folder ([`local::LocalStore`]) and by S3 ([`s3::S3Store`]); both pass the
//! same [`conformance`] suite.

pub mod conformance;
pub mod local;
pub mod s3;

use std::fmt::Debug;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;

use crate::error::{Error, Result};
use crate::settings::S3Settings;

/// What a store knows of an object without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectMeta {
    /// The object's key, relative to the store's root, `/` between its parts.
    pub key: String,
    /// Length in bytes.
    pub size: u64,
    /// The store's own opaque word for this content (an S3 ETag; size and modification time of a local file). It differs when the
    /// bytes were replaced.
    pub tag: String,
}

/// Whether a conditional put was the one that created the object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PutOutcome {
    /// The object did not exist before; it holds these bytes now.
    Created,
    /// The object existed already and is unchanged.
    AlreadyExists,
}

/// A place for objects under `/`-separated keys.
///
/// Every write is atomic: a reader sees the old object, the new one or none, never a part. A finished write is durable and visible to
/// every later `get`, `head` and `list`. Transient faults are retried inside with growing delay; what is returned as
/// [`crate::ErrorKind::Transient`] outlived those retries.
#[async_trait]
pub trait ObjectStore: Debug + Send + Sync {
    /// The URL that opens this store again, without credentials.
    fn url(&self) -> String;

    /// Reads a whole object into memory. For small objects: records, embeddings, reports.
    async fn get(&self, key: &str) -> Result<Bytes>;

    /// Streams an object to the file `to` (created or replaced) in bounded memory, resuming an interrupted transfer by range.
    /// With `tag`, only that content is accepted: an object replaced meanwhile is [`crate::ErrorKind::InvalidInput`]. The file is complete when
    /// this returns Ok, and removed when it fails.
    async fn download(&self, key: &str, to: &Path, tag: Option<&str>) -> Result<ObjectMeta>;

    /// What is known of an object, without reading it.
    async fn head(&self, key: &str) -> Result<ObjectMeta>;

    /// Writes an object, replacing what was there.
    async fn put(&self, key: &str, bytes: Bytes) -> Result<()>;

    /// Writes an object only where none exists (If-None-Match: *). Of any number of concurrent callers exactly one sees
    /// [`PutOutcome::Created`]; where a retried request finds the caller's own bytes already there, that is `Created` too
    /// only if this call wrote them.
    async fn put_if_absent(&self, key: &str, bytes: Bytes) -> Result<PutOutcome>;

    /// Streams the file `from` into an object in bounded memory (multipart where large), replacing what was there.
    async fn upload(&self, key: &str, from: &Path) -> Result<()>;

    /// Every object whose key starts with `prefix`, in ascending byte order of the key, page by page.
    fn list(&self, prefix: &str) -> BoxStream<'_, Result<ObjectMeta>>;

    /// Removes an object; removing what is not there is a success.
    async fn delete(&self, key: &str) -> Result<()>;
}

/// Opens the store at `url`: `file:///path`, a plain path, or `s3://bucket/prefix`.
pub async fn open(url: &str, s3: &S3Settings) -> Result<Arc<dyn ObjectStore>> {
    if let Some(rest) = url.strip_prefix("s3://") {
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() {
            return Err(Error::invalid(format!("the store `{url}` names no bucket: write s3://bucket/prefix")));
        }
        return Ok(Arc::new(s3::S3Store::open(bucket, prefix, s3).await?));
    }
    let path = match url.strip_prefix("file://") {
        Some(path) => path,
        None if url.contains("://") => {
            return Err(Error::invalid(format!(
                "the store `{url}` has an unknown scheme: use file:///path or s3://bucket/prefix"
            )));
        }
        None => url,
    };
    Ok(Arc::new(local::LocalStore::open(path)?))
}

/// Checks that `key` is one that every store can hold: parts of 1 to 255 bytes joined by `/`, no `.` or `..` part, no
/// control characters, no backslash, at most 1,024 bytes, its first part not `.tmp` (where a local store keeps unfinished
/// writes). A key from a hostile dataset cannot leave its folder.
pub fn check_key(key: &str) -> Result<()> {
    let valid = !key.is_empty()
        && key.len() <= 1024
        && key.split('/').all(|part| !part.is_empty() && part.len() <= 255 && part != "." && part != "..")
        && key.split('/').next() != Some(local::UNFINISHED)
        && !key.chars().any(|c| c.is_control() || c == '\\');
    if valid { Ok(()) } else { Err(Error::invalid(format!("`{}` is no valid object key", key.escape_debug()))) }
}

/// Checks that `prefix` can be the start of a valid key: empty, a key, a part of one, or a key and `/`.
pub fn check_prefix(prefix: &str) -> Result<()> {
    if prefix.is_empty() { Ok(()) } else { check_key(prefix.strip_suffix('/').unwrap_or(prefix)) }
}
