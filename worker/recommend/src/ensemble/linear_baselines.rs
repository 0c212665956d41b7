//! Linear baselines on users and movies alone, in the same harness: what the honest model must beat.

use super::features::knowledge::labelled;
use super::linear::mixed_logit::{Effects, Labelled, Sides};
use super::settings::{EffectPenalties, Regime};
use super::{balance, sorted, stopped, views};
use crate::{CLASSES, RecommendError};
use jhalak_common::dataset::Dataset;
use jhalak_nn::seeded;
use serde::{Deserialize, Serialize};
use std::sync::atomic::AtomicBool;

/// Folds of the training pairs on which class weights are fitted.
const FOLDS: usize = 5;
/// scikit-learn's default penalty (C = 1) on every term.
const PENALTIES: EffectPenalties =
    EffectPenalties { user: 1.0, movie: 1.0, content: 1.0, slope: 1.0, attribute: 1.0, factor: 20.0 };
/// Factors of the matrix factorisation.
const FACTORS: usize = 8;

/// Which baseline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Baseline {
    /// Multinomial logistic regression on user and movie.
    Bias,
    /// The same, every class counting as much as the others.
    BiasClassWeighted,
    /// The same with user and movie factors: softmax matrix factorisation.
    MatrixFactorisation,
}

/// Fits the baseline on `train` and predicts `asked` (user, movie). Beside the probabilities come the class weights under which the
/// most probable class brings the highest macro F1 on inner folds, held out as the regime says.
///
/// # Errors
/// Indexes that name no rating, user or movie, too few pairs to hold any out, or `stop`.
pub fn predict(
    dataset: &Dataset,
    train: &[u32],
    asked: &[(u32, u32)],
    baseline: Baseline,
    regime: Regime,
    seed: u64,
    stop: &AtomicBool,
) -> Result<(Vec<[f32; CLASSES]>, [f32; CLASSES]), RecommendError> {
    let train = sorted(dataset, train)?;
    let fail = |reason: String| Err(RecommendError::Dataset { dataset: dataset.name.clone(), reason });
    let (users, movies) = (dataset.users.len(), dataset.movies.len());
    if let Some((user, movie)) = asked.iter().find(|(u, m)| *u as usize >= users || *m as usize >= movies) {
        return fail(format!("there is no user {user} or no movie {movie} to predict"));
    }
    let label = |pair: u32| labelled(dataset, pair);
    let answer = |known: &[u32], asked: &mut dyn Iterator<Item = (u32, u32)>| {
        stopped(stop)?;
        let known: Vec<Labelled> = known.iter().map(|&pair| label(pair)).collect();
        let sides = Sides { users, movies, content: &[], content_dim: 0, attributes: &[], attribute_dim: 0 };
        let factors = if baseline == Baseline::MatrixFactorisation { FACTORS } else { 0 };
        let weights = if baseline == Baseline::BiasClassWeighted { class_weights(&known) } else { [1.0; CLASSES] };
        let model = Effects::fit(&known, &sides, factors, &PENALTIES, weights, &mut seeded(seed, 1));
        let of = |(user, movie): (u32, u32)| model.probabilities(&sides, user as usize, movie as usize);
        Ok::<_, RecommendError>(asked.map(|pair| of(pair).map(|p| p as f32)).collect::<Vec<_>>())
    };
    let views = views::views(dataset, &train, regime, FOLDS, 1, &mut seeded(seed, 2));
    if views.is_empty() {
        return fail(format!("{} training pairs are too few to hold any out", train.len()));
    }
    let (mut held_out, mut labels) = (Vec::new(), Vec::new());
    for view in &views {
        let pairs: Vec<Labelled> = view.asked.iter().map(|&pair| label(pair)).collect();
        held_out.extend(answer(&view.known, &mut pairs.iter().map(|pair| (pair.user, pair.movie)))?);
        labels.extend(pairs.iter().map(|pair| pair.label));
    }
    let probabilities = answer(&train, &mut asked.iter().copied())?;
    Ok((probabilities, balance::balance(&held_out, &labels)))
}

/// Weights under which all classes count the same; classes that do not occur count nothing.
fn class_weights(pairs: &[Labelled]) -> [f64; CLASSES] {
    let mut counts = [0.0; CLASSES];
    pairs.iter().for_each(|pair| counts[usize::from(pair.label)] += 1.0);
    counts.map(|n: f64| if n > 0.0 { pairs.len() as f64 / (CLASSES as f64 * n) } else { 0.0 })
}
