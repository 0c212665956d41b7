//! One fold of one cell of the evaluation grid: from pairs to predictions.

use crate::baseline::{self, CountBy};
use crate::ensemble::linear_baselines::{self as linear, Baseline};
use crate::ensemble::{self, Regime, Settings};
use crate::features::metadata;
use crate::networks::fold::NetworkFold;
use crate::split::{FoldPairs, fold_pairs, fold_seed};
use crate::{CLASSES, RecommendError};
use jhalak_common::dataset::Dataset;
use jhalak_common::evaluation::metrics::{Confusion, predicted_class};
use jhalak_nn::{History, Resume, StartAgain, seeded, shuffle};
use std::sync::atomic::AtomicBool;

pub use crate::features::embedding::{EmbeddingTable, Features};
pub use jhalak_common::evaluation::{
    Balance, CellSpec, Control, Edition, EmbeddingSource, Errata, FoldResult, GlSettings, Modality, Model, PartKind,
    PartResult, Prediction, Protocol, Split, TrainingSettings, UserEmbedding,
};

/// Streams of the cell's seed.
const LABELS: u64 = 7;
const NOISE: u64 = 8;

/// Runs fold `fold` (from 0) of a cell on one thread.
///
/// # Errors
/// [`RecommendError`]: invalid settings, data or embeddings, a training that diverges, or `stop`.
pub fn run_fold(
    dataset: &Dataset,
    features: &Features,
    spec: &CellSpec,
    fold: usize,
    stop: &AtomicBool,
) -> Result<FoldResult, RecommendError> {
    run_fold_resumed(dataset, features, spec, fold, stop, &StartAgain)
}

/// As [`run_fold`], of a cell whose folds were given: `test` are the pairs that this one tests, sorted.
///
/// # Errors
/// As [`run_fold`].
pub fn run_given_fold(
    dataset: &Dataset,
    features: &Features,
    spec: &CellSpec,
    (fold, test): (usize, &[u32]),
    stop: &AtomicBool,
) -> Result<FoldResult, RecommendError> {
    run(dataset, features, spec, (fold, Some(test)), stop, &StartAgain)
}

/// As [`run_fold`], with a place where the states of the fold's trainings are kept: an interrupted fold goes on there, and its result is the
/// same to the byte.
///
/// # Errors
/// As [`run_fold`].
pub fn run_fold_resumed(
    dataset: &Dataset,
    features: &Features,
    spec: &CellSpec,
    fold: usize,
    stop: &AtomicBool,
    resume: &dyn Resume,
) -> Result<FoldResult, RecommendError> {
    run(dataset, features, spec, (fold, None), stop, resume)
}

