//! Changing a label that must not be seen changes no output; planted leaks are detected.

use super::features::knowledge::Catalogue;
use super::rows::{InnerFold, RowBuilder, Rows};
use super::settings::FactorisationSettings;
use super::views::{OutOfFoldView, out_of_fold_views};
use super::*;
use crate::RecommendError;
use crate::example::{Taste, example};
use jhalak_common::dataset::{Dataset, Label};
use jhalak_common::evaluation::metrics::predicted_class;
use jhalak_nn::seeded;
use std::sync::atomic::AtomicBool;

static GO: AtomicBool = AtomicBool::new(false);

/// Returns a small dataset, its training pairs, and the pairs held out for this cold start.
fn split(cold_start: ColdStart, taste: Taste) -> (Dataset, Vec<u32>, Vec<u32>) {
    let mut dataset = example(40, 24, 9, taste, 3);
    for (i, movie) in dataset.movies.iter_mut().enumerate() {
        movie.cast = vec![format!("actor {}", i % 7), format!("actor {}", i % 5)];
        movie.directors = vec![format!("director {}", i % 6)];
        movie.year = (i % 4 != 0).then(|| 1990 + i as i32);
        movie.description = format!("a story of {} and {}", ["love", "war", "song"][i % 3], ["home", "youth"][i % 2]);
        movie.languages = vec![["Hindi", "Urdu"][i % 2].to_owned()];
    }
    for (i, user) in dataset.users.iter_mut().enumerate() {
        user.attributes.insert("age".to_owned(), format!("{}", 20 + i));
        user.attributes.insert("job".to_owned(), ["student", "service"][i % 2].to_owned());
    }
    let mut seen = vec![0; dataset.users.len()];
    let (mut train, mut test) = (Vec::new(), Vec::new());
    for (pair, rating) in (0..).zip(&dataset.ratings) {
        let held = match cold_start {
            ColdStart::None => pair % 5 == 0,
            ColdStart::Item => rating.movie % 5 == 0,
            ColdStart::User { known } => {
                seen[rating.user as usize] += 1;
                rating.user % 5 == 0 && seen[rating.user as usize] > known
            }
        };
        if held { test.push(pair) } else { train.push(pair) }
    }
    (dataset, train, test)
}

/// Settings with every part, small enough for a test.
fn quick(cold_start: ColdStart) -> Settings {
    let mut settings = Settings { profile_folds: 3, stack_folds: 2, known_rounds: 1, ..Settings::new(cold_start) };
    settings.factors = 2;
    settings.factorisation = FactorisationSettings { factors: 2, sweeps: 6 };
    settings.text_dims = 2;
    settings.boosting.rounds = 8;
    settings.extra_trees.trees = 5;
    settings
}

const COLD_STARTS: [ColdStart; 4] =
    [ColdStart::None, ColdStart::Item, ColdStart::User { known: 0 }, ColdStart::User { known: 3 }];

fn other(label: Label) -> Label {
    if label == Label::Like { Label::Dislike } else { Label::Like }
}

fn user_movie(dataset: &Dataset, pairs: &[u32]) -> Vec<(u32, u32)> {
    pairs.iter().map(|&pair| (dataset.ratings[pair as usize].user, dataset.ratings[pair as usize].movie)).collect()
}

#[test]
fn labels_of_test_pairs_change_nothing() {
    for cold_start in COLD_STARTS {
        let (dataset, train, test) = split(cold_start, Taste::Genre);
        let mut changed = dataset.clone();
        test.iter()
            .for_each(|&pair| changed.ratings[pair as usize].label = other(dataset.ratings[pair as usize].label));
        let fitted = |dataset: &Dataset| fit(dataset, &train, &[], &quick(cold_start), 1, &GO).expect("it fits");
        let (a, b) = (fitted(&dataset), fitted(&changed));
        let pairs = user_movie(&dataset, &test);
        assert_eq!(a.predict(&pairs).expect("known"), b.predict(&pairs).expect("known"), "{cold_start:?}");
        assert_eq!(a.class_weights(), b.class_weights());
        assert_eq!(a.inner(), b.inner());
    }
}

