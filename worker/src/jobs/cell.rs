//! The cell job: trains and tests one fold of one cell of the evaluation grid.

use std::sync::Arc;
use std::time::Duration;

use jhalak_common::artifact::{self, ArtifactKey, Body, Commit};
use jhalak_common::evaluation::RESULT_FILE;
use jhalak_common::hash;
use jhalak_common::run::job::CellTask;
use jhalak_common::{Error, Result};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::checkpoints::Checkpoints;
use super::context::Context;
use super::progress::JobProgress;
use crate::blocking;
use jhalak_recommend::cell;

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
    let (dataset, features) = context.training_inputs.load(store, &task.dataset, &task.table_keys()).await?;
    progress.begin("train");
    let (cell, fold) = (task.cell.clone(), task.fold);
    let interval = Duration::from_millis(context.settings.worker.checkpoint_ms);
    let checkpoints = Arc::new(Checkpoints::new(context.store.clone(), &key, interval, progress.clone()));
    let resume = checkpoints.clone();
    let result = blocking::compute_until(&stop, move |stop| {
        cell::run_fold_resumed(&dataset, &features, &cell, fold, stop, resume.as_ref())
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
