//! Multi-head attention over one key, in its exact collapsed form.
//!
//! A softmax over a single key is 1 for any query, so MHA(q, k, v) = W_o (W_v v + b_v) + b_o for
//! any number of heads, and the query and key projections never receive a gradient (paper, sequence
//! length 1). They are neither stored nor initialized.

use super::buffer::{add, resize};
use super::linear::Linear;
use super::norm::LayerNorm;
use crate::optimizer::OptimizerState;
use crate::parameter::Parameter;
use crate::random::Random;

/// Multi-head attention over one key: two linear maps.
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
    /// Creates a layer of `dim` features in and out, initialized as PyTorch's
    /// `nn.MultiheadAttention`: Xavier's bound over the stacked 3d x d input projection, 1 /
    /// sqrt(d) for the output projection, biases 0.
    #[must_use]
    pub fn new(dim: usize, random: &mut Random) -> Self {
        let bound = (6.0 / (4 * dim).max(1) as f32).sqrt();
        let value =
            Linear::with_weights(dim, Parameter::uniform(dim * dim, bound, random), Parameter::constant(dim, 0.0));
        let mut output = Linear::new(dim, dim, random);
        output.bias.value.fill(0.0);
        Self { value, output, hidden: Vec::new(), dhidden: Vec::new() }
    }

    /// Writes the attention of any query over the one key in each row of `key` to `y`.
    ///
    /// # Panics
    /// If a slice is too short.
    pub fn forward(&mut self, key: &[f32], rows: usize, y: &mut [f32]) {
        resize(&mut self.hidden, rows * self.value.outputs());
        self.value.forward(key, rows, &mut self.hidden);
        self.output.forward(&self.hidden, rows, y);
    }

    /// Backward pass; `dkey` is the gradient with respect to the key, as `dx` in
    /// [`Linear::backward`].
    ///
    /// # Panics
    /// If a slice is too short.
    pub fn backward(
        &mut self,
        key: &[f32],
        dy: &[f32],
        rows: usize,
        dkey: Option<(&mut [f32], bool)>,
        optimizer: &mut OptimizerState,
    ) {
        resize(&mut self.dhidden, rows * self.value.outputs());
        self.output.backward(&self.hidden, dy, rows, Some((&mut self.dhidden, false)), optimizer);
        self.value.backward(key, &self.dhidden, rows, dkey, optimizer);
    }
}

/// `LayerNorm(q + attention(q over the one key kv))`.
#[derive(Clone, Debug)]
pub struct CrossBlock {
    /// The attention.
    pub attention: OneKeyAttention,
    /// The normalization.
    pub norm: LayerNorm,
    sum: Vec<f32>,
    dsum: Vec<f32>,
}

impl CrossBlock {
    /// Creates a block for queries and keys of `dim` features.
    #[must_use]
    pub fn new(dim: usize, random: &mut Random) -> Self {
        let attention = OneKeyAttention::new(dim, random);
        Self { attention, norm: LayerNorm::new(dim), sum: Vec::new(), dsum: Vec::new() }
    }

    /// Writes output rows to `y`, `stride` elements apart.
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

    /// Backward pass to the weights only: neither query nor key is trained. The rows of `dy` start
    /// `stride` elements apart.
    ///
    /// # Panics
    /// If a slice is too short.
    pub fn backward(&mut self, key: &[f32], dy: &[f32], stride: usize, rows: usize, optimizer: &mut OptimizerState) {
        resize(&mut self.dsum, self.sum.len());
        self.norm.backward(dy, stride, rows, &mut self.dsum, optimizer);
        self.attention.backward(key, &self.dsum, rows, None, optimizer);
    }

    /// Backward pass of a block whose query and key are the same rows `x`; `dx` is set to the
    /// gradient with respect to `x`.
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
        optimizer: &mut OptimizerState,
    ) {
        resize(&mut self.dsum, self.sum.len());
        self.norm.backward(dy, stride, rows, &mut self.dsum, optimizer);
        dx[..self.dsum.len()].copy_from_slice(&self.dsum);
        self.attention.backward(x, &self.dsum, rows, Some((dx, true)), optimizer);
    }

    /// Visits each parameter under `prefix`.
    pub fn parameters(&mut self, prefix: &str, visit: &mut dyn FnMut(&str, &mut Parameter)) {
        self.attention.value.parameters(&format!("{prefix}.value"), visit);
        self.attention.output.parameters(&format!("{prefix}.out"), visit);
        self.norm.parameters(&format!("{prefix}.norm"), visit);
    }
}
