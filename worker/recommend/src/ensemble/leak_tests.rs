//! Labels that must not be seen are changed, and nothing may change with them; leaks are planted, and must be noticed.

use super::*;
use crate::example::{Taste, example};
use jhalak_common::dataset::Label;

static GO: AtomicBool = AtomicBool::new(false);

/// A small dataset, its training pairs, and the pairs held out as the regime says.
fn split(regime: Regime, taste: Taste) -> (Dataset, Vec<u32>, Vec<u32>) {
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
        let held = match regime {
            Regime::Pairs => pair % 5 == 0,
            Regime::Movies => rating.movie % 5 == 0,
            Regime::Users { known } => {
                seen[rating.user as usize] += 1;
                rating.user % 5 == 0 && seen[rating.user as usize] > known
            }
        };
        if held { test.push(pair) } else { train.push(pair) }
    }
    (dataset, train, test)
}

/// Everything on, and small enough for a test.
fn quick(regime: Regime) -> Settings {
    let mut settings = Settings { profile_folds: 3, stack_folds: 2, known_rounds: 1, ..Settings::new(regime) };
    settings.factors = 2;
    settings.text_dims = 2;
    settings.boosting.rounds = 8;
    settings.extra_trees.trees = 5;
    settings
}

const REGIMES: [Regime; 4] = [Regime::Pairs, Regime::Movies, Regime::Users { known: 0 }, Regime::Users { known: 3 }];

fn other(label: Label) -> Label {
    if label == Label::Like { Label::Dislike } else { Label::Like }
}

fn ask(dataset: &Dataset, pairs: &[u32]) -> Vec<(u32, u32)> {
    pairs.iter().map(|&pair| (dataset.ratings[pair as usize].user, dataset.ratings[pair as usize].movie)).collect()
}

#[test]
fn labels_of_test_pairs_change_nothing() {
    for regime in REGIMES {
        let (dataset, train, test) = split(regime, Taste::Genre);
        let mut changed = dataset.clone();
        test.iter()
            .for_each(|&pair| changed.ratings[pair as usize].label = other(dataset.ratings[pair as usize].label));
        let fitted = |dataset: &Dataset| fit(dataset, &train, &quick(regime), 1, &GO).expect("it fits");
        let (a, b) = (fitted(&dataset), fitted(&changed));
        let ask = ask(&dataset, &test);
        assert_eq!(a.predict(&ask).expect("known"), b.predict(&ask).expect("known"), "{regime:?}");
        assert_eq!(a.balance(), b.balance());
        assert_eq!(a.inner(), b.inner());
    }
}

/// Whether the description of any pair that a view is asked about changes with that pair's label.
fn leaks(dataset: &Dataset, views: &[views::View], settings: &Settings) -> bool {
    let train: Vec<u32> = (0..dataset.ratings.len() as u32).collect();
    views.iter().any(|view| {
        let pair = view.asked[view.asked.len() / 2];
        let mut changed = dataset.clone();
        let label = &mut changed.ratings[pair as usize].label;
        *label = other(*label);
        let describe = |dataset: &Dataset| {
            let catalogue = Catalogue::new(dataset, &train, settings, 1);
            let about = About { dataset, catalogue: &catalogue, settings, seed: 1, stop: &GO };
            let rows = about.ask(&view.known, &[pair]).expect("nobody stops it");
            (rows.features.values.iter().map(|x| x.to_bits()).collect::<Vec<_>>(), rows.hierarchical)
        };
        describe(dataset) != describe(&changed)
    })
}

/// Every kind of feature by itself, so that a leak in one cannot hide behind another.
fn each_part() -> Vec<(Part, Settings)> {
    let features = &Part::ALL[..11];
    let only = |part: Part| {
        let without = features.iter().copied().filter(|&other| other != part).collect();
        let members = [Part::ExtraTrees, Part::Logistic, Part::HierarchicalAlone];
        Settings { without: [without, members.to_vec()].concat(), ..quick(Regime::Pairs) }
    };
    features.iter().map(|&part| (part, only(part))).collect()
}

#[test]
fn no_part_describes_a_training_pair_by_its_own_label() {
    for regime in REGIMES {
        let (dataset, train, _) = split(regime, Taste::Genre);
        let views = views::views(&dataset, &train, regime, 3, 1, &mut seeded(1, 0));
        for (part, settings) in each_part() {
            assert!(!leaks(&dataset, &views, &settings), "{part:?} under {regime:?}");
        }
    }
}

/// The rows that the second level is fitted on, and those that it is judged on.
fn rows(dataset: &Dataset, train: &[u32], settings: &Settings) -> (Rows, Vec<(Rows, Rows)>) {
    let catalogue = Catalogue::new(dataset, train, settings, 1);
    let about = About { dataset, catalogue: &catalogue, settings, seed: 1, stop: &GO };
    (about.held_out(train, 0).expect("nobody stops it"), about.trials(train).expect("nobody stops it"))
}

/// The rows of features, to the bit.
fn bits(rows: &Rows) -> Vec<Vec<u32>> {
    (0..rows.features.rows()).map(|row| rows.features.row(row).iter().map(|x| x.to_bits()).collect()).collect()
}

/// The rows whose labels differ.
fn moved(a: &Rows, b: &Rows) -> Vec<usize> {
    (0..a.labels.len()).filter(|&row| a.labels[row] != b.labels[row]).collect()
}

