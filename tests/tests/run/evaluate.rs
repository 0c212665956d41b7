//! `jhalak evaluate`: the shape that other programs rely on, every protocol and split, and what it
//! refuses.

use jhalak_tests::dataset::Made;
use jhalak_tests::programs::{Ended, command, files, run};
use serde_json::Value;
use std::path::Path;

fn evaluate(folder: &Path, args: &str) -> Ended {
    let mut jhalak = command("jhalak", &folder.join("store"));
    jhalak.env("JHALAK__MODELS__ONNXRUNTIME", "/nowhere").args(["evaluate", "--quiet", "--dataset"]);
    run(jhalak.arg(folder.join("data")).args(args.split_whitespace()))
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().expect("an object").keys().map(String::as_str).collect()
}

/// The fixed keys, with the shape of their values. Others may be added.
fn check_shape(answer: &Value) {
    for name in ["accuracy", "macro_f1", "weighted_f1"] {
        assert_eq!(keys(&answer[name]), ["mean", "sd"], "{name}");
        assert!(answer[name]["mean"].as_f64().is_some_and(|x| (0.0..=1.0).contains(&x)), "{name}: {answer}");
    }
    assert_eq!(keys(&answer["recall"]), ["dislike", "like", "neutral"], "as an object, in any order");
    let rows = answer["confusion"].as_array().expect("rows");
    assert_eq!(rows.len(), 3);
    assert!(rows.iter().all(|row| row.as_array().is_some_and(|r| r.len() == 3 && r.iter().all(Value::is_u64))));
    let folds = answer["folds"].as_array().expect("folds");
    assert_eq!(folds.len(), 2);
    for (number, fold) in folds.iter().enumerate() {
        assert_eq!(fold["fold"], number);
        for name in ["accuracy", "macro_f1", "weighted_f1"] {
            assert!(fold[name].is_f64(), "{name}: {fold}");
        }
        assert_eq!(keys(&fold["recall"]), ["dislike", "like", "neutral"]);
    }
    let accuracies: Vec<f64> = folds.iter().filter_map(|fold| fold["accuracy"].as_f64()).collect();
    let mean = accuracies.iter().sum::<f64>() / 2.0;
    assert!((mean - answer["accuracy"]["mean"].as_f64().expect("a number")).abs() < 1e-12);
}

#[test]
fn json_shape_is_fixed_and_repeated_commands_give_equal_answers() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    Made::new(&folder.path().join("data"), false);
    for args in [
        "--protocol paper --split pairs --modality genre --model classifier",
        "--protocol strict --split movies --modality genre --model ann --user-embedding L+D+N --no-gl-score",
        "--protocol strict --split users --known 2 --modality genre --model bias --balanced",
        "--protocol strict --split pairs --modality genre --model majority",
        "--protocol paper --model item-majority --errata none --seed 5",
    ] {
        let ended = evaluate(folder.path(), &format!("{args} --json"));
        assert_eq!(ended.code, Some(0), "{args}: {}", ended.err);
        let answer: Value = serde_json::from_str(&ended.out).expect("JSON on standard output");
        check_shape(&answer);
        assert_eq!(answer["cell"]["folds"], 2, "the cell is reported with its settings");
        assert_eq!(evaluate(folder.path(), &format!("{args} --json --threads 1")).out, ended.out, "{args}");
    }
    let text = evaluate(folder.path(), "--model majority");
    assert!(text.out.contains("accuracy") && text.out.contains("dislike"), "{}", text.out);
}

