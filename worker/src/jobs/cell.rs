//! The cell job: trains and tests one fold of one cell of the evaluation grid.

use std::sync::Arc;
use std::time::Duration;

use jhalak_common::artifact::{self, ArtifactKey, Body, Commit};
use jhalak_common::evaluation::RESULT_FILE;
use jhalak_common::hash;
use jhalak_common::hash::Hash;
use jhalak_common::run::folds_key;
use jhalak_common::run::job::CellTask;
use jhalak_common::store::ObjectStore;
use jhalak_common::{Error, Result};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::checkpoints::Checkpoints;
use super::context::Context;
use super::progress::JobProgress;
use super::training_inputs::Inputs;
use crate::blocking;
use jhalak_recommend::cell;
use jhalak_recommend::features::embedding::TableRows;

/// Trains and tests the fold, and commits its result.
pub(super) async fn run(
    context: &Arc<Context>,
    task: &CellTask,
    progress: &Arc<JobProgress>,
    stop: CancellationToken,
) -> Result<usize> {
    progress.begin("load");
    let store = context.store.as_ref();
    let key = ArtifactKey::new(&task.recipe, &task.dataset);
    if artifact::committed(store, &key).await?.is_some() {
        return Ok(0);
    }
    let tables = task.table_keys();
    let Inputs { dataset, features, contents } =
        context.training_inputs.load(store, &task.dataset, &tables, TableRows::Rated).await?;
    task.check_recipe(&contents)?;
    let given = match &task.cell.given_folds {
        Some(content) => Some(given_fold(store, content, task.fold, dataset.ratings.len()).await?),
        None => None,
    };
    progress.begin("train");
    let (cell, fold) = (task.cell.clone(), task.fold);
    let interval = Duration::from_millis(context.settings.worker.checkpoint_ms);
    let checkpoints = Arc::new(Checkpoints::new(context.store.clone(), &key, interval, progress.clone()));
    let resume = checkpoints.clone();
    let result = blocking::compute_until(&stop, move |stop| {
        let resume = resume.as_ref();
        match &given {
            None => cell::run_fold_resumed(&dataset, &features, &cell, fold, stop, resume),
            Some(test) => cell::run_given_fold_resumed(&dataset, &features, &cell, (fold, test), stop, resume),
        }
    })
    .await?;
    progress.begin("commit");
    let json = hash::canonical_json(
        &serde_json::to_value(&result).map_err(|e| Error::bug("a result does not serialise").with_source(e))?,
    );
    let files = vec![(RESULT_FILE, Body::Bytes(json.into()))];
    let facts = json!({ "cell": task.cell, "fold": task.fold });
    let committed = match artifact::commit(store, &task.recipe, &task.dataset, files, facts).await? {
        Commit::Committed => 1,
        Commit::LostRace => {
            tracing::info!(cell = %task.cell.name(), fold, "another worker committed the fold first");
            0
        }
    };
    checkpoints.remove().await;
    Ok(committed)
}

/// Reads the test pairs of a given fold.
///
/// # Errors
/// InvalidInput where the stored folds are missing, damaged or of another dataset.
async fn given_fold(store: &dyn ObjectStore, content: &Hash, fold: usize, ratings: usize) -> Result<Vec<u32>> {
    let key = folds_key(content);
    let bytes = store.get(&key).await.map_err(|e| e.context("cannot read the run's folds"))?;
    let damaged = || Error::invalid(format!("{key} is damaged: submit the run again with its folds"));
    if hash::of_bytes(&bytes) != *content {
        return Err(damaged());
    }
    let mut folds: Vec<Vec<u32>> = serde_json::from_slice(&bytes).map_err(|e| damaged().with_source(e))?;
    if fold >= folds.len() {
        return Err(damaged());
    }
    let test = folds.swap_remove(fold);
    let fits = test.is_sorted_by(|a, b| a < b) && test.last().is_none_or(|pair| (*pair as usize) < ratings);
    if fits { Ok(test) } else { Err(damaged()) }
}
