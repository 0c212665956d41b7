//! Hostile addresses, titles, names, tokens and clients; a store that goes away.

use std::time::{Duration, Instant};

use futures::future::join_all;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::fixture::{HOSTILE_TITLE, RUN, Served};

#[tokio::test]
async fn odd_addresses_are_refused_and_never_crash_the_server() {
    let served = Served::new(2, None).await;
    served.store.put("secret/file", "the secret".into()).await.expect("room on disk");
    let long = "x".repeat(20_000);
    let of_run = |path: &str| format!("/runs/{RUN}{path}");
    for path in [
        "/runs/..%2f..%2fsecret%2ffile".to_owned(),
        "/runs/../secret/file".to_owned(),
        "/runs/%2e%2e/secret".to_owned(),
        "/runs/%00".to_owned(),
        "/runs/%ff%fe".to_owned(),
        format!("/runs/{long}"),
        of_run("/trailers/..%2f..%2f..%2fsecret%2ffile"),
        of_run("/trailers/%2e%2e/video"),
        of_run(&format!("/trailers/{long}")),
        of_run("/trailers/m0/keyframes/..%2f..%2fsecret/0.jpg"),
        of_run("/trailers/m0/keyframes/x/99999999999999999999.jpg"),
        of_run("/trailers?page=0"),
        of_run("/trailers?page=18446744073709551615"),
        of_run("/trailers?page=99999999999999999999999"),
        of_run("/trailers?page=-1"),
        of_run("/trailers?state=lost"),
        of_run(&format!("/trailers?q={long}")),
        of_run("/quarantine?reason=18446744073709551615"),
        of_run("/compare?with=..%2f..%2fsecret"),
        of_run("/compare?with=none"),
        of_run("/try?like=none"),
        of_run("/try?user=%3Cscript%3E"),
        of_run("/report"),
        "/uploads/x/y/0.jpg".to_owned(),
        "/assets/../secret/file".to_owned(),
        "/api/v1/none".to_owned(),
    ] {
        for path in [path.clone(), format!("/api/v1{path}")] {
            let answer = served.get(&path).await;
            assert!((400..500).contains(&answer.status), "{path:.200}: {} {:.200}", answer.status, answer.text());
            assert!(!answer.text().contains("the secret"), "{path:.200}");
        }
    }
    assert_eq!(served.send("DELETE", "/runs", &[], b"").await.status, 405);
    assert_eq!(served.get("/livez").await.text(), "ok\n");
}

#[tokio::test]
async fn scripts_in_titles_are_shown_and_not_run() {
    let served = Served::new(2, None).await;
    for path in ["/trailers", "/trailers/m0", "/try", "/quarantine", "/trailers?q=%3Cscript%3Ealert(1)"] {
        let page = served.get(&format!("/runs/{RUN}{path}")).await;
        let html = page.text();
        assert_eq!(page.status, 200, "{path}: {html}");
        assert!(
            !html.contains(HOSTILE_TITLE) && !html.contains("<script>alert") && !html.contains("<img src=x"),
            "{path}"
        );
        assert!(!html.contains("<b>carl") && !html.contains("found <i>"), "{path}");
        assert!(!html.contains(" style=") && !html.contains("onclick"), "{path}: the policy forbids these");
        let policy = page.header("content-security-policy").expect("a policy");
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
        assert_eq!(page.header("x-content-type-options").as_deref(), Some("nosniff"));
    }
}

#[tokio::test]
async fn other_names_and_other_sites_are_refused() {
    let served = Served::new(1, None).await;
    let status = async |method: &str, path: &str, headers: &[(&str, &str)]| {
        served.send(method, path, headers, b"x").await.status
    };
    for host in ["localhost", "127.0.0.1:8080", "[::1]:8080", "films.example", "FILMS.example:80", "10.0.0.7"] {
        assert_eq!(status("GET", "/runs", &[("Host", host)]).await, 200, "{host}");
    }
    for host in ["evil.example", "localhost.evil.example", "", "127.0.0.1.evil.example", "films.example.evil"] {
        assert_eq!(status("GET", "/runs", &[("Host", host)]).await, 421, "{host}");
    }
    let upload = format!("/runs/{RUN}/try/upload");
    for other in [("Origin", "http://evil.example"), ("Origin", "null"), ("Sec-Fetch-Site", "cross-site")] {
        assert_eq!(status("POST", &upload, &[other]).await, 403, "{other:?}");
    }
}

