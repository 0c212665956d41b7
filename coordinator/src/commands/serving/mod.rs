//! Commands that query a fitted model.

pub(super) mod predict;
pub(super) mod recommend;
pub(super) mod viewer_args;
