//! Classifies the errors of the SDK by what can be done about them: the only code that reads them.

use std::error::Error as StdError;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};

use super::operation::Operation;
use crate::error::{Error, ErrorKind};

/// The failure of one request.
#[derive(Debug)]
pub(super) enum Fault {
    /// Transient: the request can be retried. Whether it took effect is unknown.
    Transient(Error),
    /// Transient: the server failed, or cannot be reached. Other requests meet the same.
    Away(Error),
    /// Transient: nothing was sent or received for too long.
    Stalled(Error),
    /// There is no such object (or bucket, if the answer has no body).
    NotFound(Error),
    /// The condition on the object's content or absence did not hold.
    PreconditionFailed(Error),
    /// The multipart upload is unknown: it was completed or aborted.
    NoSuchUpload(Error),
    /// Permanent.
    Permanent(Error),
}

impl Fault {
    /// Returns the error.
    pub fn into_error(self) -> Error {
        match self {
            Fault::Transient(e)
            | Fault::Away(e)
            | Fault::Stalled(e)
            | Fault::NotFound(e)
            | Fault::PreconditionFailed(e)
            | Fault::NoSuchUpload(e)
            | Fault::Permanent(e) => e,
        }
    }

    /// Whether the server asked for fewer requests.
    pub fn is_throttled(&self) -> bool {
        matches!(self, Fault::Transient(error) if error.kind() == ErrorKind::Throttled)
    }

    /// Adds the operation to the error.
    pub fn context(self, operation: Operation<'_>) -> Self {
        match self {
            Fault::Transient(e) => Fault::Transient(e.context(operation)),
            Fault::Away(e) => Fault::Away(e.context(operation)),
            Fault::Stalled(e) => Fault::Stalled(e.context(operation)),
            Fault::NotFound(e) => Fault::NotFound(e.context(operation)),
            Fault::PreconditionFailed(e) => Fault::PreconditionFailed(e.context(operation)),
            Fault::NoSuchUpload(e) => Fault::NoSuchUpload(e.context(operation)),
            Fault::Permanent(e) => Fault::Permanent(e.context(operation)),
        }
    }
}

/// Codes to retry whatever the status: some come within an answer of status 200.
const TRANSIENT_CODES: &[&str] = &[
    "SlowDown",
    "InternalError",
    "ServiceUnavailable",
    "RequestTimeout",
    "Throttling",
    "ThrottlingException",
    "TooManyRequests",
    "TooManyRequestsException",
    "RequestLimitExceeded",
    "BandwidthLimitExceeded",
    // Concurrent conditional or conflicting writes, not decided yet.
    "ConditionalRequestConflict",
    "OperationAborted",
    // The body was cut or damaged in transit.
    "IncompleteBody",
    "BadDigest",
    "XAmzContentSHA256Mismatch",
];

/// Codes about credentials.
const CREDENTIAL_CODES: &[&str] = &[
    "AccessDenied",
    "AccountProblem",
    "AllAccessDisabled",
    "ExpiredToken",
    "InvalidAccessKeyId",
    "InvalidSecurity",
    "InvalidToken",
    "NotSignedUp",
    "SignatureDoesNotMatch",
    "TokenRefreshRequired",
];

/// Classifies the failure of one request to `bucket` at `server`.
pub(super) fn classify<E>(error: SdkError<E, HttpResponse>, bucket: &str, server: &str) -> Fault
where
    E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
{
    if let Some(fault) = credentials(&error) {
        return fault;
    }
    match &error {
        SdkError::ServiceError(service) => {
            let status = service.raw().status().as_u16();
            answered(service.err().code(), service.err().message(), status, bucket, server)
        }
        SdkError::ConstructionFailure(_) => {
            Fault::Permanent(Error::invalid("the request cannot be made").with_source(error))
        }
        SdkError::DispatchFailure(failure) if failure.is_user() => {
            Fault::Permanent(Error::invalid(format!("the request to {server} cannot be made")).with_source(error))
        }
        SdkError::TimeoutError(_) | SdkError::DispatchFailure(_) => Fault::Away(
            Error::transient(format!(
                "the object store at {server} cannot be reached; is it running, and is s3.endpoint right?"
            ))
            .with_source(error),
        ),
        SdkError::ResponseError(_) => Fault::Transient(
            Error::transient(format!("the answer of the object store at {server} was cut or cannot be read"))
                .with_source(error),
        ),
        _ => Fault::Transient(Error::transient(format!("the request to {server} failed")).with_source(error)),
    }
}

