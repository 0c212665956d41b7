//! The object store on S3 or an S3-compatible server, through aws-sdk-s3.
//!
//! The SDK makes single attempts, and this module retries them ([`attempts`]), because a
//! conditional put must know that an earlier attempt may have succeeded although its answer was
//! lost. [`transfer`] moves large objects, [`listing`] lists, and [`errors`] classifies every error
//! of the SDK.

mod attempts;
mod bucket;
mod clock;
mod connect;
mod errors;
mod key_files;
mod listing;
mod operation;
mod throttle;
mod transfer;

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::ops::Range;
use std::path::Path;

use async_trait::async_trait;
use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;
use futures::stream::BoxStream;

use bucket::{Bucket, WRITE_ID};
use errors::Fault;
use operation::Operation;

use super::interface::{ObjectMeta, ObjectStore, PutOutcome};
use crate::error::Result;
use crate::settings::S3Settings;

/// An object store in one bucket, below one prefix.
pub struct S3Store {
    bucket: Bucket,
}

impl S3Store {
    /// Prepares access to `bucket` below `prefix` (may be empty). No request is sent: missing
    /// credentials, an unknown bucket or an unavailable server cause errors at the first request.
    ///
    /// # Errors
    /// InvalidInput if the bucket's name, the prefix or the endpoint is not valid.
    pub async fn open(bucket: &str, prefix: &str, settings: &S3Settings) -> Result<S3Store> {
        Ok(S3Store { bucket: Bucket::open(bucket, prefix, settings).await? })
    }
}

#[async_trait]
impl ObjectStore for S3Store {
    fn url(&self) -> String {
        format!("s3://{}/{}", self.bucket.name, self.bucket.prefix).trim_end_matches('/').to_string()
    }

    async fn get(&self, key: &str) -> Result<Bytes> {
        let mut bytes = Vec::new();
        self.bucket.fetch(key, None, &mut bytes).await?;
        Ok(bytes.into())
    }

    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes> {
        self.bucket.fetch_range(key, range).await
    }

    async fn download(&self, key: &str, to: &Path, tag: Option<&str>) -> Result<ObjectMeta> {
        self.bucket.download_file(key, to, tag).await
    }

    async fn head(&self, key: &str) -> Result<ObjectMeta> {
        Ok(self.bucket.head_with_write_id(key).await?.0)
    }

    async fn put(&self, key: &str, bytes: Bytes) -> Result<()> {
        self.bucket.put_bytes(key, bytes).await
    }

    async fn put_if_absent(&self, key: &str, bytes: Bytes) -> Result<PutOutcome> {
        let full = self.bucket.full_key(key)?;
        let id = unique_id();
        let mut sent = 0;
        let request = |progress| {
            sent += 1;
            let put = self.bucket.client.put_object().bucket(&self.bucket.name).key(&full).if_none_match("*");
            put.metadata(WRITE_ID, &id).body(ByteStream::from(bytes.clone())).customize().interceptor(progress).send()
        };
        match self.bucket.attempt(Operation("create", key), self.bucket.stall_timeout, request).await {
            Ok(_) => Ok(PutOutcome::Created),
            // A refused first attempt wrote nothing. A later attempt may have found the object of
            // this call, whose answer was lost; two callers with the same bytes differ in their id.
            Err(Fault::PreconditionFailed(_)) if sent > 1 => match self.bucket.head_with_write_id(key).await {
                Ok((_, found)) if found.as_deref() == Some(id.as_str()) => Ok(PutOutcome::Created),
                Ok(_) => Ok(PutOutcome::AlreadyExists),
                Err(e) => Err(e),
            },
            Err(Fault::PreconditionFailed(_)) => Ok(PutOutcome::AlreadyExists),
            Err(fault) => Err(fault.into_error()),
        }
    }

    async fn upload(&self, key: &str, from: &Path) -> Result<()> {
        self.bucket.upload_file(key, from).await
    }

    fn list(&self, prefix: &str) -> BoxStream<'_, Result<ObjectMeta>> {
        self.bucket.list_pages(prefix)
    }

    async fn delete(&self, key: &str) -> Result<()> {
        let full = self.bucket.full_key(key)?;
        let request = |progress| {
            self.bucket
                .client
                .delete_object()
                .bucket(&self.bucket.name)
                .key(&full)
                .customize()
                .interceptor(progress)
                .send()
        };
        match self.bucket.attempt(Operation("delete", key), self.bucket.stall_timeout, request).await {
            Ok(_) | Err(Fault::NotFound(_)) => Ok(()),
            Err(fault) => Err(fault.into_error()),
        }
    }

    async fn time(&self) -> Result<Option<jiff::Timestamp>> {
        self.bucket.time().await
    }
}

impl fmt::Debug for S3Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "S3Store({} at {})", self.url(), self.bucket.server)
    }
}

/// Returns an id that no other call, process or machine uses. The standard library seeds each
/// hasher from the operating system's random numbers.
fn unique_id() -> String {
    format!(
        "{:016x}{:016x}",
        RandomState::new().hash_one(std::process::id()),
        RandomState::new().hash_one(std::time::SystemTime::now())
    )
}
