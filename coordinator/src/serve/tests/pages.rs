//! Every page over a small store.

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use jhalak_common::run::{self, RunState, Stage, run_key};

use super::fixture::{RUN, Served};
use super::schema;

/// Addresses of the pages that exist, relative to the run.
const PAGES: [&str; 10] = [
    "",
    "/live",
    "/compare",
    "/quarantine",
    "/quarantine?reason=1",
    "/trailers?q=film&state=open&order=title",
    "/trailers/m0",
    "/trailers/m0/neighbours",
    "/trailers/m0/audience",
    "/try?like=m0",
];

#[tokio::test]
async fn every_page_is_html_and_the_same_value_as_json_that_the_description_holds() {
    let served = Served::new(5, None).await;
    let description = served.get("/api/v1/openapi.json").await.json();
    for page in PAGES {
        let html = served.get(&format!("/runs/{RUN}{page}")).await;
        assert_eq!(
            (html.status, html.header("content-type").as_deref()),
            (200, Some("text/html; charset=utf-8")),
            "{page}: {}",
            html.text()
        );
        let json = served.get(&format!("/api/v1/runs/{RUN}{page}")).await;
        let path = page.split('?').next().unwrap_or_default().replace("/m0", "/{id}");
        schema::check(&description, &format!("/runs/{{run}}{path}"), &json.json());
    }
    schema::check(&description, "/runs", &served.get("/api/v1/runs?q=FILMS").await.json());
    assert_eq!(served.get("/runs").await.status, 200);
    let failure = served.get("/api/v1/runs/none").await;
    assert_eq!(failure.status, 404);
    assert!(failure.text().contains("has no run `none`"), "{}", failure.text());
}

#[tokio::test]
async fn requests_are_counted_by_address_and_answer() {
    let served = Served::new(1, None).await;
    served.get(&format!("/api/v1/runs/{RUN}/trailers/m0")).await;
    served.get("/runs/none/compare").await;
    let metrics = served.get("/metrics").await;
    assert_eq!(metrics.header("content-type").as_deref(), Some("text/plain; version=0.0.4; charset=utf-8"));
    let text = metrics.text();
    // Other tests of this process count, too.
    let count = |series: &str| {
        let line = text.lines().find(|line| line.starts_with(series)).unwrap_or_else(|| panic!("{series}: {text}"));
        line.rsplit(' ').next().and_then(|count| count.parse::<f64>().ok()).expect("a number")
    };
    assert!(count("jhalak_page_requests_total{address=\"trailer\",answer=\"2xx\"}") >= 1.0);
    assert!(count("jhalak_page_requests_total{address=\"compare\",answer=\"4xx\"}") >= 1.0);
    assert!(count("jhalak_page_request_duration_seconds_count{address=\"trailer\"}") >= 1.0);
    assert!(text.contains("process_resident_memory_bytes") && !text.contains("jhalak_worker_"), "{text}");
    assert!(!text.contains(RUN) && !text.contains("m0"), "no id is a label: {text}");
}

