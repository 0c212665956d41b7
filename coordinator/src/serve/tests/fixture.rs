//! A small store, a server over it, and a client.

use std::net::SocketAddr;
use std::sync::Arc;

use jhalak_common::ErrorKind;
use jhalak_common::artifact::{self, ArtifactKind, Body, Recipe, Subject};
use jhalak_common::dataset::{Dataset, Label, Movie, Rating, User};
use jhalak_common::run::job::{ExtractTask, Job, MESSAGE_VERSION, QuarantineRecord, Task};
use jhalak_common::run::{self, RunState, Stage, dataset_key, quarantine_key, run_key};
use jhalak_common::settings::Settings;
use jhalak_common::store::ObjectStore;
use jhalak_worker::media::keyframes::archive::KeyframeArchive;
use jhalak_worker::media::picture::{Picture, jpeg_encoder};
use jhalak_worker::media::{Keyframe, VideoInfo};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::plan::testing::{commit_one, empty_store, plan};
use crate::plan::{Plan, trailers_hash};
use crate::serve::{Access, Site, Token, router, serve};

/// A title that a page must not run.
pub const HOSTILE_TITLE: &str = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>";

/// The id of the fixture's run.
pub const RUN: &str = "films-0123456789ab";

/// A server over a store in a temporary folder; both end when it is dropped.
pub struct Served {
    pub address: SocketAddr,
    pub store: Arc<dyn ObjectStore>,
    pub folder: tempfile::TempDir,
    _stop: DropGuard,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> Value {
        assert_eq!(self.status, 200, "{}", self.text());
        serde_json::from_slice(&self.body).expect("JSON")
    }

    pub fn header(&self, name: &str) -> Option<String> {
        let line = self.head.lines().find(|line| line.to_lowercase().starts_with(&format!("{name}:")))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    }
}

/// A dataset of `movies` movies and three viewers; the first title is hostile.
pub fn dataset(movies: usize) -> Dataset {
    let movie = |i: usize| Movie {
        id: format!("m{i}"),
        name: if i == 0 { HOSTILE_TITLE.into() } else { format!("Film number {i}") },
        genres: vec![["Drama", "Comedy", "War"][i % 3].into()],
        year: Some(1950 + (i % 70) as i32),
        description: "A plot & more".into(),
        ..Movie::default()
    };
    let mut movies: Vec<Movie> = (0..movies).map(movie).collect();
    movies.sort_by(|a, b| a.id.cmp(&b.id));
    let rating = |user: u32, movie: u32| Rating {
        user,
        movie,
        label: Label::ALL[((user + movie) % 3) as usize],
        half_stars: None,
    };
    let ratings = (0..3).flat_map(|user| (0..movies.len().min(2) as u32).map(move |movie| rating(user, movie)));
    Dataset {
        name: "films".into(),
        synthetic: true,
        ratings: ratings.collect(),
        users: ["<b>carl</b>", "anna", "ben"].map(|id| User { id: id.into(), ..User::default() }).to_vec(),
        genres: vec!["Comedy".into(), "Drama".into(), "War".into()],
        times: Vec::new(),
        movies: movies.into(),
    }
}

/// Commits two keyframes of a trailer.
pub async fn commit_keyframes(store: &dyn ObjectStore, recipe: &Recipe, subject: &Subject) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut picture = Picture { width: 64, height: 36, ..Picture::default() };
    picture.rgb = vec![90; 64 * 36 * 3].into();
    let jpeg = jpeg_encoder::encode(&picture, 80).expect("a picture");
    let keyframe = |index: u32| Keyframe {
        index,
        frame: u64::from(index) * 10,
        target_s: f64::from(index),
        time_s: f64::from(index),
        file: format!("{}-{index:02}.jpg", subject.id),
        repeats: None,
        scene: None,
        objects: None,
    };
    let mut archive = KeyframeArchive::create(&folder.path().join("tar")).expect("a new file");
    let keyframes: Vec<Keyframe> = (0..2).map(keyframe).collect();
    for keyframe in &keyframes {
        archive.append(keyframe, &jpeg).expect("room on disk");
    }
    let tar = archive.finish().expect("room on disk");
    let video: VideoInfo = serde_json::from_value(json!({
        "codec": "h264", "width": 64, "height": 36, "fps": 25.0, "duration_s": 2.0, "frames": 50, "announced_s": 2.0, "rate_varies": false,
    }))
    .expect("a video");
    let facts = json!({ "video": video, "outcome": { "state": "complete" }, "keyframes": keyframes });
    artifact::commit(store, recipe, subject, vec![("keyframes.tar", Body::File(tar))], facts)
        .await
        .expect("room on disk");
}

