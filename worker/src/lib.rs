//! The job loop, the jobs and the program `jhalak-worker`.
//!
//! A worker takes deliveries from the queue ([`job_loop`]), runs each job ([`jobs`]), commits its artifacts and settles the
//! delivery. It plans nothing and knows no other job. The work itself lives in crates below, one way only:
//! `simd`, `onnx` <- `media`, `nn` <- `models`, `recommend` <- `worker`.
//!
//! Start reading in [`job_loop`], then [`jobs::extract`].

pub mod cancellation;
pub mod heartbeat;
pub mod job_loop;
pub mod jobs;
pub mod scratch;

pub use jhalak_media as media;
pub use jhalak_models::{detect, embed, inference};
pub use jhalak_nn as train;
pub use jhalak_recommend as recommend;
