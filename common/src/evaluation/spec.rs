//! What names one cell of the evaluation grid. Everything here travels in a job's message and stands in its result.

use super::training::{FitSettings, Optimiser, Schedule};
use crate::hash::Hash;
use crate::settings::Strategy;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A setting of a cell that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("setting `{setting}` of the cell: {reason}")]
pub struct SettingError {
    /// Its name in the specification.
    pub setting: &'static str,
    /// What is wrong and what would do.
    pub reason: String,
}

/// One figure of the grid: run on every fold and summarised.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CellSpec {
    /// How pairs are split and what the features may see.
    pub protocol: Protocol,
    /// What a movie is described by.
    pub modality: Modality,
    /// Which video embeddings it reads; none for the run's own, where those are of keyframes at equal intervals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pictures: Option<Pictures>,
    /// Where the modality's embeddings come from.
    pub embedding: EmbeddingSource,
    /// What predicts.
    pub model: Model,
    /// Whose embeddings make up the user's.
    pub user_embedding: UserEmbedding,
    /// Multiply by the GL-score in the user embedding and in the classifier's movie input (paper, sections 6 to 8).
    pub gl: bool,
    /// How the GL-score is computed and used.
    pub gl_score: GlSettings,
    /// Standard-scale each GL-weighted embedding over its own numbers before the user's mean (notebook).
    pub scale_user_embedding: bool,
    /// Standard-scale each input feature with mean and deviation of the training samples.
    pub standardise_inputs: bool,
    /// How networks are trained; baselines take no notice of it.
    pub training: TrainingSettings,
    /// Number of folds (strict) or of train and validation splits (paper), at least 2.
    pub folds: usize,
    /// The seed of everything drawn at random.
    pub seed: u64,
    /// Whose details hold where the paper's text and its notebooks differ: layers of the ANN, training of the genre heads. The other
    /// differences are settings of their own; [`CellSpec::with_edition`] sets them all.
    #[serde(default, skip_serializing_if = "is_default")]
    pub edition: Edition,
    /// What is made meaningless on purpose.
    #[serde(default, skip_serializing_if = "is_default")]
    pub control: Control,
    /// Ensemble only: also measure the loss without each of its groups of features ([`super::PartResult`]).
    #[serde(default, skip_serializing_if = "is_default")]
    pub ablation: bool,
    /// Hash of the folds, where somebody else's are taken in place of drawn ones.
    #[serde(default, skip_serializing_if = "is_default")]
    pub given_folds: Option<Hash>,
}

/// Fields that came after the first contract are written only where they say something, so that old cells keep their hashes.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// The two publications of the method, where they differ.
///
/// | | notebooks | paper's text |
/// |---|---|---|
/// | optimiser, schedule, patience | RMSprop, 1e-5 and a tenth of it after each 50 epochs, 15 | Adam, 1e-3, 5 |
/// | user embedding | each weighted embedding standard-scaled before the mean | plain mean |
/// | GL-score | times 100; 0 / 0 is 0.01 | as it is; 0 / 0 is not told: 0.01 too |
/// | ANN, two modalities | 256 -> 128 -> 64 -> 3 | 256 -> 128 -> 64 -> 32 -> 3 |
/// | video genre head | OneCycle up to 0.1, batch 1, 40 epochs | Adam, 1e-3, batch 16, 100 epochs |
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Edition {
    /// The notebooks published beside the paper.
    #[default]
    Notebook,
    /// The text of the paper.
    Paper,
}

/// A cell that must do badly: what beats the majority here has seen a label.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Control {
    /// No control: the data as it is.
    #[default]
    None,
    /// The labels are shuffled over all pairs before anything else.
    PermutedLabels,
    /// Every embedding is replaced by standard normal numbers. Networks only.
    RandomEmbeddings,
}

/// How pairs are split and what the features may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Protocol {
    /// As published: one stratified 80:20 train:test split, then one 90:10 train:validation split a fold.
    Paper {
        /// Which of the publication's errors are repeated.
        errata: Errata,
    },
    /// Every pair is tested once, and everything fitted or summed sees training pairs only.
    Strict {
        /// What a fold holds out.
        split: Split,
    },
}

