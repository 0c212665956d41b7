//! Plans a run over a dataset and freezes the plan in the store: recipes, evaluation grid, trailers
//! and final model.

pub mod dataset_source;
pub mod estimate;
pub mod final_model;
pub mod given_split;
pub mod given_tables;
pub mod grid;
pub mod normal_form;
pub mod paper_tables;
mod printed_tables;
pub mod source;
#[cfg(test)]
pub(crate) mod testing;
pub mod trailer_index;
pub mod trailer_shards;

use std::collections::BTreeSet;

use jhalak_common::artifact::{self, ArtifactKey, ArtifactKind, Recipe};
use jhalak_common::compact::Packed;
use jhalak_common::dataset::Dataset;
use jhalak_common::evaluation::{CellSpec, Protocol};
use jhalak_common::hash::{self, Hash};
use jhalak_common::models::Registry;
use jhalak_common::run::job::Trailer;
use jhalak_common::run::{
    self, GivenTable, RUN_VERSION, RunSpec, RunState, SHARDED_VERSION, SPECIFICATION, Stage, TrailerList, folds_key,
    run_key,
};
use jhalak_common::settings::{Grid, Settings};
use jhalak_common::store::ObjectStore;
use jhalak_common::{Error, Result};

pub use crate::plan::given_split::RunFolds;
pub use crate::plan::given_tables::GivenRows;

use crate::plan::dataset_source::Source;
use crate::plan::normal_form::NormalForm;
use crate::plan::paper_tables::Available;

/// A frozen run, which any coordinator can resume.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The recipes, cells and final model.
    pub spec: RunSpec,
    /// The trailers.
    pub trailers: TrailerList,
}

impl Plan {
    /// Whether the run extracts this trailer. A run with `--only-new` skips the others.
    pub fn extracts(&self, trailer: &Trailer) -> bool {
        let is_listed = |only: &BTreeSet<String>| only.contains(&ArtifactKey::subject_folder(&trailer.subject));
        self.spec.only.as_ref().is_none_or(is_listed)
    }

    /// Returns the recipes of embeddings, each with the kinds of the tables that its embeddings are
    /// gathered into, in the order of the plan. Tables of parts are those that a cell reads.
    pub fn embeddings(&self) -> impl Iterator<Item = (ArtifactKind, &Recipe)> {
        let table = |kind| match kind {
            ArtifactKind::VideoEmbedding => Some(ArtifactKind::VideoTable),
            ArtifactKind::AudioEmbedding => Some(ArtifactKind::AudioTable),
            _ => None,
        };
        self.spec.recipes.iter().flat_map(move |recipe| {
            let parts = recipe.kind.parts_table().filter(|parts| self.reads_parts_of(*parts, recipe));
            [table(recipe.kind), parts].into_iter().flatten().map(move |kind| (kind, recipe))
        })
    }

    /// Whether a cell reads the table `parts` of the parts of these embeddings.
    fn reads_parts_of(&self, parts: ArtifactKind, recipe: &Recipe) -> bool {
        let source = |cell: &CellSpec| match parts {
            ArtifactKind::VideoParts => self.spec.video_embedding(cell.pictures.as_ref()),
            _ => Some(recipe),
        };
        let mut cells = self.spec.cells.iter().filter(|cell| cell.tables().contains(&parts));
        cells.any(|cell| source(cell) == Some(recipe))
    }
}

/// The options of a run in addition to its dataset and the settings.
#[derive(Debug, Clone, Copy, Default)]
pub struct Request<'a> {
    /// The slot of the run: there is one run for each slot.
    pub slot: Option<&'a str>,
    /// Extract only trailers that have no artifact of some kind under any recipe.
    pub only_new: bool,
    /// The folds of every cell, in place of drawn ones.
    pub folds: Option<&'a RunFolds>,
    /// Embeddings in place of trailers, video before audio.
    pub given: &'a [GivenRows],
}

/// A planned run that is not frozen: nothing of it is in the store.
pub struct Draft {
    /// The plan.
    pub plan: Plan,
    /// The dataset as it is stored.
    pub dataset: NormalForm,
    /// The hash and the JSON of given folds.
    pub folds: Option<(Hash, String)>,
    /// Given embeddings.
    pub given: Vec<GivenRows>,
}

