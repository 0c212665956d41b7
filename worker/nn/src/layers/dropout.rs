//! Dropout.

use super::buffer::resize;
use crate::random::Random;

/// Sets each element to 0 with the given probability p and divides the others by 1 - p, so that the
/// mean stays the same.
#[derive(Clone, Debug)]
pub struct Dropout {
    probability: f32,
    /// The factor of each element in the last forward pass.
    factors: Vec<f32>,
}

impl Dropout {
    /// Creates a layer that drops elements with `probability`, in [0, 1).
    ///
    /// # Panics
    /// If `probability` is outside that range.
    #[must_use]
    pub fn new(probability: f32) -> Self {
        assert!((0.0..1.0).contains(&probability), "a dropout probability of {probability} is not in [0, 1)");
        Self { probability, factors: Vec::new() }
    }

    /// Drops elements of `x`, in training only: an evaluation must not call it.
    pub fn forward(&mut self, x: &mut [f32], random: &mut Random) {
        resize(&mut self.factors, x.len());
        let kept = 1.0 / (1.0 - self.probability);
        for (x, factor) in x.iter_mut().zip(&mut self.factors) {
            *factor = if random.uniform(0.0, 1.0) < self.probability { 0.0 } else { kept };
            *x *= *factor;
        }
    }

    /// Replaces `dy` with the gradient with respect to the input.
    pub fn backward(&self, dy: &mut [f32]) {
        dy.iter_mut().zip(&self.factors).for_each(|(dy, factor)| *dy *= factor);
    }
}
