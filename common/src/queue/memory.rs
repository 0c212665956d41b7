//! The queue within one process, for `jhalak run`: the same guarantees as RabbitMQ, except
//! durability.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, sleep_until};

use super::interface::{Backlog, Channel, Deliveries, Delivery, Queue, Receipt, WorkKind, retry_delays};
use crate::error::{Error, Result};
use crate::settings::QueueSettings;

/// A connection to a queue in this process.
pub struct MemoryQueue {
    shared: Arc<Shared>,
    connection: Arc<Connection>,
}

struct Shared {
    delays: Vec<Duration>,
    delivery_limit: u32,
    messages: Mutex<Messages>,
    /// Notified when a message may have become ready, or a connection was closed.
    changed: watch::Sender<()>,
}

struct Connection {
    number: u64,
    closed: AtomicBool,
}

#[derive(Clone)]
struct Message {
    body: Bytes,
    redeliveries: u32,
    is_dead_letter: bool,
    /// Since when it waits.
    since: Instant,
}

#[derive(Default)]
struct Messages {
    ready: BTreeMap<Channel, VecDeque<Message>>,
    /// Retries by due time; the number orders retries with equal due times.
    delayed: BTreeMap<(Instant, u64), (WorkKind, Message)>,
    /// Unacknowledged deliveries, with their connection.
    out: BTreeMap<u64, (u64, Channel, Message)>,
    /// Consumers of each run's results.
    listeners: BTreeMap<String, usize>,
    /// Consumers of each work channel.
    consumers: BTreeMap<WorkKind, u32>,
    next_number: u64,
}

impl MemoryQueue {
    /// Opens the first connection to a new, empty queue.
    pub fn new(settings: &QueueSettings) -> Self {
        let shared = Shared {
            delays: retry_delays(settings),
            delivery_limit: settings.delivery_limit,
            messages: Mutex::default(),
            changed: watch::Sender::new(()),
        };
        Self::connect(Arc::new(shared))
    }

    /// Opens another connection to the same messages, which is closed separately.
    pub fn another(&self) -> Self {
        Self::connect(self.shared.clone())
    }

    fn connect(shared: Arc<Shared>) -> Self {
        let number = shared.lock().number();
        MemoryQueue { shared, connection: Arc::new(Connection { number, closed: AtomicBool::new(false) }) }
    }

    fn check(&self) -> Result<()> {
        if self.connection.closed.load(Ordering::SeqCst) {
            Err(Error::cancelled("the queue was closed"))
        } else {
            Ok(())
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Messages> {
        // Code that holds the lock cannot panic within a change.
        self.messages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns a message to the head of its channel, as RabbitMQ does.
    fn return_message(&self, messages: &mut Messages, channel: Channel, mut message: Message, counted: bool) {
        message.redeliveries = message.redeliveries.saturating_add(u32::from(counted));
        match &channel {
            Channel::Results(run) if !messages.listeners.contains_key(run) => {}
            Channel::Work(_) if message.redeliveries > self.delivery_limit => {
                message.redeliveries = 0;
                message.is_dead_letter = true;
                messages.ready.entry(Channel::Quarantine).or_default().push_back(message);
            }
            _ => messages.ready.entry(channel).or_default().push_front(message),
        }
        self.changed.send_replace(());
    }
}

impl Messages {
    fn number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }

    /// Moves due retries to their work channels.
    fn move_due(&mut self, now: Instant) {
        while let Some(entry) = self.delayed.first_entry()
            && entry.key().0 <= now
        {
            let (kind, message) = entry.remove();
            self.ready.entry(Channel::Work(kind)).or_default().push_back(message);
        }
    }
}

#[async_trait]
impl Queue for MemoryQueue {
    fn url(&self) -> String {
        "memory:".into()
    }

    async fn publish(&self, channel: &Channel, body: Bytes) -> Result<()> {
        self.check()?;
        let mut messages = self.shared.lock();
        if let Channel::Results(run) = channel
            && !messages.listeners.contains_key(run)
        {
            return Ok(());
        }
        messages.ready.entry(channel.clone()).or_default().push_back(Message {
            body,
            redeliveries: 0,
            is_dead_letter: false,
            since: Instant::now(),
        });
        self.shared.changed.send_replace(());
        Ok(())
    }

    async fn publish_later(&self, kind: WorkKind, tier: usize, body: Bytes) -> Result<()> {
        self.check()?;
        let last = self.shared.delays.len().saturating_sub(1);
        let delay = self.shared.delays.get(tier.min(last)).copied().unwrap_or_default();
        let mut messages = self.shared.lock();
        let (number, since) = (messages.number(), Instant::now() + delay);
        let message = Message { body, redeliveries: 0, is_dead_letter: false, since };
        messages.delayed.insert((since, number), (kind, message));
        self.shared.changed.send_replace(());
        Ok(())
    }

    async fn consume(&self, channel: &Channel, prefetch: u16) -> Result<Box<dyn Deliveries>> {
        self.check()?;
        match channel {
            Channel::Results(run) => *self.shared.lock().listeners.entry(run.clone()).or_default() += 1,
            Channel::Work(kind) => *self.shared.lock().consumers.entry(*kind).or_default() += 1,
            Channel::Quarantine => {}
        }
        Ok(Box::new(MemoryDeliveries {
            shared: self.shared.clone(),
            connection: self.connection.clone(),
            channel: channel.clone(),
            permits: Arc::new(Semaphore::new(usize::from(prefetch.max(1)))),
        }))
    }

    async fn depth(&self, channel: &Channel) -> Result<u64> {
        self.check()?;
        let mut messages = self.shared.lock();
        messages.move_due(Instant::now());
        Ok(messages.ready.get(channel).map_or(0, |ready| ready.len() as u64))
    }

    async fn backlog(&self, kind: WorkKind) -> Result<Backlog> {
        let ready = self.depth(&Channel::Work(kind)).await?;
        let messages = self.shared.lock();
        let delayed = messages.delayed.values().filter(|(of, _)| *of == kind).count() as u64;
        let consumers = messages.consumers.get(&kind).copied().unwrap_or(0);
        Ok(Backlog { ready, delayed, consumers })
    }

    async fn close(&self) {
        self.connection.closed.store(true, Ordering::SeqCst);
        let mut messages = self.shared.lock();
        let mine: Vec<u64> =
            messages.out.iter().filter(|(_, out)| out.0 == self.connection.number).map(|(&number, _)| number).collect();
        // In reverse order: each goes to the head, so that the oldest ends up at the head.
        for number in mine.into_iter().rev() {
            if let Some((_, channel, message)) = messages.out.remove(&number) {
                self.shared.return_message(&mut messages, channel, message, true);
            }
        }
        self.shared.changed.send_replace(());
    }
}

impl fmt::Debug for MemoryQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryQueue").field("connection", &self.connection.number).finish_non_exhaustive()
    }
}

