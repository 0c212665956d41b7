//! One supervised connection: it is opened, the topology is declared on it, and when it is lost it is built anew.
//!
//! lapin's own recovery is not used: after an error on a channel it leaves consumers waiting for ever.

use std::collections::BTreeMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{BoxStream, StreamExt};
use lapin::options::ConfirmSelectOptions;
use lapin::{Connection, Event};
use tokio::sync::{Mutex, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::address::Address;
use super::topology::Topology;
use crate::error::{Error, ErrorKind, Result};

/// How often a connection is looked at besides its events: a clean close by the broker sends none.
const WATCH: Duration = Duration::from_millis(500);
/// How long a polite goodbye may take.
const GOODBYE: Duration = Duration::from_secs(2);
/// A connection that lived this long was a good one: the next loss starts with the shortest delay again.
const SETTLED: Duration = Duration::from_secs(30);

/// One connection from its opening to its loss.
pub(super) struct Session {
    pub(super) connection: Connection,
    lost: CancellationToken,
    confirming: Mutex<BTreeMap<String, lapin::Channel>>,
    opened: Instant,
}

impl Session {
    pub(super) fn new(connection: Connection) -> Self {
        Session { connection, lost: CancellationToken::new(), confirming: Mutex::default(), opened: Instant::now() }
    }

    /// Declares this connection unusable: the supervisor builds another one.
    pub(super) fn give_up(&self) {
        self.lost.cancel();
    }

    /// Whether nothing more will come of this connection.
    pub(super) fn is_lost(&self) -> bool {
        self.lost.is_cancelled() || !self.connection.status().connected()
    }

    /// Completes when this connection is known to be lost.
    pub(super) async fn lost(&self) {
        self.lost.cancelled().await;
    }

    /// The channel in confirm mode for messages to `queue`.
    ///
    /// One for each queue: lapin hands a returned message to any of the publishes that one confirmation covers, so that on a shared channel
    /// a message without a queue could pass for another one.
    pub(super) async fn confirming(&self, queue: &str) -> Result<lapin::Channel, lapin::Error> {
        let mut channels = self.confirming.lock().await;
        if let Some(channel) = channels.get(queue)
            && channel.status().connected()
        {
            return Ok(channel.clone());
        }
        let channel = self.connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        channels.insert(queue.to_string(), channel.clone());
        Ok(channel)
    }

    pub(super) async fn close(&self) {
        self.lost.cancel();
        if self.connection.status().connected() {
            // Where the goodbye fails the connection is gone, which is what was wanted.
            let _ = timeout(GOODBYE, self.connection.close(200, "goodbye".into())).await;
        }
    }
}

/// What the supervisor tells the users of the connection.
#[derive(Clone)]
enum State {
    Up(Arc<Session>),
    /// Being built anew; the kind and the message of the last failed attempt.
    Down(Option<(ErrorKind, String)>),
    Stopped,
}

/// A connection that is kept up by a supervisor of its own until it is stopped.
pub(super) struct Link {
    host: String,
    state: watch::Receiver<State>,
    stop: CancellationToken,
    supervisor: Mutex<Option<JoinHandle<()>>>,
}

impl Link {
    /// Opens the connection, or fails; later losses are mended. Must run on the queue's own runtime.
    pub(super) async fn open(address: Arc<Address>, role: &'static str, topology: Arc<Topology>) -> Result<Link> {
        let session = Arc::new(address.connect(role, &topology).await?);
        let (told, state) = watch::channel(State::Up(session.clone()));
        let stop = CancellationToken::new();
        let host = address.host.clone();
        let supervisor = Supervisor { address, role, topology, told, stop: stop.clone() };
        let supervisor = tokio::spawn(supervisor.run(session));
        Ok(Link { host, state, stop, supervisor: Mutex::new(Some(supervisor)) })
    }

    /// The live connection; waits while it is built anew, until `deadline` where given.
    ///
    /// # Errors
    /// What the broker refuses for good; Transient after the deadline; Cancelled after [`Link::stop`].
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
                        "RabbitMQ at {} has not come back in time: {why}",
                        self.host
                    )));
                }
            }
        }
    }

    /// Closes the connection for good.
    pub(super) async fn stop(&self) {
        self.stop.cancel();
        if let Some(supervisor) = self.supervisor.lock().await.take() {
            // It ends by itself, or with the runtime.
            let _ = timeout(GOODBYE * 2, supervisor).await;
        }
    }
}

/// What every call gets after the queue was closed.
pub(super) fn closed() -> Error {
    Error::cancelled("the queue was closed")
}

struct Supervisor {
    address: Arc<Address>,
    role: &'static str,
    topology: Arc<Topology>,
    told: watch::Sender<State>,
    stop: CancellationToken,
}

impl Supervisor {
    async fn run(self, mut session: Arc<Session>) {
        let mut pause = Pause::default();
        loop {
            let stopped = self.stop.cancelled();
            let ended = tokio::select! { () = stopped => false, () = end_of(&session) => true };
            session.lost.cancel();
            if !ended {
                break;
            }
            self.told.send_replace(State::Down(None));
            warn!(host = %self.address.host, role = self.role, "the connection to RabbitMQ was lost; building it anew");
            session.close().await;
            if session.opened.elapsed() > SETTLED {
                pause = Pause::default();
            }
            session = loop {
                let again = async {
                    pause.wait().await;
                    self.address.connect(self.role, &self.topology).await
                };
                let outcome = tokio::select! { () = self.stop.cancelled() => None, outcome = again => Some(outcome) };
                match outcome {
                    None => return drop(self.told.send_replace(State::Stopped)),
                    Some(Ok(session)) => break Arc::new(session),
                    Some(Err(error)) => {
                        warn!(host = %self.address.host, role = self.role, %error, "RabbitMQ is not back yet");
                        self.told.send_replace(State::Down(Some((error.kind(), error.to_string()))));
                    }
                }
            };
            info!(host = %self.address.host, role = self.role, "connected to RabbitMQ again");
            self.told.send_replace(State::Up(session.clone()));
        }
        self.told.send_replace(State::Stopped);
        session.close().await;
    }
}

/// Waits until the connection is lost or given up.
async fn end_of(session: &Session) {
    let mut events: BoxStream<'static, Event> = session.connection.events_listener().boxed();
    while !session.is_lost() {
        // An event only says that it is time to look.
        tokio::select! { _ = events.next() => {}, () = sleep(WATCH) => {}, () = session.lost() => {} }
    }
}

/// Growing, capped, jittered delays: many processes that lost one broker do not return in step.
#[derive(Debug)]
pub(super) struct Pause {
    next: Duration,
}

impl Pause {
    const FIRST: Duration = Duration::from_millis(100);
    const LONGEST: Duration = Duration::from_secs(5);

    /// Waits, and doubles the next delay.
    pub(super) async fn wait(&mut self) {
        let share = RandomState::new().hash_one(()) % 1000;
        sleep(self.next.mul_f64(0.75 + share as f64 / 2000.0)).await;
        self.next = (self.next * 2).min(Self::LONGEST);
    }
}

impl Default for Pause {
    fn default() -> Self {
        Pause { next: Self::FIRST }
    }
}
