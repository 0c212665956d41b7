//! The result of a training, or the reason why there is none.

use serde::{Deserialize, Serialize};

/// Why a training ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// All epochs were run.
    Epochs,
    /// The validation loss had not improved for `patience` epochs.
    Patience,
}

/// What a training went through; the first epoch is 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct History {
    /// Mean training loss of each epoch, measured while the weights move.
    pub train_losses: Vec<f64>,
    /// Mean validation loss after each epoch; empty without validation samples.
    pub validation_losses: Vec<f64>,
    /// The epoch whose weights were kept: the one with the lowest validation loss, without validation the last one.
    pub best_epoch: usize,
    /// Why it ended.
    pub stopped: StopReason,
}

/// What can end a training without a result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrainError {
    /// The caller asked for it.
    #[error("the training was stopped before its end")]
    Stopped,
    /// The loss became infinite or not a number.
    #[error(
        "the loss of epoch {epoch} is not a finite number: lower the learning rate (now {rate}) or look for extreme input values"
    )]
    Diverged {
        /// Epoch, from 1.
        epoch: usize,
        /// The schedule's highest rate, as text.
        rate: String,
    },
    /// A setting that cannot be used.
    #[error("training setting `{setting}`: {reason}")]
    Setting {
        /// Name of the setting.
        setting: &'static str,
        /// What is wrong with it.
        reason: &'static str,
    },
}
