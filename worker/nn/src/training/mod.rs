//! The training loop and its checkpoints.

pub mod checkpoint;
pub mod outcome;
pub mod trainable;
pub mod training_loop;
