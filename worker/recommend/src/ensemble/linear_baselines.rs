//! Linear baselines on users and movies alone, held out in the same way: the ensemble must beat
//! them.

use super::class_weights::fit_class_weights;
use super::features::knowledge::labelled_pair;
use super::linear::mixed_logit::{LabelledPair, MixedLogit, SideInfo};
use super::linear::softmax::log_loss;
use super::rows::{check_stop, sorted_pairs};
use super::settings::{ColdStart, TermPenalties};
use super::views::{OutOfFoldView, out_of_fold_views};
use crate::{CLASSES, RecommendError};
use jhalak_common::dataset::Dataset;
use jhalak_nn::seeded;
use serde::{Deserialize, Serialize};
use std::sync::atomic::AtomicBool;

/// Folds of the training pairs on which class weights are fitted.
const FOLDS: usize = 5;
/// scikit-learn's default penalty (C = 1) on every term but the factors.
pub(super) const PENALTIES: TermPenalties =
    TermPenalties { user: 1.0, movie: 1.0, content: 1.0, slope: 1.0, attribute: 1.0, factor: 20.0 };
/// Factors of the matrix factorisation and their penalty. Inner folds choose; without factors it is
/// the bias model, so it is not worse where factors do not help.
const CANDIDATES: [(usize, f64); 6] = [(0, 70.0), (4, 70.0), (8, 70.0), (8, 100.0), (16, 100.0), (16, 150.0)];
/// Inner folds that choose; one where there are more than [`MANY_PAIRS`], whose fifth decides as
/// well.
const CHOOSING_FOLDS: usize = 2;
const MANY_PAIRS: usize = 1_000_000;

/// The baselines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Baseline {
    /// Multinomial logistic regression on user and movie.
    Bias,
    /// The same with equal weight for every class.
    BiasClassWeighted,
    /// The same with user and movie factors, whose number and penalty inner folds choose: softmax
    /// matrix factorisation.
    MatrixFactorisation,
}

/// Fits the baseline on `train` and predicts `pairs` of (user, movie). Also returns the class
/// weights with the highest macro F1 on inner folds, which are held out by the cold-start rule.
///
/// # Errors
/// Indexes without a rating, user or movie, too few pairs to hold any out, or `stop`.
pub fn predict(
    dataset: &Dataset,
    train: &[u32],
    pairs: &[(u32, u32)],
    baseline: Baseline,
    cold_start: ColdStart,
    seed: u64,
    stop: &AtomicBool,
) -> Result<(Vec<[f32; CLASSES]>, [f32; CLASSES]), RecommendError> {
    let train = sorted_pairs(dataset, train)?;
    let fail = |reason: String| Err(RecommendError::Dataset { dataset: dataset.name.clone(), reason });
    let (users, movies) = (dataset.users.len(), dataset.movies.len());
    if let Some((user, movie)) = pairs.iter().find(|(u, m)| *u as usize >= users || *m as usize >= movies) {
        return fail(format!("user {user} or movie {movie} to predict does not exist"));
    }
    let fit_predict = |known: &[u32], pairs: &mut dyn Iterator<Item = (u32, u32)>, (factors, penalty): (usize, f64)| {
        check_stop(stop)?;
        let known: Vec<LabelledPair> = known.iter().map(|&pair| labelled_pair(dataset, pair)).collect();
        let side_info = SideInfo { users, movies, content: &[], content_dim: 0, attributes: &[], attribute_dim: 0 };
        let penalties = TermPenalties { factor: penalty, ..PENALTIES };
        let weights = if baseline == Baseline::BiasClassWeighted { class_weights(&known) } else { [1.0; CLASSES] };
        let model = MixedLogit::fit(&known, &side_info, factors, &penalties, weights, &mut seeded(seed, 1));
        let mut probabilities = Vec::new();
        for (user, movie) in pairs {
            let p = model.probabilities(&side_info, user as usize, movie as usize);
            probabilities.push(p.map(|p| p as f32));
        }
        Ok::<_, RecommendError>(probabilities)
    };
    let views = out_of_fold_views(dataset, &train, cold_start, FOLDS, 1, &mut seeded(seed, 2));
    if views.is_empty() {
        return fail(format!("{} training pairs are too few to hold any out", train.len()));
    }
    let held_out_of = |views: &[OutOfFoldView], factors: (usize, f64)| {
        let (mut held_out, mut labels) = (Vec::new(), Vec::new());
        for view in views {
            let pairs: Vec<LabelledPair> = view.held_out.iter().map(|&pair| labelled_pair(dataset, pair)).collect();
            held_out.extend(fit_predict(&view.known, &mut pairs.iter().map(|pair| (pair.user, pair.movie)), factors)?);
            labels.extend(pairs.iter().map(|pair| pair.label));
        }
        Ok::<_, RecommendError>((held_out, labels))
    };
    // What the chosen factors predict of the folds that chose them is not computed again.
    let (mut factors, mut held_out, mut labels) = (CANDIDATES[0], Vec::new(), Vec::new());
    let mut done = 0;
    if baseline == Baseline::MatrixFactorisation {
        done = if train.len() > MANY_PAIRS { 1 } else { CHOOSING_FOLDS }.min(views.len());
        let mut lowest = f64::INFINITY;
        for candidate in CANDIDATES {
            let (predicted, true_labels) = held_out_of(&views[..done], candidate)?;
            let loss = log_loss(&predicted, &true_labels);
            if loss < lowest {
                (lowest, factors, held_out, labels) = (loss, candidate, predicted, true_labels);
            }
        }
        if lowest == f64::INFINITY {
            done = 0;
        }
    }
    let (rest, rest_labels) = held_out_of(&views[done..], factors)?;
    held_out.extend(rest);
    labels.extend(rest_labels);
    let probabilities = fit_predict(&train, &mut pairs.iter().copied(), factors)?;
    Ok((probabilities, fit_class_weights(&held_out, &labels)))
}

/// Returns weights under which all classes count the same; a class that does not occur gets 0.
fn class_weights(pairs: &[LabelledPair]) -> [f64; CLASSES] {
    let mut counts = [0.0; CLASSES];
    pairs.iter().for_each(|pair| counts[usize::from(pair.label)] += 1.0);
    counts.map(|n: f64| if n > 0.0 { pairs.len() as f64 / (CLASSES as f64 * n) } else { 0.0 })
}
