//! Exports a run as files for other tools: Parquet tables, CSV, webdataset shards and the final
//! model, with a manifest that describes each file.

mod arrow_schema;
mod catalogue;
mod column;
mod context;
mod embeddings;
mod keyframes;
mod manifest;
mod predictions;
mod scenes;
pub mod table;

use std::collections::BTreeSet;
use std::path::Path;

use jhalak_common::artifact::{self, ArtifactKey};
use jhalak_common::run::RunState;
use jhalak_common::run::{self, run_key};
use jhalak_common::store::ObjectStore;
use jhalak_common::{Error, Result};

use context::Context;
use manifest::Written;

use crate::artifacts::{embedding_tables, fitted_model};
use crate::plan;
use crate::run::tasks;

pub use context::Options;
pub use manifest::{FileEntry, MANIFEST_FILE, Manifest};

/// Exports the run `id` into the folder `out`, which is empty. `step` is called with the name of
/// each part. The manifest is written last.
///
/// # Errors
/// NotFound if the store has no such run; InvalidInput if an artifact is damaged.
pub async fn export(
    store: &dyn ObjectStore,
    id: &str,
    out: &Path,
    options: Options,
    mut step: impl FnMut(&str),
) -> Result<Manifest> {
    let plan = plan::load(store, id).await?;
    let state: Option<RunState> = run::get_json(store, &run_key(id, "state.json")).await?;
    let mut notes = Vec::new();
    if let Some(state) = state.filter(|state| !state.stage.is_final()) {
        notes.push(format!("the run has not ended ({}): the export has what is committed so far", state.stage.name()));
    }
    let dataset = plan::frozen_dataset(store, &plan).await?;
    let tables = embedding_tables::committed(store, &plan).await?;
    let context = Context { store, plan: &plan, dataset, tables, out, options };
    let mut files = Vec::new();
    for part in ["catalogue", "embeddings", "scenes and objects", "keyframes", "predictions", "model"] {
        step(part);
        let (made, told) = match part {
            "catalogue" => catalogue::write(&context)?,
            "embeddings" => embeddings::write(&context).await?,
            "scenes and objects" => scenes::write(&context).await?,
            "keyframes" => keyframes::write(&context).await?,
            "predictions" => predictions::write(&context).await?,
            _ => model(&context).await?,
        };
        files.extend(made);
        notes.extend(told);
    }
    notes.extend(missing_trailers(&context).await?);
    step("manifest");
    Manifest::write(&context, files, notes).await
}

/// Names the trailers without any committed artifact.
async fn missing_trailers(context: &Context<'_>) -> Result<Option<String>> {
    let mut without: BTreeSet<&str> = context.subjects().map(|subject| subject.id.as_str()).collect();
    let all = without.len();
    for recipe in &context.plan.spec.recipes {
        for folder in artifact::list_committed(context.store, recipe.kind, &recipe.hash()).await? {
            if let Some((id, _)) = folder.rsplit_once('@') {
                without.remove(id);
            }
        }
    }
    let named = || without.iter().take(10).copied().collect::<Vec<_>>().join(", ");
    Ok((!without.is_empty()).then(|| {
        format!("{} of {all} trailers have no artifact (see `jhalak quarantine ls`): {}", without.len(), named())
    }))
}

/// Copies the final model of the run, with its dataset.
async fn model(context: &Context<'_>) -> Result<Written> {
    let Some(task) = tasks::fit_task(context.plan, &context.tables)? else {
        return Ok((Vec::new(), vec!["the run fits no final model".to_owned()]));
    };
    let key = ArtifactKey::new(&task.recipe, &task.dataset);
    let Some(record) = artifact::committed(context.store, &key).await? else {
        return Ok((
            Vec::new(),
            vec![
                "the final model is not there: `jhalak quarantine ls` says whether it was quarantined; else start the same run \
                 again with this version of the program"
                    .to_owned(),
            ],
        ));
    };
    let folder = context.path("model");
    std::fs::create_dir_all(&folder)?;
    let mut entries = Vec::new();
    for file in &record.files {
        let bytes = artifact::read_file(context.store, &record, &file.name).await?;
        std::fs::write(folder.join(&file.name), bytes)?;
        entries.push(FileEntry::of(format!("model/{}", file.name), "a file of the final model", None, Vec::new()));
    }
    let dataset = context.dataset.canonical_json()?;
    std::fs::write(folder.join(fitted_model::DATASET_FILE), dataset)?;
    let about = "the dataset that the model was fitted on: `jhalak predict --model-dir model` reads it";
    entries.push(FileEntry::of(format!("model/{}", fitted_model::DATASET_FILE), about, None, Vec::new()));
    Ok((entries, Vec::new()))
}

/// Whether `folder` may receive an export: it does not exist, or it is empty.
///
/// # Errors
/// InvalidInput if it holds anything.
pub fn check_empty(folder: &Path) -> Result<()> {
    match std::fs::read_dir(folder) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(Error::from(e).context(format!("the folder {}", folder.display()))),
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) => {
                Err(Error::invalid(format!("the folder {} is not empty: name a new or empty one", folder.display())))
            }
        },
    }
}
