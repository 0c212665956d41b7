//! The job loop, the jobs and the program `jhalak-worker`.
//!
//! A worker takes deliveries from the queue, runs their jobs, commits their artifacts and
//! acknowledges the deliveries. It never plans: which jobs exist is the coordinator's business, and
//! no job depends on another. The work itself is in the crates below, which depend one way: `simd`
//! <- `media`, `nn`; `media`, `onnx` <- `models`; `nn`, `onnx` <- `recommend`; `models`,
//! `recommend` <- `worker`.
//!
//! Start reading in [`job_loop`], then [`jobs`].

mod at_work;
pub mod blocking;
mod cancellation;
mod end_state;
mod failure;
mod health;
pub mod heartbeat;
pub mod job_loop;
#[cfg(test)]
mod job_loop_tests;
pub mod job_metrics;
mod job_runner;
pub mod jobs;
mod planned_work;
mod reachability;
pub mod scratch;
mod settlement;

pub use jhalak_media as media;
pub use jhalak_models::{detect, embed, inference, onnx};
pub use jhalak_nn as nn;
pub use jhalak_recommend as recommend;
