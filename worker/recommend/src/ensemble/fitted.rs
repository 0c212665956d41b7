//! Fits the ensemble, and predicts with it.

use super::class_weights::fit_class_weights;
use super::features::knowledge::{Catalogue, Knowledge};
use super::features::pair_features::{self, Pair};
use super::linear::softmax;
use super::members::Members;
use super::rows::{RowBuilder, Rows, sorted_pairs};
use super::settings::{Part, Settings};
use crate::features::embedding::EmbeddingTable;
use crate::features::principal_components::{Components, Track};
use crate::{CLASSES, RecommendError};
use jhalak_common::dataset::Dataset;
use jhalak_common::evaluation::metrics::{Confusion, Scores, predicted_class, scores};
use serde::{Deserialize, Serialize};
use std::sync::atomic::AtomicBool;

/// Figures of a member, or of the stack, on held-out training pairs. Settings are chosen by these.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InnerScore {
    /// Name of the member, or `stack`.
    pub name: String,
    /// Weight in the stack.
    pub weight: f64,
    /// Mean log loss.
    pub log_loss: f64,
    /// Figures of the most probable class.
    pub scores: Scores,
}

/// A fitted ensemble with its catalogue and what it learned from the known pairs.
#[derive(Debug)]
pub struct FittedEnsemble {
    pub(super) learned: Learned,
    pub(super) catalogue: Catalogue,
    pub(super) knowledge: Knowledge,
}

/// The stored part: everything that cannot be learned again from the training pairs in a second.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Learned {
    pub settings: Settings,
    pub seed: u64,
    pub members: Members,
    #[serde(rename = "balance")]
    pub class_weights: [f32; CLASSES],
    pub inner: Vec<InnerScore>,
    /// Names of the features.
    pub names: Vec<(Part, String)>,
}

/// Fits the ensemble on the pairs `train` (indexes into the dataset's ratings). Reads no other
/// label. `trailers` are embeddings of the movies' trailers; movies without one keep their pairs.
///
/// # Errors
/// [`RecommendError`]: settings that cannot be used, indexes without a rating, too few pairs to
/// hold any out, or `stop`.
pub fn fit(
    dataset: &Dataset,
    train: &[u32],
    trailers: &[(Track, &EmbeddingTable)],
    settings: &Settings,
    seed: u64,
    stop: &AtomicBool,
) -> Result<FittedEnsemble, RecommendError> {
    settings.check()?;
    let train = sorted_pairs(dataset, train)?;
    let mut movies = vec![false; dataset.movies.len()];
    train.iter().for_each(|&pair| movies[dataset.ratings[pair as usize].movie as usize] = true);
    let trailers = trailers.iter().map(|&(track, table)| Components::learn(track, table, &movies, seed)).collect();
    let catalogue = Catalogue::new(dataset, &train, trailers, settings, seed);
    let builder = RowBuilder { dataset, catalogue: &catalogue, settings, seed, stop };
    let inner_folds = builder.inner_folds(&train)?;
    if inner_folds.is_empty() {
        let reason = format!(
            "{} training pairs are too few to hold any out: this ensemble needs more. `jhalak fit --ensemble pairs` fits the \
             one for known users and movies alone",
            train.len()
        );
        return Err(RecommendError::Dataset { dataset: dataset.name.clone(), reason });
    }
    let rows = builder.out_of_fold(&train, 0)?;
    let (members, held_out, stacked) = Members::fit(&inner_folds, &rows, settings, seed, stop)?;
    let labels: Vec<u8> = inner_folds.iter().flat_map(|inner_fold| inner_fold.held_out.labels.clone()).collect();
    let class_weights = fit_class_weights(&stacked, &labels);
    let mut inner = Vec::new();
    for ((probabilities, name), &weight) in held_out.iter().zip(members.names()).zip(members.weights()) {
        inner.push(inner_score(name, weight, probabilities, &labels));
    }
    inner.push(inner_score("stack", 1.0, &stacked, &labels));
    let knowledge = Knowledge::learn(dataset, &catalogue, &train, settings, seed);
    let mut names = Vec::new();
    let machine = knowledge.machine.as_ref().map(|machine| machine.predict(0, 0));
    let first = Pair { user: 0, movie: 0, shared: &Default::default(), machine };
    pair_features::row(&catalogue, &knowledge, settings, &first, Some(&mut names));
    let learned = Learned { settings: settings.clone(), seed, members, class_weights, inner, names };
    Ok(FittedEnsemble { learned, catalogue, knowledge })
}

