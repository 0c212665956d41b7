//! Names and arguments of every exchange and queue, and their idempotent declaration.
//!
//! ```text
//! P.work.KIND         quorum; dead letters (after delivery_limit deliveries)
//!                     -> exchange P.dead-letters
//! P.retry.KIND.TIER   quorum; fixed time to live; expired messages -> P.work.KIND
//! P.dead-letters      fanout exchange -> P.quarantine, quorum
//! P.results           direct exchange, routing key = run id
//!                     -> P.results.RUN, classic, expires a day after its last use
//! ```
//! Only results are not a quorum queue: they come and go with the stages of a run, storage holds
//! the same information, and RabbitMQ 3.10 restores a quorum queue without a leader, and so
//! permanently unusable, if it is killed within seconds of the declaration.
//!
//! P is `rabbitmq.prefix`. Each process declares everything before it publishes or consumes; the
//! first one creates it.

use std::time::Duration;

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Connection, ExchangeKind};

use super::fault::{self, Fault};
use crate::error::{Error, Result};
use crate::queue::interface::{Channel, WorkKind, retry_delays};
use crate::settings::QueueSettings;

/// The broker removes a results queue that was not consumed or declared for this long.
const RESULTS_EXPIRE: Duration = Duration::from_secs(24 * 3600);
/// Newer brokers drop a message after 20 deliveries from a quorum queue without a limit. Reading
/// the quarantine must never drop one.
const UNLIMITED: i32 = i32::MAX;
/// AMQP names are at most 255 bytes long.
const NAME_LIMIT: usize = 255;

/// The declarations on the broker, derived from the settings only.
#[derive(Debug, Clone)]
pub(super) struct Topology {
    prefix: String,
    delivery_limit: u32,
    delays: Vec<Duration>,
}

/// The route of a published message.
#[derive(Debug, Clone)]
pub(super) struct Route {
    /// The exchange; empty means the default exchange, which routes by queue name.
    pub exchange: String,
    /// The routing key.
    pub key: String,
    /// Whether it is an error if no queue takes the message.
    pub must_arrive: bool,
}

impl Topology {
    pub(super) fn new(settings: &QueueSettings) -> Result<Self> {
        let valid = settings.prefix.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
        if settings.prefix.is_empty() || settings.prefix.len() > 100 || !valid {
            return Err(Error::invalid(format!(
                "the setting rabbitmq.prefix is `{}`: it must be 1 to 100 letters, digits, `-`, `_` or `.`",
                settings.prefix.escape_debug()
            )));
        }
        let delays = retry_delays(settings);
        if delays.is_empty() || delays.iter().any(|d| d.as_millis() > i32::MAX as u128) {
            return Err(Error::invalid(
                "the setting rabbitmq.retry_delays_ms must hold at least one delay, each at most 2147483647",
            ));
        }
        Ok(Topology { prefix: settings.prefix.clone(), delivery_limit: settings.delivery_limit, delays })
    }

    /// Returns the queue of `channel`.
    pub(super) fn queue(&self, channel: &Channel) -> String {
        format!("{}.{channel}", self.prefix)
    }

    /// Returns the queue of retry tier `tier`.
    fn retry_queue(&self, kind: WorkKind, tier: usize) -> String {
        format!("{}.retry.{}.{tier}", self.prefix, kind.name())
    }

    fn dead_letters(&self) -> String {
        format!("{}.dead-letters", self.prefix)
    }

    fn results(&self) -> String {
        format!("{}.results", self.prefix)
    }

    /// Returns the route to `channel`.
    pub(super) fn route(&self, channel: &Channel) -> Route {
        match channel {
            Channel::Results(run) => Route { exchange: self.results(), key: run.clone(), must_arrive: false },
            _ => Route { exchange: String::new(), key: self.queue(channel), must_arrive: true },
        }
    }

    /// Returns the route to the retry tier `tier` of `kind`, or to the last tier, and its delay.
    pub(super) fn retry_route(&self, kind: WorkKind, tier: usize) -> (Route, Duration) {
        let tier = tier.min(self.delays.len() - 1);
        let route = Route { exchange: String::new(), key: self.retry_queue(kind, tier), must_arrive: true };
        (route, self.delays[tier])
    }

    /// Refuses a channel whose name is not valid in AMQP.
    pub(super) fn check(&self, channel: &Channel) -> Result<()> {
        match channel {
            Channel::Results(run) if run.is_empty() || self.queue(channel).len() > NAME_LIMIT => {
                Err(Error::invalid(format!(
                    "`{}` cannot be a run id: its queue's name must have 1 to {NAME_LIMIT} bytes",
                    run.escape_debug()
                )))
            }
            _ => Ok(()),
        }
    }

