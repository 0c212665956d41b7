//! Bad input ends in an error that names it and the way out, or in a quarantined job with its
//! reason; the rest continues.

use jhalak_tests::dataset::{Made, id};
use jhalak_tests::programs::{Ended, command, files, program, run};
use jhalak_tests::tiny_disk;
use std::path::Path;
use std::process::Command;

fn jhalak(store: &Path, dataset: &Path) -> Ended {
    run(command("jhalak", store).args(["run", "--dataset"]).arg(dataset))
}

#[test]
fn trailer_that_is_not_a_video_is_quarantined_and_others_continue() {
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

    let everywhere = run(command("jhalak", &store).args(["quarantine", "ls", "--json"]));
    assert_eq!(everywhere.out, listed.out, "without a run, those of all runs");
    assert!(run(command("jhalak", &store).args(["quarantine", "ls"])).out.starts_with(&name), "each with its run");

    // Not tried again by itself, and tried again on request.
    assert_eq!(jhalak(&store, &dataset).code, Some(4));
    let allowed = run(command("jhalak", &store).args(["run", "--allow-quarantined", "--dataset"]).arg(&dataset));
    assert_eq!(allowed.code, Some(0), "{}", allowed.err);
    assert!(allowed.out.contains(&id(1)) && allowed.out.contains("jhalak quarantine ls"), "{}", allowed.out);
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
fn status_prints_what_the_store_knows_when_the_broker_is_away() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (dataset, store) = (folder.path().join("data"), folder.path().join("store"));
    Made::new(&dataset, false);
    assert_eq!(jhalak(&store, &dataset).code, Some(0));
    let mut status = command("jhalak", &store);
    // Nobody listens on port 1.
    status.env("JHALAK__QUEUE", "amqp://user:hunter2@127.0.0.1:1").args(["status", "--jobs", "--json"]);
    let ended = run(&mut status);
    assert_eq!(ended.code, Some(5), "{}", ended.err);
    let answer: serde_json::Value = serde_json::from_str(&ended.out).expect("JSON");
    assert_eq!(answer[0]["state"]["stage"], "done");
    assert!(answer[0]["queue"]["error"].as_str().is_some_and(|error| error.contains("127.0.0.1:1")), "{answer}");
    assert!(!format!("{}{}", ended.out, ended.err).contains("hunter2"), "{}", ended.err);
}

#[test]
fn bad_rows_are_skipped_counted_and_reported() {
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
fn unreadable_inputs_are_errors_that_name_them() {
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
    // Before anything is planned.
    let ended = with(&["run", "--dataset", &dataset.display().to_string()]);
    assert_eq!(ended.code, Some(3), "{}", ended.err);
    assert!(ended.err.contains("SHA-256"), "{}", ended.err);
    assert!(!files(&store).keys().any(|key| key.starts_with("runs/")), "{:?}", files(&store).keys());
}

/// Runs `jhalak run` on a disk of its own, which `prefix` makes, at the setting `at`, and returns
/// how it ended.
fn on_disk(prefix: Option<Vec<String>>, at: &str, folder: &Path, dataset: &Path) -> Option<Ended> {
    let prefix = prefix?;
    let disk = folder.join("disk");
    std::fs::create_dir_all(&disk).expect("the folder is ours");
    let plain = command("jhalak", &folder.join("store"));
    let mut jhalak = Command::new(&prefix[0]);
    jhalak.args(&prefix[1..]).arg(program("jhalak")).args(["run", "--dataset"]).arg(dataset);
    jhalak.envs(plain.get_envs().filter_map(|(key, value)| Some((key, value?))));
    Some(run(jhalak.env("SCRATCH", &disk).env(at, &disk)))
}

#[test]
fn a_full_disk_ends_a_run_and_states_what_is_missing() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let whole = folder.path().join("whole");
    Made::new(&whole, true);
    let trailers = folder.path().join("trailers alone");
    std::fs::create_dir(&trailers).expect("a new folder");
    std::fs::copy(whole.join(format!("trailers/{}.mp4", id(1))), trailers.join("one.mp4")).expect("room on disk");
    let size = std::fs::metadata(trailers.join("one.mp4")).expect("just copied").len() / 1024;
    let scratch = u32::try_from(size).expect("a small file") + 16;
    for (kilobytes, at, part) in [
        (2, "JHALAK__STORE", "cannot "),
        (40, "JHALAK__STORE", "cannot "),
        (scratch.max(1_040), "JHALAK__WORKER__SCRATCH", "setting worker.scratch"),
    ] {
        // A scratch disk that takes the trailer and not what is made of it.
        if at.ends_with("SCRATCH") {
            let padding = vec![0; usize::try_from((scratch.max(1_040) - scratch) * 1024).expect("small")];
            let mut bytes = std::fs::read(trailers.join("one.mp4")).expect("just copied");
            bytes.extend(padding);
            std::fs::write(trailers.join("one.mp4"), bytes).expect("room on disk");
        }
        let Some(ended) = on_disk(tiny_disk::prefix(kilobytes), at, folder.path(), &trailers) else { return };
        assert_eq!(ended.code, Some(7), "{kilobytes} at {at}: {}", ended.err);
        for shown in [part, "are free", "are needed", "repeat the command"] {
            assert!(ended.err.contains(shown), "{shown} is missing in:\n{}", ended.err);
        }
    }
}

