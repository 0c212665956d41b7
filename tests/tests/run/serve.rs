//! `jhalak serve` over the store of a real run: pictures, the player, recommendations and an upload.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Stdio};

use jhalak_tests::dataset::{Made, id};
use jhalak_tests::programs::{command, files, run};
use serde_json::Value;

/// A running server; ended when dropped.
struct Server {
    child: Child,
    address: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    fn start(store: &Path) -> Server {
        let mut child = command("jhalak", store)
            .args(["serve", "--listen", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program can be started");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line).expect("its address");
        let address = line.strip_prefix("http://").and_then(|rest| rest.split(' ').next()).expect("an address");
        Server { address: address.to_owned(), child }
    }

    /// Sends a request. Returns the status and the body.
    fn send(&self, method: &str, path: &str, headers: &str, body: &[u8]) -> (u16, Vec<u8>) {
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

    fn json(&self, method: &str, path: &str, body: &[u8]) -> Value {
        let (status, answer) = self.send(method, &format!("/api/v1{path}"), "", body);
        assert_eq!(status, 200, "{path}: {}", String::from_utf8_lossy(&answer));
        serde_json::from_slice(&answer).expect("JSON")
    }
}

#[test]
fn a_finished_run_is_shown_with_pictures_videos_recommendations_and_an_upload() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (dataset, store) = (folder.path().join("data"), folder.path().join("store"));
    Made::new(&dataset, true);
    let ended = run(command("jhalak", &store).args(["run", "--quiet", "--dataset"]).arg(&dataset));
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    let before = files(&store);
    let server = Server::start(&store);
    let runs = server.json("GET", "/runs", b"");
    let run = runs["runs"][0]["id"].as_str().expect("a run").to_owned();
    let of_run = |path: &str| format!("/runs/{run}{path}");

    let trailers = server.json("GET", &of_run("/trailers"), b"");
    assert_eq!((&trailers["total"], &trailers["committed"]), (&4.into(), &4.into()));
    let first = trailers["trailers"][0]["id"].as_str().expect("a trailer").to_owned();
    let (status, poster) = server.send("GET", &of_run(&format!("/trailers/{first}/poster.jpg")), "", b"");
    assert!(status == 200 && poster.starts_with(&[0xff, 0xd8]), "{status}");
    let trailer = server.json("GET", &of_run(&format!("/trailers/{first}")), b"");
    assert_eq!(trailer["looked"]["strategies"][0]["pictures"].as_array().map(Vec::len), Some(16));
    assert_eq!(trailer["playable"], "video/mp4");
    let size = trailer["size"].as_u64().expect("a size");
    let video = of_run(&format!("/trailers/{first}/video"));
    let (status, part) = server.send("GET", &video, "Range: bytes=4-11\r\n", b"");
    assert_eq!((status, part.len(), &part[..4]), (206, 8, &b"ftyp"[..]));
    assert_eq!(server.send("GET", &video, "", b"").1.len() as u64, size);

    let tried = server.json("GET", &of_run(&format!("/try?like={}&dislike={}", id(0), id(1))), b"");
    let best = &tried["recommendations"][0];
    let sum: f64 = ["dislike", "neutral", "like"].iter().filter_map(|class| best[class].as_f64()).sum();
    assert!((sum - 1.0).abs() < 1e-3, "{tried}");
    let audience = server.json("GET", &of_run(&format!("/trailers/{first}/audience")), b"");
    assert!(audience["without"].is_null(), "{audience}");

    let file = std::fs::read(dataset.join(format!("trailers/{first}.mp4"))).expect("a trailer");
    let uploaded = server.json("POST", &of_run("/try/upload"), &file);
    let near = &uploaded["kinds"][0]["near"][0];
    assert_eq!(near["tile"]["id"], first.as_str(), "a trailer is nearest to itself: {uploaded}");
    assert!(near["similarity"].as_f64().is_some_and(|cosine| cosine > 0.999), "{near}");
    let (upload, recipe) = (&uploaded["id"], &uploaded["looked"]["strategies"][0]["recipe"]);
    let picture = format!("/uploads/{}/{}/0.jpg", upload.as_str().expect("an id"), recipe.as_str().expect("a recipe"));
    assert_eq!(server.send("GET", &picture, "", b"").0, 200);
    let (status, refused) = server.send("POST", &of_run("/try/upload"), "", b"#EXTM3U\nfile:///etc/passwd\n");
    assert_eq!(status, 422, "{}", String::from_utf8_lossy(&refused));
    assert_eq!(before, files(&store), "the store is only read");
}

#[test]
fn a_server_for_others_needs_a_token() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let ended = run(command("jhalak", folder.path()).args(["serve", "--listen", "0.0.0.0:0"]));
    assert_eq!(ended.code, Some(2), "{}", ended.err);
    assert!(ended.err.contains("--token-file"), "{}", ended.err);
    let token = folder.path().join("token");
    std::fs::write(&token, "short-secret").expect("room on disk");
    let mut jhalak = command("jhalak", folder.path());
    let ended = run(jhalak.args(["serve", "--listen", "0.0.0.0:0", "--token-file"]).arg(&token));
    assert_eq!(ended.code, Some(3), "{}", ended.err);
    assert!(ended.err.contains("openssl") && !ended.err.contains("short-secret"), "{}", ended.err);
}
