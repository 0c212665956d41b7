//! Assigns the pairs of a dataset to given folds.

use std::collections::{BTreeMap, BTreeSet};

use super::given::{FoldsBy, GivenFold, GivenFolds};
use super::rows::{LocatedRow, Row};
use crate::dataset::normal_form::Dataset;
use crate::dataset::readers::reject::{Kind, Rejects, excerpt};
use crate::error::{Error, Result};

/// Of rows whose columns have no names, the largest part that may match nothing, in percent.
const MAX_GUESSED_PERCENT: u64 = 50;

/// Decides whether bare ids are users or movies: by all of them together, and if both are possible,
/// by the file names.
pub(super) fn decide_bare_ids(folds: &mut [(String, Vec<LocatedRow>)], dataset: &Dataset) {
    let bare = || {
        folds.iter().flat_map(|(_, rows)| rows).filter_map(|located| match &located.row {
            Row::Id(id) => Some((id.as_str(), located.file.to_ascii_lowercase())),
            _ => None,
        })
    };
    let users = bare().filter(|(id, _)| dataset.user_index(id).is_some()).count();
    let movies = bare().filter(|(id, _)| dataset.movie_index(id).is_some()).count();
    let called_movies =
        bare().all(|(_, file)| (file.contains("movie") || file.contains("item")) && !file.contains("user"));
    let are_movies = movies > users || (movies == users && movies > 0 && called_movies);
    for located in folds.iter_mut().flat_map(|(_, rows)| rows) {
        if let Row::Id(id) = &located.row {
            located.row = if are_movies { Row::Movie(id.clone()) } else { Row::User(id.clone()) };
        }
    }
}

/// Assigns the pairs of the dataset to the folds.
pub(super) fn assign(rows: Vec<(String, Vec<LocatedRow>)>, dataset: &Dataset) -> Result<GivenFolds> {
    let by = kind(&rows)?;
    let mut passed_over = Rejects::default();
    let mut taken: BTreeMap<u32, usize> = BTreeMap::new();
    let (mut folds, mut all_rows) = (Vec::new(), 0u64);
    // All rows and those that match nothing, of files whose columns have no names.
    let (mut guessed, mut guessed_passed_over) = (0u64, 0u64);
    let all = || (0u32..).zip(&dataset.ratings);
    let mut pairs_of_movie: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    if by == FoldsBy::Movies {
        all().for_each(|(pair, rating)| pairs_of_movie.entry(rating.movie).or_default().push(pair));
    }
    for (number, (name, rows)) in rows.iter().enumerate() {
        let mut test = BTreeSet::new();
        for LocatedRow { file, line, row, is_guessed } in rows {
            let (user, movie) = match row {
                Row::User(user) | Row::Id(user) => (Some(user), None),
                Row::Movie(movie) => (None, Some(movie)),
                Row::Pair(user, movie) => (Some(user), Some(movie)),
            };
            all_rows += 1;
            guessed += u64::from(*is_guessed);
            let place = |found: Option<usize>| found.and_then(|place| u32::try_from(place).ok());
            let user_place = place(user.and_then(|id| dataset.find_user(id)));
            let movie_place = place(movie.and_then(|id| dataset.find_movie(id)));
            let named: Vec<u32> = match (by, user_place, movie_place) {
                (FoldsBy::Users, Some(user), _) => {
                    let first = dataset.ratings.partition_point(|rating| rating.user < user);
                    all().skip(first).take_while(|(_, rating)| rating.user == user).map(|(pair, _)| pair).collect()
                }
                (FoldsBy::Movies, _, Some(movie)) => pairs_of_movie.get(&movie).cloned().unwrap_or_default(),
                (FoldsBy::Pairs, Some(user), Some(movie)) => {
                    let place = dataset.ratings.binary_search_by_key(&(user, movie), |r| (r.user, r.movie));
                    place.ok().and_then(|place| u32::try_from(place).ok()).into_iter().collect()
                }
                _ => Vec::new(),
            };
            let subject = || [user, movie].into_iter().flatten().map(|id| excerpt(id)).collect::<Vec<_>>().join(", ");
            if named.is_empty() {
                guessed_passed_over += u64::from(*is_guessed);
                passed_over.add(Kind::Other, file, Some(*line), subject(), "the dataset has no such rating");
            }
            for pair in named {
                let other = *taken.entry(pair).or_insert(number);
                if other != number {
                    let other = folds.get(other).map_or("", |fold: &GivenFold| fold.name.as_str());
                    let what = format!("{file} line {line}: {}", subject());
                    return Err(Error::invalid(format!(
                        "{what} is already tested by the fold {}: each pair is tested once",
                        excerpt(other)
                    )));
                }
                test.insert(pair);
            }
        }
        folds.push(GivenFold { name: name.clone(), test: test.into_iter().collect() });
    }
    let known = folds.iter().any(|fold| !fold.test.is_empty());
    if let Some(empty) = folds.iter().find(|fold| fold.test.is_empty()) {
        let first = passed_over.listed.first().map_or_else(String::new, |reject| format!("; {reject}"));
        let what = if known {
            format!("the fold {} tests nothing", excerpt(&empty.name))
        } else {
            "nothing is tested".to_owned()
        };
        return Err(Error::invalid(format!("{what}{first}{}", example(dataset))));
    }
    if guessed_passed_over * 100 > guessed * MAX_GUESSED_PERCENT {
        let first = passed_over.listed.first().map_or_else(String::new, |reject| format!("; {reject}"));
        return Err(Error::invalid(format!(
            "{guessed_passed_over} of {guessed} rows match nothing in the dataset{first}; the columns have no names, so the \
             first two were taken for user and movie: add a header with fold, user and movie{}",
            example(dataset)
        )));
    }
    // Folds of a superset of the dataset are accepted; folds of another dataset are not.
    if passed_over.count * 10 > all_rows * 9 {
        let first = passed_over.listed.first().map_or_else(String::new, |reject| format!("; {reject}"));
        return Err(Error::invalid(format!(
            "{} of {all_rows} rows match nothing in the dataset{first}{}",
            passed_over.count,
            example(dataset)
        )));
    }
    Ok(GivenFolds { by, folds, passed_over: passed_over.listed, passed_over_rows: passed_over.count, validation: 0 })
}

/// Example ids of the dataset, for a message.
fn example(dataset: &Dataset) -> String {
    dataset.ratings.first().map_or_else(String::new, |rating| {
        let (user, movie) = (&dataset.users[rating.user as usize].id, &dataset.movies[rating.movie as usize].id);
        format!("; the dataset's ids are like user {user}, movie {movie}")
    })
}

/// Returns what all rows identify.
fn kind(rows: &[(String, Vec<LocatedRow>)]) -> Result<FoldsBy> {
    let mut found: Option<(FoldsBy, &LocatedRow)> = None;
    for located in rows.iter().flat_map(|(_, rows)| rows) {
        let by = match &located.row {
            Row::Pair(..) => FoldsBy::Pairs,
            Row::User(_) | Row::Id(_) => FoldsBy::Users,
            Row::Movie(_) => FoldsBy::Movies,
        };
        match found {
            Some((other, first)) if other != by => {
                return Err(Error::invalid(format!(
                    "{} line {} names {}, {} line {} {}: all rows must be of one kind",
                    first.file,
                    first.line,
                    other.name(),
                    located.file,
                    located.line,
                    by.name()
                )));
            }
            Some(_) => {}
            None => found = Some((by, located)),
        }
    }
    found.map(|(by, _)| by).ok_or_else(|| Error::invalid("there are no rows"))
}
