//! Opens a queue by its URL.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::interface::Queue;
use super::memory::MemoryQueue;
use super::rabbitmq::RabbitQueue;
use crate::error::{Error, Result};
use crate::redact::{is_unambiguous, shown_location};
use crate::settings::QueueSettings;

/// Pause between two tries of [`open_within`].
const PAUSE: Duration = Duration::from_secs(2);

/// Opens the queue at `url`, and waits up to `limit` for a broker that cannot be reached. Calls
/// `on_wait` with the error of each failed try.
pub async fn open_within(
    url: &str,
    settings: &QueueSettings,
    limit: Duration,
    mut on_wait: impl FnMut(&Error),
) -> Result<Arc<dyn Queue>> {
    let began = Instant::now();
    loop {
        match open(url, settings).await {
            Err(error) if error.kind().is_transient() && began.elapsed() < limit => on_wait(&error),
            other => return other,
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Opens the queue at `url`: `memory:`, or `amqp://...` / `amqps://...`.
pub async fn open(url: &str, settings: &QueueSettings) -> Result<Arc<dyn Queue>> {
    if url == "memory:" {
        return Ok(Arc::new(MemoryQueue::new(settings)));
    }
    if url.starts_with("amqp://") || url.starts_with("amqps://") {
        if !is_unambiguous(url) {
            return Err(Error::invalid(
                "the queue's URL can be read in two ways: in its user and password write @ as %40, / as %2F, ? as %3F, # as %23",
            ));
        }
        return Ok(Arc::new(RabbitQueue::open(url, settings).await?));
    }
    Err(Error::invalid(format!(
        "the queue `{}` has an unknown scheme: use memory:, amqp://host:port/vhost or amqps://host:port/vhost",
        shown_location(url)
    )))
}
