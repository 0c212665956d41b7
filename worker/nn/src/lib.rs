//! Neural networks on one core: layers with a forward and a backward pass, losses, optimizers and
//! the training loop.
//!
//! All tensors are row-major `f32` slices of `rows x features`. A layer keeps the values and
//! buffers that its backward pass needs, so a step allocates nothing after the largest batch. The
//! backward pass computes each weight gradient in tiles that stay in the cache and feeds them to
//! the optimizer, so no gradient is written to memory. Definitions, initialization and defaults
//! follow PyTorch.
//!
//! Never reads files, never uses global state, never spawns threads: every random number comes from
//! the seed of the caller, and the same seed gives the same weights.
//!
//! Start reading in [`Linear`], then [`fit`]; [`Trainable`] is the interface of a model.

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
pub use layers::dropout::Dropout;
pub use layers::linear::Linear;
pub use layers::mlp::Mlp;
pub use layers::multi_head_attention::{MultiHeadAttention, Shape};
pub use layers::norm::LayerNorm;
pub use layers::one_key_attention::{CrossBlock, OneKeyAttention};
pub use loss::{binary_cross_entropy, cross_entropy};
pub use matrix::product::{View, product};
pub use optimizer::OptimizerState;
pub use parameter::Parameter;
pub use random::{Random, seeded, shuffle};
pub use training::checkpoint::{CheckpointStore, NoCheckpoints};
pub use training::outcome::{History, StopReason, TrainError};
pub use training::trainable::Trainable;
pub use training::training_loop::{fit, fit_resumed};
