//! From a trailer's file to keyframes and sound: one demux, one decode, every producer that was asked for.
//!
//! [`decode::run`] does the work in the calling process. [`child::decode`] does the same inside a child process with
//! limits on memory, CPU time, wall time and output, and is what the job loop uses: a file that crashes, hangs or
//! floods the decoder then costs one attempt of its own job and nothing else.
//!
//! Results depend on the bytes of the file and on the settings only: one decode thread, frames picked by timestamp
//! with integer arithmetic, archives without clock or owner.

pub mod audio;
pub mod child;
pub mod chooser;
pub mod clock;
pub mod decode;
pub mod decoder;
pub mod equal_interval;
pub mod error;
pub mod keyframe_tar;
pub mod orientation;
pub mod picture;
pub mod request;
pub mod source;
pub mod usage;

pub use child::{DecodeLimits, run_child};
pub use error::MediaError;
pub use request::{
    AudioSettings, AudioTrack, DecodeReport, DecodeRequest, Keyframe, KeyframeSettings, Outcome, Position, Usage,
    VideoInfo,
};
