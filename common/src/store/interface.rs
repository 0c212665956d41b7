//! The trait that every store implements, and what it takes and returns.

use std::fmt::Debug;
use std::ops::Range;
use std::path::Path;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;

use crate::error::{Error, ErrorKind, Result};

/// Metadata of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectMeta {
    /// The object's key, relative to the store's root, `/` between its parts.
    pub key: String,
    /// Length in bytes.
    pub size: u64,
    /// The store's opaque tag of the content (an S3 ETag; size and modification time of a local
    /// file). It changes when the content is replaced.
    pub tag: String,
}

/// The result of a conditional put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PutOutcome {
    /// The object did not exist and was created.
    Created,
    /// The object existed already and is unchanged.
    AlreadyExists,
}

/// Stores objects under `/`-separated keys.
///
/// Every write is atomic: a reader sees the old object, the new one or none, never a part. A
/// completed write is durable and visible to every later `get`, `head` and `list`. Transient faults
/// are retried internally with growing delay; a returned [`crate::ErrorKind::Transient`] has
/// outlasted those retries.
#[async_trait]
pub trait ObjectStore: Debug + Send + Sync {
    /// Returns the URL that opens this store again, without credentials.
    fn url(&self) -> String;

    /// Reads a whole object into memory. For small objects: records, embeddings, reports.
    async fn get(&self, key: &str) -> Result<Bytes>;

    /// Reads the bytes `range` of an object, of which none may lie beyond its end.
    ///
    /// # Errors
    /// InvalidInput for an empty range and for one that ends beyond the object.
    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes> {
        let bytes = self.get(key).await?;
        let inside = |at: u64| usize::try_from(at).ok().filter(|at| *at <= bytes.len());
        match (inside(range.start), inside(range.end)) {
            (Some(start), Some(end)) if start < end => Ok(bytes.slice(start..end)),
            _ => Err(no_such_range(key, &range)),
        }
    }

    /// Streams an object to the file `to` (created or replaced) in bounded memory, resuming an
    /// interrupted transfer by range. With `tag`, only that content is accepted: a replaced object
    /// is [`crate::ErrorKind::InvalidInput`]. The file is complete when this returns Ok, and
    /// removed when it fails.
    async fn download(&self, key: &str, to: &Path, tag: Option<&str>) -> Result<ObjectMeta>;

    /// Returns the metadata of an object.
    async fn head(&self, key: &str) -> Result<ObjectMeta>;

    /// Writes an object, replacing an existing one.
    async fn put(&self, key: &str, bytes: Bytes) -> Result<()>;

    /// Writes an object unless it exists (If-None-Match: *). Of any number of concurrent callers
    /// exactly one sees [`PutOutcome::Created`]. A retried request that finds the same bytes
    /// returns `Created` only if this call wrote them.
    async fn put_if_absent(&self, key: &str, bytes: Bytes) -> Result<PutOutcome>;

    /// Streams the file `from` into an object in bounded memory (multipart if large), replacing an
    /// existing one.
    async fn upload(&self, key: &str, from: &Path) -> Result<()>;

    /// Lists every object whose key starts with `prefix`, in ascending byte order of the key, page
    /// by page.
    fn list(&self, prefix: &str) -> BoxStream<'_, Result<ObjectMeta>>;

    /// Removes an object; succeeds if there is none.
    async fn delete(&self, key: &str) -> Result<()>;

    /// Returns the time of the store's clock, to the second; None if it does not show it.
    async fn time(&self) -> Result<Option<jiff::Timestamp>> {
        Ok(None)
    }
}

/// The error of a range that an object does not have.
pub(super) fn no_such_range(key: &str, range: &Range<u64>) -> Error {
    Error::invalid(format!("{key} has no bytes {} to {}", range.start, range.end))
}

/// Whether the store has an object of this key.
pub async fn exists(store: &dyn ObjectStore, key: &str) -> Result<bool> {
    match store.head(key).await {
        Ok(_) => Ok(true),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(false),
        Err(e) => Err(e),
    }
}
