//! Measures the training speed of the classifier at dim 512, batch 32, RMSprop, in samples per
//! second and per CPU second.
//!
//! `train_speed [SECONDS] [TRAININGS]` runs that many trainings in parallel (default 1), one on
//! each thread. The peer is `classifier_reference.py bench`; `make bench-train` runs both in turn.

use jhalak_nn::{Optimiser, OptimizerState, StepRate, cross_entropy, seeded};
use jhalak_recommend::features::inputs::Batch;
use jhalak_recommend::networks::Network;
use jhalak_recommend::networks::classifier::Classifier;
use std::time::{Duration, Instant};

const DIM: usize = 512;
const BATCH: usize = 32;

fn main() {
    let mut numbers = std::env::args().skip(1).filter_map(|arg| arg.parse::<f64>().ok());
    let seconds = Duration::from_secs_f64(numbers.next().unwrap_or(10.0).clamp(0.1, 3600.0));
    let trainings = numbers.next().unwrap_or(1.0).clamp(1.0, 64.0) as u64;
    let (start, cpu) = (Instant::now(), cpu_seconds());
    let samples: usize = std::thread::scope(|scope| {
        let running: Vec<_> = (0..trainings).map(|seed| scope.spawn(move || train(seed, seconds))).collect();
        running.into_iter().filter_map(|training| training.join().ok()).sum()
    });
    let (wall, cpu) = (start.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    println!("samples/s {:.1} samples/cpu-s {:.1}", samples as f64 / wall, samples as f64 / cpu);
}

/// Trains for this long and returns the number of samples.
fn train(seed: u64, seconds: Duration) -> usize {
    let random = &mut seeded(seed, 0);
    let mut network = Classifier::new(&[DIM], random);
    let mut rows = || (0..BATCH * DIM).map(|_| random.normal()).collect::<Vec<f32>>();
    let batches: Vec<Vec<Batch>> = (0..16).map(|_| vec![Batch { movie: rows(), user: rows() }]).collect();
    let labels: Vec<u8> = (0..BATCH).map(|i| (i % 3) as u8).collect();
    let mut learner = OptimizerState::new(Optimiser::rmsprop());
    let mut logits = Vec::new();
    let start = Instant::now();
    let mut steps = 0;
    while start.elapsed() < seconds {
        let batch = &batches[steps % batches.len()];
        logits.clear();
        logits.extend_from_slice(network.forward(batch, BATCH));
        cross_entropy(&mut logits, 3, &labels, &[]);
        learner.begin_step(StepRate { rate: 1e-5, beta1: None });
        network.backward(batch, &logits, BATCH, &mut learner);
        steps += 1;
    }
    steps * BATCH
}

/// Returns the CPU time of this process in seconds (Linux: clock ticks of 1/100 s).
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |i: usize| fields.get(i).and_then(|x| x.parse::<f64>().ok()).unwrap_or(f64::NAN);
    (ticks(11) + ticks(12)) / 100.0
}
