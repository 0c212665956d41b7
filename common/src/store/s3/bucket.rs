//! Access to one bucket: its client, its limits, and a request that is repeated until it is settled.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;

use super::attempts::{Attempts, Progress};
use super::connect::{Connection, connect};
use super::errors::{self, Fault};
use super::operation::Doing;
use crate::error::{Error, Result};
use crate::settings::S3Settings;
use crate::store::interface::ObjectMeta;
use crate::store::key::check_key;

/// The user metadata entry that tells a conditional put its own object from another's with the same bytes.
pub(super) const WRITE_ID: &str = "jhalak-write";

/// Access to one bucket, below one prefix: what every operation needs.
pub(super) struct Bucket {
    pub(super) client: Client,
    pub(super) name: String,
    /// Empty, or ending in `/`.
    pub(super) prefix: String,
    /// The server as errors name it.
    pub(super) server: String,
    /// Whether the server is known to list in ascending byte order by itself.
    pub(super) ordered: bool,
    pub(super) stall_timeout: Duration,
    pub(super) attempts: u32,
    pub(super) part_size: u64,
    /// Whether the bucket was seen, so that a bare "404" means the object.
    bucket_seen: AtomicBool,
}

impl Bucket {
    /// Prepares access to `bucket` below `prefix` (may be empty). Nothing is sent yet: missing credentials, an unknown
    /// bucket or a server that is down show at the first request.
    ///
    /// # Errors
    /// InvalidInput where the bucket's name, the prefix or the endpoint cannot be used.
    pub(super) async fn open(bucket: &str, prefix: &str, settings: &S3Settings) -> Result<Bucket> {
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
        let Connection { client, server, aws } = connect(settings).await?;
        Ok(Bucket {
            client,
            name: bucket.to_string(),
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
    pub(super) fn full_key(&self, key: &str) -> Result<String> {
        check_key(key)?;
        let full = format!("{}{key}", self.prefix);
        if full.len() > 1024 {
            Err(Error::invalid(format!("the key `{full}` is longer than 1,024 bytes")))
        } else {
            Ok(full)
        }
    }

    /// An object's metadata and, where a conditional put wrote it, that put's own word.
    pub(super) async fn look(&self, key: &str) -> Result<(ObjectMeta, Option<String>)> {
        let full = self.full_key(key)?;
        let what = Doing("look at", key);
        let request =
            |progress| self.client.head_object().bucket(&self.name).key(&full).customize().interceptor(progress).send();
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
    pub(super) async fn check_bucket(&self) -> Result<()> {
        if self.bucket_seen.load(Ordering::Relaxed) {
            return Ok(());
        }
        let request = |progress| self.client.head_bucket().bucket(&self.name).customize().interceptor(progress).send();
        match self.attempt(Doing("look at the bucket", &self.name), self.stall_timeout, request).await {
            // Who may not ask about the bucket may still use it.
            Ok(_) | Err(Fault::Final(_)) => self.bucket_seen.store(true, Ordering::Relaxed),
            Err(Fault::NotFound(_)) => return Err(errors::no_such_bucket(&self.name, &self.server)),
            Err(fault) => return Err(fault.into_error()),
        }
        Ok(())
    }

    pub(super) async fn put_bytes(&self, key: &str, bytes: Bytes) -> Result<()> {
        let full = self.full_key(key)?;
        let request = |progress| {
            let put = self.client.put_object().bucket(&self.name).key(&full).body(ByteStream::from(bytes.clone()));
            put.customize().interceptor(progress).send()
        };
        self.attempt(Doing("write", key), self.stall_timeout, request).await.map_err(Fault::into_error)?;
        Ok(())
    }

    /// Sends a request until it succeeds, fails for good, or has failed as often as allowed. Each attempt is cut when nothing was sent for
    /// `silence`, and no answer came for as long after the last byte.
    ///
    /// # Errors
    /// A fault whose error names the operation, the key and the server.
    pub(super) async fn attempt<T, E, F>(
        &self,
        doing: Doing<'_>,
        silence: Duration,
        mut request: impl FnMut(Progress) -> F + Send,
    ) -> Result<T, Fault>
    where
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>> + Send,
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        let mut attempts = Attempts::new(doing, self.attempts);
        loop {
            let progress = Progress::start();
            let sending = request(progress.clone());
            let fault = tokio::select! {
                answer = sending => match answer {
                    Ok(answer) => return Ok(answer),
                    Err(e) => errors::judge(e, &self.name, &self.server),
                },
                () = progress.silent_for(silence) => self.silent(silence),
            };
            attempts.failed(fault).await.map_err(|fault| fault.context(doing))?;
        }
    }

    /// The fault of a transfer in which nothing moved for `silence`.
    pub(super) fn silent(&self, silence: Duration) -> Fault {
        Fault::Passing(Error::transient(format!(
            "the object store at {} was silent for {} s",
            self.server,
            silence.as_secs_f32()
        )))
    }
}
