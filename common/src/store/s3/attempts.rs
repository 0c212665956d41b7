//! Retries of a request until it succeeds, fails permanently, or has used all attempts; and
//! detection of stalled requests.

use std::error::Error as _;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use aws_sdk_s3::config::interceptors::BeforeTransmitInterceptorContextMut;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;
use aws_sdk_s3::primitives::SdkBody;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::errors::Fault;
use super::operation::Operation;
use crate::backoff::Backoff;
use crate::error::ErrorKind;
use crate::telemetry::list::STORE_RETRIES;

/// The delays between attempts: from 0.2 s, doubled up to 10 s, times 0.5 to 1 at random.
const RETRY_BACKOFF: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(10), 0.5..1.0);

/// Size of the pieces in which a request body is passed to the connection; each piece counts as
/// progress.
const PIECE: usize = 64 << 10;

/// Consecutive failures of one operation.
pub(super) struct Attempts<'a> {
    operation: Operation<'a>,
    allowed: u32,
    failed: u32,
    backoff: Backoff,
}

impl<'a> Attempts<'a> {
    pub fn new(operation: Operation<'a>, allowed: u32) -> Self {
        Attempts { operation, allowed, failed: 0, backoff: RETRY_BACKOFF }
    }

    /// Resets the count after progress.
    pub fn progress(&mut self) {
        self.failed = 0;
        self.backoff.reset();
    }

    /// Counts a failure and waits before the next attempt. Returns the fault if it is final or no
    /// attempt is left.
    pub async fn failed(&mut self, fault: Fault) -> Result<(), Fault> {
        let (error, cause) = match fault {
            Fault::Stalled(error) => (error, "stalled"),
            Fault::Transient(error) if error.kind() == ErrorKind::Throttled => (error, "slow_down"),
            // What the server answered has no further source.
            Fault::Transient(error) | Fault::Away(error) if error.source().is_none() => (error, "server"),
            Fault::Transient(error) | Fault::Away(error) => (error, "connection"),
            other => return Err(other),
        };
        self.failed += 1;
        if self.failed >= self.allowed {
            let tries = self.failed;
            return Err(Fault::Transient(if tries > 1 {
                error.context(format_args!("after {tries} tries"))
            } else {
                error
            }));
        }
        STORE_RETRIES.increment(&[cause]);
        let delay = self.backoff.next_delay();
        tracing::debug!(operation = %self.operation, attempt = self.failed, error = %error.chain(), delay_ms = delay.as_millis() as u64, "trying again");
        tokio::time::sleep(delay).await;
        Ok(())
    }
}

/// The time of a request's last progress. As an interceptor it observes the request's body.
#[derive(Debug, Clone)]
pub(super) struct Progress {
    start: Instant,
    /// Milliseconds from `start` to the last progress.
    last_ms: Arc<AtomicU64>,
}

impl Progress {
    pub(super) fn start() -> Self {
        Progress { start: Instant::now(), last_ms: Arc::new(AtomicU64::new(0)) }
    }

    fn moved(&self) {
        self.last_ms.store(u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Returns when there was no progress for `silence`.
    pub(super) async fn silent_for(&self, silence: Duration) {
        loop {
            let until = Duration::from_millis(self.last_ms.load(Ordering::Relaxed)).saturating_add(silence);
            match until.checked_sub(self.start.elapsed()) {
                Some(rest) if !rest.is_zero() => tokio::time::sleep(rest).await,
                _ => return,
            }
        }
    }
}

impl Intercept for Progress {
    fn name(&self) -> &'static str {
        "Progress"
    }

    /// Runs after signing, so that the signature covers the bytes.
    fn modify_before_transmit(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let request = context.request_mut();
        if let Some(length) = request.body().bytes().map(<[u8]>::len).filter(|length| *length > PIECE) {
            let inner = request.take_body();
            let body = WatchedBody { inner, waiting: Bytes::new(), left: length as u64, progress: self.clone() };
            *request.body_mut() = SdkBody::from_body_1_x(body);
        }
        Ok(())
    }
}

/// A body in memory, handed out piece by piece.
struct WatchedBody {
    inner: SdkBody,
    waiting: Bytes,
    left: u64,
    progress: Progress,
}

impl Body for WatchedBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.progress.moved();
        if self.waiting.is_empty() {
            match ready!(Pin::new(&mut self.inner).poll_frame(context)).map(|frame| frame.map(Frame::into_data)) {
                None => return Poll::Ready(None),
                Some(Ok(Ok(bytes))) => self.waiting = bytes,
                Some(Ok(Err(other))) => return Poll::Ready(Some(Ok(other))),
                Some(Err(e)) => return Poll::Ready(Some(Err(e))),
            }
        }
        let piece = self.waiting.len().min(PIECE);
        self.left = self.left.saturating_sub(piece as u64);
        Poll::Ready(Some(Ok(Frame::data(self.waiting.split_to(piece)))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