#[tokio::test]
async fn trailers_are_found_by_title_genre_state_and_label() {
    let served = Served::new(5, None).await;
    let ids = async |options: &str| {
        let found = served.get(&format!("/api/v1/runs/{RUN}/trailers?{options}")).await.json();
        let ids = found["trailers"].as_array().expect("a list").iter().filter_map(|one| one["id"].as_str());
        ids.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(ids("").await, ["m0", "m1", "m2", "m3", "m4"]);
    assert_eq!(ids("q=NUMBER+2").await, ["m2"]);
    assert_eq!(ids("genre=Drama").await, ["m0", "m3"]);
    assert_eq!(ids("state=committed").await, ["m0"]);
    assert_eq!(ids("state=quarantined").await, ["m1"]);
    assert_eq!(ids("state=open&order=title").await, ["m2", "m3", "m4"]);
    assert_eq!(ids("label=unrated").await, ["m2", "m3", "m4"]);
    let trailer = served.get(&format!("/api/v1/runs/{RUN}/trailers/m1")).await.json();
    assert_eq!(trailer["quarantined"]["retry"], format!("jhalak retry {RUN} extract-m1"));
    assert_eq!(trailer["quarantined"]["causes"][0], "moov atom not found <i>");
}

#[tokio::test]
async fn pictures_are_sent_whole_and_small_and_held_by_the_browser() {
    let served = Served::new(2, None).await;
    let trailer = served.get(&format!("/api/v1/runs/{RUN}/trailers/m0")).await.json();
    let recipe = trailer["looked"]["strategies"][0]["recipe"].as_str().expect("a recipe").to_owned();
    let whole = served.get(&format!("/runs/{RUN}/trailers/m0/keyframes/{recipe}/1.jpg")).await;
    assert_eq!((whole.status, whole.header("content-type").as_deref()), (200, Some("image/jpeg")));
    assert_eq!(&whole.body[..3], [0xff, 0xd8, 0xff]);
    let content = trailer["tile"]["content"].as_str().expect("a hash");
    let small = served.get(&format!("/runs/{RUN}/trailers/m0/poster.jpg?v={content}")).await;
    assert!(small.status == 200 && small.header("cache-control").is_some_and(|held| held.contains("immutable")));
    for missing in ["m0/keyframes/0123456789abcdef/0.jpg", &format!("m0/keyframes/{recipe}/2.jpg"), "m1/poster.jpg"] {
        assert_eq!(served.get(&format!("/runs/{RUN}/trailers/{missing}")).await.status, 404, "{missing}");
    }
}

#[tokio::test]
async fn videos_are_sent_by_ranges_and_a_changed_file_is_not() {
    let served = Served::new(1, None).await;
    let video: Vec<u8> = (0..100).collect();
    served.store.put("trailers/m0.mp4", video.clone().into()).await.expect("room on disk");
    let path = format!("/runs/{RUN}/trailers/m0/video");
    let whole = served.get(&path).await;
    assert_eq!((whole.status, whole.header("accept-ranges").as_deref(), &whole.body), (200, Some("bytes"), &video));
    let part = served.send("GET", &path, &[("Range", "bytes=10-19")], b"").await;
    assert_eq!((part.status, part.header("content-range").as_deref()), (206, Some("bytes 10-19/100")));
    assert_eq!(part.body, video[10..20]);
    assert_eq!(served.send("GET", &path, &[("Range", "bytes=100-")], b"").await.status, 416);
    let head = served.send("HEAD", &path, &[], b"").await;
    assert_eq!((head.status, head.header("content-length").as_deref(), head.body.len()), (200, Some("100"), 0));
    served.store.put("trailers/m0.mp4", "another".into()).await.expect("room on disk");
    let changed = served.get(&path).await;
    assert!(changed.status == 404 && changed.text().contains("has changed"), "{}", changed.text());
}

#[tokio::test]
async fn an_answer_that_the_browser_has_is_not_sent_again() {
    let served = Served::new(1, None).await;
    for path in ["/runs", &format!("/api/v1/runs/{RUN}/trailers"), "/assets/style.css"] {
        let first = served.get(path).await;
        let tag = first.header("etag").expect("an ETag");
        let again = served.send("GET", path, &[("If-None-Match", &tag)], b"").await;
        assert_eq!((again.status, again.body.len()), (304, 0), "{path}");
        assert_eq!(served.send("GET", path, &[("If-None-Match", "\"other\"")], b"").await.status, 200);
    }
}

#[tokio::test]
async fn a_watched_run_is_followed_to_its_end() {
    let served = Served::new(2, None).await;
    let write = async |stage, committed| {
        let state = RunState { jobs: 9, committed, ..RunState::of(stage) };
        run::put_json(served.store.as_ref(), &run_key(RUN, "state.json"), &state).await.expect("room on disk");
    };
    write(Stage::Extracting, 3).await;
    let stream = TcpStream::connect(served.address).await.expect("a server");
    let mut stream = BufReader::new(stream);
    let request = format!("GET /api/v1/runs/{RUN}/events HTTP/1.1\r\nHost: {}\r\n\r\n", served.address);
    stream.write_all(request.as_bytes()).await.expect("an open connection");
    let mut line = String::new();
    let mut seen = Vec::new();
    while stream.read_line(&mut line).await.expect("an event") > 0 {
        if let Some(json) = line.strip_prefix("data: ") {
            let live: serde_json::Value = serde_json::from_str(json).expect("JSON");
            seen.push((live["stage"].clone(), live["committed"].clone()));
            match seen.len() {
                1 => write(Stage::Done, 9).await,
                _ if live["is_final"] == true => break,
                _ => {}
            }
        }
        line.clear();
    }
    assert_eq!(seen.first(), Some(&("extracting".into(), 3.into())));
    assert_eq!(seen.last(), Some(&("done".into(), 9.into())));
}
