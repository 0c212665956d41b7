//! Whole folds on small generated datasets: what is learned, what does not leak, what is refused.

use crate::cell::*;
use crate::example::{Taste, example};
use crate::features::embedding::EmbeddingTable;
use crate::{CLASSES, RecommendError};
use jhalak_common::dataset::{Dataset, Label};
use jhalak_common::evaluation::PUBLISHED_UPSAMPLING;
use jhalak_common::evaluation::metrics::{CellMetrics, summarise};
use jhalak_nn::{Schedule, TrainError, seeded};
use std::sync::atomic::AtomicBool;

const CLASSIFIER: Model = Model::Classifier { heads: 4 };
const PAIRS: Split = Split::Pairs;

fn run(dataset: &Dataset, features: &Features, spec: &CellSpec) -> CellMetrics {
    let stop = AtomicBool::new(false);
    let fold = |fold| run_fold(dataset, features, spec, fold, &stop).expect("the fold runs");
    summarise(&(0..spec.folds).map(fold).collect::<Vec<_>>())
}

fn fails(dataset: &Dataset, features: &Features, spec: &CellSpec) -> RecommendError {
    run_fold(dataset, features, spec, 0, &AtomicBool::new(false)).expect_err("the fold must be refused")
}

/// A cell that trains in well under a second.
fn quick(spec: CellSpec) -> CellSpec {
    let mut spec = spec;
    spec.training.fit.epochs = 30;
    spec.training.balance = Balance::None;
    spec
}

/// Returns random rows of `dim` numbers, one for each movie.
fn noise(dataset: &Dataset, dim: usize, seed: u64) -> EmbeddingTable {
    let random = &mut seeded(seed, 0);
    EmbeddingTable {
        dim,
        rows: dataset.movies.iter().map(|_| Some((0..dim).map(|_| random.normal()).collect())).collect(),
    }
}

#[test]
fn both_networks_learn_genre_preferences_under_strict() {
    let dataset = example(60, 40, 20, Taste::Genre, 1);
    let majority = run(
        &dataset,
        &Features::default(),
        &CellSpec::strict(PAIRS, Modality::Genre, Model::Majority, UserEmbedding::Liked, true),
    );
    for model in [CLASSIFIER, Model::Ann] {
        let spec = quick(CellSpec::strict(PAIRS, Modality::Genre, model, UserEmbedding::Liked, true));
        let metrics = run(&dataset, &Features::default(), &spec);
        let (got, floor) = (metrics.accuracy.mean, majority.accuracy.mean);
        assert!(got > floor + 0.2, "{model:?}: {got} against a majority of {floor}");
    }
}

/// With random labels, a model that beats the majority baseline has seen the label.
///
/// Users have few ratings, so that one label more or less changes their profiles.
#[test]
fn random_labels_are_not_predicted_under_strict() {
    let dataset = example(300, 60, 5, Taste::Chance, 2);
    let mut features = Features { video: Some(noise(&dataset, 16, 3)), audio: None, ..Features::default() };
    features.audio.clone_from(&features.video);
    for (modality, model) in
        [(Modality::Genre, CLASSIFIER), (Modality::Video, CLASSIFIER), (Modality::AudioVideo, Model::Ann)]
    {
        for user_embedding in [UserEmbedding::Liked, UserEmbedding::All] {
            let spec = quick(CellSpec::strict(PAIRS, modality, model, user_embedding, true));
            let majority = run(&dataset, &features, &CellSpec { model: Model::Majority, ..spec.clone() }).accuracy.mean;
            let strict = run(&dataset, &features, &spec).accuracy.mean;
            println!("{modality} {user_embedding:?}: strict {strict:.3}, majority {majority:.3}");
            assert!(
                strict <= majority + 0.02,
                "{modality} {user_embedding:?}: strict {strict} beats the majority {majority}"
            );
        }
    }
}

