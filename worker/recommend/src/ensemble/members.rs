//! The second level: models on described pairs, and the stack over them.

use super::linear::logistic::Logistic;
use super::settings::{Part, Settings};
use super::stack::Stack;
use super::trees::boosting::{Boosting, Curve};
use super::trees::extra_trees::ExtraTrees;
use super::{Rows, stopped};
use crate::{CLASSES, RecommendError};
use jhalak_nn::seeded;
use serde::{Deserialize, Serialize};
use std::sync::atomic::AtomicBool;

/// Streams of the seed; each fold and the final fit have their own.
const BOOSTING: u64 = 1 << 32;
const EXTRA_TREES: u64 = 2 << 32;

/// Class probabilities, row by row.
type Probabilities = Vec<[f32; CLASSES]>;

/// The fitted members and the stack. Members that were left out are `None`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Members {
    boosting: Option<Boosting>,
    extra_trees: Option<ExtraTrees>,
    logistic: Option<Logistic>,
    hierarchical: bool,
    stack: Stack,
}

impl Members {
    /// Fits the members in each trial (rows to fit, rows to ask about), decides rounds and stack on what was asked about, and fits the
    /// members again on `rows`. Beside them come the members' probabilities for the rows asked about, and the stack's.
    pub fn fit(
        trials: &[(Rows, Rows)],
        rows: &Rows,
        settings: &Settings,
        seed: u64,
        stop: &AtomicBool,
    ) -> Result<(Self, Vec<Probabilities>, Probabilities), RecommendError> {
        let mut curve = Curve::default();
        let mut fitted = Vec::with_capacity(trials.len());
        for ((rows, asked), stream) in trials.iter().zip(1..) {
            stopped(stop)?;
            fitted.push(Self::grow(rows, Some((asked, &mut curve)), settings, seed, stream));
        }
        let rounds = curve.best();
        let mut all: Vec<Probabilities> = Vec::new();
        for (mut members, (_, asked)) in fitted.into_iter().zip(trials) {
            if let Some(boosting) = &mut members.boosting {
                boosting.truncate(rounds);
            }
            let own = members.each(asked);
            all.resize(own.len(), Vec::new());
            all.iter_mut().zip(own).for_each(|(all, own)| all.extend(own));
        }
        let labels: Vec<u8> = trials.iter().flat_map(|(_, asked)| asked.labels.clone()).collect();
        let stack = Stack::fit(&all, &labels);
        let stacked = stack.predict(&all, labels.len());
        let mut last = settings.clone();
        last.boosting.rounds = rounds;
        stopped(stop)?;
        let members = Self { stack, ..Self::grow(rows, None, &last, seed, 0) };
        Ok((members, all, stacked))
    }

    /// Fits every member on these rows; the stack is left empty.
    fn grow(rows: &Rows, held: Option<(&Rows, &mut Curve)>, settings: &Settings, seed: u64, stream: u64) -> Self {
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
            stack: Stack { weights: Vec::new(), constants: [0.0; CLASSES] },
        }
    }

    /// What each member says of the rows.
    pub fn each(&self, rows: &Rows) -> Vec<Probabilities> {
        let features = &rows.features;
        let boosting = self.boosting.as_ref().map(|model| model.predict(features));
        let forest = self.extra_trees.as_ref().map(|model| model.predict(features));
        let logistic = self.logistic.as_ref().map(|model| model.predict(features));
        let alone = self.hierarchical.then(|| rows.hierarchical.clone());
        [boosting, forest, logistic, alone].into_iter().flatten().collect()
    }

    /// What the stack says of the rows.
    pub fn predict(&self, rows: &Rows) -> Probabilities {
        self.stack.predict(&self.each(rows), rows.features.rows())
    }

    /// Names of the members that are there.
    pub fn names(&self) -> Vec<&'static str> {
        [
            (self.boosting.is_some(), "boosting"),
            (self.extra_trees.is_some(), "extra trees"),
            (self.logistic.is_some(), "logistic"),
            (self.hierarchical, "hierarchical"),
        ]
        .into_iter()
        .filter_map(|(there, name)| there.then_some(name))
        .collect()
    }

    /// Weights of the members in the stack.
    pub fn weights(&self) -> &[f64] {
        &self.stack.weights
    }

    /// Rounds of the boosting that were kept.
    pub fn rounds(&self) -> usize {
        self.boosting.as_ref().map_or(0, Boosting::rounds)
    }

    /// What each feature gained in the boosting.
    pub fn gains(&self) -> Vec<f64> {
        self.boosting.as_ref().map_or_else(Vec::new, Boosting::gains)
    }
}
