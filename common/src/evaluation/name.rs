//! What people call a cell, and which tables it reads.

use super::{CellSpec, Modality, Model, Protocol, Split};
use crate::artifact::ArtifactKind;

impl Modality {
    /// The tables of embeddings that a cell of this modality reads.
    pub fn tables(self) -> &'static [ArtifactKind] {
        match self {
            Modality::Video => &[ArtifactKind::VideoTable],
            Modality::Audio => &[ArtifactKind::AudioTable],
            Modality::AudioVideo => &[ArtifactKind::VideoTable, ArtifactKind::AudioTable],
            Modality::Genre => &[],
        }
    }
}

impl Model {
    /// The word used in reports and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Model::Classifier { .. } => "classifier",
            Model::Ann => "ann",
            Model::Majority => "majority",
            Model::UserMajority => "user-majority",
            Model::ItemMajority => "item-majority",
            Model::Bias => "bias",
            Model::BiasClassWeighted => "bias-class-weighted",
            Model::MatrixFactorisation => "matrix-factorisation",
            Model::Honest => "honest",
        }
    }

    /// Whether it predicts from labels alone.
    pub fn is_baseline(self) -> bool {
        !matches!(self, Model::Classifier { .. } | Model::Ann | Model::Honest)
    }

    /// Whether it takes a modality, a user embedding and the GL-score as the cell says.
    pub fn is_network(self) -> bool {
        matches!(self, Model::Classifier { .. } | Model::Ann)
    }
}

impl Protocol {
    /// The word used in reports and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Protocol::Paper { .. } => "paper",
            Protocol::Strict { .. } => "strict",
        }
    }

    /// What a fold holds out: `pairs`, `movies` or `users`.
    pub fn split_name(self) -> &'static str {
        match self {
            Protocol::Paper { .. } | Protocol::Strict { split: Split::Pairs } => "pairs",
            Protocol::Strict { split: Split::Movies } => "movies",
            Protocol::Strict { split: Split::Users { .. } } => "users",
        }
    }
}

impl CellSpec {
    /// The cell in a few words: `strict pairs, genre, classifier, L, with GL`.
    pub fn name(&self) -> String {
        let known = match self.protocol {
            Protocol::Strict { split: Split::Users { known } } => format!(" ({known} known)"),
            _ => String::new(),
        };
        let start = format!("{} {}{known}, ", self.protocol.name(), self.protocol.split_name());
        if !self.model.is_network() {
            return format!("{start}{}", self.model.name());
        }
        let user = serde_json::to_value(self.user_embedding)
            .ok()
            .and_then(|v| v.as_str().map(str::to_string))
            .unwrap_or_default();
        format!(
            "{start}{}, {}, {user}, {} GL",
            self.modality,
            self.model.name(),
            if self.gl { "with" } else { "without" }
        )
    }
}
