//! The clock of the server: it refuses requests whose time is far from its own.

use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_s3::config::interceptors::BeforeDeserializationInterceptorContextRef;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;
use jiff::Timestamp;

use super::bucket::Bucket;
use crate::error::Result;

/// Takes the Date of an answer.
#[derive(Debug, Clone, Default)]
struct Date(Arc<Mutex<Option<Timestamp>>>);

impl Intercept for Date {
    fn name(&self) -> &'static str {
        "Date"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> std::result::Result<(), BoxError> {
        let date = context.response().headers().get("date").and_then(|date| jiff::fmt::rfc2822::parse(date).ok());
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = date.map(|date| date.timestamp());
        Ok(())
    }
}

impl Bucket {
    /// Returns the time of the server, from any answer: also from a refusal.
    ///
    /// # Errors
    /// Those of a server that does not answer.
    pub(super) async fn time(&self) -> Result<Option<Timestamp>> {
        let date = Date::default();
        let request = self.client.head_bucket().bucket(&self.name).customize().interceptor(date.clone()).send();
        let answered = tokio::time::timeout(self.stall_timeout, request).await;
        let time = *date.0.lock().unwrap_or_else(PoisonError::into_inner);
        match (time, answered) {
            (Some(time), _) => Ok(Some(time)),
            (None, Ok(Ok(_))) => Ok(None),
            (None, Ok(Err(error))) => Err(super::errors::classify(error, &self.name, &self.server).into_error()),
            (None, Err(_)) => Err(self.silent(self.stall_timeout).into_error()),
        }
    }
}
