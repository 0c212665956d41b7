//! Training on one core: layers with a forward and a backward pass, optimisers, schedules and the training loop.
//!
//! All tensors are row-major `f32` slices, `rows x features`. A layer keeps what its backward pass needs and reuses those buffers
//! from step to step, so a step allocates nothing once the largest batch has been seen. During the backward pass each weight
//! gradient is made in tiles that stay in the cache and goes from there into the optimiser, so that no gradient is ever
//! written to memory. Nothing here is global: every random number comes from a seed that the caller gives.
//!
//! Definitions, initialisation and defaults follow PyTorch, and `tests` hold the layers to fixtures made with it.

mod across;
mod activation;
mod attention;
mod dropout;
mod fit;
mod linear;
mod loss;
mod matrix;
mod mlp;
mod multi_head;
mod norm;
mod optimiser;
mod parameter;
mod random;
mod resume;

#[cfg(test)]
mod gradient_check;

pub use jhalak_common::evaluation::{FitSettings, Optimiser, Schedule, StepRate};

pub use activation::Activation;
pub use attention::{CrossBlock, OneKeyAttention};
pub use dropout::Dropout;
pub use fit::{History, StopReason, TrainError, Trainable, fit, fit_resumed};
pub use linear::Linear;
pub use loss::{binary_cross_entropy, cross_entropy, sigmoid_rows, softmax_rows};
pub use matrix::{View, product};
pub use mlp::Mlp;
pub use multi_head::{MultiHeadAttention, Shape};
pub use norm::LayerNorm;
pub use optimiser::Learner;
pub use parameter::Parameter;
pub use random::{Random, seeded, shuffle};
pub use resume::{Resume, StartAgain};

/// Makes `buffer` exactly `len` long, keeping its allocation; the contents are then unspecified.
pub(crate) fn resize(buffer: &mut Vec<f32>, len: usize) {
    buffer.resize(len, 0.0);
}
