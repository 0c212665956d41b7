//! One supervised connection: it is opened, the topology is declared on it, and when it is lost it is built anew.
//!
//! lapin's own recovery is not used: after an error on a channel it leaves consumers waiting for ever.

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
use super::session::{GOODBYE, Session};
use super::topology::Topology;
use crate::backoff::Backoff;
use crate::error::{Error, ErrorKind, Result};

/// How often a connection is looked at besides its events: a clean close by the broker sends none.
const WATCH: Duration = Duration::from_millis(500);
/// The delays before each attempt to connect, consume or publish again: from 0.1 s, doubled up to 5 s, 25 % shorter or longer at random.
pub(super) const RECONNECT_BACKOFF: Backoff =
    Backoff::new(Duration::from_millis(100), Duration::from_secs(5), 0.75..1.25);

/// A connection that lived this long was a good one: the next loss starts with the shortest delay again.
const SETTLED: Duration = Duration::from_secs(30);

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
        let mut backoff = RECONNECT_BACKOFF;
        loop {
            let stopped = self.stop.cancelled();
            let ended = tokio::select! { () = stopped => false, () = end_of(&session) => true };
            session.give_up();
            if !ended {
                break;
            }
            self.told.send_replace(State::Down(None));
            warn!(host = %self.address.host, role = self.role, "the connection to RabbitMQ was lost; building it anew");
            session.close().await;
            if session.opened.elapsed() > SETTLED {
                backoff.reset();
            }
            session = loop {
                let again = async {
                    backoff.wait().await;
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
