//! What the measures of a run are computed from.

use std::sync::atomic::AtomicBool;

use jhalak_common::dataset::Dataset;
use jhalak_common::evaluation::{CellSpec, FoldResult};
use jhalak_common::{Error, Result};
use jhalak_worker::recommend::features::embedding::Features;
use jhalak_worker::recommend::run_folds::run_folds;

/// What all measures of a run are computed from.
pub(super) struct Frame<'a> {
    pub dataset: &'a Dataset,
    /// The cells of the run, whose seed and number of folds the measures share.
    pub cells: &'a [CellSpec],
    pub seed: u64,
    pub folds: usize,
    pub threads: usize,
    pub stop: &'a AtomicBool,
}

impl Frame<'_> {
    /// Runs the folds of a cell that needs no embeddings.
    pub fn run(&self, spec: &CellSpec) -> Result<Vec<FoldResult>> {
        run_folds(self.dataset, &Features::default(), spec, None, self.threads, self.stop, |_| ()).map_err(Error::from)
    }
}
