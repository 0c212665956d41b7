//! Errors of cells and fitted models.

use jhalak_common::dataset::Label;
use jhalak_common::evaluation::{Modality, SettingError};
use jhalak_common::{Error, ErrorKind};
use jhalak_nn::TrainError;

/// All errors but `Stopped` are invalid input: the same job would fail again.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum RecommendError {
    /// A setting of the cell that cannot be used.
    #[error("setting `{setting}` of the cell: {reason}")]
    Setting {
        /// Its name in the specification.
        setting: &'static str,
        /// The problem, and valid values.
        reason: String,
    },
    /// A dataset that is not valid.
    #[error("dataset `{dataset}`: {reason}")]
    Dataset {
        /// Name of the dataset.
        dataset: String,
        /// The problem.
        reason: String,
    },
    /// Fewer pairs of one class than the split needs.
    #[error("{}", too_small(*label, *count, *needed))]
    ClassTooSmall {
        /// The class.
        label: Label,
        /// Number of pairs in the class.
        count: usize,
        /// Minimum number of pairs.
        needed: usize,
    },
    /// Embeddings that the cell needs are missing.
    #[error("the {modality} cell needs {modality} {}, and the dataset has none", needs(*modality))]
    MissingModality {
        /// The modality of the cell.
        modality: Modality,
    },
    /// An embedding table that cannot be used.
    #[error("{table} embeddings: {reason}")]
    Embedding {
        /// Which table.
        table: &'static str,
        /// The problem, with the movie's number if it concerns one row.
        reason: String,
    },
    /// A stored model that cannot be read.
    #[error("the stored model's {file} {reason}")]
    Stored {
        /// The file.
        file: String,
        /// The problem, and the way out.
        reason: String,
    },
    /// A failed training.
    #[error(transparent)]
    Training(TrainError),
    /// The caller requested a stop.
    #[error("the cell was stopped before it finished")]
    Stopped,
}

fn too_small(label: Label, count: usize, needed: usize) -> String {
    let label = label.name();
    match count {
        0 => format!(
            "no rating is a {label}, and at least two classes must occur (set dataset.scale, or dataset.dislike_at_most and dataset.like_at_least)"
        ),
        1 => format!("1 rating is a {label}, but the split needs at least {needed}: use fewer folds or more data"),
        _ => format!(
            "{count} ratings are a {label}, but the split needs at least {needed}: use fewer folds or more data"
        ),
    }
}

fn needs(modality: Modality) -> &'static str {
    match modality {
        Modality::Metadata => "(description, cast, year, rating...) in the catalogue",
        _ => "embeddings",
    }
}

impl From<TrainError> for RecommendError {
    fn from(error: TrainError) -> Self {
        match error {
            TrainError::Stopped => Self::Stopped,
            error => Self::Training(error),
        }
    }
}

impl From<SettingError> for RecommendError {
    fn from(SettingError { setting, reason }: SettingError) -> Self {
        Self::Setting { setting, reason }
    }
}

/// Maps the error of a fold to the error kind of its job.
impl From<RecommendError> for Error {
    fn from(error: RecommendError) -> Self {
        let kind = match &error {
            RecommendError::Stopped => ErrorKind::Cancelled,
            _ => ErrorKind::InvalidInput,
        };
        Error::new(kind, error.to_string())
    }
}
