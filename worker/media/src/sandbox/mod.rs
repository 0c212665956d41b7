//! Decoding in a child process, so that no file can hurt the worker (invariant 5 of the design).
//!
//! The parent starts its own executable with the hidden sub-command [`SUBCOMMAND`], writes one line of JSON to its
//! standard input and reads one line from its standard output; FFmpeg's words come on standard error. The child limits
//! itself before it opens the file: address space, CPU time, file size, open files, no core dump. The parent adds the
//! wall clock and cancellation, and turns every way to end into a [`MediaError`](crate::MediaError).
//!
//! Standard input stays open for as long as the parent wants the result: it is the child's lifeline. A thread of the
//! child waits for its end, so a worker that is killed (`kill -9`) leaves no decoder behind. The parent-death signal of
//! Linux would not do: it fires when the *thread* that started the child ends, and runtimes end idle threads.
//!
//! Models stay in the parent: where scene-object keyframes are asked for, the child paints each picture that the detector
//! is to see in memory that both share, says so on its standard output, decodes the next frame and then waits for the objects on its standard
//! input; where memory cannot be shared, or the picture has to be turned, its bytes follow on standard output. The parent checks the size
//! that it is told before it reads a picture. The detector's time counts against the wall clock only.
//!
//! The child sees no environment but the path of libraries: a decoder that was taken over finds no credentials there.

mod child;
mod parent;
mod shared_memory;

pub use child::run_child;
pub use parent::{decode, decode_with_detector, view_frames};

use crate::error::MediaError;
use crate::frame_visitor::FramePlace;
use crate::request::{DecodeReport, DecodeRequest};
use serde::{Deserialize, Serialize};

/// The sub-command for which an executable must call [`run_child`], before it starts a runtime.
pub const SUBCOMMAND: &str = "decode-child";

/// What one decode may use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DecodeLimits {
    /// MB (2^20 bytes) of memory on top of what the program itself maps at start.
    pub memory_mb: u64,
    /// Seconds of CPU time.
    pub cpu_s: u64,
    /// Seconds on the wall.
    pub wall_s: u64,
    /// MB (2^20 bytes) that each output file may grow to.
    pub output_mb: u64,
}

impl Default for DecodeLimits {
    /// Room for an hour of 1080p and for a picture of the largest size, on a machine that is busy.
    fn default() -> Self {
        Self { memory_mb: 1024, cpu_s: 900, wall_s: 1800, output_mb: 1024 }
    }
}

/// What the parent sends.
#[derive(Serialize, Deserialize)]
struct Order {
    request: DecodeRequest,
    limits: DecodeLimits,
    /// Where the child finds the memory that pictures for the detector are painted in, if there is any.
    canvas: Option<String>,
}

/// What the child answers, a line each. A report or an error is the last line.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    /// A picture for the detector; its bytes are on the canvas or follow the line, and the child paints no other before it has read a line with
    /// the list of objects.
    Detect {
        width: u32,
        height: u32,
        on_canvas: bool,
    },
    /// A frame for the viewer; its bytes follow the line, and the child goes on.
    View {
        place: FramePlace,
        width: u32,
        height: u32,
    },
    Report(Box<DecodeReport>),
    Error(MediaError),
}
