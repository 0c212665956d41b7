//! Trailers on a web server: Python's own server with TLS, on loopback, which only this test
//! allows.

use std::io::{BufRead, BufReader};
use std::net::IpAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use jhalak_common::ErrorKind;
use jhalak_common::settings::SourceSettings;
use jhalak_common::store::ObjectStore;
use jhalak_common::store::https::{HttpsSource, is_public};
use jhalak_tests::certificates;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

/// A server of its folder over TLS; a few paths behave oddly. Prints its port.
const SERVER: &str = r#"
import http.server, ssl, sys
class Handler(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *args): pass
    def odd(self):
        if self.path == "/moved.mp4":
            self.send_response(302)
            self.send_header("Location", "https://elsewhere.example/secret?token=secret")
        elif self.path == "/gone.mp4": self.send_response(410)
        elif self.path == "/private.mp4": self.send_response(403)
        elif self.path == "/no-head.mp4" and self.command == "HEAD": self.send_response(405)
        else: return False
        self.send_header("Content-Length", "0")
        self.end_headers()
        return True
    def do_HEAD(self):
        self.odd() or super().do_HEAD()
    def do_GET(self):
        if self.odd(): return
        if self.path == "/cut.mp4":
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.send_header("ETag", '"x"')
            self.end_headers()
            self.wfile.write(b"short")
            self.close_connection = True
            return
        super().do_GET()
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("../cert.pem", "../key.pem")
server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_address[1], flush=True)
server.serve_forever()
"#;

struct WebServer {
    process: Child,
    port: u16,
}

impl Drop for WebServer {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn start(folder: &Path) -> WebServer {
    let mut python = Command::new("python3");
    python.args(["-c", SERVER]).current_dir(folder).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut process = python.spawn().expect("python3 is installed");
    let mut line = String::new();
    BufReader::new(process.stdout.take().expect("piped")).read_line(&mut line).expect("a line");
    WebServer { port: line.trim().parse().expect("a port"), process }
}

fn on_loopback(address: IpAddr) -> bool {
    address.is_loopback()
}

fn roots(authority: &Path) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(authority).expect("PEM")).expect("a certificate");
    roots
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trailers_are_fetched_over_https_and_nothing_else_is() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let Some(authority) = certificates::make(folder.path()) else { return };
    let files = folder.path().join("files");
    std::fs::create_dir(&files).expect("a new folder");
    let bytes: Vec<u8> = (0..3_000_000u32).map(|n| (n % 251) as u8).collect();
    std::fs::write(files.join("a b.mp4"), &bytes).expect("room on disk");
    std::fs::write(files.join("no-head.mp4"), b"twelve bytes").expect("room on disk");
    let server = start(&files);
    let (url, to) = (format!("https://localhost:{}", server.port), folder.path().join("fetched"));
    let settings = SourceSettings { https_hosts: vec![url["https://".len()..].to_owned()], https_max_mb: 4 };
    let source = HttpsSource::open_where(&url, &settings, on_loopback, roots(&authority)).expect("an allowed host");

    let meta = source.head("a%20b.mp4").await.expect("the file");
    assert_eq!(meta.size, 3_000_000);
    let fetched = source.download("a%20b.mp4", &to, Some(&meta.tag)).await.expect("the file");
    assert!(fetched == meta && std::fs::read(&to).expect("fetched") == bytes);
    assert_eq!(source.head("no-head.mp4").await.expect("by GET").size, 12);
    let replaced = source.download("a%20b.mp4", &to, Some("another")).await.expect_err("another content");
    assert!(replaced.kind() == ErrorKind::InvalidInput && !to.exists(), "{}", replaced.chain());

    for (key, kind, word) in [
        ("missing.mp4", ErrorKind::NotFound, "404"),
        ("gone.mp4", ErrorKind::NotFound, "410"),
        ("private.mp4", ErrorKind::Permission, "403"),
        ("moved.mp4", ErrorKind::InvalidInput, "it redirects to elsewhere.example"),
        ("cut.mp4", ErrorKind::Transient, "cut the transfer"),
    ] {
        let error = source.download(key, &to, None).await.expect_err(key);
        let text = error.chain();
        assert!(error.kind() == kind && text.contains(word) && !text.contains("secret"), "{key}: {text}");
        assert!(!to.exists(), "{key}");
    }
    let small = SourceSettings { https_max_mb: 1, ..settings.clone() };
    let source = HttpsSource::open_where(&url, &small, on_loopback, roots(&authority)).expect("an allowed host");
    let error = source.head("a%20b.mp4").await.expect_err("too large").chain();
    assert!(error.contains("sources.https_max_mb"), "{error}");

    // A program connects to public addresses alone, and to servers that prove who they are.
    let source = HttpsSource::open_where(&url, &settings, is_public, roots(&authority)).expect("an allowed host");
    let error = source.head("a%20b.mp4").await.expect_err("a private address");
    assert!(error.kind() == ErrorKind::Permission && error.chain().contains("no public address"), "{}", error.chain());
    let source = HttpsSource::open_where(&url, &settings, on_loopback, RootCertStore::empty()).expect("allowed");
    let error = source.head("a%20b.mp4").await.expect_err("an unknown authority").chain();
    assert!(error.contains("cannot be trusted"), "{error}");
    for written in [source.put("x", "y".into()).await.err(), source.delete("x").await.err()] {
        assert_eq!(written.expect("refused").kind(), ErrorKind::Permission);
    }
}
