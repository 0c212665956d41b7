//! The training loop: shuffled mini-batches, validation after each epoch, early stopping, the best
//! weights at the end.

use super::checkpoint::{self, CheckpointStore, NoCheckpoints};
use super::outcome::{History, StopReason, TrainError};
use super::trainable::Trainable;
use crate::optimizer::OptimizerState;
use crate::random::{seeded, shuffle};
use jhalak_common::evaluation::FitSettings;
use jhalak_common::telemetry::list::{TRAIN_EPOCHS, TRAIN_SAMPLES};
use std::sync::atomic::{AtomicBool, Ordering};

/// Samples of one evaluation batch.
const EVALUATION_BATCH: usize = 256;
/// Random streams below this one are for initialization; epoch e draws its order from stream
/// `FIRST_EPOCH + e`.
const FIRST_EPOCH: u64 = 1 << 32;

/// Trains on the samples `train` and restores the weights of the epoch with the lowest loss on
/// `validation`, which may be empty.
///
/// The order of epoch e depends only on `seed` and e.
///
/// # Errors
/// [`TrainError`]: stopped by `stop`, diverged, or a setting is not valid.
pub fn fit(
    model: &mut dyn Trainable,
    train: &[u32],
    validation: &[u32],
    settings: &FitSettings,
    seed: u64,
    stop: &AtomicBool,
) -> Result<History, TrainError> {
    fit_resumed(model, train, validation, settings, seed, stop, (&NoCheckpoints, ""))
}

/// Like [`fit`], but resumes an interrupted call with the same arguments if `resume` holds a
/// checkpoint for `stage`. Weights and history are identical to the bit, wherever and however often
/// the training was interrupted.
///
/// # Errors
/// Same as [`fit`].
pub fn fit_resumed(
    model: &mut dyn Trainable,
    train: &[u32],
    validation: &[u32],
    settings: &FitSettings,
    seed: u64,
    stop: &AtomicBool,
    (resume, stage): (&dyn CheckpointStore, &str),
) -> Result<History, TrainError> {
    check(settings, train)?;
    let mut optimizer = OptimizerState::new(settings.optimiser);
    let mut order = train.to_vec();
    let mut best = BestWeights::default();
    let mut history =
        History { train_losses: vec![], validation_losses: vec![], best_epoch: 0, stopped: StopReason::Epochs };
    let steps = train.len().div_ceil(settings.batch);
    let diverged = |epoch| TrainError::Diverged { epoch: epoch + 1, rate: settings.schedule.highest().to_string() };
    let fingerprint = checkpoint::fingerprint(settings, seed, train, validation);
    let (mut first, mut ended, mut kept) = (0, false, false);
    if let Some(state) = resume.load(stage) {
        match checkpoint::decode(&state, model, &mut optimizer, &mut best.weights, &fingerprint) {
            Some(progress) => {
                tracing::info!(stage, epochs = progress.epochs, "resuming the training from its checkpoint");
                (first, ended, kept) = (progress.epochs, progress.ended, true);
                (best.loss, history) = (progress.best, progress.history);
            }
            None => tracing::warn!(
                stage,
                "the checkpoint is damaged or belongs to another training: starting from the first epoch"
            ),
        }
    }
    for epoch in first..settings.epochs {
        if ended {
            break;
        }
        order.copy_from_slice(train);
        shuffle(&mut order, &mut seeded(seed, FIRST_EPOCH + epoch as u64));
        let (mut loss, mut weight) = (0.0, 0.0);
        for (i, samples) in order.chunks(settings.batch).enumerate() {
            if stop.load(Ordering::Relaxed) {
                return Err(TrainError::Stopped);
            }
            optimizer.begin_step(settings.schedule.at(epoch, epoch * steps + i, settings.epochs * steps));
            let (l, w) = model.step(samples, &mut optimizer);
            (loss, weight) = (loss + l, weight + w);
        }
        if !loss.is_finite() {
            return Err(diverged(epoch));
        }
        history.train_losses.push(loss / weight);
        TRAIN_EPOCHS.increment(&[]);
        TRAIN_SAMPLES.add(&[], train.len() as f64);
        if validation.is_empty() {
            history.best_epoch = epoch + 1;
        } else {
            let loss = mean_loss(model, validation);
            if !loss.is_finite() {
                return Err(diverged(epoch));
            }
            history.validation_losses.push(loss);
            if best.improve(loss, model) {
                history.best_epoch = epoch + 1;
            } else if settings.patience.is_some_and(|patience| epoch + 1 - history.best_epoch >= patience) {
                history.stopped = StopReason::Patience;
                ended = true;
            }
        }
        ended |= epoch + 1 == settings.epochs;
        // A training with a checkpoint also gets one at its end: a later training of the fold may
        // be interrupted.
        if resume.due() || (ended && kept) {
            let progress = (epoch + 1, best.loss, &history, ended);
            if let Some(state) = checkpoint::encode(model, &optimizer, &best.weights, &fingerprint, progress) {
                resume.keep(stage, state);
                kept = true;
            }
        }
    }
    best.restore(model);
    Ok(history)
}

