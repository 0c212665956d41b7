//! Class weights under which the most probable class brings the highest macro F1.

use crate::CLASSES;
use jhalak_common::evaluation::metrics::{Confusion, predicted_class, scores};

/// Steps to either side of 1 that a weight can take, each by [`RATIO`].
const STEPS: i32 = 24;
/// From 1/10 to 10 in 49 steps.
const RATIO: f64 = 1.1;
/// Neighbouring steps whose figures are averaged: the best of many noisy figures is a lucky one, the middle of the best region is not.
const BLUR: i32 = 2;

/// The weights of dislike, neutral and like (neutral is 1) that do best on these rows.
pub fn balance(probabilities: &[[f32; CLASSES]], labels: &[u8]) -> [f32; CLASSES] {
    let side = (2 * STEPS + 1) as usize;
    let weight = |step: usize| RATIO.powi(step as i32 - STEPS) as f32;
    let figures: &[f64] = &(0..side * side)
        .map(|cell| macro_f1(probabilities, labels, [weight(cell / side), 1.0, weight(cell % side)]))
        .collect::<Vec<_>>();
    let blurred = |dislike: usize, like: usize| {
        let near = |middle: usize| (-BLUR..=BLUR).map(move |d| (middle as i32 + d).clamp(0, 2 * STEPS) as usize);
        near(dislike).flat_map(|d| near(like).map(move |l| figures[d * side + l])).sum::<f64>()
    };
    let mut best = (f64::NEG_INFINITY, [1.0; CLASSES]);
    for (dislike, like) in (0..side * side).map(|cell| (cell / side, cell % side)) {
        let figure = blurred(dislike, like);
        if figure > best.0 {
            best = (figure, [weight(dislike), 1.0, weight(like)]);
        }
    }
    best.1
}

/// Probabilities times weights, made to sum to 1 again.
pub fn weighted(probabilities: [f32; CLASSES], weights: [f32; CLASSES]) -> [f32; CLASSES] {
    let products: [f32; CLASSES] = std::array::from_fn(|c| probabilities[c] * weights[c]);
    let sum: f32 = products.iter().sum();
    if sum > 0.0 { products.map(|p| p / sum) } else { probabilities }
}

fn macro_f1(probabilities: &[[f32; CLASSES]], labels: &[u8], weights: [f32; CLASSES]) -> f64 {
    let mut confusion = Confusion::default();
    for (p, &label) in probabilities.iter().zip(labels) {
        let products = std::array::from_fn(|c| p[c] * weights[c]);
        confusion[usize::from(label)][predicted_class(&products)] += 1;
    }
    scores(&confusion).macro_f1
}

#[cfg(test)]
mod tests {
    use super::*;
    use jhalak_nn::seeded;

    #[test]
    fn a_rare_class_gets_its_due() {
        let random = &mut seeded(1, 0);
        let (mut probabilities, mut labels) = (Vec::new(), Vec::new());
        for _ in 0..3000 {
            // A tenth are dislikes at most, and never the most probable class.
            let dislike = random.uniform(0.0, 0.3);
            let like = random.uniform(0.0, 1.0) * (1.0 - dislike);
            let p = [dislike, 1.0 - dislike - like, like];
            let drawn = random.uniform(0.0, 1.0);
            labels.push(if drawn < p[0] {
                0
            } else if drawn < p[0] + p[1] {
                1
            } else {
                2
            });
            probabilities.push(p);
        }
        let weights = balance(&probabilities, &labels);
        let f1 = |weights| macro_f1(&probabilities, &labels, weights);
        assert!(weights[0] > 1.5, "{weights:?}");
        assert!(f1(weights) > f1([1.0; 3]) + 0.03, "{} {}", f1(weights), f1([1.0; 3]));
        assert_eq!(weighted([0.2, 0.3, 0.5], [2.0, 1.0, 1.0]), [0.4 / 1.2, 0.3 / 1.2, 0.5 / 1.2]);
        assert_eq!(weighted([0.0; 3], [1.0; 3]), [0.0; 3]);
    }
}
