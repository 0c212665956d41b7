//! A multilayer perceptron: fully connected layers in sequence.

use super::activation::Activation;
use super::buffer::resize;
use super::linear::Linear;
use crate::optimizer::OptimizerState;
use crate::parameter::Parameter;
use crate::random::Random;

/// Linear layers, each followed by an activation; the last one optionally without.
#[derive(Clone, Debug)]
pub struct Mlp {
    layers: Vec<Linear>,
    activation: Activation,
    last_active: bool,
    /// Output of each layer in the last forward pass.
    outputs: Vec<Vec<f32>>,
    /// Gradients with respect to the outputs of two adjacent layers.
    gradient: Vec<f32>,
    next: Vec<f32>,
}

impl Mlp {
    /// Creates the layers. `widths` are the features of the input and of each layer's output. With
    /// `last_active`, the activation also follows the last layer.
    #[must_use]
    pub fn new(widths: &[usize], activation: Activation, last_active: bool, random: &mut Random) -> Self {
        let layers: Vec<Linear> = widths.windows(2).map(|w| Linear::new(w[0], w[1], random)).collect();
        let outputs = vec![Vec::new(); layers.len()];
        Self { layers, activation, last_active, outputs, gradient: Vec::new(), next: Vec::new() }
    }

    /// Number of features of an output row.
    #[must_use]
    pub fn outputs(&self) -> usize {
        self.layers.last().map_or(0, Linear::outputs)
    }

    /// Returns the output rows for `rows` input rows.
    ///
    /// # Panics
    /// If `x` is too short.
    pub fn forward(&mut self, x: &[f32], rows: usize) -> &[f32] {
        let count = self.layers.len();
        for (i, layer) in self.layers.iter_mut().enumerate() {
            let (before, after) = self.outputs.split_at_mut(i);
            let y = &mut after[0];
            resize(y, rows * layer.outputs());
            layer.forward(before.last().map_or(x, Vec::as_slice), rows, y);
            if i + 1 < count || self.last_active {
                self.activation.forward(y);
            }
        }
        self.outputs.last().map_or(&[], Vec::as_slice)
    }

    /// Returns the output rows of layer `layer` (from 0, after its activation) in the last forward
    /// pass.
    #[must_use]
    pub fn layer_output(&self, layer: usize) -> &[f32] {
        self.outputs.get(layer).map_or(&[], Vec::as_slice)
    }

    /// Backward pass for the rows of the last forward pass; `dx` as in [`Linear::backward`].
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
        let count = self.layers.len();
        let mut dx = dx;
        self.gradient.clear();
        self.gradient.extend_from_slice(&dy[..rows * self.outputs()]);
        for i in (0..count).rev() {
            if i + 1 < count || self.last_active {
                self.activation.backward(&self.outputs[i], &mut self.gradient);
            }
            let layer = &mut self.layers[i];
            if i == 0 {
                layer.backward(x, &self.gradient, rows, dx.take(), optimizer);
            } else {
                resize(&mut self.next, rows * layer.inputs());
                layer.backward(&self.outputs[i - 1], &self.gradient, rows, Some((&mut self.next, false)), optimizer);
                std::mem::swap(&mut self.gradient, &mut self.next);
            }
        }
    }

    /// Visits each parameter as `prefix1.weight`, `prefix1.bias`, `prefix2.weight`, ...
    pub fn parameters(&mut self, prefix: &str, visit: &mut dyn FnMut(&str, &mut Parameter)) {
        for (i, layer) in self.layers.iter_mut().enumerate() {
            layer.parameters(&format!("{prefix}{}", i + 1), visit);
        }
    }
}
