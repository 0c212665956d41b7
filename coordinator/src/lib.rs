//! Plans, dispatches, tracks and reports runs; the command line `jhalak`. Does no pixel or tensor work: with the feature
//! `local` (default) the worker is linked in for `jhalak run`.

pub mod commands;
pub mod conclude;
pub mod conduct;
pub mod drive;
#[cfg(feature = "local")]
pub mod embeddings;
pub mod explain;
pub mod gather;
pub mod grid;
pub mod integrity;
pub mod jobs;
pub mod lead;
pub mod missing;
pub mod model;
pub mod paper;
pub mod plan;
pub mod progress;
pub mod report;
pub mod reprocess;
pub mod source;
pub mod stage;
