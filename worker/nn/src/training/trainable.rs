//! The interface between a model and the training loop.

use crate::optimizer::Learner;
use crate::parameter::Parameter;

/// A model together with its samples, which are named by number.
pub trait Trainable {
    /// Forward and backward pass over these samples. Returns the sum of the weighted losses and the sum of the weights.
    fn step(&mut self, samples: &[u32], learner: &mut Learner) -> (f64, f64);
    /// Forward pass alone, with the same sums.
    fn evaluate(&mut self, samples: &[u32]) -> (f64, f64);
    /// Shows every trained parameter, always in the same order.
    fn parameters(&mut self, visit: &mut dyn FnMut(&str, &mut Parameter));
}
