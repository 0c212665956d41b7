//! The interface between a model and the training loop.

use crate::optimizer::OptimizerState;
use crate::parameter::Parameter;

/// A model together with its samples, which are identified by index.
pub trait Trainable {
    /// Forward and backward pass over `samples`. Returns the sum of weighted losses and the sum of
    /// weights.
    fn step(&mut self, samples: &[u32], optimizer: &mut OptimizerState) -> (f64, f64);
    /// Forward pass only. Returns the same sums.
    fn evaluate(&mut self, samples: &[u32]) -> (f64, f64);
    /// Visits each trained parameter, always in the same order.
    fn parameters(&mut self, visit: &mut dyn FnMut(&str, &mut Parameter));
}
