//! How a network is trained: optimiser, learning rate, length, class balance. Definitions and
//! defaults are PyTorch's; [`TrainingSettings`] are those of the publication.

use serde::{Deserialize, Serialize};

/// The optimiser and its constants. The learning rate comes from the [`super::Schedule`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Optimiser {
    /// `v = alpha v + (1 - alpha) g^2; w -= rate g / (sqrt(v) + eps)`.
    RmsProp {
        /// Weight of the old mean square.
        alpha: f32,
        /// Added to the denominator.
        eps: f32,
    },
    /// Kingma and Ba's Adam with bias correction.
    Adam {
        /// Weight of the old mean.
        beta1: f32,
        /// Weight of the old mean square.
        beta2: f32,
        /// Added to the denominator.
        eps: f32,
    },
}

impl Optimiser {
    /// PyTorch's RMSprop: alpha 0.99, eps 1e-8.
    #[must_use]
    pub const fn rmsprop() -> Self {
        Self::RmsProp { alpha: 0.99, eps: 1e-8 }
    }

    /// PyTorch's Adam: betas 0.9 and 0.999, eps 1e-8.
    #[must_use]
    pub const fn adam() -> Self {
        Self::Adam { beta1: 0.9, beta2: 0.999, eps: 1e-8 }
    }
}

/// How the learning rate changes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Schedule {
    /// A constant rate.
    Constant {
        /// Learning rate.
        rate: f64,
    },
    /// The rate is multiplied by `factor` after every `every` epochs.
    Steps {
        /// Learning rate of the first epochs.
        rate: f64,
        /// Epochs between two changes, at least 1.
        every: usize,
        /// The factor.
        factor: f64,
    },
    /// PyTorch's OneCycleLR with its defaults: from `max_rate` / 25 up to `max_rate` over the first
    /// 30 % of the steps and down to `max_rate` / 250,000 over the rest, both along a cosine, while
    /// Adam's beta1 goes from 0.95 to 0.85 and back.
    OneCycle {
        /// The highest rate.
        max_rate: f64,
    },
}

/// The rates of one optimiser step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepRate {
    /// Learning rate.
    pub rate: f64,
    /// Adam's beta1, if the schedule changes it.
    pub beta1: Option<f64>,
}

impl Schedule {
    /// Returns the rate of a step: `step` counts from 0 over the whole training of `total` steps,
    /// in epoch `epoch` (from 0).
    #[must_use]
    pub fn at(self, epoch: usize, step: usize, total: usize) -> StepRate {
        match self {
            Self::Constant { rate } => StepRate { rate, beta1: None },
            Self::Steps { rate, every, factor } => {
                let changes = i32::try_from(epoch / every.max(1)).unwrap_or(i32::MAX);
                StepRate { rate: rate * factor.powi(changes), beta1: None }
            }
            Self::OneCycle { max_rate } => {
                let (first, last) = (0.3 * total as f64 - 1.0, total as f64 - 1.0);
                let (step, low) = (step as f64, max_rate / 25.0);
                if step <= first {
                    let t = step / first.max(f64::MIN_POSITIVE);
                    StepRate { rate: cosine(low, max_rate, t), beta1: Some(cosine(0.95, 0.85, t)) }
                } else {
                    let t = ((step - first) / (last - first)).min(1.0);
                    StepRate { rate: cosine(max_rate, low / 1e4, t), beta1: Some(cosine(0.85, 0.95, t)) }
                }
            }
        }
    }

    /// Returns the highest rate of the schedule.
    #[must_use]
    pub fn highest(self) -> f64 {
        match self {
            Self::Constant { rate } | Self::Steps { rate, .. } => rate,
            Self::OneCycle { max_rate } => max_rate,
        }
    }
}

/// Interpolates from `from` (t = 0) to `to` (t = 1) along half a cosine.
fn cosine(from: f64, to: f64, t: f64) -> f64 {
    to + (from - to) / 2.0 * (1.0 + (std::f64::consts::PI * t).cos())
}

