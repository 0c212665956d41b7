//! The queue: one suite, run on the in-process implementation and on a real RabbitMQ.

mod memory;
mod rabbitmq;
