//! The stacked ensemble: bias models, out-of-fold profiles, GL-scores, content, and attention over
//! the user's rated movies, a Bayesian factorisation machine, as features of boosted trees, extra
//! trees and linear models, stacked.
//!
//! # How label leaks are ruled out
//!
//! Training pairs are dealt into folds in the way test pairs are held out ([`ColdStart`]). Each
//! [out-of-fold view](views) learns from the other folds and describes the pairs of its own fold.
//! Everything fitted or summed ([`features::knowledge`]) is learned anew in each view, so the
//! features of a training pair never depend on its label. The stack's members are fitted on those
//! rows.
//!
//! The stack, the number of boosting rounds and the class weights are fitted on inner folds: each
//! runs the whole procedure, views included, without one fold, and predicts that fold. Holding out
//! rows alone is not enough, because the labels of held-out rows are in the features of the rest:
//! on unseen movies that flattered a linear member by 0.04 in log loss.
//!
//! The features of a pair to predict are learned from all training pairs.
//!
//! Start reading at [`fitted::fit`].

mod ablation;
pub mod class_weights;
mod explain;
mod factorisation;
mod features;
mod fitted;
mod fitted_bias;
mod linear;
pub mod linear_baselines;
mod matrix;
mod members;
mod rows;
pub mod settings;
mod stack;
mod stored;
mod trees;
pub mod views;

#[cfg(test)]
mod leak_tests;
#[cfg(test)]
mod serving_tests;
#[cfg(test)]
mod trailer_tests;

pub use explain::{GenreLeaning, Reasons, SimilarMovie};
pub use fitted::{FittedEnsemble, InnerScore, fit};
pub use fitted_bias::FittedBias;
pub use settings::{ColdStart, Part, Settings};
pub use stored::StoredEnsemble;
