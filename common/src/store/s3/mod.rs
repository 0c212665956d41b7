//! The object store on S3, or on a server that speaks it, through aws-sdk-s3.
//!
//! The SDK makes one attempt and this module repeats it ([`attempts`]): only so does a conditional put know that an earlier
//! attempt may have succeeded although its answer was lost. Bytes in bulk go through [`transfer`], listing through [`listing`],
//! and every error of the SDK is judged in [`errors`].

mod attempts;
mod connect;
mod errors;
mod listing;
mod transfer;

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;
use futures::stream::BoxStream;

use self::errors::Fault;
use super::{ObjectMeta, ObjectStore, PutOutcome, check_key};
use crate::error::{Error, Result};
use crate::settings::S3Settings;

/// The user metadata entry that tells a conditional put its own object from another's with the same bytes.
const WRITE_ID: &str = "jhalak-write";

/// An object store in one bucket, below one prefix.
pub struct S3Store {
    client: Client,
    bucket: String,
    /// Empty, or ending in `/`.
    prefix: String,
    /// The server as errors name it.
    server: String,
    /// Whether the server is known to list in ascending byte order by itself.
    ordered: bool,
    stall_timeout: Duration,
    attempts: u32,
    part_size: u64,
    /// Whether the bucket was seen, so that a bare "404" means the object.
    bucket_seen: AtomicBool,
}

impl S3Store {
    /// Prepares access to `bucket` below `prefix` (may be empty). Nothing is sent yet: missing credentials, an unknown
    /// bucket or a server that is down show at the first request.
    ///
    /// # Errors
    /// InvalidInput where the bucket's name, the prefix or the endpoint cannot be used.
    pub async fn open(bucket: &str, prefix: &str, settings: &S3Settings) -> Result<S3Store> {
        if bucket.is_empty() || !bucket.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c)) {
            return Err(Error::invalid(format!(
                "`{bucket}` is no bucket name: write s3://bucket/prefix, credentials come from the environment"
            )));
        }
        let prefix = prefix.trim_matches('/');
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        if !prefix.is_empty() {
            check_key(&prefix[..prefix.len() - 1])
                .map_err(|e| e.context(format_args!("the store s3://{bucket}/{prefix}")))?;
        }
        let connect::Connection { client, server, aws } = connect::connect(settings).await?;
        Ok(S3Store {
            client,
            bucket: bucket.to_string(),
            prefix,
            server,
            ordered: aws,
            stall_timeout: Duration::from_millis(settings.stall_timeout_ms.max(1)),
            attempts: settings.attempts.max(1),
            part_size: settings.part_size_bytes.max(5 << 20),
            bucket_seen: AtomicBool::new(false),
        })
    }

    /// The key inside the bucket.
    fn full_key(&self, key: &str) -> Result<String> {
        check_key(key)?;
        let full = format!("{}{key}", self.prefix);
        if full.len() > 1024 {
            Err(Error::invalid(format!("the key `{full}` is longer than 1,024 bytes")))
        } else {
            Ok(full)
        }
    }

    /// An object's metadata and, where a conditional put wrote it, that put's own word.
    async fn look(&self, key: &str) -> Result<(ObjectMeta, Option<String>)> {
        let full = self.full_key(key)?;
        let what = Doing("look at", key);
        let request = |progress| {
            self.client.head_object().bucket(&self.bucket).key(&full).customize().interceptor(progress).send()
        };
        match self.attempt(what, self.stall_timeout, request).await {
            Ok(head) => {
                let size = u64::try_from(head.content_length().unwrap_or(0)).unwrap_or(0);
                let meta = ObjectMeta { key: key.to_string(), size, tag: head.e_tag().unwrap_or_default().to_string() };
                Ok((meta, head.metadata().and_then(|m| m.get(WRITE_ID)).cloned()))
            }
            Err(Fault::NotFound(error)) => {
                // The answer to HEAD has no body and cannot say what is missing.
                self.check_bucket().await?;
                Err(error)
            }
            Err(fault) => Err(fault.into_error()),
        }
    }

    /// Asks once whether the bucket exists.
    async fn check_bucket(&self) -> Result<()> {
        if self.bucket_seen.load(Ordering::Relaxed) {
            return Ok(());
        }
        let request =
            |progress| self.client.head_bucket().bucket(&self.bucket).customize().interceptor(progress).send();
        match self.attempt(Doing("look at the bucket", &self.bucket), self.stall_timeout, request).await {
            // Who may not ask about the bucket may still use it.
            Ok(_) | Err(Fault::Final(_)) => self.bucket_seen.store(true, Ordering::Relaxed),
            Err(Fault::NotFound(_)) => return Err(errors::no_such_bucket(&self.bucket, &self.server)),
            Err(fault) => return Err(fault.into_error()),
        }
        Ok(())
    }

    async fn put_bytes(&self, key: &str, bytes: Bytes) -> Result<()> {
        let full = self.full_key(key)?;
        let request = |progress| {
            let put = self.client.put_object().bucket(&self.bucket).key(&full).body(ByteStream::from(bytes.clone()));
            put.customize().interceptor(progress).send()
        };
        self.attempt(Doing("write", key), self.stall_timeout, request).await.map_err(Fault::into_error)?;
        Ok(())
    }
}

