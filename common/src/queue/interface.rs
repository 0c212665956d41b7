//! The traits that every queue implements, and what they take and return.

use std::fmt::{self, Debug};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::settings::QueueSettings;

/// The kinds of work, each with a queue of its own: a worker takes the kinds it was started for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkKind {
    /// Media and inference: one job a trailer.
    Extract,
    /// Heads, evaluation cells and the final fit.
    Train,
}

impl WorkKind {
    /// All kinds, in the order of the stages.
    pub const ALL: [WorkKind; 2] = [WorkKind::Extract, WorkKind::Train];

    /// The word used in queue names, settings and logs.
    pub fn name(self) -> &'static str {
        match self {
            WorkKind::Extract => "extract",
            WorkKind::Train => "train",
        }
    }
}

/// Where a message waits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Channel {
    /// Jobs of one kind.
    Work(WorkKind),
    /// Messages that nobody should try again without looking: the dead letters.
    Quarantine,
    /// Results of one run, for its coordinator. Exists while a coordinator of that run consumes it; what is published
    /// without one is dropped, for storage tells the same.
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

/// Carries messages. All methods are cancel-safe in the sense that a dropped future loses no acknowledged message.
#[async_trait]
pub trait Queue: Debug + Send + Sync {
    /// The URL of this queue, without credentials.
    fn url(&self) -> String;

    /// Puts `body` on `channel`; durable and confirmed when this returns Ok.
    async fn publish(&self, channel: &Channel, body: Bytes) -> Result<()>;

    /// Puts `body` on the work channel of `kind` after the delay of retry tier `tier` (0-based; a tier beyond the last means the
    /// last); durable and confirmed when this returns Ok.
    async fn publish_later(&self, kind: WorkKind, tier: usize, body: Bytes) -> Result<()>;

    /// Starts to consume `channel` with at most `prefetch` unacknowledged deliveries.
    async fn consume(&self, channel: &Channel, prefetch: u16) -> Result<Box<dyn Deliveries>>;

    /// How many messages wait in `channel`, those out for delivery not counted.
    async fn depth(&self, channel: &Channel) -> Result<u64>;

    /// Hands back what is still unacknowledged and closes the connection. Later calls fail.
    async fn close(&self);
}

/// The deliveries of one consumer, one after another. Dropping it ends the consumer; deliveries that were handed out already can
/// still be settled.
#[async_trait]
pub trait Deliveries: Send {
    /// Waits for the next delivery; a dropped future loses none. A lost connection is rebuilt inside; None means that the queue was
    /// closed. An error says that the broker refuses to go on for now (login, permission, another topology): it may be asked again.
    async fn next(&mut self) -> Result<Option<Delivery>>;

    /// Whether the broker has forgotten since this was last asked: its connection came back without a results channel that was there before. What it
    /// carried for that run, jobs and results, is gone with its data.
    fn were_forgotten(&mut self) -> bool {
        false
    }
}

/// One delivery of a message. Dropped without a word (a panic, an early return), it comes back as another delivery and is counted.
/// A work message that comes back more often than `delivery_limit` goes to quarantine as it is.
pub struct Delivery {
    /// The message.
    pub body: Bytes,
    /// How often this message was delivered before without being acknowledged: its consumer crashed or lost its connection.
    pub redeliveries: u32,
    receipt: Box<dyn Receipt>,
}

/// What an implementation needs to settle a delivery.
#[async_trait]
pub trait Receipt: Send + Sync {
    /// Removes the message for good. False where that came too late and the message will be, or was, delivered again.
    async fn ack(self: Box<Self>) -> Result<bool>;
    /// Gives the message back at once, as if it had not been delivered: `redeliveries` stays the same.
    async fn requeue(self: Box<Self>) -> Result<()>;
}

impl Delivery {
    /// A delivery of `body` that `receipt` settles.
    pub fn new(body: Bytes, redeliveries: u32, receipt: Box<dyn Receipt>) -> Self {
        Delivery { body, redeliveries, receipt }
    }

    /// Removes the message for good. False where that came too late (the connection was lost meanwhile) and the message is delivered again.
    pub async fn ack(self) -> Result<bool> {
        self.receipt.ack().await
    }

    /// Gives the message back at once, to be delivered again to anybody, perhaps behind other messages. Nobody failed: its
    /// `redeliveries` stay the same. This is how a worker that stops hands its jobs back.
    pub async fn requeue(self) -> Result<()> {
        self.receipt.requeue().await
    }
}

impl Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery").field("bytes", &self.body.len()).field("redeliveries", &self.redeliveries).finish()
    }
}

/// The delays of the retry tiers, shortest first.
pub fn retry_delays(settings: &QueueSettings) -> Vec<Duration> {
    settings.retry_delays_ms.iter().map(|&ms| Duration::from_millis(ms)).collect()
}
