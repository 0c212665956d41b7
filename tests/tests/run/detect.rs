//! `jhalak detect`, scene-object keyframes and the objects of a run, on real frames.

use std::path::{Path, PathBuf};
use std::process::Command;

use jhalak_tests::dataset::Made;
use jhalak_tests::programs::{command, files, run};
use serde_json::Value;

fn sintel() -> PathBuf {
    jhalak_tests::repository().join(".local/demo/sources/sintel_trailer-720p.mp4")
}

/// A picture made by the program ffmpeg of the trailer's frame at 29 s, in which a person stands at
/// the left.
fn picture(folder: &Path, name: &str, filter: &str) -> PathBuf {
    let file = folder.join(name);
    let made = Command::new("ffmpeg")
        .args(["-v", "error", "-y", "-ss", "29.2", "-i"])
        .arg(sintel())
        .args(["-frames:v", "1", "-q:v", "2", "-vf", filter])
        .arg(&file)
        .status()
        .expect("the ffmpeg program is installed");
    assert!(made.success());
    file
}

fn detect(file: &Path, more: &[&str]) -> Value {
    let ended = run(command("jhalak", Path::new("unused")).args(["detect", "--json"]).arg(file).args(more));
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    serde_json::from_str(&ended.out).expect("JSON on standard output")
}

/// The box of the surest person.
fn person(record: &Value) -> [f64; 4] {
    let objects = record["objects"].as_array().expect("a list");
    let person = objects.iter().find(|o| o["label"] == "person").unwrap_or_else(|| panic!("nobody in {record}"));
    assert_eq!(person["class"], 0);
    assert!(person["score"].as_f64().is_some_and(|s| s > 0.5));
    serde_json::from_value(person["box"].clone()).expect("four numbers")
}

#[test]
fn inference_leaves_nothing_in_the_home_folder() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let picture = picture(folder.path(), "frame.jpg", "null");
    let home = folder.path().join("home");
    std::fs::create_dir(&home).expect("room on disk");
    let mut jhalak = command("jhalak", Path::new("unused"));
    // A runner of CI would suppress the telemetry of ONNX Runtime, and so hide it here.
    for name in ["CI", "GITHUB_ACTIONS", "TF_BUILD", "ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME"] {
        jhalak.env_remove(name);
    }
    let ended = run(jhalak.env("HOME", &home).args(["detect", "--json"]).arg(&picture));
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    let left: Vec<String> = files(&home).into_keys().collect();
    assert!(left.is_empty(), "the maker of ONNX Runtime gets facts about this machine: {left:?}");
}

#[test]
fn pictures_give_the_same_objects_in_every_format_and_exif_orientation() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let png = detect(&picture(folder.path(), "frame.png", "null"), &[]);
    let upright = person(&png);
    assert_eq!((&png["width"], &png["height"], &png["frame"]), (&1280.into(), &720.into(), &0.into()));
    let near = |other: [f64; 4], what: &str| {
        let off = upright.iter().zip(other).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(off < 12.0, "{what}: {upright:?} and {other:?}");
    };
    for name in ["frame.jpg", "frame.bmp", "frame.tiff"] {
        near(person(&detect(&picture(folder.path(), name, "null"), &[])), name);
    }
    // Stored lying on its left side, with EXIF's "turn clockwise".
    let lying = picture(folder.path(), "lying.jpg", "transpose=cclock");
    let mut bytes = std::fs::read(&lying).expect("the picture");
    let exif = b"\xff\xe1\x00\x22Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
    bytes.splice(2..2, exif.iter().copied());
    std::fs::write(&lying, bytes).expect("room on disk");
    let turned = detect(&lying, &[]);
    assert_eq!((&turned["width"], &turned["height"]), (&1280.into(), &720.into()));
    near(person(&turned), "turned by EXIF");
}

#[test]
fn a_video_gives_a_record_for_every_nth_frame_and_a_painted_picture() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (short, painted) = (folder.path().join("short.mp4"), folder.path().join("painted.jpg"));
    let made = Command::new("ffmpeg")
        .args(["-v", "error", "-ss", "28", "-i"])
        .arg(sintel())
        .args(["-t", "2", "-an", "-vf", "scale=640:-2"])
        .arg(&short)
        .status()
        .expect("the ffmpeg program is installed");
    assert!(made.success());
    let records = detect(&short, &["--stride", "12", "--threshold", "0.4", "--draw", &painted.to_string_lossy()]);
    let records = records.as_array().expect("a list of records");
    let frames: Vec<_> = records.iter().map(|r| r["frame"].as_u64()).collect();
    assert_eq!(frames, [Some(0), Some(12), Some(24), Some(36)]);
    assert!(records.iter().any(|r| r["objects"].as_array().is_some_and(|o| !o.is_empty())));
    assert!(records.iter().all(|r| r["time_s"].is_number() && r["file"].is_string()));
    let jpeg = std::fs::read(painted).expect("a painted picture");
    assert!(jpeg.starts_with(b"\xff\xd8\xff") && jpeg.len() > 10_000);
}

