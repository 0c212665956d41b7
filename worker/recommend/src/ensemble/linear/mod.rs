//! Linear models with class probabilities, and their optimizer.

pub mod dot;
pub mod lbfgs;
pub mod logistic;
pub mod mixed_logit;
pub mod softmax;
