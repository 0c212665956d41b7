//! A request that cannot be answered: a status, and a message with the way out.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use jhalak_common::{Error, ErrorKind};
use schemars::JsonSchema;
use serde::Serialize;

/// Why a request was not answered.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The status of the answer.
    pub status: StatusCode,
    /// The reason, and what to do.
    pub message: String,
}

/// The JSON of a failure.
#[derive(Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FailureBody {
    /// The status of the answer.
    status: u16,
    /// The reason, and what to do.
    error: String,
}

impl Failure {
    /// Creates a failure.
    pub fn new(status: StatusCode, message: impl Into<String>) -> Failure {
        Failure { status, message: message.into() }
    }

    /// The address or an option in it is not valid.
    pub fn bad(message: impl Into<String>) -> Failure {
        Failure::new(StatusCode::BAD_REQUEST, message)
    }

    /// The server does too much at once.
    pub fn busy(why: &str) -> Failure {
        Failure::new(StatusCode::SERVICE_UNAVAILABLE, format!("{why}: try again in a moment"))
    }

    /// Answers 404: the address names nothing.
    pub fn missing(message: impl Into<String>) -> Failure {
        Failure::new(StatusCode::NOT_FOUND, message)
    }
}

/// An error of the store or the engine. Invalid input is in the store: the request is not at fault.
impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        let status = match error.kind() {
            ErrorKind::NotFound => StatusCode::NOT_FOUND,
            ErrorKind::Transient | ErrorKind::Throttled | ErrorKind::Permission | ErrorKind::Unable => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            ErrorKind::Usage => StatusCode::BAD_REQUEST,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Failure::new(status, error.chain())
    }
}

/// JSON; `routes` renders it as a page where a page was requested.
impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let body = FailureBody { status: self.status.as_u16(), error: self.message.clone() };
        let json = serde_json::to_string(&body).unwrap_or_default();
        let mut response = (self.status, [(header::CONTENT_TYPE, "application/json")], json).into_response();
        response.extensions_mut().insert(self);
        response
    }
}