fn run(
    dataset: &Dataset,
    features: &Features,
    spec: &CellSpec,
    (fold, given): (usize, Option<&[u32]>),
    stop: &AtomicBool,
    resume: &dyn Resume,
) -> Result<FoldResult, RecommendError> {
    spec.check()?;
    check_dataset(dataset)?;
    let permuted;
    let dataset = match spec.control {
        Control::PermutedLabels => {
            permuted = permuted_labels(dataset, spec.seed);
            &permuted
        }
        Control::None | Control::RandomEmbeddings => dataset,
    };
    let drawn = fold_pairs(dataset, spec, fold, given)?;
    let mut tables = match spec.modality {
        Modality::Metadata if spec.model.is_network() => vec![metadata::table(dataset, &drawn.train, spec.seed)?],
        // The other models read no embeddings; where these come from trailers, they are still tested on the pairs that have them.
        Modality::Genre | Modality::Metadata if !spec.model.is_network() => Vec::new(),
        modality => features.tables(modality, dataset)?,
    };
    if spec.control == Control::RandomEmbeddings {
        tables.iter_mut().enumerate().for_each(|(i, table)| randomise(table, spec.seed, i as u64));
    }
    let (pairs, left_out_pairs) = with_embeddings(dataset, &tables, &drawn);
    let train = || [pairs.train.as_slice(), &pairs.validation].concat();
    let counted = |by| {
        let train = train();
        Answer {
            train_pairs: train.len(),
            probabilities: baseline::predict(dataset, &train, &pairs.test, by),
            ..Answer::default()
        }
    };
    let linear = |baseline| {
        let (train, seed) = (train(), fold_seed(spec, fold));
        let (regime, asked) = (regime(spec), asked(dataset, &pairs.test));
        let (probabilities, balance) = linear::predict(dataset, &train, &asked, baseline, regime, seed, stop)?;
        Ok::<_, RecommendError>(Answer {
            train_pairs: train.len(),
            probabilities,
            balance: Some(balance),
            ..Answer::default()
        })
    };
    let answer = match spec.model {
        Model::Majority => counted(CountBy::All),
        Model::UserMajority => counted(CountBy::User),
        Model::ItemMajority => counted(CountBy::Movie),
        Model::Bias => linear(Baseline::Bias)?,
        Model::BiasClassWeighted => linear(Baseline::BiasClassWeighted)?,
        Model::MatrixFactorisation => linear(Baseline::MatrixFactorisation)?,
        Model::Honest => fit_honest(dataset, spec, &train(), &pairs.test, fold, stop)?,
        Model::Classifier { .. } | Model::Ann => {
            let training = NetworkFold { dataset, spec, fold, stop, resume };
            let tables = training.embed(tables, &pairs)?;
            let (train_pairs, probabilities, history) = training.train(tables, &drawn, &pairs)?;
            Answer { train_pairs, probabilities, history: Some(history), ..Answer::default() }
        }
    };
    let Answer { train_pairs, probabilities, balance, history, parts } = answer;
    let confusion = confusion(dataset, &pairs.test, &probabilities);
    let prediction = |(&pair, &probabilities): (&u32, &[f32; CLASSES])| {
        let rating = dataset.ratings[pair as usize];
        Prediction { user: rating.user, movie: rating.movie, actual: rating.label, probabilities }
    };
    let predictions = pairs.test.iter().zip(&probabilities).map(prediction).collect();
    Ok(FoldResult {
        fold,
        confusion,
        predictions,
        balance,
        parts,
        settings_tried: if spec.model == Model::Honest { ensemble::settings::TRIED } else { 0 },
        epochs: history.as_ref().map_or(0, |h| h.train_losses.len()),
        best_epoch: history.as_ref().map_or(0, |h| h.best_epoch),
        train_losses: history.as_ref().map_or_else(Vec::new, |h| h.train_losses.clone()),
        validation_losses: history.map_or_else(Vec::new, |h| h.validation_losses),
        train_pairs,
        validation_pairs: pairs.validation.len(),
        test_pairs: pairs.test.len(),
        left_out_pairs,
    })
}

/// The dataset with its labels shuffled over all pairs: nothing can be known of a pair any more but how common each class is.
fn permuted_labels(dataset: &Dataset, seed: u64) -> Dataset {
    let mut labels: Vec<_> = dataset.ratings.iter().map(|rating| rating.label).collect();
    shuffle(&mut labels, &mut seeded(seed, LABELS));
    let mut permuted = dataset.clone();
    permuted.ratings.iter_mut().zip(labels).for_each(|(rating, label)| rating.label = label);
    permuted
}

/// Puts standard normal numbers in the place of every row.
fn randomise(table: &mut EmbeddingTable, seed: u64, which: u64) {
    let random = &mut seeded(seed, NOISE + which);
    table.rows.iter_mut().flatten().flatten().for_each(|x| *x = random.normal());
}

/// What a model says of the test pairs.
#[derive(Default)]
struct Answer {
    train_pairs: usize,
    probabilities: Vec<[f32; CLASSES]>,
    balance: Option<[f32; CLASSES]>,
    history: Option<History>,
    parts: Vec<PartResult>,
}

/// Counts of actual and predicted classes.
fn confusion(dataset: &Dataset, test: &[u32], probabilities: &[[f32; CLASSES]]) -> Confusion {
    let mut confusion = Confusion::default();
    for (&pair, probabilities) in test.iter().zip(probabilities) {
        confusion[dataset.ratings[pair as usize].label.index()][predicted_class(probabilities)] += 1;
    }
    confusion
}