#[test]
fn file_that_is_not_a_picture_is_refused_with_its_name() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let words = folder.path().join("words.jpg");
    std::fs::write(&words, "no picture").expect("room on disk");
    let cut = folder.path().join("cut.png");
    std::fs::write(&cut, b"\x89PNG\r\n\x1a\nnothing").expect("room on disk");
    for (arguments, code, shown) in [
        (vec![words.to_string_lossy().into_owned()], 3, "words.jpg"),
        (vec![cut.to_string_lossy().into_owned()], 3, "cut.png"),
        (vec!["/nowhere.png".into()], 3, "/nowhere.png"),
        (vec![words.to_string_lossy().into_owned(), "--model".into(), "speech-embedding".into()], 3, "nanodet-g"),
        (vec![words.to_string_lossy().into_owned(), "--threshold".into(), "2".into()], 2, "0 to 1"),
    ] {
        let ended = run(command("jhalak", Path::new("unused")).arg("detect").args(&arguments));
        assert_eq!(ended.code, Some(code), "{arguments:?}: {}", ended.err);
        assert!(ended.err.contains(shown), "{arguments:?}: {}", ended.err);
    }
}

#[test]
fn run_by_scenes_and_objects_commits_detections() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (dataset, store) = (folder.path().join("data"), folder.path().join("store"));
    Made::new(&dataset, true);
    let mut jhalak = command("jhalak", &store);
    jhalak.env("JHALAK__EXTRACT__STRATEGY", "scene-object").env("JHALAK__EXTRACT__OBJECT_STRIDE", "10");
    let ended = run(jhalak.args(["run", "--quiet", "--dataset"]).arg(&dataset));
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    let made = files(&store);
    let of = |kind: &str, file: &str| {
        let wanted = |name: &&String| name.starts_with(&format!("artifacts/{kind}/")) && name.ends_with(file);
        made.keys().filter(wanted).cloned().collect::<Vec<_>>()
    };
    let objects = of("objects", "objects.json");
    assert_eq!(
        (objects.len(), of("keyframes", "keyframes.tar").len(), of("video-embedding", "commit.json").len()),
        (4, 4, 4)
    );
    for name in objects {
        let seen: Value = serde_json::from_slice(&made[&name]).expect("JSON");
        assert_eq!(seen["histogram"].as_array().map(Vec::len), Some(80));
        assert_eq!(seen["classes"][0], "person");
    }
}

#[test]
fn paper_grid_takes_all_strategies_from_one_decode_and_evaluates_each() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (dataset, store) = (folder.path().join("data"), folder.path().join("store"));
    Made::new(&dataset, true);
    let grid = |store: &Path| {
        let mut jhalak = command("jhalak", store);
        jhalak.env("JHALAK__EXTRACT__OBJECT_STRIDE", "10").env("JHALAK__MODELS__VIDEO_ALSO", "efficientnet-lite0");
        let ended = run(jhalak.args(["run", "--quiet", "--json", "--grid", "paper", "--dataset"]).arg(&dataset));
        assert_eq!(ended.code, Some(0), "{}", ended.err);
        serde_json::from_str::<Value>(&ended.out).expect("JSON on standard output")
    };
    let ran = grid(&store);
    let made = files(&store);
    let commits = |kind: &str| {
        let wanted = |name: &&String| name.starts_with(&format!("artifacts/{kind}/")) && name.ends_with("commit.json");
        made.keys().filter(wanted).count()
    };
    // A model that is named twice is one model.
    assert_eq!((commits("keyframes"), commits("video-embedding"), commits("video-table")), (12, 12, 3));
    assert_eq!((commits("scenes"), commits("objects"), commits("audio-embedding")), (4, 4, 4));
    // In test patterns there is no object: the clip stays zero, as in the paper, and is marked.
    let embeddings =
        made.iter().filter(|(name, _)| name.starts_with("artifacts/video-embedding/") && name.ends_with("commit.json"));
    let of_zeros = embeddings.filter(|(_, commit)| String::from_utf8_lossy(commit).contains("zero_clip"));
    assert_eq!(of_zeros.count(), 4);
    let run_id = ran["run"].as_str().expect("an id");
    let report: Value = serde_json::from_slice(&made[&format!("runs/{run_id}/report/report.json")]).expect("JSON");
    for table in report["paper"].as_array().expect("tables") {
        let name = table["name"].as_str().expect("a name");
        if name == "Table V" {
            assert!(table["not_run"].as_str().is_some_and(|why| why.contains("models.video_also")), "{table}");
            continue;
        }
        assert!(table["not_run"].is_null(), "{table}");
        for row in table["rows"].as_array().expect("rows") {
            let has = |protocol: &str| row[protocol]["accuracy"]["mean"].is_number();
            assert!(has("paper") && has("strict"), "{name}: {row}");
        }
    }
    // The pictures of the run's own strategy are those of a run that asks for nothing else, and are
    // not made again.
    let mut alone = command("jhalak", &store);
    let ended = run(alone.args(["run", "--quiet", "--json", "--dataset"]).arg(&dataset));
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    let again =
        files(&store).into_keys().filter(|n| n.starts_with("artifacts/keyframes/") && n.ends_with("commit.json"));
    assert_eq!(again.count(), 12);
}
