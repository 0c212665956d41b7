//! A small HTTP proxy before the S3 server that breaks requests on purpose. One request per
//! connection; the test's plan chooses the fault of each.

use std::io;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The fault of one request.
#[derive(Debug, Clone)]
pub enum Fault {
    /// The request and its answer pass unchanged.
    None,
    /// The proxy answers itself; the request never reaches the server.
    Answer(u16, &'static str),
    /// The connection is closed before the request reaches the server.
    Refuse,
    /// The server does it, and its answer never arrives.
    LoseAnswer,
    /// So many bytes of the answer's body arrive, then the connection is closed.
    CutAfter(usize),
    /// So many bytes of the answer's body arrive, then nothing more.
    StallAfter(usize),
    /// So many bytes of the request's body are taken, then nothing more.
    StallUpload(usize),
    /// The request's body is taken at so many bytes per second.
    SlowUpload(usize),
    /// The server's answer to GET of the first bytes, but the object is changed before: the given
    /// pause lets the test do so.
    Wait(Duration),
}

/// The body of an answer that asks for fewer requests.
pub const SLOW_DOWN: &str =
    "<?xml version=\"1.0\"?><Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>";
/// The body of an answer to two conditional requests at once.
pub const CONFLICT: &str =
    "<?xml version=\"1.0\"?><Error><Code>ConditionalRequestConflict</Code><Message>Conflict.</Message></Error>";

/// The head of a request as it came.
#[derive(Debug, Clone)]
pub struct Request {
    /// 0 for the first request, counted over the proxy's life.
    pub number: usize,
    /// GET, PUT, and so on.
    pub method: String,
    /// The path with its query.
    pub target: String,
    /// The request line and the headers.
    pub head: String,
    /// The status that the server answered; 0 until then, and where the server never heard of it.
    pub answered: Arc<AtomicU16>,
}

impl Request {
    /// The status that the server answered, also where that answer was lost on the way.
    pub fn status(&self) -> Option<u16> {
        Some(self.answered.load(Ordering::SeqCst)).filter(|status| *status > 0)
    }
}

type Plan = Arc<dyn Fn(&Request) -> Fault + Send + Sync>;

/// A proxy that listens until it is dropped.
pub struct Proxy {
    /// Its URL.
    pub url: String,
    log: Arc<Mutex<Vec<(Request, Fault)>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Proxy {
    /// Listens on loopback before `upstream` (http://host:port).
    pub async fn start(upstream: &str, plan: impl Fn(&Request) -> Fault + Send + Sync + 'static) -> io::Result<Proxy> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let upstream = upstream.trim_start_matches("http://").trim_end_matches('/').to_string();
        let log = Arc::new(Mutex::new(Vec::new()));
        let (plan, shared): (Plan, _) = (Arc::new(plan), Arc::clone(&log));
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (upstream, plan, log) = (upstream.clone(), Arc::clone(&plan), Arc::clone(&shared));
                // A broken connection is what this proxy is for.
                tokio::spawn(async move { serve(client, &upstream, &plan, &log).await.ok() });
            }
        });
        Ok(Proxy { url, log, task })
    }

    /// Every request so far and what was done to it.
    pub fn log(&self) -> Vec<(Request, Fault)> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many requests contain `part` in "METHOD target".
    pub fn count(&self, part: &str) -> usize {
        self.log().iter().filter(|(request, _)| format!("{} {}", request.method, request.target).contains(part)).count()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    mut client: TcpStream,
    upstream: &str,
    plan: &Plan,
    log: &Mutex<Vec<(Request, Fault)>>,
) -> io::Result<()> {
    let (head, early) = read_head(&mut client).await?;
    let mut words = head.split_whitespace();
    let (method, target) = (words.next().unwrap_or_default().to_string(), words.next().unwrap_or_default().to_string());
    let answered = Arc::new(AtomicU16::new(0));
    let fault = {
        let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
        let request = Request { number: log.len(), method, target, head: head.clone(), answered: answered.clone() };
        let fault = plan(&request);
        log.push((request, fault.clone()));
        fault
    };
    let length = header(&head, "content-length").and_then(|v| v.parse().ok()).unwrap_or(0usize);
    let left = length.saturating_sub(early.len());

    match fault {
        Fault::Refuse => return Ok(()),
        Fault::Answer(status, body) => {
            copy_exactly(&mut client, &mut tokio::io::sink(), left, None).await?;
            let answer = format!(
                "HTTP/1.1 {status} Fault\r\nContent-Type: application/xml\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
            return client.write_all(answer.as_bytes()).await;
        }
        Fault::StallUpload(taken) => {
            copy_exactly(&mut client, &mut tokio::io::sink(), left.min(taken), None).await?;
            std::future::pending::<()>().await;
        }
        Fault::Wait(pause) => tokio::time::sleep(pause).await,
        _ => {}
    }

    let mut server = TcpStream::connect(upstream).await?;
    let (first, rest) = head.split_once("\r\n").unwrap_or((&head, ""));
    server.write_all(format!("{first}\r\nConnection: close\r\n{rest}").as_bytes()).await?;
    server.write_all(&early).await?;
    let rate = if let Fault::SlowUpload(rate) = fault { Some(rate) } else { None };
    copy_exactly(&mut client, &mut server, left, rate).await?;

    let (answer, body) = read_head(&mut server).await?;
    let status = answer.split_whitespace().nth(1).and_then(|status| status.parse().ok());
    answered.store(status.unwrap_or(0), Ordering::SeqCst);
    match fault {
        Fault::LoseAnswer => {
            tokio::io::copy(&mut server, &mut tokio::io::sink()).await?;
        }
        Fault::CutAfter(bytes) | Fault::StallAfter(bytes) => {
            client.write_all(answer.as_bytes()).await?;
            let now = body.len().min(bytes);
            client.write_all(&body[..now]).await?;
            copy_exactly(&mut server, &mut client, bytes - now, None).await?;
            client.flush().await?;
            if matches!(fault, Fault::StallAfter(_)) {
                // Until the client gives up.
                while client.read(&mut [0]).await? > 0 {}
            }
        }
        _ => {
            client.write_all(answer.as_bytes()).await?;
            client.write_all(&body).await?;
            tokio::io::copy(&mut server, &mut client).await?;
        }
    }
    client.shutdown().await
}

/// A message's head with its empty line, and what was read beyond it.
async fn read_head(from: &mut TcpStream) -> io::Result<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            let rest = bytes.split_off(end + 4);
            return Ok((String::from_utf8_lossy(&bytes).into_owned(), rest));
        }
        if from.read_buf(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(n, _)| n.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim())
}

/// Copies `length` bytes, or fewer where the source ends, at `rate` bytes per second if given.
async fn copy_exactly(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    mut length: usize,
    rate: Option<usize>,
) -> io::Result<()> {
    let mut buffer = vec![0; 1 << 16];
    while length > 0 {
        let wanted = buffer.len().min(length);
        let got = from.read(&mut buffer[..wanted]).await?;
        if got == 0 {
            break;
        }
        to.write_all(&buffer[..got]).await?;
        length -= got;
        if let Some(rate) = rate {
            tokio::time::sleep(Duration::from_secs_f64(got as f64 / rate as f64)).await;
        }
    }
    Ok(())
}