/// How a network is fitted.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FitSettings {
    /// The optimiser.
    pub optimiser: Optimiser,
    /// The learning rate.
    pub schedule: Schedule,
    /// Samples per step, at least 1; the last step of an epoch may have fewer.
    pub batch: usize,
    /// Maximum number of epochs, at least 1.
    pub epochs: usize,
    /// Epochs without a better validation loss before the training stops; None: no early stopping.
    pub patience: Option<usize>,
}

/// How classes are balanced for training.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Balance {
    /// No balancing.
    None,
    /// Dislikes are repeated until there are `dislike` times as many.
    Upsample {
        /// At least 1.
        dislike: f64,
    },
    /// Each class has the same total weight.
    ClassWeights,
}

/// How a network is trained.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainingSettings {
    /// Optimiser, schedule, batch, epochs, patience.
    pub fit: FitSettings,
    /// Class balancing.
    pub balance: Balance,
    /// Share of the training pairs that is held out for early stopping, in (0, 0.5].
    pub validation: f64,
    /// Strict protocol: inner folds that give training pairs profiles without their own label, at
    /// least 2.
    pub profile_folds: usize,
}

/// The paper's up-sampling: 1,887 dislikes become 6,625.
pub const PUBLISHED_UPSAMPLING: Balance = Balance::Upsample { dislike: 6625.0 / 1887.0 };

impl TrainingSettings {
    /// The notebooks' settings: RMSprop at 1e-5, divided by 10 after each 50 epochs, batch 32, 150
    /// epochs, patience 15.
    #[must_use]
    pub const fn notebook() -> Self {
        let schedule = Schedule::Steps { rate: 1e-5, every: 50, factor: 0.1 };
        let fit = FitSettings { optimiser: Optimiser::rmsprop(), schedule, batch: 32, epochs: 150, patience: Some(15) };
        Self { fit, balance: PUBLISHED_UPSAMPLING, validation: 0.1, profile_folds: 10 }
    }

    /// The settings of the paper's text: Adam (PyTorch's 1e-3, as no rate is printed), 150 epochs,
    /// patience 5.
    #[must_use]
    pub const fn paper() -> Self {
        let schedule = Schedule::Constant { rate: 1e-3 };
        let fit = FitSettings { optimiser: Optimiser::adam(), schedule, batch: 32, epochs: 150, patience: Some(5) };
        Self { fit, ..Self::notebook() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_change_between_epochs() {
        let schedule = Schedule::Steps { rate: 1.0, every: 50, factor: 0.1 };
        assert_eq!(schedule.at(49, 0, 1).rate, 1.0);
        assert!((schedule.at(50, 0, 1).rate - 0.1).abs() < 1e-12);
        assert!((schedule.at(149, 0, 1).rate - 0.01).abs() < 1e-12);
    }

    /// Figures of torch.optim.lr_scheduler.OneCycleLR(max_lr=0.1, total_steps=20) with Adam, some
    /// of its steps.
    #[test]
    fn one_cycle_matches_pytorch() {
        let schedule = Schedule::OneCycle { max_rate: 0.1 };
        for (step, rate, beta1) in ONE_CYCLE {
            let got = schedule.at(0, step, 20);
            assert!((got.rate - rate).abs() < 1e-9, "step {step}: {got:?}");
            assert!(got.beta1.is_some_and(|b| (b - beta1).abs() < 1e-9), "step {step}: {got:?}");
        }
    }

    const ONE_CYCLE: [(usize, f64, f64); 6] = [
        (0, 0.004, 0.95),
        (3, 0.066_832_815_73, 0.884_549_150_28),
        (5, 0.1, 0.85),
        (6, 0.098_746_400_62, 0.851_253_604_39),
        (12, 0.050_000_2, 0.9),
        (19, 4e-7, 0.95),
    ];
}
