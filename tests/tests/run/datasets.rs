//! Datasets as people have them, and predictions that go out and come in.

use std::path::Path;
use std::process::Command;

use jhalak_tests::dataset::{Made, id};
use jhalak_tests::programs::{command, files, run};

fn jhalak(store: &Path, dataset: &Path, args: &[&str]) -> jhalak_tests::programs::Ended {
    run(command("jhalak", store).args(args).arg("--dataset").arg(dataset))
}

/// A catalogue may name a trailer anywhere; what is no file is left out instead of being waited
/// for.
#[test]
fn trailers_alone_are_extracted_wherever_they_are() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (whole, store) = (folder.path().join("whole"), folder.path().join("store"));
    Made::new(&whole, true);
    let trailer = |movie: usize| whole.join(format!("trailers/{}.mp4", id(movie)));
    let data = folder.path().join("data");
    std::fs::create_dir_all(data.join("more")).expect("a new folder");
    std::fs::copy(trailer(0), data.join("more/clip.bin")).expect("room on disk");
    let made = Made { folder: data.clone() };
    made.write(
        "movies.csv",
        &format!("id,trailer\nफिल्म 1,more/clip.bin\nm2,{}\nm3,gone.mp4\nm4,pipe\n", trailer(1).display()),
    );
    assert!(Command::new("mkfifo").arg(data.join("pipe")).status().expect("mkfifo").success());
    std::fs::create_dir(data.join("trailers")).expect("a new folder");
    std::os::unix::fs::symlink("/nowhere", data.join("trailers/m5.mp4")).expect("a link");

    let check = jhalak(&store, &data, &["dataset", "check"]);
    assert_eq!(check.code, Some(3), "{}", check.err);
    for shown in
        ["no ratings: trailers are extracted", "movie m3, \"gone.mp4\"", "a pipe, not a file", "3 left out in all"]
    {
        assert!(check.out.contains(shown), "{shown} is missing in:\n{}", check.out);
    }
    let ended = jhalak(&store, &data, &["run"]);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    let made: Vec<String> = files(&store).into_keys().filter(|key| key.ends_with("keyframes.tar")).collect();
    assert_eq!(made.len(), 2, "{made:?}");
    assert!(made.iter().any(|key| key.contains("/फिल्म 1@")), "{made:?}");
    let fit = jhalak(&store, &data, &["fit"]);
    assert!(fit.code == Some(3) && fit.err.contains("no ratings"), "{}", fit.err);
}

/// The content that a catalogue states for a trailer is required, and of two files for one movie
/// the one that opens is taken.
#[test]
fn stated_content_holds_and_of_two_files_the_one_that_opens_is_taken() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (whole, store) = (folder.path().join("whole"), folder.path().join("store"));
    Made::new(&whole, true);
    let trailer = |movie: usize| whole.join(format!("trailers/{}.mp4", id(movie)));
    let data = folder.path().join("data");
    std::fs::create_dir_all(data.join("trailers/2024")).expect("a new folder");
    std::fs::create_dir_all(data.join("trailers/m5")).expect("a new folder");
    std::fs::copy(trailer(1), data.join("trailers/2024/m4.MP4")).expect("room on disk");
    std::fs::copy(trailer(3), data.join("trailers/m5/official trailer.mp4")).expect("room on disk");
    let made = Made { folder: data.clone() };
    made.write("trailers/2024/M4.avi", "not a video");
    made.write("trailers/m6.avi", "");
    std::fs::copy(trailer(1), data.join("trailers/m6.mp4")).expect("room on disk");
    let bytes = std::fs::read(trailer(0)).expect("just made");
    let (size, sha256) = (bytes.len(), jhalak_common::hash::of_bytes(&bytes));
    let (at, wrong) = (trailer(0).display().to_string(), "0".repeat(64));
    made.write(
        "movies.csv",
        &format!(
            "id,trailer,trailer_size,trailer_sha256\nm1,{at},{size},{sha256}\nm2,{at},{size},{wrong}\nm3,{at},{},\nm4,,,\n\
             m5,,,\nm6,,,\n",
            size + 1
        ),
    );
    let check = jhalak(&store, &data, &["dataset", "check"]);
    assert_eq!(check.code, Some(3), "{}", check.err);
    for shown in [
        "movie m2, \"file://",
        "the catalogue states 0000",
        "movie m3",
        &format!("it has {size} bytes, and the catalogue states {}", size + 1),
        "\"2024/M4.avi\": it cannot be used (it does not open): trailers/2024/m4.MP4 is taken instead",
        "\"m6.avi\": it cannot be used (is empty): trailers/m6.mp4 is taken instead",
        "4 left out in all",
    ] {
        assert!(check.out.contains(shown), "{shown} is missing in:\n{}", check.out);
    }
    let ended = jhalak(&store, &data, &["run"]);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    let kept: Vec<String> = files(&store).into_keys().filter(|key| key.ends_with("keyframes.tar")).collect();
    assert_eq!(kept.len(), 4, "{kept:?}");
    assert!(kept.iter().any(|key| key.contains(&format!("/m1@{}", sha256.short()))), "{kept:?}");
    // The catalogue alone is a dataset too.
    let alone = jhalak(&store, &data.join("movies.csv"), &["dataset", "check"]);
    assert!(alone.out.contains("no ratings: trailers are extracted"), "{}{}", alone.out, alone.err);
}

/// Predictions that are written are judged as they were measured, and compared with themselves.
#[test]
fn predictions_go_out_and_come_in_with_ids() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (data, store) = (folder.path().join("data"), folder.path().join("store"));
    Made::new(&data, false);
    let file = |name: &str| folder.path().join(name).display().to_string();
    let json = |args: &[&str]| {
        let ended = jhalak(&store, &data, args);
        assert_eq!(ended.code, Some(0), "{}", ended.err);
        serde_json::from_str::<serde_json::Value>(&ended.out).expect("JSON")
    };
    let evaluate = |model: &str, out: &str| json(&["evaluate", "--model", model, "--json", "--predictions", out]);
    let (bias, majority) = (file("bias.parquet"), file("majority.parquet"));
    let measured = evaluate("bias", &bias);
    evaluate("majority", &majority);
    let scored = json(&["evaluate", "--json", "--score", &bias]);
    for figure in ["accuracy", "macro_f1", "calibration"] {
        assert_eq!(scored["metrics"][figure], measured[figure], "{figure}");
    }
    let compare = |a: &str, b: &str| {
        let ended = run(command("jhalak", &store).args(["compare", a, b, "--json"]));
        assert_eq!(ended.code, Some(0), "{}", ended.err);
        serde_json::from_str::<serde_json::Value>(&ended.out).expect("JSON")
    };
    let same = compare(&bias, &bias);
    assert_eq!(
        (&same["difference"]["accuracy"]["low"], &same["difference"]["accuracy"]["high"]),
        (&0.0.into(), &0.0.into())
    );
    let other = compare(&bias, &majority);
    assert_eq!(other["difference"]["pairs"], same["difference"]["pairs"]);
    let gap = other["metrics"][0]["accuracy"]["mean"].as_f64().expect("a number")
        - other["metrics"][1]["accuracy"]["mean"].as_f64().expect("a number");
    assert!((other["difference"]["accuracy"]["mean"].as_f64().expect("a number") - gap).abs() < 0.02);
}
