//! Tests reading: good files, and files with faults.

use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;

use super::{Fetched, FetchedTable, Label, Layout, MAX_LISTED, PAPER_GENRES, Rating, ReadSettings, Reading, read};
use crate::error::{ErrorKind, Result};

pub(super) const MOVIES: &str = "movie_id,description,language,released,rating,writer,director,cast,genre,name
\"tt2\",\"Two, \"\"quoted\"\"
and a second line\",\"[ \"\"Hindi\"\", \"\"Urdu\"\" ]\",2016-02-19T00:00:00.000Z,7.9,[],\"[ \"\"A. Writer\"\" ]\",[],\"[ \"\"Drama\"\", \"\"War\"\" ]\",Second
tt1,,[],NA,NA,[],[],[],[],First
";
pub(super) const RATINGS: &str = r#"{"_id": "u2", "rated": {"tt2": ["1"], "submit": ["submitexit"], "tt1": ["-1"]}}
{"_id": "u1", "rated": {"submit": {"any": 7}, "tt2": ["0"]}}
{"_id": "u3", "rated": {"submit": ["submit"]}}
"#;

/// A dataset of these files and these further names.
pub(super) fn memory(files: &[(&str, &[u8])], names: &[&str]) -> Fetched {
    let table = |bytes: &[u8]| FetchedTable::Bytes(Bytes::copy_from_slice(bytes));
    let tables = files.iter().map(|(name, bytes)| ((*name).to_owned(), table(bytes))).collect();
    Fetched::new("s3://bucket/folder/", Arc::new(names.iter().collect()), tables)
}

pub(super) fn read_all(files: &[(&str, &str)]) -> Result<Reading> {
    let files: Vec<(&str, &[u8])> = files.iter().map(|(name, text)| (*name, text.as_bytes())).collect();
    read(&memory(&files, &[]), &ReadSettings::default())
}

fn flickscore(movies: &str, ratings: &str) -> Result<Reading> {
    read_all(&[("movies.csv", movies), ("ratings.json", ratings)])
}

#[test]
fn its_canonical_json_is_that_of_its_value() -> Result<()> {
    let dataset = flickscore(MOVIES, RATINGS)?.dataset;
    let value = serde_json::to_value(&dataset).expect("it serialises");
    assert_eq!(dataset.canonical_json()?, crate::hash::canonical_json(&value));
    Ok(())
}

/// The message of the error that these files must give, which must be one about the input.
pub(super) fn refused(files: &[(&str, &str)]) -> String {
    let error = read_all(files).expect_err("these files are not readable");
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    error.to_string()
}

pub(super) fn reasons(reading: &Reading) -> Vec<String> {
    assert_eq!(reading.rejected, reading.rejects.len() as u64);
    reading.rejects.iter().map(ToString::to_string).collect()
}

#[test]
fn flickscore_files_become_the_normal_form() {
    let reading = flickscore(MOVIES, RATINGS).expect("valid");
    let dataset = &reading.dataset;
    let ids: Vec<&str> = dataset.movies.iter().map(|movie| movie.id.as_str()).collect();
    assert_eq!(ids, ["tt1", "tt2"]);
    let second = &dataset.movies[1];
    assert_eq!(second.description, "Two, \"quoted\"\nand a second line");
    assert_eq!((second.year, second.rating), (Some(2016), Some(7.9)));
    assert_eq!(second.genres, ["Drama", "War"]);
    assert_eq!((second.languages.len(), second.directors.len()), (2, 1));
    assert_eq!((dataset.movies[0].year, dataset.movies[0].rating), (None, None));
    assert_eq!(
        dataset.ratings,
        [
            Rating { user: 0, movie: 1, label: Label::Neutral, half_stars: None },
            Rating { user: 1, movie: 0, label: Label::Dislike, half_stars: None },
            Rating { user: 1, movie: 1, label: Label::Like, half_stars: None },
        ]
    );
    assert_eq!((reading.users_without_ratings, reading.rejected), (1, 0));
    assert_eq!((dataset.name.as_str(), dataset.synthetic), ("folder", false));
    assert_eq!(dataset.genres, PAPER_GENRES);
}

