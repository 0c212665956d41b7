//! `jhalak fit`, `predict` and `recommend`: a fitted model is stored once, asked from the store or
//! from a folder, and answers with reasons.

use jhalak_tests::dataset::{Made, id};
use jhalak_tests::programs::{Ended, command, run};
use serde_json::Value;
use std::path::Path;

fn jhalak(folder: &Path, args: &[&str]) -> Ended {
    run(command("jhalak", &folder.join("store")).env("JHALAK__MODELS__ONNXRUNTIME", "/nowhere").args(args))
}

/// A dataset without trailers, with a title that has a comma and an accent, fitted.
fn fitted(folder: &Path) -> String {
    let data = folder.join("data");
    let made = Made::new(&data, false);
    let movies = std::fs::read_to_string(data.join("movies.csv")).expect("just written");
    made.write("movies.csv", &movies.replace("Movie 2", "\"Amélie, encore\""));
    let ratings = std::fs::read_to_string(data.join("ratings.json")).expect("just written");
    // The last viewer has rated but two movies.
    let few = format!("{{\"_id\": \"u99\", \"rated\": {{\"{}\": [\"1\"], \"{}\": [\"-1\"]}}}}\n", id(0), id(2));
    made.write("ratings.json", &(ratings + &few));
    let data = data.display().to_string();
    let out = folder.join("model").display().to_string();
    let fit = jhalak(folder, &["fit", "--quiet", "--json", "--dataset", &data, "--out", &out]).answer();
    assert_eq!(fit["made"], true);
    let names: Vec<&str> =
        fit["files"].as_array().expect("a list").iter().filter_map(|file| file["name"].as_str()).collect();
    for name in
        ["model.safetensors", "model.onnx", "statistics.json", "README.md", "check.json", "honest-movies.msgpack"]
    {
        assert!(names.contains(&name), "{name} is missing in {names:?}");
        assert!(Path::new(&out).join(name).is_file(), "{name}");
    }
    assert_eq!(fit["card"]["ratings"].as_array().expect("counts").iter().filter_map(Value::as_u64).sum::<u64>(), 146);
    let again = jhalak(folder, &["fit", "--quiet", "--json", "--dataset", &data]).answer();
    assert_eq!((&again["made"], &again["model"]), (&false.into(), &fit["model"]), "it is committed once");
    out
}

#[test]
fn predict_and_recommend_answer_with_probabilities_in_class_order_and_reasons() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let out = fitted(folder.path());
    let ask = |args: &str| jhalak(folder.path(), &args.split_whitespace().collect::<Vec<_>>()).answer();
    for answer in ["honest", "network"] {
        let predicted = ask(&format!("predict --json --user u99 --movie {} --model {answer}", id(1)));
        let p: Vec<f64> = ["dislike", "neutral", "like"]
            .iter()
            .map(|class| predicted["probabilities"][class].as_f64().expect("a number"))
            .collect();
        assert!((p.iter().sum::<f64>() - 1.0).abs() < 1e-4, "{predicted}");
        assert!(predicted["rated"].is_null());
        assert_eq!(predicted["why"]["viewer"], serde_json::json!({ "dislike": 1, "neutral": 0, "like": 1 }));
        let neighbours = predicted["why"]["neighbours"].as_array().expect("a list");
        assert_eq!(neighbours.len(), 2, "both rated movies are named");
        assert!(neighbours.iter().any(|n| n["movie"] == id(0).as_str() && n["rated"] == "like"));
        assert!(predicted["why"]["genres"].as_array().is_some_and(|genres| !genres.is_empty()), "{predicted}");

        let recommended = ask(&format!("recommend --json --user u99 --top 3 --model {answer}"));
        let top = recommended["recommendations"].as_array().expect("a list");
        assert_eq!((top.len(), &recommended["left_out_rated"]), (3, &2.into()));
        let likes: Vec<f64> = top.iter().filter_map(|r| r["probabilities"]["like"].as_f64()).collect();
        assert!(likes.is_sorted_by(|a, b| a >= b), "{likes:?}");
        assert!(top.iter().all(|r| r["movie"] != id(0).as_str() && r["rated"].is_null()));
        // The folder answers as the store does, without the store.
        let nowhere = folder.path().join("elsewhere");
        let args = format!("recommend --json --user u99 --top 3 --model {answer} --model-dir {out}");
        let from_folder = jhalak(&nowhere, &args.split_whitespace().collect::<Vec<_>>()).answer();
        assert_eq!(from_folder["recommendations"], recommended["recommendations"]);
    }
    let everything = ask("recommend --json --user u99 --include-rated");
    let all = everything["recommendations"].as_array().expect("a list");
    assert_eq!((all.len(), all.iter().filter(|r| r["rated"].is_string()).count()), (6, 2));
    let text = jhalak(folder.path(), &["predict", "--user", "u00", "--movie", "amélie, ENCORE"]);
    assert_eq!(text.code, Some(0), "{}", text.err);
    assert!(text.out.contains("Amélie, encore") && text.out.contains("for: "), "{}", text.out);
    assert!(text.out.contains("rated already"), "{}", text.out);
}

