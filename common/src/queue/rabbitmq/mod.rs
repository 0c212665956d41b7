//! The queue on RabbitMQ. See design.md in this folder for states, owners and races.
//!
//! Two supervised connections, one to publish and one to consume, run on a separate runtime with
//! one thread: heartbeats and acknowledgements are sent in time even if the caller's threads are
//! busy with decoding and inference. (lapin reads and writes its socket on its own thread, but its
//! heartbeat timer and the readiness of the socket belong to the runtime that started it.)

mod address;
mod broker;
mod connection;
mod consumer;
mod fault;
mod greeting;
mod publisher;
mod session;
mod topology;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::runtime::Builder;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use self::address::Address;
use self::broker::{Broker, REQUEST_TIMEOUT, RuntimeGuard, Unsettled};
use self::connection::Link;
use self::consumer::{RabbitDeliveries, Source};
use self::publisher::{Notes, Publisher};
use self::topology::Topology;
use super::interface::{Backlog, Channel, Deliveries, Queue, WorkKind};
use crate::error::{Error, Result};
use crate::redact::redact_url;
use crate::settings::QueueSettings;
use crate::telemetry::list::QUEUE_PUBLISH;

/// How long `close` waits for consumers to return their messages.
const CLOSE_WAIT: Duration = Duration::from_secs(6);
/// A queue on a RabbitMQ broker.
pub struct RabbitQueue {
    broker: Arc<Broker>,
}

impl RabbitQueue {
    /// Connects to the broker at `url` (`amqp://` or `amqps://`) and declares missing queues.
    /// Certificates of `amqps` are checked against the machine's trust store.
    ///
    /// # Errors
    /// Transient if the broker cannot be reached within `connect_timeout_ms`, Permission if it
    /// refuses the login, InvalidInput for a URL that cannot be read, a virtual host that does not
    /// exist, or a queue that exists with other arguments.
    pub async fn open(url: &str, settings: &QueueSettings) -> Result<Self> {
        let address = Arc::new(Address::parse(url, settings)?);
        let topology = Arc::new(Topology::new(settings)?);
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .max_blocking_threads(2)
            .thread_name("jhalak-queue")
            .enable_all()
            .build()?;
        // The guard shuts the runtime down without waiting, since this may end on a thread of
        // another runtime.
        let mut guard = RuntimeGuard(Some(runtime));
        let handle = guard.handle();
        let of_links = address.clone();
        let opening = handle.spawn(async move {
            let first = Link::open(of_links.clone(), "publishing", topology.clone()).await?;
            let second = Link::open(of_links, "consuming", topology.clone()).await?;
            Ok((first, second, topology))
        });
        let (publishing, consuming, topology) =
            opening.await.unwrap_or_else(|e| Err(Error::bug("opening the queue was interrupted").with_source(e)))?;
        let broker = Broker {
            url: redact_url(url),
            address: address.clone(),
            topology,
            publisher: Arc::new(Publisher {
                link: publishing,
                timeout: Duration::from_millis(settings.publish_timeout_ms),
            }),
            consuming: Arc::new(consuming),
            unsettled: Unsettled::default(),
            closed: CancellationToken::new(),
            runtime: guard.0.take(),
        };
        Ok(RabbitQueue { broker: Arc::new(broker) })
    }
}

#[async_trait]
impl Queue for RabbitQueue {
    fn url(&self) -> String {
        self.broker.url.clone()
    }

    fn name(&self, channel: &Channel) -> String {
        self.broker.topology.queue(channel)
    }

    async fn publish(&self, channel: &Channel, body: Bytes) -> Result<()> {
        self.broker.check(Some(channel))?;
        let began = Instant::now();
        self.broker
            .publisher
            .publish(&self.broker.topology.route(channel), &body, Notes::due_in(Duration::ZERO))
            .await?;
        let channel = match channel {
            Channel::Work(_) => "work",
            Channel::Quarantine => "quarantine",
            Channel::Results(_) => "results",
        };
        QUEUE_PUBLISH.observe(&[channel], began.elapsed().as_secs_f64());
        Ok(())
    }

