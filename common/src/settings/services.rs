//! The services that every process reaches: the object store on S3 and the broker.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::range::require;
use crate::error::Result;

/// Access to S3 or a server that speaks it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct S3Settings {
    /// The server's URL where it is not AWS (SeaweedFS, MinIO, Ceph): path-style addressing is used there.
    pub endpoint: Option<String>,
    /// The region; `us-east-1` where neither this nor the environment says otherwise.
    pub region: Option<String>,
    /// Certificate authorities (PEM) that are trusted for `https` beside those of the machine.
    pub ca_file: Option<PathBuf>,
    /// How long to wait for a connection.
    pub connect_timeout_ms: u64,
    /// How long a transfer may stay without a single byte before it is cut and tried again.
    pub stall_timeout_ms: u64,
    /// How often one request is tried in all.
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
        require(self.attempts >= 1, "s3.attempts", "at least 1")?;
        require(self.part_size_bytes >= 5 << 20, "s3.part_size_bytes", "at least 5242880")
    }
}

/// The queue's delays and limits.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QueueSettings {
    /// Delay before each retry, shortest first; the last one serves all later retries. The number and the length of the
    /// tiers are part of the topology: all processes on one broker must agree.
    pub retry_delays_ms: Vec<u64>,
    /// After so many deliveries without acknowledgement the broker itself dead-letters a message.
    pub delivery_limit: u32,
    /// Certificate authorities (PEM) that are trusted for `amqps` beside those of the machine.
    pub ca_file: Option<PathBuf>,
    /// How long to wait for the broker when connecting.
    pub connect_timeout_ms: u64,
    /// How long a message may wait for a broker that is away before publishing it fails.
    pub publish_timeout_ms: u64,
    /// The heartbeat of a connection.
    pub heartbeat_s: u16,
    /// Prefix of every exchange and queue, so that several systems can share a broker.
    pub prefix: String,
}

impl Default for QueueSettings {
    fn default() -> Self {
        QueueSettings {
            retry_delays_ms: vec![1_000, 10_000, 60_000, 300_000],
            delivery_limit: 20,
            ca_file: None,
            connect_timeout_ms: 10_000,
            publish_timeout_ms: 120_000,
            heartbeat_s: 30,
            prefix: "jhalak".into(),
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
