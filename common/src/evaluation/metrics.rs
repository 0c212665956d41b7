//! Accuracy, F1, recall and confusion matrices, of one fold and of a cell.
//!
//! Micro-averaged precision, recall and F1 all equal accuracy, so they are not included.

use super::calibration::Calibration;
pub use super::confusion::{Confusion, PerClass, Scores, predicted_class, scores};
pub use super::mean_sd::MeanSd;
use super::result::{FoldResult, PartKind};
use serde::{Deserialize, Serialize};

/// Returns the fold with classes chosen under its class weights ([`FoldResult::balance`]); `None`
/// if it has none.
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
    /// Its scores.
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

/// One part of the stacked ensemble over the folds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PartMetrics {
    /// The kind of the row.
    pub kind: PartKind,
    /// The name of the member or of the feature group.
    pub name: String,
    /// Share of correct predictions.
    pub accuracy: MeanSd,
    /// Mean F1 over the classes.
    pub macro_f1: MeanSd,
    /// Mean log loss.
    pub log_loss: MeanSd,
    /// A member's mean weight in the stack.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<f64>,
}

/// The output of `jhalak evaluate --json` for a cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CellMetrics {
    /// Share of correct predictions.
    pub accuracy: MeanSd,
    /// Mean F1 over the classes.
    pub macro_f1: MeanSd,
    /// Mean F1 over the classes, weighted by their frequency.
    pub weighted_f1: MeanSd,
    /// Mean recall per class.
    pub recall: PerClass<f64>,
    /// Mean precision per class.
    pub precision: PerClass<f64>,
    /// Log loss, Brier score and calibration error; `None` in results without predictions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibration: Option<Calibration>,
    /// Sum of the folds' confusion matrices.
    pub confusion: Confusion,
    /// The parts of the stacked ensemble, in the order of the fold results.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<PartMetrics>,
    /// Number of hyperparameter settings tried on inner folds before the model's were fixed.
    #[serde(default)]
    pub settings_tried: usize,
    /// The folds, in order.
    pub folds: Vec<FoldMetrics>,
}

impl CellMetrics {
    /// Returns the pairs tested, over the folds.
    #[must_use]
    pub fn tested_pairs(&self) -> usize {
        self.folds.iter().map(|fold| fold.test_pairs).sum()
    }

    /// Returns the pairs left out because their movie has no embedding. Every fold leaves out all
    /// of them, in training or testing.
    #[must_use]
    pub fn left_out_pairs(&self) -> usize {
        self.folds.iter().map(|fold| fold.left_out_pairs).max().unwrap_or(0)
    }
}

/// Combines the folds of one cell, in the order of their numbers.
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
        calibration: Calibration::of(results),
        confusion,
        parts: parts(results),
        settings_tried: results.iter().map(|result| result.settings_tried).max().unwrap_or(0),
        folds,
    }
}

/// Summarises each part over the folds that have it.
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
