//! Commands that train in this process.

mod cell_args;
pub(super) mod evaluate;
pub(super) mod fit;
mod given_split;
mod network_args;
mod option_values;