/// One process makes the lists that a process for each viewer makes, in both orders.
#[test]
fn lists_of_all_users_are_those_of_each_user() {
    use parquet::file::reader::{FileReader, SerializedFileReader};
    use parquet::record::RowAccessor;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let out = fitted(folder.path());
    for (rank, model) in [("like", "ensemble"), ("watch", "ensemble"), ("watch", "network")] {
        let file = folder.path().join(format!("{rank}-{model}.parquet")).display().to_string();
        let args =
            ["recommend", "--quiet", "--json", "--model-dir", &out, "--rank", rank, "--model", model, "--top", "3"];
        let all = jhalak(folder.path(), &[&args[..], &["--all-users", "--out", &file]].concat()).answer();
        assert_eq!((&all["users"], &all["model"]["dataset"]), (&25.into(), &"data".into()), "{all}");
        let reader = SerializedFileReader::new(std::fs::File::open(&file).expect("it was written")).expect("Parquet");
        let mut rows = Vec::new();
        for row in reader.get_row_iter(None).expect("rows") {
            let row = row.expect("a row");
            let text = |i| row.get_string(i).expect("a text").clone();
            rows.push((text(0), row.get_int(1).expect("a rank"), text(2), row.get_float(3).expect("a score")));
        }
        assert_eq!(all["rows"], rows.len());
        for user in ["u07", "u99"] {
            let one = jhalak(folder.path(), &[&args[..], &["--user", user]].concat()).answer();
            assert_eq!(one["ranked_by"], rank);
            let expected: Vec<(String, i32, String, f32)> = (one["recommendations"].as_array().expect("a list").iter())
                .map(|r| {
                    let score = r["score"].as_f64().expect("a number") as f32;
                    (
                        user.to_owned(),
                        r["rank"].as_i64().expect("a number") as i32,
                        r["movie"].as_str().expect("an id").to_owned(),
                        score,
                    )
                })
                .collect();
            let own: Vec<_> = rows.iter().filter(|row| row.0 == user).cloned().collect();
            assert_eq!(own, expected, "{rank} {model} {user}");
        }
        let again = jhalak(folder.path(), &[&args[..], &["--all-users", "--out", &file]].concat());
        assert_eq!(again.code, Some(3), "an existing file is kept");
    }
}

