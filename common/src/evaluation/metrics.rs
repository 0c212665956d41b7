//! Accuracy, F1, recall and confusion matrices, of one fold and of a cell.
//!
//! Micro-averaged precision, recall and F1 all equal accuracy (erratum 6), so they are not among these.

use super::CLASSES;
use super::result::{FoldResult, PartKind};
use serde::{Deserialize, Serialize};

/// Counts in the order dislike, neutral, like: rows are the actual class, columns the predicted one.
pub type Confusion = [[u64; CLASSES]; CLASSES];

/// Mean over the folds and its standard deviation (population, as NumPy's default).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct MeanSd {
    /// Mean.
    pub mean: f64,
    /// Standard deviation.
    pub sd: f64,
}

impl MeanSd {
    /// Of these values; zeros for none.
    #[must_use]
    pub fn of(values: &[f64]) -> Self {
        let n = values.len().max(1) as f64;
        let mean = values.iter().sum::<f64>() / n;
        Self { mean, sd: (values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n).sqrt() }
    }
}

/// One value a class.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PerClass<T> {
    /// Dislike.
    pub dislike: T,
    /// Neutral.
    pub neutral: T,
    /// Like.
    pub like: T,
}

impl<T> From<[T; CLASSES]> for PerClass<T> {
    fn from([dislike, neutral, like]: [T; CLASSES]) -> Self {
        Self { dislike, neutral, like }
    }
}

/// The figures of one confusion matrix. A class that never occurs has recall 0, one never predicted has precision 0.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// Share of right predictions.
    pub accuracy: f64,
    /// Mean of the classes' F1.
    pub macro_f1: f64,
    /// Mean of the classes' F1, weighted by how often each occurs.
    pub weighted_f1: f64,
    /// Right predictions among those of a class.
    pub precision: PerClass<f64>,
    /// Right predictions among the pairs of a class.
    pub recall: PerClass<f64>,
}

/// Works out the figures of a confusion matrix.
#[must_use]
pub fn scores(confusion: &Confusion) -> Scores {
    let ratio = |a: u64, b: u64| if b == 0 { 0.0 } else { a as f64 / b as f64 };
    let actual = confusion.map(|row| row.iter().sum::<u64>());
    let predicted: [u64; CLASSES] = std::array::from_fn(|c| confusion.iter().map(|row| row[c]).sum());
    let hits: [u64; CLASSES] = std::array::from_fn(|c| confusion[c][c]);
    let total = actual.iter().sum::<u64>();
    let f1: [f64; CLASSES] = std::array::from_fn(|c| ratio(2 * hits[c], actual[c] + predicted[c]));
    Scores {
        accuracy: ratio(hits.iter().sum(), total),
        macro_f1: f1.iter().sum::<f64>() / CLASSES as f64,
        weighted_f1: f1.iter().zip(actual).map(|(f1, n)| f1 * ratio(n, total)).sum(),
        precision: std::array::from_fn(|c| ratio(hits[c], predicted[c])).into(),
        recall: std::array::from_fn(|c| ratio(hits[c], actual[c])).into(),
    }
}

/// The class with the highest probability; the first of equals.
#[must_use]
pub fn predicted_class(probabilities: &[f32; CLASSES]) -> usize {
    (1..CLASSES).fold(0, |best, c| if probabilities[c] > probabilities[best] { c } else { best })
}

/// The same fold with classes chosen under its balance ([`FoldResult::balance`]); `None` where it has none.
#[must_use]
pub fn balanced(result: &FoldResult) -> Option<FoldResult> {
    let balance = result.balance?;
    let mut confusion = Confusion::default();
    for prediction in &result.predictions {
        let weighted = std::array::from_fn(|c| prediction.probabilities[c] * balance[c]);
        confusion[prediction.actual.index()][predicted_class(&weighted)] += 1;
    }
    Some(FoldResult { confusion, ..result.clone() })
}

/// One fold in a cell's summary.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FoldMetrics {
    /// Number of the fold, from 0.
    pub fold: usize,
    /// Its figures.
    #[serde(flatten)]
    pub scores: Scores,
    /// Its confusion matrix.
    pub confusion: Confusion,
    /// Epochs trained; 0 for a baseline without training.
    pub epochs: usize,
    /// The epoch whose weights were tested, from 1.
    pub best_epoch: usize,
    /// Pairs trained on, copies included.
    pub train_pairs: usize,
    /// Pairs tested.
    pub test_pairs: usize,
    /// Pairs left out, in training or testing, because their movie has no embedding.
    pub left_out_pairs: usize,
}

/// One part of the honest model over the folds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PartMetrics {
    /// What the row is of.
    pub kind: PartKind,
    /// The member's name, or that of the group of features.
    pub name: String,
    /// Share of right predictions.
    pub accuracy: MeanSd,
    /// Mean of the classes' F1.
    pub macro_f1: MeanSd,
    /// Mean log loss.
    pub log_loss: MeanSd,
    /// A member's mean weight in the stack.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<f64>,
}

/// What `jhalak evaluate --json` prints of a cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CellMetrics {
    /// Share of right predictions.
    pub accuracy: MeanSd,
    /// Mean of the classes' F1.
    pub macro_f1: MeanSd,
    /// Mean of the classes' F1, weighted by how often each occurs.
    pub weighted_f1: MeanSd,
    /// Mean recall a class.
    pub recall: PerClass<f64>,
    /// Mean precision a class.
    pub precision: PerClass<f64>,
    /// Sum of the folds' confusion matrices.
    pub confusion: Confusion,
    /// The honest model's parts, in the order of the folds' results.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<PartMetrics>,
    /// How many settings were tried on inner folds before the model's own were fixed.
    #[serde(default)]
    pub settings_tried: usize,
    /// The folds, in order.
    pub folds: Vec<FoldMetrics>,
}

