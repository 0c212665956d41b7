//! Commands that start runs and look after them.

pub(super) mod cancel;
mod detach;
pub(super) mod export;
mod outcome;
pub(super) mod quarantine;
pub(super) mod report;
#[cfg(feature = "local")]
pub(super) mod run;
mod slot;
pub(super) mod status;
pub(super) mod submit;
pub(super) mod watch;
