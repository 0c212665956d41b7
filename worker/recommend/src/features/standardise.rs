//! Columns brought to zero mean and unit variance.

/// Standardised values beyond this are cut off: outliers must not carry a prediction away.
const FARTHEST: f64 = 5.0;

/// How one column is scaled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scale {
    mean: f64,
    /// One over the standard deviation; 0 for a column that does not vary.
    factor: f64,
}

impl Scale {
    /// The scale of every column of `rows` (row-major, `dims` wide) over the `fitted` rows; NaN is passed over.
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
        if x.is_nan() { 0.0 } else { ((x - self.mean) * self.factor).clamp(-FARTHEST, FARTHEST) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_fitted_rows_make_the_scale_and_missing_is_the_mean() {
        let mut rows = [1.0, 5.0, 3.0, 5.0, 1000.0, 5.0, f64::NAN, 7.0];
        let scales = Scale::learn(&rows, 2, &[true, true, false, true]);
        Scale::apply(&scales, &mut rows);
        assert_eq!(rows[0..2], [-1.0, rows[1]]);
        assert_eq!((rows[2], rows[4], rows[6]), (1.0, FARTHEST, 0.0));
    }
}