/// The answer states its model, a fit of another dataset is announced, and the first one can still
/// be asked.
#[test]
fn a_new_fit_replaces_the_default_model_with_a_warning() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fitted(folder.path());
    let other = folder.path().join("other");
    Made::new(&other, false);
    let fit = jhalak(
        folder.path(),
        &["fit", "--no-network", "--ensemble", "pairs", "--dataset", &other.display().to_string()],
    );
    assert_eq!(fit.code, Some(0), "{}", fit.err);
    assert!(fit.err.contains("dataset data") && fit.err.contains("--fitted"), "{}", fit.err);
    let listed = jhalak(folder.path(), &["models", "ls", "--fitted", "--json"]).answer();
    let all = listed.as_array().expect("a list");
    let of = |name: &str| all.iter().find(|one| one["dataset"] == name).expect("it was fitted");
    assert_eq!((all.len(), &of("other")["default"], &of("data")["default"]), (2, &true.into(), &false.into()));
    let ask = ["recommend", "--user", "u03", "--top", "1"];
    let text = jhalak(folder.path(), &ask);
    assert!(text.out.contains("model: ensemble") && text.out.contains("on other (24 users"), "{}", text.out);
    let id = of("data")["id"].as_str().expect("an id");
    let first = jhalak(folder.path(), &[&ask[..], &["--fitted", &id[..10]]].concat());
    assert!(first.out.contains("on data (25 users") && first.out.contains(id), "{} {}", first.out, first.err);
}

#[test]
fn new_viewers_and_new_movies_are_served() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fitted(folder.path());
    let (likes, dislikes) = (format!("{},{}", id(0), id(3)), id(2));
    let args = ["recommend", "--json", "--like", &likes, "--dislike", &dislikes];
    let recommended = jhalak(folder.path(), &args).answer();
    assert!(recommended["user"].is_null());
    assert_eq!(recommended["left_out_rated"], 3);
    assert_eq!(jhalak(folder.path(), &args).answer(), recommended, "the same question has the same answer");

    let json_file = folder.path().join("new.json").display().to_string();
    let movie = r#"{"id": "tt777", "name": "Later, perhaps", "genre": ["Drama"], "year": 2020}"#;
    std::fs::write(&json_file, movie).expect("room on disk");
    let csv_file = folder.path().join("new.csv").display().to_string();
    std::fs::write(&csv_file, "movie_id,name,genre,year\ntt777,\"Later, perhaps\",Drama,2020\n").expect("room on disk");
    for answer in ["honest", "network"] {
        let ask = |file: &str| {
            jhalak(folder.path(), &["predict", "--json", "--user", "u01", "--movie-file", file, "--model", answer])
                .answer()
        };
        let predicted = ask(&json_file);
        assert_eq!((&predicted["movie"], &predicted["new"]), (&"tt777".into(), &true.into()));
        assert_eq!(predicted["why"]["others"]["like"], 0);
        assert_eq!(ask(&csv_file), predicted, "JSON and CSV say the same");
    }
    let ranked = jhalak(folder.path(), &["recommend", "--json", "--like", &id(0), "--movie-file", &json_file]).answer();
    let found = ranked["recommendations"].as_array().expect("a list").iter().any(|r| r["movie"] == "tt777");
    assert!(found, "new movies are ranked with the others");
}

#[test]
fn invalid_queries_are_refused_with_near_names_and_advice() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let nothing = jhalak(folder.path(), &["predict", "--user", "u01", "--movie", "x"]);
    assert_eq!(nothing.code, Some(3));
    assert!(nothing.err.contains("jhalak fit"), "{}", nothing.err);
    let out = fitted(folder.path());
    for (args, code, shown) in [
        ("predict --user u0x --movie tt9900000", 3, "did you mean u0"),
        ("predict --user u01 --movie tt990000", 3, "did you mean tt9900000"),
        ("predict --user u01", 2, "--movie"),
        ("predict --movie tt9900000", 2, "--user"),
        ("recommend --all-users", 2, "--out"),
        ("recommend --all-users --out OUT --user u01", 2, "--user has no effect"),
        ("recommend --user u01 --fitted zz", 3, "models ls --fitted"),
        ("recommend --user u01 --run nope", 3, "nope"),
        ("fit --dataset DATA --no-network --epochs 3", 2, "--epochs has no effect"),
        ("recommend --user u01 --top 0", 2, "--top"),
        ("recommend --like tt9900000 --dislike tt9900000", 2, "twice"),
        ("recommend --user u01 --movie-file /nowhere.json", 3, "/nowhere.json"),
        ("recommend --user u01 --model-dir /nowhere", 3, "--out"),
        ("fit --dataset /nowhere", 3, "/nowhere"),
        ("fit --dataset DATA --model bias", 2, "ensemble"),
        ("fit --dataset DATA --modality video", 3, "jhalak run"),
        ("fit --dataset DATA --no-network --ensemble none", 2, "nothing is left"),
    ] {
        let args = args.replace("DATA", &folder.path().join("data").display().to_string());
        let args = args.replace("OUT", &folder.path().join("lists.parquet").display().to_string());
        let ended = jhalak(folder.path(), &args.split_whitespace().collect::<Vec<_>>());
        assert_eq!(ended.code, Some(code), "{args}: {} {}", ended.out, ended.err);
        assert!(ended.err.contains(shown), "{args}: {}", ended.err);
    }
    std::fs::write(Path::new(&out).join("model.safetensors"), b"damaged").expect("ours");
    let damaged = jhalak(folder.path(), &["recommend", "--user", "u01", "--model-dir", &out]);
    assert_eq!(damaged.code, Some(3));
    assert!(damaged.err.contains("model.safetensors"), "{}", damaged.err);
}

