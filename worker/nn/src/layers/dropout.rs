//! Dropout: regularisation by leaving numbers out at random while training.

use super::buffer::resize;
use crate::random::Random;

/// Sets each number to 0 with probability `share` and divides the others by 1 - `share`, so that the mean stays.
#[derive(Clone, Debug)]
pub struct Dropout {
    share: f32,
    /// What every number of the last forward pass was multiplied by.
    factors: Vec<f32>,
}

impl Dropout {
    /// `share` in [0, 1): how many numbers are left out.
    ///
    /// # Panics
    /// If `share` is outside of that range.
    #[must_use]
    pub fn new(share: f32) -> Self {
        assert!((0.0..1.0).contains(&share), "a dropout share of {share} is not in [0, 1)");
        Self { share, factors: Vec::new() }
    }

    /// Applies it, in training only: an evaluation does not call it.
    pub fn forward(&mut self, x: &mut [f32], random: &mut Random) {
        resize(&mut self.factors, x.len());
        let kept = 1.0 / (1.0 - self.share);
        for (x, factor) in x.iter_mut().zip(&mut self.factors) {
            *factor = if random.uniform(0.0, 1.0) < self.share { 0.0 } else { kept };
            *x *= *factor;
        }
    }

    /// Gradient by the input, in place.
    pub fn backward(&self, dy: &mut [f32]) {
        dy.iter_mut().zip(&self.factors).for_each(|(dy, factor)| *dy *= factor);
    }
}
