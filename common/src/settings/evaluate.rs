//! What is trained and evaluated.

use serde::{Deserialize, Serialize};

use super::range::require;
use crate::error::Result;

/// What is trained and evaluated.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EvaluateSettings {
    /// The seed of every split, initialisation and shuffle.
    pub seed: u64,
    /// Number of folds.
    pub folds: usize,
    /// Epochs of a training at most. The method's is 150; fewer make a quick look.
    pub epochs: usize,
    /// Which cells a run evaluates.
    pub grid: Grid,
}

impl Default for EvaluateSettings {
    fn default() -> Self {
        EvaluateSettings { seed: 0, folds: 5, epochs: 150, grid: Grid::Standard }
    }
}

impl EvaluateSettings {
    /// Checks the ranges of the settings.
    pub(super) fn check(&self) -> Result<()> {
        require((2..=100).contains(&self.folds), "evaluate.folds", "2 to 100")?;
        require(self.epochs >= 1, "evaluate.epochs", "at least 1")
    }
}

/// Which cells a run evaluates.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Grid {
    /// Each modality through the classifier and the ANN, baselines and the honest model.
    #[default]
    Standard,
    /// Tables II to VI and Figure 7 of the paper, cell by cell.
    Paper,
}
