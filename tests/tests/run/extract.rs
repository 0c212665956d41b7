//! `jhalak extract` and `jhalak similar`: videos without ratings, compared with each other and with
//! new files.

use std::path::Path;

use jhalak_tests::dataset::Made;
use jhalak_tests::programs::{Ended, command, run};

fn jhalak(store: &Path, arguments: &[&str]) -> Ended {
    run(command("jhalak", store).args(arguments))
}

#[test]
fn a_folder_of_videos_is_extracted_once_and_compared() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (dataset, store) = (folder.path().join("data"), folder.path().join("store"));
    Made::new(&dataset, true);
    let trailers = dataset.join("trailers");
    // Folders below are searched; a file of the same name gets the name of its folder.
    std::fs::create_dir(trailers.join("more")).expect("a folder that can be written");
    std::fs::copy(trailers.join("tt9900000.mp4"), trailers.join("more/copy.mp4")).expect("a copy");
    std::fs::write(trailers.join("broken.mp4"), b"no video").expect("a file");
    std::fs::write(trailers.join("notes.txt"), b"no video either").expect("a file");
    let path = trailers.to_str().expect("UTF-8");

    let first = jhalak(&store, &["extract", path, "--json"]);
    assert_eq!(first.err.matches("cannot open the video").count(), 1, "a failure is reported once: {}", first.err);
    assert_eq!(first.code, Some(4), "the broken one is quarantined: {}", first.err);
    let answer = first.json();
    assert_eq!(answer["quarantined"].as_array().map(Vec::len), Some(1), "{answer}");
    assert_eq!(answer["made"], 5 * 3, "keyframes and two embeddings of five videos");
    let second = jhalak(&store, &["extract", path, "--json", "--quiet"]).json();
    assert_eq!(second["made"], 0, "nothing is made twice");

    let near = jhalak(&store, &["similar", "tt9900000", "--json", "--quiet", "--top", "1"]).json();
    let found = &near["trailers"][0];
    assert_eq!(found["movie"], "copy");
    assert!(found["similarity"].as_f64().is_some_and(|s| s > 0.9999), "{found}");
    for part in found["parts"].as_array().expect("keyframes that match") {
        assert_eq!(part["time_s"], part["other_time_s"], "the same frame of both: {part}");
    }

    // A file that is not in the run, also from another folder and under another name.
    let new = folder.path().join("new.mp4");
    std::fs::copy(trailers.join("tt9900001.mp4"), &new).expect("a copy");
    let near = jhalak(&store, &["similar", new.to_str().expect("UTF-8"), "--json", "--quiet"]).json();
    assert_eq!(near["trailers"][0]["movie"], "tt9900001", "{near}");
    assert!(near["trailers"][0]["similarity"].as_f64().is_some_and(|s| s > 0.9999), "{near}");

    let silent = jhalak(&store, &["similar", "tt9900002", "--modality", "audio"]);
    assert_eq!(silent.code, Some(3), "{}", silent.out);
    assert!(silent.err.contains("no audio embedding: use --modality video"), "{}", silent.err);
    let broken = jhalak(&store, &["similar", "broken"]);
    assert_eq!(broken.code, Some(3), "{}", broken.out);
    assert!(
        broken.err.contains("is quarantined in the run") && broken.err.contains("Replace the file"),
        "{}",
        broken.err
    );
    let unknown = jhalak(&store, &["similar", "tt990000X"]);
    assert!(unknown.err.contains("did you mean") && unknown.err.contains("no such file"), "{}", unknown.err);

    let out = folder.path().join("out");
    let export = jhalak(&store, &["export", "--json", "--quiet", "--out", out.to_str().expect("UTF-8")]);
    assert_eq!(export.code, Some(0), "{}", export.err);
    let notes = export.json()["manifest"]["notes"].to_string();
    assert!(notes.contains("broken") && notes.contains("evaluates nothing"), "{notes}");
}
