//! Tree ensembles on binned features: gradient boosting and extremely randomised trees.

pub mod bins;
pub mod boosting;
pub mod extra_trees;
mod packed;
mod tree;
