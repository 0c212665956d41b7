//! Contracts and edges of Jhalak: what jobs, artifacts and runs are, and how queues, stores, datasets and settings are reached.
//! Knows neither the worker nor the coordinator.

pub mod artifact;
pub mod dataset;
pub mod embedding;
pub mod error;
pub mod evaluation;
pub mod exit;
pub mod extraction;
pub mod fault_point;
pub mod hash;
pub mod job;
pub mod models;
pub mod queue;
pub mod run;
pub mod settings;
pub mod shutdown;
pub mod store;
pub mod table;
pub mod telemetry;
pub mod tls;

pub use error::{Error, ErrorKind, Result};
