//! What one fold of a cell gives.

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

/// What a [`PartResult`] is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PartKind {
    /// A member of the stack by itself.
    Member,
    /// Boosting on all features, with nothing stacked: what the rows of [`PartKind::Without`] compare with.
    AllFeatures,
    /// The same without one group of features.
    Without,
}

/// What one part of the honest model does on the test pairs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PartResult {
    /// What the row is of.
    pub kind: PartKind,
    /// The member's name, or that of the group of features.
    pub name: String,
    /// Rows actual, columns predicted.
    pub confusion: Confusion,
    /// Mean log loss of the test pairs.
    pub log_loss: f64,
    /// A member's weight in the stack.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<f64>,
}

/// What one fold gives. The same cell, data and seed give the same bytes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FoldResult {
    /// Number of the fold, from 0.
    pub fold: usize,
    /// Rows actual, columns predicted.
    pub confusion: Confusion,
    /// Every tested pair; under the published protocol copies are tested as often as they were drawn.
    pub predictions: Vec<Prediction>,
    /// Weights of the classes under which the most probable one brings the highest macro F1 on inner folds, where the model fits them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub balance: Option<[f32; CLASSES]>,
    /// The honest model's parts: its members and, where the cell asks for it, what is lost without each group of features.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<PartResult>,
    /// How many settings were tried, on inner folds, before the model's own were fixed; 0 where they were published or none were tried.
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
    /// Pairs that decided when to stop.
    pub validation_pairs: usize,
    /// Pairs tested.
    pub test_pairs: usize,
    /// Pairs of the fold whose movie has no embedding in the cell's modality: neither trained on nor tested.
    pub left_out_pairs: usize,
}

fn is_zero(count: &usize) -> bool {
    *count == 0
}
