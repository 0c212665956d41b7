//! `jhalak run`: from a folder to a report, once.

use jhalak_tests::dataset::{Made, id};
use jhalak_tests::programs::{command, files, run};
use serde_json::Value;

#[test]
fn a_run_ends_in_a_report_and_a_second_one_finds_everything_committed() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (dataset, store) = (folder.path().join("data"), folder.path().join("store"));
    Made::new(&dataset, true);
    let mut jhalak = command("jhalak", &store);
    jhalak.args(["run", "--json", "--dataset"]).arg(&dataset);

    let first = run(&mut jhalak);
    assert_eq!(first.code, Some(0), "{}", first.err);
    let answer: Value = serde_json::from_str(&first.out).expect("JSON on standard output");
    assert_eq!(answer["state"], "done");
    // 4 trailers with 3 artifacts each, every cell with 2 folds, and the final model.
    let cells = answer["evaluation"].as_array().expect("a list of cells");
    let computed = cells.iter().filter(|cell| cell["decision"] == "plain").count();
    assert_eq!(answer["made"], 12 + 2 * computed + 1);
    for cell in cells {
        assert!(cell["not_run"].is_null(), "{cell}");
        assert!(cell["metrics"]["accuracy"]["mean"].as_f64().is_some_and(|a| (0.0..=1.0).contains(&a)), "{cell}");
    }
    for (model, protocol) in [("classifier", "paper"), ("classifier", "strict"), ("ann", "paper"), ("ann", "strict")] {
        for modality in ["video", "audio", "audio+video", "genre"] {
            let found =
                cells.iter().any(|c| c["model"] == model && c["protocol"] == protocol && c["modality"] == modality);
            assert!(found, "no cell {protocol} {modality} {model}");
        }
    }
    let html = std::fs::read_to_string(answer["report"].as_str().expect("a place").trim_start_matches("file://"))
        .expect("the page");
    assert!(html.contains("Movie 0") || html.contains("Drama"));
    assert!(!html.contains("http://") && !html.contains("src=\"//"), "the page loads nothing from elsewhere");

    let before = files(&store);
    let second = run(&mut jhalak);
    assert_eq!(second.code, Some(0), "{}", second.err);
    let answer: Value = serde_json::from_str(&second.out).expect("JSON on standard output");
    assert_eq!(answer["made"], 0);
    let same = |name: &&String| !name.ends_with("state.json") && !name.contains("/lead/");
    let after = files(&store);
    for name in before.keys().chain(after.keys()).filter(same) {
        assert_eq!(before.get(name), after.get(name), "{name} differs after the second run");
    }
}

#[test]
fn a_trailer_without_sound_is_a_success_with_an_empty_result() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (dataset, store) = (folder.path().join("data"), folder.path().join("store"));
    Made::new(&dataset, true);
    let ended = run(command("jhalak", &store).args(["run", "--quiet", "--dataset"]).arg(&dataset));
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    let silent: Vec<Value> = files(&store)
        .iter()
        .filter(|(name, _)| name.starts_with("artifacts/audio-embedding/") && name.ends_with("commit.json"))
        .map(|(_, bytes)| serde_json::from_slice(bytes).expect("a commit record"))
        .filter(|record: &Value| record["files"].as_array().is_some_and(Vec::is_empty))
        .collect();
    assert_eq!(silent.len(), 1);
    assert_eq!(silent[0]["subject"]["id"], id(2).as_str());
    assert!(silent[0]["facts"]["without"].as_str().is_some_and(|why| !why.is_empty()));
}

#[test]
fn dataset_without_trailers_runs_possible_cells_and_reports_the_others() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (dataset, store) = (folder.path().join("data"), folder.path().join("store"));
    Made::new(&dataset, false);
    let mut jhalak = command("jhalak", &store);
    // Neither models nor ONNX Runtime are needed without trailers.
    jhalak.env("JHALAK__MODELS__ONNXRUNTIME", "/nowhere").args(["run", "--dataset"]).arg(&dataset);
    let ended = run(&mut jhalak);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert!(
        ended.out.contains("left out") && ended.out.contains("video") && ended.out.contains("trailers"),
        "{}",
        ended.out
    );
    assert!(ended.out.contains("genre"), "{}", ended.out);
}

#[test]
fn changed_settings_remake_only_dependent_artifacts() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (dataset, store) = (folder.path().join("data"), folder.path().join("store"));
    Made::new(&dataset, true);
    let go = |threads: &str| {
        let mut jhalak = command("jhalak", &store);
        jhalak.env("JHALAK__INFERENCE__THREADS", threads).args(["run", "--quiet", "--dataset"]).arg(&dataset);
        let ended = run(&mut jhalak);
        assert_eq!(ended.code, Some(0), "{}", ended.err);
        files(&store).into_keys().filter(|name| name.ends_with("commit.json")).collect::<Vec<_>>()
    };
    let count =
        |names: &[String], kind: &str| names.iter().filter(|n| n.starts_with(&format!("artifacts/{kind}/"))).count();
    let (before, after) = (go("1"), go("2"));
    assert_eq!((count(&before, "keyframes"), count(&after, "keyframes")), (4, 4), "keyframes do not depend on models");
    assert_eq!((count(&before, "video-embedding"), count(&after, "video-embedding")), (4, 8));
}
