//! The fully connected layer.

use super::matrix::{View, product};
use super::{Learner, Parameter, Random};

/// Numbers of one gradient tile: 384 KiB, so that it stays in a second-level cache. Of 64 KiB to 1 MiB, measured on Zen 3, tiles of
/// this size and above trained fastest, a fifth faster than 64 KiB.
const TILE: usize = 96 * 1024;

/// `y = x W^T + b` for every row, W of `outputs x inputs`.
#[derive(Clone, Debug)]
pub struct Linear {
    /// W, row-major, outputs x inputs.
    pub weight: Parameter,
    /// b, one number an output.
    pub bias: Parameter,
    inputs: usize,
    outputs: usize,
    /// Transposed rows: the batch is the dimension that fills the processor's vectors, and W is then read in place, unpacked.
    across: Vec<f32>,
    /// The other side's transposed rows.
    along: Vec<f32>,
}

impl Linear {
    /// PyTorch's initialisation: weights and biases uniform within 1 / sqrt(inputs).
    #[must_use]
    pub fn new(inputs: usize, outputs: usize, random: &mut Random) -> Self {
        let bound = 1.0 / (inputs.max(1) as f32).sqrt();
        let weight = Parameter::uniform(inputs * outputs, bound, random);
        Self::with_weights(inputs, weight, Parameter::uniform(outputs, bound, random))
    }

    /// The given weights (outputs x inputs) and biases (outputs).
    ///
    /// # Panics
    /// If there are not `inputs * outputs` weights.
    #[must_use]
    pub fn with_weights(inputs: usize, weight: Parameter, bias: Parameter) -> Self {
        let outputs = bias.value.len();
        assert_eq!(weight.value.len(), inputs * outputs, "weights of a {inputs} -> {outputs} layer");
        Self { weight, bias, inputs, outputs, across: Vec::new(), along: Vec::new() }
    }

    /// Features of an input row.
    #[must_use]
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Features of an output row.
    #[must_use]
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// Writes `rows` output rows to `y` for the input rows in `x`.
    ///
    /// # Panics
    /// If a slice is too short.
    pub fn forward(&mut self, x: &[f32], rows: usize, y: &mut [f32]) {
        let (inputs, outputs) = (self.inputs, self.outputs);
        super::resize(&mut self.across, rows * inputs);
        super::resize(&mut self.along, rows * outputs);
        transpose(&x[..rows * inputs], rows, inputs, &mut self.across);
        let weight = View::new(&self.weight.value, outputs, inputs);
        product(&mut self.along, false, weight, View::new(&self.across, inputs, rows));
        transpose(&self.along, outputs, rows, y);
        for row in y[..rows * outputs].chunks_exact_mut(outputs.max(1)) {
            super::attention::add(row, &self.bias.value);
        }
    }

    /// Hands the gradients of W and b to the learner. `dy` is the loss's gradient by the outputs; `dx`, if asked for, becomes
    /// (or, where `accumulate`, is increased by) its gradient by the inputs.
    ///
    /// W is walked once, in tiles of some outputs each: a tile gives its share of `dx`, then its gradient is computed and used up
    /// while both are still in the cache.
    ///
    /// # Panics
    /// If a slice is too short.
    pub fn backward(
        &mut self,
        x: &[f32],
        dy: &[f32],
        rows: usize,
        dx: Option<(&mut [f32], bool)>,
        learner: &mut Learner,
    ) {
        let (inputs, outputs) = (self.inputs, self.outputs);
        super::resize(&mut self.across, if dx.is_some() { rows * inputs } else { 0 });
        super::resize(&mut self.along, rows * outputs);
        transpose(&dy[..rows * outputs], rows, outputs, &mut self.along);
        let (x, dy) = (View::new(x, rows, inputs), View::new(dy, rows, outputs));
        let height = (TILE / inputs.max(1) / 12 * 12).clamp(1, outputs.max(1)); // whole micro-tiles of any of gemm's kernels
        let mut tile = std::mem::take(&mut learner.tile);
        if tile.len() < height * inputs {
            tile.resize(height * inputs, 0.0);
        }
        for from in (0..outputs).step_by(height) {
            let to = outputs.min(from + height);
            if dx.is_some() {
                let weight = View::new(&self.weight.value[from * inputs..to * inputs], to - from, inputs);
                let dy = View::new(&self.along[from * rows..to * rows], to - from, rows);
                product(&mut self.across, from > 0, weight.t(), dy);
            }
            let part = (to - from) * inputs;
            product(&mut tile[..part], false, dy.columns(from, to).t(), x);
            learner.learn(&mut self.weight, from * inputs, &tile[..part]);
        }
        if let Some((dx, accumulate)) = dx {
            if accumulate {
                each_transposed(&self.across, inputs, rows, dx, |old, new| old + new);
            } else {
                transpose(&self.across, inputs, rows, dx);
            }
        }
        if tile.len() < outputs {
            tile.resize(outputs, 0.0);
        }
        let sums = &mut tile[..outputs];
        sums.fill(0.0);
        dy.add_rows_to(sums);
        learner.learn(&mut self.bias, 0, sums);
        learner.tile = tile;
    }

    /// Shows both parameters, named as PyTorch names them, under `prefix`.
    pub fn parameters(&mut self, prefix: &str, visit: &mut dyn FnMut(&str, &mut Parameter)) {
        visit(&format!("{prefix}.weight"), &mut self.weight);
        visit(&format!("{prefix}.bias"), &mut self.bias);
    }
}

/// Writes the `rows x cols` matrix `from` to `to` as `cols x rows`.
fn transpose(from: &[f32], rows: usize, cols: usize, to: &mut [f32]) {
    each_transposed(from, rows, cols, to, |_, new| new);
}

/// Transposes in blocks that fit the first-level cache, and puts each number together with the one that is there.
fn each_transposed(from: &[f32], rows: usize, cols: usize, to: &mut [f32], join: impl Fn(f32, f32) -> f32) {
    const BLOCK: usize = 16;
    for top in (0..rows).step_by(BLOCK) {
        for left in (0..cols).step_by(BLOCK) {
            for r in top..rows.min(top + BLOCK) {
                for c in left..cols.min(left + BLOCK) {
                    let to = &mut to[c * rows + r];
                    *to = join(*to, from[r * cols + c]);
                }
            }
        }
    }
}