    async fn publish_later(&self, kind: WorkKind, tier: usize, body: Bytes) -> Result<()> {
        self.broker.check(None)?;
        let began = Instant::now();
        let (route, delay) = self.broker.topology.retry_route(kind, tier);
        self.broker.publisher.publish(&route, &body, Notes::due_in(delay)).await?;
        QUEUE_PUBLISH.observe(&["retry"], began.elapsed().as_secs_f64());
        Ok(())
    }

    async fn consume(&self, channel: &Channel, prefetch: u16) -> Result<Box<dyn Deliveries>> {
        self.broker.check(Some(channel))?;
        let source = Source {
            from: channel.clone(),
            prefetch,
            topology: self.broker.topology.clone(),
            link: self.broker.consuming.clone(),
            publisher: self.broker.publisher.clone(),
            unsettled: self.broker.unsettled.clone(),
            data_lost: AtomicBool::new(false),
            runtime: self.broker.handle(),
        };
        Ok(Box::new(RabbitDeliveries::start(source, self.broker.clone()).await?))
    }

    async fn depth(&self, channel: &Channel) -> Result<u64> {
        self.broker.check(Some(channel))?;
        let topology = &self.broker.topology;
        let queue = topology.queue(channel);
        let asking = async {
            let session = self.broker.consuming.session(None).await?;
            match (topology.inspect(&session.connection, channel).await?, channel) {
                (Some(known), _) => Ok(u64::from(known.message_count())),
                // Nobody consumes the results of this run, so none wait.
                (None, Channel::Results(_)) => Ok(0),
                (None, _) => Err(Error::transient(format!("the queue {queue} no longer exists on the broker"))),
            }
        };
        timeout(REQUEST_TIMEOUT, asking).await.unwrap_or_else(|_| {
            Err(Error::transient(format!("the broker did not report the length of {queue} in time")))
        })
    }

    async fn backlog(&self, kind: WorkKind) -> Result<Backlog> {
        self.broker.check(None)?;
        let topology = &self.broker.topology;
        let asking = async {
            let session = self.broker.consuming.session(None).await?;
            let work = topology.inspect(&session.connection, &Channel::Work(kind)).await?;
            let mut backlog = work.map_or_else(Backlog::default, |work| Backlog {
                ready: u64::from(work.message_count()),
                delayed: 0,
                consumers: work.consumer_count(),
            });
            for queue in topology.retry_queues(kind) {
                // A tier that was deleted holds nothing.
                let tier = topology.inspect_queue(&session.connection, &queue).await?;
                backlog.delayed += tier.map_or(0, |tier| u64::from(tier.message_count()));
            }
            Ok(backlog)
        };
        timeout(REQUEST_TIMEOUT, asking).await.unwrap_or_else(|_| {
            Err(Error::transient(format!("the broker did not report the backlog of {} jobs in time", kind.name())))
        })
    }

    async fn heal(&self, channel: &Channel) -> Result<()> {
        self.broker.check(Some(channel))?;
        let topology = &self.broker.topology;
        let healing = async {
            let session = self.broker.consuming.session(None).await?;
            topology.declare(&session.connection).await?;
            let failed = |e: lapin::Error| fault::read(&e).error("to open a channel");
            let opened = session.connection.create_channel().await.map_err(failed)?;
            topology.declare_queue(&opened, channel).await?;
            opened.close(200, "declared".into()).await.map_err(failed)
        };
        timeout(REQUEST_TIMEOUT, healing).await.unwrap_or_else(|_| {
            Err(Error::transient("the broker did not answer the declaration of its queues in time"))
        })
    }

    async fn product(&self) -> Option<String> {
        self.broker.address.product().await
    }

    fn is_connected(&self) -> bool {
        self.broker.consuming.is_up() && self.broker.publisher.link.is_up()
    }

    fn blocked(&self) -> Option<String> {
        self.broker.publisher.link.blocked()
    }

    async fn close(&self) {
        self.broker.closed.cancel();
        if timeout(CLOSE_WAIT, self.broker.unsettled.none()).await.is_err() {
            warn!("some messages could not be returned in time; the broker takes them back with the connection");
        }
        self.broker.consuming.stop().await;
        self.broker.publisher.link.stop().await;
    }
}

impl fmt::Debug for RabbitQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RabbitQueue").field("url", &self.broker.url).finish_non_exhaustive()
    }
}
