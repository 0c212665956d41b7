//! A trained tensor with its optimizer state.

use crate::random::Random;

/// One weight matrix (row-major, outputs x inputs) or one vector of biases.
#[derive(Clone, Debug, Default)]
pub struct Parameter {
    /// The values that the layer computes with.
    pub value: Vec<f32>,
    /// Running mean of the gradient (Adam); empty until the first update.
    pub(crate) mean: Vec<f32>,
    /// Running mean of the squared gradient (RMSprop, Adam); empty until the first update.
    pub(crate) square: Vec<f32>,
    /// The last gradient; only a recording [`OptimizerState`](crate::OptimizerState) keeps it.
    pub(crate) gradient: Vec<f32>,
}

impl Parameter {
    /// Creates `len` elements that are all `value`.
    #[must_use]
    pub fn constant(len: usize, value: f32) -> Self {
        Self { value: vec![value; len], ..Self::default() }
    }

    /// Creates `len` elements uniform in [-bound, bound).
    #[must_use]
    pub fn uniform(len: usize, bound: f32, random: &mut Random) -> Self {
        Self { value: (0..len).map(|_| random.uniform(-bound, bound)).collect(), ..Self::default() }
    }

    /// Returns the gradient of the last recorded step; empty if none was recorded.
    #[must_use]
    pub fn gradient(&self) -> &[f32] {
        &self.gradient
    }
}
