//! Bad input ends in an error that names it and the way out, or in a quarantined job with its reason; the rest goes on.

use jhalak_tests::dataset::{Made, id};
use jhalak_tests::programs::{Ended, command, files, run};
use std::path::Path;

fn jhalak(store: &Path, dataset: &Path) -> Ended {
    run(command("jhalak", store).args(["run", "--dataset"]).arg(dataset))
}

#[test]
fn a_trailer_that_is_no_video_is_quarantined_and_the_rest_goes_on() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (dataset, store) = (folder.path().join("data"), folder.path().join("store"));
    let made = Made::new(&dataset, true);
    let bad = format!("trailers/{}.mp4", id(1));
    made.write(&bad, "<html>not found</html>");
    let ended = jhalak(&store, &dataset);
    assert_eq!(ended.code, Some(4), "{}", ended.err);
    assert!(ended.out.contains(&id(1)), "{}", ended.out);
    let commits = |kind: &str| {
        files(&store)
            .keys()
            .filter(|n| n.starts_with(&format!("artifacts/{kind}/")) && n.ends_with("commit.json"))
            .count()
    };
    assert_eq!((commits("keyframes"), commits("video-embedding"), commits("audio-embedding")), (3, 3, 3));

    let runs = run(command("jhalak", &store).args(["status", "--json"]));
    let status: serde_json::Value = serde_json::from_str(&runs.out).expect("JSON");
    let name = status[0]["run"].as_str().expect("a run").to_string();
    assert_eq!(status[0]["state"]["stage"], "done-with-failures");
    let listed = run(command("jhalak", &store).args(["quarantine", "ls", &name, "--json"]));
    let records: serde_json::Value = serde_json::from_str(&listed.out).expect("JSON");
    assert_eq!(records.as_array().map(Vec::len), Some(1));
    assert_eq!((&records[0]["error"], &records[0]["attempts"]), (&"invalid_input".into(), &1.into()));

    // Not tried again by itself, and tried again when told to.
    assert_eq!(jhalak(&store, &dataset).code, Some(4));
    assert_eq!(run(command("jhalak", &store).args(["retry", &name])).code, Some(0));
    assert_eq!(files(&store).keys().filter(|n| n.contains("/quarantine/")).count(), 0);
    assert_eq!(jhalak(&store, &dataset).code, Some(4));
    // Mended, it is another dataset: only the mended trailer is left to do.
    made.trailer(1, "-f lavfi -i testsrc=s=128x96:r=10:d=2");
    let mended = jhalak(&store, &dataset);
    assert_eq!(mended.code, Some(0), "{}", mended.err);
    assert_eq!(commits("keyframes"), 4);
}

#[test]
fn bad_rows_are_left_out_counted_and_told_and_the_rest_goes_on() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (dataset, store) = (folder.path().join("data"), folder.path().join("store"));
    let made = Made::new(&dataset, false);
    let append = |name: &str, more: &str| {
        let text = std::fs::read_to_string(dataset.join(name)).expect("just written");
        made.write(name, &(text + more));
    };
    append("ratings.json", "{\"_id\": \"x1\", \"rated\": {\"tt9900000\": [\"7\"], \"tt9900001\": [\"1\"]}}\n");
    append("ratings.json", "{\"_id\": \"x2\", \"rated\": {\"tt0000404\": [\"1\"], \"tt9900001\": [\"0\"]}}\nno json\n");
    append("movies.csv", "tt9900000,again,[],,,[],[],[],[],Twice\n../evil,x,[],,,[],[],[],[],Evil\n");
    let check = run(command("jhalak", &store).args(["dataset", "check", "--dataset"]).arg(&dataset));
    assert_eq!(check.code, Some(3), "{}", check.err);
    for word in ["7", "tt0000404", "tt9900000", "evil", "5 left out"] {
        assert!(check.out.contains(word), "{word} is missing in:\n{}", check.out);
    }
    let ended = jhalak(&store, &dataset);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert!(ended.err.contains("left out"), "{}", ended.err);
}

#[test]
fn what_cannot_be_read_at_all_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = folder.path().join("store");
    let ended = jhalak(&store, &folder.path().join("nothing"));
    assert_eq!(ended.code, Some(3));
    assert!(ended.err.contains("nothing"), "{}", ended.err);

    let dataset = folder.path().join("data");
    let made = Made::new(&dataset, false);
    made.write("movies.csv", "movie_id,genre,name\n\"tt1,[],never closed\n");
    let ended = jhalak(&store, &dataset);
    assert_eq!(ended.code, Some(3));
    assert!(ended.err.contains("movies.csv"), "{}", ended.err);

    let dataset = folder.path().join("models");
    Made::new(&dataset, true);
    let ended = run(command("jhalak", &store)
        .env("JHALAK__MODELS__ONNXRUNTIME", "/nowhere/lib.so")
        .args(["run", "--dataset"])
        .arg(&dataset));
    assert_eq!(ended.code, Some(3));
    assert!(ended.err.contains("/nowhere/lib.so") && ended.err.contains("make setup"), "{}", ended.err);

    let ended = run(command("jhalak", &store).args(["run"]));
    assert_eq!(ended.code, Some(2), "wrong use");
    let ended = run(command("jhalak", &store)
        .env("JHALAK__QUEUE", "amqp://guest:secret@127.0.0.1:9/%2f")
        .args(["submit", "--dataset"])
        .arg(&dataset));
    assert_eq!(ended.code, Some(5), "{}", ended.err);
    assert!(ended.err.contains("127.0.0.1:9") && !ended.err.contains("secret"), "{}", ended.err);
}

#[test]
fn another_models_file_is_refused() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (dataset, store, models) =
        (folder.path().join("data"), folder.path().join("store"), folder.path().join("models"));
    Made::new(&dataset, true);
    std::fs::create_dir(&models).expect("a new folder");
    for entry in std::fs::read_dir(jhalak_tests::repository().join(".local/models")).expect("`make setup` made it") {
        let path = entry.expect("readable").path();
        std::fs::copy(&path, models.join(path.file_name().expect("a file"))).expect("room on disk");
    }
    let file = models.join("efficientnet-lite0.onnx");
    let mut bytes = std::fs::read(&file).expect("just copied");
    bytes[1000] ^= 1;
    std::fs::write(&file, bytes).expect("room on disk");
    let with = |args: &[&str]| run(command("jhalak", &store).env("JHALAK__MODELS__FOLDER", &models).args(args));
    let verified = with(&["models", "verify"]);
    assert_eq!(verified.code, Some(3));
    assert!(verified.err.contains("efficientnet-lite0"), "{}", verified.err);
    let ended = with(&["run", "--dataset", &dataset.display().to_string()]);
    assert_eq!(ended.code, Some(4), "{}", ended.err);
    assert!(ended.out.contains("SHA-256"), "{}", ended.out);
}
