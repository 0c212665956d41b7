//! Every format gives the same folds; contradictions within the file or with the dataset are
//! errors.

use super::*;
use crate::dataset::{Label, Movie, Rating, User};
use std::fs;

/// Users u1 to u4, each with ratings of the movies m1 and m2.
fn dataset() -> Dataset {
    let users = (1..=4).map(|i| User { id: format!("u{i}"), ..User::default() }).collect();
    let movies = (1..=2).map(|i| Movie { id: format!("m{i}"), ..Movie::default() }).collect();
    let rate = |i: u32| Rating { user: i / 2, movie: i % 2, label: Label::Like, half_stars: None };
    Dataset {
        name: "d".into(),
        synthetic: true,
        movies,
        users,
        ratings: (0..8).map(rate).collect(),
        times: vec![],
        genres: vec![],
    }
}

/// Names and contents.
type Files<'a> = &'a [(&'a str, &'a str)];

/// Writes the files into a new folder and reads the named one, or the folder if the name is empty.
fn read(files: Files, which: &str) -> Result<GivenFolds> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().expect("inside the folder")).expect("ours");
        fs::write(path, text).expect("ours");
    }
    read_folds(&folder.path().join(which), &dataset())
}

fn tests(folds: &GivenFolds) -> Vec<Vec<u32>> {
    folds.folds.iter().map(|fold| fold.test.clone()).collect()
}

