//! One fold of a cell whose model is attention over the parts of trailers.

use super::trailer_attention::{TrailerAttention, TrailerTraining};
use super::trailer_tokens::{Tokens, TrailerPairs};
use crate::draw_folds::{FoldPairs, fold_seed};
use crate::features::embedding::PartTable;
use crate::{CLASSES, RecommendError};
use jhalak_common::dataset::Dataset;
use jhalak_common::evaluation::CellSpec;
use jhalak_nn::{CheckpointStore, History, fit_resumed, seeded};
use std::sync::atomic::AtomicBool;

/// Streams of the fold's seed.
const WEIGHTS: u64 = 6;
const COMPONENTS: u64 = 31;

/// A fold of a cell, and where its training checkpoints are kept.
pub(crate) struct TrailerFold<'a> {
    pub dataset: &'a Dataset,
    pub spec: &'a CellSpec,
    pub fold: usize,
    /// All pairs: a user's other movies without a trailer count in the class shares, too.
    pub drawn: &'a FoldPairs,
    /// The pairs whose movie has parts in every track.
    pub pairs: &'a FoldPairs,
    pub stop: &'a AtomicBool,
    pub resume: &'a dyn CheckpointStore,
}

impl TrailerFold<'_> {
    /// Trains the network on the parts of each track, and returns the predictions of the test pairs
    /// and the history. Reads no rating of a test pair.
    ///
    /// # Errors
    /// A training that fails, or `stop`.
    pub(crate) fn train(&self, tracks: &[PartTable]) -> Result<(Vec<[f32; CLASSES]>, History), RecommendError> {
        let &Self { dataset, spec, fold, drawn, pairs, stop, resume } = self;
        let seed = fold_seed(spec, fold);
        let mut fitted = vec![false; dataset.movies.len()];
        pairs.train.iter().for_each(|&pair| fitted[dataset.ratings[pair as usize].movie as usize] = true);
        let mut known = [drawn.train.as_slice(), &drawn.validation].concat();
        known.sort_unstable();
        known.dedup();
        let mut samples = TrailerPairs::new(Tokens::learn(tracks, &fitted, (seed, COMPONENTS)));
        let [train, validation, test] =
            [&pairs.train, &pairs.validation, &pairs.test].map(|pairs| samples.add(dataset, &known, pairs));
        let mut network = TrailerAttention::new(samples.dim(), &mut seeded(seed, WEIGHTS));
        let mut training = TrailerTraining::new(&mut network, &samples);
        let checkpoints = (resume, "network");
        let history = fit_resumed(&mut training, &train, &validation, &spec.training.fit, seed, stop, checkpoints)?;
        Ok((training.predict(&test), history))
    }
}
