//! Opens a queue by its URL.

use std::sync::Arc;

use super::interface::Queue;
use super::memory::MemoryQueue;
use super::rabbitmq::RabbitQueue;
use crate::error::{Error, Result};
use crate::settings::QueueSettings;

/// Opens the queue at `url`: `memory:`, or `amqp://...` / `amqps://...`.
pub async fn open(url: &str, settings: &QueueSettings) -> Result<Arc<dyn Queue>> {
    if url == "memory:" {
        return Ok(Arc::new(MemoryQueue::new(settings)));
    }
    if url.starts_with("amqp://") || url.starts_with("amqps://") {
        return Ok(Arc::new(RabbitQueue::open(url, settings).await?));
    }
    let scheme = url.split("://").next().unwrap_or(url);
    Err(Error::invalid(format!(
        "the queue has an unknown scheme `{scheme}`: use memory:, amqp://host:port/vhost or amqps://host:port/vhost"
    )))
}