/// Plans a run over the dataset. Writes nothing except trailers of a local folder, which are
/// uploaded into `share` so that workers on other machines can read them.
pub async fn draft(
    store: &dyn ObjectStore,
    source: &Source,
    settings: &Settings,
    request: Request<'_>,
    share: Option<&dyn ObjectStore>,
) -> Result<Draft> {
    let given: Vec<GivenTable> = request.given.iter().map(|given| given.entry.clone()).collect();
    if !given.is_empty() && settings.evaluate.grid == Grid::Paper {
        return Err(Error::usage(
            "--embeddings cannot be combined with the grid `paper`, whose tables state how each embedding is made: use \
             --grid standard",
        ));
    }
    if !given.is_empty() && settings.evaluate.trailer_attention {
        return Err(Error::usage(
            "--embeddings has one vector for each trailer, and evaluate.trailer_attention needs one for each frame or \
             window: set it to false, or use the trailers",
        ));
    }
    // Trailers without ratings are extracted, and nothing is trained.
    let trains = !source.reading.dataset.ratings.is_empty();
    if trains || source.reading.trailers.is_empty() || !given.is_empty() {
        source.reading.check_trainable()?;
        if request.folds.is_none() {
            source.reading.check_folds(settings.evaluate.folds)?;
        }
    }
    let registry = Registry::load(settings.models.registry.as_deref())?;
    let dataset = &source.reading.dataset;
    let normal_form = NormalForm::of(dataset)?;
    let ((recipes, models), trailers) = match given.is_empty() {
        true => (artifact::recipes::recipes(settings, &registry)?, source.trailers(share).await?),
        false => Default::default(),
    };
    let only = match request.only_new {
        true => Some(new_trailers(store, &recipes, &trailers).await?),
        false => None,
    };
    let modality = given_tables::modality(&given, !trailers.is_empty());
    let available = Available { dataset, modality, trailers: trailers.len(), recipes: &recipes, models: &models };
    let mut cells = if trains { grid::cells(&available, &settings.evaluate) } else { Vec::new() };
    let folds = request.folds.map(|folds| take_folds(&mut cells, folds));
    let fit = final_model::of_run(dataset, modality, &settings.evaluate);
    let fit = Some(fit).filter(|fit| trains && fit.parts() > 0);
    let mut spec = RunSpec {
        version: RUN_VERSION,
        id: String::new(),
        dataset_url: source.url.clone(),
        synthetic: dataset.synthetic,
        trailers: trailers_hash(&trailers)?,
        cells,
        grid: settings.evaluate.grid,
        fit,
        trailer_shards: Vec::new(),
        dataset: normal_form.subject.clone(),
        recipes,
        models,
        slot: request.slot.map(slot_word).transpose()?,
        only,
        given,
        table_precision: settings.extract.table_precision,
        created: jiff::Timestamp::now(),
    };
    spec.id = spec.derive_id();
    let plan = Plan { spec, trailers: TrailerList { version: RUN_VERSION, trailers } };
    Ok(Draft { plan, dataset: normal_form, folds, given: request.given.to_vec() })
}

/// Puts given folds into the cells. Returns the hash and the JSON under which they are stored.
fn take_folds(cells: &mut Vec<CellSpec>, folds: &RunFolds) -> (Hash, String) {
    let json = hash::canonical_json(&serde_json::json!(folds.tests));
    let content = hash::of_bytes(json.as_bytes());
    for cell in cells.iter_mut() {
        (cell.given_folds, cell.folds) = (Some(content), folds.tests.len());
        if let Protocol::Strict { split } = &mut cell.protocol {
            *split = folds.split;
        }
    }
    // Cells that differed in their split alone are one.
    let mut seen: Vec<CellSpec> = Vec::new();
    cells.retain(|cell| {
        let is_new = !seen.contains(cell);
        seen.extend(is_new.then(|| cell.clone()));
        is_new
    });
    (content, json)
}

/// Freezes a planned run in the store. Returns true with the frozen run when the same request was
/// planned before.
pub async fn freeze(store: &dyn ObjectStore, draft: Draft) -> Result<(Plan, bool)> {
    let Draft { plan, dataset, folds, given } = draft;
    for given in given {
        given.commit(store).await?;
    }
    let Plan { mut spec, trailers } = plan;
    if run::is_planned(store, &spec.id).await? {
        // Frees the list before the stored one is read.
        drop(trailers);
        let found = load(store, &spec.id).await?;
        if found.spec.dataset.content == spec.dataset.content {
            dataset.keep(store).await?;
        }
        return Ok((found, true));
    }
    dataset.keep(store).await?;
    drop(dataset);
    if let Some((content, json)) = folds {
        store.put_if_absent(&folds_key(&content), json.into()).await?;
    }
    let shards = trailer_shards::put(store, &spec.id, &trailers).await?;
    if !shards.is_empty() {
        (spec.version, spec.trailer_shards) = (SHARDED_VERSION, shards);
    }
    // Written last: a run exists once its specification does.
    run::put_json_once(store, &run_key(&spec.id, SPECIFICATION), &spec).await?;
    // Another coordinator may have planned the same run concurrently: the stored one counts.
    let stored: RunSpec = load_spec(store, &spec.id).await?;
    if stored.trailers == spec.trailers {
        run::put_json_once(store, &run_key(&spec.id, "state.json"), &RunState::of(Stage::Planned)).await?;
        return Ok((Plan { spec: stored, trailers }, false));
    }
    Ok((load(store, &spec.id).await?, true))
}

/// Loads the frozen run `id`; None if nobody has planned it.
pub async fn find(store: &dyn ObjectStore, id: &str) -> Result<Option<Plan>> {
    match run::is_planned(store, id).await? {
        true => load(store, id).await.map(Some),
        false => Ok(None),
    }
}

