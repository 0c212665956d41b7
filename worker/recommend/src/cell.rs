//! Runs one fold of one cell of the evaluation grid: from pairs to predictions.

use crate::baseline::{self, CountBy};
use crate::draw_folds::{FoldPairs, fold_pairs, fold_seed};
use crate::ensemble::class_weights::weighted;
use crate::ensemble::linear_baselines::{self, Baseline};
use crate::ensemble::{self, ColdStart, Settings};
use crate::features::metadata;
use crate::features::principal_components::Track;
use crate::networks::fold::NetworkFold;
use crate::networks::trailer_fold::TrailerFold;
use crate::{CLASSES, RecommendError};
use jhalak_common::dataset::{Dataset, Rating};
use jhalak_common::evaluation::metrics::{Confusion, predicted_class};
use jhalak_nn::{CheckpointStore, History, NoCheckpoints, seeded, shuffle};
use std::sync::atomic::AtomicBool;

pub use crate::features::embedding::{EmbeddingTable, Features, MovieRows, PartTable};
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
/// [`RecommendError`]: settings, data or embeddings that are not valid, a training that diverges,
/// or `stop`.
pub fn run_fold(
    dataset: &Dataset,
    features: &Features,
    spec: &CellSpec,
    fold: usize,
    stop: &AtomicBool,
) -> Result<FoldResult, RecommendError> {
    run_fold_resumed(dataset, features, spec, fold, stop, &NoCheckpoints)
}

/// Runs a fold of a cell with given folds: `test` are the test pairs of the fold, sorted.
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
    run(dataset, features, spec, (fold, Some(test)), stop, &NoCheckpoints)
}

/// Does the same as [`run_fold`], with training checkpoints in `resume`: an interrupted fold
/// resumes from them, and its result is the same to the byte.
///
/// # Errors
/// As [`run_fold`].
pub fn run_fold_resumed(
    dataset: &Dataset,
    features: &Features,
    spec: &CellSpec,
    fold: usize,
    stop: &AtomicBool,
    resume: &dyn CheckpointStore,
) -> Result<FoldResult, RecommendError> {
    run(dataset, features, spec, (fold, None), stop, resume)
}

/// Does the same as [`run_given_fold`], with checkpoints as in [`run_fold_resumed`].
///
/// # Errors
/// As [`run_fold`].
pub fn run_given_fold_resumed(
    dataset: &Dataset,
    features: &Features,
    spec: &CellSpec,
    (fold, test): (usize, &[u32]),
    stop: &AtomicBool,
    resume: &dyn CheckpointStore,
) -> Result<FoldResult, RecommendError> {
    run(dataset, features, spec, (fold, Some(test)), stop, resume)
}