#[test]
fn modality_without_its_input_and_wrong_use_are_refused_with_advice() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    Made::new(&folder.path().join("data"), false);
    for (args, code, shown) in [
        ("--modality video", 3, "jhalak run"),
        ("--modality audio+video --model ann", 3, "trailers"),
        ("--modality smell", 2, "audio+video"),
        ("--model svm", 2, "matrix-factorisation"),
        ("--folds 1", 2, "folds"),
        ("--folds 60", 3, "fewer folds"),
        ("--balanced", 2, "bias"),
        ("--protocol paper --split users", 2, "strict"),
        ("--errata own-label", 2, "--protocol paper"),
        ("--known 3", 2, "--split users"),
        ("--split users --known 99999", 3, "no user of fold 0 has more than 99999 ratings"),
        ("--split last", 3, "no times"),
        ("--model bias --user-embedding L+D", 2, "--user-embedding has no effect"),
        ("--model trailer-attention", 2, "use video, audio or audio+video"),
        ("--model trailer-attention --modality video", 3, "evaluate.trailer_attention = true"),
        ("--model trailer-attention --modality video --no-gl-score", 2, "--no-gl-score has no effect"),
        ("--model trailer-attention --modality audio --embeddings sound.csv", 2, "one vector for each trailer"),
        ("--top 5", 2, "--task ranking"),
        ("--task ranking --model bias", 2, "--rank-by"),
        ("--task ranking --split movies", 2, "--split last"),
        ("--score x.parquet --seed 3", 2, "cannot be used with"),
        ("--ablation", 2, "ensemble"),
        ("--protocol paper --model honest", 2, "strict"),
        ("--movies /nowhere/list.txt", 3, "/nowhere/list.txt"),
    ] {
        let ended = evaluate(folder.path(), args);
        assert_eq!(ended.code, Some(code), "{args}: {} {}", ended.out, ended.err);
        assert!(ended.err.contains(shown), "{args}: {}", ended.err);
    }
}

/// Rating times hold out the last or the latest pairs; without them rankings are of random pairs.
#[test]
fn times_split_pairs_and_rankers_are_compared_on_the_same_users() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let made = Made::new(&folder.path().join("data"), false);
    let json = |args: &str| -> Value {
        let ended = evaluate(folder.path(), &format!("{args} --json"));
        assert_eq!(ended.code, Some(0), "{args}: {}", ended.err);
        assert_eq!(evaluate(folder.path(), &format!("{args} --json --threads 1")).out, ended.out, "{args}");
        serde_json::from_str(&ended.out).expect("JSON on standard output")
    };
    assert_eq!(json("--task ranking --top 2")["split"], "pairs");
    std::fs::remove_file(folder.path().join("data/ratings.json")).expect("ours");
    let mut table = String::from("user,movie,label,timestamp\n");
    for user in 0..24 {
        for movie in 0..6 {
            let label = [1, 0, -1, 1][(user + movie) % 4];
            table.push_str(&format!(
                "u{user},{},{label},{}\n",
                jhalak_tests::dataset::id(movie),
                1000 * user + 10 * movie
            ));
        }
    }
    made.write("ratings.csv", &table);
    let last = json("--model bias --split last");
    assert_eq!(last["folds"].as_array().map(Vec::len), Some(1));
    assert_eq!((&last["folds"][0]["test_pairs"], &last["cell"]["by_time"]), (&48.into(), &"last".into()));
    let temporal = json("--model ensemble --split temporal --test-share 25");
    assert_eq!(temporal["folds"][0]["test_pairs"], 36, "all pairs of the last six users, who are new");
    let ranked = json("--task ranking --rank-by most-rated,ease,watch --top 2");
    assert_eq!((&ranked["split"], &ranked["test_pairs"]), (&"last".into(), &48.into()));
    let rows = ranked["rankers"].as_array().expect("rankers");
    assert_eq!(
        rows.iter().filter_map(|row| row["ranker"].as_str()).collect::<Vec<_>>(),
        ["most-rated", "ease", "watch"]
    );
    for row in rows {
        assert_eq!(row["users"], rows[0]["users"]);
        for measure in ["ndcg", "recall", "map", "mrr", "hit_rate", "auc", "coverage", "gini", "overlap"] {
            assert!(row[measure].as_f64().is_some_and(|x| (0.0..=1.0).contains(&x)), "{measure}: {row}");
        }
    }
    let text = evaluate(folder.path(), "--task ranking --top 2").out;
    assert!(text.contains("NDCG") && text.contains("watch"), "{text}");
}

