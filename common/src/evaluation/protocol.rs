//! How pairs are split, and what of the publication is repeated: protocols, errata, editions,
//! controls.

use serde::{Deserialize, Serialize};

/// The two publications of the method, where they differ.
///
/// | | notebooks | paper's text |
/// |---|---|---|
/// | optimiser, schedule, patience | RMSprop, 1e-5 and a tenth of it after each 50 epochs, 15 |
/// Adam, 1e-3, 5 |
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
    /// Every embedding is replaced by standard normal numbers. Networks, and the ensemble where it
    /// reads trailers.
    RandomEmbeddings,
    /// The embeddings are shuffled over the movies that have one. For the same models.
    ShuffledEmbeddings,
}

impl Control {
    /// Returns what the control does to the data, for reports; `None` without a control.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        match self {
            Control::None => None,
            Control::PermutedLabels => Some("labels permuted"),
            Control::RandomEmbeddings => Some("random embeddings"),
            Control::ShuffledEmbeddings => Some("shuffled embeddings"),
        }
    }
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
        /// The unit that a fold holds out.
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

/// Test pairs that are chosen by time. They mix known and new users and movies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ByTime {
    /// All pairs from one moment on.
    Temporal,
    /// The last pairs of each user.
    Last,
}

impl ByTime {
    /// Returns the name used in reports and on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            ByTime::Temporal => "temporal",
            ByTime::Last => "last",
        }
    }
}

/// The unit that a strict fold holds out.
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
