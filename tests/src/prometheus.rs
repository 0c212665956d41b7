//! A private Prometheus for tests, and promtool.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::cluster::TIMEOUT;
use crate::repository;

/// The path of prometheus or promtool; `scripts/setup.sh test` puts them in place.
///
/// # Panics
/// If it is missing.
pub fn program(name: &str) -> PathBuf {
    let path = repository().join(".local/bin").join(name);
    assert!(path.is_file(), "{} is missing: run scripts/setup.sh test", path.display());
    path
}

/// Runs promtool with `input` on its standard input; returns its output.
///
/// # Panics
/// If it fails.
pub fn promtool(arguments: &[&str], folder: &Path, input: &str) -> String {
    let mut command = Command::new(program("promtool"));
    command.args(arguments).current_dir(folder).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("promtool can be started");
    child.stdin.take().expect("piped").write_all(input.as_bytes()).expect("promtool reads");
    let ended = child.wait_with_output().expect("promtool ends");
    let text = format!("{}{}", String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    assert!(ended.status.success(), "promtool {arguments:?}: {text}");
    text
}

/// A Prometheus that scrapes the targets it is given, twice a second; stopped when dropped.
pub struct Prometheus {
    address: String,
    folder: tempfile::TempDir,
    child: Child,
}

impl Prometheus {
    /// Starts it with the committed alert rules.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start() -> Prometheus {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let rules = repository().join("monitoring/rules.yaml");
        let config = format!(
            "global: {{scrape_interval: 500ms, scrape_timeout: 400ms, evaluation_interval: 1s}}\nrule_files: ['{}']\n\
             scrape_configs:\n  - job_name: jhalak\n    file_sd_configs: [{{files: ['{}']}}]\n",
            rules.display(),
            folder.path().join("targets.json").display()
        );
        std::fs::write(folder.path().join("prometheus.yml"), config).expect("room on disk");
        std::fs::write(folder.path().join("targets.json"), "[]").expect("room on disk");
        promtool(&["check", "config", "prometheus.yml"], folder.path(), "");
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port");
        let address = free.to_string();
        let log = std::fs::File::create(folder.path().join("log")).expect("room on disk");
        let mut command = Command::new(program("prometheus"));
        command
            .args(["--config.file=prometheus.yml", "--storage.tsdb.path=data", "--log.level=warn"])
            .arg(format!("--web.listen-address={address}"))
            .current_dir(folder.path())
            .stdout(Stdio::null())
            .stderr(log);
        let child = command.spawn().expect("prometheus can be started");
        let mut prometheus = Prometheus { address, folder, child };
        let began = Instant::now();
        while http(&prometheus.address, "/-/ready").is_none_or(|(status, _)| status != 200) {
            let words = || std::fs::read_to_string(prometheus.folder.path().join("log")).unwrap_or_default();
            assert!(prometheus.child.try_wait().expect("a child").is_none(), "it ended: {}", words());
            assert!(began.elapsed() < TIMEOUT, "it is not ready: {}", words());
            std::thread::sleep(Duration::from_millis(50));
        }
        prometheus
    }

    /// Scrapes these addresses from now on, and returns once each was scraped.
    ///
    /// # Panics
    /// If one is not scraped.
    pub fn scrape(&self, addresses: &[String]) {
        let file = self.folder.path().join("targets.json");
        let new = file.with_extension("new");
        std::fs::write(&new, json!([{ "targets": addresses }]).to_string()).expect("room on disk");
        std::fs::rename(new, file).expect("a folder of its own");
        for address in addresses {
            self.until_any(&format!("up{{instance=\"{address}\"}} == 1"));
        }
    }

    /// The answer to an instant query.
    ///
    /// # Panics
    /// If Prometheus refuses it.
    pub fn query(&self, expr: &str) -> Vec<Value> {
        let query: String = url::form_urlencoded::byte_serialize(expr.as_bytes()).collect();
        let (status, body) = http(&self.address, &format!("/api/v1/query?query={query}")).expect("Prometheus runs");
        assert_eq!(status, 200, "{expr}: {body}");
        let answer: Value = serde_json::from_str(&body).expect("JSON");
        answer["data"]["result"].as_array().expect("a vector").clone()
    }

    /// The only value of an instant query; 0 where it has none.
    ///
    /// # Panics
    /// If it has more.
    pub fn value(&self, expr: &str) -> f64 {
        let found = self.query(expr);
        assert!(found.len() <= 1, "{expr}: {found:?}");
        found.first().map_or(0.0, |one| one["value"][1].as_str().and_then(|v| v.parse().ok()).expect("a number"))
    }

    /// Waits until a query has an answer.
    ///
    /// # Panics
    /// If that takes too long.
    pub fn until_any(&self, expr: &str) {
        let began = Instant::now();
        while self.query(expr).is_empty() {
            assert!(began.elapsed() < TIMEOUT, "{expr} stays empty");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The status and the body of a GET; None where nobody answers.
pub fn http(address: &str, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(20))).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    let text = String::from_utf8_lossy(&answer);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let body = match head.to_ascii_lowercase().contains("transfer-encoding: chunked") {
        true => joined(body),
        false => body.to_string(),
    };
    Some((status, body))
}

/// A chunked body in one piece.
fn joined(mut body: &str) -> String {
    let mut whole = String::new();
    while let Some((length, rest)) = body.split_once("\r\n") {
        let length = usize::from_str_radix(length.trim(), 16).unwrap_or(0);
        let Some(chunk) = rest.get(..length).filter(|chunk| !chunk.is_empty()) else { break };
        whole.push_str(chunk);
        body = rest.get(length + 2..).unwrap_or_default();
    }
    whole
}
