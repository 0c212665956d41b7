//! Computes the figures of single models from the results of their folds.

use std::collections::{BTreeMap, BTreeSet};

use jhalak_common::dataset::{Dataset, Label};
use jhalak_common::evaluation::metrics::predicted_class;
use jhalak_common::evaluation::{FoldResult, Prediction};

use crate::report::{Bin, Learning, ModelFigures, Part};

/// Bins of confidence, of equal width from 0 to 1.
const BINS: usize = 10;
/// Most genres that are listed.
const MAX_GENRES: usize = 24;

/// Returns the figures of a model over its folds. `dataset` is the one that the folds number.
pub(super) fn figures(column: String, row: String, folds: &[FoldResult], dataset: &Dataset) -> ModelFigures {
    let learning = folds.iter().filter(|fold| fold.train_losses.len() > 1).map(|fold| Learning {
        fold: fold.fold,
        best_epoch: fold.best_epoch,
        training: fold.train_losses.clone(),
        validation: fold.validation_losses.clone(),
    });
    ModelFigures {
        column,
        row,
        learning: learning.collect(),
        reliability: reliability(folds),
        genres: by_genre(folds, dataset),
        activity: by_activity(folds, dataset),
    }
}

fn predictions(folds: &[FoldResult]) -> impl Iterator<Item = &Prediction> {
    folds.iter().flat_map(|fold| &fold.predictions)
}

fn is_right(one: &Prediction) -> bool {
    predicted_class(&one.probabilities) == one.actual.index()
}

fn reliability(folds: &[FoldResult]) -> Vec<Bin> {
    let mut bins = [(0u64, 0.0, 0u64); BINS];
    for one in predictions(folds) {
        let confidence = f64::from(one.probabilities[predicted_class(&one.probabilities)]);
        let bin = &mut bins[((confidence * BINS as f64) as usize).min(BINS - 1)];
        *bin = (bin.0 + 1, bin.1 + confidence, bin.2 + u64::from(is_right(one)));
    }
    let filled = bins.into_iter().filter(|bin| bin.0 > 0);
    filled
        .map(|(pairs, confidence, right)| Bin {
            pairs,
            confidence: confidence / pairs as f64,
            accuracy: right as f64 / pairs as f64,
        })
        .collect()
}

/// Counts of a part: pairs of each class, and those predicted right.
#[derive(Clone, Default)]
struct Counts {
    classes: [u64; Label::ALL.len()],
    right: u64,
}

impl Counts {
    fn add(&mut self, one: &Prediction) {
        self.classes[one.actual.index()] += 1;
        self.right += u64::from(is_right(one));
    }

    fn part(&self, name: String) -> Option<Part> {
        let pairs: u64 = self.classes.iter().sum();
        let most = self.classes.iter().copied().max().unwrap_or(0);
        (pairs > 0).then(|| Part {
            name,
            pairs,
            accuracy: self.right as f64 / pairs as f64,
            commonest: most as f64 / pairs as f64,
        })
    }
}

/// Returns the genres by their number of pairs, the most first.
fn by_genre(folds: &[FoldResult], dataset: &Dataset) -> Vec<Part> {
    let tested: BTreeSet<u32> = predictions(folds).map(|one| one.movie).collect();
    let movies = (0u32..).zip(dataset.movies.scan()).filter(|(index, _)| tested.contains(index));
    let genres_of: BTreeMap<u32, Vec<String>> =
        movies.map(|(index, movie)| (index, movie.into_owned().genres)).collect();
    let mut genres: Vec<&str> = genres_of.values().flatten().map(String::as_str).collect();
    genres.sort_unstable();
    genres.dedup();
    let mut counts = vec![Counts::default(); genres.len()];
    for one in predictions(folds) {
        for genre in genres_of.get(&one.movie).into_iter().flatten() {
            if let Ok(place) = genres.binary_search(&genre.as_str()) {
                counts[place].add(one);
            }
        }
    }
    let mut parts: Vec<Part> =
        genres.iter().zip(&counts).filter_map(|(genre, counts)| counts.part((*genre).to_owned())).collect();
    parts.sort_by(|a, b| b.pairs.cmp(&a.pairs).then_with(|| a.name.cmp(&b.name)));
    parts.truncate(MAX_GENRES);
    parts
}

