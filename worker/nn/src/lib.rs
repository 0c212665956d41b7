//! Training on one core: layers with a forward and a backward pass, optimisers, schedules and the training loop.
//!
//! All tensors are row-major `f32` slices, `rows x features`. A layer keeps what its backward pass needs and reuses those buffers
//! from step to step, so a step allocates nothing once the largest batch has been seen. During the backward pass each weight
//! gradient is made in tiles that stay in the cache and goes from there into the optimiser, so that no gradient is ever
//! written to memory. Nothing here is global: every random number comes from a seed that the caller gives.
//!
//! Definitions, initialisation and defaults follow PyTorch, and `tests` hold the layers to fixtures made with it.

mod layers;
mod loss;
mod matrix;
mod optimizer;
mod parameter;
mod random;
mod training;

#[cfg(test)]
mod gradient_check;

pub use jhalak_common::evaluation::{FitSettings, Optimiser, Schedule, StepRate};

pub use layers::activation::{Activation, sigmoid_rows, softmax_rows};
pub use layers::attention::{CrossBlock, OneKeyAttention};
pub use layers::dropout::Dropout;
pub use layers::linear::Linear;
pub use layers::mlp::Mlp;
pub use layers::multi_head_attention::{MultiHeadAttention, Shape};
pub use layers::norm::LayerNorm;
pub use loss::{binary_cross_entropy, cross_entropy};
pub use matrix::product::{View, product};
pub use optimizer::Learner;
pub use parameter::Parameter;
pub use random::{Random, seeded, shuffle};
pub use training::checkpoint::{Resume, StartAgain};
pub use training::outcome::{History, StopReason, TrainError};
pub use training::trainable::Trainable;
pub use training::training_loop::{fit, fit_resumed};