/// Random labels with one planted erratum at a time: the test above would detect these leaks.
#[test]
fn each_planted_leak_is_detected() {
    // Copies of a dislike on both sides are most visible where users have one or two ratings.
    let leaks = [
        (CLASSIFIER, 5, Balance::None, Errata { own_label: true, ..Errata::none() }),
        (Model::UserMajority, 2, PUBLISHED_UPSAMPLING, Errata { upsample_before_split: true, ..Errata::none() }),
    ];
    for (model, each, balance, errata) in leaks {
        let mut dataset = example(1500 / each, 60, each, Taste::Chance, 2);
        // Dislikes are rare, as in the paper: only rare dislikes are copied.
        let dislikes = dataset.ratings.iter_mut().filter(|rating| rating.label == Label::Dislike);
        dislikes.enumerate().filter(|(i, _)| i % 3 > 0).for_each(|(_, rating)| rating.label = Label::Like);
        let mut spec = CellSpec::strict(PAIRS, Modality::Genre, model, UserEmbedding::Liked, true);
        spec.training.balance = balance;
        spec.folds = 2;
        spec.protocol = Protocol::Paper { errata };
        let accuracy = |spec: &CellSpec| run(&dataset, &Features::default(), spec).accuracy.mean;
        let (leaked, majority) = (accuracy(&spec), accuracy(&CellSpec { model: Model::Majority, ..spec.clone() }));
        let strict = CellSpec { protocol: Protocol::Strict { split: PAIRS }, ..quick(spec) };
        let (strict_accuracy, floor) =
            (accuracy(&strict), accuracy(&CellSpec { model: Model::Majority, ..strict.clone() }));
        println!("{errata:?}: {leaked:.3}, majority {majority:.3}; strict {strict_accuracy:.3}, majority {floor:.3}");
        assert!(leaked > majority + 0.05, "the planted {errata:?} is not detected: {leaked} against {majority}");
        assert!(strict_accuracy < floor + 0.02, "strict must not have this leak: {strict_accuracy} against {floor}");
    }
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let dataset = example(40, 12, 8, Taste::Genre, 4);
    let features =
        Features { video: Some(noise(&dataset, 10, 1)), audio: Some(noise(&dataset, 7, 2)), ..Features::default() };
    let mut spec = quick(CellSpec::published(Modality::AudioVideo, CLASSIFIER, UserEmbedding::LikedDisliked, true));
    spec.training.fit.epochs = 3;
    let bytes = |spec: &CellSpec| {
        let result = run_fold(&dataset, &features, spec, 1, &AtomicBool::new(false)).expect("the fold runs");
        serde_json::to_vec(&result).expect("a result can be written")
    };
    assert_eq!(bytes(&spec), bytes(&spec));
    assert_ne!(bytes(&spec), bytes(&CellSpec { seed: 1, ..spec.clone() }));
    let text = serde_json::to_string(&spec).expect("a cell can be written");
    assert_eq!(serde_json::from_str::<CellSpec>(&text).expect("a cell can be read"), spec);
}

#[test]
fn every_cell_of_a_tiny_dataset_runs() {
    let dataset = example(40, 12, 8, Taste::Genre, 5);
    let features =
        Features { video: Some(noise(&dataset, 24, 1)), audio: Some(noise(&dataset, 24, 2)), ..Features::default() };
    for modality in [Modality::Video, Modality::Audio, Modality::AudioVideo, Modality::Genre] {
        for model in [CLASSIFIER, Model::Ann, Model::Majority, Model::UserMajority, Model::ItemMajority] {
            for split in [Split::Pairs, Split::Movies, Split::Users { known: 2 }] {
                for gl in [true, false] {
                    let mut spec = CellSpec::strict(split, modality, model, UserEmbedding::LikedNeutral, gl);
                    spec.training.fit.epochs = 2;
                    let metrics = run(&dataset, &features, &spec);
                    let tested: u64 = metrics.confusion.as_flattened().iter().sum();
                    let expected = if split == (Split::Users { known: 2 }) { 40 * 6 } else { 40 * 8 };
                    assert_eq!(tested, expected, "{modality} {model:?} {split:?}: every pair is tested once");
                }
            }
        }
    }
}

