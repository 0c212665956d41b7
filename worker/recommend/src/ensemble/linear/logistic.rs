//! Multinomial logistic regression on a dense matrix, with an L2 penalty.

use super::dot::dot;
use super::lbfgs::minimise;
use super::softmax::softmax;
use crate::CLASSES;
use crate::ensemble::matrix::Matrix;
use serde::{Deserialize, Serialize};

/// Maximum number of L-BFGS steps.
const ITERATIONS: usize = 60;
/// Relative gain of a step below which fitting ends.
const TOLERANCE: f64 = 1e-5;
/// Standardised values are clamped to this, so that outliers do not dominate a prediction.
const MAX_DEVIATION: f64 = 4.0;

/// A fitted logistic regression.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Logistic {
    /// Mean and inverse standard deviation of each column.
    scales: Vec<(f64, f64)>,
    /// classes x (columns + 1), the intercept last.
    weights: Vec<f64>,
}

impl Logistic {
    /// Fits on standardised columns; a missing value counts as the mean. The penalty is relative to
    /// the sum of the losses.
    pub fn fit(matrix: &Matrix, labels: &[u8], l2: f64) -> Self {
        let columns = matrix.columns;
        let scales = (0..columns).map(|column| scale(matrix, column)).collect();
        let mut model = Self { scales, weights: vec![0.0; CLASSES * (columns + 1)] };
        let rows = model.standardise(matrix);
        let mut weights = std::mem::take(&mut model.weights);
        let curvature = vec![l2 + 0.2 * labels.len() as f64; weights.len()];
        minimise(&mut weights, &curvature, ITERATIONS, TOLERANCE, |w, gradient| {
            let mut loss = 0.0;
            for (i, (w, gradient)) in w.iter().zip(gradient.iter_mut()).enumerate() {
                let penalty = if i % (columns + 1) == columns { 0.0 } else { l2 };
                loss += 0.5 * penalty * w * w;
                *gradient = penalty * w;
            }
            for (row, &label) in rows.chunks_exact(columns + 1).zip(labels) {
                let mut d = scores(w, row);
                let own = d[usize::from(label)];
                loss += softmax(&mut d) - own;
                d[usize::from(label)] -= 1.0;
                for (gradient, d) in gradient.chunks_exact_mut(columns + 1).zip(d) {
                    gradient.iter_mut().zip(row).for_each(|(g, x)| *g += d * x);
                }
            }
            loss
        });
        model.weights = weights;
        model
    }

    /// Returns the class probabilities of each row.
    pub fn predict(&self, matrix: &Matrix) -> Vec<[f32; CLASSES]> {
        let probabilities = |row: &[f64]| {
            let mut scores = scores(&self.weights, row);
            softmax(&mut scores);
            scores.map(|p| p as f32)
        };
        self.standardise(matrix).chunks_exact(matrix.columns + 1).map(probabilities).collect()
    }

    /// Returns rows x (columns + 1); the last column is 1.
    fn standardise(&self, matrix: &Matrix) -> Vec<f64> {
        let mut rows = Vec::with_capacity(matrix.rows() * (matrix.columns + 1));
        for row in 0..matrix.rows() {
            for (&x, (mean, scale)) in matrix.row(row).iter().zip(&self.scales) {
                let x = (f64::from(x) - mean) * scale;
                rows.push(if x.is_nan() { 0.0 } else { x.clamp(-MAX_DEVIATION, MAX_DEVIATION) });
            }
            rows.push(1.0);
        }
        rows
    }
}

fn scale(matrix: &Matrix, column: usize) -> (f64, f64) {
    let values =
        || matrix.values.iter().skip(column).step_by(matrix.columns).filter(|x| !x.is_nan()).map(|&x| f64::from(x));
    let n = values().count().max(1) as f64;
    let mean = values().sum::<f64>() / n;
    let sd = (values().map(|x| (x - mean).powi(2)).sum::<f64>() / n).sqrt();
    (mean, if sd > 1e-9 { 1.0 / sd } else { 0.0 })
}

fn scores(weights: &[f64], row: &[f64]) -> [f64; CLASSES] {
    let mut weights = weights.chunks_exact(row.len());
    std::array::from_fn(|_| weights.next().map_or(0.0, |weights| dot(weights, row)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use jhalak_nn::seeded;

    #[test]
    fn a_slope_is_fitted_and_missing_values_predict_the_mean() {
        let random = &mut seeded(1, 0);
        let (mut values, mut labels) = (Vec::new(), Vec::new());
        for _ in 0..3000 {
            let x = random.uniform(-2.0, 2.0);
            values.extend([x, f32::NAN]);
            labels.push(if random.uniform(-1.0, 1.0) < x { 2 } else { 0 });
        }
        let matrix = Matrix { values, columns: 2 };
        let model = Logistic::fit(&matrix, &labels, 1.0);
        let ask = Matrix { values: vec![-1.5, 0.0, 0.0, f32::NAN, 1.5, 1.0], columns: 2 };
        let p = model.predict(&ask);
        assert!(p[0][2] < 0.1 && (p[1][2] - 0.5).abs() < 0.05 && p[2][2] > 0.9, "{p:?}");
        assert!(p.iter().all(|p| p[1] < 0.01), "a class that never occurs");
    }
}