/// Returns whether the row of a held-out pair changes with that pair's label, in any view.
fn leaks(dataset: &Dataset, views: &[OutOfFoldView], settings: &Settings) -> bool {
    let train: Vec<u32> = (0..dataset.ratings.len() as u32).collect();
    views.iter().any(|view| {
        let pair = view.held_out[view.held_out.len() / 2];
        let mut changed = dataset.clone();
        let label = &mut changed.ratings[pair as usize].label;
        *label = other(*label);
        let row = |dataset: &Dataset| {
            let catalogue = Catalogue::new(dataset, &train, Vec::new(), settings, 1);
            let builder = RowBuilder { dataset, catalogue: &catalogue, settings, seed: 1, stop: &GO };
            let rows = builder.rows(&view.known, &[pair]).expect("not stopped");
            (rows.features.values.iter().map(|x| x.to_bits()).collect::<Vec<_>>(), rows.hierarchical, rows.machine)
        };
        row(dataset) != row(&changed)
    })
}

/// Returns settings with one kind of feature each, so that one leak cannot hide behind another.
fn each_part() -> Vec<(Part, Settings)> {
    let features = &Part::ALL[..13];
    let only = |part: Part| {
        let without = features.iter().copied().filter(|&other| other != part).collect();
        let members = [Part::ExtraTrees, Part::Logistic, Part::HierarchicalAlone, Part::FactorisationAlone];
        Settings { without: [without, members.to_vec()].concat(), ..quick(ColdStart::None) }
    };
    features.iter().map(|&part| (part, only(part))).collect()
}

#[test]
fn no_feature_of_a_training_pair_depends_on_its_own_label() {
    for cold_start in COLD_STARTS {
        let (dataset, train, _) = split(cold_start, Taste::Genre);
        let views = out_of_fold_views(&dataset, &train, cold_start, 3, 1, &mut seeded(1, 0));
        for (part, settings) in each_part() {
            assert!(!leaks(&dataset, &views, &settings), "{part:?} under {cold_start:?}");
        }
    }
}

/// Returns the rows that members are fitted on, and the inner folds that they are scored on.
fn rows(dataset: &Dataset, train: &[u32], settings: &Settings) -> (Rows, Vec<InnerFold>) {
    let catalogue = Catalogue::new(dataset, train, Vec::new(), settings, 1);
    let builder = RowBuilder { dataset, catalogue: &catalogue, settings, seed: 1, stop: &GO };
    (builder.out_of_fold(train, 0).expect("not stopped"), builder.inner_folds(train).expect("not stopped"))
}

/// Returns the feature rows as bits.
fn bits(rows: &Rows) -> Vec<Vec<u32>> {
    (0..rows.features.rows()).map(|row| rows.features.row(row).iter().map(|x| x.to_bits()).collect()).collect()
}

/// Returns the rows whose labels differ.
fn relabelled(a: &Rows, b: &Rows) -> Vec<usize> {
    (0..a.labels.len()).filter(|&row| a.labels[row] != b.labels[row]).collect()
}

#[test]
fn rows_to_fit_on_do_not_depend_on_the_labels_they_are_scored_by() {
    // Folds of pairs are dealt by label, so a changed label would move other pairs: test the other
    // cold starts.
    for cold_start in &COLD_STARTS[1..] {
        let (dataset, train, _) = split(*cold_start, Taste::Genre);
        let settings = quick(*cold_start);
        let (fitted, inner_folds) = rows(&dataset, &train, &settings);
        let mut seen = 0;
        for &pair in [&train[20], &train[train.len() / 2], &train[train.len() - 20]] {
            let mut changed = dataset.clone();
            let label = &mut changed.ratings[pair as usize].label;
            *label = other(*label);
            let (fitted_then, inner_folds_then) = rows(&changed, &train, &settings);
            for row in relabelled(&fitted, &fitted_then) {
                seen += 1;
                assert_eq!(bits(&fitted)[row], bits(&fitted_then)[row], "{cold_start:?}");
            }
            for (inner_fold, then) in inner_folds.iter().zip(&inner_folds_then) {
                if !relabelled(&inner_fold.held_out, &then.held_out).is_empty() {
                    seen += 1;
                    assert_eq!(bits(&inner_fold.fit), bits(&then.fit), "{cold_start:?}: rows to fit on");
                    assert_eq!(bits(&inner_fold.held_out), bits(&then.held_out), "{cold_start:?}: held-out rows");
                }
            }
        }
        assert!(seen > 0, "{cold_start:?}: some of the pairs are held out");
    }
}

