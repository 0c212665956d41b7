//! Commands that train in this process, and that judge predictions.

mod cell_args;
mod cold_start_curve;
pub(super) mod compare;
pub(super) mod evaluate;
mod figures;
pub(super) mod fit;
mod given_embeddings;
mod held_out;
mod network_args;
mod option_values;
mod ranking;
mod score;
mod stop_soon;