/// What is new about the test pairs. The published split is one of pairs.
fn regime(spec: &CellSpec) -> Regime {
    match spec.protocol {
        Protocol::Paper { .. } => Regime::Pairs,
        Protocol::Strict { split } => split.into(),
    }
}

fn asked(dataset: &Dataset, test: &[u32]) -> Vec<(u32, u32)> {
    test.iter().map(|&pair| dataset.ratings[pair as usize]).map(|rating| (rating.user, rating.movie)).collect()
}

fn fit_honest(
    dataset: &Dataset,
    spec: &CellSpec,
    train: &[u32],
    test: &[u32],
    fold: usize,
    stop: &AtomicBool,
) -> Result<Answer, RecommendError> {
    let fitted = ensemble::fit(dataset, train, &Settings::new(regime(spec)), fold_seed(spec, fold), stop)?;
    let asked = asked(dataset, test);
    let probabilities = fitted.predict(&asked)?;
    let part = |kind, name: &str, probabilities: &[[f32; CLASSES]], weight| PartResult {
        kind,
        name: name.to_owned(),
        confusion: confusion(dataset, test, probabilities),
        log_loss: log_loss(dataset, test, probabilities),
        weight,
    };
    let mut parts: Vec<PartResult> = fitted
        .inner()
        .iter()
        .zip(fitted.predict_each(&asked)?)
        .map(|(inner, probabilities)| part(PartKind::Member, &inner.name, &probabilities, Some(inner.weight)))
        .collect();
    if spec.ablation {
        for (kind, name, probabilities) in fitted.ablation(dataset, train, &asked, stop)? {
            parts.push(part(kind, name, &probabilities, None));
        }
    }
    Ok(Answer { train_pairs: train.len(), probabilities, balance: Some(fitted.balance()), parts, history: None })
}

/// Mean over the test pairs of -ln of the probability that the pair's label was given.
fn log_loss(dataset: &Dataset, test: &[u32], probabilities: &[[f32; CLASSES]]) -> f64 {
    let loss = |(&pair, p): (&u32, &[f32; CLASSES])| {
        -f64::from(p[dataset.ratings[pair as usize].label.index()].max(f32::MIN_POSITIVE)).ln()
    };
    test.iter().zip(probabilities).map(loss).sum::<f64>() / test.len().max(1) as f64
}

/// Refuses ratings that name no user or movie, or that are not in order: profiles rely on it.
fn check_dataset(dataset: &Dataset) -> Result<(), RecommendError> {
    let fail = |reason: String| Err(RecommendError::Dataset { dataset: dataset.name.clone(), reason });
    for (i, rating) in dataset.ratings.iter().enumerate() {
        if rating.user as usize >= dataset.users.len() || rating.movie as usize >= dataset.movies.len() {
            return fail(format!(
                "rating {i} names user {} or movie {}, which is not there",
                rating.user, rating.movie
            ));
        }
    }
    if !dataset.ratings.is_sorted_by(|a, b| (a.user, a.movie) < (b.user, b.movie)) {
        return fail("ratings must be sorted by user and movie, one a pair".to_owned());
    }
    Ok(())
}

/// The fold's pairs whose movies have a row in every table, and how many have not.
fn with_embeddings(dataset: &Dataset, tables: &[EmbeddingTable], drawn: &FoldPairs) -> (FoldPairs, usize) {
    let keep = |pairs: &[u32]| -> Vec<u32> {
        let there = |&pair: &u32| tables.iter().all(|table| table.row(dataset.ratings[pair as usize].movie).is_some());
        pairs.iter().copied().filter(there).collect()
    };
    let count = |pairs: &FoldPairs| pairs.train.len() + pairs.validation.len() + pairs.test.len();
    let kept = FoldPairs { train: keep(&drawn.train), validation: keep(&drawn.validation), test: keep(&drawn.test) };
    let left_out = count(drawn) - count(&kept);
    (kept, left_out)
}
