//! The paper's networks: the cross-attention classifier, the ANN and genre heads; attention over
//! the parts of trailers; training and prediction.

pub mod ann;
pub mod classifier;
#[cfg(test)]
mod classifier_fixture;
pub(crate) mod fold;
pub mod genre_head;
mod probabilities;
mod trailer_attention;
mod trailer_batch;
pub(crate) mod trailer_fold;
mod trailer_tokens;

use crate::CLASSES;
use crate::features::inputs::{Batch, Inputs};
use jhalak_nn::{OptimizerState, Parameter, Trainable, cross_entropy};
use probabilities::probabilities;
use std::fmt;

/// Maps movie and user inputs to logits of the three classes.
pub trait Network: fmt::Debug + Send {
    /// Returns logits, `rows x 3`, for one batch of each modality.
    fn forward(&mut self, batches: &[Batch], rows: usize) -> &[f32];
    /// Passes the gradients of all parameters to the optimizer. The last forward pass had the same
    /// batches.
    fn backward(&mut self, batches: &[Batch], dlogits: &[f32], rows: usize, optimizer: &mut OptimizerState);
    /// Shows every parameter by name, always in the same order.
    fn parameters(&mut self, visit: &mut dyn FnMut(&str, &mut Parameter));
}

/// A network with the samples of its fold.
#[derive(Debug)]
pub struct PairTraining<'a> {
    network: &'a mut dyn Network,
    inputs: &'a Inputs,
    /// Weight of each class in the loss; empty for none.
    class_weights: Vec<f32>,
    batches: Vec<Batch>,
    labels: Vec<u8>,
    logits: Vec<f32>,
}

impl<'a> PairTraining<'a> {
    /// Creates a training with these class weights; an empty list weighs all classes alike.
    pub fn new(network: &'a mut dyn Network, inputs: &'a Inputs, class_weights: Vec<f32>) -> Self {
        Self { network, inputs, class_weights, batches: Vec::new(), labels: Vec::new(), logits: Vec::new() }
    }

    /// Returns the probabilities of the three classes for each sample.
    pub fn predict(&mut self, samples: &[u32]) -> Vec<[f32; CLASSES]> {
        probabilities(samples, |batch, logits| {
            self.forward(batch);
            std::mem::swap(logits, &mut self.logits);
        })
    }

    fn forward(&mut self, samples: &[u32]) {
        self.inputs.fill(samples, &mut self.batches, &mut self.labels);
        self.logits.clear();
        self.logits.extend_from_slice(self.network.forward(&self.batches, samples.len()));
    }
}

impl Trainable for PairTraining<'_> {
    fn step(&mut self, samples: &[u32], optimizer: &mut OptimizerState) -> (f64, f64) {
        let sums = self.evaluate(samples); // leaves the gradient in the logits' place
        self.network.backward(&self.batches, &self.logits, samples.len(), optimizer);
        sums
    }

    fn evaluate(&mut self, samples: &[u32]) -> (f64, f64) {
        self.forward(samples);
        cross_entropy(&mut self.logits, CLASSES, &self.labels, &self.class_weights)
    }

    fn parameters(&mut self, visit: &mut dyn FnMut(&str, &mut Parameter)) {
        self.network.parameters(visit);
    }
}
