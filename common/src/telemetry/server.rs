//! The server for Prometheus and for probes: `/metrics`, `/livez`, `/readyz`.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::metric::{Program, text};
use super::{health::Health, list, process};
use crate::error::{Error, Result};

/// The address where nothing else is set: the port that OpenTelemetry gives to Prometheus
/// exporters.
const DEFAULT: &str = "127.0.0.1:9464";

/// Value of telemetry.listen for no server.
const OFF: &str = "off";

/// Connections at once: a scraper and the probes need a few.
const MAX_CONNECTIONS: usize = 32;

/// How long a client may take for the head of a request, and may keep a connection idle.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a connection is kept.
const MAX_AGE: Duration = Duration::from_secs(600);

/// How long connections have to send their last answer, once no more is to be answered.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// A running server; it ends when this is dropped.
#[derive(Debug)]
pub struct Server {
    /// The address that it listens on.
    pub address: SocketAddr,
    task: JoinHandle<()>,
    room: Arc<Semaphore>,
    /// How often `/metrics` was answered.
    scrapes: watch::Sender<u64>,
    closing: CancellationToken,
}

impl Server {
    /// Waits until `/metrics` is answered once more, or `limit` has passed, and closes the server:
    /// a scraper then has the last figures of a process that ends. Returns whether it was.
    pub async fn last_scrape(self, limit: Duration) -> bool {
        if limit.is_zero() {
            return false;
        }
        let mut scrapes = self.scrapes.subscribe();
        let is_scraped = tokio::time::timeout(limit, scrapes.changed()).await.is_ok();
        self.task.abort();
        self.closing.cancel();
        // Each connection gives its room back once its answer is sent.
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, self.room.acquire_many(MAX_CONNECTIONS as u32)).await;
        is_scraped
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Starts the server on the address that the setting telemetry.listen names, [`DEFAULT`] if it
/// names none, with the metrics of `program`. `health` is asked at every request and may set
/// gauges. None where the setting is `off`.
///
/// If the default address is taken (another worker of this machine has it), another free port of
/// 127.0.0.1 is used, and a warning names it.
///
/// # Errors
/// InvalidInput for a value that is not an address, or an address that the setting names and that
/// cannot be listened on.
pub async fn serve(
    listen: Option<&str>,
    program: Program,
    health: impl Fn() -> Health + Send + Sync + 'static,
) -> Result<Option<Server>> {
    if listen == Some(OFF) {
        return Ok(None);
    }
    let wanted = listen.unwrap_or(DEFAULT);
    let wrong = |why: String| {
        Error::invalid(format!(
            "the setting telemetry.listen is `{}`: {why}; write an address and a free port, such as {DEFAULT}, or `{OFF}`",
            wanted.escape_debug()
        ))
    };
    let address: SocketAddr = wanted.parse().map_err(|_| wrong("it is not an address".into()))?;
    let listener = match TcpListener::bind(address).await {
        Ok(listener) => listener,
        Err(error) if listen.is_some() => return Err(wrong(format!("cannot listen on it ({error})"))),
        Err(error) => match TcpListener::bind((address.ip(), 0)).await {
            Ok(listener) => {
                let instead = listener.local_addr().map(|address| address.to_string()).unwrap_or_default();
                tracing::info!(
                    "{DEFAULT} is not free ({error}): metrics are at http://{instead}/metrics; set telemetry.listen to choose the address"
                );
                listener
            }
            Err(error) => {
                tracing::warn!(%error, "cannot listen on any port of {}: metrics are off", address.ip());
                return Ok(None);
            }
        },
    };
    let address = listener.local_addr()?;
    tracing::info!("metrics at http://{address}/metrics");
    let (room, closing) = (Arc::new(Semaphore::new(MAX_CONNECTIONS)), CancellationToken::new());
    let (scrapes, _) = watch::channel(0);
    let answers = Answers { program, health: Arc::new(health), scrapes: scrapes.clone() };
    let task = tokio::spawn(accept(listener, answers, room.clone(), closing.clone()));
    Ok(Some(Server { address, task, room, scrapes, closing }))
}

async fn accept(listener: TcpListener, answers: Answers, room: Arc<Semaphore>, closing: CancellationToken) {
    loop {
        // Never closed.
        let Ok(place) = room.clone().acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::debug!(%error, "cannot accept a connection to the metrics");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let (answers, closing) = (answers.clone(), closing.clone());
        tokio::spawn(async move {
            let answer = service_fn(move |request| {
                let answered = answers.answer(&request);
                async move { Ok::<_, Infallible>(answered) }
            });
            let serving = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIMEOUT)
                .max_buf_size(16 << 10)
                .serve_connection(TokioIo::new(stream), answer);
            let mut serving = std::pin::pin!(serving);
            // A client that goes away or sends nonsense is not worth a line.
            let ended = tokio::select! {
                ended = tokio::time::timeout(MAX_AGE, &mut serving) => ended.is_ok(),
                () = closing.cancelled() => false,
            };
            if !ended {
                serving.as_mut().graceful_shutdown();
                let _ = tokio::time::timeout(CLOSE_TIMEOUT, serving).await;
            }
            drop(place);
        });
    }
}