struct MemoryDeliveries {
    shared: Arc<Shared>,
    connection: Arc<Connection>,
    channel: Channel,
    permits: Arc<Semaphore>,
}

#[async_trait]
impl Deliveries for MemoryDeliveries {
    async fn next(&mut self) -> Result<Option<Delivery>> {
        let mut changed = self.shared.changed.subscribe();
        let mut permit: Option<OwnedSemaphorePermit> = None;
        loop {
            changed.mark_unchanged();
            if self.connection.closed.load(Ordering::SeqCst) {
                return Ok(None);
            }
            // The prefetch permit is taken before the message: a message that is taken is always
            // handed out.
            if permit.is_none() {
                tokio::select! {
                    free = self.permits.clone().acquire_owned() => permit = free.ok(),
                    _ = changed.changed() => continue,
                }
            }
            let due = {
                let mut messages = self.shared.lock();
                messages.move_due(Instant::now());
                if let Some(message) = messages.ready.get_mut(&self.channel).and_then(VecDeque::pop_front) {
                    let number = messages.number();
                    messages.out.insert(number, (self.connection.number, self.channel.clone(), message.clone()));
                    let receipt = MemoryReceipt { shared: self.shared.clone(), number, _permit: permit };
                    let delivery = Delivery::new(message.body, message.redeliveries, Box::new(receipt));
                    let delivery = delivery.as_dead_letter(message.is_dead_letter);
                    return Ok(Some(delivery.after_waiting(Some(message.since.elapsed()))));
                }
                messages.delayed.first_key_value().map(|(&(due, _), _)| due)
            };
            // The sender lives in `shared`: `changed` cannot fail.
            match due {
                Some(due) => tokio::select! { _ = changed.changed() => {}, () = sleep_until(due) => {} },
                None => drop(changed.changed().await),
            }
        }
    }
}

impl Drop for MemoryDeliveries {
    fn drop(&mut self) {
        if let Channel::Work(kind) = &self.channel
            && let Some(consumers) = self.shared.lock().consumers.get_mut(kind)
        {
            *consumers -= 1;
        }
        if let Channel::Results(run) = &self.channel {
            let mut messages = self.shared.lock();
            let listeners = messages.listeners.get_mut(run).map(|count| {
                *count -= 1;
                *count
            });
            if listeners == Some(0) {
                messages.listeners.remove(run);
                messages.ready.remove(&self.channel);
            }
        }
    }
}

/// Settles one delivery; dropping it frees its prefetch permit.
struct MemoryReceipt {
    shared: Arc<Shared>,
    number: u64,
    _permit: Option<OwnedSemaphorePermit>,
}

impl MemoryReceipt {
    fn return_message(&self, counted: bool) {
        let mut messages = self.shared.lock();
        if let Some((_, channel, message)) = messages.out.remove(&self.number) {
            self.shared.return_message(&mut messages, channel, message, counted);
        }
    }
}

#[async_trait]
impl Receipt for MemoryReceipt {
    async fn ack(self: Box<Self>) -> Result<bool> {
        Ok(self.shared.lock().out.remove(&self.number).is_some())
    }

    async fn requeue(self: Box<Self>) -> Result<()> {
        self.return_message(false);
        Ok(())
    }
}

impl Drop for MemoryReceipt {
    fn drop(&mut self) {
        self.return_message(true);
    }
}