#[test]
fn run_fits_the_final_model_and_recommend_uses_it() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (data, store) = (folder.path().join("data"), folder.path().join("store"));
    Made::new(&data, true);
    let ran = run(command("jhalak", &store).args(["run", "--quiet", "--json", "--dataset"]).arg(&data)).answer();
    assert!(ran["model"].as_str().is_some_and(|place| place.contains("artifacts/model/")), "{ran}");
    let predicted = jhalak(folder.path(), &["predict", "--json", "--user", "u03", "--movie", &id(0)]).answer();
    assert_eq!((&predicted["model"]["kind"], &predicted["rated"].is_string()), (&"ensemble".into(), &true));
    let of = ran["run"].as_str().expect("an id");
    assert_eq!(predicted["model"]["runs"], serde_json::json!([of]));
    let of_run = ["predict", "--json", "--run", of, "--user", "u03", "--movie", &id(0)];
    assert_eq!(jhalak(folder.path(), &of_run).answer(), predicted);
    let network = ["predict", "--json", "--user", "u03", "--movie", &id(0), "--model", "network"];
    assert_eq!(jhalak(folder.path(), &network).answer()["model"]["modality"], "audio+video");
    let silent = jhalak(folder.path(), &["predict", "--user", "u03", "--movie", &id(5), "--model", "network"]);
    assert_eq!(silent.code, Some(3), "{}", silent.out);
    assert!(silent.err.contains(&id(5)), "{}", silent.err);
}

#[test]
fn paper_grid_runs_possible_cells_and_names_the_others() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (data, store) = (folder.path().join("data"), folder.path().join("store"));
    Made::new(&data, false);
    let mut command = command("jhalak", &store);
    let ran = run(command.args(["run", "--quiet", "--json", "--grid", "paper", "--dataset"]).arg(&data)).answer();
    let place =
        ran["report"].as_str().expect("a place").trim_start_matches("file://").replace("index.html", "report.json");
    let report: Value = serde_json::from_slice(&std::fs::read(place).expect("the report")).expect("JSON");
    let tables = report["paper"].as_array().expect("the paper's tables");
    assert_eq!(tables.len(), 10);
    for table in tables {
        let rows = table["rows"].as_array().expect("rows");
        if table["name"] == "Figure 7, genre" {
            assert_eq!(rows.len(), 8);
            for row in rows {
                assert!(
                    row["paper"]["accuracy"]["mean"].is_f64() && row["strict"]["macro_f1"]["mean"].is_f64(),
                    "{row}"
                );
            }
        } else {
            assert!(table["not_run"].as_str().is_some_and(|why| why.contains("trailers")), "{table}");
            assert!(rows.iter().all(|row| row["paper"].is_null() && row["published"]["mean"].is_f64()));
        }
    }
}
