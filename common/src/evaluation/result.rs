//! What one fold of a cell gives.

use super::CLASSES;
use super::metrics::Confusion;
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

/// What one fold gives. The same cell, data and seed give the same bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
