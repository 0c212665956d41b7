//! The final fit: models on every rating of the dataset, stored to be asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use jhalak_common::artifact::{self, ArtifactKey, Body, Commit};
use jhalak_common::run::job::FitTask;
use jhalak_common::{Error, Result};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{Clock, Context, JobStats, cell};
use jhalak_recommend::serving::{FitRequest, fit_all};

/// Fits the models and commits their files.
pub(super) async fn run(context: &Arc<Context>, task: &FitTask, cut: CancellationToken) -> Result<JobStats> {
    let mut done = JobStats::default();
    let mut clock = Clock::start();
    let key = ArtifactKey::new(&task.recipe, &task.dataset);
    if artifact::committed(context.store.as_ref(), &key).await?.is_some() {
        return Ok(done);
    }
    let (dataset, features) = cell::inputs(context, &task.dataset, &task.table_keys()).await?;
    clock.note(&mut done, "load");
    let (spec, content) = (task.fit.clone(), task.dataset.content.to_string());
    let tables = task.recipe.upstream.iter().map(ToString::to_string).collect();
    let stop = Arc::new(AtomicBool::new(false));
    let asked = stop.clone();
    let mut fitting = tokio::task::spawn_blocking(move || {
        let request = FitRequest { dataset: &dataset, content, features: &features, tables, spec: &spec };
        fit_all(&request, 1, &asked, |_| {})
    });
    let fitted = tokio::select! {
        fitted = &mut fitting => fitted,
        () = cut.cancelled() => {
            stop.store(true, Ordering::Relaxed);
            fitting.await
        }
    };
    let files = fitted.map_err(|e| Error::bug("the final fit panicked").with_source(e))??;
    clock.note(&mut done, "train");
    let bodies = files.iter().map(|(name, bytes)| (name.as_str(), Body::Bytes(bytes.clone().into()))).collect();
    let facts = json!({ "fit": task.fit });
    match artifact::commit(context.store.as_ref(), &task.recipe, &task.dataset, bodies, facts).await? {
        Commit::Committed => done.committed += 1,
        Commit::LostRace => tracing::info!("another worker committed the final model first"),
    }
    clock.note(&mut done, "commit");
    Ok(done)
}
