//! The command line as a newcomer meets it: a folder to start from, settings with their origins,
//! errors for programs.

use std::path::Path;
use std::process::Command;

use jhalak_tests::programs::{Ended, command, program, run};

/// The program as a newcomer starts it in `folder`: without any setting in the environment, and
/// with empty home and cache.
fn newcomer(folder: &Path, arguments: &[&str]) -> Ended {
    let mut jhalak = Command::new(program("jhalak"));
    for (key, _) in std::env::vars().filter(|(key, _)| key.starts_with("JHALAK") || key.starts_with("XDG_")) {
        jhalak.env_remove(key);
    }
    run(jhalak.current_dir(folder).env("HOME", folder.join("home")).args(arguments))
}

#[test]
fn a_folder_of_init_runs_as_it_is_and_its_settings_are_read() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let created = newcomer(folder.path(), &["init", "films"]);
    assert_eq!(created.code, Some(0), "{}", created.err);
    let films = folder.path().join("films");
    let again = newcomer(folder.path(), &["init", "films"]);
    assert!(again.code == Some(3) && again.err.contains("not replaced"), "{}", again.err);
    let checked = newcomer(&films, &["dataset", "check", "--dataset", "dataset"]);
    assert_eq!(checked.code, Some(0), "{}\n{}", checked.out, checked.err);
    assert!(checked.out.contains("nothing was left out") || !checked.out.contains("left out"), "{}", checked.out);

    let set = ["--set", "evaluate.folds=2", "--set", "evaluate.epochs=1"];
    let ran = newcomer(&films, &[&["run", "--dataset", "dataset", "--quiet", "--json"][..], &set].concat());
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(films.join("store/runs").is_dir(), "jhalak.toml names the store");
    // Commands name the only run by nothing, or by its start.
    let run_id = ran.json()["run"].as_str().expect("an id").to_owned();
    for arguments in [vec!["report"], vec!["report", &run_id[..5]], vec!["status", &run_id[..9]]] {
        let shown = newcomer(&films, &arguments);
        assert_eq!(shown.code, Some(0), "{arguments:?}: {}", shown.err);
    }
    let users = newcomer(&films, &["users", "AN", "--json"]).json();
    assert_eq!(users["users"][0]["id"], "anna", "{users}");
    let movies = newcomer(&films, &["movies", "monsoon"]);
    assert!(movies.out.contains("The Long Monsoon, 2012 (Drama); no trailer"), "{}", movies.out);

    // Every line of the file is a valid setting once its `#` is removed.
    let text = std::fs::read_to_string(films.join("jhalak.toml")).expect("a file");
    let is_setting = |line: &&str| line.starts_with('[') || (line.starts_with('#') && !line.starts_with("# "));
    let lines: Vec<&str> = text.lines().filter(is_setting).filter(|line| !line.ends_with('=')).collect();
    assert!(lines.len() > 60, "{} settings", lines.len());
    let all = lines.join("\n").replace("\n#", "\n");
    std::fs::write(films.join("all.toml"), all.trim_start_matches('#')).expect("room on disk");
    let accepted = newcomer(&films, &["settings", "--config", "all.toml", "--changed", "--json"]);
    assert_eq!(accepted.code, Some(0), "{}", accepted.err);
}

#[test]
fn settings_state_where_each_value_came_from() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join("jhalak.toml"), "[extract]\njpeg_quality = 80\n").expect("room on disk");
    let mut jhalak = Command::new(program("jhalak"));
    for (key, _) in std::env::vars().filter(|(key, _)| key.starts_with("JHALAK")) {
        jhalak.env_remove(key);
    }
    jhalak.current_dir(folder.path()).env("JHALAK__QUEUE", "amqp://guest:hidden-word@localhost");
    jhalak.args(["settings", "--changed", "--set", "evaluate.folds=3", "--set", "extract.also=scene-middle"]);
    let shown = run(&mut jhalak);
    assert_eq!(shown.code, Some(0), "{}", shown.err);
    for line in [
        "evaluate.folds = 3  # command line",
        "extract.also = [\"scene-middle\"]  # command line",
        "extract.jpeg_quality = 80  # file jhalak.toml",
        "# environment JHALAK__QUEUE",
    ] {
        assert!(shown.out.contains(line), "{line}: {}", shown.out);
    }
    assert!(!shown.out.contains("hidden-word"), "{}", shown.out);
    let schema = newcomer(folder.path(), &["settings", "--schema"]).json();
    assert!(schema["properties"]["extract"].is_object(), "{schema}");
    for (wrong, why) in [("evaluate.folds=x", "evaluate.folds"), ("evaluate.fold=3", "fold"), ("folds", "section.key")]
    {
        let refused = newcomer(folder.path(), &["status", "--set", wrong]);
        assert!(matches!(refused.code, Some(2 | 3)) && refused.err.contains(why), "{wrong}: {}", refused.err);
    }
}

#[test]
fn programs_get_errors_as_json_and_people_get_help() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = folder.path().join("store");
    let refused = run(command("jhalak", &store).args(["report", "--json"]));
    assert_eq!(refused.code, Some(3));
    assert_eq!(refused.json()["error"]["kind"], "not_found");
    assert!(refused.err.contains("no run"), "{}", refused.err);
    let usage = run(command("jhalak", &store).args(["report", "--no-such-option", "--json"]));
    assert_eq!((usage.code, &usage.json()["error"]["kind"]), (Some(2), &"usage".into()));
    let alone = run(&mut command("jhalak", &store));
    assert!(alone.code == Some(2) && alone.err.contains("Examples:"), "{}", alone.err);
    assert!(!alone.err.contains("decode-child"), "{}", alone.err);
    // A negative number is a value.
    let negative = run(command("jhalak", &store).args(["scenes", "x.mp4", "--threshold", "-5"]));
    assert!(negative.err.contains("above 0"), "{}", negative.err);
    let run_id = run(command("jhalak", &store).args(["status", "../../etc"]));
    assert!(run_id.code == Some(3) && run_id.err.contains("no run `../../etc`"), "{}", run_id.err);
}

#[test]
fn completions_and_manual_pages_name_every_command() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for shell in ["bash", "zsh", "fish"] {
        let completions = newcomer(folder.path(), &["completions", shell]);
        assert!(completions.code == Some(0) && completions.out.contains("similar"), "{shell}: {}", completions.err);
    }
    let pages = newcomer(folder.path(), &["man", "--out", "pages"]);
    assert_eq!(pages.code, Some(0), "{}", pages.err);
    let page = std::fs::read_to_string(folder.path().join("pages/jhalak-export.1")).expect("a page");
    assert!(page.contains(".TH"), "{page}");
}
