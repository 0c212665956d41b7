//! Traces: one for each trailer, from the message that is sent to the commit of its artifacts.
//!
//! A job carries its trace context as a `traceparent` of W3C Trace Context. Where traces are not
//! exported, spans cost nothing, and the context that a job carries is passed on unchanged.

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use opentelemetry::trace::{
    Link, Span as _, SpanBuilder, SpanContext, SpanId, SpanKind, Status, TraceContextExt, TraceFlags, TraceId,
    TraceState, Tracer,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::SdkTracer;

use crate::error::ErrorKind;

/// Set where traces are exported.
pub(super) static TRACER: OnceLock<SdkTracer> = OnceLock::new();

/// The kind of a span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Sends a message.
    Sends,
    /// Processes a message.
    Processes,
    /// Anything inside of a process.
    Works,
}

/// A position in a trace, which spans can have as their parent.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct TraceContext(Option<SpanContext>);

impl fmt::Debug for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.traceparent().as_deref().unwrap_or("-"))
    }
}

impl TraceContext {
    /// Reads the `traceparent` of a message; an empty context if it is not valid.
    pub fn read(traceparent: Option<&str>) -> TraceContext {
        TraceContext(traceparent.and_then(parse))
    }

    /// Returns it as a `traceparent`, for a message.
    pub fn traceparent(&self) -> Option<String> {
        let place = self.0.as_ref()?;
        Some(format!("00-{}-{}-{:02x}", place.trace_id(), place.span_id(), place.trace_flags().to_u8() & 1))
    }

    /// Returns the id of its trace in hex, for logs.
    pub fn trace_id(&self) -> Option<String> {
        Some(self.0.as_ref()?.trace_id().to_string())
    }

    /// Begins a span here. In an empty context, in a trace of its own only if `role` begins one.
    pub fn child(&self, name: &'static str) -> Span {
        match self.0 {
            Some(_) => begin(name.to_string(), Role::Works, self, None),
            None => Span(None),
        }
    }

    /// Begins the span of a message at `destination`; in an empty context it begins a trace. `of`
    /// is a span of another trace to refer to.
    pub fn message(&self, role: Role, destination: &str, of: Option<&TraceContext>) -> Span {
        let operation = match role {
            Role::Sends => "send",
            _ => "process",
        };
        let mut span = begin(format!("{operation} {destination}"), role, self, of);
        span.set("messaging.system", "rabbitmq");
        span.set("messaging.operation.type", operation);
        span.set("messaging.operation.name", operation);
        span.set("messaging.destination.name", destination.to_string());
        span
    }
}

fn parse(traceparent: &str) -> Option<SpanContext> {
    let mut parts = traceparent.split('-');
    let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let is_hex = |text: &str, len: usize| {
        text.len() == len && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    };
    // A later version may have more parts.
    let is_known = version == "00" && parts.next().is_none() || is_hex(version, 2) && version > "00" && version < "ff";
    if !is_known || !is_hex(trace, 32) || !is_hex(span, 16) || !is_hex(flags, 2) {
        return None;
    }
    let (trace, span) = (TraceId::from_hex(trace).ok()?, SpanId::from_hex(span).ok()?);
    let flags = TraceFlags::new(u8::from_str_radix(flags, 16).ok()? & 1);
    let place = SpanContext::new(trace, span, flags, true, TraceState::NONE);
    place.is_valid().then_some(place)
}

/// Begins a trace with a span of this name.
pub fn root(name: &str) -> Span {
    begin(name.to_string(), Role::Works, &TraceContext::default(), None)
}

fn begin(name: String, role: Role, parent: &TraceContext, of: Option<&TraceContext>) -> Span {
    let Some(tracer) = TRACER.get() else { return Span(None) };
    let kind = match role {
        Role::Sends => SpanKind::Producer,
        Role::Processes => SpanKind::Consumer,
        Role::Works => SpanKind::Internal,
    };
    let mut builder = SpanBuilder::from_name(name).with_kind(kind);
    if let Some(TraceContext(Some(linked))) = of {
        builder = builder.with_links(vec![Link::with_context(linked.clone())]);
    }
    let context = match &parent.0 {
        Some(parent) => Context::new().with_remote_span_context(parent.clone()),
        None => Context::new(),
    };
    Span(Some(tracer.build_with_context(builder, &context)))
}

/// A span; it ends when it is dropped.
#[derive(Debug, Default)]
pub struct Span(Option<opentelemetry_sdk::trace::Span>);

impl Span {
    /// Adds an attribute.
    pub fn set(&mut self, key: &'static str, value: impl Into<opentelemetry::Value>) {
        if let Some(span) = &mut self.0 {
            span.set_attribute(KeyValue::new(key, value));
        }
    }

    /// Notes that what it stands for has failed.
    pub fn fail(&mut self, kind: ErrorKind) {
        self.set("error.type", kind.name());
        if let Some(span) = &mut self.0 {
            span.set_status(Status::error(kind.name()));
        }
    }

    /// Returns its place; `instead` where traces are not exported.
    pub fn context_or(&self, instead: &TraceContext) -> TraceContext {
        self.0.as_ref().map_or_else(|| instead.clone(), |span| TraceContext(Some(span.span_context().clone())))
    }
}

/// The place of the work that a task does now: its job's step, as [`Active::enter`] says.
#[derive(Debug, Clone, Default)]
pub struct Active(Arc<Mutex<TraceContext>>);

tokio::task_local! {
    static ACTIVE: Active;
}

impl Active {
    /// From now on the work is done at `place`.
    pub fn enter(&self, place: TraceContext) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = place;
    }

    /// Runs `work`, inside of which [`current`] is the place entered last.
    pub async fn scope<T>(&self, work: impl Future<Output = T>) -> T {
        ACTIVE.scope(self.clone(), work).await
    }
}

/// Returns the place of the work that this task does.
pub fn current() -> TraceContext {
    ACTIVE.try_with(|active| active.0.lock().unwrap_or_else(PoisonError::into_inner).clone()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traceparent_is_read_and_written_unchanged_and_nonsense_is_refused() {
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let place = TraceContext::read(Some(good));
        assert_eq!(place.traceparent().as_deref(), Some(good));
        assert_eq!(place.trace_id().as_deref(), Some("0af7651916cd43dd8448eb211c80319c"));
        // Nothing is exported here: the place of a span is that of its parent.
        assert_eq!(place.child("fetch").context_or(&place), place);
        let later = TraceContext::read(Some("01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00-more"));
        assert_eq!(later.traceparent().as_deref(), Some(good.replace("-01", "-00").as_str()));
        for wrong in [
            "",
            "00",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-+af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-é0af7651916cd43dd8448eb211c8031-b7ad6b7169203331-01",
        ] {
            assert_eq!(TraceContext::read(Some(wrong)), TraceContext::default(), "{wrong}");
        }
        assert_eq!(TraceContext::default().traceparent(), None);
    }

    #[tokio::test]
    async fn the_current_place_is_that_of_the_tasks_own_job() {
        let place = TraceContext::read(Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"));
        let active = Active::default();
        let inside = active.scope(async {
            let before = current();
            active.enter(place.clone());
            (before, current(), tokio::spawn(async { current() }).await.expect("no panic"))
        });
        assert_eq!(inside.await, (TraceContext::default(), place, TraceContext::default()));
        assert_eq!(current(), TraceContext::default());
    }
}
