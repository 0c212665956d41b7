//! The error type of every external edge, classified by what its caller can do.

use std::error::Error as StdError;
use std::fmt;

/// The kind of an error: the action that is open to the caller of a failed operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// The requested object does not exist. Request another one, or create it.
    NotFound,
    /// The input is not valid and a retry does not help: correct it. A job is quarantined at once.
    InvalidInput,
    /// The options of a command contradict each other or have no effect: correct the command line.
    Usage,
    /// A service, the network or the disk failed temporarily: retry later.
    Transient,
    /// A service throttles its callers: retry later. Nobody's fault, so that it counts as no
    /// attempt.
    Throttled,
    /// The service refused the credentials, or has no such bucket: correct it on either side.
    Permission,
    /// This machine or process cannot do the work and another one may: its scratch folder is gone,
    /// a model is missing, its version differs. Mend it, or leave the work to others.
    Unable,
    /// A disk or a store is full: make room, then repeat the command.
    StorageFull,
    /// A stop of the work was requested. This is not a failure and counts as no attempt.
    Cancelled,
    /// The program broke one of its own guarantees: report it.
    Bug,
}

impl ErrorKind {
    /// Returns the name used in records, metrics and traces.
    pub fn name(self) -> &'static str {
        match self {
            ErrorKind::NotFound => "not_found",
            ErrorKind::InvalidInput => "invalid_input",
            ErrorKind::Usage => "usage",
            ErrorKind::Transient => "transient",
            ErrorKind::Throttled => "throttled",
            ErrorKind::Permission => "permission",
            ErrorKind::Unable => "unable",
            ErrorKind::StorageFull => "storage_full",
            ErrorKind::Cancelled => "cancelled",
            ErrorKind::Bug => "bug",
        }
    }

    /// Whether the same operation may succeed later without a change.
    pub fn is_transient(self) -> bool {
        matches!(self, ErrorKind::Transient | ErrorKind::Throttled)
    }

    /// Whether the cause is the machine that met the error and not the input: the same work may
    /// succeed elsewhere, or here once the machine is mended.
    pub fn is_of_machine(self) -> bool {
        matches!(self, ErrorKind::Permission | ErrorKind::Unable | ErrorKind::StorageFull)
    }

    /// Whether the error is final for this input, so that the job is quarantined.
    pub fn is_permanent(self) -> bool {
        !self.is_transient() && self != ErrorKind::Cancelled && !self.is_of_machine()
    }
}

/// An error with its kind, a message that completes "failed to ...", and its cause.
pub struct Error {
    kind: ErrorKind,
    message: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// The result of every fallible operation in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Creates an error of `kind` with `message`.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Error { kind, message: message.into(), source: None }
    }

    /// See [`ErrorKind::NotFound`].
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotFound, message)
    }

    /// See [`ErrorKind::InvalidInput`].
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidInput, message)
    }

    /// See [`ErrorKind::Usage`].
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Usage, message)
    }

    /// See [`ErrorKind::Transient`].
    pub fn transient(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Transient, message)
    }

    /// See [`ErrorKind::Permission`].
    pub fn permission(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Permission, message)
    }

    /// See [`ErrorKind::Unable`].
    pub fn unable(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unable, message)
    }

    /// See [`ErrorKind::Cancelled`].
    pub fn cancelled(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Cancelled, message)
    }

    /// See [`ErrorKind::Bug`].
    pub fn bug(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Bug, message)
    }

    /// Adds the cause of the error.
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Prefixes the message with its context: `context: message`.
    pub fn context(mut self, context: impl fmt::Display) -> Self {
        self.message = format!("{context}: {}", self.message);
        self
    }

    /// Says that this machine's own file or library is at fault, not the input of the job that
    /// needed it: invalid or missing becomes Unable, and other kinds stay.
    pub fn of_machine(mut self) -> Self {
        if matches!(self.kind, ErrorKind::InvalidInput | ErrorKind::NotFound) {
            self.kind = ErrorKind::Unable;
        }
        self
    }

    /// The action that is open to the caller.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Joins the message and its causes with ": ", for a report or a quarantine record.
    pub fn chain(&self) -> String {
        let mut text = self.message.clone();
        let mut next = StdError::source(self);
        while let Some(cause) = next {
            let words = cause.to_string();
            if !text.contains(&words) {
                text.push_str(": ");
                text.push_str(&words);
            }
            next = cause.source();
        }
        text
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.chain())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|s| s as &(dyn StdError + 'static))
    }
}

impl Error {
    /// Classifies the error of a writer, such as that of Parquet, by the I/O error that caused it.
    /// An error without one is a bug in the encoder.
    pub fn of_writer(error: impl StdError + Send + Sync + 'static) -> Self {
        let mut next: Option<&(dyn StdError + 'static)> = Some(&error);
        while let Some(cause) = next {
            if let Some(io) = cause.downcast_ref::<std::io::Error>() {
                return Error::new(kind_of_io(io), io.to_string()).with_source(error);
            }
            next = cause.source();
        }
        Error::bug("the file cannot be encoded").with_source(error)
    }
}

/// Classifies an I/O error: a lost connection and a busy file are transient, a missing file is not,
/// a full disk is a kind of its own, and a folder that may not be read or written is this
/// machine's. A file system that turned read-only stays so until somebody mends it.
impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        let way_out = match error.kind() {
            std::io::ErrorKind::ReadOnlyFilesystem => ": make it writable, then repeat the command",
            _ => "",
        };
        Error::new(kind_of_io(&error), format!("{error}{way_out}")).with_source(error)
    }
}

fn kind_of_io(error: &std::io::Error) -> ErrorKind {
    use std::io::ErrorKind as Io;
    match error.kind() {
        Io::NotFound => ErrorKind::NotFound,
        Io::PermissionDenied | Io::ReadOnlyFilesystem => ErrorKind::Unable,
        Io::StorageFull | Io::QuotaExceeded | Io::FileTooLarge => ErrorKind::StorageFull,
        Io::InvalidInput | Io::InvalidData | Io::InvalidFilename => ErrorKind::InvalidInput,
        Io::IsADirectory | Io::NotADirectory | Io::AlreadyExists => ErrorKind::InvalidInput,
        _ => ErrorKind::Transient,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use parquet::errors::ParquetError;

    #[test]
    fn the_kind_of_a_writers_error_is_that_of_its_io_error() {
        for (io, kind) in [
            (std::io::ErrorKind::StorageFull, ErrorKind::StorageFull),
            (std::io::ErrorKind::PermissionDenied, ErrorKind::Unable),
            (std::io::ErrorKind::AlreadyExists, ErrorKind::InvalidInput),
            (std::io::ErrorKind::ConnectionReset, ErrorKind::Transient),
        ] {
            assert_eq!(Error::from(std::io::Error::from(io)).kind(), kind);
            let wrapped = ParquetError::from(std::io::Error::from(io));
            assert_eq!(Error::of_writer(wrapped).kind(), kind, "{io:?}");
        }
        assert_eq!(Error::of_writer(ParquetError::General("no page".into())).kind(), ErrorKind::Bug);
    }
}
