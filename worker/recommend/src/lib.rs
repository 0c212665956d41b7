//! Predicts whether a user dislikes, is neutral to, or likes a movie, and evaluates how well.
//!
//! Holds the paper's models, baselines, a stacked ensemble, and the leak-free evaluation of them
//! all. It never reads a video, a store or a queue: callers pass datasets and embeddings and get
//! values or bytes back. It never uses a label to predict itself, except where a switch repeats a
//! published error.
//!
//! Start reading at [`cell::run_fold`], which runs one fold of one cell of the evaluation grid:
//! [draw_folds] draws the pairs, [features] turns them into inputs, and [networks], [ensemble] or
//! [baseline] predicts the test pairs. [serving] fits, stores and queries the final model. All
//! class vectors, probability rows and confusion matrices are in the order dislike, neutral, like.

pub mod baseline;
pub mod cell;
pub mod draw_folds;
pub mod ensemble;
pub mod error;
pub mod features;
pub mod networks;
pub mod ranking;
pub mod run_folds;
pub mod serving;
pub mod time_order;

#[cfg(test)]
mod cell_tests;
#[cfg(test)]
mod control_tests;
#[cfg(test)]
mod example;
#[cfg(test)]
mod trailer_attention_tests;

pub use error::RecommendError;

pub(crate) use jhalak_common::evaluation::CLASSES;
