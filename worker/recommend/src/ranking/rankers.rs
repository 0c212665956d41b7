//! The rankers.

use super::ease::Ease;
use super::history::{History, Weighing, histories};
use super::watch::{WatchModel, blend};
use crate::RecommendError;
use crate::ensemble::{self, ColdStart, FittedBias, FittedEnsemble, Settings};
use jhalak_common::dataset::Dataset;
use serde::{Deserialize, Serialize};
use std::sync::atomic::AtomicBool;

/// A way to order movies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ranker {
    /// The number of ratings, the same for every user.
    MostRated,
    /// Weights between movies, learned from likes (EASE).
    Ease,
    /// Weights between movies, learned from all ratings and applied to recent ones most.
    Recent,
    /// [`Ranker::Recent`], blended with the bias model's probability of like.
    Watch,
    /// The bias model's probability of like.
    Bias,
    /// The ensemble's probability of like.
    Ensemble,
}

impl Ranker {
    /// Every ranker.
    pub const ALL: [Ranker; 6] =
        [Ranker::MostRated, Ranker::Ease, Ranker::Recent, Ranker::Watch, Ranker::Bias, Ranker::Ensemble];

    /// Returns the name on the command line and in tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Ranker::MostRated => "most-rated",
            Ranker::Ease => "ease",
            Ranker::Recent => "recent",
            Ranker::Watch => "watch",
            Ranker::Bias => "bias",
            Ranker::Ensemble => "ensemble",
        }
    }
}

/// A fitted ranker.
pub(super) enum FittedRanker {
    Popularity(Vec<f32>),
    Ease(Ease, Vec<History>, Vec<f32>),
    Watch(WatchModel, Vec<History>, Option<FittedBias>),
    Bias(FittedBias),
    Ensemble(Box<FittedEnsemble>),
}

impl FittedRanker {
    /// Fits a ranker on the pairs `known` (indexes of ratings, sorted).
    pub fn fit(
        ranker: Ranker,
        dataset: &Dataset,
        known: &[u32],
        seed: u64,
        stop: &AtomicBool,
    ) -> Result<Self, RecommendError> {
        let movies = dataset.movies.len();
        let count = |by: fn(usize) -> f32| {
            let mut counts = vec![0.0; movies];
            for rating in known.iter().map(|&pair| dataset.ratings[pair as usize]) {
                counts[rating.movie as usize] += by(rating.label.index());
            }
            counts
        };
        Ok(match ranker {
            Ranker::MostRated => Self::Popularity(count(|_| 1.0)),
            Ranker::Ease => {
                let likes = histories(dataset, known, Weighing::LIKES);
                let ease = Ease::fit(&likes, movies, stop)?;
                Self::Ease(ease, likes, count(|label| f32::from(u8::from(label == 2))))
            }
            Ranker::Recent | Ranker::Watch => {
                let bias =
                    (ranker == Ranker::Watch).then(|| FittedBias::fit(dataset, known, seed, stop)).transpose()?;
                Self::Watch(WatchModel::fit(dataset, known, stop)?, WatchModel::histories(dataset, known), bias)
            }
            Ranker::Bias => Self::Bias(FittedBias::fit(dataset, known, seed, stop)?),
            Ranker::Ensemble => {
                let settings = Settings::new(ColdStart::None);
                Self::Ensemble(Box::new(ensemble::fit(dataset, known, &[], &settings, seed, stop)?))
            }
        })
    }

    /// Returns the score of every movie for a user.
    pub fn scores(&self, user: u32, movies: usize) -> Result<Vec<f32>, RecommendError> {
        Ok(match self {
            Self::Popularity(counts) => counts.clone(),
            Self::Ease(ease, histories, likes) => {
                let history = &histories[user as usize];
                if history.is_empty() {
                    return Ok(likes.clone());
                }
                let mut scores = vec![0.0; movies];
                ease.add_scores(history, &mut scores);
                scores
            }
            Self::Watch(model, histories, bias) => {
                let mut scores = model.scores(&histories[user as usize], movies);
                if let Some(bias) = bias {
                    for (movie, score) in (0u32..).zip(&mut scores) {
                        *score = blend(*score, bias.probabilities(user, movie));
                    }
                }
                scores
            }
            Self::Bias(bias) => (0..movies as u32).map(|movie| bias.probabilities(user, movie)[2]).collect(),
            Self::Ensemble(fitted) => {
                let pairs: Vec<(u32, u32)> = (0..movies as u32).map(|movie| (user, movie)).collect();
                fitted.predict(&pairs)?.iter().map(|p| p[2]).collect()
            }
        })
    }
}