#[test]
fn byte_order_marks_carriage_returns_and_other_headers_change_nothing() {
    let expected = flickscore(MOVIES, RATINGS).expect("valid");
    let movies =
        format!("\u{FEFF}{}", MOVIES.replace("movie_id,description,", "\"_id\",PLOT,").replace(",name\n", ", Title\n"));
    // The line break inside the quoted cell is text and stays.
    let movies = movies.replace('\n', "\r\n").replace("\"\"\r\nand", "\"\"\nand");
    let ratings = format!("\u{FEFF}{}", RATINGS.replace('\n', "\r\n\r\n"));
    let reading = flickscore(&movies, &ratings).expect("valid");
    assert_eq!(reading.dataset, expected.dataset);
    assert_eq!(reading.dataset.content_hash(), expected.dataset.content_hash());
}

#[test]
fn bad_ratings_are_rejected_one_by_one_with_their_line() {
    let ratings = r#"{"_id": "u1", "rated": {"tt1": ["7"], "tt2": ["1"], "tt9": ["1"], "tt2": ["0"], "../x": ["1"]}}
no JSON
{"_id": "u2", "rated": {"tt1": [], "tt2": [NaN]}}
{"_id": {"$oid": "5b1"}, "rated": {"tt1": 0, "tt2": ["-1"]}}
{"_id": ["u4"], "rated": {"tt1": ["1"]}}
{"_id": "u5", "rated": null}
[]
{"_id": "u6", "rated": {"tt1": ["1", "1"], "tt2": null}}
{"_id": "u1", "rated": {"tt2": ["1"], "tt1": "1"}}"#;
    let reading = flickscore(MOVIES, ratings).expect("the rest is valid");
    assert_eq!(reading.dataset.ratings.len(), 4);
    assert_eq!((reading.dataset.users.len(), reading.users_without_ratings), (2, 2));
    let first = &reading.dataset.ratings[reading.dataset.ratings.len() - 1];
    assert_eq!(first.label, Label::Like, "of two ratings of one pair the first stays");
    let reported = reasons(&reading).join("\n");
    for part in [
        "line 1: user u1, movie tt1: the label is not -1, 0, 1, dislike, neutral or like: \"7\"",
        "line 1: user u1, movie tt9: a rating of a movie that is not in the catalogue",
        "line 1: user u1, movie \"../x\"",
        "line 1: user u1, movie tt2: rated a second time, neutral: the first rating, like on line 1, is kept",
        "line 2: line: not a JSON object",
        "line 3: line: not a JSON object",
        "line 5: user \"[\"u4\"]\": the _id",
        "line 7: line: not a JSON object",
        "line 8: user u6, movie tt1: 2 labels",
        "line 8: user u6, movie tt2: the label is not",
        "line 9: user u1, movie tt2: rated a second time, like",
    ] {
        assert!(reported.contains(part), "{part} is not in\n{reported}");
    }
    assert_eq!(reading.rejected, 11, "{reported}");
}

