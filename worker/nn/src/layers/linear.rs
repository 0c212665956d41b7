//! The fully connected layer.

use super::buffer::{add, resize};
use crate::matrix::batch_kernels;
use crate::matrix::product::{View, product};
use crate::optimizer::OptimizerState;
use crate::parameter::Parameter;
use crate::random::Random;
use jhalak_simd::dispatched;

/// Elements of one gradient tile: 384 KiB, so that it stays in an L2 cache. Measured on Zen 3 from
/// 64 KiB to 1 MiB: tiles of this size and above trained fastest, a fifth faster than 64 KiB.
const TILE: usize = 96 * 1024;

/// `y = x W^T + b` for every row, W of `outputs x inputs`.
#[derive(Clone, Debug)]
pub struct Linear {
    /// W, row-major, outputs x inputs.
    pub weight: Parameter,
    /// b, one element per output.
    pub bias: Parameter,
    inputs: usize,
    outputs: usize,
    /// Transposed rows on the side of the inputs: the batch dimension fills the SIMD registers, and
    /// W is read in place, unpacked.
    inputs_t: Vec<f32>,
    /// Transposed rows on the side of the outputs.
    outputs_t: Vec<f32>,
}

impl Linear {
    /// Initializes as PyTorch does: weights and biases uniform within 1 / sqrt(inputs).
    #[must_use]
    pub fn new(inputs: usize, outputs: usize, random: &mut Random) -> Self {
        let bound = 1.0 / (inputs.max(1) as f32).sqrt();
        let weight = Parameter::uniform(inputs * outputs, bound, random);
        Self::with_weights(inputs, weight, Parameter::uniform(outputs, bound, random))
    }

    /// Creates a layer from weights (outputs x inputs) and biases (outputs).
    ///
    /// # Panics
    /// If there are not `inputs * outputs` weights.
    #[must_use]
    pub fn with_weights(inputs: usize, weight: Parameter, bias: Parameter) -> Self {
        let outputs = bias.value.len();
        assert_eq!(weight.value.len(), inputs * outputs, "weights of a {inputs} -> {outputs} layer");
        Self { weight, bias, inputs, outputs, inputs_t: Vec::new(), outputs_t: Vec::new() }
    }

    /// Number of features of an input row.
    #[must_use]
    #[inline]
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Number of features of an output row.
    #[must_use]
    #[inline]
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// Writes `rows` output rows to `y` for the input rows in `x`.
    ///
    /// # Panics
    /// If a slice is too short.
    pub fn forward(&mut self, x: &[f32], rows: usize, y: &mut [f32]) {
        let (inputs, outputs) = (self.inputs, self.outputs);
        resize(&mut self.inputs_t, rows * inputs);
        resize(&mut self.outputs_t, rows * outputs);
        transpose(&x[..rows * inputs], rows, inputs, &mut self.inputs_t);
        batch_kernels::weights_times(&self.weight.value, outputs, inputs, &self.inputs_t, rows, &mut self.outputs_t);
        transpose(&self.outputs_t, outputs, rows, y);
        for row in y[..rows * outputs].chunks_exact_mut(outputs.max(1)) {
            add(row, &self.bias.value);
        }
    }

