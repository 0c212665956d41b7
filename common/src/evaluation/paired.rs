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

/// A figure or a difference with its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The mean over the folds.
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
/// A figure is the mean over the folds, as in [`super::metrics::summarise`]: each fold has the same
/// weight, however many of the pairs it tests. Intervals are percentiles of 2,000 bootstrap samples
/// of whole users, since the ratings of one user are not independent.
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

/// The predictions of one user, summed up: each counts as one over the pairs of its fold.
#[derive(Clone, Copy, Default)]
struct Sums {
    weight: f64,
    hits: f64,
    loss: f64,
}

impl Sums {
    fn add(&mut self, other: &Sums) {
        self.weight += other.weight;
        self.hits += other.hits;
        self.loss += other.loss;
    }

    fn accuracy(&self) -> f64 {
        self.hits / self.weight
    }

    fn log_loss(&self) -> f64 {
        self.loss / self.weight
    }
}

/// Returns the sums of each user over the pairs that `counts` accepts.
fn by_user(model: Judged<'_>, counts: impl Fn(&Prediction) -> bool) -> BTreeMap<u32, Sums> {
    let mut users: BTreeMap<u32, Sums> = BTreeMap::new();
    for fold in model.folds {
        let counted = || fold.predictions.iter().filter(|one| counts(one));
        let weight = 1.0 / counted().count() as f64;
        for one in counted() {
            let hit = model.class(fold, one) == one.actual.index();
            let hits = if hit { weight } else { 0.0 };
            users.entry(one.user).or_default().add(&Sums { weight, hits, loss: weight * log_loss(one) });
        }
    }
    users
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
    let common = &tested_pairs(first.folds) & &tested_pairs(second.folds);
    if common.is_empty() {
        return None;
    }
    let sums = |model| by_user(model, |one| common.contains(&(one.user, one.movie)));
    let (first, second) = (sums(first), sums(second));
    // Both predict the same pairs, so they have the same users.
    let users: Vec<(Sums, Sums)> = first.into_values().zip(second.into_values()).collect();
    let [accuracy, log_loss] = bootstrap(users.len(), seed, |drawn| {
        let mut total = (Sums::default(), Sums::default());
        drawn.for_each(|user| {
            total.0.add(&users[user].0);
            total.1.add(&users[user].1);
        });
        [total.0.accuracy() - total.1.accuracy(), total.0.log_loss() - total.1.log_loss()]
    });
    Some(Difference { pairs: common.len(), users: users.len(), accuracy, log_loss })
}

/// Returns the accuracy of a model with its interval over draws of users; `None` with fewer than
/// [`MIN_USERS`]. The same results and seed give the same interval.
#[must_use]
pub fn accuracy(model: Judged<'_>, seed: u64) -> Option<Interval> {
    let users: Vec<Sums> = by_user(model, |_| true).into_values().collect();
    if users.len() < MIN_USERS {
        return None;
    }
    let [accuracy] = bootstrap(users.len(), seed, |drawn| {
        let mut total = Sums::default();
        drawn.for_each(|user| total.add(&users[user]));
        [total.accuracy()]
    });
    Some(accuracy)
}

/// Returns figures of `users` users, with the intervals of the same figures when users are drawn
/// again with replacement.
fn bootstrap<const N: usize>(
    users: usize,
    seed: u64,
    figures: impl Fn(&mut dyn Iterator<Item = usize>) -> [f64; N],
) -> [Interval; N] {
    let means = figures(&mut (0..users));
    let mut random = SplitMix::new(seed);
    let mut samples: [Vec<f64>; N] = std::array::from_fn(|_| Vec::with_capacity(RESAMPLES));
    for _ in 0..RESAMPLES {
        let drawn = figures(&mut (0..users).map(|_| below(&mut random, users)));
        samples.iter_mut().zip(drawn).for_each(|(values, value)| values.push(value));
    }
    let tail = (TAIL * RESAMPLES as f64) as usize;
    std::array::from_fn(|which| {
        let values = &mut samples[which];
        values.sort_by(f64::total_cmp);
        Interval { mean: means[which], low: values[tail], high: values[RESAMPLES - 1 - tail] }
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

    /// A difference is that of the printed figures, whatever the sizes of the folds and the folds
    /// of the other model.
    #[test]
    fn a_difference_is_that_of_the_means_over_the_folds() {
        let mut uneven = folds(12, |user| user % 7);
        let moved = uneven[0].predictions.split_off(9);
        uneven[1].predictions.extend(moved);
        let other = folds(12, |user| 3 + user % 5);
        let found = difference(&uneven, &other, 1).expect("common pairs");
        let all = tested_pairs(&other);
        let printed =
            [&uneven, &other].map(|of| super::super::metrics::summarise(&on_pairs(of.as_slice().into(), &all)));
        let [a, b] =
            printed.each_ref().map(|of| (of.accuracy.mean, of.calibration.expect("predictions").log_loss.mean));
        assert!((found.accuracy.mean - (a.0 - b.0)).abs() < 1e-12, "{found:?}");
        assert!((found.log_loss.mean - (a.1 - b.1)).abs() < 1e-12, "{found:?}");
        let alone = accuracy(uneven.as_slice().into(), 1).expect("twelve users");
        assert!((alone.mean - a.0).abs() < 1e-12 && alone.low < alone.mean && alone.mean < alone.high, "{alone:?}");
        assert_eq!(Some(alone), accuracy(uneven.as_slice().into(), 1));
        assert_eq!(accuracy(folds(4, |_| 3).as_slice().into(), 1), None, "too few users");
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