/// The publication's errors (digest, section 10), each a switch; `true` repeats the error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Errata {
    /// Erratum 1: GL-scores and user embeddings are built from all pairs, the predicted one and the test pairs included.
    pub own_label: bool,
    /// Erratum 2: dislikes are up-sampled before the split, so that copies of one pair lie on both sides.
    pub upsample_before_split: bool,
    /// Erratum 3: the GL-score takes the like score from the dislikes and the reverse.
    pub swapped_gl: bool,
    /// Copies made by up-sampling count again in GL-scores and user embeddings.
    pub copies_in_profiles: bool,
}

impl Errata {
    /// Everything as published. The way round of the GL-score is the one whose figures come near the published ones.
    #[must_use]
    pub const fn published() -> Self {
        Self { own_label: true, upsample_before_split: true, swapped_gl: true, copies_in_profiles: false }
    }

    /// The published split without any of the errors.
    #[must_use]
    pub const fn none() -> Self {
        Self { own_label: false, upsample_before_split: false, swapped_gl: false, copies_in_profiles: false }
    }
}

/// What a strict fold holds out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "snake_case", deny_unknown_fields)]
pub enum Split {
    /// Pairs, stratified by label.
    Pairs,
    /// All pairs of some movies: the test movies were never rated in training.
    Movies,
    /// All pairs of some users but `known` of each, which stay in training.
    Users {
        /// Ratings known of a test user; users with no more than that are not tested.
        known: usize,
    },
}

/// What a movie is described by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Modality {
    /// Trailer pictures.
    Video,
    /// Trailer sound.
    Audio,
    /// Both.
    AudioVideo,
    /// The multi-hot vector of its genres.
    Genre,
    /// What the catalogue says of it: description and people as TF-IDF reduced to a few numbers, year and whether it is missing, rating,
    /// languages, genres. Fitted on the movies of training pairs.
    Metadata,
}

/// What tells a run's video embeddings apart.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pictures {
    /// How the keyframes were chosen.
    pub strategy: Strategy,
    /// The model that embedded them, by its name in the registry.
    pub model: String,
}

impl Modality {
    /// Every modality, in the order of reports.
    pub const ALL: [Modality; 5] =
        [Modality::Video, Modality::Audio, Modality::AudioVideo, Modality::Genre, Modality::Metadata];
}

impl fmt::Display for Modality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Video => "video",
            Self::Audio => "audio",
            Self::AudioVideo => "audio+video",
            Self::Genre => "genre",
            Self::Metadata => "metadata",
        })
    }
}

/// Where the modality's embeddings come from.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EmbeddingSource {
    /// The rows are used as they are given.
    Given,
    /// A genre head is trained on the given rows in every fold; its 512 numbers are the embedding.
    GenreHead,
}

/// What predicts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Model {
    /// The paper's cross-attention classifier.
    Classifier {
        /// Attention heads. Over one key the answer does not depend on them.
        heads: usize,
    },
    /// The paper's ANN baseline.
    Ann,
    /// The commonest class of the training pairs.
    Majority,
    /// The user's commonest class.
    UserMajority,
    /// The movie's commonest class.
    ItemMajority,
    /// Logistic regression on user and movie alone.
    Bias,
    /// The same, every class counting as much as the others.
    BiasClassWeighted,
    /// The same with user and movie factors: softmax matrix factorisation.
    MatrixFactorisation,
    /// The stacked ensemble: boosted trees, extra trees and linear models over bias terms, out-of-fold
    /// profiles, GL-scores and content. Strict protocol only. Stored as `honest`.
    #[serde(rename = "honest")]
    Ensemble,
}

impl Model {
    /// Every model, with the paper's four heads.
    pub const ALL: [Model; 9] = [
        Model::Classifier { heads: 4 },
        Model::Ann,
        Model::Majority,
        Model::UserMajority,
        Model::ItemMajority,
        Model::Bias,
        Model::BiasClassWeighted,
        Model::MatrixFactorisation,
        Model::Ensemble,
    ];
}

/// Which of a user's movies make up the user embedding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum UserEmbedding {
    /// Liked: the paper's choice.
    #[serde(rename = "L")]
    Liked,
    /// Liked and disliked.
    #[serde(rename = "L+D")]
    LikedDisliked,
    /// Liked and neutral.
    #[serde(rename = "L+N")]
    LikedNeutral,
    /// All rated.
    #[serde(rename = "L+D+N")]
    All,
}

