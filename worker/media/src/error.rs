//! Errors of a decode, by what the caller can do about them.

use ffmpeg_next as ffmpeg;
use jhalak_common::{Error, ErrorKind};
use serde::{Deserialize, Serialize};
use std::io;
use std::path::Path;

/// The clock of a time limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Clock {
    /// Wall time: the decoder hangs, or the machine is overloaded.
    Wall,
    /// CPU time: the file costs more to decode than the limit allows.
    Cpu,
}

/// Why a decode gave no report. The child process serializes it and its parent reads it back, so it
/// carries messages, not sources.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum MediaError {
    /// The file or the request is invalid, on every attempt. Quarantine it.
    #[error("{message}")]
    Permanent {
        /// The problem, with FFmpeg's message, if any.
        message: String,
    },
    /// The machine failed, not the file: read or write error, no new process. Try again
    /// later.
    #[error("{message}")]
    Transient {
        /// Which operation on which path failed.
        message: String,
    },
    /// The disk for the outputs is full. Make room, then try again.
    #[error("{message}")]
    DiskFull {
        /// Which operation on which path failed.
        message: String,
    },
    /// A signal killed the decoder. Counts as an attempt; a second crash on the same file is the
    /// file's fault.
    #[error("the decoder was killed by signal {signal}: {message}")]
    Crashed {
        /// Signal number.
        signal: i32,
        /// The last lines of its stderr.
        message: String,
    },
    /// The decode did not end in time.
    #[error("the decode exceeded {limit_s} s of {clock:?} time (decode limits)")]
    TimedOut {
        /// The clock that ran out.
        clock: Clock,
        /// The limit in seconds.
        limit_s: u64,
    },
    /// The decode needed more memory than its limit.
    #[error("the decode needed more than {limit_mb} MB of memory (decode limits, memory_mb): {message}")]
    MemoryExceeded {
        /// The limit in MB (2^20 bytes), 0 if the process had none.
        limit_mb: u64,
        /// The allocation that failed, if known.
        message: String,
    },
    /// The caller cancelled the decode.
    #[error("the decode was cancelled")]
    Cancelled,
    /// An assumption of this program does not hold.
    #[error("bug in the decode: {message}")]
    Bug {
        /// The assumption.
        message: String,
    },
}

impl MediaError {
    /// Creates a permanent error.
    pub fn permanent(message: impl Into<String>) -> Self {
        Self::Permanent { message: message.into() }
    }

    /// Creates a transient error.
    pub fn transient(message: impl Into<String>) -> Self {
        Self::Transient { message: message.into() }
    }

    /// Creates a bug.
    pub fn bug(message: impl Into<String>) -> Self {
        Self::Bug { message: message.into() }
    }

    /// Classifies an error of FFmpeg while doing `what`: out of memory has its own kind, I/O errors
    /// are transient, all others are the file's fault.
    pub fn from_ffmpeg(what: &str, error: ffmpeg::Error) -> Self {
        use ffmpeg::error::{EACCES, EIO, EMFILE, ENFILE, ENOMEM};
        let message = format!("{what}: {error}");
        match error {
            ffmpeg::Error::Other { errno: ENOMEM } => Self::MemoryExceeded { limit_mb: 0, message },
            ffmpeg::Error::Other { errno: EIO | EMFILE | ENFILE | EACCES } => Self::Transient { message },
            ffmpeg::Error::Bug | ffmpeg::Error::Bug2 => Self::Bug { message },
            _ => Self::Permanent { message },
        }
    }

    /// Creates the error of the file system while doing `what` with `path`, a file of this program:
    /// transient unless the disk is full.
    pub fn from_io(what: &str, path: &Path, error: &io::Error) -> Self {
        let message = format!("{what} {}: {error}", path.display());
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull { message },
            _ => Self::Transient { message },
        }
    }
}

/// The source of the error of a crash or a hang: the machine's fault at first, the file's after the
/// last attempt.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the decode")]
pub struct CrashOrHang;

/// Maps a failed decode to the error kind of its job. A crash or a hang may be the machine's fault
/// and is retried, up to the limit on attempts.
impl From<MediaError> for Error {
    fn from(error: MediaError) -> Self {
        let kind = match &error {
            MediaError::Permanent { .. }
            | MediaError::MemoryExceeded { .. }
            | MediaError::TimedOut { clock: Clock::Cpu, .. } => ErrorKind::InvalidInput,
            MediaError::Transient { .. } | MediaError::Crashed { .. } | MediaError::TimedOut { .. } => {
                ErrorKind::Transient
            }
            MediaError::DiskFull { .. } => ErrorKind::StorageFull,
            MediaError::Cancelled => ErrorKind::Cancelled,
            MediaError::Bug { .. } => ErrorKind::Bug,
        };
        let text = Error::new(kind, error.to_string());
        match error {
            MediaError::Crashed { .. } | MediaError::TimedOut { .. } => text.with_source(CrashOrHang),
            _ => text,
        }
    }
}
