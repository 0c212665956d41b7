//! What a job does: media, inference and training; and the loop that takes jobs from the queue. Plans nothing and knows no other job.

pub mod detect;
pub mod embed;
pub mod heartbeat;
pub mod inference;
pub mod job_loop;
pub mod jobs;
pub mod media;
pub mod onnx;
pub mod recommend;
pub mod run_watch;
pub mod scratch;
pub mod train;
