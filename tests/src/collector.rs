//! A collector of OpenTelemetry for tests: takes OTLP over HTTP and decodes it with messages of its
//! own.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

use prost::Message;

/// The parts of opentelemetry/proto/collector/trace/v1 that the tests look at, by their field
/// numbers.
#[derive(Clone, PartialEq, Message)]
struct Request {
    #[prost(message, repeated, tag = "1")]
    resource_spans: Vec<ResourceSpans>,
}

#[derive(Clone, PartialEq, Message)]
struct ResourceSpans {
    #[prost(message, optional, tag = "1")]
    resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    scope_spans: Vec<ScopeSpans>,
}

#[derive(Clone, PartialEq, Message)]
struct Resource {
    #[prost(message, repeated, tag = "1")]
    attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct ScopeSpans {
    #[prost(message, repeated, tag = "2")]
    spans: Vec<SpanMessage>,
}

#[derive(Clone, PartialEq, Message)]
struct SpanMessage {
    #[prost(bytes = "vec", tag = "1")]
    trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    span_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    parent_span_id: Vec<u8>,
    #[prost(string, tag = "5")]
    name: String,
    #[prost(int32, tag = "6")]
    kind: i32,
    #[prost(fixed64, tag = "7")]
    start: u64,
    #[prost(fixed64, tag = "8")]
    end: u64,
    #[prost(message, repeated, tag = "9")]
    attributes: Vec<KeyValue>,
    #[prost(message, repeated, tag = "13")]
    links: Vec<LinkMessage>,
}

#[derive(Clone, PartialEq, Message)]
struct LinkMessage {
    #[prost(bytes = "vec", tag = "1")]
    trace_id: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct KeyValue {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(message, optional, tag = "2")]
    value: Option<AnyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct AnyValue {
    #[prost(string, optional, tag = "1")]
    string: Option<String>,
    #[prost(int64, optional, tag = "3")]
    int: Option<i64>,
}

/// Kinds of spans.
pub const PRODUCER: i32 = 4;
/// See [`PRODUCER`].
pub const CONSUMER: i32 = 5;

/// One span that arrived.
#[derive(Debug, Clone)]
pub struct Span {
    /// The service.name of its resource.
    pub service: String,
    /// Ids in hex; the parent's is empty for a root.
    pub trace: String,
    /// See `trace`.
    pub id: String,
    /// See `trace`.
    pub parent: String,
    /// The name.
    pub name: String,
    /// See [`PRODUCER`].
    pub kind: i32,
    /// Nanoseconds since 1970.
    pub start: u64,
    /// See `start`.
    pub end: u64,
    /// Attributes as text.
    pub attributes: Vec<(String, String)>,
    /// The traces that it refers to.
    pub links: Vec<String>,
}

impl Span {
    /// An attribute's value.
    pub fn attribute(&self, key: &str) -> Option<&str> {
        self.attributes.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str())
    }
}

/// How a collector answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// It takes spans.
    Takes,
    /// It takes connections and never answers.
    Silent,
}

/// The spans that a collector received.
#[derive(Default)]
struct Received {
    spans: Vec<Span>,
    heads: Vec<String>,
    bodies: Vec<Vec<u8>>,
}

/// A running collector; it ends with the test process.
#[derive(Clone)]
pub struct Collector {
    /// For OTEL_EXPORTER_OTLP_ENDPOINT.
    pub endpoint: String,
    received: Arc<Mutex<Received>>,
}

impl Collector {
    /// Starts one on a free port.
    ///
    /// # Panics
    /// If none arrived.
    pub fn start(manner: Manner) -> Collector {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let endpoint = format!("http://{}", listener.local_addr().expect("it listens"));
        let received = Arc::<Mutex<Received>>::default();
        let of_thread = received.clone();
        std::thread::spawn(move || {
            let mut silent = Vec::new();
            for stream in listener.incoming().flatten() {
                match manner {
                    Manner::Silent => silent.push(stream),
                    Manner::Takes => {
                        let received = of_thread.clone();
                        std::thread::spawn(move || serve(stream, &received));
                    }
                }
            }
        });
        Collector { endpoint, received }
    }

    /// The spans so far.
    pub fn spans(&self) -> Vec<Span> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner).spans.clone()
    }

    /// The heads of the requests so far, and their bodies as text.
    pub fn heads_and_bodies(&self) -> (String, String) {
        let received = self.received.lock().unwrap_or_else(PoisonError::into_inner);
        let bodies = received.bodies.iter().map(|body| String::from_utf8_lossy(body).into_owned());
        (received.heads.concat(), bodies.collect())
    }
}

fn serve(stream: TcpStream, received: &Mutex<Received>) -> Option<()> {
    let mut writer = stream.try_clone().ok()?;
    let mut reader = BufReader::new(stream);
    loop {
        let (mut head, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).ok()? == 0 {
                return None;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().ok()?;
            }
            head.push_str(&line);
            if line.trim().is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let is_right = head.starts_with("POST /v1/traces ")
            && head.to_ascii_lowercase().contains("content-type: application/x-protobuf");
        let request = Request::decode(body.as_slice()).ok().filter(|_| is_right);
        let status = if request.is_some() { "200 OK" } else { "400 Bad Request" };
        {
            let mut received = received.lock().unwrap_or_else(PoisonError::into_inner);
            received.spans.extend(request.iter().flat_map(spans));
            received.heads.push(head);
            received.bodies.push(body);
        }
        write!(writer, "HTTP/1.1 {status}\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n\r\n")
            .ok()?;
    }
}

fn spans(request: &Request) -> Vec<Span> {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let text = |value: &KeyValue| {
        let AnyValue { string, int } = value.value.clone().unwrap_or_default();
        (value.key.clone(), string.or(int.map(|int| int.to_string())).unwrap_or_default())
    };
    let mut found = Vec::new();
    for of_resource in &request.resource_spans {
        let attributes = of_resource.resource.iter().flat_map(|resource| &resource.attributes).map(text);
        let service = attributes.into_iter().find(|(key, _)| key == "service.name").map(|(_, name)| name);
        for span in of_resource.scope_spans.iter().flat_map(|scope| &scope.spans) {
            found.push(Span {
                service: service.clone().unwrap_or_default(),
                trace: hex(&span.trace_id),
                id: hex(&span.span_id),
                parent: hex(&span.parent_span_id),
                name: span.name.clone(),
                kind: span.kind,
                start: span.start,
                end: span.end,
                attributes: span.attributes.iter().map(text).collect(),
                links: span.links.iter().map(|link| hex(&link.trace_id)).collect(),
            });
        }
    }
    found
}