#[test]
fn a_store_that_turns_read_only_ends_the_run_and_quarantines_nothing() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let whole = folder.path().join("whole");
    Made::new(&whole, true);
    let trailers = folder.path().join("trailers alone");
    std::fs::create_dir(&trailers).expect("a new folder");
    let trailer = std::fs::read(whole.join(format!("trailers/{}.mp4", id(1)))).expect("just made");
    for n in 0..8 {
        let bytes = [&trailer[..], &[n]].concat();
        std::fs::write(trailers.join(format!("m{n}.mp4")), bytes).expect("room on disk");
    }
    let prefix = tiny_disk::prefix_read_only_after("commit.json");
    let Some(ended) = on_disk(prefix, "JHALAK__STORE", folder.path(), &trailers) else { return };
    assert_eq!(ended.code, Some(6), "{}", ended.err);
    let last = ended.err.lines().last().unwrap_or_default();
    for shown in ["Read-only file system", "repeat the command"] {
        assert!(last.contains(shown), "{shown} is missing in:\n{}", ended.err);
    }
    assert!(!ended.err.contains("quarantin"), "{}", ended.err);
}

/// Thirty viewers and twelve movies in the plain layout.
fn plain(folder: &Path, label: impl Fn(usize, usize) -> i64) -> Made {
    std::fs::create_dir_all(folder).expect("a new folder");
    let made = Made { folder: folder.to_path_buf() };
    let movies: String =
        (0..12).map(|m| format!("m{m},{},Movie {m}\n", ["Drama", "Comedy", "Action"][m % 3])).collect();
    made.write("movies.csv", &format!("movie_id,genre,name\n{movies}"));
    let rated = |u: usize| (0..12).filter(move |m| (u + m) % 2 == 1);
    let ratings: String = (0..30)
        .flat_map(|u| rated(u).map(move |m| (u, m)))
        .map(|(u, m)| format!("u{u},m{m},{}\n", label(u, m)))
        .collect();
    made.write("ratings.csv", &format!("user,movie,label\n{ratings}"));
    made
}

fn mixed(user: usize, movie: usize) -> i64 {
    (user * 7 + movie * 5 + user * movie) as i64 % 3 - 1
}

