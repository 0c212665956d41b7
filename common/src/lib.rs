//! Contracts and edges of Jhalak: what jobs, artifacts and runs are, and how queues, stores, datasets and settings are reached.
//! Knows neither the worker nor the coordinator.

pub mod artifact;
mod backoff;
pub mod dataset;
pub mod error;
pub mod evaluation;
pub mod hash;
pub mod models;
pub mod process;
pub mod queue;
pub mod run;
pub mod settings;
pub mod store;

pub use error::{Error, ErrorKind, Result};
