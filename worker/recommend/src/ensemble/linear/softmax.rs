//! Class probabilities from scores, in double precision.

use crate::CLASSES;

/// Turns scores into probabilities in place and returns the logarithm of the sum of their exponentials.
pub fn softmax(scores: &mut [f64; CLASSES]) -> f64 {
    let (highest, sum) = softmax_parts(scores);
    highest + sum.ln()
}

/// Turns scores into probabilities in place. Returns the highest score, and the sum of the exponentials of what the others fall short of it:
/// a number from 1 to [`CLASSES`], whose logarithm is left to the caller.
#[inline(always)]
pub fn softmax_parts(scores: &mut [f64; CLASSES]) -> (f64, f64) {
    let highest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let exponentials = scores.map(|s| if s == highest { 1.0 } else { (s - highest).exp() });
    let sum: f64 = exponentials.iter().sum();
    *scores = exponentials.map(|e| e / sum);
    (highest, sum)
}

/// Shares of the classes among counts, joined by `strength` pairs that are spread as `prior`.
pub fn smoothed(counts: [f64; CLASSES], prior: [f64; CLASSES], strength: f64) -> [f64; CLASSES] {
    let all: f64 = counts.iter().sum::<f64>() + strength;
    std::array::from_fn(|c| if all > 0.0 { (counts[c] + strength * prior[c]) / all } else { prior[c] })
}

/// Mean of minus the logarithm of the probability that was given to what happened.
pub fn log_loss(probabilities: &[[f32; CLASSES]], labels: &[u8]) -> f64 {
    let loss = |(p, &y): (&[f32; CLASSES], &u8)| -f64::from(p[usize::from(y)]).max(1e-9).ln();
    probabilities.iter().zip(labels).map(loss).sum::<f64>() / labels.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_scores_do_not_overflow() {
        let mut scores = [1000.0, 1001.0, -1000.0];
        let log_sum = softmax(&mut scores);
        assert!((log_sum - 1_001.313_261_687_5).abs() < 1e-9, "{log_sum}");
        assert!((scores.iter().sum::<f64>() - 1.0).abs() < 1e-12 && scores[2] == 0.0);
    }

    #[test]
    fn few_counts_stay_near_the_prior() {
        assert_eq!(smoothed([0.0, 0.0, 1.0], [0.25, 0.5, 0.25], 3.0), [0.1875, 0.375, 0.4375]);
        assert_eq!(smoothed([0.0; 3], [0.2, 0.5, 0.3], 0.0), [0.2, 0.5, 0.3]);
    }
}
