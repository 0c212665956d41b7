//! Commands that train in this process, and that judge predictions.

mod cell_args;
pub(super) mod compare;
pub(super) mod evaluate;
mod figures;
pub(super) mod fit;
mod given_embeddings;
mod given_split;
mod network_args;
mod option_values;
mod score;
