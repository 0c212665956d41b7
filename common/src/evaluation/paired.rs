//! Compares two models on the pairs that both predicted.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::calibration::log_loss;
use super::confusion::{Confusion, predicted_class};
use super::result::{FoldResult, Prediction};
use crate::random::SplitMix;

/// Resamples of the bootstrap.
const RESAMPLES: usize = 2_000;

/// The share of resamples outside an interval, at either end.
const TAIL: f64 = 0.025;

/// The results of one model.
#[derive(Clone, Copy, Debug)]
pub struct Judged<'a> {
    /// Its folds.
    pub folds: &'a [FoldResult],
    /// Whether classes are chosen under the class weights of each fold ([`FoldResult::balance`]).
    pub balanced: bool,
}

impl<'a> From<&'a [FoldResult]> for Judged<'a> {
    fn from(folds: &'a [FoldResult]) -> Self {
        Judged { folds, balanced: false }
    }
}

impl Judged<'_> {
    fn class(&self, fold: &FoldResult, one: &Prediction) -> usize {
        match fold.balance.filter(|_| self.balanced) {
            None => predicted_class(&one.probabilities),
            Some(weights) => predicted_class(&std::array::from_fn(|c| one.probabilities[c] * weights[c])),
        }
    }
}

/// A difference with its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The difference over all pairs.
    pub mean: f64,
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

impl Interval {
    /// Whether the interval excludes zero.
    #[must_use]
    pub fn excludes_zero(&self) -> bool {
        self.low > 0.0 || self.high < 0.0
    }
}

/// The difference of two models, the first minus the second, on the pairs that both predicted.
///
/// Intervals are percentiles of 2,000 bootstrap samples of whole users, since the ratings of one
/// user are not independent. Each pair is compared with itself, whatever the fold that tested it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// Pairs compared.
    pub pairs: usize,
    /// Users of these pairs.
    pub users: usize,
    /// Of the accuracy, as a share.
    pub accuracy: Interval,
    /// Of the mean log loss; negative if the first is better.
    pub log_loss: Interval,
}

/// With fewer users a bootstrap over users says nothing.
pub const MIN_USERS: usize = 5;

impl Difference {
    /// Whether an interval of this difference excludes zero, and enough users stand behind it.
    #[must_use]
    pub fn tells(&self, of: &Interval) -> bool {
        self.users >= MIN_USERS && of.excludes_zero()
    }
}

/// A model's predictions of one pair, over the folds that tested it.
#[derive(Clone, Copy, Default)]
struct Outcome {
    count: f64,
    hits: f64,
    loss: f64,
}

fn outcomes(model: Judged<'_>) -> BTreeMap<(u32, u32), Outcome> {
    let mut outcomes: BTreeMap<(u32, u32), Outcome> = BTreeMap::new();
    let all = model.folds.iter().flat_map(|fold| fold.predictions.iter().map(move |one| (fold, one)));
    for (fold, prediction) in all {
        let outcome = outcomes.entry((prediction.user, prediction.movie)).or_default();
        let hit = model.class(fold, prediction) == prediction.actual.index();
        outcome.count += 1.0;
        outcome.hits += f64::from(u8::from(hit));
        outcome.loss += log_loss(prediction);
    }
    outcomes
}

/// Returns the pairs of user and movie that the folds test.
#[must_use]
pub fn tested_pairs(results: &[FoldResult]) -> BTreeSet<(u32, u32)> {
    results.iter().flat_map(|fold| &fold.predictions).map(|one| (one.user, one.movie)).collect()
}

/// Returns the folds of a model restricted to these test pairs, without folds that test none of
/// them and without the figures of the ensemble's parts.
#[must_use]
pub fn on_pairs(model: Judged<'_>, pairs: &BTreeSet<(u32, u32)>) -> Vec<FoldResult> {
    let restrict = |fold: &FoldResult| {
        let mut kept = FoldResult { parts: Vec::new(), confusion: Confusion::default(), ..fold.clone() };
        kept.predictions.retain(|one| pairs.contains(&(one.user, one.movie)));
        for one in &kept.predictions {
            kept.confusion[one.actual.index()][model.class(fold, one)] += 1;
        }
        kept.test_pairs = kept.predictions.len();
        kept
    };
    model.folds.iter().map(restrict).filter(|fold| fold.test_pairs > 0).collect()
}

