//! A Bayesian factorisation machine for ordered levels, fitted by Gibbs sampling.
//!
//! The latent score of user u and movie m is
//!
//! `U(u) + M(m) + sum_k P_k(u) Q_k(m) + noise`, with standard normal noise,
//!
//! and thresholds cut it into the levels of the ratings (ordered probit). U and P_k are sums of a
//! term of the user, of terms of the movies that the user rated, each over the root of their number
//! (implicit feedback, as in SVD++), and of terms of the user's attributes. M and Q_k are the same
//! with users and movies exchanged ("SVD++ flipped") and the movie's content. Every kind of term in
//! every dimension has a precision of its own, which is drawn too, so nothing has to be tuned.
//!
//! A prediction is the mean over draws. Given one side, the sums over each entity's pairs are all
//! that a draw of the other side needs (Rendle 2013, "Scaling factorization machines to relational
//! data"), so a sweep costs time in proportion to the ratings.

mod float_bytes;
mod levels;
mod normal;
mod side;
mod thresholds;

use super::linear::mixed_logit::{LabelledPair, SideInfo};
use super::settings::FactorisationSettings;
use crate::CLASSES;
use jhalak_nn::Random;
use normal::{cumulative, quantile};
use serde::{Deserialize, Serialize};
use side::{Dimension, Features};
use thresholds::Thresholds;

pub use levels::Levels;

/// Draws that are kept for predictions.
const KEPT: usize = 32;
/// Standard deviation of the starting values of factors: all at zero would be a saddle point.
const START: f64 = 0.1;

/// A fitted machine: its draws.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FactorisationMachine {
    /// Numbers of a row: the linear term, then the factors.
    width: usize,
    /// Classes of the levels that occur, ascending.
    classes: Vec<usize>,
    draws: Vec<Draw>,
}

/// One kept draw.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Draw {
    thresholds: Thresholds,
    /// users x width.
    #[serde(with = "float_bytes")]
    users: Vec<f32>,
    /// movies x width.
    #[serde(with = "float_bytes")]
    movies: Vec<f32>,
}

/// The prediction of the machine for a pair.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prediction {
    /// Class probabilities.
    pub probabilities: [f64; CLASSES],
    /// Mean of the latent score.
    pub mean: f64,
    /// Standard deviation of the latent score over the draws.
    pub spread: f64,
}

impl FactorisationMachine {
    /// Fits on `pairs`, whose levels are given in their order.
    pub fn fit(
        pairs: &[LabelledPair],
        levels: &Levels,
        side_info: &SideInfo<'_>,
        settings: &FactorisationSettings,
        random: &mut Random,
    ) -> Self {
        let mut counts = vec![0.0; levels.classes.len()];
        levels.of.iter().for_each(|&level| counts[usize::from(level)] += 1.0);
        let (user_features, movie_features) = features(pairs, side_info);
        let dimensions = |features: &Features, random: &mut Random| -> Vec<Dimension> {
            let spread = |k: usize| if k == 0 { 0.0 } else { START };
            (0..=settings.factors).map(|k| Dimension::new(features, spread(k), random)).collect()
        };
        let mut users = dimensions(&user_features, random);
        let mut movies = dimensions(&movie_features, random);
        let mut model = Self { width: settings.factors + 1, classes: levels.classes.clone(), draws: Vec::new() };
        let mut thresholds = Thresholds::of_counts(&counts);
        let mut scores = vec![0.0; pairs.len()];
        let mut residuals = vec![0.0; pairs.len()];
        let (ones, sweeps) = (vec![1.0; side_info.users.max(side_info.movies)], settings.sweeps);
        let keep = KEPT.min(sweeps.div_ceil(2)).max(1);
        let of_user: Vec<u32> = pairs.iter().map(|pair| pair.user).collect();
        let of_movie: Vec<u32> = pairs.iter().map(|pair| pair.movie).collect();
        let mut room = Room::default();
        for sweep in 0..sweeps {
            thresholds.step(&scores, &levels.of);
            draw_latent(&thresholds, &scores, &levels.of, &mut residuals, random);
            let before = residuals.clone();
            for k in 0..=settings.factors {
                let other = if k == 0 { &ones } else { &movies[k].sums };
                room.draw(&mut users[k], &user_features, (&of_user, &of_movie), other, &mut residuals, random);
                let other = if k == 0 { &ones } else { &users[k].sums };
                room.draw(&mut movies[k], &movie_features, (&of_movie, &of_user), other, &mut residuals, random);
            }
            // The latent values stay: what the residuals lost, the scores gained.
            for ((score, before), after) in scores.iter_mut().zip(&before).zip(&residuals) {
                *score += before - after;
            }
            // The second part of the sweeps is kept, in equal steps up to the last.
            let left = sweeps - 1 - sweep;
            let step = ((sweeps - sweeps / 3) / keep).max(1);
            if left % step == 0 && left / step < keep {
                model.draws.push(Draw { thresholds: thresholds.clone(), users: rows(&users), movies: rows(&movies) });
            }
        }
        model
    }

