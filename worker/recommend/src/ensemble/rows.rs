//! Rows of features: what the members of the stack are fitted on and predict from.

use super::features::knowledge::{Catalogue, Knowledge, labelled_pair};
use super::features::pair_features::{self, Pair};
use super::matrix::Matrix;
use super::settings::{Part, Settings};
use super::views::{OutOfFoldView, out_of_fold_views};
use crate::{CLASSES, RecommendError};
use jhalak_common::dataset::Dataset;
use jhalak_nn::seeded;
use std::sync::atomic::{AtomicBool, Ordering};

/// Streams of the seed.
const INNER_FOLDS: u64 = 1;
const VIEWS: u64 = 2;

/// Feature rows of (user, movie) pairs.
#[derive(Debug, Default)]
pub struct Rows {
    /// One row a pair.
    pub features: Matrix,
    /// Class probabilities of the hierarchical model alone, one a pair.
    pub hierarchical: Vec<[f32; CLASSES]>,
    /// Class probabilities of the factorisation machine alone, one a pair.
    pub machine: Vec<[f32; CLASSES]>,
    /// Class indexes; empty for pairs to predict.
    pub labels: Vec<u8>,
}

impl Rows {
    /// Computes the features of pairs of (user, movie).
    pub fn of(catalogue: &Catalogue, knowledge: &Knowledge, settings: &Settings, pairs: &[(usize, usize)]) -> Self {
        let mut rows = Self::default();
        let shared = if settings.has(Part::SharedViewers) {
            knowledge.shared_viewers.attention(&knowledge.known, pairs)
        } else {
            vec![Default::default(); pairs.len()]
        };
        for (&(user, movie), shared) in pairs.iter().zip(&shared) {
            let machine = knowledge.machine.as_ref().map(|machine| machine.predict(user, movie));
            let pair = Pair { user, movie, shared, machine };
            let row = pair_features::row(catalogue, knowledge, settings, &pair, None);
            rows.features.columns = row.len();
            rows.features.values.extend(row);
            if let Some(model) = &knowledge.hierarchical {
                let p = model.probabilities(&catalogue.side_info(settings), user, movie);
                rows.hierarchical.push(p.map(|p| p as f32));
            }
            rows.machine.extend(machine.map(|machine| machine.probabilities.map(|p| p as f32)));
        }
        rows
    }

    fn extend(&mut self, other: Rows) {
        self.features.columns = other.features.columns;
        self.features.values.extend(other.features.values);
        self.hierarchical.extend(other.hierarchical);
        self.machine.extend(other.machine);
        self.labels.extend(other.labels);
    }
}

/// Rows to fit the members on, and rows to score them on, whose labels the former never saw.
#[derive(Debug)]
pub struct InnerFold {
    /// Rows to fit on.
    pub fit: Rows,
    /// Held-out rows.
    pub held_out: Rows,
}

/// Builds the rows of training pairs through out-of-fold views.
pub struct RowBuilder<'a> {
    /// The dataset of the training pairs.
    pub dataset: &'a Dataset,
    /// Its catalogue.
    pub catalogue: &'a Catalogue,
    /// Settings of the ensemble.
    pub settings: &'a Settings,
    /// Seed of the folds and of the models in each view.
    pub seed: u64,
    /// Set to stop.
    pub stop: &'a AtomicBool,
}

impl RowBuilder<'_> {
    fn views(&self, train: &[u32], folds: usize, rounds: usize, stream: u64) -> Vec<OutOfFoldView> {
        let random = &mut seeded(self.seed, stream);
        out_of_fold_views(self.dataset, train, self.settings.cold_start, folds, rounds, random)
    }

    /// Runs the feature procedure with each stack fold held out, until enough pairs were.
    ///
    /// # Errors
    /// [`RecommendError::Stopped`].
    pub fn inner_folds(&self, train: &[u32]) -> Result<Vec<InnerFold>, RecommendError> {
        let (mut inner_folds, mut held_out) = (Vec::new(), 0);
        for view in self.views(train, self.settings.stack_folds, 1, INNER_FOLDS) {
            if held_out >= self.settings.stack_pairs {
                break;
            }
            held_out += view.held_out.len();
            let fit = self.out_of_fold(&view.known, 1 + view.fold as u64)?;
            if !fit.labels.is_empty() {
                inner_folds.push(InnerFold { fit, held_out: self.rows(&view.known, &view.held_out)? });
            }
        }
        Ok(inner_folds)
    }

    /// Builds the row of every pair of `train` without the pair's own label.
    ///
    /// # Errors
    /// [`RecommendError::Stopped`].
    pub fn out_of_fold(&self, train: &[u32], stream: u64) -> Result<Rows, RecommendError> {
        let mut rows = Rows::default();
        for view in self.views(train, self.settings.profile_folds, self.settings.known_rounds, VIEWS + stream) {
            rows.extend(self.rows(&view.known, &view.held_out)?);
        }
        Ok(rows)
    }

    /// Builds labelled rows of the pairs `held_out` from features learned on the pairs `known`.
    ///
    /// # Errors
    /// [`RecommendError::Stopped`].
    pub fn rows(&self, known: &[u32], held_out: &[u32]) -> Result<Rows, RecommendError> {
        check_stop(self.stop)?;
        let knowledge = Knowledge::learn(self.dataset, self.catalogue, known, self.settings, self.seed);
        let held_out: Vec<_> = held_out.iter().map(|&pair| labelled_pair(self.dataset, pair)).collect();
        let pairs: Vec<_> = held_out.iter().map(|pair| (pair.user as usize, pair.movie as usize)).collect();
        let rows = Rows::of(self.catalogue, &knowledge, self.settings, &pairs);
        Ok(Rows { labels: held_out.iter().map(|pair| pair.label).collect(), ..rows })
    }
}

/// Sorts pairs and drops repeated ones.
///
/// # Errors
/// [`RecommendError::Dataset`]: an index without a rating.
pub fn sorted_pairs(dataset: &Dataset, pairs: &[u32]) -> Result<Vec<u32>, RecommendError> {
    let mut pairs = pairs.to_vec();
    pairs.sort_unstable();
    pairs.dedup();
    match pairs.last().filter(|last| **last as usize >= dataset.ratings.len()) {
        None => Ok(pairs),
        Some(beyond) => {
            let reason = format!("rating {beyond} to train on does not exist");
            Err(RecommendError::Dataset { dataset: dataset.name.clone(), reason })
        }
    }
}

/// Returns an error once the caller requests a stop.
///
/// # Errors
/// [`RecommendError::Stopped`].
pub fn check_stop(stop: &AtomicBool) -> Result<(), RecommendError> {
    if stop.load(Ordering::Relaxed) { Err(RecommendError::Stopped) } else { Ok(()) }
}
