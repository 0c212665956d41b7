//! Fits a classifier or ANN on every pair of a dataset, and predicts with it.

use crate::draw_folds::{FoldPairs, stratified, upsample};
use crate::features::embedding::{EmbeddingTable, Features};
use crate::features::inputs::Inputs;
use crate::features::metadata;
use crate::features::profile::Profiles;
use crate::networks::ann::Ann;
use crate::networks::classifier::Classifier;
use crate::networks::fold::class_weights;
use crate::networks::genre_head::{GenreHead, HeadKind, HeadSettings, fit_head};
use crate::networks::{Network, PairTraining};
use crate::{CLASSES, RecommendError};
use jhalak_common::dataset::Dataset;
use jhalak_common::evaluation::{CellSpec, EmbeddingSource, Modality, Model, Protocol};
use jhalak_nn::{History, NoCheckpoints, Parameter, fit, seeded};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;

/// Streams of the seed.
const VALIDATION: u64 = 1 << 16;
const WEIGHTS: u64 = 6;

/// One modality of a fitted network.
#[derive(Debug)]
pub struct Side {
    /// `video`, `audio`, `genre` or `metadata`.
    pub name: &'static str,
    /// The genre head that turns a raw embedding into the one that the network reads.
    pub head: Option<Head>,
    /// The embeddings that the network reads, one for each movie.
    pub table: EmbeddingTable,
    /// Mean and 1 / standard deviation of each movie input, then of each user input; empty where
    /// inputs are not standardised.
    pub scaling: [Vec<(f32, f32)>; 2],
}

/// A genre head with the size of its input.
#[derive(Debug)]
pub struct Head {
    /// The kind of head.
    pub kind: HeadKind,
    /// The head.
    pub head: GenreHead,
    /// Length of a raw embedding.
    pub inputs: usize,
}

/// A fitted network with the tables of its inputs.
#[derive(Debug)]
pub struct FittedNetwork {
    /// The fitted cell; the split and folds of its protocol are not used.
    pub spec: CellSpec,
    /// Its modalities, in the order of its inputs.
    pub sides: Vec<Side>,
    /// The network.
    pub network: Box<dyn Network>,
    /// Facts of the training.
    pub training: TrainingFacts,
}

/// Facts of the training of the final network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainingFacts {
    /// Pairs trained on, copies included.
    pub train_pairs: usize,
    /// Pairs that decided when to stop.
    pub validation_pairs: usize,
    /// Pairs left out because their movie has no embedding.
    pub left_out_pairs: usize,
    /// Losses of each epoch, and which epoch's weights were kept.
    pub history: History,
}

/// Fits the network of a strict cell on every pair whose movie has an embedding, except a share
/// that decides when to stop. Profiles of training pairs exclude the own label, as in every strict
/// fold.
///
/// # Errors
/// [`RecommendError`]: a cell without a network or not under `strict`, missing embeddings, a failed
/// training, or `stop`.
pub fn fit_network(
    dataset: &Dataset,
    features: &Features,
    spec: &CellSpec,
    stop: &AtomicBool,
) -> Result<FittedNetwork, RecommendError> {
    spec.check()?;
    if !spec.model.is_network() || !matches!(spec.protocol, Protocol::Strict { .. }) {
        let reason = "the final network must be the classifier or the ANN, under the strict protocol".to_owned();
        return Err(RecommendError::Setting { setting: "model", reason });
    }
    let all: Vec<u32> = (0..dataset.ratings.len() as u32).collect();
    let raw = match spec.modality {
        Modality::Metadata => vec![metadata::table(dataset, &all, spec.seed)?],
        _ => features.tables(spec.modality, dataset)?,
    };
    let has_rows = |&pair: &u32| raw.iter().all(|table| table.row(dataset.ratings[pair as usize].movie).is_some());
    let kept: Vec<u32> = all.iter().copied().filter(has_rows).collect();
    let (train, validation) =
        stratified(dataset, &kept, spec.training.validation, &mut seeded(spec.seed, VALIDATION + spec.folds as u64));
    if train.is_empty() || validation.is_empty() {
        let reason = match spec.modality.tables().is_empty() {
            true => format!("{} ratings are too few to fit on", kept.len()),
            false => format!(
                "{} of {} ratings are of movies with {} embeddings, too few to fit on: add trailers, or fit on another \
                 modality",
                kept.len(),
                all.len(),
                spec.modality
            ),
        };
        return Err(RecommendError::Dataset { dataset: dataset.name.clone(), reason });
    }
    let (tables, heads) = embed(dataset, raw, spec, &train, stop)?;
    let known = FoldPairs { train: all, validation: Vec::new(), test: Vec::new() };
    let profiles = Profiles::out_of_fold(dataset, &known, spec.training.profile_folds, spec.seed, false);
    let train = upsample(dataset, &train, spec.training.balance, spec.seed);
    let mut inputs = Inputs::new(tables.clone());
    let mut rows = Vec::new();
    let train_samples = inputs.add(dataset, spec, false, &profiles, &train, &mut rows);
    let validation_samples = inputs.add(dataset, spec, false, &profiles, &validation, &mut rows);
    if spec.standardise_inputs {
        inputs.standardise(&train_samples);
    }
    let mut network = empty_network(spec, &inputs.dims())?;
    let weights = class_weights(dataset, &train, spec.training.balance);
    let mut training = PairTraining::new(network.as_mut(), &inputs, weights);
    let history = fit(&mut training, &train_samples, &validation_samples, &spec.training.fit, spec.seed, stop)?;
    let training = TrainingFacts {
        train_pairs: train.len(),
        validation_pairs: validation.len(),
        left_out_pairs: dataset.ratings.len() - kept.len(),
        history,
    };
    let sides = tables
        .into_iter()
        .zip(heads)
        .zip(names(spec.modality))
        .enumerate()
        .map(|(i, ((table, head), name))| Side { name, head, table, scaling: inputs.scaling(i).clone() })
        .collect();
    Ok(FittedNetwork { spec: spec.clone(), sides, network, training })
}

