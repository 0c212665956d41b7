//! The specification of one cell of the evaluation grid. It is part of the messages and results of
//! jobs.

use super::features::{ContentColumn, EmbeddingSource, GlSettings, Modality, Pictures, UserEmbedding};
use super::model::Model;
use super::protocol::{ByTime, Control, Edition, Errata, Protocol, Split};
use super::training::{Balance, TrainingSettings};
use crate::hash::Hash;
use serde::{Deserialize, Serialize};

/// A setting of a cell that is not valid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("setting `{setting}` of the cell: {reason}")]
pub struct SettingError {
    /// Its name in the specification.
    pub setting: &'static str,
    /// The fault and the valid values.
    pub reason: String,
}

/// One cell of the grid: evaluated on every fold and summarised.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CellSpec {
    /// How pairs are split and which pairs the features are computed from.
    pub protocol: Protocol,
    /// The description of a movie.
    pub modality: Modality,
    /// The video embeddings that it reads; None for the run's primary ones, if their keyframes are
    /// at equal intervals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pictures: Option<Pictures>,
    /// The source of the modality's embeddings.
    pub embedding: EmbeddingSource,
    /// The model that predicts.
    pub model: Model,
    /// Which rated movies make up the user embedding.
    pub user_embedding: UserEmbedding,
    /// Multiply by the GL-score in the user embedding and in the classifier's movie input, as in
    /// the paper.
    pub gl: bool,
    /// How the GL-score is computed and used.
    pub gl_score: GlSettings,
    /// Standard-scale each GL-weighted embedding over its own numbers before the user's mean (the
    /// paper's notebooks).
    pub scale_user_embedding: bool,
    /// Standard-scale each input feature with the mean and deviation of the training samples.
    pub standardise_inputs: bool,
    /// How networks are trained; ignored by baselines.
    pub training: TrainingSettings,
    /// Number of folds (strict) or of train and validation splits (paper), at least 2.
    pub folds: usize,
    /// The seed of all random numbers.
    pub seed: u64,
    /// The source of the details where the paper's text and its notebooks differ: layers of the
    /// ANN, training of the genre heads. Other differences have their own settings.
    #[serde(default, skip_serializing_if = "is_default")]
    pub edition: Edition,
    /// A negative control.
    #[serde(default, skip_serializing_if = "is_default")]
    pub control: Control,
    /// Stacked ensemble: also measure the loss without each group of features
    /// ([`super::PartResult`]).
    #[serde(default, skip_serializing_if = "is_default")]
    pub ablation: bool,
    /// Shortcuts of the catalogue that the ensemble reads as content.
    #[serde(default, skip_serializing_if = "is_default")]
    pub content_columns: Vec<ContentColumn>,
    /// Hash of the given folds, if the folds are not drawn.
    #[serde(default, skip_serializing_if = "is_default")]
    pub given_folds: Option<Hash>,
    /// Whether the given fold was chosen by time.
    #[serde(default, skip_serializing_if = "is_default")]
    pub by_time: Option<ByTime>,
}

/// Fields added after the first contract are written only if they differ from the default, so that
/// old cells keep their hashes.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl CellSpec {
    /// Whether a model that is not a network of the paper reads trailers: in the modalities of
    /// trailers, the ensemble does as content.
    #[must_use]
    pub fn reads_trailers(&self) -> bool {
        matches!(self.model, Model::Ensemble | Model::TrailerAttention) && !self.modality.tables().is_empty()
    }

    /// Whether the model reads the frames and sound windows of trailers, and not their means alone.
    #[must_use]
    pub fn reads_parts(&self) -> bool {
        self.model == Model::TrailerAttention
    }

    /// Creates a cell as published, with the notebooks' settings.
    #[must_use]
    pub fn published(modality: Modality, model: Model, user_embedding: UserEmbedding, gl: bool) -> Self {
        Self {
            protocol: Protocol::Paper { errata: Errata::published() },
            modality,
            pictures: None,
            embedding: EmbeddingSource::Given,
            model,
            user_embedding,
            gl,
            gl_score: GlSettings { undefined: 0.01, scale: 100.0 },
            scale_user_embedding: true,
            standardise_inputs: false,
            training: TrainingSettings::notebook(),
            folds: 5,
            seed: 0,
            edition: Edition::Notebook,
            control: Control::None,
            ablation: false,
            content_columns: Vec::new(),
            given_folds: None,
            by_time: None,
        }
    }

    /// Creates a cell of the same method without leaks: inputs are standardised on training
    /// samples, and Adam trains as in the paper's text, since with the notebooks' rate of 1e-5
    /// small networks learn nothing within the epochs.
    #[must_use]
    pub fn strict(split: Split, modality: Modality, model: Model, user_embedding: UserEmbedding, gl: bool) -> Self {
        Self {
            protocol: Protocol::Strict { split },
            gl_score: GlSettings { undefined: 0.5, scale: 1.0 },
            standardise_inputs: true,
            training: TrainingSettings::paper(),
            ..Self::published(modality, model, user_embedding, gl)
        }
    }

    /// Refuses settings that are not valid. `run_fold` calls this first.
    ///
    /// # Errors
    /// [`SettingError`] with the name of the setting.
    pub fn check(&self) -> Result<(), SettingError> {
        let fail = |setting, reason: &str| Err(SettingError { setting, reason: reason.to_owned() });
        if self.folds < 2 && (self.given_folds.is_none() || self.folds == 0) {
            return fail("folds", "must be at least 2");
        }
        if !(self.gl_score.scale.is_finite() && self.gl_score.scale > 0.0) {
            return fail("gl_score.scale", "must be above 0 and finite");
        }
        if !(0.0..=1.0).contains(&self.gl_score.undefined) {
            return fail("gl_score.undefined", "must lie in [0, 1]");
        }
        if !(self.training.validation > 0.0 && self.training.validation <= 0.5) {
            return fail("training.validation", "must lie in (0, 0.5]");
        }
        if !(2..=250).contains(&self.training.profile_folds) {
            return fail("training.profile_folds", "must lie in 2..=250");
        }
        if let Balance::Upsample { dislike } = self.training.balance
            && !(1.0..=1000.0).contains(&dislike)
        {
            return fail("training.balance.dislike", "must lie in [1, 1000]");
        }
        if matches!(self.model, Model::Classifier { heads: 0 }) {
            return fail("model.heads", "must be at least 1");
        }
        let of_embeddings = matches!(self.control, Control::RandomEmbeddings | Control::ShuffledEmbeddings);
        if of_embeddings && !self.model.is_network() && !self.reads_trailers() {
            return fail(
                "control",
                "only the classifier, the ANN, trailer attention and, with a modality of trailers, the ensemble read embeddings: use `permuted_labels`",
            );
        }
        if !self.content_columns.is_empty() && self.model != Model::Ensemble {
            return fail("content_columns", "only the stacked ensemble has them: leave it out");
        }
        if self.model == Model::Ensemble && matches!(self.protocol, Protocol::Paper { .. }) {
            return fail("model", "the stacked ensemble has no leaks: evaluate it under the strict protocol");
        }
        if self.reads_parts() && !self.reads_trailers() {
            return fail("modality", "trailer attention looks at trailers: use video, audio or audio+video");
        }
        if self.reads_parts() && matches!(self.protocol, Protocol::Paper { .. }) {
            return fail("model", "trailer attention was not published: evaluate it under the strict protocol");
        }
        if self.ablation && self.model != Model::Ensemble {
            return fail("ablation", "only the stacked ensemble has parts to leave out");
        }
        Ok(())
    }
}
