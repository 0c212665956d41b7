//! Publishing: the broker confirms every message, and a message survives a broker that comes back
//! in time.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use lapin::options::BasicPublishOptions;
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Confirmation};
use tokio::time::{Instant, timeout_at};
use tracing::warn;

use super::connection::{Link, RECONNECT_BACKOFF};
use super::fault;
use super::session::Session;
use super::topology::Route;
use crate::error::{Error, ErrorKind, Result};

/// Header with the redeliveries of a message that was returned as a copy.
pub(super) const REDELIVERIES: &str = "x-jhalak-redeliveries";
const PERSISTENT: u8 = 2;

/// Publishes on a separate connection: a broker that is short of memory or disk stops reading from
/// publishing connections, and acknowledgements must still get through.
pub(super) struct Publisher {
    pub(super) link: Link,
    pub(super) timeout: Duration,
}

/// What travels with a message in addition to its body.
#[derive(Debug, Clone, Copy)]
pub(super) struct Notes {
    /// Earlier deliveries without acknowledgement.
    pub(super) redeliveries: u32,
    /// Since when the message waits for a consumer, in seconds since 1970.
    pub(super) since: u64,
}

impl Notes {
    /// Those of a new message that waits for a consumer after `delay`.
    pub(super) fn due_in(delay: Duration) -> Notes {
        Notes { redeliveries: 0, since: seconds_now().saturating_add(delay.as_secs()) }
    }

    /// Returns for how long the message has waited.
    pub(super) fn waited(&self) -> Duration {
        Duration::from_secs(seconds_now().saturating_sub(self.since))
    }
}

fn seconds_now() -> u64 {
    // A clock before 1970 gives waits of 0.
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// The broker's answer to one message.
enum Answer {
    Confirmed,
    Unroutable,
    Refused,
}

impl Publisher {
    /// Publishes and waits for the confirmation, across reconnections.
    ///
    /// If the connection is lost between the broker's write and its confirmation, the message
    /// arrives twice.
    pub(super) async fn publish(&self, route: &Route, body: &Bytes, notes: Notes) -> Result<()> {
        self.publish_until(Instant::now() + self.timeout, route, body, notes).await
    }

    pub(super) async fn publish_until(
        &self,
        deadline: Instant,
        route: &Route,
        body: &Bytes,
        notes: Notes,
    ) -> Result<()> {
        let mut backoff = RECONNECT_BACKOFF;
        let mut last = String::from("it did not confirm");
        let mut warned = false;
        let mut failed_on: Option<Arc<Session>> = None;
        loop {
            let session = self.link.session(Some(deadline)).await?;
            let answer = tokio::select! {
                answer = timeout_at(deadline, attempt(&session, route, body, notes)) => answer,
                () = session.lost() => Ok(Err(Error::transient("the connection was lost"))),
            };
            match answer {
                Ok(Ok(Answer::Confirmed)) => return Ok(()),
                Ok(Ok(Answer::Unroutable)) if !route.must_arrive => return Ok(()),
                Ok(Ok(Answer::Unroutable)) => {
                    // The next connection declares the topology again.
                    session.mark_lost();
                    return Err(Error::transient(format!(
                        "the queue {} no longer exists on the broker; it is being declared again",
                        route.key
                    )));
                }
                Ok(Ok(Answer::Refused)) => last = "it refused to store the message".into(),
                Ok(Err(error)) if error.kind() != ErrorKind::Transient => {
                    return Err(error.context(format!("a message to {}", route.key)));
                }
                Ok(Err(error)) => {
                    last = error.to_string();
                    // Twice on one connection: the exchange was deleted. The next connection
                    // declares the topology again.
                    if failed_on.replace(session.clone()).is_some_and(|before| Arc::ptr_eq(&before, &session)) {
                        session.mark_lost();
                    }
                }
                Err(_) => {
                    let why = session.blocked().unwrap_or(last);
                    return Err(Error::transient(format!(
                        "the broker did not accept a message to {} in time: {why}",
                        route.key
                    )));
                }
            }
            if !std::mem::replace(&mut warned, true) {
                warn!(to = route.key, why = last, "RabbitMQ did not take a message: publishing it again");
            }
            backoff.wait().await;
        }
    }
}

async fn attempt(session: &Arc<Session>, route: &Route, body: &Bytes, notes: Notes) -> Result<Answer> {
    let failed = |e: lapin::Error| fault::read(&e).error("to take a message");
    // All results share a channel: none is ever returned as unroutable.
    let line = if route.must_arrive { route.key.as_str() } else { route.exchange.as_str() };
    let channel = session.confirming(line).await.map_err(failed)?;
    let mut properties = BasicProperties::default()
        .with_delivery_mode(PERSISTENT)
        .with_content_type("application/json".into())
        .with_timestamp(notes.since);
    if notes.redeliveries > 0 {
        let mut headers = FieldTable::default();
        headers.insert(REDELIVERIES.into(), AMQPValue::LongLongInt(i64::from(notes.redeliveries)));
        properties = properties.with_headers(headers);
    }
    let options = BasicPublishOptions { mandatory: route.must_arrive, ..Default::default() };
    let confirm = channel
        .basic_publish(route.exchange.as_str().into(), route.key.as_str().into(), options, body, properties)
        .await
        .map_err(failed)?;
    match confirm.await.map_err(failed)? {
        Confirmation::Ack(None) => Ok(Answer::Confirmed),
        Confirmation::Ack(Some(_)) | Confirmation::Nack(Some(_)) => Ok(Answer::Unroutable),
        Confirmation::Nack(None) => Ok(Answer::Refused),
        Confirmation::NotRequested => Err(Error::bug("a message was published on a channel without confirmations")),
    }
}
