//! The confusion matrix of one fold and its scores.

use serde::{Deserialize, Serialize};

use super::CLASSES;

/// Counts in the order dislike, neutral, like: rows are the actual class, columns the predicted
/// one.
pub type Confusion = [[u64; CLASSES]; CLASSES];

/// One value per class.
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

/// The scores of one confusion matrix. A class that never occurs has recall 0; a class that is
/// never predicted has precision 0.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// Share of correct predictions.
    pub accuracy: f64,
    /// Mean F1 over the classes that occur, as actual or predicted class.
    pub macro_f1: f64,
    /// Mean F1 over the classes, weighted by their frequency.
    pub weighted_f1: f64,
    /// Correct predictions among the predictions of a class.
    pub precision: PerClass<f64>,
    /// Correct predictions among the pairs of a class.
    pub recall: PerClass<f64>,
}

/// Computes the scores of a confusion matrix.
#[must_use]
pub fn scores(confusion: &Confusion) -> Scores {
    let ratio = |a: u64, b: u64| if b == 0 { 0.0 } else { a as f64 / b as f64 };
    let actual = confusion.map(|row| row.iter().sum::<u64>());
    let predicted: [u64; CLASSES] = std::array::from_fn(|c| confusion.iter().map(|row| row[c]).sum());
    let hits: [u64; CLASSES] = std::array::from_fn(|c| confusion[c][c]);
    let total = actual.iter().sum::<u64>();
    let occur = (0..CLASSES).filter(|&c| actual[c] + predicted[c] > 0).count();
    let f1: [f64; CLASSES] = std::array::from_fn(|c| ratio(2 * hits[c], actual[c] + predicted[c]));
    Scores {
        accuracy: ratio(hits.iter().sum(), total),
        macro_f1: f1.iter().sum::<f64>() / occur.max(1) as f64,
        weighted_f1: f1.iter().zip(actual).map(|(f1, n)| f1 * ratio(n, total)).sum(),
        precision: std::array::from_fn(|c| ratio(hits[c], predicted[c])).into(),
        recall: std::array::from_fn(|c| ratio(hits[c], actual[c])).into(),
    }
}

/// Returns the class with the highest probability; the first in a tie.
#[must_use]
pub fn predicted_class(probabilities: &[f32; CLASSES]) -> usize {
    (1..CLASSES).fold(0, |best, c| if probabilities[c] > probabilities[best] { c } else { best })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn scores_match_a_hand_computed_example() {
        let scores = scores(&[[1, 1, 0], [0, 3, 1], [2, 0, 2]]);
        assert_eq!(scores.accuracy, 0.6);
        assert_eq!(scores.recall, [0.5, 0.75, 0.5].into());
        assert_eq!(scores.precision, [1.0 / 3.0, 0.75, 2.0 / 3.0].into());
        let f1 = [0.4, 0.75, 4.0 / 7.0];
        assert!((scores.macro_f1 - (f1[0] + f1[1] + f1[2]) / 3.0).abs() < 1e-12);
        assert!((scores.weighted_f1 - (2.0 * f1[0] + 4.0 * f1[1] + 4.0 * f1[2]) / 10.0).abs() < 1e-12);
    }

    #[test]
    fn two_classes_are_averaged_over_two() {
        let scores = scores(&[[3, 0, 1], [0, 0, 0], [1, 0, 3]]);
        assert_eq!((scores.accuracy, scores.macro_f1), (0.75, 0.75));
    }

    #[test]
    fn empty_classes_give_zeros_and_ties_go_to_the_first() {
        let scores = scores(&Confusion::default());
        assert_eq!((scores.accuracy, scores.macro_f1), (0.0, 0.0));
        assert_eq!(predicted_class(&[0.4, 0.4, 0.2]), 0);
        assert_eq!(predicted_class(&[0.2, 0.3, 0.5]), 2);
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
