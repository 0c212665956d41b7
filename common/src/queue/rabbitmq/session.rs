//! One connection from its opening to its loss.

use std::collections::BTreeMap;
use std::time::Duration;

use lapin::Connection;
use lapin::options::ConfirmSelectOptions;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

/// How long a polite goodbye may take.
pub(super) const GOODBYE: Duration = Duration::from_secs(2);

/// One connection from its opening to its loss.
pub(super) struct Session {
    pub(super) connection: Connection,
    lost: CancellationToken,
    confirming: Mutex<BTreeMap<String, lapin::Channel>>,
    pub(super) opened: Instant,
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
