//! Computes the measures that are added to the report of a run, in this process: they are not part
//! of the run's cells.

mod ablation;
pub mod cold_start;
mod frame;
mod ranking;

use std::sync::Arc;

use jhalak_common::settings::Measure;
use jhalak_common::store::ObjectStore;
use jhalak_common::{ErrorKind, Result};
use jhalak_worker::blocking::compute_until;
use tokio_util::sync::CancellationToken;

use self::frame::Frame;
use crate::console::progress::Progress;
use crate::plan::{self, Plan};
use crate::report::Measures;

/// Adds the measures in `wanted` that `measures` lacks, and returns whether any was added. A
/// measure that the run's data do not allow is noted with the reason.
///
/// # Errors
/// Cancelled; the errors of the store.
pub async fn add(
    measures: &mut Measures,
    wanted: &[Measure],
    store: &dyn ObjectStore,
    plan: &Plan,
    stopped: &CancellationToken,
    progress: &Progress,
) -> Result<bool> {
    let mut missing: Vec<Measure> = wanted.iter().copied().filter(|one| !measures.is_settled(*one)).collect();
    missing.sort_unstable();
    missing.dedup();
    let Some(first) = plan.spec.cells.first().filter(|_| !missing.is_empty()) else { return Ok(false) };
    let (seed, folds) = (first.seed, first.folds);
    let dataset = Arc::new(plan::frozen_dataset(store, plan).await?);
    let cells = Arc::new(plan.spec.cells.clone());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let bar = progress.steps("measures", missing.len());
    for measure in missing {
        let (dataset, cells) = (dataset.clone(), cells.clone());
        let mut found = measures.clone();
        let computed = compute_until(stopped, move |stop| -> Result<Measures> {
            let frame = Frame { dataset: &dataset, cells: &cells, seed, folds, threads, stop };
            match measure {
                Measure::Ranking => found.ranking = Some(ranking::rank(&frame)?),
                Measure::ColdStart => found.cold_start = Some(cold_start::curves(&frame)?),
                Measure::Ablation => found.ablation = Some(ablation::parts(&frame)?),
            }
            Ok(found)
        });
        match computed.await {
            Ok(found) => *measures = found,
            Err(error) if error.kind() == ErrorKind::InvalidInput => {
                measures.not_computed.insert(measure.name().to_owned(), error.chain());
            }
            Err(error) => return Err(error.context(format!("the measure {}", measure.name()))),
        }
        bar.step(measure.name());
    }
    bar.end();
    Ok(true)
}