    /// Passes the gradients of W and b to the optimizer. `dy` is the gradient of the loss with
    /// respect to the outputs; `dx`, if given, is set to the gradient with respect to the inputs,
    /// or increased by it where its flag is true.
    ///
    /// Walks W once, in tiles of some outputs each: a tile adds its share to `dx`, then its
    /// gradient is computed and applied while both are still in the cache.
    ///
    /// # Panics
    /// If a slice is too short.
    pub fn backward(
        &mut self,
        x: &[f32],
        dy: &[f32],
        rows: usize,
        dx: Option<(&mut [f32], bool)>,
        optimizer: &mut OptimizerState,
    ) {
        let (inputs, outputs) = (self.inputs, self.outputs);
        resize(&mut self.inputs_t, if dx.is_some() { rows * inputs } else { 0 });
        resize(&mut self.outputs_t, rows * outputs);
        transpose(&dy[..rows * outputs], rows, outputs, &mut self.outputs_t);
        let (x, dy) = (View::new(x, rows, inputs), View::new(dy, rows, outputs));
        // A multiple of the micro-tile height of each gemm kernel.
        let height = (TILE / inputs.max(1) / 12 * 12).clamp(1, outputs.max(1));
        let mut tile = std::mem::take(&mut optimizer.tile);
        if tile.len() < height * inputs {
            tile.resize(height * inputs, 0.0);
        }
        for from in (0..outputs).step_by(height) {
            let to = outputs.min(from + height);
            if dx.is_some() {
                let weights = &self.weight.value[from * inputs..to * inputs];
                let dy = &self.outputs_t[from * rows..to * rows];
                batch_kernels::transposed_weights_times(
                    weights,
                    to - from,
                    inputs,
                    dy,
                    rows,
                    &mut self.inputs_t,
                    from > 0,
                );
            }
            let part = (to - from) * inputs;
            product(&mut tile[..part], false, dy.columns(from, to).t(), x);
            optimizer.update(&mut self.weight, from * inputs, &tile[..part]);
        }
        if let Some((dx, accumulate)) = dx {
            if accumulate {
                transposing_sum::run(&self.inputs_t, inputs, rows, dx);
            } else {
                transpose(&self.inputs_t, inputs, rows, dx);
            }
        }
        if tile.len() < outputs {
            tile.resize(outputs, 0.0);
        }
        let sums = &mut tile[..outputs];
        sums.fill(0.0);
        dy.add_rows_to(sums);
        optimizer.update(&mut self.bias, 0, sums);
        optimizer.tile = tile;
    }

    /// Visits both parameters with their PyTorch names under `prefix`.
    pub fn parameters(&mut self, prefix: &str, visit: &mut dyn FnMut(&str, &mut Parameter)) {
        visit(&format!("{prefix}.weight"), &mut self.weight);
        visit(&format!("{prefix}.bias"), &mut self.bias);
    }
}

/// Writes the `rows x cols` matrix `from` to `to` as `cols x rows`.
fn transpose(from: &[f32], rows: usize, cols: usize, to: &mut [f32]) {
    transposing::run(from, rows, cols, to);
}

dispatched! {
    /// Overwrites `to` with the transposed matrix.
    transposing(from: &[f32], rows: usize, cols: usize, to: &mut [f32]) {
        super::each_transposed(from, rows, cols, to, |_, new| new);
    }
}

dispatched! {
    /// Adds the transposed matrix to `to`.
    transposing_sum(from: &[f32], rows: usize, cols: usize, to: &mut [f32]) {
        super::each_transposed(from, rows, cols, to, |old, new| old + new);
    }
}

/// Transposes in blocks of 8 x 8 that fit the registers, and combines each element with the old one
/// by `join`. Element by element, accesses a long stride apart collide in the cache: with 32
/// columns that was six times slower.
#[inline(always)]
fn each_transposed(from: &[f32], rows: usize, cols: usize, to: &mut [f32], join: impl Fn(f32, f32) -> f32) {
    const BLOCK: usize = 8;
    for top in (0..rows).step_by(BLOCK) {
        for left in (0..cols).step_by(BLOCK) {
            let read = |r: usize| from[(top + r) * cols + left..].first_chunk::<BLOCK>();
            let whole: [Option<&[f32; BLOCK]>; BLOCK] =
                std::array::from_fn(|r| if top + r < rows { read(r) } else { None });
            if left + BLOCK <= cols && whole.iter().all(Option::is_some) {
                let block = whole.map(|row| row.copied().unwrap_or_default());
                for c in 0..BLOCK {
                    let to = &mut to[(left + c) * rows + top..][..BLOCK];
                    for (to, row) in to.iter_mut().zip(&block) {
                        *to = join(*to, row[c]);
                    }
                }
                continue;
            }
            for r in top..rows.min(top + BLOCK) {
                for c in left..cols.min(left + BLOCK) {
                    let to = &mut to[c * rows + r];
                    *to = join(*to, from[r * cols + c]);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transposition_matches_the_definition_for_every_shape() {
        for (rows, cols) in [(1, 1), (8, 8), (32, 5), (7, 24), (33, 17), (16, 40)] {
            let from: Vec<f32> = (0..rows * cols).map(|i| i as f32).collect();
            let mut to = vec![0.5; rows * cols];
            transposing_sum::run(&from, rows, cols, &mut to);
            let mut plain = vec![0.5; rows * cols];
            transposing_sum::portable(&from, rows, cols, &mut plain);
            assert_eq!(to, plain);
            for (i, got) in to.iter().enumerate() {
                assert_eq!(*got, 0.5 + from[i % rows * cols + i / rows], "{rows} x {cols} at {i}");
            }
        }
    }
}
