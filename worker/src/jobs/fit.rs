//! The fit job: fits the final model on every rating and stores its files.

use std::sync::Arc;

use jhalak_common::Result;
use jhalak_common::artifact::{self, ArtifactKey, Body, Commit};
use jhalak_common::run::job::FitTask;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::context::Context;
use super::progress::JobProgress;
use super::training_inputs::Inputs;
use crate::blocking;
use jhalak_recommend::features::embedding::TableRows;
use jhalak_recommend::serving::{FitRequest, fit_all};

/// Fits the models and commits their files.
pub(super) async fn run(
    context: &Arc<Context>,
    task: &FitTask,
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
        context.training_inputs.load(store, &task.dataset, &tables, TableRows::All).await?;
    task.check_recipe(&contents)?;
    progress.begin("train");
    let (spec, content) = (task.fit.clone(), task.dataset.content.to_string());
    let tables = task.recipe.upstream.iter().map(ToString::to_string).collect();
    let files = blocking::compute_until(&stop, move |stop| {
        let request = FitRequest { dataset: &dataset, content, features: &features, tables, spec: &spec };
        fit_all(&request, 1, stop, |_| {})
    })
    .await?;
    progress.begin("commit");
    let bodies = files.iter().map(|(name, bytes)| (name.as_str(), Body::Bytes(bytes.clone().into()))).collect();
    let facts = json!({ "fit": task.fit });
    let committed = match artifact::commit(store, &task.recipe, &task.dataset, bodies, facts).await? {
        Commit::Committed => 1,
        Commit::LostRace => {
            tracing::info!("another worker committed the final model first");
            0
        }
    };
    Ok(committed)
}
