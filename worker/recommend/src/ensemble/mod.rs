//! The best honest model that we know how to build around the classifier's idea: bias terms, out-of-fold profiles, GL features,
//! content, attention over the user's own rated movies, boosted, stacked, with thresholds fitted on inner folds.
//!
//! # How no label leaks
//! Training pairs are dealt into folds the way test pairs are held out ([`Regime`]). A [view](views) of each fold knows the other
//! folds and is asked about its own: everything that is fitted or summed ([`features::knowledge`]) is learned anew in it. So the
//! [features] of a training pair are made by somebody who never saw its label. The members of the stack are fitted on those rows.
//!
//! The stack, the number of boosting rounds and the class weights come from trials: the whole procedure, views and all, on the
//! training pairs but one fold, asked about that fold. (Holding out described rows alone is not enough: the rows that are kept were
//! described by the labels of those held out. On unseen movies that made a linear member look better by 0.04 in log loss than it was.)
//! A pair to predict is described by all training pairs.

mod ablation;
pub mod balance;
mod explain;
mod features;
mod linear;
pub mod linear_baselines;
mod members;
pub mod settings;
mod stack;
mod stored;
mod trees;
pub mod views;

#[cfg(test)]
mod leak_tests;
#[cfg(test)]
mod serving_tests;

pub use explain::{Leaning, Reasons, Token};
pub use settings::{Part, Regime, Settings};
pub use stored::Stored;

use crate::{CLASSES, RecommendError};
use features::knowledge::{Catalogue, Knowledge, labelled};
use features::pair_features;
use jhalak_common::dataset::Dataset;
use jhalak_common::evaluation::metrics::{Confusion, Scores, predicted_class, scores};
use jhalak_nn::seeded;
use linear::softmax;
use members::Members;
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicBool, Ordering};
use trees::bins::Matrix;

/// Streams of the seed.
const TRIALS: u64 = 1;
const VIEWS: u64 = 2;

/// How a model, or the stack of all, does on training pairs that it was not fitted on. Settings are to be chosen by this.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Inner {
    /// Which model.
    pub name: String,
    /// Its weight in the stack.
    pub weight: f64,
    /// Mean log loss.
    pub log_loss: f64,
    /// Figures of the most probable class.
    pub scores: Scores,
}

/// A fitted model, with what it knows of the catalogue and of the training pairs.
#[derive(Debug)]
pub struct Fitted {
    learned: Learned,
    catalogue: Catalogue,
    knowledge: Knowledge,
}

/// The second level: all that cannot be learned again from the training pairs in a second.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Learned {
    settings: Settings,
    seed: u64,
    members: Members,
    balance: [f32; CLASSES],
    inner: Vec<Inner>,
    /// Names of the features.
    names: Vec<(Part, String)>,
}

/// Fits everything on the pairs `train` (indexes into the dataset's ratings): no other label of the dataset is looked at.
///
/// # Errors
/// [`RecommendError`]: settings that cannot be used, indexes that name no rating, too few pairs to hold any out, or `stop`.
pub fn fit(
    dataset: &Dataset,
    train: &[u32],
    settings: &Settings,
    seed: u64,
    stop: &AtomicBool,
) -> Result<Fitted, RecommendError> {
    settings.check()?;
    let train = sorted(dataset, train)?;
    let catalogue = Catalogue::new(dataset, &train, settings, seed);
    let about = About { dataset, catalogue: &catalogue, settings, seed, stop };
    let trials = about.trials(&train)?;
    if trials.is_empty() {
        let reason = format!("{} training pairs are too few to hold any out: the honest model needs more", train.len());
        return Err(RecommendError::Dataset { dataset: dataset.name.clone(), reason });
    }
    let rows = about.held_out(&train, 0)?;
    let (members, held_out, stacked) = Members::fit(&trials, &rows, settings, seed, stop)?;
    let labels: Vec<u8> = trials.iter().flat_map(|(_, asked)| asked.labels.clone()).collect();
    let balance = balance::balance(&stacked, &labels);
    let mut inner: Vec<Inner> = held_out
        .iter()
        .zip(members.names())
        .zip(members.weights())
        .map(|((probabilities, name), &weight)| figures(name, weight, probabilities, &labels))
        .collect();
    inner.push(figures("stack", 1.0, &stacked, &labels));
    let knowledge = Knowledge::learn(dataset, &catalogue, &train, settings, seed);
    let mut names = Vec::new();
    pair_features::row(&catalogue, &knowledge, settings, 0, 0, Some(&mut names));
    let learned = Learned { settings: settings.clone(), seed, members, balance, inner, names };
    Ok(Fitted { learned, catalogue, knowledge })
}