/// Classifies an error that the server returned.
fn answered(code: Option<&str>, message: Option<&str>, status: u16, bucket: &str, server: &str) -> Fault {
    let code = code.unwrap_or_default();
    let words = match (code, message.unwrap_or_default()) {
        ("", _) => format!("status {status}"),
        (code, "") => format!("{code}, status {status}"),
        (code, message) => format!("{code}, status {status}: {message}"),
    };
    let said = |advice: &str| format!("the object store at {server} answered {words}{advice}");

    match code {
        "NoSuchBucket" => return Fault::Permanent(no_such_bucket(bucket, server)),
        "NoSuchKey" => return Fault::NotFound(no_such_object(bucket)),
        "NoSuchUpload" => return Fault::NoSuchUpload(Error::transient(said(""))),
        "PreconditionFailed" => return Fault::PreconditionFailed(Error::invalid(said(""))),
        "XMinioStorageFull" | "QuotaExceeded" | "InsufficientStorage" => return Fault::Permanent(full(&said(""))),
        "RequestTimeTooSkewed" => return Fault::Permanent(Error::permission(said(": set this machine's clock"))),
        "PermanentRedirect" | "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException" => {
            return Fault::Permanent(Error::invalid(said(": set s3.region to the region of the bucket")));
        }
        "SlowDown" | "Throttling" | "ThrottlingException" | "RequestLimitExceeded" | "TooManyRequestsException" => {
            return Fault::Transient(throttled(&said("")));
        }
        // An answer to HEAD has no body: expired credentials give 400 and no code.
        "" if status == 400 => return Fault::Permanent(refused(bucket, &said(""))),
        _ if TRANSIENT_CODES.contains(&code) && status >= 500 => return Fault::Away(Error::transient(said(""))),
        _ if TRANSIENT_CODES.contains(&code) => return Fault::Transient(Error::transient(said(""))),
        _ if CREDENTIAL_CODES.contains(&code) => return Fault::Permanent(refused(bucket, &said(""))),
        _ => {}
    }
    match status {
        401 | 403 => Fault::Permanent(refused(bucket, &said(""))),
        404 => Fault::NotFound(no_such_object(bucket)),
        412 => Fault::PreconditionFailed(Error::invalid(said(""))),
        // Of two concurrent conditional writes, one gets this answer and must retry.
        429 | 503 => Fault::Transient(throttled(&said(""))),
        408 | 409 | 425 => Fault::Transient(Error::transient(said(""))),
        507 => Fault::Permanent(full(&said(""))),
        501 => Fault::Permanent(Error::invalid(said(": it lacks a required part of S3"))),
        500..=599 => Fault::Away(Error::transient(said(""))),
        // Errors within an answer that started as a success.
        200..=299 => Fault::Transient(Error::transient(said(""))),
        _ => Fault::Permanent(Error::invalid(said(""))),
    }
}