/// Puts the folds of one cell together, in the order of their numbers.
#[must_use]
pub fn summarise(results: &[FoldResult]) -> CellMetrics {
    let mut folds: Vec<FoldMetrics> = results.iter().map(FoldMetrics::from).collect();
    folds.sort_by_key(|fold| fold.fold);
    let all = |of: fn(&Scores) -> f64| folds.iter().map(|fold| of(&fold.scores)).collect::<Vec<_>>();
    let mean = |of: fn(&Scores) -> f64| MeanSd::of(&all(of)).mean;
    let mut confusion = Confusion::default();
    for fold in &folds {
        for (sum, count) in confusion.as_flattened_mut().iter_mut().zip(fold.confusion.as_flattened()) {
            *sum += count;
        }
    }
    CellMetrics {
        accuracy: MeanSd::of(&all(|s| s.accuracy)),
        macro_f1: MeanSd::of(&all(|s| s.macro_f1)),
        weighted_f1: MeanSd::of(&all(|s| s.weighted_f1)),
        recall: [mean(|s| s.recall.dislike), mean(|s| s.recall.neutral), mean(|s| s.recall.like)].into(),
        precision: [mean(|s| s.precision.dislike), mean(|s| s.precision.neutral), mean(|s| s.precision.like)].into(),
        confusion,
        parts: parts(results),
        settings_tried: results.iter().map(|result| result.settings_tried).max().unwrap_or(0),
        folds,
    }
}

/// Every part that some fold has, over the folds that have it.
fn parts(results: &[FoldResult]) -> Vec<PartMetrics> {
    let mut names: Vec<(PartKind, &str)> = Vec::new();
    for part in results.iter().flat_map(|result| &result.parts) {
        if !names.contains(&(part.kind, part.name.as_str())) {
            names.push((part.kind, &part.name));
        }
    }
    let metrics = |(kind, name): (PartKind, &str)| {
        let rows = || results.iter().flat_map(|r| &r.parts).filter(move |p| p.kind == kind && p.name == name);
        let of = |f: fn(&Scores) -> f64| MeanSd::of(&rows().map(|p| f(&scores(&p.confusion))).collect::<Vec<_>>());
        let weights: Vec<f64> = rows().filter_map(|p| p.weight).collect();
        PartMetrics {
            kind,
            name: name.to_owned(),
            accuracy: of(|s| s.accuracy),
            macro_f1: of(|s| s.macro_f1),
            log_loss: MeanSd::of(&rows().map(|p| p.log_loss).collect::<Vec<_>>()),
            weight: (!weights.is_empty()).then(|| MeanSd::of(&weights).mean),
        }
    };
    names.into_iter().map(metrics).collect()
}

impl From<&FoldResult> for FoldMetrics {
    fn from(result: &FoldResult) -> Self {
        Self {
            fold: result.fold,
            scores: scores(&result.confusion),
            confusion: result.confusion,
            epochs: result.epochs,
            best_epoch: result.best_epoch,
            train_pairs: result.train_pairs,
            test_pairs: result.test_pairs,
            left_out_pairs: result.left_out_pairs,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn figures_by_hand() {
        let scores = scores(&[[1, 1, 0], [0, 3, 1], [2, 0, 2]]);
        assert_eq!(scores.accuracy, 0.6);
        assert_eq!(scores.recall, [0.5, 0.75, 0.5].into());
        assert_eq!(scores.precision, [1.0 / 3.0, 0.75, 2.0 / 3.0].into());
        let f1 = [0.4, 0.75, 4.0 / 7.0];
        assert!((scores.macro_f1 - (f1[0] + f1[1] + f1[2]) / 3.0).abs() < 1e-12);
        assert!((scores.weighted_f1 - (2.0 * f1[0] + 4.0 * f1[1] + 4.0 * f1[2]) / 10.0).abs() < 1e-12);
    }

    #[test]
    fn empty_classes_give_zeros_and_ties_go_to_the_first() {
        let scores = scores(&Confusion::default());
        assert_eq!((scores.accuracy, scores.macro_f1), (0.0, 0.0));
        assert_eq!(predicted_class(&[0.4, 0.4, 0.2]), 0);
        assert_eq!(predicted_class(&[0.2, 0.3, 0.5]), 2);
        assert_eq!(MeanSd::of(&[1.0, 3.0]), MeanSd { mean: 2.0, sd: 1.0 });
    }

    proptest! {
        #[test]
        fn every_figure_is_a_share_and_accuracy_is_weighted_recall(counts in proptest::array::uniform9(0_u64..100)) {
            let confusion: Confusion = std::array::from_fn(|r| std::array::from_fn(|c| counts[r * 3 + c]));
            let s = scores(&confusion);
            for x in [s.accuracy, s.macro_f1, s.weighted_f1, s.recall.dislike, s.precision.like] {
                prop_assert!((0.0..=1.0 + 1e-12).contains(&x));
            }
            let total: u64 = counts.iter().sum();
            if total > 0 {
                let share = |r: usize| confusion[r].iter().sum::<u64>() as f64 / total as f64;
                let weighted = share(0) * s.recall.dislike + share(1) * s.recall.neutral + share(2) * s.recall.like;
                prop_assert!((weighted - s.accuracy).abs() < 1e-9);
            }
        }
    }
}
