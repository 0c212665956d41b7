//! The final model of a run: what is fitted on every rating once the evaluation has said what to expect.

use super::spec::{CellSpec, Split};
use serde::{Deserialize, Serialize};

/// Which models are fitted on every rating of the dataset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FitSpec {
    /// The classifier or the ANN, as a cell of the strict protocol; its split and folds mean nothing here. None where no modality has an input.
    pub network: Option<CellSpec>,
    /// The honest models, by what is new about the pairs that each predicts.
    pub honest: Vec<Split>,
    /// The seed of the honest models.
    pub seed: u64,
}

impl FitSpec {
    /// How many models.
    #[must_use]
    pub fn parts(&self) -> usize {
        usize::from(self.network.is_some()) + self.honest.len()
    }
}