fn run(
    dataset: &Dataset,
    features: &Features,
    spec: &CellSpec,
    (fold, given): (usize, Option<&[u32]>),
    stop: &AtomicBool,
    resume: &dyn CheckpointStore,
) -> Result<FoldResult, RecommendError> {
    spec.check()?;
    check_dataset(dataset)?;
    let permuted;
    let dataset = match spec.control {
        Control::PermutedLabels => {
            permuted = permuted_labels(dataset, spec.seed);
            &permuted
        }
        Control::None | Control::RandomEmbeddings | Control::ShuffledEmbeddings => dataset,
    };
    let drawn = fold_pairs(dataset, spec, fold, given)?;
    let mut tables = match spec.modality {
        Modality::Metadata if spec.model.is_network() => vec![metadata::table(dataset, &drawn.train, spec.seed)?],
        // Other models read no embeddings. In a trailer modality they are still tested on the pairs
        // that have them.
        Modality::Genre | Modality::Metadata if !spec.model.is_network() => Vec::new(),
        _ if spec.reads_parts() => Vec::new(),
        modality => features.tables(modality, dataset)?,
    };
    let mut parts = match spec.reads_parts() {
        true => features.parts(spec.modality, dataset.movies.len())?,
        false => Vec::new(),
    };
    let of_tables = tables.iter_mut().map(|table| &mut table.rows).enumerate();
    let of_parts = parts.iter_mut().map(|table| &mut table.rows).enumerate();
    for (i, rows) in of_tables.chain(of_parts) {
        match spec.control {
            Control::RandomEmbeddings => randomise(rows, spec.seed, i as u64),
            Control::ShuffledEmbeddings => shuffle_rows(rows, spec.seed, i as u64),
            Control::None | Control::PermutedLabels => {}
        }
    }
    // The ensemble reads a movie without an embedding as one whose trailer is unknown.
    let needed: Vec<&MovieRows> = match spec.model {
        Model::Ensemble => Vec::new(),
        _ => tables.iter().map(|table| &table.rows).chain(parts.iter().map(|table| &table.rows)).collect(),
    };
    let (pairs, left_out_pairs) = with_embeddings(dataset, &needed, &drawn);
    let cell_fold = CellFold { dataset, spec, fold, pairs: &pairs, stop };
    let output = match spec.model {
        Model::Majority => cell_fold.majority(CountBy::All),
        Model::UserMajority => cell_fold.majority(CountBy::User),
        Model::ItemMajority => cell_fold.majority(CountBy::Movie),
        Model::Bias => cell_fold.linear_baseline(Baseline::Bias)?,
        Model::BiasClassWeighted => cell_fold.linear_baseline(Baseline::BiasClassWeighted)?,
        Model::MatrixFactorisation => cell_fold.linear_baseline(Baseline::MatrixFactorisation)?,
        Model::Ensemble => cell_fold.ensemble(&tables)?,
        Model::TrailerAttention => {
            let training = TrailerFold { dataset, spec, fold, drawn: &drawn, pairs: &pairs, stop, resume };
            let (probabilities, history) = training.train(&parts)?;
            let train_pairs = pairs.train.len();
            ModelOutput { train_pairs, probabilities, history: Some(history), ..ModelOutput::default() }
        }
        Model::Classifier { .. } | Model::Ann => {
            let training = NetworkFold { dataset, spec, fold, stop, resume };
            let tables = training.embed(tables, &pairs)?;
            let (train_pairs, probabilities, history) = training.train(tables, &drawn, &pairs)?;
            ModelOutput { train_pairs, probabilities, history: Some(history), ..ModelOutput::default() }
        }
    };
    let ModelOutput { train_pairs, mut probabilities, class_weights, history, parts } = output;
    let counts = dataset.label_counts();
    probabilities.iter_mut().for_each(|p| *p = of_classes_that_occur(*p, counts.map(|count| count > 0)));
    let mut predictions = Vec::with_capacity(pairs.test.len());
    for (&pair, &probabilities) in pairs.test.iter().zip(&probabilities) {
        let Rating { user, movie, label, .. } = dataset.ratings[pair as usize];
        predictions.push(Prediction { user, movie, actual: label, probabilities });
    }
    let (epochs, best_epoch) = history.as_ref().map_or((0, 0), |h| (h.train_losses.len(), h.best_epoch));
    let (train_losses, validation_losses) =
        history.map_or_else(Default::default, |h| (h.train_losses, h.validation_losses));
    Ok(FoldResult {
        fold,
        confusion: confusion(dataset, &pairs.test, &probabilities),
        predictions,
        balance: class_weights,
        parts,
        settings_tried: if spec.model == Model::Ensemble { ensemble::settings::TRIED } else { 0 },
        epochs,
        best_epoch,
        train_losses,
        validation_losses,
        train_pairs,
        validation_pairs: pairs.validation.len(),
        test_pairs: pairs.test.len(),
        left_out_pairs,
    })
}

/// A fold of a cell, with the pairs that have embeddings.
struct CellFold<'a> {
    dataset: &'a Dataset,
    spec: &'a CellSpec,
    fold: usize,
    pairs: &'a FoldPairs,
    stop: &'a AtomicBool,
}

