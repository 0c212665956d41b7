//! Plans, drives and reports runs: the command line `jhalak`.
//!
//! It never decodes video or trains a model itself: the feature `local` (default) links the worker
//! in for `jhalak run`, `jhalak serve` and the commands that decode, train or predict in this
//! process.
//!
//! Start with `commands` (the command line), then `plan` (builds a run), `run` (drives it to its
//! end), `artifacts` (tables, integrity and the fitted model in the store) and `report` (writes the
//! page; `measures` computes what is added to it). `console` shows progress and output, `export`
//! writes a run as tables, `inspect` makes small pictures and maps, `charts` draws, `utc` writes
//! times, and `serve` shows a store in a browser.

pub mod artifacts;
pub mod charts;
pub mod commands;
pub mod console;
pub mod export;
#[cfg(feature = "local")]
pub mod extract_file;
pub mod inspect;
#[cfg(feature = "local")]
pub mod measures;
pub mod plan;
#[cfg(feature = "local")]
pub mod reasons;
pub mod report;
pub mod run;
#[cfg(feature = "local")]
pub mod serve;
pub mod signed;
pub mod utc;
