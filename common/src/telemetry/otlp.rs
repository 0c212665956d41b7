//! Exports spans to a collector of OpenTelemetry: OTLP over HTTP, protobuf.
//!
//! Spans go through a bounded channel to a thread with a runtime of its own: a collector that is
//! slow or absent delays no work, and what the channel cannot take is dropped and counted. (The
//! exporter sleeps its thread between two tries, and must not do that on a thread of the program's
//! runtime.)

use std::fmt;
use std::sync::mpsc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use opentelemetry::trace::TracerProvider;
use opentelemetry::{Context, KeyValue};
use opentelemetry_http::{HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{SpanExporter, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SdkTracerProvider, Span, SpanData, SpanExporter as _, SpanProcessor};
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::list::{SPANS_DROPPED, SPANS_EXPORTED};
use super::trace::TRACER;
use crate::error::{Error, Result};
use crate::process::Identity;

/// Spans that wait for the exporter.
const MAX_WAITING: usize = 4_096;

/// Spans of one request.
const MAX_BATCH: usize = 512;

/// How long a batch is collected.
const COLLECT: Duration = Duration::from_secs(1);

/// Timeout of a request where OTEL_EXPORTER_OTLP_TIMEOUT sets none.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How long the end of the process waits for the last spans.
const LAST_WAIT: Duration = Duration::from_secs(2);

/// The longest answer of a collector that is read.
const MAX_ANSWER: usize = 1 << 20;

enum Message {
    Span(Box<SpanData>),
    /// Export what was sent before, then answer.
    Flush(mpsc::Sender<()>),
}

/// Exports until it is finished.
pub struct Exporting {
    messages: Sender<Message>,
    /// Ends all spans that begin later.
    _provider: SdkTracerProvider,
}

impl Exporting {
    /// Sends the last spans; waits a moment for a collector that takes them.
    pub fn finish(self) {
        let (done, is_done) = mpsc::channel();
        // A full channel: the collector does not keep up, and is not waited for.
        if self.messages.try_send(Message::Flush(done)).is_ok() {
            // What it does not take in time is lost with the process.
            let _ = is_done.recv_timeout(LAST_WAIT);
        }
    }
}

/// Starts to export spans in the name of `program`, where OTEL_EXPORTER_OTLP_ENDPOINT (or
/// OTEL_EXPORTER_OTLP_TRACES_ENDPOINT) names a collector.
///
/// # Errors
/// InvalidInput for variables of OpenTelemetry that cannot be followed. Their values are not shown:
/// they may hold secrets.
pub fn start(program: &'static str) -> Result<Option<Exporting>> {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let endpoints = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];
    let Some((variable, endpoint)) = endpoints.iter().find_map(|name| Some((*name, set(name)?))) else {
        return Ok(None);
    };
    let is_off = set("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"))
        || set("OTEL_TRACES_EXPORTER").is_some_and(|value| value == "none");
    if is_off {
        return Ok(None);
    }
    let wrong = |variable: &str, why: &str| Error::invalid(format!("the variable {variable} {why}"));
    for variable in ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"] {
        if set(variable).is_some_and(|protocol| protocol != "http/protobuf") {
            return Err(wrong(
                variable,
                "asks for another protocol than http/protobuf: remove it, or use the collector's port for HTTP (4318)",
            ));
        }
    }
    let advice = "is not an http or https URL: write http://HOST:4318";
    let url = url::Url::parse(&endpoint).map_err(|_| wrong(variable, advice))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(wrong(variable, advice));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong(variable, "holds a user or password: put credentials into OTEL_EXPORTER_OTLP_HEADERS"));
    }
    let timeouts = ["OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"];
    let timeout = match timeouts.iter().find_map(|name| Some((*name, set(name)?))) {
        None => TIMEOUT,
        Some((variable, value)) => match value.parse() {
            Ok(ms @ 1..=600_000) => Duration::from_millis(ms),
            _ => return Err(wrong(variable, "is not a time in milliseconds from 1 to 600000")),
        },
    };
    let client = Http::new(url.scheme() == "https", timeout).map_err(|error| {
        Error::invalid(format!("the machine's certificate authorities cannot be read for {variable}"))
            .with_source(error)
    })?;
    let mut exporter = SpanExporter::builder().with_http().with_http_client(client).build().map_err(|_| {
        Error::invalid("the variables OTEL_EXPORTER_OTLP_* cannot be followed: compare them with the documentation of OpenTelemetry")
    })?;
    let mut resource = Resource::builder().with_attributes([
        KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        KeyValue::new("service.instance.id", Identity::this_process().id()),
    ]);
    let has_name = set("OTEL_SERVICE_NAME").is_some()
        || set("OTEL_RESOURCE_ATTRIBUTES").is_some_and(|attributes| attributes.contains("service.name="));
    if !has_name {
        resource = resource.with_service_name(program);
    }
    let resource = resource.build();
    exporter.set_resource(&resource);
    let (messages, waiting) = channel(MAX_WAITING);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new()
        .name("jhalak-traces".into())
        .spawn(move || runtime.block_on(export(exporter, waiting)))
        .map_err(|e| Error::from(e).context("cannot start the thread that exports traces"))?;
    let processor = Processor { messages: messages.clone() };
    let provider = SdkTracerProvider::builder().with_resource(resource).with_span_processor(processor).build();
    // Only the first exporter of a process counts.
    let _ = TRACER.set(provider.tracer("jhalak"));
    Ok(Some(Exporting { messages, _provider: provider }))
}