#[tokio::test]
async fn a_server_with_a_token_tells_nothing_without_it() {
    let secret = "a-secret-of-many-letters";
    let served = Served::new(1, Some(secret)).await;
    let page = served.get("/runs").await;
    assert_eq!((page.status, page.header("location").as_deref()), (303, Some("/sign-in")));
    for headers in
        [vec![], vec![("Authorization", "Bearer wrong")], vec![("Cookie", "jhalak_session=a-secret-of-many-letters")]]
    {
        for path in ["/api/v1/runs", "/api/v1/none"] {
            let answer = served.send("GET", path, &headers, b"").await;
            assert!(answer.status == 401 && !answer.text().contains(RUN), "{headers:?}: {}", answer.text());
        }
        let metrics = served.send("GET", "/metrics", &headers, b"").await;
        assert!(metrics.status >= 300 && !metrics.text().contains("jhalak_"), "{headers:?}: {}", metrics.text());
    }
    let bearer = format!("Bearer {secret}");
    assert_eq!(served.send("GET", "/api/v1/runs", &[("Authorization", &bearer)], b"").await.status, 200);
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    let wrong = served.send("POST", "/sign-in", &form, b"token=wrong").await;
    assert!(wrong.status == 200 && wrong.text().contains("The token is wrong") && wrong.header("set-cookie").is_none());
    let signed = served.send("POST", "/sign-in", &form, format!("token={secret}").as_bytes()).await;
    let cookie = signed.header("set-cookie").expect("a cookie");
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict") && !cookie.contains(secret), "{cookie}");
    let cookie = cookie.split(';').next().expect("a value").to_owned();
    assert_eq!(served.send("GET", "/runs", &[("Cookie", &cookie)], b"").await.status, 200);
    assert_eq!(served.get("/livez").await.status, 200, "a probe has no token");
}

#[tokio::test]
async fn slow_clients_do_not_keep_a_hundred_others_waiting() {
    let served = Served::new(3, None).await;
    let mut slow = Vec::new();
    for _ in 0..100 {
        let mut stream = TcpStream::connect(served.address).await.expect("a server");
        stream.write_all(b"GET /runs HTTP/1.1\r\nHost: loc").await.expect("an open connection");
        slow.push(stream);
    }
    let paths = ["/runs".to_owned(), format!("/runs/{RUN}/trailers"), format!("/api/v1/runs/{RUN}/trailers/m0")];
    let began = Instant::now();
    let answers = join_all((0..100).map(|i| served.get(&paths[i % paths.len()]))).await;
    assert!(answers.iter().all(|answer| answer.status == 200));
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    drop(slow);
}

#[tokio::test]
async fn an_upload_that_is_empty_too_large_or_not_a_video_is_refused() {
    let served = Served::new(1, None).await;
    let upload = format!("/api/v1/runs/{RUN}/try/upload");
    let large = served.send("POST", &upload, &[], &vec![0; (1 << 20) + 1]).await;
    assert!(large.status == 413 && large.text().contains("--upload-mb"), "{} {}", large.status, large.text());
    assert_ne!(served.send("POST", &upload, &[], b"").await.status, 200);
}

#[tokio::test]
async fn a_store_that_goes_away_fails_with_its_reason_and_pages_work_again_when_it_is_back() {
    let served = Served::new(2, None).await;
    let path = format!("/runs/{RUN}/trailers/m0");
    assert_eq!(served.get(&path).await.status, 200);
    let (root, away) = (served.folder.path().to_path_buf(), served.folder.path().with_extension("away"));
    std::fs::rename(&root, &away).expect("a folder that can be moved");
    for path in ["/runs", &format!("/runs/{RUN}"), &path, &format!("/runs/{RUN}/live")] {
        let answer = served.get(path).await;
        assert!(answer.status < 600 && !answer.text().is_empty(), "{path}");
        assert_ne!(answer.status, 500, "{path}: {}", answer.text());
    }
    assert_eq!(served.get("/livez").await.status, 200);
    std::fs::rename(&away, &root).expect("a folder that can be moved");
    assert_eq!(served.get(&path).await.status, 200);
    std::fs::write(root.join(format!("runs/{RUN}/state.json")), "{").expect("room on disk");
    let damaged = served.get(&format!("/api/v1/runs/{RUN}")).await;
    assert!(damaged.status == 500 && damaged.text().contains("state.json"), "{}", damaged.text());
    assert_eq!(served.get("/runs").await.status, 200, "a damaged run does not hide the others");
}