#[test]
fn unusable_datasets_are_reported_by_every_command() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = |name: &str| folder.path().join(name);
    let all = |made: &Made, name: &str| std::fs::read_to_string(made.folder.join(name)).expect("just written");

    plain(&data("likes"), |_, _| 1);
    plain(&data("one-dislike"), |u, m| if (u, m) == (0, 1) { -1 } else { ((u + m) / 2 % 2) as i64 });
    plain(&data("lost-movies"), mixed).write("movies.csv", "movie_id,genre,name\nm1,Drama,One\n");
    let made = plain(&data("one-movie"), mixed);
    made.write("movies.csv", "movie_id,genre,name\nm1,Drama,One\n");
    let of_one: String = (0..30).map(|u| format!("u{u},m1,{}\n", mixed(u, 1))).collect();
    made.write("ratings.csv", &format!("user,movie,label\n{of_one}"));
    plain(&data("no-genres"), mixed)
        .write("movies.csv", &(0..12).fold("movie_id,name\n".to_owned(), |text, m| text + &format!("m{m},M\n")));
    let genres = |m: usize| (0..400).map(|g| format!("G{m}x{g}")).collect::<Vec<_>>().join("|");
    plain(&data("many-genres"), mixed).write(
        "movies.csv",
        &(0..12).fold("movie_id,name,genre\n".to_owned(), |text, m| text + &format!("m{m},M,{}\n", genres(m))),
    );
    let made = plain(&data("nan"), mixed);
    made.write("ratings.csv", &(all(&made, "ratings.csv") + "u1,m1,NaN\nu2,m1,inf\nu3,m2,\nu1,m0,1\nu1,m0,0\n"));
    let made = plain(&data("huge-cell"), mixed);
    made.write("movies.csv", &(all(&made, "movies.csv") + "h,Drama," + &"x".repeat(9 << 20) + "\n"));
    let made = plain(&data("utf-16"), mixed);
    let wide: Vec<u8> = all(&made, "movies.csv").encode_utf16().flat_map(u16::to_le_bytes).collect();
    std::fs::write(made.folder.join("movies.csv"), [&[0xFF, 0xFE][..], &wide].concat()).expect("room on disk");

    for (command_line, name, code, shown) in [
        ("dataset check", "likes", 3, "all 180 ratings are a like"),
        ("run", "likes", 3, "nothing can be learned from one class"),
        ("fit", "likes", 3, "nothing can be learned from one class"),
        ("evaluate", "likes", 3, "all 180 ratings are a like"),
        ("evaluate --protocol paper", "likes", 3, "all 180 ratings are a like"),
        ("evaluate --model bias", "one-dislike", 3, "1 rating is a dislike, but the split needs at least 2"),
        ("dataset describe", "lost-movies", 3, "165 of 180 rows (92 %) rate a movie that is not in the catalogue"),
        ("evaluate --model majority --split movies", "one-movie", 3, "fewer folds"),
        ("fit --without-network", "one-movie", 4, "left out  ensemble for movies: "),
        ("evaluate", "no-genres", 3, "use another modality"),
        (
            "evaluate --modality metadata",
            "no-genres",
            3,
            "needs metadata (description, cast, year, rating...) in the catalogue, and the dataset has none",
        ),
        ("evaluate --model bias", "no-genres", 0, "accuracy"),
        ("evaluate", "many-genres", 3, "dataset.toml"),
        ("dataset check", "nan", 3, "5 left out in all"),
        ("evaluate --model bias", "nan", 0, "left out"),
        ("dataset check", "huge-cell", 3, "8 MiB"),
        ("evaluate", "utf-16", 3, "save the file as UTF-8"),
        ("fit", "utf-16", 3, "movies.csv line 1"),
    ] {
        let mut jhalak = command("jhalak", &data("store"));
        let ended = run(jhalak.args(command_line.split_whitespace()).arg("--dataset").arg(data(name)));
        assert_eq!(ended.code, Some(code), "{command_line} {name}: {} {}", ended.out, ended.err);
        let said = ended.out + &ended.err;
        assert!(said.contains(shown), "{command_line} {name}: {said}");
    }
}

/// Every fold of such a run would fail.
#[test]
fn run_with_fewer_ratings_of_a_class_than_folds_is_refused_before_it_is_planned() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (dataset, store) = (folder.path().join("data"), folder.path().join("store"));
    plain(&dataset, mixed).write("ratings.csv", "user,movie,label\nu1,m1,1\nu2,m1,-1\n");
    let ended = jhalak(&store, &dataset);
    assert_eq!(ended.code, Some(3), "{}", ended.err);
    assert!(ended.err.contains("only 1 rating is a dislike, fewer than the 2 folds"), "{}", ended.err);
    assert!(files(&store).into_keys().all(|name| !name.starts_with("runs/")), "nothing is planned");
}