/// Loads the frozen run `id`.
pub async fn load(store: &dyn ObjectStore, id: &str) -> Result<Plan> {
    let spec = load_spec(store, id).await?;
    let other = |why: &str| {
        Error::invalid(format!(
            "the list of the run's trailers {why}: the run cannot continue. Submit with another slot, or delete the objects below {} and submit again",
            run_key(id, "")
        ))
    };
    let trailers = trailer_shards::load(store, &spec).await?.ok_or_else(|| other("is missing, or a shard of it"))?;
    if trailers_hash(&trailers.trailers)? != spec.trailers {
        return Err(other("does not list the trailers that were planned"));
    }
    Ok(Plan { spec, trailers })
}

async fn load_spec(store: &dyn ObjectStore, id: &str) -> Result<RunSpec> {
    run::get_json(store, &run_key(id, SPECIFICATION)).await?.ok_or_else(|| unknown(store, id))
}

fn unknown(store: &dyn ObjectStore, id: &str) -> Error {
    Error::not_found(format!("the store {} has no run `{id}`: see `jhalak status`", store.url()))
}

/// Reads the dataset of a frozen run, for a dataset folder that has changed since.
pub async fn frozen_dataset(store: &dyn ObjectStore, plan: &Plan) -> Result<Dataset> {
    normal_form::read(store, &plan.spec.dataset).await
}

/// Lists the subject folders of the trailers that have no artifact of some kind under any recipe. A
/// changed model or setting makes no trailer new; an interrupted extraction leaves its trailer new.
async fn new_trailers(
    store: &dyn ObjectStore,
    recipes: &[Recipe],
    trailers: &Packed<Trailer>,
) -> Result<BTreeSet<String>> {
    let kinds: BTreeSet<ArtifactKind> = recipes.iter().map(|recipe| recipe.kind).collect();
    let mut new: BTreeSet<String> = BTreeSet::new();
    for kind in kinds {
        let mut without: BTreeSet<String> =
            trailers.scan().map(|t| ArtifactKey::subject_folder(&t.subject)).filter(|t| !new.contains(t)).collect();
        artifact::each_committed_of_kind(store, kind, |subject| {
            without.remove(subject);
        })
        .await?;
        new.append(&mut without);
    }
    Ok(new)
}

/// Returns a slot as part of a run id. The name of a CronJob's Job ends in the scheduled minute
/// since 1970, which becomes a time.
fn slot_word(slot: &str) -> Result<String> {
    let valid =
        !slot.is_empty() && slot.len() <= 100 && slot.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    if !valid {
        return Err(Error::invalid(format!(
            "`{}` is not a valid slot: use 1 to 100 letters, digits, `-`, `_` or `.`, as in 2026-11-22",
            slot.escape_debug()
        )));
    }
    let minute =
        slot.rsplit_once('-').filter(|(name, n)| n.len() == 8 && !name.chars().all(|c| c.is_ascii_digit() || c == '-'));
    let time = minute.and_then(|(_, n)| n.parse::<i64>().ok()).and_then(|n| jiff::Timestamp::from_second(n * 60).ok());
    Ok(time.map_or_else(|| slot.to_string(), |time| time.strftime("%Y-%m-%dt%H%Mz").to_string()))
}

/// Hashes the ids and contents of trailers, independent of their location.
pub(crate) fn trailers_hash(trailers: &Packed<Trailer>) -> Result<Hash> {
    hash::of_rows(trailers.scan().map(|trailer| trailer.into_owned().subject))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn run_ids_can_be_typed_whatever_the_script_of_the_name() {
        let mut spec = testing::plan(0).spec;
        for (name, start) in [
            ("demo", "demo-"),
            ("My Data_2", "my-data-2-"),
            ("फिल्म", "dataset-"),
            ("ds عربي 🎬", "ds-"),
            ("a -- b", "a-b-"),
            ("--", "dataset-"),
            ("-x", "x-"),
            ("фильмы 2020", "2020-"),
        ] {
            spec.dataset.id = normal_form::subject_id(name);
            for slot in [None, Some("week.47".to_owned())] {
                spec.slot = slot;
                let id = spec.derive_id();
                assert!(id.starts_with(start), "{name}: {id}");
                assert!(!id.contains("--"), "{name}: {id}");
                assert!(id.chars().all(|c| c.is_ascii_alphanumeric() || "-.".contains(c)), "{name}: {id}");
            }
        }
        spec.dataset.id = normal_form::subject_id("फिल्म");
        let one = spec.derive_id();
        spec.dataset_url = "/another".to_owned();
        assert_ne!(spec.derive_id(), one, "a slot is one of its dataset");
    }

    #[test]
    fn a_slot_is_kept_and_the_minute_of_a_cronjob_becomes_a_time() {
        for (slot, word) in [
            ("2026-11-22", "2026-11-22"),
            ("week.47", "week.47"),
            ("jhalak-submit-29384720", "2025-11-14t0120z"),
            ("jhalak-submit-now", "jhalak-submit-now"),
            ("20261122", "20261122"),
        ] {
            assert_eq!(slot_word(slot).expect(slot), word);
        }
        for bad in ["", "a/b", "..\\", "a b", &"x".repeat(101)] {
            assert!(slot_word(bad).is_err(), "{bad}");
        }
    }
}
