//! A running `jhalak serve`.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

/// A running server; ended when dropped.
pub struct PageServer {
    child: Child,
    /// Its address: host and port.
    pub address: String,
}

impl Drop for PageServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl PageServer {
    /// Starts `jhalak serve` on a free port, as `jhalak` is set up.
    ///
    /// # Panics
    /// Where it does not start.
    pub fn start(mut jhalak: Command) -> PageServer {
        let mut child = jhalak
            .args(["serve", "--listen", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program can be started");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line).expect("its address");
        let address = line.strip_prefix("http://").and_then(|rest| rest.split(' ').next()).expect("an address");
        PageServer { address: address.to_owned(), child }
    }

    /// Sends a request. Returns the status and the body.
    ///
    /// # Panics
    /// Where the server does not answer.
    pub fn send(&self, method: &str, path: &str, headers: &str, body: &[u8]) -> (u16, Vec<u8>) {
        let mut stream = TcpStream::connect(&self.address).expect("a server");
        let length = body.len();
        let host = &self.address;
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{headers}Content-Length: {length}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body)).expect("an open connection");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("an answer");
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n").expect("the head of an answer");
        let head = String::from_utf8_lossy(&answer[..end]).into_owned();
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        (status, answer[end + 4..].to_vec())
    }

    /// Returns the JSON of a page.
    ///
    /// # Panics
    /// Where the answer is another one.
    pub fn json(&self, method: &str, path: &str, body: &[u8]) -> Value {
        let (status, answer) = self.send(method, &format!("/api/v1{path}"), "", body);
        assert_eq!(status, 200, "{path}: {}", String::from_utf8_lossy(&answer));
        serde_json::from_slice(&answer).expect("JSON")
    }
}