impl UserEmbedding {
    /// Every choice, in the order of the paper's tables.
    pub const ALL: [UserEmbedding; 4] = [Self::Liked, Self::LikedDisliked, Self::LikedNeutral, Self::All];

    /// Whether movies with the label of this index are taken: [dislike, neutral, like].
    #[must_use]
    pub fn takes(self) -> [bool; 3] {
        match self {
            Self::Liked => [false, false, true],
            Self::LikedDisliked => [true, false, true],
            Self::LikedNeutral => [false, true, true],
            Self::All => [true; 3],
        }
    }
}

/// How the GL-score is computed and used.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GlSettings {
    /// The score where no genre of the movie was ever rated (0 / 0).
    pub undefined: f32,
    /// Every use multiplies the score by this.
    pub scale: f32,
}

/// How the classes are evened out for training.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Balance {
    /// Not at all.
    None,
    /// Dislikes are repeated until there are `dislike` times as many.
    Upsample {
        /// At least 1.
        dislike: f64,
    },
    /// Each class weighs as if it were as common as the others.
    ClassWeights,
}

/// How a network is trained.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainingSettings {
    /// Optimiser, schedule, batch, epochs, patience.
    pub fit: FitSettings,
    /// Evening out of the classes.
    pub balance: Balance,
    /// Share of the training pairs that early stopping is decided on, in (0, 0.5].
    pub validation: f64,
    /// Strict: folds in which training pairs get profiles without their own label, at least 2.
    pub profile_folds: usize,
}

/// The paper's up-sampling: 1,887 dislikes become 6,625.
pub const PUBLISHED_UPSAMPLING: Balance = Balance::Upsample { dislike: 6625.0 / 1887.0 };

impl TrainingSettings {
    /// The notebooks': RMSprop at 1e-5, a tenth of it after each 50 epochs, batch 32, 150 epochs, patience 15.
    #[must_use]
    pub const fn notebook() -> Self {
        let schedule = Schedule::Steps { rate: 1e-5, every: 50, factor: 0.1 };
        let fit = FitSettings { optimiser: Optimiser::rmsprop(), schedule, batch: 32, epochs: 150, patience: Some(15) };
        Self { fit, balance: PUBLISHED_UPSAMPLING, validation: 0.1, profile_folds: 10 }
    }

    /// The paper's text: Adam (PyTorch's 1e-3, as no rate is printed), 150 epochs, patience 5.
    #[must_use]
    pub const fn paper() -> Self {
        let schedule = Schedule::Constant { rate: 1e-3 };
        let fit = FitSettings { optimiser: Optimiser::adam(), schedule, batch: 32, epochs: 150, patience: Some(5) };
        Self { fit, ..Self::notebook() }
    }
}

impl CellSpec {
    /// A cell as published, with the notebooks' settings.
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
            given_folds: None,
        }
    }

    /// The same cell with the details of this edition: training, scaling, GL-score, layers, heads (the table at [`Edition`]).
    #[must_use]
    pub fn with_edition(self, edition: Edition) -> Self {
        match edition {
            Edition::Notebook => Self {
                edition,
                gl_score: GlSettings { undefined: 0.01, scale: 100.0 },
                scale_user_embedding: true,
                training: TrainingSettings::notebook(),
                ..self
            },
            Edition::Paper => Self {
                edition,
                gl_score: GlSettings { undefined: 0.01, scale: 1.0 },
                scale_user_embedding: false,
                training: TrainingSettings::paper(),
                ..self
            },
        }
    }

    /// The same method without leaks: inputs are standardised on training samples, and Adam trains as the paper's text says, since
    /// the notebooks' rate of 1e-5 ends before small networks have learned anything.
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

    /// Refuses settings that cannot be used. `run_fold` asks this first.
    ///
    /// # Errors
    /// [`SettingError`] that names the setting.
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
        if self.control == Control::RandomEmbeddings && !self.model.is_network() {
            return fail("control", "only the classifier and the ANN read embeddings: use `permuted_labels`");
        }
        if self.model == Model::Ensemble && matches!(self.protocol, Protocol::Paper { .. }) {
            return fail("model", "the ensemble cannot reproduce leaks: evaluate it under the strict protocol");
        }
        if self.ablation && self.model != Model::Ensemble {
            return fail("ablation", "only the ensemble has parts to leave out");
        }
        Ok(())
    }
}
