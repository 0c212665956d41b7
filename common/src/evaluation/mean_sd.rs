//! The mean and the standard deviation of a figure over the folds.

use serde::{Deserialize, Serialize};

/// Mean over the folds and standard deviation (population, as NumPy's default).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct MeanSd {
    /// Mean.
    pub mean: f64,
    /// Standard deviation.
    pub sd: f64,
}

impl MeanSd {
    /// Computes both; zeros for no values.
    #[must_use]
    pub fn of(values: &[f64]) -> Self {
        let n = values.len().max(1) as f64;
        let mean = values.iter().sum::<f64>() / n;
        Self { mean, sd: (values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n).sqrt() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deviation_is_that_of_the_population() {
        assert_eq!(MeanSd::of(&[1.0, 3.0]), MeanSd { mean: 2.0, sd: 1.0 });
    }
}
