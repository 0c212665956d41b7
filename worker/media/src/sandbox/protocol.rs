//! The lines of JSON that parent and child exchange. Both are the same program, so the format has
//! no version.

use crate::error::MediaError;
use crate::frame_visitor::FramePosition;
use crate::report::DecodeReport;
use crate::request::DecodeRequest;
use serde::{Deserialize, Serialize};

/// The sub-command for which an executable must call [`run_child`](crate::run_child), before it
/// starts a runtime.
pub const SUBCOMMAND: &str = "decode-child";

/// Resources that one decode may use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DecodeLimits {
    /// MB (2^20 bytes) of memory on top of what the program itself maps at start.
    pub memory_mb: u64,
    /// Seconds of CPU time.
    pub cpu_s: u64,
    /// Seconds of wall time.
    pub wall_s: u64,
    /// MB (2^20 bytes) that each output file may grow to.
    pub output_mb: u64,
}

impl Default for DecodeLimits {
    /// Enough for an hour of 1080p and for a picture of the largest size, on a busy machine.
    fn default() -> Self {
        Self { memory_mb: 1024, cpu_s: 900, wall_s: 1800, output_mb: 1024 }
    }
}

/// The parent's first line.
#[derive(Serialize, Deserialize)]
pub(super) struct Request {
    pub(super) decode: DecodeRequest,
    pub(super) limits: DecodeLimits,
    /// Path of the shared memory for the detector's pictures, if there is any.
    pub(super) shared_memory: Option<String>,
}

/// A line from the child. A report or an error is the last line.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Reply {
    /// A picture for the detector, in the shared memory or as bytes after this line. The child does
    /// not overwrite it before it has read a line with the list of objects.
    Detect { width: u32, height: u32, is_shared: bool },
    /// A frame for the visitor, as bytes after this line. The child continues at once.
    Visit { position: FramePosition, width: u32, height: u32 },
    /// The result.
    Report(Box<DecodeReport>),
    /// Why there is no result.
    Error(MediaError),
}