impl CellFold<'_> {
    /// Returns training and validation pairs: models without early stopping are fitted on both.
    fn train(&self) -> Vec<u32> {
        [self.pairs.train.as_slice(), &self.pairs.validation].concat()
    }

    /// Returns user and movie of the test pairs.
    fn test(&self) -> Vec<(u32, u32)> {
        let rating = |&pair: &u32| self.dataset.ratings[pair as usize];
        self.pairs.test.iter().map(rating).map(|rating| (rating.user, rating.movie)).collect()
    }

    /// Returns what is new about the test pairs. The published split is one of pairs.
    fn cold_start(&self) -> ColdStart {
        match self.spec.protocol {
            Protocol::Paper { .. } => ColdStart::None,
            Protocol::Strict { split } => split.into(),
        }
    }

    /// Returns the cold starts of the test pairs with the places of the pairs, the most common one
    /// first. Given folds of pairs may mix known and new users and movies; other folds are of one
    /// kind.
    fn cold_starts(&self, train: &[u32], test: &[(u32, u32)]) -> Vec<(ColdStart, Vec<usize>)> {
        let mixed = self.spec.given_folds.is_some() && self.cold_start() == ColdStart::None;
        if !mixed {
            return vec![(self.cold_start(), (0..test.len()).collect())];
        }
        mixed_cold_starts(self.dataset, train, test)
    }

    fn majority(&self, by: CountBy) -> ModelOutput {
        let train = self.train();
        let probabilities = baseline::predict(self.dataset, &train, &self.pairs.test, by);
        ModelOutput { train_pairs: train.len(), probabilities, ..ModelOutput::default() }
    }

    fn linear_baseline(&self, baseline: Baseline) -> Result<ModelOutput, RecommendError> {
        let &Self { dataset, spec, fold, stop, .. } = self;
        let (train, seed) = (self.train(), fold_seed(spec, fold));
        let (probabilities, class_weights) =
            linear_baselines::predict(dataset, &train, &self.test(), baseline, self.cold_start(), seed, stop)?;
        let class_weights = Some(class_weights);
        Ok(ModelOutput { train_pairs: train.len(), probabilities, class_weights, ..ModelOutput::default() })
    }

    /// `tables` are those of the modality's tracks, video before audio; empty for other modalities.
    fn ensemble(&self, tables: &[EmbeddingTable]) -> Result<ModelOutput, RecommendError> {
        let &Self { dataset, spec, fold, stop, .. } = self;
        let train = self.train();
        let trailers: Vec<_> = Track::of(spec.modality).iter().copied().zip(tables).collect();
        let fit = |cold_start| {
            let settings = Settings { content_columns: spec.content_columns.clone(), ..Settings::new(cold_start) };
            ensemble::fit(dataset, &train, &trailers, &settings, fold_seed(spec, fold), stop)
        };
        let test = self.test();
        let cold_starts = self.cold_starts(&train, &test);
        if cold_starts.len() > 1 && !spec.ablation {
            let mut probabilities = vec![[0.0; CLASSES]; test.len()];
            let mut class_weights = None;
            for (cold_start, places) in cold_starts {
                let fitted = fit(cold_start)?;
                let pairs: Vec<(u32, u32)> = places.iter().map(|&place| test[place]).collect();
                for (place, p) in places.into_iter().zip(fitted.predict(&pairs)?) {
                    probabilities[place] = p;
                }
                class_weights = class_weights.or(Some(fitted.class_weights()));
            }
            return Ok(ModelOutput {
                train_pairs: train.len(),
                probabilities,
                class_weights,
                ..ModelOutput::default()
            });
        }
        let cold_start = cold_starts.first().map_or(ColdStart::None, |(cold_start, _)| *cold_start);
        let fitted = fit(cold_start)?;
        let probabilities = fitted.predict(&test)?;
        let mut parts = Vec::new();
        for (inner, probabilities) in fitted.inner().iter().zip(fitted.predict_each(&test)?) {
            parts.push(self.part(PartKind::Member, &inner.name, &probabilities, Some(inner.weight)));
        }
        if spec.ablation {
            for (kind, name, probabilities) in fitted.ablation(dataset, &train, &test, stop)? {
                parts.push(self.part(kind, name, &probabilities, None));
            }
        }
        let class_weights = Some(fitted.class_weights());
        Ok(ModelOutput { train_pairs: train.len(), probabilities, class_weights, history: None, parts })
    }

    fn part(&self, kind: PartKind, name: &str, probabilities: &[[f32; CLASSES]], weight: Option<f64>) -> PartResult {
        let (dataset, test) = (self.dataset, &self.pairs.test);
        PartResult {
            kind,
            name: name.to_owned(),
            confusion: confusion(dataset, test, probabilities),
            log_loss: log_loss(dataset, test, probabilities),
            weight,
        }
    }
}

/// Returns the cold start of each pair of a test that mixes known and new users and movies. Kinds
/// of less than a fiftieth of the pairs are predicted as the most common kind.
fn mixed_cold_starts(dataset: &Dataset, train: &[u32], test: &[(u32, u32)]) -> Vec<(ColdStart, Vec<usize>)> {
    /// Users with fewer training pairs are new.
    const NEW_USER: usize = 8;
    let (mut of_user, mut of_movie) = (vec![0; dataset.users.len()], vec![0; dataset.movies.len()]);
    for rating in train.iter().map(|&pair| dataset.ratings[pair as usize]) {
        of_user[rating.user as usize] += 1;
        of_movie[rating.movie as usize] += 1;
    }
    let mut kinds: [Vec<usize>; 3] = Default::default();
    for (place, &(user, movie)) in test.iter().enumerate() {
        let kind = match (of_movie[movie as usize], of_user[user as usize]) {
            (0, _) => 1,
            (_, known) if known < NEW_USER => 2,
            _ => 0,
        };
        kinds[kind].push(place);
    }
    let mut known: Vec<usize> = kinds[2].iter().map(|&place| of_user[test[place].0 as usize]).collect();
    known.sort_unstable();
    let known = known.get(known.len() / 2).copied().unwrap_or(0);
    let mut found: Vec<(ColdStart, Vec<usize>)> =
        [ColdStart::None, ColdStart::Item, ColdStart::User { known }].into_iter().zip(kinds).collect();
    found.sort_by_key(|(_, places)| std::cmp::Reverse(places.len()));
    let few: Vec<usize> =
        found.extract_if(1.., |(_, places)| places.len() * 50 < test.len()).flat_map(|(_, places)| places).collect();
    if let Some((_, places)) = found.first_mut() {
        places.extend(few);
    }
    found
}

