//! Contracts of the evaluation grid: the specification of a cell, the result of a fold, and the
//! metrics of a cell. Training is in the worker.
//!
//! Class vectors, probability rows and confusion matrices have the order dislike, neutral, like.

mod calibration;
mod confusion;
mod features;
mod fit;
pub mod given_embeddings;
mod mean_sd;
pub mod metrics;
mod model;
mod name;
pub mod paired;
pub mod predictions;
mod protocol;
mod result;
mod spec;
mod training;

pub use calibration::Calibration;
pub use confusion::predicted_class;
pub use features::{ContentColumn, EmbeddingSource, GlSettings, Modality, Pictures, UserEmbedding};
pub use fit::{FitSpec, LeftOutPart, network_name};
pub use model::Model;
pub use name::display_name;
pub use protocol::{ByTime, Control, Edition, Errata, Protocol, Split};
pub use result::{FoldResult, PartKind, PartResult, Prediction};
pub use spec::{CellSpec, SettingError};
pub use training::{Balance, FitSettings, Optimiser, PUBLISHED_UPSAMPLING, Schedule, StepRate, TrainingSettings};

/// The name of the one file of a cell artifact.
pub const RESULT_FILE: &str = "result.json";

/// Number of classes: dislike, neutral, like.
pub const CLASSES: usize = 3;
