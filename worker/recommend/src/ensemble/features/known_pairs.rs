//! The known pairs of a view with what they leave unexplained.

use crate::CLASSES;
use crate::ensemble::linear::mixed_logit::LabelledPair;

/// The known pairs, sorted by user.
#[derive(Debug, Default)]
pub struct KnownPairs {
    /// The pairs.
    pub pairs: Vec<LabelledPair>,
    /// Range of a user's pairs: `first[user]..first[user + 1]`.
    pub first: Vec<usize>,
    /// Residuals of the bias model for each pair: label minus probability.
    pub residuals: Vec<[f64; CLASSES]>,
}

impl KnownPairs {
    /// Returns the known pairs of a user with their residuals.
    pub fn of_user(&self, user: usize) -> impl Iterator<Item = (&LabelledPair, &[f64; CLASSES])> {
        let own = self.first[user]..self.first[user + 1];
        self.pairs[own.clone()].iter().zip(&self.residuals[own])
    }
}
