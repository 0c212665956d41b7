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
pub mod demux;
pub mod detector;
pub mod equal_interval;
pub mod error;
pub mod frame_store;
pub mod jpeg;
mod jpeg_tables;
pub mod keyframe_set;
pub mod keyframe_tar;
pub mod keyframe_writer;
pub mod nal;
pub mod orientation;
pub mod pass;
pub mod photograph;
pub mod picture;
pub mod pixels;
pub mod report;
pub mod request;
pub mod resample;
pub mod scene_middle;
pub mod scene_object;
pub mod scene_pass;
pub mod scenes;
pub mod seek;
pub mod sheet;
pub mod source;
pub mod timeline;
pub mod usage;
pub mod viewer;

pub use child::{DecodeLimits, run_child};
pub use detector::{Detector, Object};
pub use error::MediaError;
pub use request::{
    AudioSettings, AudioTrack, DecodeReport, DecodeRequest, FrameSettings, Keyframe, KeyframeSet, KeyframeSettings,
    Outcome, Padding, Position, SceneMiddleSettings, SceneObjectSettings, SceneReport, Usage, VideoInfo,
};
pub use scenes::SceneSettings;