#[test]
fn genre_heads_are_trained_within_the_fold() {
    let dataset = example(40, 12, 8, Taste::Genre, 6);
    let features =
        Features { video: Some(noise(&dataset, 24, 1)), audio: Some(noise(&dataset, 20, 2)), ..Features::default() };
    let mut spec = CellSpec::strict(PAIRS, Modality::AudioVideo, Model::Ann, UserEmbedding::Liked, true);
    spec.training.fit.epochs = 1;
    spec.embedding = EmbeddingSource::GenreHead;
    // The ANN shares its towers, so it runs only if both heads made 512 numbers of 24 and 20.
    run_fold(&dataset, &features, &spec, 0, &AtomicBool::new(false)).expect("the fold runs");
    spec.embedding = EmbeddingSource::Given;
    assert!(matches!(fails(&dataset, &features, &spec), RecommendError::Setting { setting: "model", .. }));
    let genre = CellSpec { embedding: EmbeddingSource::GenreHead, modality: Modality::Genre, ..spec };
    assert!(matches!(fails(&dataset, &features, &genre), RecommendError::Setting { setting: "embedding", .. }));
}

#[test]
fn pairs_without_an_embedding_are_left_out_and_counted() {
    let dataset = example(40, 12, 8, Taste::Genre, 7);
    let mut video = noise(&dataset, 8, 1);
    video.rows[3] = None;
    let gone = dataset.ratings.iter().filter(|rating| rating.movie == 3).count();
    let features = Features { video: Some(video), audio: None, ..Features::default() };
    let mut spec = CellSpec::strict(PAIRS, Modality::Video, CLASSIFIER, UserEmbedding::Liked, true);
    spec.training.fit.epochs = 1;
    let metrics = run(&dataset, &features, &spec);
    assert!(gone > 0);
    assert_eq!(metrics.confusion.as_flattened().iter().sum::<u64>() as usize, dataset.ratings.len() - gone);
    for fold in &metrics.folds {
        assert_eq!(fold.left_out_pairs, gone, "a fold leaves them out in training or in testing");
    }
}

#[test]
fn users_without_likes_are_predicted() {
    let mut dataset = example(40, 12, 8, Taste::Genre, 8);
    dataset.ratings.iter_mut().filter(|rating| rating.user < 5).for_each(|rating| rating.label = Label::Neutral);
    let mut spec = CellSpec::strict(PAIRS, Modality::Genre, CLASSIFIER, UserEmbedding::Liked, true);
    spec.training.fit.epochs = 2;
    let result = run_fold(&dataset, &Features::default(), &spec, 0, &AtomicBool::new(false)).expect("the fold runs");
    for prediction in result.predictions.iter().filter(|p| p.user < 5) {
        let sum: f32 = prediction.probabilities.iter().sum();
        assert!((sum - 1.0).abs() < 1e-5, "{prediction:?}");
    }
}

#[test]
fn the_majority_baseline_predicts_the_most_common_class() {
    let dataset = example(50, 20, 10, Taste::Chance, 9);
    let spec = CellSpec::strict(PAIRS, Modality::Genre, Model::Majority, UserEmbedding::Liked, true);
    let metrics = run(&dataset, &Features::default(), &spec);
    let neutral = dataset.ratings.iter().filter(|rating| rating.label == Label::Neutral).count();
    let share = neutral as f64 / dataset.ratings.len() as f64;
    assert!((metrics.accuracy.mean - share).abs() < 1e-9, "folds of one size: {} for {share}", metrics.accuracy.mean);
    assert_eq!(metrics.recall.neutral, 1.0);
    assert_eq!(metrics.confusion.iter().map(|row| row[0] + row[2]).sum::<u64>(), 0);
    assert_eq!(metrics.folds.len(), 5);
    assert_eq!(metrics.confusion.len(), CLASSES);
}

