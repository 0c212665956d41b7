//! What can go wrong with a trailer's file, sorted by what the caller can do about it.

use ffmpeg_next as ffmpeg;
use jhalak_common::{Error, ErrorKind};
use serde::{Deserialize, Serialize};
use std::io;
use std::path::Path;

/// Which clock a decode ran out of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Clock {
    /// Seconds on the wall: the decoder hangs, or the machine is far too busy.
    Wall,
    /// Seconds of CPU time: the file costs more to decode than the limit allows.
    Cpu,
}

/// Why a decode gave no report. Serialised by the child process and read back by its parent, so it carries words
/// and not sources.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum MediaError {
    /// The file, or the request, is invalid and will be on every attempt. Quarantine it.
    #[error("{message}")]
    Permanent {
        /// What is wrong, with FFmpeg's own words where it has any.
        message: String,
    },
    /// The machine failed, not the file: disk full, read or write error, no process to be had. Try again later.
    #[error("{message}")]
    Transient {
        /// Which operation on which path failed.
        message: String,
    },
    /// The decoder died from a signal. Counts as an attempt; a second crash on the same file is the file's fault.
    #[error("the decoder was killed by signal {signal}: {message}")]
    Crashed {
        /// Number of the signal.
        signal: i32,
        /// The last that the decoder said.
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
    /// The decode wanted more memory than its limit.
    #[error("the decode wanted more than {limit_mb} MB of memory (decode limits, memory_mb): {message}")]
    MemoryExceeded {
        /// The limit in MB (2^20 bytes), 0 where the process had none.
        limit_mb: u64,
        /// Which allocation failed, as far as it is known.
        message: String,
    },
    /// The caller cancelled the decode.
    #[error("the decode was cancelled")]
    Cancelled,
    /// An assumption of this program does not hold.
    #[error("bug in the decode: {message}")]
    Bug {
        /// Which one.
        message: String,
    },
}

impl MediaError {
    /// A permanent error with these words.
    pub fn permanent(message: impl Into<String>) -> Self {
        Self::Permanent { message: message.into() }
    }

    /// A transient error with these words.
    pub fn transient(message: impl Into<String>) -> Self {
        Self::Transient { message: message.into() }
    }

    /// A bug with these words.
    pub fn bug(message: impl Into<String>) -> Self {
        Self::Bug { message: message.into() }
    }

    /// An error of FFmpeg while doing `what`: out of memory is told apart, i/o errors are transient, all else is the
    /// file's fault.
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

    /// An error of the file system while doing `what` with `path`, one of our own files.
    pub fn from_io(what: &str, path: &Path, error: &io::Error) -> Self {
        Self::Transient { message: format!("{what} {}: {error}", path.display()) }
    }
}

/// What a failed decode means for its job: a crash or a hang may be the machine's fault and is tried again, up to the cap
/// on attempts.
impl From<MediaError> for Error {
    fn from(error: MediaError) -> Self {
        let kind = match &error {
            MediaError::Permanent { .. }
            | MediaError::MemoryExceeded { .. }
            | MediaError::TimedOut { clock: Clock::Cpu, .. } => ErrorKind::InvalidInput,
            MediaError::Transient { .. } | MediaError::Crashed { .. } | MediaError::TimedOut { .. } => {
                ErrorKind::Transient
            }
            MediaError::Cancelled => ErrorKind::Cancelled,
            MediaError::Bug { .. } => ErrorKind::Bug,
        };
        Error::new(kind, error.to_string())
    }
}
