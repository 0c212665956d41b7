//! One fold of one cell of the evaluation grid: from pairs to predictions.

use crate::recommend::ann::Ann;
use crate::recommend::baseline::{self, CountBy};
use crate::recommend::classifier::Classifier;
use crate::recommend::genre_head::{HeadKind, HeadSettings, fit_head};
use crate::recommend::honest::baseline::{self as linear, Baseline};
use crate::recommend::honest::{self, Regime, Settings};
use crate::recommend::inputs::Inputs;
use crate::recommend::network::{Network, PairTraining};
use crate::recommend::profile::Profiles;
use crate::recommend::split::{FoldPairs, fold_pairs, upsample};
use crate::recommend::{CLASSES, RecommendError};
use crate::train::{History, fit, seeded, shuffle};
use jhalak_common::dataset::Dataset;
use jhalak_common::evaluation::metrics::{Confusion, predicted_class};
use std::sync::atomic::AtomicBool;

pub use crate::recommend::embedding::{EmbeddingTable, Features};
pub use jhalak_common::evaluation::{
    Balance, CellSpec, EmbeddingSource, Errata, FoldResult, GlSettings, Modality, Model, Prediction, Protocol, Split,
    TrainingSettings, UserEmbedding,
};

/// Streams of the cell's seed.
const HEAD_MOVIES: u64 = 5;
const WEIGHTS: u64 = 6;
/// Share of the movies that the published genre heads were trained on: 450 of 510.
const PUBLISHED_HEAD_MOVIES: f64 = 450.0 / 510.0;

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
    spec.check()?;
    check_dataset(dataset)?;
    let tables = features.tables(spec.modality, dataset)?;
    let drawn = fold_pairs(dataset, spec, fold)?;
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
            history: None,
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
            let tables = embed(dataset, tables, spec, &pairs, fold, stop)?;
            let (train_pairs, probabilities, history) =
                train_network(dataset, tables, spec, &drawn, &pairs, fold, stop)?;
            Answer { train_pairs, probabilities, balance: None, history: Some(history) }
        }
    };
    let Answer { train_pairs, probabilities, balance, history } = answer;
    let mut confusion = Confusion::default();
    let mut predictions = Vec::with_capacity(pairs.test.len());
    for (&pair, probabilities) in pairs.test.iter().zip(probabilities) {
        let rating = dataset.ratings[pair as usize];
        confusion[rating.label.index()][predicted_class(&probabilities)] += 1;
        predictions.push(Prediction { user: rating.user, movie: rating.movie, actual: rating.label, probabilities });
    }
    Ok(FoldResult {
        fold,
        confusion,
        predictions,
        balance,
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

/// What a model says of the test pairs.
#[derive(Default)]
struct Answer {
    train_pairs: usize,
    probabilities: Vec<[f32; CLASSES]>,
    balance: Option<[f32; CLASSES]>,
    history: Option<History>,
}

fn fold_seed(spec: &CellSpec, fold: usize) -> u64 {
    spec.seed.wrapping_mul(1009).wrapping_add(fold as u64)
}

/// What is new about the test pairs. The published split is one of pairs.
fn regime(spec: &CellSpec) -> Regime {
    match spec.protocol {
        Protocol::Paper { .. } | Protocol::Strict { split: Split::Pairs } => Regime::Pairs,
        Protocol::Strict { split: Split::Movies } => Regime::Movies,
        Protocol::Strict { split: Split::Users { known } } => Regime::Users { known },
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
    if matches!(spec.protocol, Protocol::Paper { .. }) {
        let reason = "the honest model knows no leaks: evaluate it under the strict protocol".to_owned();
        return Err(RecommendError::Setting { setting: "model", reason });
    }
    let fitted = honest::fit(dataset, train, &Settings::new(regime(spec)), fold_seed(spec, fold), stop)?;
    let probabilities = fitted.predict(&asked(dataset, test))?;
    Ok(Answer { train_pairs: train.len(), probabilities, balance: Some(fitted.balance()), history: None })
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

/// Passes the tables through genre heads if the cell wants them: trained on 450 of 510 movies as published, or, strict, on the
/// movies of training pairs.
fn embed(
    dataset: &Dataset,
    tables: Vec<EmbeddingTable>,
    spec: &CellSpec,
    pairs: &FoldPairs,
    fold: usize,
    stop: &AtomicBool,
) -> Result<Vec<EmbeddingTable>, RecommendError> {
    if spec.embedding == EmbeddingSource::Given {
        return Ok(tables);
    }
    let kinds: &[HeadKind] = match spec.modality {
        Modality::Video => &[HeadKind::Video],
        Modality::Audio => &[HeadKind::Audio],
        Modality::AudioVideo => &[HeadKind::Video, HeadKind::Audio],
        Modality::Genre => {
            let reason = "genre vectors have no genre head: use `given`".to_owned();
            return Err(RecommendError::Setting { setting: "embedding", reason });
        }
    };
    let genres = EmbeddingTable::genres(dataset);
    let mut embedded = Vec::new();
    for (raw, &kind) in tables.iter().zip(kinds) {
        let (movies, seed) = match spec.protocol {
            Protocol::Paper { .. } => {
                let mut movies: Vec<u32> = (0..raw.rows.len()).filter_map(|i| u32::try_from(i).ok()).collect();
                movies.retain(|&movie| raw.row(movie).is_some());
                shuffle(&mut movies, &mut seeded(spec.seed, HEAD_MOVIES));
                movies.truncate((movies.len() as f64 * PUBLISHED_HEAD_MOVIES).ceil() as usize);
                (movies, spec.seed)
            }
            Protocol::Strict { .. } => {
                let mut movies: Vec<u32> =
                    pairs.train.iter().map(|&pair| dataset.ratings[pair as usize].movie).collect();
                movies.sort_unstable();
                movies.dedup();
                (movies, spec.seed.wrapping_add(fold as u64))
            }
        };
        let (mut head, _) = fit_head(raw, &genres, &movies, &HeadSettings::published(kind), seed, stop)?;
        let table = head.embed(raw);
        table.check("head", dataset.movies.len())?;
        embedded.push(table);
    }
    Ok(embedded)
}

/// Trains the cell's network. Profiles are built from all `drawn` pairs: genres are known of movies without a trailer too.
fn train_network(
    dataset: &Dataset,
    tables: Vec<EmbeddingTable>,
    spec: &CellSpec,
    drawn: &FoldPairs,
    pairs: &FoldPairs,
    fold: usize,
    stop: &AtomicBool,
) -> Result<(usize, Vec<[f32; CLASSES]>, History), RecommendError> {
    let errata = match spec.protocol {
        Protocol::Paper { errata } => errata,
        Protocol::Strict { .. } => Errata::none(),
    };
    let seed = fold_seed(spec, fold);
    let profiles = if errata.own_label {
        Profiles::leaky(dataset, drawn, errata.copies_in_profiles)
    } else {
        Profiles::honest(dataset, drawn, spec.training.profile_folds, seed, errata.copies_in_profiles)
    };
    let train = match spec.protocol {
        Protocol::Paper { .. } => pairs.train.clone(),
        Protocol::Strict { .. } => upsample(dataset, &pairs.train, spec.training.balance, seed),
    };
    let mut inputs = Inputs::new(tables);
    let mut rows = Vec::new();
    let mut add = |pairs: &[u32]| inputs.add(dataset, spec, errata.swapped_gl, &profiles, pairs, &mut rows);
    let (train_samples, validation) = (add(&train), add(&pairs.validation));
    let test = add(&pairs.test);
    if spec.standardise_inputs {
        inputs.standardise(&train_samples);
    }
    let random = &mut seeded(seed, WEIGHTS);
    let mut network: Box<dyn Network> = match spec.model {
        Model::Ann => Box::new(Ann::new(&inputs.dims(), random)?),
        _ => Box::new(Classifier::new(&inputs.dims(), random)),
    };
    let weights = class_weights(dataset, &train, spec.training.balance);
    let mut training = PairTraining::new(network.as_mut(), &inputs, weights);
    let history = fit(&mut training, &train_samples, &validation, &spec.training.fit, seed, stop)?;
    Ok((train.len(), training.predict(&test), history))
}

/// Weights under which all classes of `train` weigh the same; empty under any other balance.
fn class_weights(dataset: &Dataset, train: &[u32], balance: Balance) -> Vec<f32> {
    if balance != Balance::ClassWeights {
        return Vec::new();
    }
    let mut counts = [0.0_f32; CLASSES];
    train.iter().for_each(|&pair| counts[dataset.ratings[pair as usize].label.index()] += 1.0);
    let all: f32 = counts.iter().sum();
    counts.iter().map(|&n| if n > 0.0 { all / (CLASSES as f32 * n) } else { 0.0 }).collect()
}
