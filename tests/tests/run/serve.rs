//! `jhalak serve` over the store of a real run: pictures, the player, recommendations and an
//! upload.

use jhalak_tests::dataset::{Made, id};
use jhalak_tests::page_server::PageServer;
use jhalak_tests::programs::{command, files, run};
use jhalak_tests::s3_server;

#[test]
fn a_finished_run_is_shown_with_pictures_videos_recommendations_and_an_upload() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (dataset, store) = (folder.path().join("data"), folder.path().join("store"));
    Made::new(&dataset, true);
    let ended = run(command("jhalak", &store).args(["run", "--quiet", "--dataset"]).arg(&dataset));
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    let before = files(&store);
    let server = PageServer::start(command("jhalak", &store));
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
    let (_, report) = server.send("GET", &of_run("/report"), "", b"");
    let report = String::from_utf8_lossy(&report).replace("&#x2f;", "/");
    let links: Vec<&str> = report.split("href=\"../../../").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert_eq!(links.len(), 3, "the files of the model");
    for link in links {
        assert_eq!(server.send("GET", &format!("/{link}"), "", b"").0, 200, "{link}");
        let other = link.replace("model.json", "commit.json").replace("README.md", "../spec.json");
        assert!(other == link || server.send("GET", &format!("/{other}"), "", b"").0 == 404, "{other}");
    }
    assert_eq!(before, files(&store), "the store is only read");
}

#[test]
fn a_run_into_s3_of_a_local_folder_is_shown_from_there() {
    let Some(server) = s3_server::from_environment() else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let dataset = folder.path().join("data");
    Made::new(&dataset, true);
    let store = format!("s3://{}/page-{}", server.bucket, std::process::id());
    let jhalak = || {
        let mut jhalak = command("jhalak", "unused".as_ref());
        jhalak.env("JHALAK__STORE", &store).env("JHALAK__S3__ENDPOINT", &server.endpoint);
        jhalak
    };
    let ended = run(jhalak().args(["run", "--quiet", "--dataset"]).arg(&dataset));
    assert_eq!(ended.code, Some(0), "{}", ended.err);

    let page = PageServer::start(jhalak());
    let run_id = page.json("GET", "/runs", b"")["runs"][0]["id"].as_str().expect("a run").to_owned();
    let of_run = |path: &str| format!("/runs/{run_id}{path}");
    for path in ["", "/live", "/trailers", "/trailers/tt9900000/neighbours", "/trailers/tt9900000/audience"] {
        page.json("GET", &of_run(path), b"");
    }
    let tried = page.json("GET", &of_run("/try?like=tt9900000"), b"");
    assert!(tried["recommendations"].as_array().is_some_and(|list| !list.is_empty()), "{tried}");
    let (status, poster) = page.send("GET", &of_run("/trailers/tt9900000/poster.jpg"), "", b"");
    assert!(status == 200 && poster.starts_with(&[0xff, 0xd8]), "{status}");
    let (status, report) = page.send("GET", &of_run("/report"), "", b"");
    assert!(status == 200 && report.starts_with(b"<!DOCTYPE html>"), "{status}");

    // The trailers are in a folder of this machine: shown where the settings name it, and never
    // otherwise.
    let trailer = page.json("GET", &of_run("/trailers/tt9900000"), b"");
    let reason = trailer["not_playable"].as_str().unwrap_or_default();
    assert!(reason.contains("worker.sources"), "{trailer}");
    assert_eq!(page.send("GET", &of_run("/trailers/tt9900000/video"), "", b"").0, 403);
    let mut allowed = jhalak();
    let allowed = PageServer::start({
        allowed.env("JHALAK__WORKER__SOURCES", &dataset);
        allowed
    });
    let (status, part) = allowed.send("GET", &of_run("/trailers/tt9900000/video"), "Range: bytes=4-11\r\n", b"");
    assert_eq!((status, part.get(..4)), (206, Some(&b"ftyp"[..])));
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
