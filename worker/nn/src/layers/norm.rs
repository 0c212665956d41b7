//! Layer normalization over the features of each row.

use super::buffer::resize;
use crate::optimizer::OptimizerState;
use crate::parameter::Parameter;

/// PyTorch's default.
const EPS: f32 = 1e-5;

/// `y = gamma (x - mean) / sqrt(var + 1e-5) + beta`, mean and variance over the features of a row.
///
/// Output rows may start `stride` elements apart, so that a block can write into its part of a
/// concatenation.
#[derive(Clone, Debug)]
pub struct LayerNorm {
    /// gamma.
    pub weight: Parameter,
    /// beta.
    pub bias: Parameter,
    /// (x - mean) / sqrt(var + eps) of the last forward pass.
    normalized: Vec<f32>,
    /// 1 / sqrt(var + eps), one element per row.
    scale: Vec<f32>,
    /// Gradients of gamma, then of beta.
    sums: Vec<f32>,
}

impl LayerNorm {
    /// Initializes gamma to 1 and beta to 0.
    #[must_use]
    pub fn new(features: usize) -> Self {
        Self {
            weight: Parameter::constant(features, 1.0),
            bias: Parameter::constant(features, 0.0),
            normalized: Vec::new(),
            scale: Vec::new(),
            sums: Vec::new(),
        }
    }

    /// Normalizes `rows` rows of `x` into `y`, whose rows start `stride` elements apart.
    ///
    /// # Panics
    /// If a slice is too short.
    pub fn forward(&mut self, x: &[f32], rows: usize, y: &mut [f32], stride: usize) {
        let features = self.weight.value.len();
        resize(&mut self.normalized, rows * features);
        resize(&mut self.scale, rows);
        for r in 0..rows {
            let x = &x[r * features..(r + 1) * features];
            let normalized = &mut self.normalized[r * features..(r + 1) * features];
            let mean = sum(x) / features as f32;
            for (n, x) in normalized.iter_mut().zip(x) {
                *n = x - mean;
            }
            let scale = 1.0 / (dot(normalized, normalized) / features as f32 + EPS).sqrt();
            self.scale[r] = scale;
            let y = &mut y[r * stride..r * stride + features];
            for (((y, n), gamma), beta) in y.iter_mut().zip(normalized).zip(&self.weight.value).zip(&self.bias.value) {
                *n *= scale;
                *y = gamma * *n + beta;
            }
        }
    }

    /// Writes the gradient with respect to the input of the last forward pass to `dx` (without
    /// gaps), from `dy`, whose rows start `stride` elements apart.
    ///
    /// # Panics
    /// If a slice is too short.
    pub fn backward(&mut self, dy: &[f32], stride: usize, rows: usize, dx: &mut [f32], optimizer: &mut OptimizerState) {
        let features = self.weight.value.len();
        resize(&mut self.sums, 2 * features);
        self.sums.fill(0.0);
        let (dgamma, dbeta) = self.sums.split_at_mut(features);
        for r in 0..rows {
            let dy = &dy[r * stride..r * stride + features];
            let normalized = &self.normalized[r * features..(r + 1) * features];
            let dx = &mut dx[r * features..(r + 1) * features];
            for ((((dx, dy), n), gamma), (dg, db)) in dx
                .iter_mut()
                .zip(dy)
                .zip(normalized)
                .zip(&self.weight.value)
                .zip(dgamma.iter_mut().zip(dbeta.iter_mut()))
            {
                *dg += dy * n;
                *db += dy;
                *dx = dy * gamma;
            }
            let (mean, projection) = (sum(dx) / features as f32, dot(dx, normalized) / features as f32);
            let scale = self.scale[r];
            for (dx, n) in dx.iter_mut().zip(normalized) {
                *dx = scale * (*dx - mean - n * projection);
            }
        }
        optimizer.update(&mut self.weight, 0, dgamma);
        optimizer.update(&mut self.bias, 0, dbeta);
    }

    /// Visits gamma and beta with their PyTorch names under `prefix`.
    pub fn parameters(&mut self, prefix: &str, visit: &mut dyn FnMut(&str, &mut Parameter)) {
        visit(&format!("{prefix}.weight"), &mut self.weight);
        visit(&format!("{prefix}.bias"), &mut self.bias);
    }
}

/// Sums use eight lanes, which fit one register, in the same order on every machine.
const LANES: usize = 8;

fn sum(x: &[f32]) -> f32 {
    let (chunks, rest) = x.as_chunks::<LANES>();
    let mut lanes = [0.0; LANES];
    for chunk in chunks {
        for (lane, x) in lanes.iter_mut().zip(chunk) {
            *lane += x;
        }
    }
    lanes.iter().chain(rest).sum()
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    let mut lanes = [0.0; LANES];
    for (a, b) in a.iter().zip(b) {
        for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
            *lane += a * b;
        }
    }
    lanes.iter().sum::<f32>() + a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum::<f32>()
}
