//! Multi-head attention over one key, in its exact collapsed form.
//!
//! A softmax over a single key is 1 whatever the query is, so MHA(q, k, v) = W_o (W_v v + b_v) + b_o, for any number of heads; the
//! query and key projections never receive a gradient (paper, sequence length 1). They are therefore neither stored nor drawn.

use super::buffer::{add, resize};
use super::linear::Linear;
use super::norm::LayerNorm;
use crate::optimizer::Learner;
use crate::parameter::Parameter;
use crate::random::Random;

/// What multi-head attention with one key computes: two linear maps.
#[derive(Clone, Debug)]
pub struct OneKeyAttention {
    /// W_v and b_v: the last third of PyTorch's `in_proj_weight` and `in_proj_bias`.
    pub value: Linear,
    /// W_o and b_o: PyTorch's `out_proj`.
    pub output: Linear,
    hidden: Vec<f32>,
    dhidden: Vec<f32>,
}

impl OneKeyAttention {
    /// `dim` features in and out, initialised as PyTorch's `nn.MultiheadAttention`: Xavier's bound over the stacked 3d x d input
    /// projection, 1 / sqrt(d) for the output projection, biases 0.
    #[must_use]
    pub fn new(dim: usize, random: &mut Random) -> Self {
        let bound = (6.0 / (4 * dim).max(1) as f32).sqrt();
        let value =
            Linear::with_weights(dim, Parameter::uniform(dim * dim, bound, random), Parameter::constant(dim, 0.0));
        let mut output = Linear::new(dim, dim, random);
        output.bias.value.fill(0.0);
        Self { value, output, hidden: Vec::new(), dhidden: Vec::new() }
    }

    /// Attention of any query over the one key in each row of `key`, into `y`.
    ///
    /// # Panics
    /// If a slice is too short.
    pub fn forward(&mut self, key: &[f32], rows: usize, y: &mut [f32]) {
        resize(&mut self.hidden, rows * self.value.outputs());
        self.value.forward(key, rows, &mut self.hidden);
        self.output.forward(&self.hidden, rows, y);
    }

    /// Gradient by the key, if asked for, as in [`Linear::backward`].
    ///
    /// # Panics
    /// If a slice is too short.
    pub fn backward(
        &mut self,
        key: &[f32],
        dy: &[f32],
        rows: usize,
        dkey: Option<(&mut [f32], bool)>,
        learner: &mut Learner,
    ) {
        resize(&mut self.dhidden, rows * self.value.outputs());
        self.output.backward(&self.hidden, dy, rows, Some((&mut self.dhidden, false)), learner);
        self.value.backward(key, &self.dhidden, rows, dkey, learner);
    }
}

/// `LayerNorm(q + attention(q over the one key kv))`.
#[derive(Clone, Debug)]
pub struct CrossBlock {
    /// The attention.
    pub attention: OneKeyAttention,
    /// The normalisation.
    pub norm: LayerNorm,
    sum: Vec<f32>,
    dsum: Vec<f32>,
}

impl CrossBlock {
    /// Queries and keys of `dim` features.
    #[must_use]
    pub fn new(dim: usize, random: &mut Random) -> Self {
        let attention = OneKeyAttention::new(dim, random);
        Self { attention, norm: LayerNorm::new(dim), sum: Vec::new(), dsum: Vec::new() }
    }

    /// Writes rows that start `stride` numbers apart into `y`.
    ///
    /// # Panics
    /// If a slice is too short.
    pub fn forward(&mut self, query: &[f32], key: &[f32], rows: usize, y: &mut [f32], stride: usize) {
        let numbers = rows * self.attention.output.outputs();
        resize(&mut self.sum, numbers);
        self.attention.forward(key, rows, &mut self.sum);
        add(&mut self.sum, &query[..numbers]);
        self.norm.forward(&self.sum, rows, y, stride);
    }

    /// Backward pass to the weights alone: neither query nor key is trained. `dy` has rows `stride` numbers apart.
    ///
    /// # Panics
    /// If a slice is too short.
    pub fn backward(&mut self, key: &[f32], dy: &[f32], stride: usize, rows: usize, learner: &mut Learner) {
        resize(&mut self.dsum, self.sum.len());
        self.norm.backward(dy, stride, rows, &mut self.dsum, learner);
        self.attention.backward(key, &self.dsum, rows, None, learner);
    }

    /// Backward pass of a block whose query and key are the same rows `x`; `dx` becomes the gradient by them.
    ///
    /// # Panics
    /// If a slice is too short.
    pub fn backward_self(
        &mut self,
        x: &[f32],
        dy: &[f32],
        stride: usize,
        rows: usize,
        dx: &mut [f32],
        learner: &mut Learner,
    ) {
        resize(&mut self.dsum, self.sum.len());
        self.norm.backward(dy, stride, rows, &mut self.dsum, learner);
        dx[..self.dsum.len()].copy_from_slice(&self.dsum);
        self.attention.backward(x, &self.dsum, rows, Some((dx, true)), learner);
    }

    /// Shows every parameter under `prefix`.
    pub fn parameters(&mut self, prefix: &str, visit: &mut dyn FnMut(&str, &mut Parameter)) {
        self.attention.value.parameters(&format!("{prefix}.value"), visit);
        self.attention.output.parameters(&format!("{prefix}.out"), visit);
        self.norm.parameters(&format!("{prefix}.norm"), visit);
    }
}
