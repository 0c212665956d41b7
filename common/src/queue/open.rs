//! Opens a queue by its URL.

use std::sync::Arc;

use super::interface::Queue;
use super::memory::MemoryQueue;
use super::rabbitmq::RabbitQueue;
use crate::error::{Error, Result};
use crate::settings::{QueueSettings, is_unambiguous, shown_location};

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