    /// Declares everything except the results queues.
    ///
    /// # Errors
    /// InvalidInput if an exchange or queue of that name exists with other arguments.
    pub(super) async fn declare(&self, connection: &Connection) -> Result<()> {
        let channel = connection.create_channel().await.map_err(|e| fault::read(&e).error("to open a channel"))?;
        for (exchange, kind) in [(self.dead_letters(), ExchangeKind::Fanout), (self.results(), ExchangeKind::Direct)] {
            let options = ExchangeDeclareOptions { durable: true, ..Default::default() };
            let declared =
                channel.exchange_declare(exchange.as_str().into(), kind, options, FieldTable::default()).await;
            declared.map_err(|e| mismatch("exchange", &exchange, &e))?;
        }
        self.declare_queue(&channel, &Channel::Quarantine).await?;
        for kind in WorkKind::ALL {
            self.declare_queue(&channel, &Channel::Work(kind)).await?;
            for (tier, delay) in self.delays.iter().enumerate() {
                let mut arguments = quorum();
                set(&mut arguments, "x-message-ttl", AMQPValue::LongLongInt(delay.as_millis() as i64));
                dead_letter_to(&mut arguments, "", Some(&self.queue(&Channel::Work(kind))));
                create(&channel, &self.retry_queue(kind, tier), arguments).await?;
            }
        }
        channel.close(200, "declared".into()).await.map_err(|e| fault::read(&e).error("to close a channel"))
    }

    /// Returns the queues of all retry tiers of `kind`.
    pub(super) fn retry_queues(&self, kind: WorkKind) -> Vec<String> {
        (0..self.delays.len()).map(|tier| self.retry_queue(kind, tier)).collect()
    }

    /// Returns the state of the queue of `of`; None if it does not exist.
    pub(super) async fn inspect(&self, connection: &Connection, of: &Channel) -> Result<Option<lapin::Queue>> {
        self.inspect_queue(connection, &self.queue(of)).await
    }

    /// Returns the state of a queue; None if it does not exist.
    pub(super) async fn inspect_queue(&self, connection: &Connection, queue: &str) -> Result<Option<lapin::Queue>> {
        let failed = |fault: Fault| fault.error(&format!("to look at the queue {queue}"));
        // A separate channel, because the broker closes it if the queue does not exist.
        let channel = connection.create_channel().await.map_err(|e| failed(fault::read(&e)))?;
        let passive = QueueDeclareOptions { passive: true, ..Default::default() };
        match channel.queue_declare(queue.into(), passive, FieldTable::default()).await {
            Ok(known) => Ok(Some(known)),
            Err(error) => match fault::read(&error) {
                Fault::NotFound(_) => Ok(None),
                other => Err(failed(other)),
            },
        }
    }

    /// Declares the queue of `to` and its bindings on `channel`, which the broker closes if this
    /// fails.
    pub(super) async fn declare_queue(&self, channel: &lapin::Channel, to: &Channel) -> Result<()> {
        let queue = self.queue(to);
        let mut arguments = quorum();
        let binding = match to {
            Channel::Work(_) => {
                set(&mut arguments, "x-delivery-limit", AMQPValue::LongLongInt(i64::from(self.delivery_limit)));
                dead_letter_to(&mut arguments, &self.dead_letters(), None);
                None
            }
            Channel::Quarantine => {
                set(&mut arguments, "x-delivery-limit", AMQPValue::LongInt(UNLIMITED));
                Some((self.dead_letters(), String::new()))
            }
            Channel::Results(run) => {
                arguments = FieldTable::default();
                set(&mut arguments, "x-queue-type", AMQPValue::LongString("classic".into()));
                set(&mut arguments, "x-expires", AMQPValue::LongLongInt(RESULTS_EXPIRE.as_millis() as i64));
                Some((self.results(), run.clone()))
            }
        };
        create(channel, &queue, arguments).await?;
        if let Some((exchange, key)) = binding {
            let bound = channel.queue_bind(
                queue.as_str().into(),
                exchange.into(),
                key.into(),
                QueueBindOptions::default(),
                FieldTable::default(),
            );
            bound.await.map_err(|e| fault::read(&e).error(&format!("to bind the queue {queue}")))?;
        }
        Ok(())
    }
}

async fn create(channel: &lapin::Channel, queue: &str, arguments: FieldTable) -> Result<()> {
    let options = QueueDeclareOptions { durable: true, ..Default::default() };
    channel.queue_declare(queue.into(), options, arguments).await.map(drop).map_err(|e| mismatch("queue", queue, &e))
}

fn quorum() -> FieldTable {
    let mut arguments = FieldTable::default();
    set(&mut arguments, "x-queue-type", AMQPValue::LongString("quorum".into()));
    arguments
}

fn set(arguments: &mut FieldTable, name: &str, value: AMQPValue) {
    arguments.insert(name.into(), value);
}

/// At-least-once dead-lettering: a message stays in its queue until the target has confirmed it.
/// This requires reject-publish.
fn dead_letter_to(arguments: &mut FieldTable, exchange: &str, key: Option<&str>) {
    set(arguments, "x-dead-letter-exchange", AMQPValue::LongString(exchange.into()));
    if let Some(key) = key {
        set(arguments, "x-dead-letter-routing-key", AMQPValue::LongString(key.into()));
    }
    set(arguments, "x-dead-letter-strategy", AMQPValue::LongString("at-least-once".into()));
    set(arguments, "x-overflow", AMQPValue::LongString("reject-publish".into()));
}

/// Explains a declaration that the broker refuses because of other arguments.
fn mismatch(what: &str, name: &str, error: &lapin::Error) -> Error {
    match fault::read(error) {
        Fault::Mismatch(text) => Error::invalid(format!(
            "the {what} {name} exists on the broker with other arguments than these settings ask for ({text}): give every process the same \
             [rabbitmq] settings (retry_delays_ms, delivery_limit), or set another rabbitmq.prefix, or delete the {what} once it is empty"
        )),
        other => other.error(&format!("to declare the {what} {name}")),
    }
}
