//! The real Flickscore files, whose counts are published, and small files of the forms that people
//! have, if they are next to the checkout.

use std::fs::File;
use std::path::PathBuf;

use super::{Folder, Layout, PAPER_GENRES, ReadSettings, Reading, read};

/// The folder, or `None` after saying that the test is skipped.
fn flickscore() -> Option<PathBuf> {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data/flickscore"));
    if !folder.is_dir() {
        println!("skipped: no Flickscore dataset at {}", folder.display());
        return None;
    }
    Some(folder)
}

fn whole(folder: &PathBuf) -> Reading {
    let files = Folder::open(folder).expect("the folder exists");
    read(&files, &ReadSettings::default()).expect("the distributed files are valid")
}

#[test]
fn the_whole_dataset_has_the_counts_of_its_source_note() {
    let Some(folder) = flickscore() else { return };
    let reading = whole(&folder);
    let facts = reading.describe();
    assert_eq!(facts.layout, Layout::Flickscore);
    assert_eq!(
        (facts.users, facts.users_without_ratings, facts.movies, facts.ratings),
        (757, 924 - 757, 2_850, 20_652)
    );
    assert_eq!((facts.labels.dislike, facts.labels.neutral, facts.labels.like), (2_231, 10_471, 7_950));
    assert_eq!(facts.rejected, 0, "{:?}", facts.rejects.first());
    assert_eq!(reading.dataset.genres, PAPER_GENRES);
    assert_eq!((facts.trailers, facts.missing.trailer, facts.missing.description), (0, 2_850, 1_098));
    assert!(!facts.synthetic);
}

#[test]
fn the_hindi_subset_has_the_counts_of_the_paper_within_what_is_known() {
    let Some(folder) = flickscore() else { return };
    let list = File::open(folder.join("hindi510_ids.txt")).expect("the list lies in the folder");
    let reading = whole(&folder).subset("hindi510_ids.txt", list).expect("its movies are rated");
    let facts = reading.describe();
    assert_eq!((facts.users, facts.movies, facts.ratings), (754, 509, 16_825));
    assert_eq!((facts.labels.dislike, facts.labels.neutral, facts.labels.like), (1_899, 7_893, 7_033));
    assert_eq!((facts.missing.genre, facts.missing.year), (18, 25));
    assert_eq!(facts.users + facts.users_without_ratings, 924);
    assert_eq!((facts.users_of_one_label, facts.ratings_of_users_of_one_label), (85, 863));
    assert_eq!(reading.rejected, 1);
    assert!(reading.rejects[0].to_string().contains("tt0146336"), "{}", reading.rejects[0]);
    let comedy = facts.genres.iter().find(|genre| genre.genre == "Comedy").expect("a paper genre");
    assert_eq!(comedy.movies, 121);
    // Four forms of release date: the year is found in each.
    let year = |id| reading.dataset.movies[reading.dataset.movie_index(id).expect("in the list")].year;
    assert_eq!(year("tt5286444"), Some(2016));
}

#[test]
fn the_same_files_always_give_the_same_hash() {
    let Some(folder) = flickscore() else { return };
    let hash = whole(&folder).dataset.content_hash();
    assert_eq!(hash, whole(&folder).dataset.content_hash());
    assert_eq!(hash.len(), 64);
}

/// Reads one of the small cases; `None` after saying that the test is skipped.
fn case(name: &str) -> Option<crate::error::Result<Reading>> {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/cases")).join(name);
    if !folder.is_dir() {
        println!("skipped: no case at {}", folder.display());
        return None;
    }
    Some(read(&Folder::open(&folder).expect("the folder exists"), &ReadSettings::default()))
}

#[test]
fn ten_points_are_not_stars() {
    let Some(reading) = case("ten-point-scale") else { return };
    let reading = reading.expect("one scale");
    assert!(
        reading.read_as.contains("points from 1 to 10: at most 4 is dislike, at least 8 is like"),
        "{}",
        reading.read_as
    );
    assert_eq!((reading.dataset.label_counts(), reading.rejected), ([125, 650, 665], 0));
}

#[test]
fn delimiters_and_movielens_dat_are_read() {
    for (name, ratings) in [("delimiters/semicolon", 171), ("delimiters/tabs", 171), ("movielens-dat/ml1m", 171)] {
        let Some(reading) = case(name) else { return };
        let reading = reading.expect("one scale");
        assert!(reading.read_as.contains("read as stars"), "{}", reading.read_as);
        assert_eq!((reading.dataset.ratings.len(), reading.rejected), (ratings, 0), "{name}");
        assert!(reading.dataset.movies.len() >= 20 && reading.dataset.movies.iter().all(|movie| movie.year.is_some()));
    }
    let Some(reading) = case("movielens-dat/ml1m") else { return };
    let reading = reading.expect("valid");
    assert!(reading.dataset.movies.iter().any(|movie| movie.name == "Misérables, Les"));
    let Some(wide) = case("delimiters/utf16") else { return };
    assert!(wide.expect_err("UTF-16").to_string().contains("UTF-16: save the file as UTF-8"));
}

#[test]
fn genres_as_python_literals_are_read() {
    let Some(reading) = case("genres-as-python/tmdb") else { return };
    let reading = reading.expect("valid");
    assert_eq!(reading.rejected, 0, "{:?}", reading.rejects.first());
    assert_eq!(reading.dataset.movies[0].genres, ["Action", "Comedy"]);
    assert!(reading.notes[0].contains("\"vote_average\""), "{:?}", reading.notes);
}