#[test]
fn neither_fitted_rows_nor_trials_see_the_labels_they_are_judged_by() {
    // Folds of pairs are dealt by label, so that a changed label would move others: here only what is held out differs.
    for regime in &REGIMES[1..] {
        let (dataset, train, _) = split(*regime, Taste::Genre);
        let settings = quick(*regime);
        let (fitted, trials) = rows(&dataset, &train, &settings);
        let mut seen = 0;
        for &pair in [&train[20], &train[train.len() / 2], &train[train.len() - 20]] {
            let mut changed = dataset.clone();
            let label = &mut changed.ratings[pair as usize].label;
            *label = other(*label);
            let (fitted_then, trials_then) = rows(&changed, &train, &settings);
            for row in moved(&fitted, &fitted_then) {
                seen += 1;
                assert_eq!(bits(&fitted)[row], bits(&fitted_then)[row], "{regime:?}");
            }
            for ((fit, asked), (fit_then, asked_then)) in trials.iter().zip(&trials_then) {
                if !moved(asked, asked_then).is_empty() {
                    seen += 1;
                    assert_eq!(
                        bits(fit),
                        bits(fit_then),
                        "{regime:?}: rows to fit on know nothing of those asked about"
                    );
                    assert_eq!(bits(asked), bits(asked_then), "{regime:?}");
                }
            }
        }
        assert!(seen > 0, "{regime:?}: some of the pairs are asked about");
    }
}

#[test]
fn a_planted_leak_is_noticed_in_every_part_that_reads_labels() {
    let (dataset, train, _) = split(Regime::Pairs, Taste::Genre);
    let mut views = views::views(&dataset, &train, Regime::Pairs, 3, 1, &mut seeded(1, 0));
    for view in &mut views {
        view.known = train.clone(); // the planted leak: what is asked is known
    }
    for (part, settings) in each_part() {
        let reads_labels = !matches!(part, Part::Content | Part::Attributes);
        assert_eq!(leaks(&dataset, &views, &settings), reads_labels, "{part:?}");
    }
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_seed_does_not() {
    let (dataset, train, test) = split(Regime::Pairs, Taste::Genre);
    let predict = |seed| {
        let fitted = fit(&dataset, &train, &quick(Regime::Pairs), seed, &GO).expect("it fits");
        fitted.predict(&ask(&dataset, &test)).expect("known")
    };
    assert_eq!(predict(1), predict(1));
    assert_ne!(predict(1), predict(2));
}

#[test]
fn taste_is_learned_and_chance_is_not() {
    let right = |taste| {
        let (dataset, train, test) = split(Regime::Pairs, taste);
        let fitted = fit(&dataset, &train, &quick(Regime::Pairs), 1, &GO).expect("it fits");
        let predicted = fitted.predict(&ask(&dataset, &test)).expect("known");
        let hit = |(p, pair): (&[f32; 3], &u32)| predicted_class(p) == dataset.ratings[*pair as usize].label.index();
        predicted.iter().zip(&test).filter(|&both| hit(both)).count() as f64 / test.len() as f64
    };
    let (taste, chance) = (right(Taste::Genre), right(Taste::Chance));
    assert!(taste > 0.7, "users who like one genre and dislike another: {taste}");
    assert!(chance < 0.6, "half of the labels are neutral, the rest is chance: {chance}");
}

#[test]
fn what_cannot_be_fitted_is_refused_with_advice() {
    let (dataset, train, _) = split(Regime::Pairs, Taste::Chance);
    let fails = |train: &[u32], settings: &Settings| {
        fit(&dataset, train, settings, 1, &GO).map(|_| ()).expect_err("it must be refused").to_string()
    };
    assert!(fails(&[], &quick(Regime::Pairs)).contains("too few"));
    assert!(fails(&train[..1], &quick(Regime::Pairs)).contains("too few"));
    assert!(fails(&[1_000_000], &quick(Regime::Pairs)).contains("no rating 1000000"));
    let mut settings = quick(Regime::Pairs);
    settings.boosting.rate = f64::NAN;
    assert!(fails(&train, &settings).contains("honest.boosting"));
    let fitted = fit(&dataset, &train, &quick(Regime::Pairs), 1, &GO).expect("it fits");
    assert!(fitted.predict(&[(0, 999)]).is_err());
    assert_eq!(fitted.predict(&[]).expect("nothing to do"), Vec::<[f32; 3]>::new());
}

#[test]
fn users_of_one_class_and_movies_without_anything_are_described() {
    let (mut dataset, train, test) = split(Regime::Users { known: 0 }, Taste::Genre);
    dataset.ratings.iter_mut().for_each(|rating| rating.label = Label::Like);
    dataset.movies.iter_mut().for_each(|movie| movie.genres.clear());
    let fitted = fit(&dataset, &train, &quick(Regime::Users { known: 0 }), 1, &GO).expect("it fits");
    let predicted = fitted.predict(&ask(&dataset, &test)).expect("known");
    assert!(predicted.iter().all(|p| p[2] > 0.8 && p.iter().all(|x| x.is_finite())), "{:?}", predicted[0]);
}

#[test]
fn a_stopped_fit_says_so() {
    let (dataset, train, _) = split(Regime::Pairs, Taste::Chance);
    let stop = AtomicBool::new(true);
    let stopped = fit(&dataset, &train, &quick(Regime::Pairs), 1, &stop).map(|_| ());
    assert_eq!(stopped, Err(RecommendError::Stopped));
}
