//! Shared state of the queue and its consumers: connections, runtime, and the count of unsettled
//! work.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Handle, Runtime};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::address::Address;
use super::connection::{Link, closed};
use super::publisher::Publisher;
use super::topology::Topology;
use crate::error::Result;
use crate::queue::interface::Channel;

/// Timeout for a request about a queue.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// Shared state of the queue and its consumers.
pub(super) struct Broker {
    pub(super) url: String,
    pub(super) address: Arc<Address>,
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
        // The runtime is only taken in `drop`.
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

/// Counts running consumers and pending returns, so that `close` can wait for them.
#[derive(Clone, Default)]
pub(super) struct Unsettled(Arc<watch::Sender<usize>>);

impl Unsettled {
    pub(super) fn count_one(&self) -> Counted {
        self.0.send_modify(|count| *count += 1);
        Counted(self.0.clone())
    }

    pub(super) async fn none(&self) {
        // Fails only if the sender is dropped, and `self` holds it.
        let _ = self.0.subscribe().wait_for(|count| *count == 0).await;
    }
}

pub(super) struct Counted(Arc<watch::Sender<usize>>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}
