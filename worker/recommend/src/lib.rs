//! Predicting whether a viewer dislikes, is neutral to, or likes a movie: the paper's experiment and an honest one beside it.
//!
//! One [`cell::CellSpec`] names one figure of the evaluation grid (protocol, modality, model, user embedding...); its folds are
//! independent jobs. [`cell::run_fold`] runs one: split the pairs ([`split`]), build GL-scores ([`features::genre_like`]) and user embeddings
//! ([`features::user_embedding`]) from the pairs that the protocol allows ([`features::profile`]), train ([`networks`]) and predict the test pairs.
//! [`jhalak_common::evaluation::metrics::summarise`] turns the folds' predictions into the figures that `jhalak evaluate --json` prints.
//!
//! Every class vector, probability row and confusion matrix is in the order dislike, neutral, like.

pub mod baseline;
pub mod cell;
pub mod ensemble;
pub mod error;
pub mod features;
pub mod folds;
pub mod networks;
pub mod serving;
pub mod split;

#[cfg(test)]
mod cell_tests;
#[cfg(test)]
mod control_tests;
#[cfg(test)]
mod example;

pub use error::RecommendError;

pub(crate) use jhalak_common::evaluation::CLASSES;
