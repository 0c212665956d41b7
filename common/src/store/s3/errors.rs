//! Every error of the SDK, judged in one place by what can be done about it.

use std::error::Error as StdError;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};

use super::operation::Doing;
use crate::error::{Error, ErrorKind};

/// What became of one request.
#[derive(Debug)]
pub(super) enum Fault {
    /// It may pass: the same request is worth another attempt. Whether this one took effect is not known.
    Passing(Error),
    /// There is no such object (or bucket, where the answer has no words).
    NotFound(Error),
    /// The condition on the object's content or absence did not hold.
    PreconditionFailed(Error),
    /// The multipart upload is unknown: it was completed or given up.
    NoSuchUpload(Error),
    /// It stays so.
    Final(Error),
}

impl Fault {
    /// The error, whatever the fault.
    pub fn into_error(self) -> Error {
        match self {
            Fault::Passing(e)
            | Fault::NotFound(e)
            | Fault::PreconditionFailed(e)
            | Fault::NoSuchUpload(e)
            | Fault::Final(e) => e,
        }
    }

    /// The same fault, its error told from one step further out.
    pub fn context(self, doing: Doing<'_>) -> Self {
        match self {
            Fault::Passing(e) => Fault::Passing(e.context(doing)),
            Fault::NotFound(e) => Fault::NotFound(e.context(doing)),
            Fault::PreconditionFailed(e) => Fault::PreconditionFailed(e.context(doing)),
            Fault::NoSuchUpload(e) => Fault::NoSuchUpload(e.context(doing)),
            Fault::Final(e) => Fault::Final(e.context(doing)),
        }
    }
}

/// Codes that are worth another attempt whatever status they come with: some come inside an answer of status 200.
const PASSING_CODES: &[&str] = &[
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
    // Two conditional or conflicting writes at once: nobody knows yet who wins.
    "ConditionalRequestConflict",
    "OperationAborted",
    // The body was cut or damaged on its way.
    "IncompleteBody",
    "BadDigest",
    "XAmzContentSHA256Mismatch",
];

/// Codes about who is asking.
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

/// Judges the failure of one request to `bucket` at `server`.
pub(super) fn judge<E>(error: SdkError<E, HttpResponse>, bucket: &str, server: &str) -> Fault
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
            Fault::Final(Error::invalid("the request cannot be made").with_source(error))
        }
        SdkError::DispatchFailure(failure) if failure.is_user() => {
            Fault::Final(Error::invalid(format!("the request to {server} cannot be made")).with_source(error))
        }
        SdkError::TimeoutError(_) | SdkError::DispatchFailure(_) => Fault::Passing(
            Error::transient(format!(
                "the object store at {server} cannot be reached; is it running, and is s3.endpoint right?"
            ))
            .with_source(error),
        ),
        SdkError::ResponseError(_) => Fault::Passing(
            Error::transient(format!("the answer of the object store at {server} was cut or cannot be read"))
                .with_source(error),
        ),
        _ => Fault::Passing(Error::transient(format!("the request to {server} failed")).with_source(error)),
    }
}

/// Judges an error that the server itself answered.
fn answered(code: Option<&str>, message: Option<&str>, status: u16, bucket: &str, server: &str) -> Fault {
    let code = code.unwrap_or_default();
    let words = match (code, message.unwrap_or_default()) {
        ("", _) => format!("status {status}"),
        (code, "") => format!("{code}, status {status}"),
        (code, message) => format!("{code}, status {status}: {message}"),
    };
    let said = |advice: &str| format!("the object store at {server} answered {words}{advice}");

    match code {
        "NoSuchBucket" => return Fault::Final(no_such_bucket(bucket, server)),
        "NoSuchKey" => return Fault::NotFound(no_such_object(bucket)),
        "NoSuchUpload" => return Fault::NoSuchUpload(Error::transient(said(""))),
        "PreconditionFailed" => return Fault::PreconditionFailed(Error::invalid(said(""))),
        "RequestTimeTooSkewed" => return Fault::Final(Error::permission(said(": set this machine's clock"))),
        "PermanentRedirect" | "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException" => {
            return Fault::Final(Error::invalid(said(": set s3.region to the region of the bucket")));
        }
        _ if PASSING_CODES.contains(&code) => return Fault::Passing(Error::transient(said(""))),
        _ if CREDENTIAL_CODES.contains(&code) => return Fault::Final(refused(bucket, &said(""))),
        _ => {}
    }
    match status {
        401 | 403 => Fault::Final(refused(bucket, &said(""))),
        404 => Fault::NotFound(no_such_object(bucket)),
        412 => Fault::PreconditionFailed(Error::invalid(said(""))),
        // Of two conditional writes at once, one is told so and has to ask again.
        408 | 409 | 425 | 429 => Fault::Passing(Error::transient(said(""))),
        501 => Fault::Final(Error::invalid(said(": it lacks a part of S3 that is needed here"))),
        // Also an error inside an answer that began as a success.
        200..=299 | 500..=599 => Fault::Passing(Error::transient(said(""))),
        _ => Fault::Final(Error::invalid(said(""))),
    }
}

