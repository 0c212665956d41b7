//! The thresholds that cut the latent score into ordered levels.

use serde::{Deserialize, Serialize};

use super::normal::{cumulative, density, quantile};

/// Least probability of a level: keeps logarithms and quotients finite.
const LEAST: f64 = 1e-9;
/// Least distance of two thresholds.
const APART: f64 = 1e-3;

/// Ascending thresholds: level `l` is seen where the score lies between thresholds `l - 1` and `l`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Thresholds(pub Vec<f64>);

impl Thresholds {
    /// Places the thresholds where a standard normal score gives each level its count.
    pub fn of_counts(counts: &[f64]) -> Self {
        let all: f64 = counts.iter().sum::<f64>().max(1.0);
        let mut below = 0.0;
        let mut thresholds = Vec::new();
        for count in &counts[..counts.len().saturating_sub(1)] {
            below += count;
            thresholds.push(quantile((below / all).clamp(1e-6, 1.0 - 1e-6)));
        }
        let mut thresholds = Self(thresholds);
        thresholds.keep_apart();
        thresholds
    }

    /// Returns the thresholds below and above a level.
    #[inline]
    pub fn around(&self, level: usize) -> (f64, f64) {
        let low = if level == 0 { f64::NEG_INFINITY } else { self.0[level - 1] };
        (low, self.0.get(level).copied().unwrap_or(f64::INFINITY))
    }

    /// Takes one Newton step on the likelihood of the levels, given the scores. With thousands of
    /// pairs the thresholds are known to a few thousandths, so a step towards their mode replaces a
    /// draw.
    pub fn step(&mut self, scores: &[f64], levels: &[u8]) {
        let count = self.0.len();
        let (mut gradient, mut diagonal, mut beside) = (vec![0.0; count], vec![1.0; count], vec![0.0; count]);
        for (score, &level) in scores.iter().zip(levels) {
            let level = usize::from(level);
            let (low, high) = self.around(level);
            let (low, high) = (low - score, high - score);
            let upper = if level < count { cumulative(high) } else { 1.0 };
            let lower = if level > 0 { cumulative(low) } else { 0.0 };
            let p = (upper - lower).max(LEAST);
            let at_high = if level < count { density(high) / p } else { 0.0 };
            let at_low = if level > 0 { density(low) / p } else { 0.0 };
            if level < count {
                gradient[level] += at_high;
                diagonal[level] += at_high * (high + at_high);
            }
            if level > 0 {
                gradient[level - 1] -= at_low;
                diagonal[level - 1] += at_low * (at_low - low);
                if level < count {
                    beside[level] -= at_high * at_low;
                }
            }
        }
        // Tridiagonal elimination of (minus the Hessian) times the step = gradient.
        for i in 1..count {
            let factor = beside[i] / diagonal[i - 1];
            diagonal[i] -= factor * beside[i];
            gradient[i] -= factor * gradient[i - 1];
        }
        for i in (0..count).rev() {
            let next = if i + 1 < count { beside[i + 1] * gradient[i + 1] } else { 0.0 };
            gradient[i] = (gradient[i] - next) / diagonal[i];
        }
        for (threshold, step) in self.0.iter_mut().zip(&gradient) {
            *threshold += step.clamp(-0.5, 0.5);
        }
        self.keep_apart();
    }

    fn keep_apart(&mut self) {
        for i in 1..self.0.len() {
            self.0[i] = self.0[i].max(self.0[i - 1] + APART);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jhalak_nn::seeded;

    #[test]
    fn steps_find_the_thresholds_that_made_the_levels() {
        let random = &mut seeded(1, 0);
        let truth = [-0.8, 0.1, 1.2];
        let (mut scores, mut levels) = (Vec::new(), Vec::new());
        for _ in 0..20_000 {
            let score = 0.7 * f64::from(random.normal());
            let latent = score + f64::from(random.normal());
            scores.push(score);
            levels.push(truth.iter().filter(|t| **t < latent).count() as u8);
        }
        let mut found = Thresholds::of_counts(&[1.0; 4]);
        (0..10).for_each(|_| found.step(&scores, &levels));
        for (found, truth) in found.0.iter().zip(truth) {
            assert!((found - truth).abs() < 0.05, "{found} {truth}");
        }
    }
}
