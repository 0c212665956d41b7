//! Decodes trailers: video files in, keyframes, scene lists and sound out.
//!
//! - One pass over a file serves every output of a [`DecodeRequest`]; keyframes at equal intervals
//!   alone are decoded by seeking. Results depend only on the bytes of the file and on the
//!   settings.
//! - [`sandbox::decode`] decodes in a child process with limits on memory, CPU time, wall time and
//!   output. A file that crashes, hangs or floods the decoder costs one attempt of its own job.
//!   [`decode::run`] decodes in this process.
//! - Never runs a model and knows no model registry: callers pass a [`Detector`] or a
//!   [`frame_visitor::FrameVisitor`]. Never opens a URL or any other file than the trailer, and
//!   never touches the queue or the object store.
//! - Start with [`decode`], then [`frame`] (the consumers of frames), `ffmpeg/decode_loop.rs` and
//!   `keyframes/`.

pub mod bounds;
pub mod decode;
pub mod detector;
pub mod error;
pub mod ffmpeg;
pub mod frame;
pub mod frame_visitor;
pub mod keyframes;
pub mod picture;
pub mod report;
pub mod request;
pub mod sandbox;
pub mod scenes;
pub mod usage;

pub use detector::{Detector, Object};
pub use error::{CrashOrHang, MediaError};
pub use frame_visitor::FrameSettings;
pub use report::{
    AudioTrack, DecodeReport, Keyframe, KeyframeSet, Outcome, Padding, SceneReport, SoundChoice, Usage, VideoInfo,
};
pub use request::{AudioSettings, DecodeRequest, KeyframeSettings, Position, SceneMiddleSettings, SceneObjectSettings};
pub use sandbox::{DecodeLimits, run_child};
pub use scenes::SceneSettings;