/// All points of a cold-start curve are of the same pairs.
#[test]
fn cold_start_curves_compare_numbers_of_known_ratings_on_the_same_pairs() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    Made::new(&folder.path().join("data"), false);
    for (split, tested) in [("users", 24 * 3), ("movies", 6 * 21)] {
        let ended = evaluate(folder.path(), &format!("--model bias --split {split} --known 0,3,1 --json"));
        assert_eq!(ended.code, Some(0), "{}", ended.err);
        let answer: Value = serde_json::from_str(&ended.out).expect("JSON");
        let points = answer["points"].as_array().expect("points");
        assert_eq!(points.iter().filter_map(|point| point["known"].as_u64()).collect::<Vec<_>>(), [0, 1, 3]);
        for point in points {
            let folds = point["metrics"]["folds"].as_array().expect("folds");
            assert_eq!(folds.iter().filter_map(|fold| fold["test_pairs"].as_u64()).sum::<u64>(), tested, "{split}");
        }
        assert_eq!(points[0]["tested_pairs"], 24 * 6);
    }
    let text = evaluate(folder.path(), "--model bias --split users --known 0,1").out;
    assert!(text.contains("known") && text.contains("same"), "{text}");
}

#[test]
fn given_folds_are_tested_under_both_protocols() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let made = Made::new(&folder.path().join("data"), false);
    let users: String = (0..24).map(|u| format!("u{u:02},{}\n", ["a", "b", "c"][u % 3])).collect();
    made.write("folds.csv", &format!("user,fold\n{users}nobody,c\n"));
    let path = folder.path().join("data/folds.csv");
    for (args, tested) in [
        ("--model bias", 24 * 6),
        ("--model bias --known 2", 24 * 4),
        ("--epochs 2", 24 * 6),
        ("--protocol paper --model item-majority --errata own-label", 24 * 6),
    ] {
        let ended = evaluate(folder.path(), &format!("{args} --json --folds {}", path.display()));
        assert_eq!(ended.code, Some(0), "{args}: {}", ended.err);
        let answer: Value = serde_json::from_str(&ended.out).expect("JSON on standard output");
        let folds = answer["folds"].as_array().expect("folds");
        assert_eq!(folds.iter().filter_map(|fold| fold["test_pairs"].as_u64()).sum::<u64>(), tested, "{args}");
        let given = &answer["given_folds"];
        assert_eq!((&given["by"], &given["passed_over_rows"]), (&"users".into(), &1.into()), "{given}");
        assert_eq!(given["names"], serde_json::json!(["a", "b", "c"]));
        assert_eq!(answer["cell"]["folds"], 3, "as many as are given");
    }
    for (args, code, shown) in [
        ("--split movies", 2, "--split"),
        ("--protocol paper --known 3", 2, "strict"),
        ("--model honest --errata none", 2, "paper"),
    ] {
        let ended = evaluate(folder.path(), &format!("{args} --folds {}", path.display()));
        assert_eq!(ended.code, Some(code), "{args}: {} {}", ended.out, ended.err);
        assert!(ended.err.contains(shown), "{args}: {}", ended.err);
    }
    made.write("folds.csv", "user,fold\nu00,1\nu00,2\n");
    let ended = evaluate(folder.path(), &format!("--folds {}", path.display()));
    assert_eq!(ended.code, Some(3));
    assert!(ended.err.contains("folds.csv line 3"), "{}", ended.err);
}

/// A run with given folds tests what `evaluate` tests with them, in every cell.
#[test]
fn a_run_evaluates_every_cell_on_given_folds() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (data, store) = (folder.path().join("data"), folder.path().join("store"));
    let made = Made::new(&data, false);
    let users: String = (0..24).map(|u| format!("u{u:02},{}\n", ["a", "b", "c"][u % 3])).collect();
    made.write("folds.csv", &format!("user,fold\n{users}"));
    let path = data.join("folds.csv");
    let mut jhalak = command("jhalak", &store);
    jhalak.env("JHALAK__MODELS__ONNXRUNTIME", "/nowhere").args(["run", "--quiet", "--json", "--dataset"]).arg(&data);
    let ran = run(jhalak.arg("--folds").arg(&path));
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let ran: Value = serde_json::from_str(&ran.out).expect("JSON");
    let place =
        ran["report"].as_str().expect("a place").trim_start_matches("file://").replace("index.html", "report.json");
    let report: Value = serde_json::from_slice(&std::fs::read(place).expect("the report")).expect("JSON");
    let cells = report["evaluation"].as_array().expect("cells");
    let bias = cells.iter().find(|cell| cell["model"] == "bias").expect("the bias model");
    assert_eq!(
        (&bias["split"], bias["metrics"]["folds"].as_array().map(Vec::len)),
        (&"users".into(), Some(3)),
        "{bias}"
    );
    let alone = evaluate(folder.path(), &format!("--model bias --json --folds {}", path.display()));
    let alone: Value = serde_json::from_str(&alone.out).expect("JSON");
    assert_eq!(bias["metrics"]["accuracy"], alone["accuracy"]);
}

