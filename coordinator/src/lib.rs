//! Plans, dispatches, tracks and reports runs; the command line `jhalak`. Does no pixel or tensor work: with the feature
//! `local` (default) the worker is linked in for `jhalak run`.

pub mod artifacts;
pub mod commands;
pub mod console;
pub mod plan;
pub mod report;
pub mod run;
