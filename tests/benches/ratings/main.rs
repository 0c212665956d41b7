//! Time and memory of the recommender's models on generated ratings.
//!
//! ```sh
//! cargo bench --bench ratings -- bias 1000000      # also: matrix-factorisation, ensemble, watch,
//! users
//! ```
//!
//! One model a process, so that the peak memory is the model's own. Prints one row: model, ratings,
//! users, movies, CPU seconds, peak memory in MB, the part of it that the ratings alone take.

mod generate;

use std::sync::atomic::AtomicBool;

use jhalak_worker::recommend::ensemble::linear_baselines::{Baseline, predict};
use jhalak_worker::recommend::ensemble::{self, ColdStart, FittedBias, Settings};
use jhalak_worker::recommend::ranking::WatchModel;
use jhalak_worker::recommend::ranking::watch::blend;

/// Users whose lists are timed by `users`.
const LISTS: u32 = 200;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
    let [model, count] = args.as_slice() else {
        println!("name a model and a number of ratings: bias 1000000");
        return;
    };
    let count: usize = count.parse().expect("a number of ratings");
    let dataset = generate::dataset(count, 7);
    let all: Vec<u32> = (0..dataset.ratings.len() as u32).collect();
    let (before, ratings_mb) = (cpu_seconds(), peak_mb());
    let running = AtomicBool::new(false);
    match model.as_str() {
        "bias" => drop(FittedBias::fit(&dataset, &all, 1, &running).expect("it fits")),
        "matrix-factorisation" => {
            let (baseline, cold_start) = (Baseline::MatrixFactorisation, ColdStart::None);
            predict(&dataset, &all, &[(0, 0)], baseline, cold_start, 1, &running).expect("it fits");
        }
        "ensemble" => {
            let settings = Settings::new(ColdStart::None);
            drop(ensemble::fit(&dataset, &all, &[], &settings, 1, &running).expect("it fits"));
        }
        "watch" => drop(WatchModel::fit(&dataset, &all, &running).expect("it fits")),
        "users" => {
            let watch = WatchModel::fit(&dataset, &all, &running).expect("it fits");
            let bias = FittedBias::fit(&dataset, &all, 1, &running).expect("it fits");
            let histories = WatchModel::histories(&dataset, &all);
            let before = cpu_seconds();
            let mut sum = 0.0;
            for user in 0..LISTS {
                let scores = watch.scores(&histories[user as usize], dataset.movies.len());
                let blended = (0u32..).zip(scores).map(|(movie, s)| blend(s, bias.probabilities(user, movie)));
                sum += blended.fold(0.0, f32::max);
            }
            let each = (cpu_seconds() - before) / f64::from(LISTS);
            println!("{each:.4} s a list of {} movies (checksum {sum:.3})", dataset.movies.len());
        }
        other => panic!("no model {other}"),
    }
    let (users, movies) = (dataset.users.len(), dataset.movies.len());
    println!(
        "{model} | {} ratings | {users} users | {movies} movies | {:.1} CPU s | {} MB, {ratings_mb} MB before",
        dataset.ratings.len(),
        cpu_seconds() - before,
        peak_mb()
    );
}

/// User and system time of this process, from the kernel's clock ticks (100 a second on Linux).
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let fields: Vec<&str> = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
    let ticks = |i: usize| fields.get(i).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / 100.0
}

fn peak_mb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kb| kb.parse::<u64>().ok()).unwrap_or(0) / 1024
}
