//! Measures that are added to a report: they are not part of a run's cells.

use std::collections::BTreeMap;

use jhalak_common::evaluation::metrics::{MeanSd, PartMetrics};
use jhalak_common::settings::Measure;
use serde::{Deserialize, Serialize};

/// The added measures.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Measures {
    /// Rankers on the same users.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ranking: Option<Ranking>,
    /// Models on new users.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cold_start: Option<ColdStart>,
    /// The ensemble without each group of features.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ablation: Option<Ablation>,
    /// Why a measure cannot be computed, by its name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub not_computed: BTreeMap<String, String>,
}

impl Measures {
    /// Whether nothing was added.
    pub fn is_empty(&self) -> bool {
        *self == Measures::default()
    }

    /// Whether the measure was computed, or cannot be.
    pub fn is_settled(&self, measure: Measure) -> bool {
        let computed = match measure {
            Measure::Ranking => self.ranking.is_some(),
            Measure::ColdStart => self.cold_start.is_some(),
            Measure::Ablation => self.ablation.is_some(),
        };
        computed || self.not_computed.contains_key(measure.name())
    }
}

/// Rankers that order all movies that a user has not rated in training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ranking {
    /// Length of the lists.
    pub k: usize,
    /// Users with a held-out like.
    pub users: usize,
    /// Pairs held out, over all folds.
    pub test_pairs: usize,
    /// Number of folds of random pairs.
    pub folds: usize,
    /// Share of lists that hold every movie left to rank; 0 in reports of older programs.
    #[serde(default)]
    pub whole_lists: f64,
    /// The rankers.
    pub rankers: Vec<Ranked>,
}

/// The measures of a ranker: means over users.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ranked {
    /// Its name.
    pub ranker: String,
    /// Normalised discounted cumulative gain of the first k, 0 to 1.
    pub ndcg: f64,
    /// Standard error of `ndcg` over users.
    pub ndcg_error: f64,
    /// Share of the liked movies among the first k.
    pub recall: f64,
    /// Mean average precision of the first k.
    pub map: f64,
    /// Share of users with a liked movie among the first k.
    pub hit_rate: f64,
    /// Probability that a liked movie is before another one.
    pub auc: f64,
    /// Share of the catalogue that is among the first k of anybody.
    pub coverage: f64,
}

/// The accuracy for new users, by their number of ratings in training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ColdStart {
    /// Pairs that are tested at every point.
    pub test_pairs: usize,
    /// One curve for each model.
    pub curves: Vec<ColdStartCurve>,
}

/// The curve of one model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ColdStartCurve {
    /// The model.
    pub model: String,
    /// Its points, by ascending number of known ratings.
    pub points: Vec<ColdStartPoint>,
}

/// A point of a curve.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ColdStartPoint {
    /// Ratings of each test user in training.
    pub known: usize,
    /// Share of correct predictions, over the folds.
    pub accuracy: MeanSd,
    /// Mean F1 over the classes, over the folds.
    pub macro_f1: MeanSd,
}

/// The parts of the ensemble, with the loss without each group of features.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ablation {
    /// The row of the cell in the tables.
    pub row: String,
    /// The column of the cell in the tables.
    pub column: String,
    /// The members, and boosting on all features and without each group.
    pub parts: Vec<PartMetrics>,
}
