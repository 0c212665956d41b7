//! How well probabilities fit: log loss, Brier score and expected calibration error.

use serde::{Deserialize, Serialize};

use super::CLASSES;
use super::confusion::predicted_class;
use super::mean_sd::MeanSd;
use super::result::{FoldResult, Prediction};

/// Bins of the predicted probability, of equal width.
const BINS: usize = 15;

/// Figures of probabilities. Lower is better.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// Mean negative logarithm of the actual class's probability, over the folds.
    pub log_loss: MeanSd,
    /// Mean squared distance of the probabilities from the actual class (0 to 2), over the folds.
    pub brier: MeanSd,
    /// Expected calibration error: the mean gap between confidence and accuracy over 15 bins of
    /// confidence, over the pairs of all folds. From 0 to 1.
    pub ece: f64,
    /// Pairs whose actual class had a probability of 0. Their logarithm is cut at that of the
    /// smallest normal f32: each adds 87.3 to the sum, where an uncut log loss would be infinite.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cut_pairs: usize,
}

fn is_zero(count: &usize) -> bool {
    *count == 0
}

impl Calibration {
    /// Computes the figures; `None` if a result has no predictions.
    #[must_use]
    pub fn of(results: &[FoldResult]) -> Option<Self> {
        if results.is_empty() || results.iter().any(|fold| fold.predictions.is_empty()) {
            return None;
        }
        let over = |loss: fn(&Prediction) -> f64| {
            let mean =
                |fold: &FoldResult| fold.predictions.iter().map(loss).sum::<f64>() / fold.predictions.len() as f64;
            MeanSd::of(&results.iter().map(mean).collect::<Vec<_>>())
        };
        let all = results.iter().flat_map(|fold| &fold.predictions);
        let cut_pairs = all.filter(|one| one.probabilities[one.actual.index()] < f32::MIN_POSITIVE).count();
        Some(Self { log_loss: over(log_loss), brier: over(brier), ece: ece(results), cut_pairs })
    }
}

/// Returns the negative logarithm of the actual class's probability, which counts as at least the
/// smallest normal f32.
pub(super) fn log_loss(prediction: &Prediction) -> f64 {
    -f64::from(prediction.probabilities[prediction.actual.index()].max(f32::MIN_POSITIVE)).ln()
}

fn brier(prediction: &Prediction) -> f64 {
    let actual = prediction.actual.index();
    let square = |c: usize| (f64::from(prediction.probabilities[c]) - f64::from(u8::from(c == actual))).powi(2);
    (0..CLASSES).map(square).sum()
}

fn ece(results: &[FoldResult]) -> f64 {
    // Pairs, confidence and hits of each bin.
    let mut bins = [(0.0, 0.0, 0.0); BINS];
    let mut all = 0.0;
    for prediction in results.iter().flat_map(|fold| &fold.predictions) {
        let class = predicted_class(&prediction.probabilities);
        let confidence = f64::from(prediction.probabilities[class]);
        let bin = &mut bins[((confidence * BINS as f64) as usize).min(BINS - 1)];
        *bin = (bin.0 + 1.0, bin.1 + confidence, bin.2 + f64::from(u8::from(class == prediction.actual.index())));
        all += 1.0;
    }
    bins.iter().map(|(_, confidence, hits): &(f64, f64, f64)| (confidence - hits).abs()).sum::<f64>() / all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::Label;

    #[test]
    fn figures_match_a_hand_computed_example() {
        let one = |actual, probabilities| Prediction { user: 0, movie: 0, actual, probabilities };
        let fold = FoldResult {
            predictions: vec![one(Label::Like, [0.1, 0.1, 0.8]), one(Label::Dislike, [0.25, 0.25, 0.5])],
            ..FoldResult::default()
        };
        let found = Calibration::of(&[fold]).expect("it has predictions");
        assert!((found.log_loss.mean - (0.8f64.ln() + 0.25f64.ln()) / -2.0).abs() < 1e-6);
        assert!((found.brier.mean - (0.06 + 0.875) / 2.0).abs() < 1e-6);
        assert!((found.ece - (0.2 + 0.5) / 2.0).abs() < 1e-6);
        assert_eq!((found.cut_pairs, Calibration::of(&[FoldResult::default()])), (0, None));
        let sure = FoldResult { predictions: vec![one(Label::Like, [1.0, 0.0, 0.0])], ..FoldResult::default() };
        let found = Calibration::of(&[sure]).expect("it has a prediction");
        assert!(found.cut_pairs == 1 && (found.log_loss.mean - 87.3).abs() < 0.1, "{found:?}");
    }
}