/// Returns up to three groups of viewers with as many viewers each, the ones with the fewest
/// ratings first. Viewers with equally many ratings are in one group.
fn by_activity(folds: &[FoldResult], dataset: &Dataset) -> Vec<Part> {
    let mut ratings = vec![0u64; dataset.users.len()];
    for rating in &dataset.ratings {
        if let Some(count) = ratings.get_mut(rating.user as usize) {
            *count += 1;
        }
    }
    let mut sorted: Vec<u64> = ratings.iter().copied().filter(|count| *count > 0).collect();
    sorted.sort_unstable();
    let (Some(&first), Some(&last)) = (sorted.first(), sorted.last()) else { return Vec::new() };
    // The most ratings of each group.
    let mut ends = vec![sorted[(sorted.len() - 1) / 3], sorted[2 * (sorted.len() - 1) / 3], last];
    ends.dedup();
    let mut counts = vec![Counts::default(); ends.len()];
    for one in predictions(folds) {
        let Some(count) = ratings.get(one.user as usize) else { continue };
        if let Some(group) = ends.iter().position(|end| count <= end) {
            counts[group].add(one);
        }
    }
    let name = |group: usize| {
        let from = if group == 0 { first } else { ends[group - 1] + 1 };
        match from == ends[group] {
            true => format!("{from} ratings"),
            false => format!("{from} to {} ratings", ends[group]),
        }
    };
    counts.iter().enumerate().filter_map(|(group, counts)| counts.part(name(group))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use jhalak_common::dataset::{Movie, Rating, User};

    /// Ten viewers with 1 to 10 ratings; every second movie is a comedy, and comedies are
    /// predicted.
    fn case() -> (Vec<FoldResult>, Dataset) {
        let movie = |n: u32| Movie {
            id: format!("m{n}"),
            genres: vec![if n.is_multiple_of(2) { "Comedy" } else { "Drama" }.to_owned()],
            ..Movie::default()
        };
        let pairs = || (0..10u32).flat_map(|user| (0..=user).map(move |movie| (user, movie)));
        let dataset = Dataset {
            name: "d".into(),
            synthetic: true,
            movies: (0..10).map(movie).collect(),
            users: (0..10).map(|n| User { id: format!("u{n}"), ..User::default() }).collect(),
            ratings: pairs()
                .map(|(user, movie)| Rating { user, movie, label: Label::Like, half_stars: None })
                .collect(),
            times: Vec::new(),
            genres: Vec::new(),
        };
        let predictions = pairs().map(|(user, movie)| Prediction {
            user,
            movie,
            actual: Label::Like,
            probabilities: if movie.is_multiple_of(2) { [0.1, 0.15, 0.75] } else { [0.55, 0.25, 0.2] },
        });
        let fold =
            FoldResult { predictions: predictions.collect(), train_losses: vec![2.0, 1.0], ..FoldResult::default() };
        (vec![fold], dataset)
    }

    #[test]
    fn parts_of_the_pairs_have_their_own_accuracy() {
        let (folds, dataset) = case();
        let found = figures("strict".into(), "a".into(), &folds, &dataset);
        let named: Vec<(&str, u64, f64)> =
            found.genres.iter().map(|p| (p.name.as_str(), p.pairs, p.accuracy)).collect();
        assert_eq!(named, [("Comedy", 30, 1.0), ("Drama", 25, 0.0)]);
        let groups: Vec<(&str, u64)> = found.activity.iter().map(|p| (p.name.as_str(), p.pairs)).collect();
        assert_eq!(groups, [("1 to 4 ratings", 10), ("5 to 7 ratings", 18), ("8 to 10 ratings", 27)]);
        let bins: Vec<(u64, f64)> = found.reliability.iter().map(|bin| (bin.pairs, bin.accuracy)).collect();
        assert_eq!(bins, [(25, 0.0), (30, 1.0)]);
        assert_eq!(found.learning.len(), 1);
    }
}
