//! Names of cells and their parts, and the tables that a cell reads.

use std::str::FromStr;

use super::{CellSpec, Edition, EmbeddingSource, Modality, Model, Protocol, Split, UserEmbedding};
use crate::artifact::ArtifactKind;

impl Modality {
    /// Returns the tables of embeddings that a cell of this modality reads.
    pub fn tables(self) -> &'static [ArtifactKind] {
        match self {
            Modality::Video => &[ArtifactKind::VideoTable],
            Modality::Audio => &[ArtifactKind::AudioTable],
            Modality::AudioVideo => &[ArtifactKind::VideoTable, ArtifactKind::AudioTable],
            Modality::Genre | Modality::Metadata => &[],
        }
    }
}

/// The ensemble's word in stored data, which is older than its name.
const STORED_ENSEMBLE: &str = "honest";

/// Returns the name to print for a model's word in stored data ([`Model::stored_name`]).
pub fn display_name(stored: &str) -> &str {
    if stored == STORED_ENSEMBLE { Model::Ensemble.name() } else { stored }
}

impl Model {
    /// Returns the name used in reports and on the command line.
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
            Model::Ensemble => "ensemble",
            Model::TrailerAttention => "trailer-attention",
        }
    }

    /// Returns the word in stored data: as [`Model::name`], except `honest` for the ensemble.
    pub fn stored_name(self) -> &'static str {
        match self {
            Model::Ensemble => STORED_ENSEMBLE,
            model => model.name(),
        }
    }

    /// Whether it predicts from labels alone.
    pub fn is_baseline(self) -> bool {
        !matches!(self, Model::Classifier { .. } | Model::Ann | Model::Ensemble | Model::TrailerAttention)
    }

    /// Whether it fits class weights on inner folds, for choosing classes other than the most
    /// probable one.
    pub fn fits_class_weights(self) -> bool {
        matches!(self, Model::Ensemble | Model::Bias | Model::BiasClassWeighted | Model::MatrixFactorisation)
    }

    /// Whether it uses the cell's modality, user embedding and GL-score.
    pub fn is_network(self) -> bool {
        matches!(self, Model::Classifier { .. } | Model::Ann)
    }
}

impl Protocol {
    /// Returns the name used in reports and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Protocol::Paper { .. } => "paper",
            Protocol::Strict { .. } => "strict",
        }
    }

    /// Returns what a fold holds out: `pairs`, `movies` or `users`.
    pub fn split_name(self) -> &'static str {
        match self {
            Protocol::Paper { .. } | Protocol::Strict { split: Split::Pairs } => "pairs",
            Protocol::Strict { split: Split::Movies } => "movies",
            Protocol::Strict { split: Split::Users { .. } } => "users",
        }
    }
}

impl CellSpec {
    /// Returns the tables that the cell reads, video before audio: those of its modality, or their
    /// parts.
    pub fn tables(&self) -> &'static [ArtifactKind] {
        match self.modality {
            _ if !self.reads_parts() => self.modality.tables(),
            Modality::Video => &[ArtifactKind::VideoParts],
            Modality::Audio => &[ArtifactKind::AudioParts],
            Modality::AudioVideo => &[ArtifactKind::VideoParts, ArtifactKind::AudioParts],
            Modality::Genre | Modality::Metadata => &[],
        }
    }

    /// Returns a short name: `strict pairs, genre, classifier, L, with GL`.
    pub fn name(&self) -> String {
        let known = match self.protocol {
            Protocol::Strict { split: Split::Users { known } } => format!(" ({known} known)"),
            _ => String::new(),
        };
        let given = if self.given_folds.is_some() && self.by_time.is_none() { "given folds, " } else { "" };
        let split = self.by_time.map_or(self.protocol.split_name(), |by_time| by_time.name());
        let start = format!("{} {split}{known}, {given}", self.protocol.name());
        let end = self.control.name().map_or_else(String::new, |control| format!(", {control}"));
        if !self.model.is_network() {
            let trailers = if self.reads_trailers() { format!(" with {}", self.modality) } else { String::new() };
            return format!("{start}{}{trailers}{end}", self.model.name());
        }
        let user = self.user_embedding.name();
        let pictures =
            self.pictures.as_ref().map_or_else(String::new, |p| format!(" ({}, {})", p.strategy.name(), p.model));
        let bare = !self.modality.tables().is_empty() && self.embedding == EmbeddingSource::Given;
        format!(
            "{start}{}{pictures}{}, {}, {user}, {} GL{}{end}",
            self.modality,
            if bare { " without genre head" } else { "" },
            self.model.name(),
            if self.gl { "with" } else { "without" },
            if self.edition == Edition::Paper { ", as the paper's text" } else { "" },
        )
    }
}

/// Returns the first of `all` with the name `text`; the error lists the names.
fn by_name<T: Copy>(text: &str, all: &[T], name: impl Fn(T) -> String) -> Result<T, String> {
    all.iter()
        .copied()
        .find(|one| name(*one) == text)
        .ok_or_else(|| format!("must be one of {}", all.iter().map(|one| name(*one)).collect::<Vec<_>>().join(", ")))
}

impl FromStr for Modality {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        by_name(text, &Modality::ALL, |modality| modality.to_string())
    }
}

impl FromStr for Model {
    type Err = String;

    /// Reads [`Model::name`], or the ensemble's stored word as an alias.
    fn from_str(text: &str) -> Result<Self, String> {
        by_name(display_name(text), &Model::ALL, |model| model.name().to_owned())
    }
}

impl UserEmbedding {
    /// Returns the paper's name: `L`, `L+D`, `L+N` or `L+D+N`.
    pub fn name(self) -> &'static str {
        match self {
            UserEmbedding::Liked => "L",
            UserEmbedding::LikedDisliked => "L+D",
            UserEmbedding::LikedNeutral => "L+N",
            UserEmbedding::All => "L+D+N",
        }
    }
}

impl FromStr for UserEmbedding {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        by_name(text, &UserEmbedding::ALL, |user| user.name().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_parse_to_their_values_and_unknown_names_are_refused_with_the_choices() {
        for modality in Modality::ALL {
            assert_eq!(modality.to_string().parse(), Ok(modality));
        }
        for model in Model::ALL {
            assert_eq!(model.name().parse(), Ok(model));
            assert_eq!(model.stored_name().parse(), Ok(model));
            assert_eq!(display_name(model.stored_name()), model.name());
        }
        for user in UserEmbedding::ALL {
            assert_eq!(user.name().parse(), Ok(user));
            assert_eq!(serde_json::to_value(user).ok(), Some(user.name().into()), "one name for both");
        }
        let refused = "svm".parse::<Model>().expect_err("no such model");
        assert!(refused.contains("classifier, ann, majority"), "{refused}");
        assert!(refused.ends_with("ensemble, trailer-attention"), "the alias is not offered: {refused}");
    }

    #[test]
    fn the_ensemble_is_stored_as_honest_and_printed_as_ensemble() {
        assert_eq!(serde_json::to_string(&Model::Ensemble).ok().as_deref(), Some(r#"{"kind":"honest"}"#));
        assert_eq!((Model::Ensemble.name(), Model::Ensemble.stored_name()), ("ensemble", "honest"));
        let spec = CellSpec::strict(Split::Movies, Modality::Genre, Model::Ensemble, UserEmbedding::Liked, true);
        assert_eq!(spec.name(), "strict movies, ensemble");
    }
}