/// Writes a run over `trailers` trailers: the first is committed, the second quarantined, the
/// others open.
pub async fn write_run(store: &Arc<dyn ObjectStore>, trailers: usize) -> Plan {
    let mut plan = plan(trailers);
    plan.trailers.trailers.sort_by(|a, b| a.subject.id.cmp(&b.subject.id));
    for trailer in &mut plan.trailers.trailers {
        trailer.store = store.url();
    }
    plan.spec.trailers = trailers_hash(&plan.trailers.trailers).expect("JSON");
    let store = store.as_ref();
    let data = dataset(trailers.max(1)).canonical_json().expect("it serialises");
    store.put(&dataset_key(&plan.spec.dataset.content), data.into()).await.expect("room on disk");
    run::put_json(store, &run_key(RUN, "spec.json"), &plan.spec).await.expect("room on disk");
    run::put_json(store, &run_key(RUN, "trailers.json"), &plan.trailers).await.expect("room on disk");
    let state = RunState { jobs: trailers, committed: 1, quarantined: 1, ..RunState::of(Stage::DoneWithFailures) };
    run::put_json(store, &run_key(RUN, "state.json"), &state).await.expect("room on disk");
    for recipe in plan.spec.recipes.iter().filter(|_| trailers > 0) {
        let subject = &plan.trailers.trailers[0].subject;
        match recipe.kind {
            ArtifactKind::Keyframes => commit_keyframes(store, recipe, subject).await,
            _ => assert!(commit_one(store, recipe, subject).await),
        }
    }
    if let Some(second) = plan.trailers.trailers.get(1) {
        let task = Task::Extract(ExtractTask { trailer: second.clone(), wanted: plan.spec.recipes.clone() });
        let job = Job::new("extract-m1", RUN, store.url(), task);
        let record = QuarantineRecord {
            version: MESSAGE_VERSION,
            job: job.id.clone(),
            run: RUN.into(),
            about: "trailer of m1".into(),
            error: ErrorKind::InvalidInput,
            reason: "cannot decode trailers/m1.mp4: moov atom not found <i>".into(),
            attempts: 1,
            at: Some(jiff::Timestamp::now()),
            worker: Some("vm-1".into()),
            program: Some("0.1.0".into()),
            seconds: [("decode".to_owned(), 0.5)].into(),
            message: serde_json::to_value(&job).expect("it serialises"),
        };
        run::put_json(store, &quarantine_key(RUN, &job.id), &record).await.expect("room on disk");
    }
    plan
}

impl Served {
    /// Serves a run over `trailers` trailers.
    pub async fn new(trailers: usize, token: Option<&str>) -> Served {
        let (folder, store) = empty_store();
        write_run(&store, trailers).await;
        Served::over(folder, store, token).await
    }

    /// Serves a store.
    pub async fn over(folder: tempfile::TempDir, store: Arc<dyn ObjectStore>, token: Option<&str>) -> Served {
        let stop = CancellationToken::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let token = token.map(|token| Token::new(token, "a test").expect("long enough"));
        let access = Access::new(&address, token, vec!["films.example".into()]).expect("loopback");
        let site = Site::new(store.clone(), Settings::default(), 1, stop.clone()).expect("templates that compile");
        tokio::spawn(serve(listener, router(site, access), stop.clone()));
        Served { address, store, folder, _stop: stop.drop_guard() }
    }

    /// Sends a request and reads the answer to its end.
    pub async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut stream = TcpStream::connect(self.address).await.expect("a server");
        let mut head = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
        if headers.iter().all(|(name, _)| *name != "Host") {
            head.push_str(&format!("Host: {}\r\n", self.address));
        }
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
        stream.write_all(head.as_bytes()).await.expect("an open connection");
        // A server that refuses a body may close before it has read all of it.
        let _ = stream.write_all(body).await;
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes).await;
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("the head of an answer");
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        Answer { status, head, body: bytes[end + 4..].to_vec() }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], b"").await
    }
}