/// Weighted mean loss over `samples`; 0 if there are none.
fn mean_loss(model: &mut dyn Trainable, samples: &[u32]) -> f64 {
    let (mut loss, mut weight) = (0.0, 0.0);
    for samples in samples.chunks(EVALUATION_BATCH) {
        let (l, w) = model.evaluate(samples);
        (loss, weight) = (loss + l, weight + w);
    }
    if weight == 0.0 { 0.0 } else { loss / weight }
}

fn check(settings: &FitSettings, train: &[u32]) -> Result<(), TrainError> {
    let fail = |setting, reason| Err(TrainError::Setting { setting, reason });
    let rate = settings.schedule.highest();
    if settings.batch == 0 {
        return fail("batch", "must be at least 1");
    }
    if settings.epochs == 0 {
        return fail("epochs", "must be at least 1");
    }
    if !(rate.is_finite() && rate > 0.0) {
        return fail("schedule", "the learning rate must be above 0 and finite");
    }
    if train.is_empty() {
        return Err(TrainError::NoSamples);
    }
    Ok(())
}

/// The weights with the lowest validation loss so far.
#[derive(Debug, Default)]
struct BestWeights {
    loss: Option<f64>,
    weights: Vec<f32>,
}

impl BestWeights {
    /// Stores the weights of the model if `loss` is the lowest so far.
    fn improve(&mut self, loss: f64, model: &mut dyn Trainable) -> bool {
        if self.loss.is_some_and(|best| loss >= best) {
            return false;
        }
        self.loss = Some(loss);
        self.weights.clear();
        model.parameters(&mut |_, parameter| self.weights.extend_from_slice(&parameter.value));
        true
    }

