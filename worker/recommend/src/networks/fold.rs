//! One fold of a cell whose model is a network: genre heads, profiles, inputs, training.

use super::ann::Ann;
use super::classifier::Classifier;
use super::genre_head::{HeadKind, HeadSettings, fit_head};
use super::{Network, PairTraining};
use crate::draw_folds::{FoldPairs, fold_seed, upsample};
use crate::features::embedding::EmbeddingTable;
use crate::features::inputs::Inputs;
use crate::features::profile::Profiles;
use crate::{CLASSES, RecommendError};
use jhalak_common::dataset::Dataset;
use jhalak_common::evaluation::{Balance, CellSpec, EmbeddingSource, Errata, Modality, Model, Protocol};
use jhalak_nn::{CheckpointStore, History, fit_resumed, seeded, shuffle};
use std::sync::atomic::AtomicBool;

/// Streams of the cell's seed.
const HEAD_MOVIES: u64 = 5;
const WEIGHTS: u64 = 6;
/// Share of the movies that the published genre heads were trained on: 450 of 510.
const PUBLISHED_HEAD_MOVIES: f64 = 450.0 / 510.0;

/// A fold of a cell, and where its training checkpoints are kept.
pub(crate) struct NetworkFold<'a> {
    pub dataset: &'a Dataset,
    pub spec: &'a CellSpec,
    pub fold: usize,
    pub stop: &'a AtomicBool,
    pub resume: &'a dyn CheckpointStore,
}

impl NetworkFold<'_> {
    /// Passes the tables through genre heads where the cell uses them. Heads are trained on 450 of
    /// 510 movies as published or, under `strict`, on the movies of training pairs.
    pub fn embed(&self, tables: Vec<EmbeddingTable>, pairs: &FoldPairs) -> Result<Vec<EmbeddingTable>, RecommendError> {
        let &Self { dataset, spec, fold, stop, resume } = self;
        if spec.embedding == EmbeddingSource::Given {
            return Ok(tables);
        }
        let kinds: &[HeadKind] = match spec.modality {
            Modality::Video => &[HeadKind::Video],
            Modality::Audio => &[HeadKind::Audio],
            Modality::AudioVideo => &[HeadKind::Video, HeadKind::Audio],
            Modality::Metadata => &[HeadKind::Audio], // no head was published; use the one of plain dense layers
            Modality::Genre => {
                let reason = "genre vectors have no genre head: use `given`".to_owned();
                return Err(RecommendError::Setting { setting: "embedding", reason });
            }
        };
        let genres = EmbeddingTable::genres(dataset);
        let mut embedded = Vec::new();
        for ((raw, &kind), stage) in tables.iter().zip(kinds).zip(["head1", "head2"]) {
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
            let (mut head, _) = fit_head(
                raw,
                &genres,
                &movies,
                &HeadSettings::published(kind, spec.edition),
                seed,
                stop,
                (resume, stage),
            )?;
            let table = head.embed(raw);
            table.check("head", dataset.movies.len())?;
            embedded.push(table);
        }
        Ok(embedded)
    }

    /// Trains the cell's network, and returns the number of training pairs, the predictions and the
    /// history. Profiles use all `drawn` pairs: movies without a trailer have genres too.
    pub fn train(
        &self,
        tables: Vec<EmbeddingTable>,
        drawn: &FoldPairs,
        pairs: &FoldPairs,
    ) -> Result<(usize, Vec<[f32; CLASSES]>, History), RecommendError> {
        let &Self { dataset, spec, fold, stop, resume } = self;
        let errata = match spec.protocol {
            Protocol::Paper { errata } => errata,
            Protocol::Strict { .. } => Errata::none(),
        };
        let seed = fold_seed(spec, fold);
        let profiles = if errata.own_label {
            Profiles::all_pairs(dataset, drawn, errata.copies_in_profiles)
        } else {
            Profiles::out_of_fold(dataset, drawn, spec.training.profile_folds, seed, errata.copies_in_profiles)
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
            Model::Ann => Box::new(Ann::new(&inputs.dims(), spec.edition, random)?),
            _ => Box::new(Classifier::new(&inputs.dims(), random)),
        };
        let weights = class_weights(dataset, &train, spec.training.balance);
        let mut training = PairTraining::new(network.as_mut(), &inputs, weights);
        let resume = (resume, "network");
        let history = fit_resumed(&mut training, &train_samples, &validation, &spec.training.fit, seed, stop, resume)?;
        Ok((train.len(), training.predict(&test), history))
    }
}

/// Returns weights under which all classes of `train` weigh the same; empty under any other
/// balance.
pub(crate) fn class_weights(dataset: &Dataset, train: &[u32], balance: Balance) -> Vec<f32> {
    if balance != Balance::ClassWeights {
        return Vec::new();
    }
    let mut counts = [0.0_f32; CLASSES];
    train.iter().for_each(|&pair| counts[dataset.ratings[pair as usize].label.index()] += 1.0);
    let all: f32 = counts.iter().sum();
    counts.iter().map(|&n| if n > 0.0 { all / (CLASSES as f32 * n) } else { 0.0 }).collect()
}
