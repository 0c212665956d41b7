//! The controls through whole folds: what has no labels, or no embeddings, to learn from must stay at chance level under `strict`, and must
//! not where a leak is left in.

use crate::cell::*;
use crate::example::{Taste, example};
use jhalak_common::dataset::Dataset;
use jhalak_common::evaluation::metrics::summarise;
use std::sync::atomic::AtomicBool;

const CLASSIFIER: Model = Model::Classifier { heads: 4 };
const SPLITS: [Split; 3] = [Split::Pairs, Split::Movies, Split::Users { known: 5 }];

fn cell(split: Split, model: Model, control: Control) -> CellSpec {
    let mut spec = CellSpec::strict(split, Modality::Genre, model, UserEmbedding::Liked, true);
    spec.training.fit.epochs = 40;
    spec.training.balance = Balance::None;
    CellSpec { folds: 3, control, ..spec }
}

/// Mean accuracy over the folds `which`, of 120 viewers with 20 ratings each.
fn accuracy(spec: &CellSpec, which: std::ops::Range<usize>) -> f64 {
    accuracy_on(&example(120, 40, 20, Taste::Genre, 1), spec, which)
}

fn accuracy_on(dataset: &Dataset, spec: &CellSpec, which: std::ops::Range<usize>) -> f64 {
    let stop = AtomicBool::new(false);
    let fold = |fold| run_fold(dataset, &Features::default(), spec, fold, &stop).expect("the fold runs");
    summarise(&which.map(fold).collect::<Vec<_>>()).accuracy.mean
}

#[test]
fn with_permuted_labels_no_model_beats_the_majority_and_each_does_without() {
    for split in SPLITS {
        let majority = accuracy(&cell(split, Model::Majority, Control::PermutedLabels), 0..3);
        for model in [CLASSIFIER, Model::Ann, Model::Bias, Model::MatrixFactorisation] {
            let got = accuracy(&cell(split, model, Control::PermutedLabels), 0..3);
            assert!(got <= majority + 0.02, "{model:?}, {split:?}: {got} against a majority of {majority}");
        }
        // The honest model takes its time: one fold, whose majority may differ.
        let majority = accuracy(&cell(split, Model::Majority, Control::PermutedLabels), 1..2);
        let got = accuracy(&cell(split, Model::Honest, Control::PermutedLabels), 1..2);
        assert!(got <= majority + 0.02, "honest, {split:?}: {got} against a majority of {majority}");
    }
    let majority = accuracy(&cell(Split::Pairs, Model::Majority, Control::None), 0..1);
    for model in [CLASSIFIER, Model::Honest] {
        let got = accuracy(&cell(Split::Pairs, model, Control::None), 0..1);
        assert!(got > majority + 0.2, "{model:?} learns from true labels: {got} against {majority}");
    }
}

#[test]
fn with_permuted_labels_the_published_protocol_beats_the_majority() {
    // One label more or less shows best where viewers have given few.
    let dataset = example(300, 60, 5, Taste::Genre, 2);
    let errata = Errata { own_label: true, ..Errata::none() };
    let mut spec = cell(Split::Pairs, CLASSIFIER, Control::PermutedLabels);
    spec.protocol = Protocol::Paper { errata };
    spec.training.fit.epochs = 150;
    let of = |model| accuracy_on(&dataset, &CellSpec { model, ..spec.clone() }, 0..2);
    let (got, majority) = (of(CLASSIFIER), of(Model::Majority));
    assert!(got > majority + 0.02, "its leaks show: {got} against a majority of {majority}");
}

/// Without GL-scores, which know the genres, noise says nothing of a movie that nobody rated.
#[test]
fn with_random_embeddings_nothing_is_known_of_unseen_movies() {
    let of = |model, control| accuracy(&CellSpec { gl: false, ..cell(Split::Movies, model, control) }, 0..3);
    let majority = of(Model::Majority, Control::None);
    for model in [CLASSIFIER, Model::Ann] {
        let (noise, genres) = (of(model, Control::RandomEmbeddings), of(model, Control::None));
        assert!(noise <= majority + 0.03, "{model:?}: {noise} against a majority of {majority}");
        assert!(genres > majority + 0.15, "{model:?} learns from genres: {genres} against {majority}");
    }
}
