//! Access to one bucket: its client, its limits, and requests with retries.

use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use aws_sdk_s3::Client;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;

use super::attempts::{Attempts, Progress};
use super::connect::{Connection, connect};
use super::errors::{self, Fault};
use super::operation::Operation;
use super::throttle::Throttle;
use crate::error::{Error, Result};
use crate::redact::shown_location;
use crate::settings::S3Settings;
use crate::store::interface::ObjectMeta;
use crate::store::key::check_key;

/// The user metadata entry by which a conditional put recognises its own object.
pub(super) const WRITE_ID: &str = "jhalak-write";

/// For this long a bucket that answered is taken to exist: less than a lease takes to look again,
/// so that a bucket that is away is not taken for a lease that another coordinator removed.
const SEEN_LATELY: Duration = Duration::from_secs(1);

/// Access to one bucket below one prefix, shared by all operations.
pub(super) struct Bucket {
    pub(super) client: Client,
    pub(super) name: String,
    /// Empty, or ending in `/`.
    pub(super) prefix: String,
    /// The server's name in errors.
    pub(super) server: String,
    /// Whether the server is known to list in ascending byte order.
    pub(super) ordered: bool,
    pub(super) stall_timeout: Duration,
    pub(super) attempts: u32,
    pub(super) part_size: u64,
    throttle: Throttle,
    /// When the bucket was last known to exist, so that a bare "404" is about the object.
    bucket_seen: Mutex<Option<Instant>>,
}

impl Bucket {
    /// Prepares access to `bucket` below `prefix` (may be empty). No request is sent: missing
    /// credentials, an unknown bucket or an unavailable server cause errors at the first request.
    ///
    /// # Errors
    /// InvalidInput if the bucket's name, the prefix or the endpoint is not valid.
    pub(super) async fn open(bucket: &str, prefix: &str, settings: &S3Settings) -> Result<Bucket> {
        if bucket.is_empty() || !bucket.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c)) {
            // It may be the start of a password.
            return Err(Error::invalid(
                "the store names no valid bucket: write s3://bucket/prefix; credentials come from the environment",
            ));
        }
        let prefix = prefix.trim_matches('/');
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        if !prefix.is_empty() {
            check_key(&prefix[..prefix.len() - 1]).map_err(|e| {
                e.context(format_args!("the store {}", shown_location(&format!("s3://{bucket}/{prefix}"))))
            })?;
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
            throttle: Throttle::new(),
            bucket_seen: Mutex::default(),
        })
    }

    /// Returns the key within the bucket.
    pub(super) fn full_key(&self, key: &str) -> Result<String> {
        check_key(key)?;
        let full = format!("{}{key}", self.prefix);
        if full.len() > 1024 {
            Err(Error::invalid(format!("the key `{full}` is longer than 1,024 bytes")))
        } else {
            Ok(full)
        }
    }

    /// Returns an object's metadata and, if a conditional put wrote it, the id of that write.
    pub(super) async fn head_with_write_id(&self, key: &str) -> Result<(ObjectMeta, Option<String>)> {
        let full = self.full_key(key)?;
        let what = Operation("look at", key);
        let request =
            |progress| self.client.head_object().bucket(&self.name).key(&full).customize().interceptor(progress).send();
        match self.attempt(what, self.stall_timeout, request).await {
            Ok(head) => {
                let size = u64::try_from(head.content_length().unwrap_or(0)).unwrap_or(0);
                let meta = ObjectMeta { key: key.to_string(), size, tag: head.e_tag().unwrap_or_default().to_string() };
                Ok((meta, head.metadata().and_then(|m| m.get(WRITE_ID)).cloned()))
            }
            Err(Fault::NotFound(error)) => {
                // The answer to HEAD has no body: it does not state whether the object or the
                // bucket is missing.
                self.check_bucket().await?;
                Err(error)
            }
            Err(fault) => Err(fault.into_error()),
        }
    }

    /// Checks whether the bucket exists, unless that was seen lately.
    pub(super) async fn check_bucket(&self) -> Result<()> {
        let seen = *self.bucket_seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.is_some_and(|at| at.elapsed() < SEEN_LATELY) {
            return Ok(());
        }
        let request = |progress| self.client.head_bucket().bucket(&self.name).customize().interceptor(progress).send();
        match self.attempt(Operation("look at the bucket", &self.name), self.stall_timeout, request).await {
            // Credentials without permission for HEAD may still use the bucket.
            Ok(_) | Err(Fault::Permanent(_)) => {
                *self.bucket_seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
            }
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
        self.attempt(Operation("write", key), self.stall_timeout, request).await.map_err(Fault::into_error)?;
        Ok(())
    }

    /// Sends a request until it succeeds, fails permanently, or has used all attempts. An attempt
    /// is cut when nothing was sent for `silence`, or no answer arrived for as long after the last
    /// byte.
    ///
    /// # Errors
    /// A fault with the operation, the key and the server.
    pub(super) async fn attempt<T, E, F>(
        &self,
        operation: Operation<'_>,
        silence: Duration,
        mut request: impl FnMut(Progress) -> F + Send,
    ) -> Result<T, Fault>
    where
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>> + Send,
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        let mut attempts = Attempts::new(operation, self.attempts);
        loop {
            self.throttle.turn().await;
            let progress = Progress::start();
            let sending = request(progress.clone());
            let fault = tokio::select! {
                answer = sending => match answer {
                    Ok(answer) => {
                        self.throttle.accepted();
                        return Ok(answer);
                    }
                    Err(e) => errors::classify(e, &self.name, &self.server),
                },
                () = progress.silent_for(silence) => self.silent(silence),
            };
            match &fault {
                fault if fault.is_throttled() => self.throttle.slow_down(),
                Fault::Away(_) => self.throttle.failed(),
                _ => {}
            }
            attempts.failed(fault).await.map_err(|fault| fault.context(operation))?;
        }
    }

    /// Returns the fault of a transfer without progress for `silence`.
    pub(super) fn silent(&self, silence: Duration) -> Fault {
        Fault::Stalled(Error::transient(format!(
            "the object store at {} was silent for {} s",
            self.server,
            silence.as_secs_f32()
        )))
    }
}
