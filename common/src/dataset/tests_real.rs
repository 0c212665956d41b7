//! The real Flickscore files, if they are next to the checkout. Their counts are published.

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
    let files = Folder::open(folder).expect("the folder is there");
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