#[test]
fn a_planted_leak_is_detected_in_every_part_that_reads_labels() {
    let (dataset, train, _) = split(ColdStart::None, Taste::Genre);
    let mut views = out_of_fold_views(&dataset, &train, ColdStart::None, 3, 1, &mut seeded(1, 0));
    for view in &mut views {
        view.known = train.clone(); // the planted leak: held-out pairs are known
    }
    for (part, settings) in each_part() {
        let reads_labels = !matches!(part, Part::Content | Part::Attributes);
        assert_eq!(leaks(&dataset, &views, &settings), reads_labels, "{part:?}");
    }
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_seed_does_not() {
    let (dataset, train, test) = split(ColdStart::None, Taste::Genre);
    let predict = |seed| {
        let fitted = fit(&dataset, &train, &[], &quick(ColdStart::None), seed, &GO).expect("it fits");
        fitted.predict(&user_movie(&dataset, &test)).expect("known")
    };
    assert_eq!(predict(1), predict(1));
    assert_ne!(predict(1), predict(2));
}

#[test]
fn preferences_are_learned_and_random_labels_are_not() {
    let right = |taste| {
        let (dataset, train, test) = split(ColdStart::None, taste);
        let fitted = fit(&dataset, &train, &[], &quick(ColdStart::None), 1, &GO).expect("it fits");
        let predicted = fitted.predict(&user_movie(&dataset, &test)).expect("known");
        let hit = |(p, pair): (&[f32; 3], &u32)| predicted_class(p) == dataset.ratings[*pair as usize].label.index();
        predicted.iter().zip(&test).filter(|&both| hit(both)).count() as f64 / test.len() as f64
    };
    let (taste, chance) = (right(Taste::Genre), right(Taste::Chance));
    assert!(taste > 0.7, "users who like one genre and dislike another: {taste}");
    assert!(chance < 0.6, "half of the labels are neutral, the rest is chance: {chance}");
}

#[test]
fn invalid_settings_and_pairs_are_refused_by_name() {
    let (dataset, train, _) = split(ColdStart::None, Taste::Chance);
    let fails = |train: &[u32], settings: &Settings| {
        fit(&dataset, train, &[], settings, 1, &GO).map(|_| ()).expect_err("it must be refused").to_string()
    };
    assert!(fails(&[], &quick(ColdStart::None)).contains("too few"));
    assert!(fails(&train[..1], &quick(ColdStart::None)).contains("too few"));
    assert!(fails(&[1_000_000], &quick(ColdStart::None)).contains("rating 1000000"));
    let mut settings = quick(ColdStart::None);
    settings.boosting.rate = f64::NAN;
    assert!(fails(&train, &settings).contains("ensemble.boosting"));
    let fitted = fit(&dataset, &train, &[], &quick(ColdStart::None), 1, &GO).expect("it fits");
    assert!(fitted.predict(&[(0, 999)]).is_err());
    assert_eq!(fitted.predict(&[]).expect("nothing to do"), Vec::<[f32; 3]>::new());
}

#[test]
fn users_with_one_class_and_movies_without_metadata_are_predicted() {
    let (mut dataset, train, test) = split(ColdStart::User { known: 0 }, Taste::Genre);
    dataset.ratings.iter_mut().for_each(|rating| rating.label = Label::Like);
    dataset.movies.iter_mut().for_each(|movie| movie.genres.clear());
    let fitted = fit(&dataset, &train, &[], &quick(ColdStart::User { known: 0 }), 1, &GO).expect("it fits");
    let predicted = fitted.predict(&user_movie(&dataset, &test)).expect("known");
    assert!(predicted.iter().all(|p| p[2] > 0.8 && p.iter().all(|x| x.is_finite())), "{:?}", predicted[0]);
}

#[test]
fn a_stopped_fit_returns_stopped() {
    let (dataset, train, _) = split(ColdStart::None, Taste::Chance);
    let stop = AtomicBool::new(true);
    let stopped = fit(&dataset, &train, &[], &quick(ColdStart::None), 1, &stop).map(|_| ());
    assert_eq!(stopped, Err(RecommendError::Stopped));
}
