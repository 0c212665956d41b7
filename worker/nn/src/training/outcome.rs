//! The result of a training, or the reason why there is none.

use serde::{Deserialize, Serialize};

/// Why a training ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// All epochs ran.
    Epochs,
    /// The validation loss did not improve for `patience` epochs.
    Patience,
}

/// Losses and end of a training; the first epoch is 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct History {
    /// Mean training loss of each epoch, measured while the weights change.
    pub train_losses: Vec<f64>,
    /// Mean validation loss after each epoch; empty without validation samples.
    pub validation_losses: Vec<f64>,
    /// The epoch whose weights were kept: the one with the lowest validation loss, or the last one
    /// without validation.
    pub best_epoch: usize,
    /// Why the training ended.
    pub stopped: StopReason,
}

/// Why a training ended without a result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrainError {
    /// The caller stopped it.
    #[error("the training was stopped before its end")]
    Stopped,
    /// The loss became infinite or not a number.
    #[error(
        "the loss of epoch {epoch} is not a finite number: lower the learning rate (now {rate}) or check the inputs for extreme values"
    )]
    Diverged {
        /// Epoch, from 1.
        epoch: usize,
        /// The highest rate of the schedule, as text.
        rate: String,
    },
    /// There is nothing to train on.
    #[error("no pairs are left to train on: too few rated movies have what the model reads, such as an embedding")]
    NoSamples,
    /// A setting is not valid.
    #[error("training setting `{setting}`: {reason}")]
    Setting {
        /// Name of the setting.
        setting: &'static str,
        /// The problem.
        reason: &'static str,
    },
}