impl Catalogue {
    /// Applies the catalogue's encoders to another dataset, and sorts the pairs known of it.
    pub(super) fn refitted_on(self, dataset: &Dataset, known: &[u32]) -> Result<(Self, Vec<u32>), RecommendError> {
        let fail = |reason: &str| RecommendError::Dataset { dataset: dataset.name.clone(), reason: reason.to_owned() };
        let known = sorted_pairs(dataset, known)?;
        if known.is_empty() {
            return Err(fail("the ensemble needs at least one known pair"));
        }
        let catalogue = self.applied_to(dataset).ok_or_else(|| fail("its genres are not those of the fit"))?;
        Ok((catalogue, known))
    }
}

impl FittedEnsemble {
    /// Learns the features anew from the pairs `known` of a dataset that may have new users, movies
    /// and ratings; the stack and its members stay. Serves users and movies that came after the
    /// fit, in about a second.
    ///
    /// # Errors
    /// [`RecommendError::Dataset`]: indexes without a rating, no pair at all, or genres other than
    /// those of the fit.
    pub fn refitted_on(self, dataset: &Dataset, known: &[u32]) -> Result<Self, RecommendError> {
        let (catalogue, known) = self.catalogue.refitted_on(dataset, known)?;
        let knowledge = Knowledge::learn(dataset, &catalogue, &known, &self.learned.settings, self.learned.seed);
        Ok(Self { learned: self.learned, catalogue, knowledge })
    }

    /// Returns the probabilities of dislike, neutral and like for pairs of (user, movie) indexes.
    ///
    /// # Errors
    /// A user or movie that the dataset does not have.
    pub fn predict(&self, pairs: &[(u32, u32)]) -> Result<Vec<[f32; CLASSES]>, RecommendError> {
        Ok(self.learned.members.predict(&self.rows(pairs)?))
    }

    /// Returns the probabilities of each member alone, in the order of [`FittedEnsemble::inner`].
    ///
    /// # Errors
    /// As [`FittedEnsemble::predict`].
    pub fn predict_each(&self, pairs: &[(u32, u32)]) -> Result<Vec<Vec<[f32; CLASSES]>>, RecommendError> {
        Ok(self.learned.members.each(&self.rows(pairs)?))
    }

    pub(super) fn check_pair(&self, user: u32, movie: u32) -> Result<(), RecommendError> {
        if (user as usize) < self.catalogue.users && (movie as usize) < self.catalogue.movies {
            return Ok(());
        }
        let reason = format!("user {user} or movie {movie} to predict does not exist");
        Err(RecommendError::Dataset { dataset: "of the fitted model".to_owned(), reason })
    }

    /// Builds unlabelled rows of these pairs.
    pub(super) fn rows(&self, pairs: &[(u32, u32)]) -> Result<Rows, RecommendError> {
        pairs.iter().try_for_each(|&(user, movie)| self.check_pair(user, movie))?;
        let pairs: Vec<_> = pairs.iter().map(|&(user, movie)| (user as usize, movie as usize)).collect();
        Ok(Rows::of(&self.catalogue, &self.knowledge, &self.learned.settings, &pairs))
    }

    /// Returns the weights of dislike, neutral and like under which the most probable class has the
    /// highest macro F1 on inner folds.
    #[must_use]
    pub fn class_weights(&self) -> [f32; CLASSES] {
        self.learned.class_weights
    }

    /// Returns the figures of each member on inner folds; those of the stack are last.
    #[must_use]
    pub fn inner(&self) -> &[InnerScore] {
        &self.learned.inner
    }

    /// Returns how many boosting rounds were kept; 0 without boosting.
    #[must_use]
    pub fn rounds(&self) -> usize {
        self.learned.members.rounds()
    }

    /// Returns the gain of each feature in boosting, highest first; empty without boosting.
    #[must_use]
    pub fn gains(&self) -> Vec<(Part, &str, f64)> {
        let mut gains = Vec::new();
        for ((part, name), gain) in self.learned.names.iter().zip(self.learned.members.gains()) {
            gains.push((*part, name.as_str(), gain));
        }
        gains.sort_by(|a, b| b.2.total_cmp(&a.2));
        gains
    }
}

fn inner_score(name: &str, weight: f64, probabilities: &[[f32; CLASSES]], labels: &[u8]) -> InnerScore {
    let mut confusion = Confusion::default();
    for (p, &label) in probabilities.iter().zip(labels) {
        confusion[usize::from(label)][predicted_class(p)] += 1;
    }
    let log_loss = softmax::log_loss(probabilities, labels);
    InnerScore { name: name.to_owned(), weight, log_loss, scores: scores(&confusion) }
}
