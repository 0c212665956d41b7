//! Attention over the parts of trailers through whole folds: what it learns, what it must not see.

use crate::cell::*;
use crate::example::{Taste, example};
use jhalak_common::dataset::{Dataset, Label};
use jhalak_common::evaluation::metrics::summarise;
use jhalak_nn::seeded;
use std::sync::atomic::AtomicBool;

fn cell(split: Split, control: Control) -> CellSpec {
    let model = Model::TrailerAttention;
    let mut spec = CellSpec::strict(split, Modality::AudioVideo, model, UserEmbedding::Liked, true);
    spec.training.fit.epochs = 25;
    CellSpec { folds: 3, control, ..spec }
}

/// Trailers of 3 to 18 parts, of which every third shows the movie's genres and the others nothing.
fn trailers(dataset: &Dataset) -> Features {
    let track = |seed| {
        let random = &mut seeded(seed, 0);
        let mut part = |movie: usize, i: usize| -> Vec<f32> {
            let genres = &dataset.movies.get(movie).expect("a movie").genres;
            let shown = |genre: &String| if i.is_multiple_of(3) && genres.contains(genre) { 4.0 } else { 0.0 };
            dataset.genres.iter().map(|genre| shown(genre) + 0.5 * random.normal()).collect()
        };
        let mut row = |movie: usize| (0..3 + movie % 16).flat_map(|i| part(movie, i)).collect();
        PartTable { dim: 4, rows: (0..dataset.movies.len()).map(|movie| Some(row(movie))).collect() }
    };
    Features { video_parts: Some(track(1)), audio_parts: Some(track(2)), ..Features::default() }
}

fn fold(dataset: &Dataset, features: &Features, spec: &CellSpec, fold: usize) -> FoldResult {
    run_fold(dataset, features, spec, fold, &AtomicBool::new(false)).expect("the fold runs")
}

#[test]
fn trailers_of_unrated_movies_predict_opinions_and_random_numbers_do_not() {
    let dataset = example(120, 60, 20, Taste::Genre, 1);
    let features = trailers(&dataset);
    let accuracy = |spec: &CellSpec| summarise(&[fold(&dataset, &features, spec, 0)]).accuracy.mean;
    let of = |control| accuracy(&cell(Split::Movies, control));
    let majority = CellSpec { model: Model::Majority, modality: Modality::Genre, ..cell(Split::Movies, Control::None) };
    let majority = accuracy(&majority);
    let shown = of(Control::None);
    assert!(shown > majority + 0.1, "{shown} against a majority of {majority}");
    for control in [Control::RandomEmbeddings, Control::ShuffledEmbeddings, Control::PermutedLabels] {
        let found = of(control);
        assert!(found <= majority + 0.04, "{control:?}: {found} against a majority of {majority}");
    }
}

#[test]
fn label_of_a_held_out_pair_does_not_reach_its_prediction() {
    let mut dataset = example(40, 24, 9, Taste::Genre, 3);
    let test: Vec<u32> = (0..dataset.ratings.len() as u32).filter(|pair| pair % 5 == 0).collect();
    let features = trailers(&dataset);
    let mut spec = cell(Split::Pairs, Control::None);
    (spec.training.fit.epochs, spec.given_folds) = (3, Some(jhalak_common::hash::of_bytes(b"folds")));
    let probabilities = |dataset: &Dataset| -> Vec<[f32; 3]> {
        let run = run_given_fold(dataset, &features, &spec, (0, &test), &AtomicBool::new(false));
        run.expect("the fold runs").predictions.iter().map(|prediction| prediction.probabilities).collect()
    };
    let before = probabilities(&dataset);
    assert_eq!(before.len(), test.len());
    for &pair in &test {
        let label = &mut dataset.ratings[pair as usize].label;
        *label = if *label == Label::Like { Label::Dislike } else { Label::Like };
    }
    assert_eq!(probabilities(&dataset), before);
    // A training label does reach them.
    let known = &mut dataset.ratings[1].label;
    *known = if *known == Label::Like { Label::Dislike } else { Label::Like };
    assert_ne!(probabilities(&dataset), before);
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_movies_without_parts_are_left_out() {
    let dataset = example(40, 24, 9, Taste::Genre, 3);
    let mut features = trailers(&dataset);
    features.audio_parts.as_mut().expect("a table").rows[3] = None;
    let mut spec = cell(Split::Pairs, Control::None);
    spec.training.fit.epochs = 3;
    let bytes = |spec: &CellSpec| serde_json::to_vec(&fold(&dataset, &features, spec, 1)).expect("JSON");
    assert_eq!(bytes(&spec), bytes(&spec));
    assert_ne!(bytes(&spec), bytes(&CellSpec { seed: 1, ..spec.clone() }));
    let gone = dataset.ratings.iter().filter(|rating| rating.movie == 3).count();
    assert_eq!(fold(&dataset, &features, &spec, 1).left_out_pairs, gone);
}

#[test]
fn trailer_attention_needs_parts_of_trailers_and_the_strict_protocol() {
    let dataset = example(20, 12, 6, Taste::Chance, 4);
    let refused = |spec: &CellSpec, features: &Features| {
        run_fold(&dataset, features, spec, 0, &AtomicBool::new(false)).expect_err("it must be refused").to_string()
    };
    let spec = cell(Split::Movies, Control::None);
    let genre = CellSpec { modality: Modality::Genre, ..spec.clone() };
    assert!(refused(&genre, &Features::default()).contains("`modality`"));
    let protocol = Protocol::Paper { errata: Errata::none() };
    assert!(refused(&CellSpec { protocol, ..spec.clone() }, &Features::default()).contains("`model`"));
    assert!(refused(&spec, &Features::default()).contains("audio+video"));
    for wrong in [vec![1.0; 7], vec![f32::NAN; 4], Vec::new()] {
        let mut features = trailers(&dataset);
        features.video_parts.as_mut().expect("a table").rows[2] = Some(wrong);
        assert!(refused(&spec, &features).contains("video parts"));
    }
}
