//! Models through ONNX Runtime: each is loaded on first use and owned by one thread that is fed by
//! a bounded channel.

mod batch;
mod build;
mod contract;
pub(crate) mod detector_outputs;
mod diagnostics;
pub(crate) mod embedder_contract;
mod float16;
mod models;
mod nan_trace;
mod provider;
mod session;

pub use batch::Tensor;
pub use contract::{Contract, Rows, TensorShape};
pub use diagnostics::{ModelDiagnostics, library_version};
pub use models::Models;
pub use session::Session;
