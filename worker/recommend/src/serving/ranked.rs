//! Orders movies for a viewer.

use crate::CLASSES;
use crate::RecommendError;
use crate::ranking::watch::{blend, can_lead};

/// The order of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RankBy {
    /// The probability of like.
    Like,
    /// By the movies that viewers with a similar history watch and like next, blended with the
    /// probability of like.
    Watch,
}

/// One movie of a list.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RankedMovie {
    /// Its index.
    pub movie: u32,
    /// Its score: the probability of like, or the blended score.
    pub score: f32,
    /// Probabilities of dislike, neutral and like.
    pub probabilities: [f32; CLASSES],
}

/// Returns the best `most` of these movies: by score, then by the probability of dislike (lowest
/// first), then by index. `watch` has the scores of all movies, to order by them; only movies that
/// can be among the best are then predicted.
///
/// # Errors
/// Those of `predict`.
pub(super) fn best(
    candidates: &[u32],
    watch: Option<&[f32]>,
    most: usize,
    predict: impl FnOnce(&[u32]) -> Result<Vec<[f32; CLASSES]>, RecommendError>,
) -> Result<Vec<RankedMovie>, RecommendError> {
    let leading;
    let candidates = match watch {
        Some(scores) => {
            leading = can_lead(scores, candidates, most);
            leading.as_slice()
        }
        None => candidates,
    };
    let probabilities = predict(candidates)?;
    let ranked = |(&movie, probabilities): (&u32, [f32; CLASSES])| {
        let score = watch.map_or(probabilities[2], |scores| blend(scores[movie as usize], probabilities));
        RankedMovie { movie, score, probabilities }
    };
    let mut list: Vec<RankedMovie> = candidates.iter().zip(probabilities).map(ranked).collect();
    let order = |a: &RankedMovie, b: &RankedMovie| {
        let dislike = a.probabilities[0].total_cmp(&b.probabilities[0]);
        b.score.total_cmp(&a.score).then(dislike).then(a.movie.cmp(&b.movie))
    };
    if most < list.len() {
        list.select_nth_unstable_by(most, order);
        list.truncate(most);
    }
    list.sort_unstable_by(order);
    Ok(list)
}

/// Returns a measure of the doubt about a probability of like: the standard deviation of a share
/// that `ratings` ratings, and ten more of what is expected, were counted for. It is about 0.15 for
/// a movie that nobody rated, and falls with the ratings.
#[must_use]
pub fn doubt(probabilities: [f32; CLASSES], ratings: u64) -> f32 {
    /// The weight of a prediction without a rating of the movie, in ratings.
    const EXPECTED: f32 = 10.0;
    let p = probabilities[2].clamp(0.0, 1.0);
    (p * (1.0 - p) / (ratings as f32 + EXPECTED + 1.0)).sqrt()
}