/// The pairs in order and once each, if the dataset has them.
fn sorted(dataset: &Dataset, pairs: &[u32]) -> Result<Vec<u32>, RecommendError> {
    let mut pairs = pairs.to_vec();
    pairs.sort_unstable();
    pairs.dedup();
    match pairs.last().filter(|last| **last as usize >= dataset.ratings.len()) {
        None => Ok(pairs),
        Some(beyond) => {
            let reason = format!("there is no rating {beyond} to learn from");
            Err(RecommendError::Dataset { dataset: dataset.name.clone(), reason })
        }
    }
}

impl Catalogue {
    /// The catalogue of another dataset, and the pairs that are known of it in order.
    fn knowing(self, dataset: &Dataset, known: &[u32]) -> Result<(Self, Vec<u32>), RecommendError> {
        let fail = |reason: &str| RecommendError::Dataset { dataset: dataset.name.clone(), reason: reason.to_owned() };
        let known = sorted(dataset, known)?;
        if known.is_empty() {
            return Err(fail("the honest model must know at least one pair"));
        }
        let catalogue = self.applied_to(dataset).ok_or_else(|| fail("its genres are not those of the fit"))?;
        Ok((catalogue, known))
    }
}

impl Fitted {
    /// The same model with other knowledge: the pairs `known` of a dataset that may have new users, movies and ratings. This is how
    /// users are served who came after the fit, from a few of their ratings, and movies that nobody rated. It takes about a second.
    ///
    /// # Errors
    /// [`RecommendError::Dataset`]: indexes that name no rating, no pair at all, or other genres than the model was fitted with.
    pub fn know(self, dataset: &Dataset, known: &[u32]) -> Result<Self, RecommendError> {
        let (catalogue, known) = self.catalogue.knowing(dataset, known)?;
        let knowledge = Knowledge::learn(dataset, &catalogue, &known, &self.learned.settings, self.learned.seed);
        Ok(Self { learned: self.learned, catalogue, knowledge })
    }

    /// Probabilities of dislike, neutral and like for pairs of (user, movie), by their places in the dataset.
    ///
    /// # Errors
    /// A user or movie that the dataset does not have.
    pub fn predict(&self, pairs: &[(u32, u32)]) -> Result<Vec<[f32; CLASSES]>, RecommendError> {
        Ok(self.learned.members.predict(&self.describe(pairs)?))
    }

    fn check_pair(&self, user: u32, movie: u32) -> Result<(), RecommendError> {
        if (user as usize) < self.catalogue.users && (movie as usize) < self.catalogue.movies {
            return Ok(());
        }
        let reason = format!("there is no user {user} or no movie {movie} to predict");
        Err(RecommendError::Dataset { dataset: "of the fitted model".to_owned(), reason })
    }

    fn describe(&self, pairs: &[(u32, u32)]) -> Result<Rows, RecommendError> {
        let mut rows = Rows::default();
        for &(user, movie) in pairs {
            self.check_pair(user, movie)?;
            rows.describe(&self.catalogue, &self.knowledge, &self.learned.settings, user as usize, movie as usize);
        }
        Ok(rows)
    }

    /// The same from each member of the stack by itself, in the order of [`Fitted::inner`].
    ///
    /// # Errors
    /// As [`Fitted::predict`].
    pub fn predict_each(&self, pairs: &[(u32, u32)]) -> Result<Vec<Vec<[f32; CLASSES]>>, RecommendError> {
        Ok(self.learned.members.each(&self.describe(pairs)?))
    }

    /// The weights of dislike, neutral and like under which the most probable class brings the highest macro F1 on inner folds.
    #[must_use]
    pub fn balance(&self) -> [f32; CLASSES] {
        self.learned.balance
    }

    /// How each member and the stack do on inner folds; the stack is the last.
    #[must_use]
    pub fn inner(&self) -> &[Inner] {
        &self.learned.inner
    }

    /// Rounds of the boosting that were kept; 0 without boosting.
    #[must_use]
    pub fn rounds(&self) -> usize {
        self.learned.members.rounds()
    }