#[test]
fn folds_of_users_are_read_from_every_form() {
    let of_user = |user: u32| vec![2 * user, 2 * user + 1];
    let want = vec![[of_user(0), of_user(2)].concat(), of_user(1)];
    let forms: [Files; 18] = [
        &[("folds.csv", "user,fold\nu1,1\nu3,1\nu2,2\n")],
        &[("folds.csv", "\u{FEFF}Fold;User_ID\r\n10;u2\r\n9;\"u3\"\r\n9;u1\r\n")],
        &[("folds.tsv", "split\tuser\na\tu1\na\tu3\nb\tu2\n")],
        &[("a.txt", "u1\nu3\n"), ("b.txt", "u2\n")],
        &[("f2/test.csv", "user_id\nu3\nu1\n"), ("f2/train.csv", "u2\n"), ("f10/test.csv", "user_id\nu2\n")],
        &[("u1.test", "u1\nu3\n"), ("u2.test", "u2\n"), ("ua.test", "u4\n"), ("u1.base", "u2\nu4\n")],
        &[("test1.json", "{\"_id\": \"u1\"}\n{\"user\": \"u3\"}\n"), ("test2.json", "{\"_id\": \"u2\"}\n")],
        &[
            ("fold1_test.json", r#"[{"_id": "u1"}, {"_id": "u3"}]"#),
            ("fold2_test.json", r#"[{"_id": {"$oid": "u2"}}]"#),
            ("fold1_train.json", "[]"),
        ],
        &[("test_users_1.json", "[\"u1\", \"u3\"]"), ("test_users_2.json", "[\n\"u2\"\n]")],
        &[("1/test.txt", "u1,u3,x1,x2,x3,x4,x5"), ("2/test.txt", "u2")],
        &[("f.json", r#"{"fold1": {"train": ["u2"], "test": ["u1", "u3"]}, "fold2": {"test": ["u2"]}}"#)],
        &[("f.json", r#"{"fold_1": ["u1", "u3"], "fold_2": ["u2"]}"#)],
        &[("f.json", r#"[["u1", "u3", "x1", "x2", "x3"], ["u2", "x4", "x5", "x6", "x7"]]"#)],
        &[("f.json", r#"[{"test_users": ["u1", "u3"], "train_users": []}, {"test_users": ["u2"]}]"#)],
        &[("f.json", r#"{"u1": 1, "u3": 1, "u2": 2}"#)],
        &[("f.json", r#"[{"fold": 1, "user": "u1"}, {"fold": 2, "user": "u2"}, {"fold": 1, "user": "u3"}]"#)],
        &[(
            "f.jsonl",
            "{\"user\": \"u1\", \"fold\": 1}\n{\"user\": \"u2\", \"fold\": 2}\n{\"user\": \"u3\", \"fold\": 1}\n",
        )],
        &[("f.csv", "fold,set,user\n1,test,u1\n1,train,u2\n1,test,u3\n2,val,u4\n2,test,u2\n")],
    ];
    for files in forms {
        let which = if files.len() == 1 { files[0].0 } else { "" };
        let folds = read(files, which).unwrap_or_else(|e| panic!("{files:?}: {e:?}"));
        assert_eq!((folds.by, tests(&folds)), (FoldsBy::Users, want.clone()), "{files:?}");
        assert_eq!(folds.passed_over_rows > 0, files.iter().any(|(_, text)| text.contains("x1")), "{files:?}");
    }
}

#[test]
fn pairs_and_movies_are_read_and_unknown_rows_are_counted() {
    let forms: [Files; 7] = [
        &[("1.test", "id,user_id,item_id\n0,u1,m2\n1,u4,m1\n"), ("2.test", "id,user_id,item_id\n0,u9,m1\n1,u2,m2\n")],
        &[
            ("1.test", "{\"user\": \"u1\", \"movie\": \"m2\", \"label\": 1}\n{\"user\": \"u4\", \"movie\": \"m1\"}\n"),
            ("2.test", "{\"user\": \"u9\", \"movie\": \"m1\"}\n{\"user\": \"u2\", \"movie\": \"m2\"}\n"),
        ],
        &[("f.json", r#"[[["u1", "m2"], ["u4", "m1"]], [["u9", "m1"], ["u2", "m2"]]]"#)],
        &[("folds.csv", "user,movie,fold\nu1,m2,1\nu4,m1,1\nu9,m1,2\nu2,m2,2\n")],
        &[("1.test", "u1\tm2\t5\t88\nu4\tm1\t1\t89\n"), ("2.test", "u9\tm1\t5\t87\nu2\tm2\t5\t86\n")],
        &[("1.csv", "movie,label,user\nm2,1,u1\nm1,0,u4\n"), ("2.csv", "movie,label,user\nm1,-1,u9\nm2,-1,u2\n")],
        &[
            (
                "1.json",
                "{\"_id\": \"u1\", \"rated\": {\"submit\": [\"submit\"], \"m2\": [\"1\"]}}\n{\"_id\": \"u4\", \"rated\": {\"m1\": [\"1\"]}}\n",
            ),
            (
                "2.json",
                "{\"_id\": \"u9\", \"rated\": {\"m1\": [\"0\"]}}\n\n{\"_id\": \"u2\", \"rated\": {\"m2\": [\"1\"]}}\n",
            ),
        ],
    ];
    for files in forms {
        let folds =
            read(files, if files.len() == 1 { files[0].0 } else { "" }).unwrap_or_else(|e| panic!("{files:?}: {e:?}"));
        assert_eq!((folds.by, tests(&folds)), (FoldsBy::Pairs, vec![vec![1, 6], vec![3]]), "{files:?}");
        assert_eq!(folds.passed_over_rows, 1);
        assert!(folds.passed_over[0].subject.contains("u9"), "{:?}", folds.passed_over);
    }
    let movies = read(&[("folds.csv", "movie,fold\nm2,x\nm1,y\n")], "folds.csv").expect("folds");
    assert_eq!((movies.by, tests(&movies)), (FoldsBy::Movies, vec![vec![1, 3, 5, 7], vec![0, 2, 4, 6]]));
}

#[test]
fn folds_that_are_not_valid_are_refused_with_file_and_line() {
    let cases: [(Files, &str, &str); 15] = [
        (&[("f.csv", "user,fold\nu1,1\nu1,2\n")], "f.csv", "already tested by the fold \"1\""),
        (&[("f.csv", "user,fold\nx1,1\nx2,2\n")], "f.csv", "user u1, movie m1"),
        (&[("f.csv", "user,fold\nu1,1\nx2,2\n")], "f.csv", "the fold \"2\" tests nothing"),
        (&[("f.csv", "age,fold\n3,1\n")], "f.csv", "no column user or movie"),
        (&[("f.csv", "user,fold\nu1,\n")], "f.csv", "line 2: `` names no fold"),
        (&[("f.csv", "user,fold\nu1,-1\n")], "f.csv", "line 2: `-1` names no fold"),
        (&[("f.csv", "user,fold\nu1,NaN\n")], "f.csv", "names no fold"),
        (&[("f.csv", "user,movie,is_test\nu1,m1,True\n")], "f.csv", "`is_test` may say which rows are tested"),
        (&[("f.csv", "user,movie,split\nu1,m1,0\nu2,m1,1\n")], "f.csv", "two folds or train and test"),
        (&[("f.csv", "user,movie,fold\nu1,m1,1\nu2,,2\n")], "f.csv", "line 3 users"),
        (&[("f.csv", "user,fold\nu1,1\nu2\n")], "f.csv", "line 3"),
        (&[("f.csv", "")], "f.csv", "empty"),
        (&[("u1.base", "u1\n")], "", "training set"),
        (&[("1.test", "{\"id_\": 7}\n{}"), ("2.test", "u2\n")], "", "1.test line 1"),
        (&[("x", "")], "", "no rows"),
    ];
    for (files, which, reported) in cases {
        let error = read(files, which).expect_err(reported).chain();
        assert!(error.contains(reported), "{files:?}: {error}");
    }
    assert!(read(&[], "nowhere.csv").expect_err("no file").chain().contains("nowhere.csv"));
    assert!(read(&[("1.test", "\u{0}\u{1}\u{2}\n")], "").is_err());
}

#[test]
fn train_and_test_are_one_fold_and_folds_of_another_dataset_are_refused() {
    let one = read(&[("f.csv", "user,split\nu1,test\nu2,train\nu3,val\nu4,test\n")], "f.csv").expect("a split");
    assert_eq!((tests(&one), one.validation), (vec![vec![0, 1, 6, 7]], 1));
    assert!(one.validation_note().is_some_and(|note| note.starts_with("1 row or part is marked as validation")));
    let parts = read(&[("test.csv", "u1\n"), ("train.csv", "u3\n"), ("val.csv", "u2\n")], "").expect("a split");
    assert_eq!((tests(&parts).len(), parts.validation), (1, 1));
    let json = "{\"train\": [\"u3\"], \"dev\": [\"u2\"], \"test\": [\"u1\"]}";
    assert_eq!(read(&[("f.json", json)], "f.json").expect("a split").validation, 1);
    let plain = read(&[("f.csv", "user,split\nu1,test\nu2,train\n")], "f.csv").expect("a split");
    assert_eq!((plain.validation, plain.validation_note()), (0, None));
    let one = read(&[("u1.test", "u1\tm2\t5\t88\n")], "u1.test").expect("one fold");
    assert_eq!((one.by, tests(&one)), (FoldsBy::Pairs, vec![vec![1]]));
    let movies = read(&[("a", "m1\n"), ("b", "m2\n")], "").expect("movies");
    assert_eq!(movies.by, FoldsBy::Movies);
    let names: [(&str, &str); 4] =
        [("testuser_A", "u1\n"), ("testuser_B", "u2\n"), ("testuser_C1", "u3\n"), ("testuser_D1", "u4\n")];
    assert_eq!(read(&names, "").expect("four").folds.len(), 4);
    let shifted = read(&[("f.csv", "1,u1,m1\nu1,m1,m2\n1,u2,m2\n")], "f.csv").expect_err("fold, user, movie").chain();
    assert!(shifted.contains("2 of 3 rows") && shifted.contains("add a header"), "{shifted}");
    let others: String = (0..40).map(|i| format!("z{i},1\n")).collect();
    let error = read(&[("f.csv", &format!("user,fold\n{others}u1,1\n"))], "f.csv").expect_err("other users").chain();
    assert!(error.contains("40 of 41 rows") && error.contains("user u1"), "{error}");
}
