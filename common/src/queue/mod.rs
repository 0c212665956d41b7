//! The queue carries jobs to workers and results back. Storage is the source of truth.
//!
//! One narrow trait, implemented in process ([`memory::MemoryQueue`]) and by RabbitMQ
//! ([`rabbitmq::RabbitQueue`]); both pass the same [`conformance`] suite. Delivery is at least
//! once.

pub mod conformance;
mod interface;
pub mod memory;
mod open;
pub mod rabbitmq;

pub use interface::{Backlog, Channel, Deliveries, Delivery, Queue, Receipt, WorkKind, retry_delays};
pub use open::{open, open_within};