    /// Whether a stored machine is of so many users and movies, and its parts fit each other.
    pub fn is_of(&self, users: usize, movies: usize) -> bool {
        let thresholds = self.classes.len().saturating_sub(1);
        let fits = |draw: &Draw| {
            draw.users.len() == users * self.width
                && draw.movies.len() == movies * self.width
                && draw.thresholds.0.len() == thresholds
        };
        self.width > 0 && self.classes.iter().all(|class| *class < CLASSES) && self.draws.iter().all(fits)
    }

    /// Predicts a pair.
    pub fn predict(&self, user: usize, movie: usize) -> Prediction {
        let width = self.width;
        let (mut probabilities, mut sum, mut squares) = ([0.0; CLASSES], 0.0, 0.0);
        for draw in &self.draws {
            let (u, m) = (&draw.users[user * width..][..width], &draw.movies[movie * width..][..width]);
            let factors: f32 = u[1..].iter().zip(&m[1..]).map(|(a, b)| a * b).sum();
            let score = f64::from(u[0] + m[0] + factors);
            sum += score;
            squares += score * score;
            let mut below = 0.0;
            for (level, &class) in self.classes.iter().enumerate() {
                let up_to = draw.thresholds.0.get(level).map_or(1.0, |threshold| cumulative(threshold - score));
                probabilities[class] += (up_to - below).max(0.0);
                below = up_to;
            }
        }
        let n = self.draws.len().max(1) as f64;
        let all: f64 = probabilities.iter().sum::<f64>().max(f64::MIN_POSITIVE);
        let mean = sum / n;
        Prediction {
            probabilities: probabilities.map(|p| p / all),
            mean,
            spread: (squares / n - mean * mean).max(0.0).sqrt(),
        }
    }
}

/// Sums of one side's entities over their pairs.
#[derive(Default)]
struct Room {
    squares: Vec<f64>,
    products: Vec<f64>,
    before: Vec<f64>,
}

impl Room {
    /// Draws one dimension of one side, and updates the residuals.
    fn draw(
        &mut self,
        dimension: &mut Dimension,
        features: &Features,
        (own, others): (&[u32], &[u32]),
        other: &[f64],
        residuals: &mut [f64],
        random: &mut Random,
    ) {
        let entities = features.known.len();
        for sums in [&mut self.squares, &mut self.products] {
            sums.clear();
            sums.resize(entities, 0.0);
        }
        self.before.clone_from(&dimension.sums);
        for ((&own, &others), residual) in own.iter().zip(others).zip(&*residuals) {
            let x = other[others as usize];
            self.squares[own as usize] += x * x;
            self.products[own as usize] += x * residual;
        }
        dimension.draw(features, &self.squares, &mut self.products, random);
        for (before, sum) in self.before.iter_mut().zip(&dimension.sums) {
            *before = sum - *before;
        }
        for ((&own, &others), residual) in own.iter().zip(others).zip(residuals) {
            *residual -= self.before[own as usize] * other[others as usize];
        }
    }
}

/// Draws the latent values given the scores, and writes them minus the scores.
fn draw_latent(thresholds: &Thresholds, scores: &[f64], levels: &[u8], residuals: &mut [f64], random: &mut Random) {
    let last = thresholds.0.len();
    for ((score, &level), residual) in scores.iter().zip(levels).zip(residuals) {
        let level = usize::from(level);
        let (low, high) = thresholds.around(level);
        let low = if level == 0 { 0.0 } else { cumulative(low - score) };
        let high = if level == last { 1.0 } else { cumulative(high - score) };
        let p = low + (high - low) * f64::from(random.uniform(0.0, 1.0));
        *residual = quantile(p.clamp(1e-7, 1.0 - 1e-7));
    }
}

/// Returns the features of users and of movies.
fn features(pairs: &[LabelledPair], side_info: &SideInfo<'_>) -> (Features, Features) {
    let (mut of_user, mut of_movie) = (vec![0.0; side_info.users], vec![0.0; side_info.movies]);
    for pair in pairs {
        of_user[pair.user as usize] += 1.0;
        of_movie[pair.movie as usize] += 1.0;
    }
    let mut rated = vec![Vec::new(); side_info.movies];
    let mut raters = vec![Vec::new(); side_info.users];
    for pair in pairs {
        let (user, movie) = (pair.user as usize, pair.movie as usize);
        rated[movie].push((pair.user, 1.0 / f64::sqrt(of_user[user])));
        raters[user].push((pair.movie, 1.0 / f64::sqrt(of_movie[movie])));
    }
    let side = |counts: &[f64], mut sparse: Vec<Vec<(u32, f64)>>, dense: &[f64], width: usize| {
        sparse.retain(|column| !column.is_empty());
        let column = |i: usize| dense.iter().skip(i).step_by(width).copied().collect();
        let known = counts.iter().map(|n| *n > 0.0).collect();
        Features { known, sparse, dense: (0..width).map(column).collect() }
    };
    (
        side(&of_user, rated, side_info.attributes, side_info.attribute_dim),
        side(&of_movie, raters, side_info.content, side_info.content_dim),
    )
}

