//! Figures of single models, from their predictions: learning curves, reliability, and accuracy by
//! genre and by how much a viewer has rated.

use serde::{Deserialize, Serialize};

/// The figures of one cell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelFigures {
    /// The column of the cell in the tables.
    pub column: String,
    /// The row of the cell in the tables.
    pub row: String,
    /// The losses of each fold; empty for a model that is not trained in epochs.
    pub learning: Vec<Learning>,
    /// The confidence of predictions against the share that was right, by bins of confidence.
    pub reliability: Vec<Bin>,
    /// By genre of the movie: a movie counts in each of its genres.
    pub genres: Vec<Part>,
    /// By the number of ratings of the viewer.
    pub activity: Vec<Part>,
}

/// The losses of one fold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Learning {
    /// Number of the fold, from 0.
    pub fold: usize,
    /// The epoch whose weights were tested, from 1.
    pub best_epoch: usize,
    /// Mean training loss of each epoch.
    pub training: Vec<f64>,
    /// Mean validation loss of each epoch.
    pub validation: Vec<f64>,
}

/// Predictions of similar confidence.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Bin {
    /// Their number.
    pub pairs: u64,
    /// The mean probability of the predicted class.
    pub confidence: f64,
    /// The share that was right.
    pub accuracy: f64,
}

/// A part of the tested pairs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// Its name.
    pub name: String,
    /// The number of pairs.
    pub pairs: u64,
    /// The share that was right.
    pub accuracy: f64,
    /// The share that belongs to the commonest class: what always saying it would reach.
    pub commonest: f64,
}
