//! Classifies the errors of lapin: the only code that reads them.

use std::io;

use lapin::protocol::{AMQPErrorKind, AMQPHardError, AMQPSoftError};

use crate::error::{Error, ErrorKind};

/// A failed AMQP operation.
#[derive(Debug, Clone)]
pub(super) enum Fault {
    /// The connection or the broker failed temporarily.
    Lost(String),
    /// The broker refuses this user, or this operation for the user.
    Refused(String),
    /// The virtual host does not exist.
    NoVhost(String),
    /// The queue or exchange does not exist.
    NotFound(String),
    /// A precondition failed: other arguments than what exists, a message beyond the broker's size
    /// limit, an acknowledgement timeout.
    Mismatch(String),
    /// TLS was refused: certificate, name or protocol.
    Tls(String),
}

/// Classifies an error of the broker or the connection.
pub(super) fn read(error: &lapin::Error) -> Fault {
    match error.kind() {
        lapin::ErrorKind::ProtocolError(amqp) => {
            let text = amqp.get_message().to_string();
            match amqp.kind() {
                AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED) => Fault::Refused(text),
                AMQPErrorKind::Soft(AMQPSoftError::NOTFOUND) => Fault::NotFound(text),
                AMQPErrorKind::Soft(AMQPSoftError::PRECONDITIONFAILED) => Fault::Mismatch(text),
                // The same code stands for a missing virtual host and for one without access.
                AMQPErrorKind::Hard(AMQPHardError::NOTALLOWED) if text.contains("not found") => Fault::NoVhost(text),
                AMQPErrorKind::Hard(AMQPHardError::NOTALLOWED) => Fault::Refused(text),
                _ => Fault::Lost(text),
            }
        }
        lapin::ErrorKind::AuthProviderError(text) => Fault::Refused(text.clone()),
        // rustls reports a certificate that it does not trust as invalid data.
        lapin::ErrorKind::IOError(io) if io.kind() == io::ErrorKind::InvalidData => Fault::Tls(io.to_string()),
        lapin::ErrorKind::IOError(io) => Fault::Lost(io.to_string()),
        _ => Fault::Lost(error.to_string()),
    }
}

impl Fault {
    /// Returns the message of the broker or the connection.
    pub(super) fn text(&self) -> &str {
        match self {
            Fault::Lost(text)
            | Fault::Refused(text)
            | Fault::NoVhost(text)
            | Fault::NotFound(text)
            | Fault::Mismatch(text)
            | Fault::Tls(text) => text,
        }
    }

    /// Returns the error for a caller that asked the broker `to` do something.
    pub(super) fn error(&self, to: &str) -> Error {
        let kind = match self {
            Fault::Lost(_) | Fault::NotFound(_) => ErrorKind::Transient,
            Fault::Refused(_) => ErrorKind::Permission,
            Fault::NoVhost(_) | Fault::Mismatch(_) | Fault::Tls(_) => ErrorKind::InvalidInput,
        };
        Error::new(kind, format!("the broker failed {to}: {}", self.text()))
    }
}