async fn export(exporter: SpanExporter, mut waiting: Receiver<Message>) {
    let mut warned = false;
    while let Some(first) = waiting.recv().await {
        let (mut batch, mut flush) = (Vec::new(), None);
        let mut next = Some(first);
        let until = tokio::time::Instant::now() + COLLECT;
        loop {
            match next {
                Some(Message::Span(span)) => batch.push(*span),
                Some(Message::Flush(done)) => {
                    flush = Some(done);
                    break;
                }
                None => break,
            }
            if batch.len() >= MAX_BATCH {
                break;
            }
            next = tokio::time::timeout_at(until, waiting.recv()).await.unwrap_or_default();
        }
        let spans = batch.len() as f64;
        if !batch.is_empty() {
            match exporter.export(batch).await {
                Ok(()) => SPANS_EXPORTED.add(&[], spans),
                Err(_) => {
                    SPANS_DROPPED.add(&[], spans);
                    if !std::mem::replace(&mut warned, true) {
                        // Its message may repeat headers.
                        tracing::warn!(
                            "the collector of OTEL_EXPORTER_OTLP_ENDPOINT does not take spans: they are dropped and counted"
                        );
                    }
                }
            }
        }
        if let Some(done) = flush {
            // Nobody waits any longer.
            let _ = done.send(());
        }
    }
}

/// Passes ended spans to the exporting thread.
#[derive(Debug)]
struct Processor {
    messages: Sender<Message>,
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Message")
    }
}

impl SpanProcessor for Processor {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        if self.messages.try_send(Message::Span(Box::new(span))).is_err() {
            SPANS_DROPPED.increment(&[]);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

/// The client of the exporter.
struct Http {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    timeout: Duration,
}

impl Http {
    fn new(is_tls: bool, timeout: Duration) -> std::io::Result<Http> {
        let builder = HttpsConnectorBuilder::new();
        let connector = match is_tls {
            true => builder
                .with_provider_and_native_roots(rustls::crypto::ring::default_provider())?
                .https_only()
                .enable_http1()
                .build(),
            false => {
                let config =
                    rustls::ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
                        .with_safe_default_protocol_versions()
                        .map_err(std::io::Error::other)?
                        .with_root_certificates(rustls::RootCertStore::empty())
                        .with_no_client_auth();
                builder.with_tls_config(config).https_or_http().enable_http1().build()
            }
        };
        Ok(Http { client: Client::builder(TokioExecutor::new()).build(connector), timeout })
    }
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Http")
    }
}

#[async_trait]
impl HttpClient for Http {
    async fn send_bytes(&self, request: Request<Bytes>) -> std::result::Result<Response<Bytes>, HttpError> {
        let exchange = async {
            let (parts, body) = self.client.request(request.map(Full::new)).await?.into_parts();
            let body = Limited::new(body, MAX_ANSWER).collect().await?.to_bytes();
            Ok::<_, HttpError>(Response::from_parts(parts, body))
        };
        tokio::time::timeout(self.timeout, exchange).await?
    }
}
