//! The result of one fold of a cell.

use super::CLASSES;
use super::confusion::Confusion;
use crate::dataset::Label;
use serde::{Deserialize, Serialize};

/// One tested pair.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Prediction {
    /// Index of the user.
    pub user: u32,
    /// Index of the movie.
    pub movie: u32,
    /// The pair's label.
    pub actual: Label,
    /// Probabilities of dislike, neutral, like.
    pub probabilities: [f32; CLASSES],
}

/// The kind of a [`PartResult`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PartKind {
    /// One member of the stack.
    Member,
    /// Boosting on all features without stacking: the baseline of the rows of
    /// [`PartKind::Without`].
    AllFeatures,
    /// Boosting without one group of features.
    Without,
}

/// The result of one part of the stacked ensemble on the test pairs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PartResult {
    /// The kind of the row.
    pub kind: PartKind,
    /// The name of the member or of the feature group.
    pub name: String,
    /// Rows actual, columns predicted.
    pub confusion: Confusion,
    /// Mean log loss of the test pairs.
    pub log_loss: f64,
    /// A member's weight in the stack.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<f64>,
}

/// The result of one fold. The same cell, data and seed give the same bytes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FoldResult {
    /// Number of the fold, from 0.
    pub fold: usize,
    /// Rows actual, columns predicted.
    pub confusion: Confusion,
    /// Every tested pair; under the paper's protocol copies are tested as often as they were drawn.
    pub predictions: Vec<Prediction>,
    /// Class weights that give the highest macro F1 on inner folds, for models that fit them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub balance: Option<[f32; CLASSES]>,
    /// The parts of the stacked ensemble: its members and, if the cell asks for the ablation, the
    /// loss without each group of features.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<PartResult>,
    /// Number of hyperparameter settings tried on inner folds before the model's were fixed; 0 for
    /// published settings or if none were tried.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub settings_tried: usize,
    /// Epochs trained; 0 for a baseline without training.
    pub epochs: usize,
    /// The epoch whose weights were tested, from 1; 0 for a baseline.
    pub best_epoch: usize,
    /// Mean training loss of each epoch.
    pub train_losses: Vec<f64>,
    /// Mean validation loss of each epoch.
    pub validation_losses: Vec<f64>,
    /// Pairs trained on, copies included.
    pub train_pairs: usize,
    /// Pairs for early stopping.
    pub validation_pairs: usize,
    /// Pairs tested.
    pub test_pairs: usize,
    /// Pairs of the fold whose movie has no embedding in the cell's modality: neither trained on
    /// nor tested.
    pub left_out_pairs: usize,
}

fn is_zero(count: &usize) -> bool {
    *count == 0
}