#[test]
fn invalid_input_is_refused_by_setting_or_table() {
    let dataset = example(40, 12, 8, Taste::Genre, 10);
    let video = noise(&dataset, 8, 1);
    let with = |change: &dyn Fn(&mut EmbeddingTable)| {
        let mut table = video.clone();
        change(&mut table);
        Features { video: Some(table), audio: None, ..Features::default() }
    };
    let spec = CellSpec::strict(PAIRS, Modality::Video, CLASSIFIER, UserEmbedding::Liked, true);
    let embedding = |features: &Features| {
        matches!(fails(&dataset, features, &spec), RecommendError::Embedding { table: "video", .. })
    };
    assert!(embedding(&with(&|t| t.rows[2].as_mut().expect("there is a row")[3] = f32::NAN)));
    assert!(embedding(&with(&|t| t.rows[2].as_mut().expect("there is a row").truncate(3))));
    assert!(embedding(&with(&|t| t.rows.truncate(3))));
    assert!(embedding(&with(&|t| t.rows.fill(None))));
    let missing = fails(&dataset, &Features::default(), &spec);
    assert_eq!(missing, RecommendError::MissingModality { modality: Modality::Video });

    let genre = CellSpec { modality: Modality::Genre, ..spec.clone() };
    let none = Features::default();
    let setting = |spec: &CellSpec, name: &str| match fails(&dataset, &none, spec) {
        RecommendError::Setting { setting, .. } => assert_eq!(setting, name),
        other => panic!("{other:?}"),
    };
    setting(&CellSpec { folds: 1, ..genre.clone() }, "folds");
    setting(
        &CellSpec { gl_score: GlSettings { undefined: f32::NAN, scale: 1.0 }, ..genre.clone() },
        "gl_score.undefined",
    );
    let rate = |rate| {
        let mut spec = genre.clone();
        spec.training.fit.schedule = Schedule::Constant { rate };
        spec
    };
    assert!(matches!(fails(&dataset, &none, &rate(f64::NAN)), RecommendError::Training(TrainError::Setting { .. })));
    assert!(matches!(fails(&dataset, &none, &rate(1e38)), RecommendError::Training(TrainError::Diverged { .. })));

    let many = CellSpec { folds: 100_000, ..genre.clone() };
    assert!(matches!(fails(&dataset, &none, &many), RecommendError::ClassTooSmall { needed: 100_000, .. }));
    let mut one_class = dataset.clone();
    one_class.ratings.iter_mut().for_each(|rating| rating.label = Label::Like);
    assert!(matches!(
        fails(&one_class, &none, &genre),
        RecommendError::ClassTooSmall { label: Label::Dislike, count: 0, .. }
    ));
    let mut two_classes = dataset.clone();
    two_classes.ratings.retain(|rating| rating.label != Label::Neutral);
    for model in [Model::Bias, Model::Classifier { heads: 4 }] {
        let mut cell = CellSpec { model, ..genre.clone() };
        cell.training.fit.epochs = 1;
        let fold = run_fold(&two_classes, &none, &cell, 0, &AtomicBool::new(false)).expect("two classes are a task");
        assert!(
            fold.predictions.iter().all(|p| p.probabilities[1] == 0.0 && p.probabilities.iter().sum::<f32>() > 0.99)
        );
    }
    let mut lost = dataset.clone();
    lost.ratings[0].movie = 99;
    assert!(matches!(fails(&lost, &none, &genre), RecommendError::Dataset { .. }));
    let mut empty = dataset.clone();
    empty.ratings.clear();
    assert!(matches!(fails(&empty, &none, &genre), RecommendError::ClassTooSmall { .. }));
    let stopped = run_fold(&dataset, &none, &genre, 0, &AtomicBool::new(true)).expect_err("it was stopped");
    assert_eq!(stopped, RecommendError::Stopped);
    assert!(run_fold(&dataset, &none, &genre, 5, &AtomicBool::new(false)).is_err(), "a sixth fold of five");
}