/// Returns entities x dimensions.
fn rows(dimensions: &[Dimension]) -> Vec<f32> {
    let entities = dimensions.first().map_or(0, |dimension| dimension.sums.len());
    (0..entities).flat_map(|entity| dimensions.iter().map(move |of| of.sums[entity] as f32)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use jhalak_nn::seeded;

    const SETTINGS: FactorisationSettings = FactorisationSettings { factors: 2, sweeps: 60 };
    /// The class of each level.
    const CLASS: [usize; 5] = [0, 0, 1, 2, 2];
    const PLAIN: SideInfo<'_> =
        SideInfo { users: 60, movies: 40, content: &[], content_dim: 0, attributes: &[], attribute_dim: 0 };

    /// Pairs with their levels.
    type Levelled = Vec<(LabelledPair, u8)>;

    /// Five levels by a planted taste: users and movies are of two kinds, and like their own.
    fn pairs() -> (Levelled, Levelled) {
        let random = &mut seeded(1, 0);
        let (mut train, mut test) = (Vec::new(), Vec::new());
        for user in 0..PLAIN.users as u32 {
            for movie in 0..PLAIN.movies as u32 {
                let own = if user % 2 == movie % 2 { 1.2 } else { -1.2 };
                let latent = own + f64::from(random.normal());
                let level = [-1.5, -0.5, 0.5, 1.5].iter().filter(|t| **t < latent).count() as u8;
                let pair = (LabelledPair { user, movie, label: CLASS[usize::from(level)] as u8 }, level);
                if random.below(3) == 0 { test.push(pair) } else { train.push(pair) }
            }
        }
        (train, test)
    }

    fn fit(train: &[(LabelledPair, u8)], info: &SideInfo<'_>, seed: u64) -> FactorisationMachine {
        let (pairs, of): (Vec<_>, Vec<_>) = train.iter().copied().unzip();
        let levels = Levels { of, classes: CLASS.to_vec() };
        FactorisationMachine::fit(&pairs, &levels, info, &SETTINGS, &mut seeded(seed, 0))
    }

    #[test]
    fn a_taste_that_only_factors_can_express_is_learned() {
        let (train, test) = pairs();
        let model = fit(&train, &PLAIN, 1);
        let likely = |(pair, _): &&(LabelledPair, u8)| {
            let p = model.predict(pair.user as usize, pair.movie as usize).probabilities;
            assert!((p.iter().sum::<f64>() - 1.0).abs() < 1e-9);
            (p[2] > p[0]) == (pair.user % 2 == pair.movie % 2)
        };
        let right = test.iter().filter(likely).count();
        assert!(right * 100 > test.len() * 97, "{right} of {}", test.len());
        let again = fit(&train, &PLAIN, 1);
        assert_eq!(model.predict(0, 0), again.predict(0, 0), "the same seed gives the same numbers");
        assert_ne!(model.predict(0, 0), fit(&train, &PLAIN, 2).predict(0, 0));
        let stored = serde_json::to_string(&model).expect("plain data");
        let read: FactorisationMachine = serde_json::from_str(&stored).expect("as written");
        assert_eq!(read, model, "storing keeps every bit");
        assert!(read.is_of(PLAIN.users, PLAIN.movies) && !read.is_of(PLAIN.users + 1, PLAIN.movies));
    }

    #[test]
    fn side_information_describes_users_and_movies_without_pairs() {
        let (mut train, _) = pairs();
        train.retain(|(pair, _)| pair.user > 1 && pair.movie > 1);
        let kind = |n: usize| (0..n).map(|i| if i % 2 == 0 { 1.0 } else { -1.0 }).collect::<Vec<f64>>();
        let (content, attributes) = (kind(PLAIN.movies), kind(PLAIN.users));
        let info = SideInfo { content: &content, content_dim: 1, attributes: &attributes, attribute_dim: 1, ..PLAIN };
        let model = fit(&train, &info, 1);
        let like = |user, movie| model.predict(user, movie).probabilities[2];
        assert!(like(0, 0) > 0.5 && like(0, 1) < 0.3 && like(1, 1) > 0.5, "{} {}", like(0, 0), like(0, 1));
    }

    #[test]
    fn one_level_and_no_pairs_give_probabilities() {
        let (train, _) = pairs();
        let pairs: Vec<_> = train.iter().map(|(pair, _)| *pair).collect();
        let fit = |pairs: &[LabelledPair], levels: Levels| {
            FactorisationMachine::fit(pairs, &levels, &PLAIN, &SETTINGS, &mut seeded(1, 0)).predict(0, 0).probabilities
        };
        assert_eq!(fit(&pairs, Levels { of: vec![0; pairs.len()], classes: vec![2] }), [0.0, 0.0, 1.0]);
        assert!(fit(&[], Levels { of: vec![], classes: vec![] }).iter().all(|p| p.is_finite()));
    }
}
