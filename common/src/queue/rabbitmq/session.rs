//! One connection from its opening to its loss.

use std::collections::BTreeMap;
use std::sync::PoisonError;
use std::time::Duration;

use lapin::Connection;
use lapin::options::ConfirmSelectOptions;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

/// Timeout for closing a connection cleanly.
pub(super) const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// One connection from its opening to its loss.
pub(super) struct Session {
    pub(super) connection: Connection,
    lost: CancellationToken,
    confirming: Mutex<BTreeMap<String, lapin::Channel>>,
    pub(super) opened: Instant,
    /// The broker's reason while it takes no messages on this connection.
    blocked: std::sync::Mutex<Option<String>>,
}

impl Session {
    pub(super) fn new(connection: Connection) -> Self {
        Session {
            connection,
            lost: CancellationToken::new(),
            confirming: Mutex::default(),
            opened: Instant::now(),
            blocked: std::sync::Mutex::default(),
        }
    }

    /// Notes that the broker blocks this connection, or with None that it takes messages again.
    pub(super) fn set_blocked(&self, reason: Option<String>) {
        // No code that holds the lock can panic.
        *self.blocked.lock().unwrap_or_else(PoisonError::into_inner) = reason;
    }

    /// Returns the broker's reason while it takes no messages.
    pub(super) fn blocked(&self) -> Option<String> {
        self.blocked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Marks this connection as unusable: the supervisor reconnects.
    pub(super) fn mark_lost(&self) {
        self.lost.cancel();
    }

    /// Whether this connection is unusable.
    pub(super) fn is_lost(&self) -> bool {
        self.lost.is_cancelled() || !self.connection.status().connected()
    }

    /// Completes when this connection is known to be lost.
    pub(super) async fn lost(&self) {
        self.lost.cancelled().await;
    }

    /// Returns the channel in confirm mode for messages to `queue`.
    ///
    /// Each queue has its own channel: lapin assigns a returned message to any of the publishes
    /// that one confirmation covers, so that on a shared channel an unroutable message could be
    /// mistaken for another one.
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
            // If closing fails, the connection is lost anyway.
            let _ = timeout(CLOSE_TIMEOUT, self.connection.close(200, "goodbye".into())).await;
        }
    }
}
