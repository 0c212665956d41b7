//! Commands that query a fitted model.

mod all_users;
pub(super) mod predict;
pub(super) mod recommend;
pub(super) mod viewer_args;
