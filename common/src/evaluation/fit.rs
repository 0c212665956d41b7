//! The specification of a run's final model, which is fitted on every rating.

use super::features::Modality;
use super::protocol::Split;
use super::spec::CellSpec;
use crate::artifact::ArtifactKind;
use serde::{Deserialize, Serialize};

/// Which models are fitted on every rating of the dataset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FitSpec {
    /// The classifier or the ANN, as a cell of the strict protocol; its split and folds are
    /// ignored. None if no modality has an input.
    pub network: Option<CellSpec>,
    /// The stacked ensembles, by the kind of cold start that each serves.
    #[serde(rename = "honest")]
    pub ensembles: Vec<Split>,
    /// The trailers whose embeddings the stacked ensembles read: video, audio or audio+video. None
    /// if they read none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trailers: Option<Modality>,
    /// The seed of the stacked ensembles.
    pub seed: u64,
    /// What the plan wanted and has no input for; the model's card repeats it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<LeftOutPart>,
}

/// A part that a final model lacks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOutPart {
    /// Its name, such as `classifier on audio`.
    pub part: String,
    /// Why it could not be fitted.
    pub reason: String,
}

impl LeftOutPart {
    /// Whether it is the network, and not an ensemble or an input of the ensembles.
    #[must_use]
    pub fn is_network(&self) -> bool {
        !self.part.contains("ensemble")
    }

    /// Whether it is an ensemble, and not an input of the ensembles.
    #[must_use]
    pub fn is_ensemble(&self) -> bool {
        self.part.starts_with("ensemble")
    }
}

/// Returns the name of the network of a final model, such as `classifier on audio+video`.
#[must_use]
pub fn network_name(cell: &CellSpec) -> String {
    format!("{} on {}", cell.model.stored_name(), cell.modality)
}

impl FitSpec {
    /// Returns the number of models.
    #[must_use]
    pub fn parts(&self) -> usize {
        usize::from(self.network.is_some()) + self.ensembles.len()
    }

    /// Returns the tables of embeddings that its models read, video before audio.
    #[must_use]
    pub fn tables(&self) -> Vec<ArtifactKind> {
        let network = self.network.as_ref().map(|cell| cell.modality);
        let read = |kind: &ArtifactKind| [network, self.trailers].iter().flatten().any(|of| of.tables().contains(kind));
        [ArtifactKind::VideoTable, ArtifactKind::AudioTable].into_iter().filter(read).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_of_the_ensembles_is_neither_network_nor_ensemble() {
        let of = |part: &str| {
            let one = LeftOutPart { part: part.to_owned(), reason: String::new() };
            (one.is_network(), one.is_ensemble())
        };
        assert_eq!(of("classifier on audio+video"), (true, false));
        assert_eq!(of("ensemble for pairs"), (false, true));
        assert_eq!(of("audio in the ensemble"), (false, false));
    }
}
