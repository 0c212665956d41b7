//! What commands write: never to a folder named after a URL, without a password in any message, and
//! with an exit code that tells a full disk from a wrong path.

use std::path::Path;
use std::process::Command;

use jhalak_tests::programs::{Ended, command, program, run};
use jhalak_tests::tiny_disk;

/// A dataset in the plain layout: sixty viewers, twelve movies.
fn dataset(folder: &Path) {
    std::fs::create_dir_all(folder).expect("a new folder");
    let movies: String =
        (0..12).map(|m| format!("m{m},{},Movie {m}\n", ["Drama", "Comedy", "Action"][m % 3])).collect();
    let rated = (0..60).flat_map(|u| (0..12).filter(move |m| (u + m) % 2 == 1).map(move |m| (u, m)));
    let stars = |u: usize, m: usize| [1, 3, 5][(u * 7 + m * 5 + u * m) % 3];
    let ratings: String = rated.map(|(u, m)| format!("u{u},m{m},{}\n", stars(u, m))).collect();
    std::fs::write(folder.join("movies.csv"), format!("movie_id,genre,name\n{movies}")).expect("room on disk");
    std::fs::write(folder.join("ratings.csv"), format!("user,movie,rating\n{ratings}")).expect("room on disk");
    std::fs::write(folder.join("dataset.toml"), "name = \"plain\"\n").expect("room on disk");
}

#[test]
fn a_mistyped_location_is_refused_and_no_password_in_it_is_shown() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    dataset(&folder.path().join("data"));
    let in_folder = |arguments: &[&str]| {
        run(command("jhalak", &folder.path().join("store")).current_dir(folder.path()).args(arguments))
    };
    for place in ["s3:/key:s3cret@b/x", "S3://key:s3cret@b/x", "gs://key:s3cret@b/x", "s3//key:s3cret@b"] {
        for arguments in [
            &["status", "--store", place][..],
            &["serve", "--store", place],
            &["dataset", "check", "--dataset", place],
            &["export", "--out", place],
            &["evaluate", "--dataset", "data", "--model", "majority", "--predictions", place],
            &["evaluate", "--dataset", "data", "--model", "majority", "--folds", place],
            &["fit", "--dataset", "data", "--out", place],
            &["compare", place, place],
            &["scenes", place],
            &["init", place],
        ] {
            let ended = in_folder(arguments);
            assert!(matches!(ended.code, Some(2 | 3)), "{arguments:?}: {:?} {}", ended.code, ended.err);
            assert!(!(ended.out + &ended.err).contains("s3cret"), "{arguments:?}");
            let as_json = in_folder(&[arguments, &["--json"]].concat());
            assert!(!(as_json.out + &as_json.err).contains("s3cret"), "{arguments:?} --json");
        }
        let shown = run(command("jhalak", Path::new(place)).args(["settings", "store"]));
        assert!(shown.code == Some(0) && !shown.out.contains("s3cret"), "{place}: {}", shown.out);
    }
    let names: Vec<_> =
        std::fs::read_dir(folder.path()).expect("readable").map(|e| e.expect("an entry").file_name()).collect();
    assert_eq!(names, ["data"], "nothing is written");
    let missing = in_folder(&["serve", "--store", "nope"]);
    assert!(missing.code == Some(3) && missing.err.contains("does not exist"), "{}", missing.err);
}

#[test]
fn what_cannot_be_written_is_the_disks_or_the_paths_fault_and_not_a_services() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (data, store) = (folder.path().join("data"), folder.path().join("store"));
    dataset(&data);
    std::fs::write(folder.path().join("taken"), "mine").expect("room on disk");
    let evaluate = ["evaluate", "--model", "bias", "--modality", "video", "--predictions"];
    for (arguments, out) in [
        (&evaluate[..], "taken"),
        (&evaluate, "taken/p.parquet"),
        (&["fit", "--no-network", "--out"], "/dev/null"),
        (&["fit", "--no-network", "--out"], "taken"),
    ] {
        let mut jhalak = command("jhalak", &store);
        let ended = run(jhalak.args(arguments).arg(folder.path().join(out)).arg("--dataset").arg(&data));
        assert_eq!(ended.code, Some(3), "{arguments:?} {out}: {}", ended.err);
        assert!(ended.err.contains(out), "{}", ended.err);
    }
    let ended = run(command("jhalak", &store).args(["man", "--out"]).arg(folder.path().join("taken")));
    assert_eq!(ended.code, Some(3), "{}", ended.err);
    let whole = folder.path().join("whole.parquet");
    let ended = run(command("jhalak", &store).args(evaluate).arg(&whole).arg("--dataset").arg(&data));
    assert_eq!(ended.code, Some(0), "a baseline needs no embeddings: {}", ended.err);

    let Some(prefix) = tiny_disk::prefix(4) else { return };
    let disk = folder.path().join("disk");
    std::fs::create_dir_all(&disk).expect("the folder is ours");
    let on_disk = |arguments: &[&str], out: &Path| -> Ended {
        let mut jhalak = Command::new(&prefix[0]);
        jhalak.args(&prefix[1..]).arg(program("jhalak")).args(arguments).arg(out).arg("--dataset").arg(&data);
        let plain = command("jhalak", &store);
        jhalak.envs(plain.get_envs().filter_map(|(key, value)| Some((key, value?))));
        run(jhalak.env("SCRATCH", &disk))
    };
    for (arguments, out) in
        [(&evaluate[..], "p.parquet"), (&["fit", "--no-network", "--ensemble", "pairs", "--out"], "m")]
    {
        let ended = on_disk(arguments, &disk.join(out));
        assert_eq!(ended.code, Some(7), "{arguments:?}: {}", ended.err);
        assert!(ended.err.contains("No space left"), "{}", ended.err);
    }
}
