//! Predicts what a user watches next and likes: weights between movies, blended with the
//! probability of like.

use super::ease::Ease;
use super::history::{History, Weighing, histories};
use crate::{CLASSES, RecommendError};
use jhalak_common::dataset::Dataset;
use serde::{Deserialize, Serialize};
use std::sync::atomic::AtomicBool;

/// How strongly the probabilities of like and dislike change a score: `exp(BLEND * (like -
/// dislike))`. More of it shows fewer movies that are disliked, and fewer that are watched at all.
const BLEND: f32 = 0.25;

/// Version of the stored form. Other versions are refused.
const VERSION: u32 = 1;

/// A fitted model of what is watched next.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WatchModel {
    version: u32,
    ease: Ease,
    /// Likes of each movie: the scores of users without a history.
    likes: Vec<f32>,
}

impl WatchModel {
    /// Fits on the pairs `known` (indexes of ratings, sorted).
    ///
    /// # Errors
    /// `stop`.
    pub fn fit(dataset: &Dataset, known: &[u32], stop: &AtomicBool) -> Result<Self, RecommendError> {
        let graded = histories(dataset, known, Weighing::GRADED);
        let mut likes = vec![0.0; dataset.movies.len()];
        graded.iter().flatten().for_each(|(movie, weight)| likes[*movie as usize] += weight);
        Ok(Self { version: VERSION, ease: Ease::fit(&graded, dataset.movies.len(), stop)?, likes })
    }

    /// Checks a model that was stored, for a dataset of `movies` movies.
    ///
    /// # Errors
    /// The fault: another version or number of movies.
    pub fn check(&self, movies: usize) -> Result<(), String> {
        if self.version != VERSION {
            return Err(format!("has version {}, and this program reads {VERSION}: fit again", self.version));
        }
        if self.likes.len() != movies || !self.ease.fits(movies) {
            return Err("is not of this catalogue: fit again".to_owned());
        }
        Ok(())
    }

    /// Returns the history of each user as this model reads it.
    #[must_use]
    pub fn histories(dataset: &Dataset, known: &[u32]) -> Vec<History> {
        histories(dataset, known, Weighing::RECENT)
    }

    /// Returns the score of each of `movies` movies from a history; movies that came after the fit
    /// have 0. A history of dislikes alone finds no movie, so the most liked ones lead.
    #[must_use]
    pub fn scores(&self, history: &[(u32, f32)], movies: usize) -> Vec<f32> {
        let mut scores = vec![0.0; movies];
        if history.iter().all(|(_, weight)| *weight <= 0.0) {
            scores.iter_mut().zip(&self.likes).for_each(|(score, likes)| *score = *likes);
        } else {
            self.ease.add_scores(history, &mut scores);
        }
        scores
    }

    /// Returns what a watched movie says for (above 0) or against another one.
    #[must_use]
    pub fn between(&self, rated: u32, movie: u32) -> f32 {
        self.ease.between(rated, movie)
    }
}

/// Blends a score with the probabilities of dislike, neutral and like.
#[must_use]
pub fn blend(score: f32, probabilities: [f32; CLASSES]) -> f32 {
    let factor = (BLEND * (probabilities[2] - probabilities[0])).exp();
    if score > 0.0 { score * factor } else { score / factor }
}

/// Returns the candidates that can be among the `most` best after [`blend`], whatever their
/// probabilities are, so that these need not be predicted for all.
#[must_use]
pub fn can_lead(scores: &[f32], candidates: &[u32], most: usize) -> Vec<u32> {
    let widest = |score: f32, p: f32| blend(score, if p > 0.0 { [0.0, 0.0, 1.0] } else { [1.0, 0.0, 0.0] });
    let mut least: Vec<f32> = candidates.iter().map(|movie| widest(scores[*movie as usize], -1.0)).collect();
    if candidates.len() <= most || most == 0 {
        return candidates.to_vec();
    }
    let (_, bar, _) = least.select_nth_unstable_by(most - 1, |a, b| b.total_cmp(a));
    let bar = *bar;
    candidates.iter().copied().filter(|movie| widest(scores[*movie as usize], 1.0) >= bar).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use jhalak_common::dataset::{Label, Movie, Rating, User};

    #[test]
    fn likely_likes_rise_and_likely_dislikes_fall_whatever_the_sign() {
        for score in [0.4, -0.4] {
            assert!(blend(score, [0.0, 0.1, 0.9]) > score && blend(score, [0.9, 0.1, 0.0]) < score);
        }
        assert_eq!(blend(0.0, [0.9, 0.1, 0.0]), 0.0);
    }

    #[test]
    fn dislikes_speak_against_movies_of_the_same_viewers_and_never_for_any() {
        let rating = |user, movie, label| Rating { user, movie, label, half_stars: None };
        let movies = (0..4).map(|i| Movie { id: i.to_string(), ..Movie::default() }).collect();
        let users: Vec<User> = (0..900).map(|i| User { id: i.to_string(), ..User::default() }).collect();
        // Viewers watch 0 and 1, or 2 and 3; the last one liked 0 and disliked 2.
        let mut ratings: Vec<Rating> =
            (0..899).flat_map(|user| [0, 1].map(|i| rating(user, user % 2 * 2 + i, Label::Like))).collect();
        ratings.extend([rating(899, 0, Label::Like), rating(899, 2, Label::Dislike)]);
        let (name, genres) = ("d".to_owned(), Vec::new());
        let dataset = Dataset { name, synthetic: true, movies, users, ratings, times: Vec::new(), genres };
        let all: Vec<u32> = (0..dataset.ratings.len() as u32).collect();
        let model = WatchModel::fit(&dataset, &all, &AtomicBool::new(false)).expect("it is not stopped");
        let history = &WatchModel::histories(&dataset, &all)[899];
        let scores = model.scores(history, 4);
        assert!(scores[1] > 0.0 && scores[3] < 0.0, "{scores:?}");
        let disliked: Vec<(u32, f32)> = history.iter().copied().filter(|(_, weight)| *weight < 0.0).collect();
        assert_eq!(disliked.len(), 1);
        assert_eq!(model.scores(&disliked, 4), model.scores(&[], 4), "dislikes alone: the most liked movies");
    }

    /// The ten best of all are the ten best of those that can lead.
    #[test]
    fn no_movie_that_could_lead_is_left_out() {
        let random = &mut jhalak_nn::seeded(5, 0);
        let scores: Vec<f32> = (0..500).map(|_| random.normal()).collect();
        let all: Vec<u32> = (0..500).collect();
        let lead = can_lead(&scores, &all, 10);
        assert!(lead.len() < 200, "{}", lead.len());
        for _ in 0..20 {
            let like: Vec<f32> = (0..500).map(|_| random.uniform(0.0, 1.0)).collect();
            let mut best = all.clone();
            let score = |m: &u32| blend(scores[*m as usize], [1.0 - like[*m as usize], 0.0, like[*m as usize]]);
            best.sort_by(|a, b| score(b).total_cmp(&score(a)));
            assert!(best[..10].iter().all(|movie| lead.contains(movie)));
        }
        assert_eq!(can_lead(&scores, &all[..5], 10), all[..5]);
    }
}