/// The content type of [`exposition`].
pub const EXPOSITION_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Returns the metrics of this process as those of `program`, in the text form of Prometheus.
pub fn exposition(program: Program) -> String {
    process::observe();
    text(list::ALL, program)
}

/// The state that probes and requests for metrics read.
#[derive(Clone)]
struct Answers {
    program: Program,
    health: Arc<dyn Fn() -> Health + Send + Sync>,
    scrapes: watch::Sender<u64>,
}

impl Answers {
    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD");
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        let probe = |passes: bool, what: &str| match passes {
            true => plain(StatusCode::OK, "ok"),
            false => plain(StatusCode::SERVICE_UNAVAILABLE, what),
        };
        match request.uri().path() {
            "/metrics" => {
                (self.health)();
                let mut response = plain(StatusCode::OK, exposition(self.program));
                response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(EXPOSITION_TYPE));
                self.scrapes.send_modify(|count| *count += 1);
                response
            }
            "/livez" => probe((self.health)().is_live(), Health::STUCK),
            "/readyz" => probe((self.health)() == Health::Ready, Health::NOT_READY),
            _ => plain(StatusCode::NOT_FOUND, "see /metrics, /livez and /readyz"),
        }
    }
}

fn plain(status: StatusCode, text: impl Into<String>) -> Response<Full<Bytes>> {
    let text: String = text.into();
    let mut response = Response::new(Full::new(Bytes::from(text + "\n")));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;

    async fn ask(address: SocketAddr, head: &str) -> String {
        let mut stream = TcpStream::connect(address).await.expect("the server runs");
        let request = format!("{head} HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("the server reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("the server answers");
        answer
    }

    #[tokio::test]
    async fn probes_answer_with_the_health_and_other_paths_do_not() {
        for (health, live, ready) in
            [(Health::Ready, 200, 200), (Health::NotReady, 200, 503), (Health::Stuck, 503, 503)]
        {
            let server = serve(Some("127.0.0.1:0"), Program::Worker, move || health).await.expect("a free port");
            let server = server.expect("not off");
            for (path, status) in [("/livez", live), ("/readyz", ready), ("/metrics", 200), ("/x", 404), ("/", 404)] {
                let answer = ask(server.address, &format!("GET {path}")).await;
                assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{health:?} {path}: {answer}");
            }
            assert!(ask(server.address, "POST /metrics").await.starts_with("HTTP/1.1 405 "));
            assert!(ask(server.address, "GET /metrics").await.contains("process_open_fds"));
        }
    }

    #[tokio::test]
    async fn a_taken_port_is_an_error_only_where_it_was_chosen() {
        let ready = || Health::Ready;
        let first = serve(None, Program::Worker, ready).await.expect("some port").expect("not off");
        let second = serve(None, Program::Worker, ready).await.expect("another port").expect("not off");
        assert_ne!(first.address, second.address);
        assert!(first.address.ip().is_loopback() && second.address.ip().is_loopback());
        let taken = second.address.to_string();
        let error = serve(Some(&taken), Program::Worker, ready).await.expect_err("it is taken");
        assert!(error.chain().contains("telemetry.listen"), "{}", error.chain());
        for wrong in ["9464", "localhost:9464", ":9464", "127.0.0.1"] {
            let error = serve(Some(wrong), Program::Worker, ready).await.expect_err("not an address");
            assert!(error.chain().contains("telemetry.listen"), "{}", error.chain());
        }
        assert!(serve(Some(OFF), Program::Worker, ready).await.expect("off").is_none());
    }

    #[tokio::test]
    async fn a_process_that_ends_is_scraped_once_more() {
        let server = serve(Some("127.0.0.1:0"), Program::Worker, || Health::Ready).await.expect("a free port");
        let server = server.expect("not off");
        let address = server.address;
        assert!(ask(address, "GET /metrics").await.starts_with("HTTP/1.1 200"));
        let last = tokio::spawn(server.last_scrape(Duration::from_secs(60)));
        assert!(ask(address, "GET /livez").await.starts_with("HTTP/1.1 200"));
        assert!(!last.is_finished(), "an earlier scrape and a probe do not count");
        assert!(ask(address, "GET /metrics").await.contains("process_open_fds"), "the answer is whole");
        assert!(last.await.expect("no panic"));
        assert!(TcpStream::connect(address).await.is_err(), "it is closed");
        let server = serve(Some("127.0.0.1:0"), Program::Worker, || Health::Ready).await.expect("a free port");
        assert!(!server.expect("not off").last_scrape(Duration::from_millis(1)).await, "the limit");
    }

    #[tokio::test]
    async fn silent_clients_keep_no_one_else_from_an_answer() {
        let server = serve(Some("127.0.0.1:0"), Program::Worker, || Health::Ready).await.expect("a free port");
        let server = server.expect("not off");
        let mut silent = Vec::new();
        for _ in 0..MAX_CONNECTIONS - 1 {
            silent.push(TcpStream::connect(server.address).await.expect("the server runs"));
        }
        assert!(ask(server.address, "GET /livez").await.starts_with("HTTP/1.1 200"));
    }
}