/// Classifies a failure to get credentials.
fn credentials(error: &(dyn StdError + 'static)) -> Option<Fault> {
    let mut next = Some(error);
    while let Some(cause) = next {
        if let Some(found) = cause.downcast_ref::<CredentialsError>() {
            let words = said_by(found);
            return Some(match found {
                CredentialsError::CredentialsNotLoaded(_) => Fault::Permanent(Error::permission(
                    "no credentials for S3 were found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (and AWS_SESSION_TOKEN for temporary ones), \
                     AWS_PROFILE with ~/.aws/credentials, or run under a role (AWS_WEB_IDENTITY_TOKEN_FILE and AWS_ROLE_ARN in a pod, \
                     AWS_CONTAINER_CREDENTIALS_FULL_URI, or the machine's own)",
                )),
                CredentialsError::InvalidConfiguration(_) => Fault::Permanent(Error::permission(format!(
                    "the AWS configuration cannot be used; check AWS_PROFILE and ~/.aws: {words}"
                ))),
                _ => Fault::Transient(Error::transient(format!("the credentials for S3 cannot be fetched: {words}"))),
            });
        }
        next = cause.source();
    }
    None
}

/// The messages of an error and its causes. The library's own text for it ends in the fields of its
/// types.
fn said_by(error: &(dyn StdError + 'static)) -> String {
    let mut said = vec![error.to_string()];
    let mut next = error.source();
    while let Some(cause) = next {
        said.push(cause.to_string());
        next = cause.source();
    }
    said.dedup();
    said.join(": ")
}

fn refused(bucket: &str, said: &str) -> Error {
    Error::permission(format!(
        "{said}; check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_PROFILE or the pod's role, and what they may do in bucket {bucket}"
    ))
}

fn throttled(said: &str) -> Error {
    Error::new(ErrorKind::Throttled, said)
}

fn full(said: &str) -> Error {
    Error::new(ErrorKind::StorageFull, format!("{said}: the store is full; make room, then repeat the command"))
}

fn no_such_object(bucket: &str) -> Error {
    Error::not_found(format!("there is no such object in bucket {bucket}"))
}

/// Returns the error for a bucket that does not exist. It is waited for like refused credentials: a
/// bucket may be restored, and no job is the cause.
pub(super) fn no_such_bucket(bucket: &str, server: &str) -> Error {
    Error::new(
        ErrorKind::Permission,
        format!("the bucket {bucket} does not exist at {server}: create it, or correct the store's URL"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classified(code: &str, status: u16) -> (&'static str, ErrorKind, String) {
        let fault = answered(Some(code).filter(|c| !c.is_empty()), Some("words"), status, "films", "http://host:1");
        let name = match &fault {
            Fault::Transient(_) | Fault::Away(_) | Fault::Stalled(_) => "transient",
            Fault::NotFound(_) => "not found",
            Fault::PreconditionFailed(_) => "precondition",
            Fault::NoSuchUpload(_) => "no upload",
            Fault::Permanent(_) => "permanent",
        };
        let error = fault.into_error();
        (name, error.kind(), error.to_string())
    }

    #[test]
    fn an_error_inside_a_success_is_transient() {
        assert_eq!(classified("SlowDown", 200).0, "transient");
        assert_eq!(classified("InternalError", 200).0, "transient");
    }

    #[test]
    fn a_conflict_is_transient_and_a_failed_condition_is_not() {
        assert_eq!(classified("ConditionalRequestConflict", 409).0, "transient");
        assert_eq!(classified("", 409).0, "transient");
        assert_eq!(classified("PreconditionFailed", 412).0, "precondition");
        assert_eq!(classified("", 412).0, "precondition");
    }

    #[test]
    fn errors_name_what_to_correct() {
        for (code, status, kind, word) in [
            ("NoSuchBucket", 404, ErrorKind::Permission, "films"),
            ("AccessDenied", 403, ErrorKind::Permission, "AWS_ACCESS_KEY_ID"),
            ("XMinioStorageFull", 507, ErrorKind::StorageFull, "make room"),
            ("", 507, ErrorKind::StorageFull, "make room"),
            ("", 403, ErrorKind::Permission, "AWS_PROFILE"),
            ("ExpiredToken", 400, ErrorKind::Permission, "AWS_SESSION_TOKEN"),
            ("RequestTimeTooSkewed", 403, ErrorKind::Permission, "clock"),
            ("PermanentRedirect", 301, ErrorKind::InvalidInput, "s3.region"),
            ("NotImplemented", 501, ErrorKind::InvalidInput, "http://host:1"),
        ] {
            let (name, got, message) = classified(code, status);
            assert_eq!((name, got), ("permanent", kind), "{code} {status}");
            assert!(message.contains(word), "{message} does not name {word}");
        }
    }
}
