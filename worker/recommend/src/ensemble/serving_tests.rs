//! Users and movies that came after the fit, reasons, storage; and the linear baselines.

use super::linear_baselines::{Baseline, predict};
use super::*;
use crate::example::{Taste, example};
use jhalak_common::dataset::{Dataset, Label, Movie, Rating, User};
use jhalak_common::evaluation::metrics::predicted_class;
use std::sync::atomic::AtomicBool;

static GO: AtomicBool = AtomicBool::new(false);

fn quick(cold_start: ColdStart) -> Settings {
    let mut settings = Settings { profile_folds: 3, stack_folds: 2, known_rounds: 1, ..Settings::new(cold_start) };
    settings.boosting.rounds = 30;
    settings.extra_trees.trees = 10;
    settings
}

fn all(dataset: &Dataset) -> Vec<u32> {
    (0..dataset.ratings.len() as u32).collect()
}

/// Forty users who like one genre and dislike another, and an ensemble fitted on them.
fn fitted(cold_start: ColdStart) -> (Dataset, FittedEnsemble) {
    let dataset = example(40, 24, 9, Taste::Genre, 3);
    let fitted = fit(&dataset, &all(&dataset), &[], &quick(cold_start), 1, &GO).expect("it fits");
    (dataset, fitted)
}

#[test]
fn a_new_user_is_predicted_from_a_few_ratings_also_for_an_unrated_movie() {
    let (mut dataset, fitted) = fitted(ColdStart::User { known: 5 });
    let user = dataset.users.len() as u32;
    dataset.users.push(User { id: "u9999".to_owned(), ..User::default() });
    let of_genre = |genre: &str| {
        let has = |movie: &Movie| movie.genres.iter().any(|g| g == genre);
        (0..24).filter(|&m| has(&dataset.movies[m])).map(|m| m as u32).collect::<Vec<_>>()
    };
    let (comedies, actions) = (of_genre("Comedy"), of_genre("Action"));
    let only = |these: &[u32], not: &[u32]| these.iter().copied().filter(|m| !not.contains(m)).collect::<Vec<_>>();
    let (liked, disliked) = (only(&comedies, &actions), only(&actions, &comedies));
    for (movies, label) in [(&liked[..4], Label::Like), (&disliked[..4], Label::Dislike)] {
        movies.iter().for_each(|&movie| dataset.ratings.push(Rating { user, movie, label, half_stars: None }));
    }
    dataset.ratings.sort_unstable();
    let movie = dataset.movies.len() as u32;
    dataset.movies.push(Movie { id: "tt9999999".to_owned(), genres: vec!["Comedy".to_owned()], ..Movie::default() });
    let refitted = fitted.refitted_on(&dataset, &all(&dataset)).expect("the genres are the same");
    let p = refitted.predict(&[(user, liked[4]), (user, disliked[4]), (user, movie)]).expect("they exist");
    assert!(p[0][2] > p[1][2] && p[0][0] < p[1][0], "{p:?}");
    assert!(p[2].iter().all(|p| p.is_finite()));

    let reasons = refitted.reasons(user, liked[4], 3).expect("they exist");
    assert_eq!(reasons.similar.len(), 3);
    assert!(reasons.similar.is_sorted_by(|a, b| a.similarity >= b.similarity));
    assert_eq!(reasons.similar[0].label, Label::Like, "{reasons:?}");
    assert!(reasons.genres.iter().all(|genre| genre.rated >= 4 && genre.beyond_expected[2] > 0.0), "{reasons:?}");

    dataset.genres.push("Horror".to_owned());
    assert!(refitted.refitted_on(&dataset, &all(&dataset)).is_err());
}

#[test]
fn a_stored_ensemble_predicts_the_same_and_refuses_other_data() {
    let (mut dataset, fitted) = fitted(ColdStart::None);
    let pairs = [(0, 1), (3, 20), (39, 7)];
    let stored = serde_json::to_string(&fitted.store(&dataset, &all(&dataset))).expect("plain data");
    let read = || serde_json::from_str::<StoredEnsemble>(&stored).expect("as written");
    let restored = read().restore(&dataset).expect("the same dataset");
    assert_eq!(restored.predict(&pairs).expect("known"), fitted.predict(&pairs).expect("known"));
    assert_eq!((restored.class_weights(), restored.inner()), (fitted.class_weights(), fitted.inner()));
    let before = dataset.movies[0].year.replace(1999);
    assert!(read().restore(&dataset).expect_err("other content").to_string().contains("fit again"));
    let of_version = |version: &str| -> StoredEnsemble {
        let text = stored.replace("\"version\":3", &format!("\"version\":{version}"));
        serde_json::from_str(&text).expect("still readable")
    };
    assert!(of_version("4").restore(&dataset).expect_err("newer").to_string().contains("version 4"));
    assert!(of_version("1").restore(&dataset).expect_err("older").to_string().contains("version 1"));
    dataset.movies[0].year = before;
    assert!(of_version("2").restore(&dataset).is_ok(), "of the program before trailers");
}

#[test]
fn baselines_learn_user_and_movie_biases_only() {
    let mut dataset = example(60, 20, 12, Taste::Chance, 5);
    // A third likes everything, a third is neutral to everything but movie 0, which all dislike.
    for rating in &mut dataset.ratings {
        let label = if rating.user % 3 == 0 { Label::Like } else { Label::Neutral };
        rating.label = if rating.movie == 0 { Label::Dislike } else { label };
    }
    let train: Vec<u32> = all(&dataset).into_iter().filter(|pair| pair % 5 != 0).collect();
    let pairs = [(0, 5), (1, 5), (0, 0), (1, 0)];
    for baseline in [Baseline::Bias, Baseline::BiasClassWeighted, Baseline::MatrixFactorisation] {
        let (p, weights) = predict(&dataset, &train, &pairs, baseline, ColdStart::None, 1, &GO).expect("it fits");
        let classes: Vec<usize> = p.iter().map(predicted_class).collect();
        assert_eq!(classes, [2, 1, 0, 0], "{baseline:?} {p:?}");
        assert!(weights.iter().all(|w| *w > 0.0));
        assert!(predict(&dataset, &train, &[(0, 99)], baseline, ColdStart::None, 1, &GO).is_err());
        assert!(predict(&dataset, &[], &pairs, baseline, ColdStart::None, 1, &GO).is_err());
    }
}
