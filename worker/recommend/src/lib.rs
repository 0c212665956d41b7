//! Predicting whether a viewer dislikes, is neutral to, or likes a movie: the paper's experiment and an honest one beside it.
//!
//! One [`cell::CellSpec`] names one figure of the evaluation grid (protocol, modality, model, user embedding...); its folds are
//! independent jobs. [`cell::run_fold`] runs one: split the pairs ([`split`]), build GL-scores ([`gl`]) and user embeddings
//! ([`user_embedding`]) from the pairs that the protocol allows ([`profile`]), train ([`network`]) and predict the test pairs.
//! [`jhalak_common::evaluation::metrics::summarise`] turns the folds' predictions into the figures that `jhalak evaluate --json` prints.
//!
//! Every class vector, probability row and confusion matrix is in the order dislike, neutral, like.

pub mod ann;
pub mod baseline;
pub mod cell;
pub mod classifier;
pub mod embedding;
pub mod error;
pub mod folds;
pub mod genre_head;
pub mod gl;
pub mod honest;
pub mod inputs;
pub mod metadata;
pub mod network;
mod network_fold;
pub mod profile;
pub mod serving;
pub mod split;
pub mod user_embedding;

#[cfg(test)]
mod cell_tests;
#[cfg(test)]
mod classifier_fixture;
#[cfg(test)]
mod control_tests;
#[cfg(test)]
mod example;

pub use error::RecommendError;

pub(crate) use jhalak_common::evaluation::CLASSES;
