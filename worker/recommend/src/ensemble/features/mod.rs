//! Features of a (user, movie) pair, learned from the pairs that an out-of-fold view knows.

pub mod knowledge;
pub mod known_pairs;
pub mod pair_features;
mod people;
pub mod shared_viewers;
mod user_attributes;
