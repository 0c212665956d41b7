//! Commands that start runs and look after them.

pub(super) mod cancel;
mod outcome;
pub(super) mod quarantine;
pub(super) mod report;
#[cfg(feature = "local")]
pub(super) mod run;
pub(super) mod status;
pub(super) mod submit;
pub(super) mod watch;
