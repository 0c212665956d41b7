//! The models of the evaluation grid.

use serde::{Deserialize, Serialize};

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
    /// Cross attention with many keys: the user's rated movies look at the frames and the sound
    /// windows of a trailer. Strict protocol only.
    TrailerAttention,
}

impl Model {
    /// Every model, with the paper's four heads.
    pub const ALL: [Model; 10] = [
        Model::Classifier { heads: 4 },
        Model::Ann,
        Model::Majority,
        Model::UserMajority,
        Model::ItemMajority,
        Model::Bias,
        Model::BiasClassWeighted,
        Model::MatrixFactorisation,
        Model::Ensemble,
        Model::TrailerAttention,
    ];
}
