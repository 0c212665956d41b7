//! Trailers reach the ensemble: a taste that only their sound shows is learned for unrated movies.

use super::*;
use crate::example::{Taste, example};
use crate::features::embedding::EmbeddingTable;
use crate::features::principal_components::Track;
use jhalak_common::dataset::{Dataset, Label};
use jhalak_nn::{seeded, shuffle};
use std::sync::atomic::AtomicBool;

static GO: AtomicBool = AtomicBool::new(false);

/// Everybody likes loud movies; every ninth movie has no trailer.
fn planted() -> (Dataset, EmbeddingTable) {
    let mut dataset = example(60, 90, 25, Taste::Chance, 1);
    let random = &mut seeded(5, 0);
    let loud: Vec<bool> = dataset.movies.iter().map(|_| random.below(2) == 0).collect();
    for rating in &mut dataset.ratings {
        rating.label = if loud[rating.movie as usize] { Label::Like } else { Label::Dislike };
    }
    let row = |(i, &loud): (usize, &bool)| {
        let level = if loud { 1.0 } else { -1.0 };
        let row = [level, -level, 0.0].map(|x| x + 0.3 * random.normal());
        (!i.is_multiple_of(9)).then(|| row.to_vec())
    };
    let rows = loud.iter().enumerate().map(row).collect();
    (dataset, EmbeddingTable { dim: 3, rows })
}

/// Returns the share of right predictions for the unrated movies that have a trailer.
fn right(dataset: &Dataset, table: Option<&EmbeddingTable>) -> f64 {
    let (test, train): (Vec<u32>, Vec<u32>) =
        (0..dataset.ratings.len() as u32).partition(|&pair| dataset.ratings[pair as usize].movie.is_multiple_of(4));
    let mut settings = Settings { profile_folds: 3, stack_folds: 2, ..Settings::new(ColdStart::Item) };
    settings.boosting.rounds = 40;
    settings.extra_trees.trees = 20;
    let trailers: Vec<_> = table.map(|table| (Track::Audio, table)).into_iter().collect();
    let fitted = fit(dataset, &train, &trailers, &settings, 1, &GO).expect("it fits");
    let tested: Vec<_> =
        test.iter().map(|&pair| dataset.ratings[pair as usize]).filter(|r| !r.movie.is_multiple_of(9)).collect();
    let pairs: Vec<(u32, u32)> = tested.iter().map(|rating| (rating.user, rating.movie)).collect();
    let predicted = fitted.predict(&pairs).expect("known");
    assert!(fitted.predict(&[(0, 0)]).expect("a movie without a trailer")[0].iter().all(|p| p.is_finite()));
    let hits = predicted.iter().zip(&tested).filter(|(p, rating)| (p[2] > p[0]) == (rating.label == Label::Like));
    hits.count() as f64 / tested.len() as f64
}

#[test]
fn sound_predicts_unrated_movies_and_shuffled_sound_does_not() {
    let (dataset, table) = planted();
    let with = right(&dataset, Some(&table));
    assert!(with > 0.9, "{with}");
    assert!(right(&dataset, None) < 0.75);
    let mut rows: Vec<_> = table.rows.iter().flatten().cloned().collect();
    shuffle(&mut rows, &mut seeded(2, 0));
    let mut shuffled = table.clone();
    shuffled.rows.iter_mut().flatten().zip(rows).for_each(|(to, row)| *to = row);
    assert!(right(&dataset, Some(&shuffled)) < 0.75);
}
