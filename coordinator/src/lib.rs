//! Plans, drives and reports runs: the command line `jhalak`. It decodes no video and trains no
//! model itself; the feature `local` (default) links the worker in for `jhalak run` and the
//! commands that work in this process.
//!
//! Start with `commands` (what a user asks), then `plan` (what a run is), `run` (how it is driven
//! to its end), `artifacts` (what it leaves in the store), `report` (what it shows) and `serve` (the
//! pages over a store).

pub mod artifacts;
pub mod charts;
pub mod commands;
pub mod console;
pub mod export;
#[cfg(feature = "local")]
pub mod extract_file;
pub mod inspect;
pub mod plan;
pub mod report;
pub mod run;
#[cfg(feature = "local")]
pub mod serve;
