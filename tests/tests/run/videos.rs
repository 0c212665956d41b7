//! `jhalak scenes` and `jhalak keyframes`, as a user runs them.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use jhalak_tests::programs::{command, run};
use serde_json::Value;

/// Three scenes of plain colours and one of movement, 25 frames a second, 6 seconds.
fn video(folder: &Path, name: &str) -> PathBuf {
    let colours = ["red", "blue", "white"].map(|c| format!("color={c}:s=160x90:r=25:d=1.4"));
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-nostdin", "-v", "error", "-y"]);
    for source in colours.iter().map(String::as_str).chain(["testsrc2=s=160x90:r=25:d=1.8"]) {
        ffmpeg.args(["-f", "lavfi", "-i", source]);
    }
    let path = folder.join(name);
    let joined = ["-filter_complex", "concat=n=4", "-c:v", "libx264", "-preset", "ultrafast"];
    assert!(ffmpeg.args(joined).arg(&path).status().expect("the ffmpeg program is installed").success());
    path
}

fn jhalak(folder: &Path) -> Command {
    command("jhalak", &folder.join("store"))
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

#[test]
fn scenes_are_printed_as_json_in_the_fixed_shape_and_as_csv() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let video = video(folder.path(), "a b.mp4");
    let ended = run(jhalak(folder.path()).args(["scenes", "--json"]).arg(&video));
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    let shown = ended.json();
    assert_eq!(shown["cuts"], serde_json::json!([35, 70, 105]));
    assert_eq!(shown["scenes"], serde_json::json!([[0, 35], [35, 70], [70, 105], [105, 150]]));
    assert_eq!((&shown["frames"], &shown["fps"]), (&150.into(), &25.0.into()));
    assert_eq!((&shown["threshold"], &shown["min_scene_len"]), (&27.0.into(), &15.into()));
    assert_eq!(shown["file"], video.display().to_string());
    assert_eq!(shown["scores"].as_array().map(Vec::len), Some(150));
    assert_eq!(shown["outcome"]["state"], "complete");
    assert_eq!(shown["shown_s"], serde_json::json!([[0.0, 1.4], [1.4, 2.8], [2.8, 4.2], [4.2, 6.0]]));
    assert_eq!(shown["rate_varies"], false);

    let csv = run(jhalak(folder.path()).args(["scenes", "--min-scene-len", "20", "--threshold", "20"]).arg(&video));
    let lines: Vec<&str> = csv.out.lines().collect();
    assert_eq!(lines[0], "Timecode List:,00:00:01.400,00:00:02.800,00:00:04.200", "{}", csv.out);
    assert!(lines[1].starts_with("Scene Number,Start Frame,Start Timecode"));
    assert_eq!(lines[3], "2,36,00:00:01.400,1.400,70,00:00:02.800,2.800,35,00:00:01.400,1.400,1.400,2.800,1.400");
}

#[test]
fn each_strategy_writes_pictures_with_reasons_and_pads_with_black() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let video = video(folder.path(), "film.mp4");
    for (strategy, found) in [("equal-interval", 16), ("scene-middle", 4)] {
        let (out, sheet) = (folder.path().join(strategy), folder.path().join("sheet.jpg"));
        let mut command = jhalak(folder.path());
        command.args(["keyframes", "--json", "--strategy", strategy, "--out"]).arg(&out);
        let ended = run(command.arg("--sheet").arg(&sheet).arg(&video));
        assert_eq!(ended.code, Some(0), "{}", ended.err);
        let shown = ended.json();
        assert_eq!(shown["strategy"], strategy);
        let keyframes = shown["keyframes"].as_array().expect("a list");
        assert_eq!(keyframes.len(), found);
        for (index, keyframe) in keyframes.iter().enumerate() {
            assert_eq!(keyframe["index"], index);
            assert!(keyframe["frame"].as_u64().is_some_and(|frame| frame < 150) && keyframe["time_s"].is_f64());
            let jpeg = std::fs::read(keyframe["file"].as_str().expect("a path")).expect("a picture");
            assert_eq!(jpeg[..2], [0xff, 0xd8]);
        }
        assert_eq!(shown["padding"].as_array().map(Vec::len), Some(16 - found));
        let pictures = std::fs::read_dir(&out).expect("a folder").flatten();
        let pictures = pictures.filter(|file| file.path().extension() == Some(OsStr::new("jpg")));
        assert_eq!(pictures.count(), 16);
        assert_eq!(json(&std::fs::read_to_string(out.join("keyframes.json")).expect("the list")), shown);
        assert!(std::fs::read(&sheet).is_ok_and(|jpeg| jpeg.len() > 1000));
        if strategy == "scene-middle" {
            assert_eq!(keyframes[1]["frame"], 52);
            assert_eq!(keyframes[1]["scene"], serde_json::json!({"number": 2, "start": 35, "end": 70}));
            assert!(ended.err.contains("4 scenes: 12 black images"), "{}", ended.err);
        }
    }
}

#[test]
fn file_that_is_not_a_video_ends_with_exit_code_3_and_its_name() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = |name: &str, bytes: &[u8]| {
        std::fs::write(folder.path().join(name), bytes).expect("a file");
        folder.path().join(name)
    };
    let cases = [
        (file("empty.mp4", b""), "is empty"),
        (file("page.mp4", b"<html>not found</html>"), "Invalid data found"),
        (folder.path().to_path_buf(), "is a folder"),
        (folder.path().join("absent.mp4"), "No such file"),
        (PathBuf::from("https://127.0.0.1:9/trailer.mp4"), "fetch it first"),
    ];
    for (video, words) in &cases {
        for arguments in [&["scenes"][..], &["keyframes", "--out", "out"][..]] {
            let ended = run(jhalak(folder.path()).current_dir(folder.path()).args(arguments).arg(video));
            assert_eq!(ended.code, Some(3), "{}: {}", video.display(), ended.err);
            assert!(ended.err.contains(words) && ended.err.contains(&*video.to_string_lossy()), "{}", ended.err);
            assert!(ended.out.is_empty());
        }
    }
}

#[test]
fn wrong_use_differs_from_wrong_input_and_names_need_not_be_utf8() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let odd = folder.path().join(OsStr::from_bytes(b"non\xffutf8.mp4"));
    std::fs::rename(video(folder.path(), "plain.mp4"), &odd).expect("renamed");
    let ended = run(jhalak(folder.path()).args(["scenes", "--json"]).arg(&odd));
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert_eq!(ended.json()["frames"], 150);

    let out = folder.path().join("out");
    for wrong in [&["--threshold", "27"][..], &["--strategy", "middle"], &["--count", "0"], &["--stride", "2"]] {
        let ended = run(jhalak(folder.path()).args(["keyframes", "--out"]).arg(&out).args(wrong).arg(&odd));
        assert_eq!(ended.code, Some(2), "{wrong:?}: {}", ended.err);
    }
    let ended = run(jhalak(folder.path()).args(["scenes", "--threshold", "-1"]).arg(&odd));
    assert_eq!(ended.code, Some(2), "{}", ended.err);
    // Nothing is left behind in the place for scratch files.
    let scratch = folder.path().join("scratch");
    let mut command = jhalak(folder.path());
    let ended = run(command.env("JHALAK__WORKER__SCRATCH", &scratch).args(["scenes", "--quiet"]).arg(&odd));
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));
    assert_eq!(std::fs::read_dir(&scratch).expect("made").count(), 0);
}
