//! Publishing: every message is confirmed by the broker before it counts, and outlives a broker that comes back in time.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use lapin::options::BasicPublishOptions;
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Confirmation};
use tokio::time::{Instant, timeout_at};
use tracing::debug;

use super::connection::{Link, RECONNECT_BACKOFF};
use super::fault;
use super::session::Session;
use super::topology::Route;
use crate::error::{Error, ErrorKind, Result};

/// Carries the redeliveries of a message that was handed back as a copy.
pub(super) const REDELIVERIES: &str = "x-jhalak-redeliveries";
const PERSISTENT: u8 = 2;

/// Publishes on a connection of its own: a broker that is short of memory or disk stops reading from connections that publish, and
/// acknowledgements must get through then.
pub(super) struct Publisher {
    pub(super) link: Link,
    pub(super) patience: Duration,
}

/// What the broker said to one message.
enum Answer {
    Confirmed,
    Unroutable,
    Refused,
}

impl Publisher {
    /// Publishes and waits for the confirmation, over reconnections if need be.
    ///
    /// A connection that is lost between the broker's write and its confirmation makes the message arrive twice.
    pub(super) async fn publish(&self, route: &Route, body: &Bytes, redeliveries: u32) -> Result<()> {
        self.publish_until(Instant::now() + self.patience, route, body, redeliveries).await
    }

    pub(super) async fn publish_until(
        &self,
        deadline: Instant,
        route: &Route,
        body: &Bytes,
        redeliveries: u32,
    ) -> Result<()> {
        let mut backoff = RECONNECT_BACKOFF;
        let mut last = String::from("it did not confirm");
        loop {
            let session = self.link.session(Some(deadline)).await?;
            let answer = tokio::select! {
                answer = timeout_at(deadline, attempt(&session, route, body, redeliveries)) => answer,
                () = session.lost() => Ok(Err(Error::transient("the connection was lost"))),
            };
            match answer {
                Ok(Ok(Answer::Confirmed)) => return Ok(()),
                Ok(Ok(Answer::Unroutable)) if !route.must_arrive => return Ok(()),
                Ok(Ok(Answer::Unroutable)) => {
                    // The next connection declares the topology again.
                    session.give_up();
                    return Err(Error::transient(format!(
                        "the queue {} does not exist on the broker any more; it is being declared again",
                        route.key
                    )));
                }
                Ok(Ok(Answer::Refused)) => last = "it refused to store the message".into(),
                Ok(Err(error)) if error.kind() != ErrorKind::Transient => {
                    return Err(error.context(format!("a message to {}", route.key)));
                }
                Ok(Err(error)) => last = error.to_string(),
                Err(_) => {
                    return Err(Error::transient(format!(
                        "the broker took no message to {} in time: {last}",
                        route.key
                    )));
                }
            }
            debug!(to = route.key, why = last, "publishing again");
            backoff.wait().await;
        }
    }
}

async fn attempt(session: &Arc<Session>, route: &Route, body: &Bytes, redeliveries: u32) -> Result<Answer> {
    let failed = |e: lapin::Error| fault::read(&e).error("to take a message");
    // All results share a channel: none of them is ever returned.
    let line = if route.must_arrive { route.key.as_str() } else { route.exchange.as_str() };
    let channel = session.confirming(line).await.map_err(failed)?;
    let mut properties =
        BasicProperties::default().with_delivery_mode(PERSISTENT).with_content_type("application/json".into());
    if redeliveries > 0 {
        let mut headers = FieldTable::default();
        headers.insert(REDELIVERIES.into(), AMQPValue::LongLongInt(i64::from(redeliveries)));
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
