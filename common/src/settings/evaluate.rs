//! Training and evaluation.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::range::require;
use crate::error::Result;

/// Training and evaluation.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct EvaluateSettings {
    /// Seed of every split, initialisation and shuffle.
    pub seed: u64,
    /// Number of folds.
    pub folds: usize,
    /// Maximum number of epochs of a training. The paper has 150; use fewer for a quick check.
    pub epochs: usize,
    /// The cells that a run evaluates.
    pub grid: Grid,
    /// Maximum number of ratings with which the stacked ensemble is fitted: it takes 3 kB of memory
    /// for each. With more, a run leaves the ensemble out and says so, and `fit` and
    /// `evaluate` refuse it.
    pub ensemble_ratings: usize,
    /// Also evaluate attention over the frames and sound windows of trailers, with its control, in
    /// the grid `standard`. Audio embeddings then store their windows, so those of runs without
    /// this setting are computed again.
    pub trailer_attention: bool,
}

impl Default for EvaluateSettings {
    fn default() -> Self {
        EvaluateSettings {
            seed: 0,
            folds: 5,
            epochs: 150,
            grid: Grid::Standard,
            ensemble_ratings: 1_200_000,
            trailer_attention: false,
        }
    }
}

impl EvaluateSettings {
    /// Checks the ranges of the settings.
    pub(super) fn check(&self) -> Result<()> {
        require((2..=100).contains(&self.folds), "evaluate.folds", "2 to 100")?;
        require(self.epochs >= 1, "evaluate.epochs", "at least 1")
    }
}

/// The cells that a run evaluates.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Grid {
    /// Each modality with the classifier and the ANN, baselines and the stacked ensemble.
    #[default]
    Standard,
    /// Tables II to VI and Figure 7 of the paper, cell by cell.
    Paper,
}
