//! From a trailer's file to keyframes and sound: one demux, one decode, every producer that was asked for.
//!
//! [`decode::run`] does the work in the calling process. [`sandbox::decode`] does the same inside a child process with
//! limits on memory, CPU time, wall time and output, and is what the job loop uses: a file that crashes, hangs or
//! floods the decoder then costs one attempt of its own job and nothing else.
//!
//! Results depend on the bytes of the file and on the settings only: one decode thread, frames picked by timestamp
//! with integer arithmetic, archives without clock or owner.

pub mod decode;
pub mod detector;
pub mod error;
pub mod ffmpeg;
pub mod frame_visitor;
pub mod keyframes;
pub mod picture;
pub mod request;
pub mod sandbox;
pub mod scenes;
pub mod usage;

pub use detector::{Detector, Object};
pub use error::MediaError;
pub use request::{
    AudioSettings, AudioTrack, DecodeReport, DecodeRequest, FrameSettings, Keyframe, KeyframeSet, KeyframeSettings,
    Outcome, Padding, Position, SceneMiddleSettings, SceneObjectSettings, SceneReport, Usage, VideoInfo,
};
pub use sandbox::{DecodeLimits, run_child};
pub use scenes::SceneSettings;
