//! Standardisation of columns to zero mean and unit variance.

/// Standardised values are clamped to this, so that outliers do not dominate a prediction.
const MAX_DEVIATION: f64 = 5.0;

/// The scale of one column.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scale {
    mean: f64,
    /// One over the standard deviation; 0 for a column that does not vary.
    factor: f64,
}

impl Scale {
    /// Computes the scale of every column of `rows` (row-major, `dims` wide) over the `fitted`
    /// rows; skips NaN.
    pub fn learn(rows: &[f64], dims: usize, fitted: &[bool]) -> Vec<Scale> {
        let scale = |column: usize| {
            let cells = rows.iter().skip(column).step_by(dims).zip(fitted);
            let seen: Vec<f64> = cells.filter(|(x, fitted)| **fitted && !x.is_nan()).map(|(x, _)| *x).collect();
            let n = seen.len().max(1) as f64;
            let mean = seen.iter().sum::<f64>() / n;
            let sd = (seen.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n).sqrt();
            Scale { mean, factor: if sd > 1e-9 { 1.0 / sd } else { 0.0 } }
        };
        (0..dims).map(scale).collect()
    }

    /// Scales every row; NaN becomes 0, the mean.
    pub fn apply(scales: &[Scale], rows: &mut [f64]) {
        for row in rows.chunks_exact_mut(scales.len().max(1)) {
            for (x, scale) in row.iter_mut().zip(scales) {
                *x = scale.of(*x);
            }
        }
    }

    fn of(self, x: f64) -> f64 {
        if x.is_nan() { 0.0 } else { ((x - self.mean) * self.factor).clamp(-MAX_DEVIATION, MAX_DEVIATION) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_comes_from_fitted_rows_and_a_missing_value_is_the_mean() {
        let mut rows = [1.0, 5.0, 3.0, 5.0, 1000.0, 5.0, f64::NAN, 7.0];
        let scales = Scale::learn(&rows, 2, &[true, true, false, true]);
        Scale::apply(&scales, &mut rows);
        assert_eq!(rows[0..2], [-1.0, rows[1]]);
        assert_eq!((rows[2], rows[4], rows[6]), (1.0, MAX_DEVIATION, 0.0));
    }
}