/// Returns the names of a modality's tables.
pub fn names(modality: Modality) -> &'static [&'static str] {
    match modality {
        Modality::Video => &["video"],
        Modality::Audio => &["audio"],
        Modality::AudioVideo => &["video", "audio"],
        Modality::Genre => &["genre"],
        Modality::Metadata => &["metadata"],
    }
}

/// Initialises the network of the cell from its seed.
///
/// # Errors
/// [`RecommendError::Setting`]: embedding sizes that the ANN cannot share.
pub fn empty_network(spec: &CellSpec, dims: &[usize]) -> Result<Box<dyn Network>, RecommendError> {
    let random = &mut seeded(spec.seed, WEIGHTS);
    Ok(match spec.model {
        Model::Ann => Box::new(Ann::new(dims, spec.edition, random)?),
        _ => Box::new(Classifier::new(dims, random)),
    })
}

/// Returns the kind of head that a table is passed through, if any.
pub fn head_kind(spec: &CellSpec, name: &str) -> Option<HeadKind> {
    match (spec.embedding, name) {
        (EmbeddingSource::GenreHead, "video") => Some(HeadKind::Video),
        (EmbeddingSource::GenreHead, "audio" | "metadata") => Some(HeadKind::Audio),
        _ => None,
    }
}

fn embed(
    dataset: &Dataset,
    raw: Vec<EmbeddingTable>,
    spec: &CellSpec,
    train: &[u32],
    stop: &AtomicBool,
) -> Result<(Vec<EmbeddingTable>, Vec<Option<Head>>), RecommendError> {
    let mut movies: Vec<u32> = train.iter().map(|&pair| dataset.ratings[pair as usize].movie).collect();
    movies.sort_unstable();
    movies.dedup();
    let genres = EmbeddingTable::genres(dataset);
    let (mut tables, mut heads) = (Vec::new(), Vec::new());
    for (table, name) in raw.into_iter().zip(names(spec.modality)) {
        let Some(kind) = head_kind(spec, name) else {
            tables.push(table);
            heads.push(None);
            continue;
        };
        let settings = HeadSettings::published(kind, spec.edition);
        let (mut head, _) = fit_head(&table, &genres, &movies, &settings, spec.seed, stop, (&NoCheckpoints, ""))?;
        let embedded = head.embed(&table);
        embedded.check("head", dataset.movies.len())?;
        tables.push(embedded);
        heads.push(Some(Head { kind, head, inputs: table.dim }));
    }
    Ok((tables, heads))
}

impl FittedNetwork {
    /// Returns the probabilities of dislike, neutral and like of these movies for one user, from
    /// all ratings of the dataset. The dataset may have users and movies that came after the fit;
    /// rows of new movies follow those of the fit in the tables. Every movie must have a row.
    pub fn predict(&mut self, dataset: &Dataset, user: u32, movies: &[u32]) -> Vec<[f32; CLASSES]> {
        let (inputs, samples) = self.inputs(dataset, user, movies);
        PairTraining::new(self.network.as_mut(), &inputs, Vec::new()).predict(&samples)
    }

    /// Returns the inputs of these pairs, and their samples.
    pub fn inputs(&self, dataset: &Dataset, user: u32, movies: &[u32]) -> (Inputs, Vec<u32>) {
        let all = FoldPairs { train: Vec::new(), validation: Vec::new(), test: Vec::new() };
        // The caller has removed the predicted pairs from the dataset, so profiles may use all
        // pairs.
        let profiles = Profiles::all_pairs(dataset, &all, false);
        let mut inputs = Inputs::new(self.sides.iter().map(|side| side.table.clone()).collect());
        for (i, side) in self.sides.iter().enumerate() {
            inputs.set_scaling(i, side.scaling.clone());
        }
        let mut rows = Vec::new();
        let add = |&movie| inputs.add_unlabelled(dataset, &self.spec, &profiles, (user as usize, movie), &mut rows);
        let samples = movies.iter().map(add).collect();
        (inputs, samples)
    }

    /// Returns whether every modality has an embedding of the movie.
    pub fn has(&self, movie: u32) -> bool {
        self.sides.iter().all(|side| side.table.row(movie).is_some())
    }

    /// Returns all weights by name: those of the network and, as `head.NAME.`, of the genre heads.
    pub fn weights(&mut self) -> BTreeMap<String, Vec<f32>> {
        let mut weights = BTreeMap::new();
        self.parameters(&mut |name, parameter| drop(weights.insert(name.to_owned(), parameter.value.clone())));
        weights
    }

    /// Visits every parameter by its stored name.
    pub fn parameters(&mut self, visit: &mut dyn FnMut(&str, &mut Parameter)) {
        self.network.parameters(visit);
        for side in &mut self.sides {
            let name = side.name;
            if let Some(head) = &mut side.head {
                head.head.parameters(&mut |own, parameter| visit(&format!("head.{name}.{own}"), parameter));
            }
        }
    }
}