/// Compares two models; `None` if no pair was predicted by both. The same results and seed give the
/// same intervals.
#[must_use]
pub fn difference(first: Judged<'_>, second: Judged<'_>, seed: u64) -> Option<Difference> {
    let (first, second) = (outcomes(first), outcomes(second));
    // Pairs, and the differences of hits and losses, of each user.
    let mut users: Vec<(u32, [f64; 3])> = Vec::new();
    for (pair, a) in &first {
        let Some(b) = second.get(pair) else { continue };
        let own = [1.0, a.hits / a.count - b.hits / b.count, a.loss / a.count - b.loss / b.count];
        match users.last_mut() {
            Some((user, sums)) if *user == pair.0 => sums.iter_mut().zip(own).for_each(|(sum, x)| *sum += x),
            _ => users.push((pair.0, own)),
        }
    }
    let sums: Vec<[f64; 3]> = users.into_iter().map(|(_, sums)| sums).collect();
    if sums.is_empty() {
        return None;
    }
    let total = |of: &mut dyn Iterator<Item = usize>| {
        let mut total = [0.0; 3];
        of.for_each(|user| total.iter_mut().zip(sums[user]).for_each(|(total, x)| *total += x));
        [total[1] / total[0], total[2] / total[0]]
    };
    let mean = total(&mut (0..sums.len()));
    let mut random = SplitMix::new(seed);
    let mut resampled = [Vec::with_capacity(RESAMPLES), Vec::with_capacity(RESAMPLES)];
    for _ in 0..RESAMPLES {
        let drawn = total(&mut (0..sums.len()).map(|_| below(&mut random, sums.len())));
        resampled.iter_mut().zip(drawn).for_each(|(values, value)| values.push(value));
    }
    let interval = |which: usize, values: &mut Vec<f64>| {
        values.sort_by(f64::total_cmp);
        let tail = (TAIL * values.len() as f64) as usize;
        Interval { mean: mean[which], low: values[tail], high: values[values.len() - 1 - tail] }
    };
    let [accuracy, losses] = &mut resampled;
    Some(Difference {
        pairs: sums.iter().map(|own| own[0] as usize).sum(),
        users: sums.len(),
        accuracy: interval(0, accuracy),
        log_loss: interval(1, losses),
    })
}

/// Draws a number from 0 to below `n`.
fn below(random: &mut SplitMix, n: usize) -> usize {
    ((u128::from(random.draw()) * n as u128) >> 64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::Label;
    use crate::evaluation::Prediction;

    /// Each user rates ten movies; a model is right on the first `right(user)` of them.
    fn folds(users: u32, right: impl Fn(u32) -> u32) -> Vec<FoldResult> {
        let one = |user: u32, movie: u32| Prediction {
            user,
            movie,
            actual: Label::Like,
            probabilities: if movie < right(user) { [0.1, 0.1, 0.8] } else { [0.8, 0.1, 0.1] },
        };
        let fold = |fold: u32| FoldResult {
            fold: fold as usize,
            predictions: (0..users)
                .flat_map(|user| (0..10).map(move |movie| (user, movie)))
                .filter(|(_, movie)| movie % 2 == fold)
                .map(|(user, movie)| one(user, movie))
                .collect(),
            ..FoldResult::default()
        };
        vec![fold(0), fold(1)]
    }

    fn difference(first: &[FoldResult], second: &[FoldResult], seed: u64) -> Option<Difference> {
        super::difference(first.into(), second.into(), seed)
    }

    /// Class weights decide, and not the probabilities.
    #[test]
    fn a_balanced_model_is_judged_by_its_weights() {
        let mut weighted = folds(10, |_| 0);
        weighted.iter_mut().for_each(|fold| fold.balance = Some([0.01, 1.0, 9.0]));
        let right = folds(10, |_| 10);
        let balanced = Judged { folds: &weighted, balanced: true };
        let found = super::difference(balanced, right.as_slice().into(), 1).expect("common pairs");
        assert_eq!(found.accuracy.mean, 0.0);
        assert_eq!(on_pairs(balanced, &tested_pairs(&right))[0].confusion[2], [0, 0, 50]);
    }

    #[test]
    fn a_model_is_equal_to_itself_and_a_better_one_is_distinguished() {
        let (weak, strong) = (folds(40, |user| 4 + user % 3), folds(40, |user| 6 + user % 3));
        let same = difference(&weak, &weak, 1).expect("common pairs");
        assert_eq!((same.accuracy.mean, same.accuracy.low, same.accuracy.high), (0.0, 0.0, 0.0));
        assert!(!same.accuracy.excludes_zero());
        let better = difference(&strong, &weak, 1).expect("common pairs");
        assert_eq!((better.pairs, better.users), (400, 40));
        assert!((better.accuracy.mean - 0.2).abs() < 1e-9 && better.accuracy.excludes_zero(), "{better:?}");
        assert!(better.log_loss.high < 0.0, "{better:?}");
        assert_eq!(difference(&strong, &weak, 1), Some(better));
    }

    /// With one user who differs, the interval over users reaches zero, whatever the user's pairs.
    #[test]
    fn one_user_is_one_observation() {
        let (even, odd) = (folds(20, |_| 5), folds(20, |user| if user == 0 { 10 } else { 5 }));
        let found = difference(&odd, &even, 3).expect("common pairs");
        assert!(found.accuracy.mean > 0.02 && !found.accuracy.excludes_zero(), "{found:?}");
    }

    #[test]
    fn restricted_folds_count_the_pairs_that_stay() {
        let all = folds(3, |_| 5);
        let pairs = tested_pairs(&all).into_iter().filter(|(user, movie)| *user == 1 && movie % 2 == 0).collect();
        let kept = on_pairs(all.as_slice().into(), &pairs);
        assert_eq!((kept.len(), kept[0].test_pairs, kept[0].confusion[2]), (1, 5, [2, 0, 3]));
        assert_eq!(difference(&kept, &folds(1, |_| 5), 0), None);
    }
}
