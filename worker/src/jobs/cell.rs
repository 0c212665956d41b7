//! The evaluation job: one fold of one cell of the grid.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jhalak_common::artifact::table_file::Table;
use jhalak_common::artifact::{self, ArtifactKey, ArtifactKind, Body, Commit, Subject};
use jhalak_common::dataset::Dataset;
use jhalak_common::evaluation::RESULT_FILE;
use jhalak_common::hash::{self, Hash};
use jhalak_common::run::dataset_key;
use jhalak_common::run::job::CellTask;
use jhalak_common::{Error, Result};
use serde_json::json;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::checkpoints::Checkpoints;
use super::{Clock, Context, JobStats};
use jhalak_recommend::cell::{self, EmbeddingTable, Features};

/// What training jobs read, kept for the next job: the last dataset and its tables.
#[derive(Default)]
pub struct Inputs(Mutex<Option<Loaded>>);

struct Loaded {
    dataset_hash: Hash,
    tables: Vec<ArtifactKey>,
    dataset: Arc<Dataset>,
    features: Arc<Features>,
}

/// Trains and tests the fold, and commits its result.
pub(super) async fn run(context: &Arc<Context>, task: &CellTask, cut: CancellationToken) -> Result<JobStats> {
    let mut done = JobStats::default();
    let mut clock = Clock::start();
    let key = ArtifactKey::new(&task.recipe, &task.dataset);
    if artifact::committed(context.store.as_ref(), &key).await?.is_some() {
        return Ok(done);
    }
    let (dataset, features) = inputs(context, &task.dataset, &task.table_keys()).await?;
    clock.note(&mut done, "load");
    let (cell, fold) = (task.cell.clone(), task.fold);
    let stop = Arc::new(AtomicBool::new(false));
    let asked = stop.clone();
    let every = Duration::from_millis(context.settings.worker.checkpoint_ms);
    let checkpoints = Arc::new(Checkpoints::new(context.store.clone(), &key, every));
    let resume = checkpoints.clone();
    let mut training = tokio::task::spawn_blocking(move || {
        cell::run_fold_resumed(&dataset, &features, &cell, fold, &asked, resume.as_ref())
    });
    let trained = tokio::select! {
        trained = &mut training => trained,
        () = cut.cancelled() => {
            stop.store(true, Ordering::Relaxed);
            training.await
        }
    };
    let result = trained.map_err(|e| Error::bug("the training panicked").with_source(e))??;
    clock.note(&mut done, "train");
    let json = hash::canonical_json(
        &serde_json::to_value(&result).map_err(|e| Error::bug("a result does not serialise").with_source(e))?,
    );
    let facts = json!({ "cell": task.cell, "fold": task.fold });
    match artifact::commit(
        context.store.as_ref(),
        &task.recipe,
        &task.dataset,
        vec![(RESULT_FILE, Body::Bytes(json.into()))],
        facts,
    )
    .await?
    {
        Commit::Committed => done.committed += 1,
        Commit::LostRace => tracing::info!(cell = %task.cell.name(), fold, "another worker committed it first"),
    }
    checkpoints.remove().await;
    clock.note(&mut done, "commit");
    Ok(done)
}

/// The dataset and the tables of embeddings, read once for the jobs that follow each other.
pub(super) async fn inputs(
    context: &Context,
    dataset: &Subject,
    tables: &[ArtifactKey],
) -> Result<(Arc<Dataset>, Arc<Features>)> {
    let content = dataset.content;
    let mut kept = context.inputs.0.lock().await;
    if let Some(loaded) = kept.as_ref().filter(|l| l.dataset_hash == content && l.tables == tables) {
        return Ok((loaded.dataset.clone(), loaded.features.clone()));
    }
    let place = dataset_key(&content);
    let bytes = context.store.get(&place).await.map_err(|e| e.context("the run's dataset"))?;
    let dataset: Dataset = serde_json::from_slice(&bytes)
        .map_err(|e| Error::invalid(format!("{place} is damaged: submit the run again")).with_source(e))?;
    let mut features = Features::default();
    for key in tables {
        let record = artifact::committed(context.store.as_ref(), key).await?.ok_or_else(|| {
            Error::invalid(format!("the table {} is not committed: submit the run again", key.folder()))
        })?;
        let table = Table::read(
            artifact::read_file(context.store.as_ref(), &record, jhalak_common::artifact::table_file::FILE).await?,
        )?;
        let embeddings = Some(EmbeddingTable::of(table, &dataset));
        match key.kind {
            ArtifactKind::VideoTable => features.video = embeddings,
            ArtifactKind::AudioTable => features.audio = embeddings,
            other => return Err(Error::invalid(format!("a cell reads no {}", other.name()))),
        }
    }
    let loaded = Loaded {
        dataset_hash: content,
        tables: tables.to_vec(),
        dataset: Arc::new(dataset),
        features: Arc::new(features),
    };
    let answer = (loaded.dataset.clone(), loaded.features.clone());
    *kept = Some(loaded);
    Ok(answer)
}
