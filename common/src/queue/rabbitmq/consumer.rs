//! Consumers: one task per consumer takes deliveries from the broker and restarts after every loss.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::future::try_join_all;
use lapin::options::{
    BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions, QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use tokio::runtime::Handle;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::time::{Instant, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::{debug, warn};

use super::broker::{Broker, REQUEST_TIMEOUT, Unsettled};
use super::connection::{Link, RECONNECT_BACKOFF};
use super::fault;
use super::publisher::{Notes, Publisher, REDELIVERIES};
use super::session::Session;
use super::topology::Topology;
use crate::backoff::Backoff;
use crate::error::{Error, ErrorKind, Result};
use crate::queue::interface::{Channel, Deliveries, Delivery, Receipt};

/// Timeout for returning a message. If too short, the broker returns it itself and counts it; if
/// too long, closing takes longer.
const RETURN_TIMEOUT: Duration = Duration::from_secs(5);

/// A consumer is idle when no message has arrived for this long. If too short, messages on their
/// way come back counted; if too long, ending a consumer takes longer.
const IDLE: Duration = Duration::from_millis(100);

/// Shared state of a consumer and its receipts.
pub(super) struct Source {
    pub(super) from: Channel,
    pub(super) prefetch: u16,
    pub(super) topology: Arc<Topology>,
    pub(super) link: Arc<Link>,
    pub(super) publisher: Arc<Publisher>,
    pub(super) unsettled: Unsettled,
    /// The broker came back without this queue, and the caller has not been informed.
    pub(super) data_lost: AtomicBool,
    pub(super) runtime: Handle,
}

/// The memory of a consumer about its previous session.
#[derive(Default)]
struct Previous {
    session: Option<Arc<Session>>,
    /// Its queue did not exist on a later session. Only its consumer declares a results queue, so
    /// the broker has lost its data.
    queue_is_gone: bool,
}

/// A consumer on one session.
struct Running {
    session: Arc<Session>,
    channel: lapin::Channel,
    consumer: lapin::Consumer,
}

/// The receiving end of the consumer task.
pub(super) struct RabbitDeliveries {
    /// Shared with the task, which returns deliveries that were not taken.
    incoming: Arc<Incoming>,
    source: Arc<Source>,
    /// Ends the task when this is dropped.
    stop: DropGuard,
    /// Keeps the queue's runtime alive.
    _broker: Arc<Broker>,
}

type Incoming = Mutex<mpsc::Receiver<Result<Taken>>>;

struct Taken {
    delivery: Delivery,
    session: Arc<Session>,
}

impl RabbitDeliveries {
    /// Starts to consume; fails if the broker refuses permanently.
    pub(super) async fn start(source: Source, broker: Arc<Broker>) -> Result<Self> {
        let source = Arc::new(source);
        let stop = broker.closed.child_token();
        let (outgoing, incoming) = mpsc::channel(1);
        let (started, first) = oneshot::channel();
        let incoming = Arc::new(Mutex::new(incoming));
        let deliveries = RabbitDeliveries {
            incoming: incoming.clone(),
            source: source.clone(),
            stop: stop.clone().drop_guard(),
            _broker: broker,
        };
        let counted = source.unsettled.count_one();
        let runtime = source.runtime.clone();
        runtime.spawn(async move {
            if let Err(error) = source.run(&outgoing, &stop, started).await {
                debug!(%error, channel = %source.from, "the consumer has ended");
            }
            // `next` releases the lock when the consumer is stopped.
            while let Ok(Ok(taken)) = incoming.lock().await.try_recv() {
                // If this fails, the broker takes the message back with its channel.
                let _ = taken.delivery.requeue().await;
            }
            drop(counted);
        });
        first.await.unwrap_or_else(|_| Err(super::connection::closed()))?;
        Ok(deliveries)
    }
}

#[async_trait]
impl Deliveries for RabbitDeliveries {
    async fn next(&mut self) -> Result<Option<Delivery>> {
        loop {
            let taking = async { self.incoming.lock().await.recv().await };
            let stop = self.stop.token();
            let taken = tokio::select! { biased; () = stop.cancelled() => None, taken = taking => taken };
            match taken.transpose()? {
                None => return Ok(None),
                // Its session is lost: the broker delivers it again.
                Some(taken) if taken.session.is_lost() => {}
                Some(taken) => return Ok(Some(taken.delivery)),
            }
        }
    }

    fn were_forgotten(&mut self) -> bool {
        self.source.data_lost.swap(false, Ordering::SeqCst)
    }
}

impl Source {
    async fn run(
        self: &Arc<Self>,
        outgoing: &mpsc::Sender<Result<Taken>>,
        stop: &CancellationToken,
        started: oneshot::Sender<Result<()>>,
    ) -> Result<()> {
        let mut started = Some(started);
        let mut backoff = RECONNECT_BACKOFF;
        let mut previous = Previous::default();
        loop {
            let running = tokio::select! { () = stop.cancelled() => return Ok(()), running = self.begin(&mut previous) => running };
            match running {
                Ok(mut running) => {
                    previous.session = Some(running.session.clone());
                    if std::mem::take(&mut previous.queue_is_gone) {
                        self.data_lost.store(true, Ordering::SeqCst);
                    }
                    if let Some(started) = started.take() {
                        // If nobody waits any more, `stop` is cancelled.
                        let _ = started.send(Ok(()));
                    }
                    if self.pass_on(&mut running, outgoing, stop, &mut backoff).await {
                        return self.end(running).await;
                    }
                    warn!(channel = %self.from, "the consumer was lost; restarting it");
                }
                Err(error) if error.kind() == ErrorKind::Cancelled => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Transient => {
                    debug!(%error, channel = %self.from, "the consumer cannot be started yet")
                }
                Err(error) => match started.take() {
                    Some(started) => {
                        let _ = started.send(Err(error));
                        return Ok(());
                    }
                    // The channel holds one item: the caller reads the error before the next
                    // attempt.
                    None => {
                        tokio::select! { () = stop.cancelled() => return Ok(()), _ = outgoing.send(Err(error)) => {} }
                    }
                },
            }
            tokio::select! { () = stop.cancelled() => return Ok(()), () = backoff.wait() => {} }
        }
    }

    /// Waits for a session and consumes on a new channel.
    async fn begin(&self, previous: &mut Previous) -> Result<Running> {
        let session = self.link.session(None).await?;
        // A quorum queue without a leader never answers.
        timeout(REQUEST_TIMEOUT, self.begin_on(session, previous)).await.unwrap_or_else(|_| {
            Err(Error::transient(format!("the broker did not start to deliver from {} in time", self.from)))
        })
    }

    async fn begin_on(&self, session: Arc<Session>, previous: &mut Previous) -> Result<Running> {
        // On the same connection the queue was deleted by an operator or by another consumer that
        // ended.
        let is_back = previous.session.as_ref().is_some_and(|last| !Arc::ptr_eq(last, &session));
        if is_back
            && matches!(self.from, Channel::Results(_))
            && self.topology.inspect(&session.connection, &self.from).await?.is_none()
        {
            previous.queue_is_gone = true;
        }
        let failed = |e: lapin::Error| fault::read(&e).error(&format!("to deliver from {}", self.from));
        let channel = session.connection.create_channel().await.map_err(failed)?;
        self.topology.declare_queue(&channel, &self.from).await?;
        channel.basic_qos(self.prefetch.max(1), BasicQosOptions::default()).await.map_err(failed)?;
        let queue = self.topology.queue(&self.from);
        let consuming =
            channel.basic_consume(queue.into(), "".into(), BasicConsumeOptions::default(), FieldTable::default());
        let consumer = consuming.await.map_err(failed)?;
        Ok(Running { session, channel, consumer })
    }

    /// Passes deliveries on. Returns true when the consumer must end, false when it was lost.
    async fn pass_on(
        self: &Arc<Self>,
        running: &mut Running,
        outgoing: &mpsc::Sender<Result<Taken>>,
        stop: &CancellationToken,
        backoff: &mut Backoff,
    ) -> bool {
        loop {
            // Capacity is reserved before the message is taken, so that a message that is taken is
            // always passed on.
            let room = tokio::select! {
                biased;
                () = stop.cancelled() => return true,
                () = running.session.lost() => return false,
                room = outgoing.reserve() => room,
            };
            let Ok(room) = room else { return true };
            let next = tokio::select! {
                biased;
                () = stop.cancelled() => return true,
                () = running.session.lost() => return false,
                next = running.consumer.next() => next,
            };
            match next {
                Some(Ok(message)) => {
                    backoff.reset();
                    room.send(Ok(Taken {
                        delivery: self.delivery(message, running),
                        session: running.session.clone(),
                    }));
                }
                Some(Err(error)) => {
                    warn!(channel = %self.from, %error, "the broker ended the consumer");
                    return false;
                }
                None => return false,
            }
        }
    }

    fn delivery(self: &Arc<Self>, message: lapin::message::Delivery, running: &Running) -> Delivery {
        let headers = message.properties.headers();
        let count = |name| headers.as_ref().and_then(|h| h.inner().get(name)).and_then(integer).unwrap_or(0);
        let redeliveries = count("x-delivery-count").saturating_add(count(REDELIVERIES));
        let since = *message.properties.timestamp();
        let since_now = Notes::due_in(Duration::ZERO).since;
        let notes = Notes { redeliveries, since: since.unwrap_or(since_now) };
        let body = Bytes::from(message.data);
        let receipt = RabbitReceipt {
            acker: Some(message.acker),
            channel: running.channel.clone(),
            session: running.session.clone(),
            source: self.clone(),
            body: body.clone(),
            notes,
        };
        let was_given_up = headers.as_ref().and_then(|h| h.inner().get("x-death")).is_some_and(was_given_up);
        Delivery::new(body, redeliveries, Box::new(receipt))
            .as_dead_letter(self.from == Channel::Quarantine && was_given_up)
            .after_waiting(since.map(|_| notes.waited()))
    }

    /// Ends the consumer: messages that were not passed on are returned uncounted, and a results
    /// queue without other consumers is removed.
    async fn end(self: &Arc<Self>, mut running: Running) -> Result<()> {
        let ending = async {
            let failed = |e: lapin::Error| fault::read(&e).error("to end a consumer");
            // A message in transit while the broker handles the cancellation would come back
            // counted. So messages in transit are taken first and held unsettled: the prefetch
            // limit stops more from following.
            let mut held = Vec::new();
            let first = Instant::now();
            while first.elapsed() < IDLE * 10
                && let Ok(Some(Ok(message))) = timeout(IDLE, running.consumer.next()).await
            {
                held.push(self.delivery(message, &running));
            }
            running
                .channel
                .basic_cancel(running.consumer.tag(), BasicCancelOptions::default())
                .await
                .map_err(failed)?;
            while let Some(Ok(message)) = running.consumer.next().await {
                held.push(self.delivery(message, &running));
            }
            try_join_all(held.into_iter().map(Delivery::requeue)).await?;
            if let Channel::Results(_) = self.from {
                let queue = self.topology.queue(&self.from);
                let known = self.topology.inspect(&running.session.connection, &self.from).await?;
                // Another coordinator that starts at this moment loses this queue and declares it
                // again; it reads missed results from storage.
                if known.is_some_and(|known| known.consumer_count() == 0) {
                    let channel = running.session.connection.create_channel().await.map_err(failed)?;
                    channel.queue_delete(queue.into(), QueueDeleteOptions::default()).await.map_err(failed)?;
                }
            }
            Ok(())
        };
        timeout(RETURN_TIMEOUT, ending)
            .await
            .unwrap_or_else(|_| Err(Error::transient("the broker did not take back the messages in time")))
    }
}

/// Whether the broker gave the message up because it was delivered too often. The header also lists
/// moves for other reasons: out of a retry tier, or by an operator's policy.
fn was_given_up(deaths: &AMQPValue) -> bool {
    let AMQPValue::FieldArray(deaths) = deaths else { return false };
    deaths.as_slice().iter().any(|death| {
        let AMQPValue::FieldTable(death) = death else { return false };
        match death.inner().get("reason") {
            Some(AMQPValue::LongString(reason)) => reason.as_bytes() == b"delivery_limit",
            _ => false,
        }
    })
}

fn integer(value: &AMQPValue) -> Option<u32> {
    let number = match value {
        AMQPValue::ShortShortInt(n) => i64::from(*n),
        AMQPValue::ShortShortUInt(n) => i64::from(*n),
        AMQPValue::ShortInt(n) => i64::from(*n),
        AMQPValue::ShortUInt(n) => i64::from(*n),
        AMQPValue::LongInt(n) => i64::from(*n),
        AMQPValue::LongUInt(n) => i64::from(*n),
        AMQPValue::LongLongInt(n) => *n,
        _ => return None,
    };
    u32::try_from(number).ok()
}

/// Settles one delivery on its channel.
struct RabbitReceipt {
    /// None once settled.
    acker: Option<lapin::Acker>,
    /// Keeps the channel open until its last delivery is settled, even after its consumer has
    /// ended.
    channel: lapin::Channel,
    session: Arc<Session>,
    source: Arc<Source>,
    body: Bytes,
    notes: Notes,
}

#[async_trait]
impl Receipt for RabbitReceipt {
    async fn ack(mut self: Box<Self>) -> Result<bool> {
        let Some(acker) = self.acker.take() else { return Ok(false) };
        if self.session.is_lost() || !self.channel.status().connected() {
            return Ok(false);
        }
        let sent = tokio::select! {
            sent = acker.ack(BasicAckOptions::default()) => sent,
            () = self.session.lost() => Ok(false),
        };
        // Every failure here means that the channel, and the message with it, is lost.
        Ok(sent.unwrap_or(false))
    }

    /// A plain nack would count as a delivery. So a job is published to the end of its queue as a
    /// copy with its count, then the original is acknowledged.
    async fn requeue(mut self: Box<Self>) -> Result<()> {
        if let Channel::Work(_) = self.source.from {
            let source = self.source.clone();
            let route = source.topology.route(&source.from);
            let copied =
                source.publisher.publish_until(Instant::now() + RETURN_TIMEOUT, &route, &self.body, self.notes).await;
            match copied {
                Ok(()) => return self.ack().await.map(drop),
                Err(error) => debug!(%error, "a message is returned and counted, because it could not be copied"),
            }
        }
        if let Some(acker) = self.acker.take() {
            return_to_queue(acker).await;
        }
        Ok(())
    }
}

impl Drop for RabbitReceipt {
    fn drop(&mut self) {
        if let Some(acker) = self.acker.take() {
            let channel = self.channel.clone();
            let counted = self.source.unsettled.count_one();
            self.source.runtime.spawn(async move {
                return_to_queue(acker).await;
                drop((channel, counted));
            });
        }
    }
}

async fn return_to_queue(acker: lapin::Acker) {
    // If this fails, the channel is lost and the broker has taken the message back.
    let nack = acker.nack(BasicNackOptions { requeue: true, ..Default::default() });
    let _ = timeout(RETURN_TIMEOUT, nack).await;
}
