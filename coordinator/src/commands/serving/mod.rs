//! Commands that ask a fitted model.

pub(super) mod predict;
pub(super) mod recommend;
mod viewer_args;
