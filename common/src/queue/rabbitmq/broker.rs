//! What the queue and its consumers share: the connections, the runtime, and the count of what is still to be settled.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Handle, Runtime};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::connection::{Link, closed};
use super::publisher::Publisher;
use super::topology::Topology;
use crate::error::Result;
use crate::queue::interface::Channel;

/// How long a question about a queue may take.
pub(super) const ASK: Duration = Duration::from_secs(30);

/// What the queue shares with its consumers.
pub(super) struct Broker {
    pub(super) url: String,
    pub(super) topology: Arc<Topology>,
    pub(super) publisher: Arc<Publisher>,
    pub(super) consuming: Arc<Link>,
    pub(super) unsettled: Unsettled,
    pub(super) closed: CancellationToken,
    pub(super) runtime: Option<Runtime>,
}

impl Broker {
    pub(super) fn check(&self, channel: Option<&Channel>) -> Result<()> {
        if self.closed.is_cancelled() {
            return Err(closed());
        }
        channel.map_or(Ok(()), |channel| self.topology.check(channel))
    }

    pub(super) fn handle(&self) -> Handle {
        // The runtime is only taken in drop.
        self.runtime.as_ref().map(|runtime| runtime.handle().clone()).unwrap_or_else(Handle::current)
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.closed.cancel();
        drop(RuntimeGuard(self.runtime.take()));
    }
}

/// Shuts a runtime down without waiting for it.
pub(super) struct RuntimeGuard(pub(super) Option<Runtime>);

impl RuntimeGuard {
    pub(super) fn handle(&self) -> Handle {
        self.0.as_ref().map(|runtime| runtime.handle().clone()).unwrap_or_else(Handle::current)
    }
}

impl Drop for RuntimeGuard {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// Counts the consumers and the returns that are under way, so that `close` can wait for them.
#[derive(Clone, Default)]
pub(super) struct Unsettled(Arc<watch::Sender<usize>>);

impl Unsettled {
    pub(super) fn one_more(&self) -> Counted {
        self.0.send_modify(|count| *count += 1);
        Counted(self.0.clone())
    }

    pub(super) async fn none(&self) {
        // Fails only where the sender is gone, and this holds it.
        let _ = self.0.subscribe().wait_for(|count| *count == 0).await;
    }
}

pub(super) struct Counted(Arc<watch::Sender<usize>>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}
