//! From a dataset to a run frozen in the store: what is asked for, and the trailers that it is asked of.

use bytes::Bytes;
use jhalak_common::artifact::Subject;
use jhalak_common::dataset::Dataset;
use jhalak_common::extraction;
use jhalak_common::hash::{self, Hash};
use jhalak_common::models::Registry;
use jhalak_common::run::{self, RUN_VERSION, RunSpec, TrailerList, dataset_key, run_key};
use jhalak_common::settings::Settings;
use jhalak_common::store::ObjectStore;
use jhalak_common::{Error, Result};

use crate::grid;
use crate::source::Source;

/// A run that any coordinator can go on with.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What is asked for.
    pub spec: RunSpec,
    /// Of which trailers.
    pub trailers: TrailerList,
}

/// Plans a run over the dataset and freezes it in the store. The same request finds the run that was planned before.
///
/// `share_trailers`: whether workers on other machines must reach the trailers through the store.
pub async fn freeze(
    store: &dyn ObjectStore,
    source: &Source,
    settings: &Settings,
    share_trailers: bool,
) -> Result<Plan> {
    let (plan, dataset) = draft(source, settings, share_trailers.then_some(store)).await?;
    store.put_if_absent(&dataset_key(&plan.spec.dataset.content), dataset).await?;
    run::put_json_once(store, &run_key(&plan.spec.id, "trailers.json"), &plan.trailers).await?;
    // Written last: a run without its specification does not exist.
    run::put_json_once(store, &run_key(&plan.spec.id, "spec.json"), &plan.spec).await?;
    load(store, &plan.spec.id).await
}

/// Plans a run and writes nothing but the trailers that `upload` asks for. With it comes the dataset in its normal form, as it is stored.
pub async fn draft(source: &Source, settings: &Settings, upload: Option<&dyn ObjectStore>) -> Result<(Plan, Bytes)> {
    let registry = Registry::load(settings.models.registry.as_deref())?;
    let (recipes, models) = extraction::recipes(settings, &registry)?;
    let dataset = &source.reading.dataset;
    let (subject, bytes) = normal_form(dataset)?;
    let trailers = source.trailers(upload).await?;
    let mut spec = RunSpec {
        version: RUN_VERSION,
        id: String::new(),
        dataset_url: source.url.clone(),
        synthetic: dataset.synthetic,
        trailers: trailers_hash(&trailers),
        cells: grid::cells(dataset, !trailers.is_empty(), &settings.evaluate),
        dataset: subject,
        recipes,
        models,
        created: jiff::Timestamp::now(),
    };
    spec.id = spec.derive_id();
    Ok((Plan { spec, trailers: TrailerList { version: RUN_VERSION, trailers } }, bytes))
}

/// The bytes that a dataset is stored as, and what identifies it.
pub fn normal_form(dataset: &Dataset) -> Result<(Subject, Bytes)> {
    let json =
        serde_json::to_value(dataset).map_err(|e| Error::bug("the dataset does not serialise").with_source(e))?;
    let bytes = hash::canonical_json(&json);
    Ok((Subject { id: subject_id(&dataset.name), content: hash::of_bytes(bytes.as_bytes()) }, bytes.into()))
}

/// The frozen run `id`.
pub async fn load(store: &dyn ObjectStore, id: &str) -> Result<Plan> {
    let missing = || Error::not_found(format!("the store {} has no run `{id}`", store.url()));
    let spec = run::get_json(store, &run_key(id, "spec.json")).await?.ok_or_else(missing)?;
    let trailers = run::get_json(store, &run_key(id, "trailers.json")).await?.ok_or_else(missing)?;
    Ok(Plan { spec, trailers })
}

/// What identifies a list of trailers: their ids and contents, wherever they lie.
fn trailers_hash(trailers: &[jhalak_common::job::Trailer]) -> Hash {
    let subjects: Vec<_> = trailers.iter().map(|t| &t.subject).collect();
    hash::of_json(&serde_json::json!(subjects))
}

/// A dataset's name as part of a key.
fn subject_id(name: &str) -> String {
    let kept: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' }).take(60).collect();
    let kept = kept.trim_matches('.').to_string();
    if kept.is_empty() { "dataset".into() } else { kept }
}
