//! The traits that every queue implements, and what they take and return.

use std::fmt::{self, Debug};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::settings::QueueSettings;

/// The kinds of work, each with its own queue. A worker takes the kinds that it was started for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkKind {
    /// Media and inference: one job per trailer.
    Extract,
    /// Heads, evaluation cells and the final fit.
    Train,
}

impl WorkKind {
    /// All kinds, in the order of the stages.
    pub const ALL: [WorkKind; 2] = [WorkKind::Extract, WorkKind::Train];

    /// Returns the name used in queue names, settings and logs.
    pub fn name(self) -> &'static str {
        match self {
            WorkKind::Extract => "extract",
            WorkKind::Train => "train",
        }
    }
}

/// A channel of messages.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Channel {
    /// Jobs of one kind.
    Work(WorkKind),
    /// Messages that need inspection before another attempt: the dead letters.
    Quarantine,
    /// Results of one run, for its coordinator. It exists while a coordinator of that run consumes
    /// it; results published without a consumer are dropped, since storage holds the same
    /// information.
    Results(String),
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Channel::Work(kind) => write!(f, "work.{}", kind.name()),
            Channel::Quarantine => f.write_str("quarantine"),
            Channel::Results(run) => write!(f, "results.{run}"),
        }
    }
}

/// The jobs of one kind that no worker holds, and the workers that take them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Backlog {
    /// Jobs that wait to be delivered.
    pub ready: u64,
    /// Jobs that wait in a retry tier.
    pub delayed: u64,
    /// Consumers of the work channel: one for each worker process.
    pub consumers: u32,
}

impl Backlog {
    /// Whether no job waits anywhere.
    pub fn is_empty(&self) -> bool {
        self.ready + self.delayed == 0
    }
}

/// Carries messages. All methods are cancel-safe: a dropped future loses no acknowledged message.
#[async_trait]
pub trait Queue: Debug + Send + Sync {
    /// Returns the URL of this queue, without credentials.
    fn url(&self) -> String;

    /// Returns the name of `channel` on the broker.
    fn name(&self, channel: &Channel) -> String {
        channel.to_string()
    }

    /// Publishes `body` to `channel`; durable and confirmed when this returns Ok.
    async fn publish(&self, channel: &Channel, body: Bytes) -> Result<()>;

    /// Publishes `body` to the work channel of `kind` after the delay of retry tier `tier` (from 0;
    /// a tier beyond the last means the last); durable and confirmed when this returns Ok.
    async fn publish_later(&self, kind: WorkKind, tier: usize, body: Bytes) -> Result<()>;

    /// Starts to consume `channel` with at most `prefetch` unacknowledged deliveries.
    async fn consume(&self, channel: &Channel, prefetch: u16) -> Result<Box<dyn Deliveries>>;

    /// Returns the number of messages that wait in `channel`, excluding unacknowledged deliveries.
    async fn depth(&self, channel: &Channel) -> Result<u64>;

    /// Returns what waits for workers of `kind`, and how many workers take it.
    async fn backlog(&self, kind: WorkKind) -> Result<Backlog>;

    /// Declares again whatever is missing of the topology and of `channel`: an operator may have
    /// deleted a queue or an exchange.
    async fn heal(&self, _channel: &Channel) -> Result<()> {
        Ok(())
    }

    /// Returns the product and the version of the broker, where it shows them.
    async fn product(&self) -> Option<String> {
        None
    }

    /// Whether the connections to the broker are up now.
    fn is_connected(&self) -> bool {
        true
    }

    /// Returns the broker's reason if it takes no messages for now: it is short of memory or disk.
    fn blocked(&self) -> Option<String> {
        None
    }

    /// Returns unacknowledged deliveries to the queue and closes the connection. Later calls fail.
    async fn close(&self);
}

/// The deliveries of one consumer. Dropping it ends the consumer; deliveries that were handed out
/// can still be settled.
#[async_trait]
pub trait Deliveries: Send {
    /// Waits for the next delivery; a dropped future loses none. A lost connection is rebuilt
    /// inside. None means that the queue was closed. An error means that the broker refuses
    /// deliveries for now (login, permission, another topology): the call can be repeated.
    async fn next(&mut self) -> Result<Option<Delivery>>;

    /// Whether the broker has lost its data since the last call: after a reconnection the results
    /// channel no longer existed. Jobs and results of that run on the broker are lost.
    fn were_forgotten(&mut self) -> bool {
        false
    }
}

/// One delivery of a message. If it is dropped unsettled (a panic, an early return), the message is
/// delivered again and counted. A work message that returns more often than `delivery_limit` is
/// quarantined unchanged.
pub struct Delivery {
    /// Encodes the message.
    pub body: Bytes,
    /// Number of earlier deliveries without acknowledgement: the consumer crashed or lost its
    /// connection.
    pub redeliveries: u32,
    /// Whether the broker moved the message to the quarantine, because it was delivered too often;
    /// false for one that a worker sent there.
    pub is_dead_letter: bool,
    /// For how long the message waited, without the delay of a retry tier; to a second, and by the
    /// clocks of its sender and of this machine. None for a message of an older program.
    pub waited: Option<Duration>,
    receipt: Box<dyn Receipt>,
}

/// Settles a delivery; provided by the implementation.
#[async_trait]
pub trait Receipt: Send + Sync {
    /// Removes the message. False if it came too late and the message is delivered again.
    async fn ack(self: Box<Self>) -> Result<bool>;
    /// Returns the message at once, as if it had not been delivered: `redeliveries` does not
    /// change.
    async fn requeue(self: Box<Self>) -> Result<()>;
}

impl Delivery {
    /// Creates a delivery of `body` that `receipt` settles.
    pub fn new(body: Bytes, redeliveries: u32, receipt: Box<dyn Receipt>) -> Self {
        Delivery { body, redeliveries, is_dead_letter: false, waited: None, receipt }
    }

    /// Notes that the broker moved the message to the quarantine.
    pub fn as_dead_letter(self, is_dead_letter: bool) -> Self {
        Delivery { is_dead_letter, ..self }
    }

    /// Notes for how long the message waited.
    pub fn after_waiting(self, waited: Option<Duration>) -> Self {
        Delivery { waited, ..self }
    }

    /// Removes the message. False if it came too late (the connection was lost) and the message is
    /// delivered again.
    pub async fn ack(self) -> Result<bool> {
        self.receipt.ack().await
    }

    /// Returns the message at once, for delivery to any consumer, possibly behind other messages.
    /// It does not count as a failure: `redeliveries` does not change. A worker that stops returns
    /// its jobs this way.
    pub async fn requeue(self) -> Result<()> {
        self.receipt.requeue().await
    }
}

impl Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery").field("bytes", &self.body.len()).field("redeliveries", &self.redeliveries).finish()
    }
}

/// Returns the delays of the retry tiers, shortest first.
pub fn retry_delays(settings: &QueueSettings) -> Vec<Duration> {
    settings.retry_delays_ms.iter().map(|&ms| Duration::from_millis(ms)).collect()
}
