//! Contracts and external edges of Jhalak, shared by the worker and the coordinator.
//!
//! Contracts: artifacts and their recipes ([`artifact`]), runs and jobs ([`run`]), cells and
//! results of the evaluation grid ([`evaluation`]), the model registry ([`models`]) and all
//! [`settings`].
//! Edges: the object store ([`store`]), the queue ([`queue`]), dataset files ([`dataset`]), and the
//! process itself ([`process`]): exit codes, signals, logging; its metrics and traces
//! ([`telemetry`]).
//!
//! It never decodes media, runs or trains a model, or decides what a run does next, and it depends
//! on no other crate of the workspace. Start reading at [`artifact`], [`run`] and [`run::job`]; for
//! an external service, at its trait: [`store::ObjectStore`], [`queue::Queue`].

pub mod artifact;
mod backoff;
pub mod compact;
pub mod counted;
pub mod dataset;
pub mod error;
pub mod evaluation;
pub mod free_space;
pub mod hash;
pub mod models;
pub mod process;
pub mod queue;
pub mod random;
pub mod redact;
pub mod run;
pub mod settings;
pub mod store;
pub mod telemetry;

pub use error::{Error, ErrorKind, Result};