/// Judges a failure to get credentials at all.
fn credentials(error: &(dyn StdError + 'static)) -> Option<Fault> {
    let mut next = Some(error);
    while let Some(cause) = next {
        if let Some(found) = cause.downcast_ref::<CredentialsError>() {
            let words = DisplayErrorContext(found).to_string();
            return Some(match found {
                CredentialsError::CredentialsNotLoaded(_) => Fault::Final(Error::permission(
                    "no credentials for S3 were found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (and AWS_SESSION_TOKEN for temporary ones), \
                     AWS_PROFILE with ~/.aws/credentials, or run under a role (AWS_WEB_IDENTITY_TOKEN_FILE and AWS_ROLE_ARN in a pod, \
                     AWS_CONTAINER_CREDENTIALS_FULL_URI, or the machine's own)",
                )),
                CredentialsError::InvalidConfiguration(_) => Fault::Final(Error::permission(format!(
                    "the AWS configuration cannot be used; check AWS_PROFILE and ~/.aws: {words}"
                ))),
                _ => Fault::Passing(Error::transient(format!("the credentials for S3 cannot be fetched: {words}"))),
            });
        }
        next = cause.source();
    }
    None
}

fn refused(bucket: &str, said: &str) -> Error {
    Error::permission(format!(
        "{said}; check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_PROFILE or the pod's role, and what they may do in bucket {bucket}"
    ))
}

fn no_such_object(bucket: &str) -> Error {
    Error::not_found(format!("there is no such object in bucket {bucket}"))
}

/// The error for a bucket that does not exist.
pub(super) fn no_such_bucket(bucket: &str, server: &str) -> Error {
    Error::new(
        ErrorKind::InvalidInput,
        format!("the bucket {bucket} does not exist at {server}: create it, or correct the store's URL"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(code: &str, status: u16) -> (&'static str, ErrorKind, String) {
        let fault = answered(Some(code).filter(|c| !c.is_empty()), Some("words"), status, "films", "http://host:1");
        let name = match &fault {
            Fault::Passing(_) => "passing",
            Fault::NotFound(_) => "not found",
            Fault::PreconditionFailed(_) => "precondition",
            Fault::NoSuchUpload(_) => "no upload",
            Fault::Final(_) => "final",
        };
        let error = fault.into_error();
        (name, error.kind(), error.to_string())
    }

    #[test]
    fn an_error_inside_a_success_is_tried_again() {
        assert_eq!(judged("SlowDown", 200).0, "passing");
        assert_eq!(judged("InternalError", 200).0, "passing");
    }

    #[test]
    fn a_conflict_is_tried_again_and_a_failed_condition_is_an_answer() {
        assert_eq!(judged("ConditionalRequestConflict", 409).0, "passing");
        assert_eq!(judged("", 409).0, "passing");
        assert_eq!(judged("PreconditionFailed", 412).0, "precondition");
        assert_eq!(judged("", 412).0, "precondition");
    }

    #[test]
    fn the_caller_learns_what_to_mend() {
        for (code, status, kind, word) in [
            ("NoSuchBucket", 404, ErrorKind::InvalidInput, "films"),
            ("AccessDenied", 403, ErrorKind::Permission, "AWS_ACCESS_KEY_ID"),
            ("", 403, ErrorKind::Permission, "AWS_PROFILE"),
            ("ExpiredToken", 400, ErrorKind::Permission, "AWS_SESSION_TOKEN"),
            ("RequestTimeTooSkewed", 403, ErrorKind::Permission, "clock"),
            ("PermanentRedirect", 301, ErrorKind::InvalidInput, "s3.region"),
            ("NotImplemented", 501, ErrorKind::InvalidInput, "http://host:1"),
        ] {
            let (name, got, message) = judged(code, status);
            assert_eq!((name, got), ("final", kind), "{code} {status}");
            assert!(message.contains(word), "{message} does not name {word}");
        }
    }
}
