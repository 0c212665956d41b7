//! Layer normalisation over the features of each row.

use super::buffer::resize;
use crate::optimizer::Learner;
use crate::parameter::Parameter;

/// PyTorch's default.
const EPS: f32 = 1e-5;

/// `y = gamma (x - mean) / sqrt(var + 1e-5) + beta`, mean and variance over the features of a row.
///
/// Output rows may lie apart (`stride` numbers from one to the next), so that a block can write into its part of a concatenation.
#[derive(Clone, Debug)]
pub struct LayerNorm {
    /// gamma.
    pub weight: Parameter,
    /// beta.
    pub bias: Parameter,
    /// (x - mean) / sqrt(var + eps) of the last forward pass.
    normalised: Vec<f32>,
    /// 1 / sqrt(var + eps), one number a row.
    scale: Vec<f32>,
    /// Gradients of gamma and then beta.
    sums: Vec<f32>,
}

impl LayerNorm {
    /// gamma 1, beta 0.
    #[must_use]
    pub fn new(features: usize) -> Self {
        Self {
            weight: Parameter::constant(features, 1.0),
            bias: Parameter::constant(features, 0.0),
            normalised: Vec::new(),
            scale: Vec::new(),
            sums: Vec::new(),
        }
    }

    /// Normalises `rows` rows of `x` into `y`, whose rows start `stride` numbers apart.
    ///
    /// # Panics
    /// If a slice is too short.
    pub fn forward(&mut self, x: &[f32], rows: usize, y: &mut [f32], stride: usize) {
        let features = self.weight.value.len();
        resize(&mut self.normalised, rows * features);
        resize(&mut self.scale, rows);
        for r in 0..rows {
            let x = &x[r * features..(r + 1) * features];
            let normalised = &mut self.normalised[r * features..(r + 1) * features];
            let mean = sum(x) / features as f32;
            for (n, x) in normalised.iter_mut().zip(x) {
                *n = x - mean;
            }
            let scale = 1.0 / (dot(normalised, normalised) / features as f32 + EPS).sqrt();
            self.scale[r] = scale;
            let y = &mut y[r * stride..r * stride + features];
            for (((y, n), gamma), beta) in y.iter_mut().zip(normalised).zip(&self.weight.value).zip(&self.bias.value) {
                *n *= scale;
                *y = gamma * *n + beta;
            }
        }
    }

    /// Gradient by the input of the last forward pass into `dx` (without gaps), from `dy`, whose rows start `stride` apart.
    ///
    /// # Panics
    /// If a slice is too short.
    pub fn backward(&mut self, dy: &[f32], stride: usize, rows: usize, dx: &mut [f32], learner: &mut Learner) {
        let features = self.weight.value.len();
        resize(&mut self.sums, 2 * features);
        self.sums.fill(0.0);
        let (dgamma, dbeta) = self.sums.split_at_mut(features);
        for r in 0..rows {
            let dy = &dy[r * stride..r * stride + features];
            let normalised = &self.normalised[r * features..(r + 1) * features];
            let dx = &mut dx[r * features..(r + 1) * features];
            for ((((dx, dy), n), gamma), (dg, db)) in dx
                .iter_mut()
                .zip(dy)
                .zip(normalised)
                .zip(&self.weight.value)
                .zip(dgamma.iter_mut().zip(dbeta.iter_mut()))
            {
                *dg += dy * n;
                *db += dy;
                *dx = dy * gamma;
            }
            let (mean, projection) = (sum(dx) / features as f32, dot(dx, normalised) / features as f32);
            let scale = self.scale[r];
            for (dx, n) in dx.iter_mut().zip(normalised) {
                *dx = scale * (*dx - mean - n * projection);
            }
        }
        learner.learn(&mut self.weight, 0, dgamma);
        learner.learn(&mut self.bias, 0, dbeta);
    }

    /// Shows gamma and beta, named as PyTorch names them, under `prefix`.
    pub fn parameters(&mut self, prefix: &str, visit: &mut dyn FnMut(&str, &mut Parameter)) {
        visit(&format!("{prefix}.weight"), &mut self.weight);
        visit(&format!("{prefix}.bias"), &mut self.bias);
    }
}

/// Sums run in eight lanes, which the compiler can keep in one register, and in the same order on every machine.
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