    /// What each feature gained in the boosting, strongest first; empty without boosting.
    #[must_use]
    pub fn gains(&self) -> Vec<(Part, &str, f64)> {
        let gains = self.learned.members.gains();
        let mut gains: Vec<(Part, &str, f64)> =
            self.learned.names.iter().zip(gains).map(|((part, name), gain)| (*part, name.as_str(), gain)).collect();
        gains.sort_by(|a, b| b.2.total_cmp(&a.2));
        gains
    }
}

/// What every description needs.
struct About<'a> {
    dataset: &'a Dataset,
    catalogue: &'a Catalogue,
    settings: &'a Settings,
    seed: u64,
    stop: &'a AtomicBool,
}

impl About<'_> {
    fn views(&self, train: &[u32], folds: usize, rounds: usize, stream: u64) -> Vec<views::View> {
        views::views(self.dataset, train, self.settings.regime, folds, rounds, &mut seeded(self.seed, stream))
    }

    /// The whole procedure with each stack fold held out: rows to fit the members on, and rows to ask them about, whose labels
    /// the former do not know.
    fn trials(&self, train: &[u32]) -> Result<Vec<(Rows, Rows)>, RecommendError> {
        let mut trials = Vec::new();
        for view in self.views(train, self.settings.stack_folds, 1, TRIALS) {
            let rows = self.held_out(&view.known, 1 + view.fold as u64)?;
            if !rows.labels.is_empty() {
                trials.push((rows, self.ask(&view.known, &view.asked)?));
            }
        }
        Ok(trials)
    }

    /// Every pair of `train`, described without its own label.
    fn held_out(&self, train: &[u32], stream: u64) -> Result<Rows, RecommendError> {
        let mut rows = Rows::default();
        for view in self.views(train, self.settings.profile_folds, self.settings.known_rounds, VIEWS + stream) {
            rows.extend(self.ask(&view.known, &view.asked)?);
        }
        Ok(rows)
    }

    /// The pairs `asked`, with their labels, as one who knows the pairs `known` describes them.
    fn ask(&self, known: &[u32], asked: &[u32]) -> Result<Rows, RecommendError> {
        stopped(self.stop)?;
        let knowledge = Knowledge::learn(self.dataset, self.catalogue, known, self.settings, self.seed);
        let mut rows = Rows::default();
        for &pair in asked {
            let pair = labelled(self.dataset, pair);
            rows.labels.push(pair.label);
            rows.describe(self.catalogue, &knowledge, self.settings, pair.user as usize, pair.movie as usize);
        }
        Ok(rows)
    }
}

/// An error if the caller asked to stop.
fn stopped(stop: &AtomicBool) -> Result<(), RecommendError> {
    if stop.load(Ordering::Relaxed) { Err(RecommendError::Stopped) } else { Ok(()) }
}

/// Described pairs.
#[derive(Debug, Default)]
struct Rows {
    features: Matrix,
    /// What the hierarchical model alone says of each.
    hierarchical: Vec<[f32; CLASSES]>,
    /// Empty for pairs that are to be predicted.
    labels: Vec<u8>,
}

impl Rows {
    fn describe(
        &mut self,
        catalogue: &Catalogue,
        knowledge: &Knowledge,
        settings: &Settings,
        user: usize,
        movie: usize,
    ) {
        let row = pair_features::row(catalogue, knowledge, settings, user, movie, None);
        self.features.columns = row.len();
        self.features.values.extend(row);
        if let Some(model) = &knowledge.hierarchical {
            let p = model.probabilities(&catalogue.sides(settings), user, movie);
            self.hierarchical.push(p.map(|p| p as f32));
        }
    }

    fn extend(&mut self, other: Rows) {
        self.features.columns = other.features.columns;
        self.features.values.extend(other.features.values);
        self.hierarchical.extend(other.hierarchical);
        self.labels.extend(other.labels);
    }
}

fn figures(name: &str, weight: f64, probabilities: &[[f32; CLASSES]], labels: &[u8]) -> Inner {
    let mut confusion = Confusion::default();
    for (p, &label) in probabilities.iter().zip(labels) {
        confusion[usize::from(label)][predicted_class(p)] += 1;
    }
    let log_loss = softmax::log_loss(probabilities, labels);
    Inner { name: name.to_owned(), weight, log_loss, scores: scores(&confusion) }
}
