//! Commands that query a fitted model.

pub(super) mod predict;
pub(super) mod recommend;
mod viewer_args;
