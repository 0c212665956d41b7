//! `jhalak run --embeddings`: ready embeddings in place of trailers.

use std::fmt::Write as _;

use jhalak_tests::dataset::{Made, id};
use jhalak_tests::programs::{command, run};

#[test]
fn a_run_over_given_embeddings_trains_on_them_and_reports_where_they_come_from() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (dataset, store) = (folder.path().join("data"), folder.path().join("store"));
    // The trailers are not opened: the files take their place.
    Made::new(&dataset, false);
    std::fs::write(dataset.join(format!("trailers/{}.mp4", id(0))), "not a video").expect("room on disk");
    let sound = folder.path().join("sound.csv");
    let table = |scale: f64| {
        let mut text = "movie_id,a,b\nnobody,1,2\n".to_owned();
        for movie in 0..6 {
            writeln!(text, "{},{},{}", id(movie), scale * f64::from(movie as u8), movie % 2).expect("a string");
        }
        // Movie 0 has zeros alone, which is no embedding.
        std::fs::write(&sound, text).expect("room on disk");
    };
    table(1.0);
    let option = format!("audio={}", sound.display());
    let start = |program: &str, more: &[&str]| {
        let mut jhalak = command("jhalak", &store);
        jhalak.args([program, "--json", "--dataset"]).arg(&dataset).args(["--embeddings", &option]).args(more);
        // Neither models nor ONNX Runtime are needed.
        jhalak.env("JHALAK__MODELS__FOLDER", "/nowhere").env("JHALAK__MODELS__ONNXRUNTIME", "/nowhere/library");
        run(&mut jhalak)
    };
    let first = start("run", &[]);
    assert_eq!(first.code, Some(0), "{}", first.err);
    assert!(first.err.contains("audio embeddings of"), "{}", first.err);
    assert!(first.err.contains("1 row of other movies") && first.err.contains(&id(0)), "{}", first.err);
    let first = first.json();
    let cells = first["evaluation"].as_array().expect("a list of cells");
    let has = |model: &str, modality: &str| {
        cells.iter().any(|cell| cell["model"] == model && cell["modality"] == modality && cell["not_run"].is_null())
    };
    assert!(has("classifier", "audio") && has("honest", "audio") && !has("classifier", "video"), "{cells:?}");
    let report = first["report"].as_str().expect("a location").trim_start_matches("file://");
    let report = std::fs::read_to_string(report.replace("index.html", "report.json")).expect("a report");
    assert!(report.contains("given in the file sound.csv"), "the report says where they come from");
    assert!(report.contains("in place of the trailers") && !report.contains("trailers/ID.mp4"), "{report}");

    // The same file is the same run, and another one is not.
    let again = start("run", &[]).json();
    assert_eq!((&again["run"], &again["made"]), (&first["run"], &serde_json::json!(0)));
    let planned = start("submit", &["--dry-run"]).json();
    assert_eq!((&planned["run"], planned["train"].as_array().map(Vec::len)), (&first["run"], Some(0)), "{planned}");
    table(2.0);
    assert_ne!(start("run", &[]).json()["run"], first["run"]);

    for (program, more, why) in [
        ("run", &["--grid", "paper"][..], "--grid standard"),
        ("submit", &["--dry-run", "--only-new"], "cannot be used with"),
        ("run", &["--embeddings", "sound.csv"], "video=sound.csv"),
    ] {
        let refused = start(program, more);
        assert!(refused.code == Some(2) && refused.err.contains(why), "{more:?}: {}", refused.err);
    }
}
