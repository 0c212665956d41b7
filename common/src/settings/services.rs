//! Settings of services: the object store on S3 and the broker.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::range::{one_or_more, require};
use crate::error::{Error, Result};

/// Access to S3 or an S3-compatible server.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct S3Settings {
    /// URL of a server other than AWS (SeaweedFS, MinIO, Ceph), which is used with path-style
    /// addressing.
    pub endpoint: Option<String>,
    /// The region. Default: from the environment, else `us-east-1`.
    pub region: Option<String>,
    /// Additional certificate authorities (PEM) for `https`.
    pub ca_file: Option<PathBuf>,
    /// Files with the access key, the secret key and, for temporary ones, the session token, in
    /// place of the usual AWS sources. They are read again every minute, so that they can be
    /// changed.
    pub access_key_id_file: Option<PathBuf>,
    /// See `access_key_id_file`.
    pub secret_access_key_file: Option<PathBuf>,
    /// See `access_key_id_file`.
    pub session_token_file: Option<PathBuf>,
    /// Timeout of a connection attempt.
    pub connect_timeout_ms: u64,
    /// How long a transfer may stall without a byte before it is cut and retried.
    pub stall_timeout_ms: u64,
    /// Maximum number of attempts of one request.
    pub attempts: u32,
    /// Files larger than this are uploaded in parts of this size (at least 5 MiB).
    pub part_size_bytes: u64,
}

impl Default for S3Settings {
    fn default() -> Self {
        S3Settings {
            endpoint: None,
            region: None,
            ca_file: None,
            access_key_id_file: None,
            secret_access_key_file: None,
            session_token_file: None,
            connect_timeout_ms: 5_000,
            stall_timeout_ms: 20_000,
            attempts: 6,
            part_size_bytes: 16 << 20,
        }
    }
}

impl S3Settings {
    /// Checks the ranges of the settings.
    pub(super) fn check(&self) -> Result<()> {
        let has_keys = [&self.access_key_id_file, &self.secret_access_key_file].map(Option::is_some);
        if has_keys[0] != has_keys[1] || (self.session_token_file.is_some() && !has_keys[0]) {
            return Err(Error::invalid(
                "s3.access_key_id_file and s3.secret_access_key_file belong together (and s3.session_token_file with them): set both or none",
            ));
        }
        require(self.attempts >= 1, "s3.attempts", "at least 1")?;
        require(self.part_size_bytes >= 5 << 20, "s3.part_size_bytes", "at least 5242880")
    }
}

/// Delays and limits of the queue.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct QueueSettings {
    /// Delay before each retry, shortest first; the last one applies to all later retries. The
    /// tiers are part of the topology: all processes on one broker must use the same.
    #[serde(deserialize_with = "one_or_more")]
    pub retry_delays_ms: Vec<u64>,
    /// Deliveries without acknowledgement after which the broker dead-letters a message.
    pub delivery_limit: u32,
    /// A file with a key that coordinators and workers share: jobs are signed with it, and workers
    /// run no other. For brokers that others publish to. Default: jobs are not signed.
    pub signing_key_file: Option<PathBuf>,
    /// Additional certificate authorities (PEM) for `amqps`.
    pub ca_file: Option<PathBuf>,
    /// Timeout of a connection attempt to the broker.
    pub connect_timeout_ms: u64,
    /// How long publishing a message waits for an unavailable broker before it fails.
    pub publish_timeout_ms: u64,
    /// The broker's consumer_timeout: how long it waits for an acknowledgement before it delivers a
    /// message again. worker.job_limit_ms must be less.
    pub consumer_timeout_ms: u64,
    /// The heartbeat of a connection.
    pub heartbeat_s: u16,
    /// Prefix of every exchange and queue, so that several systems can share a broker.
    pub prefix: String,
    /// The setting queue_file, for connections that are made again.
    #[serde(skip)]
    pub url_file: Option<PathBuf>,
}

impl Default for QueueSettings {
    fn default() -> Self {
        QueueSettings {
            retry_delays_ms: vec![1_000, 10_000, 60_000, 300_000],
            delivery_limit: 20,
            signing_key_file: None,
            ca_file: None,
            connect_timeout_ms: 10_000,
            publish_timeout_ms: 120_000,
            consumer_timeout_ms: 1_800_000,
            heartbeat_s: 30,
            prefix: "jhalak".into(),
            url_file: None,
        }
    }
}

impl QueueSettings {
    /// Checks the ranges of the settings.
    pub(super) fn check(&self) -> Result<()> {
        require(!self.retry_delays_ms.is_empty(), "rabbitmq.retry_delays_ms", "a list of at least one delay")?;
        require(!self.prefix.is_empty(), "rabbitmq.prefix", "a word")
    }
}