#[async_trait]
impl ObjectStore for S3Store {
    fn url(&self) -> String {
        format!("s3://{}/{}", self.bucket, self.prefix).trim_end_matches('/').to_string()
    }

    async fn get(&self, key: &str) -> Result<Bytes> {
        let mut bytes = Vec::new();
        self.fetch(key, None, &mut bytes).await?;
        Ok(bytes.into())
    }

    async fn download(&self, key: &str, to: &Path, tag: Option<&str>) -> Result<ObjectMeta> {
        self.download_file(key, to, tag).await
    }

    async fn head(&self, key: &str) -> Result<ObjectMeta> {
        Ok(self.look(key).await?.0)
    }

    async fn put(&self, key: &str, bytes: Bytes) -> Result<()> {
        self.put_bytes(key, bytes).await
    }

    async fn put_if_absent(&self, key: &str, bytes: Bytes) -> Result<PutOutcome> {
        let full = self.full_key(key)?;
        let id = unique_id();
        let mut sent = 0;
        let request = |progress| {
            sent += 1;
            let put = self.client.put_object().bucket(&self.bucket).key(&full).if_none_match("*");
            put.metadata(WRITE_ID, &id).body(ByteStream::from(bytes.clone())).customize().interceptor(progress).send()
        };
        match self.attempt(Doing("create", key), self.stall_timeout, request).await {
            Ok(_) => Ok(PutOutcome::Created),
            // A first attempt that is refused wrote nothing. A later one may have met this call's own object, whose answer
            // was lost; two callers with the same bytes differ in their id.
            Err(Fault::PreconditionFailed(_)) if sent > 1 => match self.look(key).await {
                Ok((_, found)) if found.as_deref() == Some(id.as_str()) => Ok(PutOutcome::Created),
                Ok(_) => Ok(PutOutcome::AlreadyExists),
                Err(e) => Err(e),
            },
            Err(Fault::PreconditionFailed(_)) => Ok(PutOutcome::AlreadyExists),
            Err(fault) => Err(fault.into_error()),
        }
    }

    async fn upload(&self, key: &str, from: &Path) -> Result<()> {
        self.upload_file(key, from).await
    }

    fn list(&self, prefix: &str) -> BoxStream<'_, Result<ObjectMeta>> {
        self.list_pages(prefix)
    }

    async fn delete(&self, key: &str) -> Result<()> {
        let full = self.full_key(key)?;
        let request = |progress| {
            self.client.delete_object().bucket(&self.bucket).key(&full).customize().interceptor(progress).send()
        };
        match self.attempt(Doing("delete", key), self.stall_timeout, request).await {
            Ok(_) | Err(Fault::NotFound(_)) => Ok(()),
            Err(fault) => Err(fault.into_error()),
        }
    }
}

impl fmt::Debug for S3Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "S3Store({} at {})", self.url(), self.server)
    }
}

/// What is being done to which key, for errors and logs: "cannot write artifacts/a/commit.json".
#[derive(Clone, Copy)]
struct Doing<'a>(&'static str, &'a str);

impl fmt::Display for Doing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {} {}", self.0, self.1)
    }
}

/// A word that no other call, process or machine uses. The standard library seeds each hasher from the operating system's random numbers.
fn unique_id() -> String {
    format!(
        "{:016x}{:016x}",
        RandomState::new().hash_one(std::process::id()),
        RandomState::new().hash_one(std::time::SystemTime::now())
    )
}
