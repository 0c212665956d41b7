//! The specification of one cell of the evaluation grid. It is part of the messages and results of
//! jobs.

use super::training::{FitSettings, Optimiser, Schedule};
use crate::hash::Hash;
use crate::settings::Strategy;
use serde::{Deserialize, Serialize};
use std::fmt;

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
    /// ANN, training of the genre heads. Other differences have their own settings;
    /// [`CellSpec::with_edition`] sets all of them.
    #[serde(default, skip_serializing_if = "is_default")]
    pub edition: Edition,
    /// A negative control.
    #[serde(default, skip_serializing_if = "is_default")]
    pub control: Control,
    /// Stacked ensemble: also measure the loss without each group of features
    /// ([`super::PartResult`]).
    #[serde(default, skip_serializing_if = "is_default")]
    pub ablation: bool,
    /// Hash of the given folds, if the folds are not drawn.
    #[serde(default, skip_serializing_if = "is_default")]
    pub given_folds: Option<Hash>,
}

/// Fields added after the first contract are written only if they differ from the default, so that
/// old cells keep their hashes.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// The two publications of the method, where they differ.
///
/// | | notebooks | paper's text |
/// |---|---|---|
/// | optimiser, schedule, patience | RMSprop, 1e-5 and a tenth of it after each 50 epochs, 15 | Adam, 1e-3, 5 |
/// | user embedding | each weighted embedding standard-scaled before the mean | plain mean |
/// | GL-score | times 100; 0 / 0 is 0.01 | unscaled; 0 / 0 is not stated: also 0.01 |
/// | ANN, two modalities | 256 -> 128 -> 64 -> 3 | 256 -> 128 -> 64 -> 32 -> 3 |
/// | video genre head | OneCycle up to 0.1, batch 1, 40 epochs | Adam, 1e-3, batch 16, 100 epochs |
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Edition {
    /// The notebooks published with the paper.
    #[default]
    Notebook,
    /// The text of the paper.
    Paper,
}

/// A negative control: a model that beats the majority here has seen a label.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Control {
    /// No control: the data is unchanged.
    #[default]
    None,
    /// Labels are shuffled over all pairs before any other step.
    PermutedLabels,
    /// Every embedding is replaced by standard normal numbers. Networks only.
    RandomEmbeddings,
}

/// How pairs are split and which pairs the features are computed from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Protocol {
    /// As published: one stratified 80:20 train:test split, then one 90:10 train:validation split
    /// per fold.
    Paper {
        /// The errors of the publication that are reproduced.
        errata: Errata,
    },
    /// Every pair is tested once, and everything is fitted and summed over training pairs only.
    Strict {
        /// What a fold holds out.
        split: Split,
    },
}

/// The errors of the publication (Mondal et al. 2023, DOI 10.1109/TCE.2023.3324009, and its
/// notebooks). `true` reproduces the error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Errata {
    /// Erratum 1: GL-scores and user embeddings are built from all pairs, the predicted one and the
    /// test pairs included.
    pub own_label: bool,
    /// Erratum 2: dislikes are up-sampled before the split, so that copies of one pair lie on both
    /// sides.
    pub upsample_before_split: bool,
    /// Erratum 3: the GL-score takes the like score from the dislikes and the reverse.
    pub swapped_gl: bool,
    /// Copies made by up-sampling count again in GL-scores and user embeddings.
    pub copies_in_profiles: bool,
}

impl Errata {
    /// Everything as published. Of the two orientations of the GL-score, this one comes close to
    /// the published results.
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
    /// All pairs of some movies: test movies have no ratings in training.
    Movies,
    /// All pairs of some users except `known` of each, which stay in training.
    Users {
        /// Known ratings of a test user; users with no more ratings are not tested.
        known: usize,
    },
}

/// The description of a movie.
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
    /// Catalogue metadata: description and people as reduced TF-IDF, year and whether it is
    /// missing, rating, languages, genres. Fitted on the movies of training pairs.
    Metadata,
}

/// Identifies one of the video embeddings of a run.
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

/// The source of the modality's embeddings.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EmbeddingSource {
    /// The rows are used unchanged.
    Given,
    /// A genre head is trained on the given rows in every fold; its 512 numbers are the embedding.
    GenreHead,
}

/// The model that predicts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Model {
    /// The paper's cross-attention classifier.
    Classifier {
        /// Attention heads. With a single key the output does not depend on them.
        heads: usize,
    },
    /// The paper's ANN baseline.
    Ann,
    /// The most common class of the training pairs.
    Majority,
    /// The user's most common class.
    UserMajority,
    /// The movie's most common class.
    ItemMajority,
    /// Logistic regression on user and movie only.
    Bias,
    /// Logistic regression on user and movie, with equal class weights.
    BiasClassWeighted,
    /// Logistic regression with user and movie factors: softmax matrix factorisation.
    MatrixFactorisation,
    /// The stacked ensemble: bias terms, out-of-fold profiles, GL features and content, boosted and
    /// stacked. Strict protocol only. Stored under the name `honest`.
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

/// How classes are balanced for training.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Balance {
    /// No balancing.
    None,
    /// Dislikes are repeated until there are `dislike` times as many.
    Upsample {
        /// At least 1.
        dislike: f64,
    },
    /// Each class has the same total weight.
    ClassWeights,
}

/// How a network is trained.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainingSettings {
    /// Optimiser, schedule, batch, epochs, patience.
    pub fit: FitSettings,
    /// Class balancing.
    pub balance: Balance,
    /// Share of the training pairs that is held out for early stopping, in (0, 0.5].
    pub validation: f64,
    /// Strict protocol: inner folds that give training pairs profiles without their own label, at
    /// least 2.
    pub profile_folds: usize,
}

/// The paper's up-sampling: 1,887 dislikes become 6,625.
pub const PUBLISHED_UPSAMPLING: Balance = Balance::Upsample { dislike: 6625.0 / 1887.0 };

impl TrainingSettings {
    /// The notebooks' settings: RMSprop at 1e-5, divided by 10 after each 50 epochs, batch 32, 150
    /// epochs, patience 15.
    #[must_use]
    pub const fn notebook() -> Self {
        let schedule = Schedule::Steps { rate: 1e-5, every: 50, factor: 0.1 };
        let fit = FitSettings { optimiser: Optimiser::rmsprop(), schedule, batch: 32, epochs: 150, patience: Some(15) };
        Self { fit, balance: PUBLISHED_UPSAMPLING, validation: 0.1, profile_folds: 10 }
    }

    /// The settings of the paper's text: Adam (PyTorch's 1e-3, as no rate is printed), 150 epochs,
    /// patience 5.
    #[must_use]
    pub const fn paper() -> Self {
        let schedule = Schedule::Constant { rate: 1e-3 };
        let fit = FitSettings { optimiser: Optimiser::adam(), schedule, batch: 32, epochs: 150, patience: Some(5) };
        Self { fit, ..Self::notebook() }
    }
}

impl CellSpec {
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
            given_folds: None,
        }
    }

    /// Applies the details of an edition: training, scaling, GL-score, layers, heads (see the table
    /// at [`Edition`]).
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
        if self.control == Control::RandomEmbeddings && !self.model.is_network() {
            return fail("control", "only the classifier and the ANN read embeddings: use `permuted_labels`");
        }
        if self.model == Model::Ensemble && matches!(self.protocol, Protocol::Paper { .. }) {
            return fail("model", "the stacked ensemble has no leaks: evaluate it under the strict protocol");
        }
        if self.ablation && self.model != Model::Ensemble {
            return fail("ablation", "only the stacked ensemble has parts to leave out");
        }
        Ok(())
    }
}
