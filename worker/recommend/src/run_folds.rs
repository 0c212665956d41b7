//! Runs all folds of one cell in this process, one on each thread.

use crate::RecommendError;
use crate::cell::{CellSpec, Features, FoldResult, run_fold, run_given_fold};
use jhalak_common::dataset::Dataset;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Runs every fold of the cell on at most `threads` threads, and calls `ended` after each. Results
/// are in the order of the folds and do not depend on `threads`. `given` are the test pairs of each
/// fold, sorted, for cells with given folds.
///
/// # Errors
/// The error of the first failed fold, in the order of the folds. No further fold is started.
pub fn run_folds(
    dataset: &Dataset,
    features: &Features,
    spec: &CellSpec,
    given: Option<&[Vec<u32>]>,
    threads: usize,
    stop: &AtomicBool,
    ended: impl Fn(usize) + Sync,
) -> Result<Vec<FoldResult>, RecommendError> {
    spec.check()?;
    if let Some(given) = given
        && given.len() != spec.folds
    {
        let reason = format!("{} folds are given, and the cell has {}", given.len(), spec.folds);
        return Err(RecommendError::Setting { setting: "folds", reason });
    }
    let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
    let results = Mutex::new((0..spec.folds).map(|_| None).collect::<Vec<_>>());
    let work = || {
        loop {
            let fold = next.fetch_add(1, Ordering::Relaxed);
            if fold >= spec.folds || failed.load(Ordering::Relaxed) {
                return;
            }
            let result = match given {
                None => run_fold(dataset, features, spec, fold, stop),
                Some(given) => run_given_fold(dataset, features, spec, (fold, &given[fold]), stop),
            };
            match &result {
                Ok(_) => ended(fold),
                Err(_) => failed.store(true, Ordering::Relaxed),
            }
            // A panicking thread poisons the lock, and the scope propagates its panic.
            if let Ok(mut results) = results.lock() {
                results[fold] = Some(result);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads.clamp(1, spec.folds) {
            scope.spawn(work);
        }
        work();
    });
    let results = results.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    // Folds start in order, so only folds after a failed one can be missing.
    results.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::{Taste, example};
    use jhalak_common::evaluation::{Modality, Model, Split, UserEmbedding};

    #[test]
    fn results_do_not_depend_on_threads_and_every_fold_is_reported() {
        let dataset = example(40, 20, 10, Taste::Genre, 1);
        let mut spec =
            CellSpec::strict(Split::Pairs, Modality::Genre, Model::Classifier { heads: 4 }, UserEmbedding::All, true);
        spec.training.fit.epochs = 2;
        let reported = AtomicUsize::new(0);
        let running = AtomicBool::new(false);
        let run = |threads| {
            run_folds(&dataset, &Features::default(), &spec, None, threads, &running, |fold| {
                reported.fetch_add(1 + 10 * fold, Ordering::Relaxed);
            })
        };
        let one = run(1).expect("it runs");
        assert_eq!(one.iter().map(|fold| fold.fold).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
        assert_eq!(reported.load(Ordering::Relaxed), 105);
        assert_eq!(run(8).expect("it runs"), one);

        let stopped = run_folds(&dataset, &Features::default(), &spec, None, 3, &AtomicBool::new(true), |_| {});
        assert_eq!(stopped.expect_err("it is stopped"), RecommendError::Stopped);
        spec.folds = 1;
        assert!(run_folds(&dataset, &Features::default(), &spec, None, 3, &running, |_| {}).is_err());
    }
}
