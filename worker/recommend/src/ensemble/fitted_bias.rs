//! The bias model alone, fitted once and asked often.

use super::features::knowledge::labelled_pair;
use super::linear::mixed_logit::{LabelledPair, MixedLogit, SideInfo};
use super::linear_baselines::PENALTIES;
use super::rows::{check_stop, sorted_pairs};
use crate::{CLASSES, RecommendError};
use jhalak_common::dataset::Dataset;
use jhalak_nn::seeded;
use std::sync::atomic::AtomicBool;

/// A fitted logistic regression on user and movie.
#[derive(Debug)]
pub struct FittedBias {
    model: MixedLogit,
    users: usize,
    movies: usize,
}

impl FittedBias {
    /// Fits on the pairs `train` (indexes of ratings).
    ///
    /// # Errors
    /// Indexes without a rating, or `stop`.
    pub fn fit(dataset: &Dataset, train: &[u32], seed: u64, stop: &AtomicBool) -> Result<Self, RecommendError> {
        check_stop(stop)?;
        let train = sorted_pairs(dataset, train)?;
        let known: Vec<LabelledPair> = train.iter().map(|&pair| labelled_pair(dataset, pair)).collect();
        let (users, movies) = (dataset.users.len(), dataset.movies.len());
        let even = [1.0; CLASSES];
        let model = MixedLogit::fit(&known, &side_info(users, movies), 0, &PENALTIES, even, &mut seeded(seed, 1));
        Ok(Self { model, users, movies })
    }

    /// Returns the probabilities of dislike, neutral and like of a user and a movie of the dataset.
    #[must_use]
    pub fn probabilities(&self, user: u32, movie: u32) -> [f32; CLASSES] {
        let p = self.model.probabilities(&side_info(self.users, self.movies), user as usize, movie as usize);
        p.map(|p| p as f32)
    }
}

fn side_info<'a>(users: usize, movies: usize) -> SideInfo<'a> {
    SideInfo { users, movies, content: &[], content_dim: 0, attributes: &[], attribute_dim: 0 }
}
