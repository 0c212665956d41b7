//! The trait that every store implements, and what it takes and returns.

use std::fmt::Debug;
use std::path::Path;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;

use crate::error::Result;

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