/// Returns the dataset with its labels shuffled over all pairs, which leaves only the class
/// frequencies to learn.
fn permuted_labels(dataset: &Dataset, seed: u64) -> Dataset {
    let mut opinions: Vec<_> = dataset.ratings.iter().map(|rating| (rating.label, rating.half_stars)).collect();
    shuffle(&mut opinions, &mut seeded(seed, LABELS));
    let mut permuted = dataset.clone();
    for (rating, opinion) in permuted.ratings.iter_mut().zip(opinions) {
        (rating.label, rating.half_stars) = opinion;
    }
    permuted
}

/// Replaces every row by standard normal numbers.
fn randomise(rows: &mut MovieRows, seed: u64, index: u64) {
    let random = &mut seeded(seed, NOISE + index);
    rows.iter_mut().flatten().flatten().for_each(|x| *x = random.normal());
}

/// Deals the rows anew to the movies that have one.
fn shuffle_rows(rows: &mut MovieRows, seed: u64, index: u64) {
    let mut dealt: Vec<_> = rows.iter().flatten().cloned().collect();
    shuffle(&mut dealt, &mut seeded(seed, NOISE + index));
    rows.iter_mut().flatten().zip(dealt).for_each(|(to, row)| *to = row);
}

/// The predictions of a model for the test pairs.
#[derive(Default)]
struct ModelOutput {
    train_pairs: usize,
    probabilities: Vec<[f32; CLASSES]>,
    class_weights: Option<[f32; CLASSES]>,
    history: Option<History>,
    parts: Vec<PartResult>,
}

/// Sets the probability of classes that no rating has, which smoothing leaves above zero, to zero.
pub(crate) fn of_classes_that_occur(p: [f32; CLASSES], occurs: [bool; CLASSES]) -> [f32; CLASSES] {
    if occurs == [true; CLASSES] {
        return p;
    }
    weighted(p, occurs.map(|occurs| f32::from(u8::from(occurs))))
}

/// Counts actual (rows) and predicted (columns) classes.
fn confusion(dataset: &Dataset, test: &[u32], probabilities: &[[f32; CLASSES]]) -> Confusion {
    let mut confusion = Confusion::default();
    for (&pair, probabilities) in test.iter().zip(probabilities) {
        confusion[dataset.ratings[pair as usize].label.index()][predicted_class(probabilities)] += 1;
    }
    confusion
}

/// Returns the mean log loss of the test pairs.
fn log_loss(dataset: &Dataset, test: &[u32], probabilities: &[[f32; CLASSES]]) -> f64 {
    let loss = |(&pair, p): (&u32, &[f32; CLASSES])| {
        -f64::from(p[dataset.ratings[pair as usize].label.index()].max(f32::MIN_POSITIVE)).ln()
    };
    test.iter().zip(probabilities).map(loss).sum::<f64>() / test.len().max(1) as f64
}

/// Refuses ratings without a user or movie, and ratings that are not sorted: profiles rely on the
/// order.
fn check_dataset(dataset: &Dataset) -> Result<(), RecommendError> {
    let fail = |reason: String| Err(RecommendError::Dataset { dataset: dataset.name.clone(), reason });
    for (i, rating) in dataset.ratings.iter().enumerate() {
        if rating.user as usize >= dataset.users.len() || rating.movie as usize >= dataset.movies.len() {
            return fail(format!(
                "rating {i} has user {} or movie {}, which does not exist",
                rating.user, rating.movie
            ));
        }
    }
    if !dataset.ratings.is_sorted_by(|a, b| (a.user, a.movie) < (b.user, b.movie)) {
        return fail("ratings must be sorted by user and movie, with one rating for each pair".to_owned());
    }
    Ok(())
}

/// Returns the fold's pairs whose movies have a row in every table, and the number of other pairs.
fn with_embeddings(dataset: &Dataset, needed: &[&MovieRows], drawn: &FoldPairs) -> (FoldPairs, usize) {
    let keep = |pairs: &[u32]| -> Vec<u32> {
        let has_rows =
            |&pair: &u32| needed.iter().all(|rows| rows[dataset.ratings[pair as usize].movie as usize].is_some());
        pairs.iter().copied().filter(has_rows).collect()
    };
    let count = |pairs: &FoldPairs| pairs.train.len() + pairs.validation.len() + pairs.test.len();
    let kept = FoldPairs { train: keep(&drawn.train), validation: keep(&drawn.validation), test: keep(&drawn.test) };
    let left_out = count(drawn) - count(&kept);
    (kept, left_out)
}