    /// Restores the stored weights, if any.
    fn restore(&self, model: &mut dyn Trainable) {
        let mut rest = self.weights.as_slice();
        model.parameters(&mut |_, parameter| {
            if let Some((part, after)) = rest.split_at_checked(parameter.value.len()) {
                parameter.value.copy_from_slice(part);
                rest = after;
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parameter::Parameter;
    use jhalak_common::evaluation::{Optimiser, Schedule};
    use std::collections::BTreeMap;
    use std::sync::Mutex;
    use std::sync::atomic::AtomicUsize;

    /// One weight w with loss (w - target)^2; each sample is its own target.
    struct Parabola {
        weight: Parameter,
        seen: Vec<u32>,
    }

    impl Parabola {
        fn new() -> Self {
            Self { weight: Parameter::constant(1, 0.0), seen: Vec::new() }
        }
    }

    impl Trainable for Parabola {
        fn step(&mut self, samples: &[u32], optimizer: &mut OptimizerState) -> (f64, f64) {
            self.seen.extend_from_slice(samples);
            let sums = self.evaluate(samples);
            let gradient: f32 = samples.iter().map(|&s| 2.0 * (self.weight.value[0] - s as f32)).sum();
            optimizer.update(&mut self.weight, 0, &[gradient / samples.len() as f32]);
            sums
        }
        fn evaluate(&mut self, samples: &[u32]) -> (f64, f64) {
            (samples.iter().map(|&s| f64::from(self.weight.value[0] - s as f32).powi(2)).sum(), samples.len() as f64)
        }
        fn parameters(&mut self, visit: &mut dyn FnMut(&str, &mut Parameter)) {
            visit("weight", &mut self.weight);
        }
    }

    fn settings(epochs: usize, patience: Option<usize>) -> FitSettings {
        let schedule = Schedule::Constant { rate: 0.1 };
        FitSettings { optimiser: Optimiser::adam(), schedule, batch: 2, epochs, patience }
    }

    #[test]
    fn the_best_epoch_is_restored_and_patience_ends_the_training() {
        let mut model = Parabola::new();
        // Training pulls towards 5, validation is best at 1: the weights pass 1 and must return to
        // it.
        let history =
            fit(&mut model, &[5, 5, 5], &[1], &settings(100, Some(4)), 1, &AtomicBool::new(false)).expect("it trains");
        assert_eq!(history.stopped, StopReason::Patience);
        assert_eq!(history.train_losses.len(), history.best_epoch + 4);
        let lowest = history.validation_losses.iter().copied().fold(f64::INFINITY, f64::min);
        assert_eq!(history.validation_losses[history.best_epoch - 1], lowest);
        assert_eq!(mean_loss(&mut model, &[1]), lowest);
    }

    #[test]
    fn each_epoch_visits_each_sample_once_in_a_seeded_order() {
        let train: Vec<u32> = (0..9).collect();
        let seen = |seed| {
            let mut model = Parabola::new();
            fit(&mut model, &train, &[], &settings(2, None), seed, &AtomicBool::new(false)).expect("it trains");
            model.seen
        };
        let order = seen(1);
        for epoch in order.chunks(9) {
            let mut sorted = epoch.to_vec();
            sorted.sort_unstable();
            assert_eq!(sorted, train);
        }
        assert_ne!(order[..9], order[9..], "each epoch has its own order");
        assert_eq!(order, seen(1));
        assert_ne!(order, seen(2));
    }

    /// Keeps checkpoints in memory, and stops the training after `left` of them.
    struct Interrupting {
        states: Mutex<BTreeMap<String, Vec<u8>>>,
        left: AtomicUsize,
        stop: AtomicBool,
    }

    impl CheckpointStore for Interrupting {
        fn load(&self, stage: &str) -> Option<Vec<u8>> {
            self.states.lock().expect("one thread").get(stage).cloned()
        }
        fn due(&self) -> bool {
            true
        }
        fn keep(&self, stage: &str, state: Vec<u8>) {
            self.states.lock().expect("one thread").insert(stage.to_owned(), state);
            if self.left.fetch_sub(1, Ordering::Relaxed) == 1 {
                self.stop.store(true, Ordering::Relaxed);
            }
        }
    }

    #[test]
    fn a_resumed_training_gives_identical_weights() {
        for optimiser in [Optimiser::adam(), Optimiser::rmsprop()] {
            let settings =
                FitSettings { optimiser, schedule: Schedule::OneCycle { max_rate: 0.3 }, ..settings(40, Some(6)) };
            let (train, validation) = ([5, 5, 5, 4, 6], [1]);
            let mut whole = Parabola::new();
            let run = |model: &mut Parabola, stop: &AtomicBool, resume: &dyn CheckpointStore| {
                fit_resumed(model, &train, &validation, &settings, 3, stop, (resume, "network"))
            };
            let expected = run(&mut whole, &AtomicBool::new(false), &NoCheckpoints).expect("it trains");
            let resume =
                Interrupting { states: Mutex::default(), left: AtomicUsize::new(3), stop: AtomicBool::new(false) };
            for _ in 0..2 {
                assert_eq!(run(&mut Parabola::new(), &resume.stop, &resume), Err(TrainError::Stopped));
                resume.stop.store(false, Ordering::Relaxed);
                resume.left.store(2, Ordering::Relaxed);
            }
            resume.left.store(usize::MAX, Ordering::Relaxed);
            for _ in 0..2 {
                let mut model = Parabola::new();
                assert_eq!(run(&mut model, &resume.stop, &resume).as_ref(), Ok(&expected));
                assert_eq!(
                    model.weight.value, whole.weight.value,
                    "identical to the bit, also if it had ended already"
                );
            }
            let other = FitSettings { batch: 1, ..settings };
            let mut model = Parabola::new();
            let fresh = fit(&mut Parabola::new(), &train, &validation, &other, 3, &resume.stop);
            let resumed = fit_resumed(&mut model, &train, &validation, &other, 3, &resume.stop, (&resume, "network"));
            assert_eq!(resumed, fresh, "a checkpoint of other settings is not used");
        }
    }

    #[test]
    fn invalid_settings_are_refused_by_name() {
        let run = |settings: &FitSettings, train: &[u32], stop: bool| {
            fit(&mut Parabola::new(), train, &[], settings, 1, &AtomicBool::new(stop)).expect_err("it must fail")
        };
        assert_eq!(run(&settings(5, None), &[1], true), TrainError::Stopped);
        assert!(matches!(run(&settings(0, None), &[1], false), TrainError::Setting { setting: "epochs", .. }));
        assert!(matches!(run(&settings(1, None), &[], false), TrainError::NoSamples));
        assert!(matches!(
            run(&FitSettings { batch: 0, ..settings(1, None) }, &[1], false),
            TrainError::Setting { setting: "batch", .. }
        ));
        let endless = FitSettings { schedule: Schedule::Constant { rate: 1e38 }, ..settings(50, None) };
        assert!(matches!(run(&endless, &[1], false), TrainError::Diverged { .. }));
    }
}