#[test]
fn bad_movies_are_rejected_and_bad_cells_count_as_missing() {
    let movies = "id,genre,released,rating,name
tt1,\"[\"\"Drama\"\"]\",2001,7,First
../x,Drama,2001,7,Evil
tt1,War,2002,8,Again
tt2,[Drama,NaN,NaN,
tt3,Drama | War| Drama,around 88,11,Third
-rf,,,,
,,,,
";
    let reading = flickscore(movies, RATINGS).expect("the rest is valid");
    let names: Vec<&str> = reading.dataset.movies.iter().map(|movie| movie.name.as_str()).collect();
    assert_eq!(names, ["First", "tt2", "Third"]);
    assert_eq!(reading.dataset.movies[2].genres, ["Drama", "War"]);
    let reported = reasons(&reading).join("\n");
    for part in [
        "movies.csv line 3: movie \"../x\": the movie id is not valid",
        "movies.csv line 4: movie tt1: a second movie with this id: the one on line 2 is kept",
        "line 5: movie \"tt2\", cell genre: not a list of texts",
        "line 6: movie \"tt3\", cell released: no year",
        "line 6: movie \"tt3\", cell rating: not a number from 0 to 10: \"11\"",
        "line 7: movie \"-rf\"",
        "line 8: movie \"\"",
    ] {
        assert!(reported.contains(part), "{part} is not in\n{reported}");
    }
    assert_eq!(reading.rejected, 7, "{reported}");
}

#[test]
fn csv_that_cannot_be_read_is_an_error_with_file_and_line() {
    let with = |movies: &str| refused(&[("movies.csv", movies), ("ratings.json", RATINGS)]);
    let reported = with("title,genre\nx,y\n");
    assert!(
        reported.contains("movies.csv line 1: no column movie_id or") && reported.contains("\"title\", \"genre\""),
        "{reported}"
    );
    assert!(with("").contains("movies.csv: empty"));
    let wide: Vec<u8> = MOVIES.encode_utf16().flat_map(u16::to_le_bytes).collect();
    for start in [&[0xFF, 0xFE][..], &[]] {
        let wide = [start, &wide].concat();
        let files = memory(&[("movies.csv", &wide), ("ratings.json", RATINGS.as_bytes())], &[]);
        let reported = read(&files, &ReadSettings::default()).expect_err("UTF-16").to_string();
        assert!(reported.contains("s3://bucket/folder/") && reported.contains("movies.csv line 1"), "{reported}");
        assert!(reported.contains("save the file as UTF-8"), "{reported}");
    }
}

#[test]
fn a_line_without_end_is_rejected_and_the_next_one_is_read() {
    let ratings = format!("{{\"_id\": \"{}\"}}\n{RATINGS}", "x".repeat(17 << 20));
    let reading = flickscore(MOVIES, &ratings).expect("the rest is valid");
    assert_eq!(reasons(&reading), ["ratings.json line 1: line: longer than 16 MiB"]);
    assert_eq!(reading.dataset.ratings.len(), 3);
}

#[test]
fn nothing_left_is_an_error_that_tells_the_first_reason() {
    let reported =
        refused(&[("movies.csv", MOVIES), ("ratings.json", "{\"_id\": \"u1\", \"rated\": {\"tt1\": [\"7\"]}}")]);
    assert!(
        reported.contains("ratings.json: the dataset has no valid rating") && reported.contains("\"7\""),
        "{reported}"
    );
    assert!(
        refused(&[("movies.csv", "id,name\n"), ("ratings.json", RATINGS)]).contains("the dataset has no valid movie")
    );
}

#[test]
fn an_unknown_layout_is_an_error_with_the_expected_and_found_files() {
    let reported = refused(&[("readme.txt", "hello"), ("movies.csv", MOVIES)]);
    for part in ["ratings.json", "u.item with u.data", "ratings.csv", "readme.txt", "s3://bucket/folder/"] {
        assert!(reported.contains(part), "{reported}");
    }
    assert!(refused(&[]).contains("Files at the top: no file"));
    let both = [("movies.csv", MOVIES), ("ratings.json", RATINGS), ("ratings.csv", "user,movie,label\n")];
    assert!(refused(&both).contains("ratings.json and ratings.csv both hold ratings"));
    let reported = refused(&[("movies.csv", MOVIES), ("ratings.csv", "user,movie,opinion\n")]);
    assert!(reported.contains("no column rating or label"), "{reported}");
}

#[test]
fn movielens_stars_become_labels_by_the_thresholds() {
    let movies = "movieId,title,genres\n1,Toy Story (1995),Adventure|Children\n2,\"Heat, The\",(no genres listed)\n";
    let ratings = "userId,movieId,rating,timestamp\n1,1,2.0,9\n1,2,3.5,9\n2,1,4.5,9\n2,2,7,9\n3,1,NaN,9\n3,2,0,9\n";
    let files = memory(&[("movies.csv", movies.as_bytes()), ("ratings.csv", ratings.as_bytes())], &[]);
    let reading = read(&files, &ReadSettings::default()).expect("valid");
    assert_eq!((reading.layout, reading.dataset.label_counts()), (Layout::MovielensCsv, [1, 1, 1]));
    assert_eq!((reading.rejected, reading.users_without_ratings), (3, 1));
    let toy = &reading.dataset.movies[0];
    assert_eq!((toy.name.as_str(), toy.year), ("Toy Story", Some(1995)));
    assert_eq!(reading.dataset.genres, ["Adventure", "Children"]);
    assert!(reading.dataset.movies[1].genres.is_empty());

    let strict = ReadSettings { dislike_at_most: 3.5, like_at_least: 4.5, ..Default::default() };
    assert_eq!(read(&files, &strict).expect("valid").dataset.label_counts(), [2, 0, 1]);
    for (low, high) in [(4.0, 4.0), (f64::NAN, 4.0), (2.0, f64::NAN)] {
        let settings = ReadSettings { dislike_at_most: low, like_at_least: high, ..Default::default() };
        assert_eq!(read(&files, &settings).expect_err("no thresholds").kind(), ErrorKind::InvalidInput);
    }
}

#[test]
fn movielens_100k_is_read_in_its_own_encoding() {
    let item = b"2|Cit\xE9 (1995)|01-Jan-1995||http://x|0|1|0|0|0|0|0|0|1|0|0|0|0|0|0|0|0|0|0\n267|unknown||||1|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0\n";
    let data = b"10\t2\t5\t881250949\n10\t267\t1\t881250949\n9\t2\t3\t881250949\n";
    let user = b"10|24|M|technician|85711\n11|53|F|other|94043\n";
    let files = memory(&[("u.item", item), ("u.data", data), ("u.user", user)], &[]);
    let reading = read(&files, &ReadSettings::default()).expect("valid");
    assert_eq!((reading.layout, reading.dataset.label_counts()), (Layout::Movielens100k, [1, 1, 1]));
    let city = &reading.dataset.movies[0];
    assert_eq!((city.name.as_str(), city.year, city.genres.join(" ")), ("Cité", Some(1995), "Action Drama".to_owned()));
    assert!(reading.dataset.movies[1].genres.is_empty());
    assert_eq!(
        (reading.dataset.users[0].attributes["occupation"].as_str(), reading.users_without_ratings),
        ("technician", 1)
    );
}

#[test]
fn plain_csv_takes_numbers_and_names() {
    let ratings = "user,movie,label\nu1,tt1,-1\nu1,tt2,1.0\nu2,tt1,Neutral\nu2,tt2,2\n";
    let reading = read_all(&[
        ("movies.csv", MOVIES),
        ("ratings.csv", ratings),
        ("users.csv", "_id,job,tongues\nu1,Student,\"[\"\"Hindi\"\", \"\"Urdu\"\"]\"\nu1,Twice,\n"),
    ])
    .expect("valid");
    assert_eq!((reading.layout, reading.dataset.label_counts()), (Layout::Plain, [1, 1, 1]));
    let attributes = &reading.dataset.users[0].attributes;
    assert_eq!((attributes["job"].as_str(), attributes["tongues"].as_str()), ("Student", "Hindi, Urdu"));
    let reported = reasons(&reading);
    assert!(
        reported[0].contains("users.csv line 3: user u1: a second row") && reported[1].contains("ratings.csv line 5"),
        "{reported:?}"
    );
}

#[test]
fn trailers_are_found_by_movie_id_and_the_second_of_two_is_rejected() {
    let names = [
        "trailers/tt1.webm",
        "trailers/tt1.mp4",
        "trailers/tt2.MKV",
        "trailers/tt9.mp4",
        "trailers/notes.txt",
        "trailers/.hidden",
        "trailers/more/",
        "trailers/",
    ];
    let files = memory(&[("movies.csv", MOVIES.as_bytes()), ("ratings.json", RATINGS.as_bytes())], &names);
    let reading = read(&files, &ReadSettings::default()).expect("valid");
    let found: Vec<(&str, &str)> = reading.trailers.iter().collect();
    assert_eq!(found, [("tt1", "trailers/tt1.mp4"), ("tt2", "trailers/tt2.MKV")]);
    let reported = reasons(&reading).join("\n");
    for part in [
        "\"tt1.webm\": a second trailer",
        "\"tt9.mp4\": the catalogue has no movie",
        "\"notes.txt\": not a trailer",
        "\"more/\": a folder",
    ] {
        assert!(reported.contains(part), "{part} is not in\n{reported}");
    }
    assert_eq!(reading.rejected, 4, "{reported}");
}

#[test]
fn dataset_toml_names_the_dataset_and_unknown_keys_are_refused() {
    let with = |toml: &str| read_all(&[("movies.csv", MOVIES), ("ratings.json", RATINGS), ("dataset.toml", toml)]);
    let reading =
        with("name = \"Demo\"\nsynthetic = true\nnote = \"seed 7\"\ngenres = [\"War\", \"Drama\"]").expect("valid");
    assert!(reading.dataset.synthetic && reading.describe().to_string().contains("SYNTHETIC"));
    assert_eq!((reading.dataset.name.as_str(), reading.note.as_deref()), ("Demo", Some("seed 7")));
    assert_eq!(reading.dataset.genres, ["War", "Drama"]);
    for bad in ["nam = \"Demo\"", "synthetic = \"yes\"", "genres = []", "genres = [\"A\", \"A\"]", "= 1"] {
        let error = with(bad).expect_err(bad);
        assert!(error.kind() == ErrorKind::InvalidInput && error.to_string().contains("dataset.toml"), "{error}");
    }
}

#[test]
fn a_subset_keeps_the_vocabulary_and_drops_what_hangs_on_other_movies() {
    let files = memory(
        &[("movies.csv", MOVIES.as_bytes()), ("ratings.json", RATINGS.as_bytes())],
        &["trailers/tt1.mp4", "trailers/tt2.mp4"],
    );
    let whole = read(&files, &ReadSettings::default()).expect("valid");
    let part = whole.clone().subset("ids.txt", "# mine\r\n\r\ntt1\r\ntt77\r\n".as_bytes()).expect("valid");
    assert_eq!((part.dataset.movies.len(), part.dataset.users.len(), part.users_without_ratings), (1, 1, 2));
    assert_eq!(part.dataset.ratings, [Rating { user: 0, movie: 0, label: Label::Dislike, half_stars: None }]);
    assert_eq!((part.dataset.users[0].id.as_str(), part.trailers.len()), ("u2", 1));
    assert_eq!(part.dataset.genres, whole.dataset.genres);
    assert_eq!(reasons(&part), ["ids.txt line 4: \"tt77\": the dataset has no movie with this id"]);
    assert_eq!(
        whole.clone().subset("ids.txt", "tt77\n".as_bytes()).expect_err("no movie").kind(),
        ErrorKind::InvalidInput
    );
    let both = whole.clone().subset("ids.txt", "tt2\ntt1\n".as_bytes()).expect("valid");
    assert_eq!(both, whole);
}

#[test]
fn the_hash_depends_on_content_and_not_on_order_or_name() {
    let hash = |movies: &str, ratings: &str, toml: &str| {
        let files = [("movies.csv", movies), ("ratings.json", ratings), ("dataset.toml", toml)];
        read_all(&files).expect("valid").dataset.content_hash()
    };
    let base = hash(MOVIES, RATINGS, "");
    let mut lines: Vec<&str> = RATINGS.lines().collect();
    lines.reverse();
    assert_eq!(hash(MOVIES, &lines.join("\n"), "name = \"Other\"\nsynthetic = true"), base);
    for other in [
        hash(&MOVIES.replace("First", "Fist"), RATINGS, ""),
        hash(&MOVIES.replace("7.9", "7.8"), RATINGS, ""),
        hash(MOVIES, &RATINGS.replace("[\"0\"]", "[\"1\"]"), ""),
        hash(MOVIES, RATINGS, "genres = [\"Drama\"]"),
    ] {
        assert_ne!(other, base);
    }
}

#[test]
fn rejects_are_counted_beyond_what_is_listed() {
    let mut ratings = RATINGS.to_owned();
    ratings.push_str(&"x\n".repeat(MAX_LISTED + 5));
    let files = memory(&[("movies.csv", MOVIES.as_bytes()), ("ratings.json", ratings.as_bytes())], &[]);
    let all = ReadSettings { max_rejected_percent: 100.0, ..Default::default() };
    let reading = read(&files, &all).expect("the rest is valid");
    assert_eq!((reading.rejects.len(), reading.rejected), (MAX_LISTED, MAX_LISTED as u64 + 5));
}

/// Applies edits to a file: at a place, drop some bytes and put others.
fn edited(text: &str, edits: &[(prop::sample::Index, u8, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    for (place, drop, put) in edits {
        let from = place.index(bytes.len() + 1);
        let to = (from + usize::from(*drop)).min(bytes.len());
        bytes.splice(from..to, put.iter().copied());
    }
    bytes
}

fn edits() -> impl Strategy<Value = Vec<(prop::sample::Index, u8, Vec<u8>)>> {
    let telling = prop::sample::select(b"\"\n\r,|\t[]{}:\\-019.NtuA\0 ".to_vec());
    let bytes = prop::collection::vec(prop_oneof![20 => telling, 1 => any::<u8>()], 0..6);
    prop::collection::vec((any::<prop::sample::Index>(), prop_oneof![8 => 0u8..4, 1 => any::<u8>()], bytes), 0..4)
}

/// Every promise of the normal form.
fn assert_normal(reading: &Reading) {
    let dataset = &reading.dataset;
    assert!(!dataset.movies.is_empty() && !dataset.ratings.is_empty() && !dataset.genres.is_empty());
    assert!(dataset.movies.windows(2).all(|two| two[0].id < two[1].id));
    assert!(dataset.users.windows(2).all(|two| two[0].id < two[1].id));
    assert!(dataset.ratings.windows(2).all(|two| (two[0].user, two[0].movie) < (two[1].user, two[1].movie)));
    assert!(
        dataset
            .ratings
            .iter()
            .all(|r| (r.user as usize) < dataset.users.len() && (r.movie as usize) < dataset.movies.len())
    );
    assert!(
        dataset
            .movies
            .iter()
            .all(|movie| super::readers::reject::is_movie_id(&movie.id) && movie.rating.is_none_or(f32::is_finite))
    );
    assert!(reading.trailers.keys().all(|id| dataset.movie_index(id).is_some()));
    assert_eq!(reading.describe().ratings, dataset.label_counts().iter().sum::<u64>());
    let json = serde_json::to_string(reading).expect("a reading has a JSON form");
    assert_eq!(&serde_json::from_str::<Reading>(&json).expect("which can be read"), reading);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_input_panics_and_what_is_read_is_normal(
        layout in 0..5,
        first in edits(),
        second in edits(),
        trailer in "[a-z0-9./]{0,12}",
        toml in prop_oneof![12 => Just(String::new()), 1 => "(name|genres|x)? ?=? ?[\"\\[a-z\\]]{0,8}"],
    ) {
        let (movies_file, movies, ratings_file, ratings) = match layout {
            0 => ("movies.csv", MOVIES, "ratings.json", RATINGS),
            1 => ("movies.csv", "movieId,title,genres\n1,Toy (1995),Drama|War\n2,Heat,Crime\n", "ratings.csv", "userId,movieId,rating,timestamp\n1,1,5,0\n1,2,1.5,0\n"),
            4 => ("movies.dat", "1::Toy (1995)::Drama|War\n2::Heat::Crime\n", "ratings.dat", "1::1::5::0\n1::2::1.5::0\n"),
            2 => ("u.item", "1|Toy (1995)|01-Jan-1995||x|0|1|0|0|0|0|0|0|1|0|0|0|0|0|0|0|0|0|0\n", "u.data", "1\t1\t5\t0\n2\t1\t3\t0\n"),
            _ => ("movies.csv", MOVIES, "ratings.csv", "user,movie,label\nu1,tt1,0\nu1,tt2,1\n"),
        };
        let (movies, ratings) = (edited(movies, &first), edited(ratings, &second));
        let mut files = vec![(movies_file, movies.as_slice()), (ratings_file, ratings.as_slice())];
        if !toml.is_empty() {
            files.push(("dataset.toml", toml.as_bytes()));
        }
        let trailer = format!("trailers/{trailer}");
        match read(&memory(&files, &[&trailer]), &ReadSettings::default()) {
            Ok(reading) => assert_normal(&reading),
            Err(error) => prop_assert_eq!(error.kind(), ErrorKind::InvalidInput),
        }
    }
}
