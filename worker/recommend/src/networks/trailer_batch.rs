//! A batch of the inputs of [`super::trailer_attention`].

use crate::CLASSES;

/// Class shares of a user, and the number of ratings that they were counted over.
pub(super) const SHARES: usize = CLASSES + 1;

/// The inputs of one batch.
#[derive(Clone, Debug, Default)]
pub(super) struct TokenBatch {
    /// Number of samples.
    pub rows: usize,
    /// Rated movies of each sample, at least 1.
    pub queries: usize,
    /// Tokens of each movie, at least 1.
    pub keys: usize,
    /// `rows x queries x (token + classes)`.
    pub rated: Vec<f32>,
    /// `rows x queries`: the weights of the opinions in their mean, 0 for an absent movie.
    pub weights: Vec<f32>,
    /// `rows x keys x token`.
    pub tokens: Vec<f32>,
    /// `rows x keys`: whether there is a token; at least one of each movie is present.
    pub present: Vec<bool>,
    /// `rows x (token + shares)`: the movie's mean token, the user's class shares.
    pub extra: Vec<f32>,
}

impl TokenBatch {
    /// Empties the batch for samples of this shape.
    pub(super) fn clear(&mut self, rows: usize, (queries, keys): (usize, usize)) {
        (self.rows, self.queries, self.keys) = (rows, queries, keys);
        for numbers in [&mut self.rated, &mut self.weights, &mut self.tokens, &mut self.extra] {
            numbers.clear();
        }
        self.present.clear();
    }
}
