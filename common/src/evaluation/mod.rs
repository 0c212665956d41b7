//! Contracts of the evaluation grid: the specification of a cell, the result of a fold, and the
//! metrics of a cell. Training is in the worker.
//!
//! Class vectors, probability rows and confusion matrices have the order dislike, neutral, like.

mod confusion;
mod fit;
pub mod metrics;
mod name;
mod result;
mod spec;
mod training;

pub use fit::FitSpec;
pub use name::display_name;
pub use result::{FoldResult, PartKind, PartResult, Prediction};
pub use spec::*;
pub use training::{FitSettings, Optimiser, Schedule, StepRate};

/// The name of the one file of a cell artifact.
pub const RESULT_FILE: &str = "result.json";

/// Number of classes: dislike, neutral, like.
pub const CLASSES: usize = 3;
