//! Commands that train in this process.

mod cell_args;
pub(super) mod evaluate;
pub(super) mod fit;
