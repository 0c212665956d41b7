//! One supervised connection: opened with the topology declared, and rebuilt after a loss.
//!
//! lapin's own recovery is not used: after an error on a channel it leaves consumers waiting
//! forever.

use std::sync::Arc;
use std::time::Duration;

use futures::stream::{BoxStream, StreamExt};
use lapin::Event;
use tokio::sync::{Mutex, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::address::Address;
use super::session::{CLOSE_TIMEOUT, Session};
use super::topology::Topology;
use crate::backoff::Backoff;
use crate::error::{Error, ErrorKind, Result};
use crate::telemetry::list::{QUEUE_BLOCKED, QUEUE_CONNECT_FAILURES, QUEUE_CONNECTED, QUEUE_RECONNECTS};

/// How often a connection is checked in addition to its events: a clean close by the broker sends
/// none. Longer delays the reconnection.
const CHECK_INTERVAL: Duration = Duration::from_millis(500);
/// The delays before each attempt to connect, consume or publish again: from 0.1 s, doubled up to 5
/// s, 25 % shorter or longer at random.
pub(super) const RECONNECT_BACKOFF: Backoff =
    Backoff::new(Duration::from_millis(100), Duration::from_secs(5), 0.75..1.25);

/// A connection that lasted this long resets the backoff.
const BACKOFF_RESET_AFTER: Duration = Duration::from_secs(30);

/// The state of the connection, published by the supervisor.
#[derive(Clone)]
enum State {
    Up(Arc<Session>),
    /// Reconnecting; the kind and the message of the last failed attempt.
    Down(Option<(ErrorKind, String)>),
    Stopped,
}

/// A connection that a supervisor task keeps up until it is stopped.
pub(super) struct Link {
    host: String,
    state: watch::Receiver<State>,
    stop: CancellationToken,
    supervisor: Mutex<Option<JoinHandle<()>>>,
}

impl Link {
    /// Opens the connection, or fails; later losses are repaired. Must run on the queue's runtime.
    pub(super) async fn open(address: Arc<Address>, role: &'static str, topology: Arc<Topology>) -> Result<Link> {
        let session = Arc::new(address.connect(role, &topology).await?);
        let (publish, state) = watch::channel(State::Up(session.clone()));
        let stop = CancellationToken::new();
        let host = address.host.clone();
        QUEUE_CONNECTED.set(&[role], 1.0);
        let supervisor = Supervisor { address, role, topology, publish, stop: stop.clone() };
        let supervisor = tokio::spawn(supervisor.run(session));
        Ok(Link { host, state, stop, supervisor: Mutex::new(Some(supervisor)) })
    }

    /// Returns the live connection; waits during a reconnection, until `deadline` if given.
    ///
    /// # Errors
    /// Permanent refusals of the broker; Transient after the deadline; Cancelled after
    /// [`Link::stop`].
    pub(super) async fn session(&self, deadline: Option<Instant>) -> Result<Arc<Session>> {
        let mut state = self.state.clone();
        loop {
            let now = state.borrow_and_update().clone();
            let last = match now {
                State::Up(session) if !session.is_lost() => return Ok(session),
                State::Up(_) => None,
                State::Down(Some((kind, message))) if kind != ErrorKind::Transient => {
                    return Err(Error::new(kind, message));
                }
                State::Down(last) => last.map(|(_, message)| message),
                State::Stopped => return Err(closed()),
            };
            let changed = match deadline {
                Some(deadline) => tokio::time::timeout_at(deadline, state.changed()).await,
                None => Ok(state.changed().await),
            };
            match changed {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return Err(closed()),
                Err(_) => {
                    let why = last.unwrap_or_else(|| "the connection was lost".into());
                    return Err(Error::transient(format!(
                        "RabbitMQ at {} was not available again in time: {why}",
                        self.host
                    )));
                }
            }
        }
    }

    /// Whether the connection is up.
    pub(super) fn is_up(&self) -> bool {
        matches!(&*self.state.borrow(), State::Up(session) if !session.is_lost())
    }

    /// Returns the broker's reason while it takes no messages.
    pub(super) fn blocked(&self) -> Option<String> {
        match &*self.state.borrow() {
            State::Up(session) => session.blocked(),
            State::Down(_) | State::Stopped => None,
        }
    }

    /// Closes the connection permanently.
    pub(super) async fn stop(&self) {
        self.stop.cancel();
        if let Some(supervisor) = self.supervisor.lock().await.take() {
            // It ends by itself, or with the runtime.
            let _ = timeout(CLOSE_TIMEOUT * 2, supervisor).await;
        }
    }
}

/// Returns the error of every call after the queue was closed.
pub(super) fn closed() -> Error {
    Error::cancelled("the queue was closed")
}

struct Supervisor {
    address: Arc<Address>,
    role: &'static str,
    topology: Arc<Topology>,
    publish: watch::Sender<State>,
    stop: CancellationToken,
}

impl Supervisor {
    async fn run(self, mut session: Arc<Session>) {
        let mut backoff = RECONNECT_BACKOFF;
        loop {
            let stopped = self.stop.cancelled();
            let ended = tokio::select! { () = stopped => false, () = wait_for_loss(&session) => true };
            session.mark_lost();
            if !ended {
                break;
            }
            self.publish.send_replace(State::Down(None));
            QUEUE_CONNECTED.set(&[self.role], 0.0);
            QUEUE_RECONNECTS.increment(&[self.role]);
            warn!(host = %self.address.host, role = self.role, "the connection to RabbitMQ was lost; reconnecting");
            session.close().await;
            if session.opened.elapsed() > BACKOFF_RESET_AFTER {
                backoff.reset();
            }
            session = loop {
                let again = async {
                    backoff.wait().await;
                    self.address.connect(self.role, &self.topology).await
                };
                let outcome = tokio::select! { () = self.stop.cancelled() => None, outcome = again => Some(outcome) };
                match outcome {
                    None => return drop(self.publish.send_replace(State::Stopped)),
                    Some(Ok(session)) => break Arc::new(session),
                    Some(Err(error)) => {
                        QUEUE_CONNECT_FAILURES.increment(&[self.role, error.kind().name()]);
                        warn!(host = %self.address.host, role = self.role, %error, "RabbitMQ is not available yet");
                        self.publish.send_replace(State::Down(Some((error.kind(), error.to_string()))));
                    }
                }
            };
            info!(host = %self.address.host, role = self.role, "connected to RabbitMQ again");
            self.publish.send_replace(State::Up(session.clone()));
            QUEUE_CONNECTED.set(&[self.role], 1.0);
        }
        QUEUE_CONNECTED.set(&[self.role], 0.0);
        self.publish.send_replace(State::Stopped);
        session.close().await;
    }
}

/// Waits until the connection is lost. Reports it when the broker takes no messages.
async fn wait_for_loss(session: &Session) {
    let mut events: BoxStream<'static, Event> = session.connection.events_listener().boxed();
    while !session.is_lost() {
        let event = tokio::select! {
            event = events.next() => event,
            () = sleep(CHECK_INTERVAL) => None,
            () = session.lost() => None,
        };
        // Every other event only triggers a check.
        match event {
            Some(Event::ConnectionBlocked(reason)) => {
                warn!(reason, "RabbitMQ takes no messages: publishing waits until it has memory and disk again");
                session.set_blocked(Some(reason));
                QUEUE_BLOCKED.set(&[], 1.0);
            }
            Some(Event::ConnectionUnblocked) => {
                info!("RabbitMQ takes messages again");
                session.set_blocked(None);
                QUEUE_BLOCKED.set(&[], 0.0);
            }
            _ => {}
        }
    }
}
