//! The stack's members, fitted on rows of features, and the stack over them.

use super::linear::logistic::Logistic;
use super::rows::{InnerFold, Rows, check_stop};
use super::settings::{Part, Settings};
use super::stack::Stack;
use super::trees::boosting::{Boosting, LossCurve};
use super::trees::extra_trees::ExtraTrees;
use crate::{CLASSES, RecommendError};
use jhalak_nn::seeded;
use serde::{Deserialize, Serialize};
use std::sync::atomic::AtomicBool;

/// Streams of the seed; each fold and the final fit have their own.
const BOOSTING: u64 = 1 << 32;
const EXTRA_TREES: u64 = 2 << 32;

/// Class probabilities, row by row.
type Probabilities = Vec<[f32; CLASSES]>;

/// The fitted members and the stack. A member that is left out is `None`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Members {
    boosting: Option<Boosting>,
    extra_trees: Option<ExtraTrees>,
    logistic: Option<Logistic>,
    hierarchical: bool,
    machine: bool,
    stack: Stack,
}

impl Members {
    /// Fits the members in each inner fold, chooses rounds and stack on the held-out rows, and fits
    /// the members again on `rows`. Also returns the probabilities of each member, and of the
    /// stack, for the held-out rows.
    ///
    /// # Errors
    /// [`RecommendError::Stopped`].
    pub fn fit(
        inner_folds: &[InnerFold],
        rows: &Rows,
        settings: &Settings,
        seed: u64,
        stop: &AtomicBool,
    ) -> Result<(Self, Vec<Probabilities>, Probabilities), RecommendError> {
        let mut curve = LossCurve::default();
        let mut fitted = Vec::with_capacity(inner_folds.len());
        for (inner_fold, stream) in inner_folds.iter().zip(1..) {
            check_stop(stop)?;
            fitted.push(Self::grow(&inner_fold.fit, Some((&inner_fold.held_out, &mut curve)), settings, seed, stream));
        }
        let rounds = curve.best();
        let mut all: Vec<Probabilities> = Vec::new();
        for (mut members, inner_fold) in fitted.into_iter().zip(inner_folds) {
            if let Some(boosting) = &mut members.boosting {
                boosting.truncate(rounds);
            }
            let own = members.each(&inner_fold.held_out);
            all.resize(own.len(), Vec::new());
            all.iter_mut().zip(own).for_each(|(all, own)| all.extend(own));
        }
        let labels: Vec<u8> = inner_folds.iter().flat_map(|inner_fold| inner_fold.held_out.labels.clone()).collect();
        let stack = Stack::fit(&all, &labels);
        let stacked = stack.predict(&all, labels.len());
        let mut last = settings.clone();
        last.boosting.rounds = rounds;
        check_stop(stop)?;
        let members = Self { stack, ..Self::grow(rows, None, &last, seed, 0) };
        Ok((members, all, stacked))
    }

    /// Fits every member on these rows, and leaves the stack empty.
    fn grow(rows: &Rows, held: Option<(&Rows, &mut LossCurve)>, settings: &Settings, seed: u64, stream: u64) -> Self {
        let (features, labels) = (&rows.features, rows.labels.as_slice());
        let boosting = settings.has(Part::Boosting).then(|| {
            let random = &mut seeded(seed, BOOSTING + stream);
            let follow = held.as_ref().map(|(rows, _)| (&rows.features, rows.labels.as_slice()));
            let (model, curve) = Boosting::fit(features, labels, &settings.boosting, follow, random);
            if let Some((_, sum)) = held {
                sum.add(&curve);
            }
            model
        });
        let forest =
            || ExtraTrees::fit(features, labels, &settings.extra_trees, &mut seeded(seed, EXTRA_TREES + stream));
        Self {
            boosting,
            extra_trees: settings.has(Part::ExtraTrees).then(forest),
            logistic: settings.has(Part::Logistic).then(|| Logistic::fit(features, labels, settings.logistic_l2)),
            hierarchical: settings.has(Part::HierarchicalAlone),
            machine: settings.has(Part::FactorisationAlone),
            stack: Stack { weights: Vec::new(), constants: [0.0; CLASSES] },
        }
    }

    /// Returns the probabilities of each member.
    pub fn each(&self, rows: &Rows) -> Vec<Probabilities> {
        let features = &rows.features;
        let boosting = self.boosting.as_ref().map(|model| model.predict(features));
        let forest = self.extra_trees.as_ref().map(|model| model.predict(features));
        let logistic = self.logistic.as_ref().map(|model| model.predict(features));
        let alone = self.hierarchical.then(|| rows.hierarchical.clone());
        let machine = self.machine.then(|| rows.machine.clone());
        [boosting, forest, logistic, alone, machine].into_iter().flatten().collect()
    }

    /// Returns the probabilities of the stack.
    pub fn predict(&self, rows: &Rows) -> Probabilities {
        self.stack.predict(&self.each(rows), rows.features.rows())
    }

    /// Returns the names of the fitted members.
    pub fn names(&self) -> Vec<&'static str> {
        [
            (self.boosting.is_some(), "boosting"),
            (self.extra_trees.is_some(), "extra trees"),
            (self.logistic.is_some(), "logistic"),
            (self.hierarchical, "hierarchical"),
            (self.machine, "factorisation machine"),
        ]
        .into_iter()
        .filter_map(|(fitted, name)| fitted.then_some(name))
        .collect()
    }

    /// Returns the weights of the members in the stack.
    pub fn weights(&self) -> &[f64] {
        &self.stack.weights
    }

    /// Returns how many boosting rounds were kept.
    pub fn rounds(&self) -> usize {
        self.boosting.as_ref().map_or(0, Boosting::rounds)
    }

    /// Returns the gain of each feature in boosting.
    pub fn gains(&self) -> Vec<f64> {
        self.boosting.as_ref().map_or_else(Vec::new, Boosting::gains)
    }
}
