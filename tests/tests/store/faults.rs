//! The S3 store behind a network and a server that fail: every operation still succeeds, with the
//! right bytes.
//!
//! Each test breaks requests through a proxy of its own; without an S3 server they are skipped with
//! the reason.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::TryStreamExt;
use jhalak_common::store::{self, ObjectStore, PutOutcome, conformance};
use jhalak_common::{Error, ErrorKind, Result};
use jhalak_tests::fault_proxy::{CONFLICT, Fault, Proxy, SLOW_DOWN};
use jhalak_tests::s3_server;

/// Every 17th request fails in each of these ways, and every promise still holds.
async fn conforms_under(fault: Fault) -> Result<()> {
    let Some(server) = s3_server::from_environment() else { return Ok(()) };
    let broken = fault.clone();
    let proxy = Proxy::start(
        &server.endpoint,
        move |request| if request.number % 17 == 0 { broken.clone() } else { Fault::None },
    )
    .await?;
    let store = server.store("faults", Some(&proxy.url)).await?;
    let scratch = tempfile::tempdir()?;
    conformance::run(&store, "conformance", scratch.path(), 40)
        .await
        .map_err(|e| e.context(format_args!("under {fault:?}")))?;
    assert!(proxy.log().len() > 500, "the requests went through the proxy");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn conforms_when_the_server_answers_slow_down() -> Result<()> {
    conforms_under(Fault::Answer(503, SLOW_DOWN)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn conforms_when_the_server_fails() -> Result<()> {
    conforms_under(Fault::Answer(500, "")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn conforms_when_connections_are_closed() -> Result<()> {
    conforms_under(Fault::Refuse).await
}

#[tokio::test(flavor = "multi_thread")]
async fn conforms_when_answers_are_lost() -> Result<()> {
    conforms_under(Fault::LoseAnswer).await
}

#[tokio::test(flavor = "multi_thread")]
async fn conforms_when_answers_are_cut() -> Result<()> {
    conforms_under(Fault::CutAfter(1_000)).await
}

/// Stands for the joining of a multipart upload.
const JOIN: &str = "join";

/// The first `count` requests with `part` in "METHOD target" meet `fault`.
fn first(
    count: usize,
    part: &'static str,
    fault: Fault,
) -> impl Fn(&jhalak_tests::fault_proxy::Request) -> Fault + Send + Sync + 'static {
    let met = AtomicUsize::new(0);
    move |request| {
        let concerned = match part {
            JOIN => request.method == "POST" && request.target.contains("uploadId="),
            part => format!("{} {}", request.method, request.target).contains(part),
        };
        if concerned && met.fetch_add(1, Ordering::Relaxed) < count { fault.clone() } else { Fault::None }
    }
}

async fn large_object(server: &s3_server::Server, folder: &std::path::Path) -> Result<(Arc<dyn ObjectStore>, String)> {
    let direct = server.store("large", None).await?;
    let from = folder.join("from");
    conformance::write_noise(&from, conformance::LARGE)?;
    direct.upload("film", &from).await?;
    let url = direct.url();
    Ok((direct, url))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_resumes_where_it_was_cut_or_went_silent() -> Result<()> {
    let Some(server) = s3_server::from_environment() else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    let (_, url) = large_object(&server, folder.path()).await?;
    for (fault, times) in [(Fault::CutAfter(4_000_000), 9), (Fault::StallAfter(15_000_000), 2)] {
        // More cuts than attempts: each made progress.
        let proxy = Proxy::start(&server.endpoint, first(times, "GET", fault)).await?;
        let store = store::open(&url, &server.settings(Some(&proxy.url))).await?;
        let to = folder.path().join("to");
        store.download("film", &to, None).await?;
        assert!(conformance::same_bytes(&folder.path().join("from"), &to)?);
        let log = proxy.log();
        assert_eq!(log.len(), times + 1);
        for (n, (request, _)) in log.iter().enumerate() {
            let resumed = request.head.to_lowercase().contains("\r\nrange: bytes=")
                && request.head.to_lowercase().contains("\r\nif-match:");
            assert_eq!(resumed, n > 0, "{}", request.head);
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_replaced_in_mid_download_is_never_mixed() -> Result<()> {
    let Some(server) = s3_server::from_environment() else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    let (direct, url) = large_object(&server, folder.path()).await?;
    let tag = direct.head("film").await?.tag;
    for tag in [None, Some(tag.as_str())] {
        // The second request waits until the object is another one.
        let proxy = Proxy::start(&server.endpoint, |request| match request.number {
            0 => Fault::CutAfter(4_000_000),
            1 => Fault::Wait(Duration::from_millis(1_500)),
            _ => Fault::None,
        })
        .await?;
        let store = store::open(&url, &s3_settings_patient(&server, &proxy)).await?;
        let to = folder.path().join("to");
        let replace = async {
            while proxy.log().is_empty() {
                tokio::task::yield_now().await;
            }
            while proxy.log().len() < 2 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            direct.put("film", Bytes::from_static(b"another film")).await
        };
        let (outcome, replaced) = tokio::join!(store.download("film", &to, tag), replace);
        replaced?;
        match tag {
            None => {
                assert_eq!(outcome?.size, 12);
                assert_eq!(std::fs::read(&to)?, b"another film");
                direct.upload("film", &folder.path().join("from")).await?;
            }
            Some(_) => {
                assert_eq!(outcome.expect_err("the tag is another").kind(), ErrorKind::InvalidInput);
                assert!(!to.exists());
            }
        }
    }
    Ok(())
}

fn s3_settings_patient(server: &s3_server::Server, proxy: &Proxy) -> jhalak_common::settings::S3Settings {
    jhalak_common::settings::S3Settings { stall_timeout_ms: 10_000, ..server.settings(Some(&proxy.url)) }
}

#[tokio::test(flavor = "multi_thread")]
async fn creation_is_recognised_after_a_lost_response() -> Result<()> {
    let Some(server) = s3_server::from_environment() else { return Ok(()) };
    let proxy = Proxy::start(&server.endpoint, first(2, "PUT", Fault::LoseAnswer)).await?;
    let store = server.store("once", Some(&proxy.url)).await?;
    assert_eq!(store.put_if_absent("own", Bytes::from_static(b"same")).await?, PutOutcome::Created);
    assert_eq!(proxy.count("PUT"), 3, "the first attempt wrote it, two were refused");

    // Another's object with the same bytes is not ours, although our first attempt ended without an
    // answer.
    let direct = server.store("other", None).await?;
    direct.put_if_absent("other", Bytes::from_static(b"same")).await?;
    let proxy = Proxy::start(&server.endpoint, first(1, "PUT", Fault::LoseAnswer)).await?;
    let store = store::open(&direct.url(), &server.settings(Some(&proxy.url))).await?;
    assert_eq!(store.put_if_absent("other", Bytes::from_static(b"same")).await?, PutOutcome::AlreadyExists);

    // A conflict is no refusal.
    let proxy = Proxy::start(&server.endpoint, first(3, "PUT", Fault::Answer(409, CONFLICT))).await?;
    let store = store::open(&direct.url(), &server.settings(Some(&proxy.url))).await?;
    assert_eq!(store.put_if_absent("after conflict", Bytes::from_static(b"x")).await?, PutOutcome::Created);
    assert_eq!(proxy.count("PUT"), 4);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_multipart_upload_survives_faults_in_each_step() -> Result<()> {
    let Some(server) = s3_server::from_environment() else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    let from = folder.path().join("from");
    conformance::write_noise(&from, 12_000_000)?;
    for (part, fault) in [
        ("uploads", Fault::Answer(503, SLOW_DOWN)),
        ("partNumber=2", Fault::LoseAnswer),
        ("partNumber=2", Fault::StallUpload(100_000)),
        // Joining: the server then knows no such upload, because it has joined it.
        (JOIN, Fault::LoseAnswer),
        (JOIN, Fault::Answer(200, SLOW_DOWN)),
    ] {
        let proxy = Proxy::start(&server.endpoint, first(1, part, fault.clone())).await?;
        let store = server.store("parts", Some(&proxy.url)).await?;
        store.upload("film", &from).await.map_err(|e| e.context(format_args!("{part} {fault:?}")))?;
        let to = folder.path().join("to");
        store.download("film", &to, None).await?;
        assert!(conformance::same_bytes(&from, &to)?, "{part} {fault:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_multipart_upload_is_aborted() -> Result<()> {
    let Some(server) = s3_server::from_environment() else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    let from = folder.path().join("from");
    conformance::write_noise(&from, 12_000_000)?;
    let proxy = Proxy::start(&server.endpoint, first(99, "partNumber=3", Fault::Answer(503, SLOW_DOWN))).await?;
    let store = server.store("abort", Some(&proxy.url)).await?;
    let failed = store.upload("film", &from).await.expect_err("part 3 never arrives");
    assert_eq!(failed.kind(), ErrorKind::Throttled, "{failed:?}");
    assert_eq!(proxy.count("DELETE"), 1, "the parts are removed");
    assert_eq!(store.head("film").await.expect_err("nothing was joined").kind(), ErrorKind::NotFound);

    // Cancelled in the middle: the same, in the background.
    let proxy = Proxy::start(&server.endpoint, first(99, "partNumber=3", Fault::StallUpload(0))).await?;
    let store = store::open(&store.url(), &s3_settings_patient(&server, &proxy)).await?;
    let upload = store.upload("film", &from);
    tokio::select! {
        _ = upload => panic!("part 3 never arrives"),
        () = async { while proxy.count("partNumber=3") == 0 { tokio::time::sleep(Duration::from_millis(5)).await } } => {}
    }
    tokio::time::timeout(Duration::from_secs(10), async {
        while proxy.count("DELETE") == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .map_err(|e| Error::bug("the upload was not given up").with_source(e))
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_download_is_not_cut() -> Result<()> {
    let Some(server) = s3_server::from_environment() else { return Ok(()) };
    let proxy = Proxy::start(&server.endpoint, first(99, "PUT", Fault::SlowUpload(8_000_000))).await?;
    let store = server.store("slow", Some(&proxy.url)).await?;
    let start = Instant::now();
    store.put("object", Bytes::from(vec![7; 40_000_000])).await?;
    assert!(start.elapsed() > Duration::from_secs(4), "it took longer than the stall timeout");
    assert_eq!(proxy.count("PUT"), 1, "and was not cut");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_connection_is_cut_and_retried() -> Result<()> {
    let Some(server) = s3_server::from_environment() else { return Ok(()) };
    let proxy =
        Proxy::start(
            &server.endpoint,
            |request| if request.number % 2 == 0 { Fault::StallAfter(0) } else { Fault::None },
        )
        .await?;
    let store = server.store("silent", Some(&proxy.url)).await?;
    store.put("object", Bytes::from_static(b"bytes")).await?;
    assert_eq!(store.get("object").await?, "bytes");
    let listed: Vec<_> = store.list("").try_collect().await?;
    assert_eq!(listed.len(), 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn permanent_errors_are_reported_without_retries() -> Result<()> {
    let Some(server) = s3_server::from_environment() else { return Ok(()) };
    // A bucket that does not exist: found by a read, also by HEAD, whose answer has no body.
    let proxy = Proxy::start(&server.endpoint, |_| Fault::None).await?;
    let store = store::open("s3://no-such-bucket-here/x", &server.settings(Some(&proxy.url))).await?;
    for error in [
        store.head("a").await.expect_err("no bucket"),
        store.get("a").await.expect_err("no bucket"),
        store.list("").try_collect::<Vec<_>>().await.expect_err("no bucket"),
    ] {
        assert_eq!(error.kind(), ErrorKind::Permission, "{error:?}");
        assert!(error.chain().contains("no-such-bucket-here"), "{error:?}");
    }
    assert!(proxy.log().len() <= 4, "nothing was tried again");

    // Nobody listens: the host is named.
    let settings = jhalak_common::settings::S3Settings { attempts: 2, ..server.settings(Some("http://127.0.0.1:9")) };
    let store = store::open("s3://bucket", &settings).await?;
    let error = store.get("a").await.expect_err("nobody listens");
    assert_eq!(error.kind(), ErrorKind::Transient, "{error:?}");
    assert!(error.to_string().contains("127.0.0.1:9") && error.to_string().contains("2 tries"), "{error}");

    // Texts that are not valid as endpoint, bucket or prefix.
    for endpoint in ["localhost:8333", "ftp://host", "http://user:secret@host", ""] {
        let error = store::open("s3://bucket", &server.settings(Some(endpoint))).await.expect_err("no endpoint");
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{endpoint}: {error:?}");
        assert!(!error.chain().contains("secret"), "{error:?}");
    }
    for url in ["s3://", "s3:///x", "s3://key:secret@bucket", "s3://bucket/a/../b", "gs://bucket"] {
        assert_eq!(
            store::open(url, &server.settings(None)).await.expect_err(url).kind(),
            ErrorKind::InvalidInput,
            "{url}"
        );
    }
    Ok(())
}

/// Credentials come from the environment of the process, so each case is a process of its own.
#[test]
fn missing_and_refused_credentials_are_reported() -> Result<()> {
    let Some(server) = s3_server::from_environment() else { return Ok(()) };
    let home = tempfile::tempdir()?;
    for (id, word) in [(None, "AWS_ACCESS_KEY_ID"), (Some("nobody"), "InvalidAccessKeyId")] {
        let mut child = std::process::Command::new(std::env::current_exe()?);
        child.args(["--exact", "faults::child_reads_one_object", "--ignored", "--nocapture"]).env_clear();
        child.env("S3_ENDPOINT", &server.endpoint).env("HOME", home.path()).env("AWS_EC2_METADATA_DISABLED", "true");
        if let Some(id) = id {
            child.env("AWS_ACCESS_KEY_ID", id).env("AWS_SECRET_ACCESS_KEY", "wrong");
        }
        let said = String::from_utf8_lossy(&child.output()?.stdout).into_owned();
        assert!(said.contains("Permission") && said.contains(word), "{said}");
    }
    Ok(())
}

#[tokio::test]
#[ignore = "the child of missing_and_refused_credentials_are_reported"]
async fn child_reads_one_object() -> Result<()> {
    let Some(server) = s3_server::from_environment() else { return Ok(()) };
    println!("{:?}", server.store("x", None).await?.get("a").await);
    Ok(())
}