#[test]
fn video_and_audio_use_stored_embeddings_with_and_without_local_trailers() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (data, store) = (folder.path().join("data"), folder.path().join("store"));
    Made::new(&data, true);
    let ran = run(command("jhalak", &store).args(["run", "--quiet", "--dataset"]).arg(&data));
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let with = evaluate(folder.path(), "--modality audio+video --model ann --json");
    assert_eq!(with.code, Some(0), "{}", with.err);
    let answer: Value = serde_json::from_str(&with.out).expect("JSON");
    check_shape(&answer);
    assert!(
        answer["folds"][0]["left_out_pairs"].as_u64().is_some_and(|n| n > 0),
        "movies without trailers are reported"
    );
    std::fs::remove_dir_all(data.join("trailers")).expect("ours");
    let without = evaluate(folder.path(), "--modality audio+video --model ann --json");
    assert_eq!(without.code, Some(0), "{}", without.err);
    assert_eq!(without.out, with.out);
}

#[test]
fn attention_over_trailers_is_a_cell_on_request_and_changes_the_sound_alone() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (data, store) = (folder.path().join("data"), folder.path().join("store"));
    Made::new(&data, true);
    let go = |attention: &str| {
        let mut jhalak = command("jhalak", &store);
        jhalak.env("JHALAK__EVALUATE__TRAILER_ATTENTION", attention).args(["run", "--quiet", "--json", "--dataset"]);
        let ended = run(jhalak.arg(&data));
        assert_eq!(ended.code, Some(0), "{}\n{}", ended.out, ended.err);
        let names: Vec<String> = files(&store).into_keys().filter(|name| name.ends_with("commit.json")).collect();
        let count = move |kind: &str| names.iter().filter(|n| n.starts_with(&format!("artifacts/{kind}/"))).count();
        (ended.json()["run"].as_str().expect("an id").to_owned(), count)
    };
    let (_, before) = go("false");
    let (id, after) = go("true");
    assert_eq!((before("video-embedding"), after("video-embedding")), (4, 4), "frames are stored already");
    assert_eq!((before("audio-embedding"), after("audio-embedding")), (4, 8), "windows are not");
    assert_eq!((before("video-parts"), after("video-parts"), after("audio-parts")), (0, 1, 1));
    let report = std::fs::read_to_string(store.join(format!("runs/{id}/report/report.json"))).expect("a report");
    let report: Value = serde_json::from_str(&report).expect("JSON");
    let cells = report["evaluation"].as_array().expect("cells");
    let of_model: Vec<&Value> = cells.iter().filter(|cell| cell["model"] == "trailer-attention").collect();
    assert_eq!(of_model.len(), 3, "{of_model:?}");
    assert_eq!(of_model.iter().filter(|cell| cell["control"] == "random embeddings").count(), 1);
    assert!(of_model.iter().all(|cell| cell["modality"] == "audio+video" && cell["baseline"] == false));
    // The same cell in a process of its own, with the setting implied.
    let alone = evaluate(folder.path(), "--model trailer-attention --modality audio+video --json");
    assert_eq!(alone.code, Some(0), "{}", alone.err);
    let alone: Value = serde_json::from_str(&alone.out).expect("JSON");
    check_shape(&alone);
    let pairs = of_model.iter().find(|cell| cell["split"] == "pairs").expect("random pairs");
    assert_eq!(pairs["metrics"]["accuracy"]["mean"], alone["accuracy"]["mean"]);
}
