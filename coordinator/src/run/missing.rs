//! What a run still misses, found by looking at the store.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, TryStreamExt, stream};
use jhalak_common::artifact::{self, ArtifactKey, ArtifactKind, Recipe};
use jhalak_common::evaluation::CellSpec;
use jhalak_common::run::job::{CellTask, Outcome, QuarantineRecord};
use jhalak_common::run::{self, quarantine_folder, quarantine_key};
use jhalak_common::store::ObjectStore;
use jhalak_common::{Error, Result};
use serde_json::json;

use crate::artifacts::embedding_tables::{GatheredTable, Named};
use crate::plan::Plan;
use crate::run::jobs::{Jobs, RecipeSet};

/// Requests to the store side by side.
const SIDE_BY_SIDE: usize = 32;

/// Listings of recipes' artifacts side by side.
const LISTS: usize = 3;

/// Above so many jobs, listing everything costs less than asking for each.
const LIST_FROM: usize = 500;

/// What each trailer of the run misses, by its place in the run's list. Trailers that the run leaves alone miss nothing.
pub async fn of_trailers(store: &dyn ObjectStore, plan: &Plan) -> Result<Vec<RecipeSet>> {
    let recipes = &plan.spec.recipes;
    if recipes.len() > RecipeSet::BITS as usize {
        return Err(Error::bug(format!(
            "a trailer has {} artifacts, and {} can be told apart",
            recipes.len(),
            RecipeSet::BITS
        )));
    }
    let all: RecipeSet = (0..recipes.len()).map(|bit| 1 << bit).sum();
    let mut place = BTreeMap::new();
    let mut missing = vec![0; plan.trailers.trailers.len()];
    for (i, trailer) in plan.trailers.trailers.iter().enumerate() {
        let folder = ArtifactKey::subject_folder(&trailer.subject);
        if plan.spec.only.as_ref().is_none_or(|only| only.contains(&folder)) {
            missing[i] = all;
        }
        place.insert(folder, i);
    }
    if place.is_empty() {
        return Ok(missing);
    }
    // A listing waits for the store more than for this process.
    let lists = recipes.iter().map(|recipe| committed_places(store, recipe, &place));
    let mut lists = stream::iter(lists).buffered(LISTS).enumerate();
    while let Some((bit, places)) = lists.next().await {
        places?.into_iter().for_each(|i| missing[i] &= !(1 << bit));
    }
    Ok(missing)
}

/// The places of the trailers that have a committed artifact of this recipe. No list of names is kept: of a hundred thousand it would take megabytes.
async fn committed_places(
    store: &dyn ObjectStore,
    recipe: &Recipe,
    place: &BTreeMap<String, usize>,
) -> Result<Vec<usize>> {
    let mut found = Vec::new();
    artifact::each_committed(store, recipe.kind, &recipe.hash(), |subject| found.extend(place.get(subject))).await?;
    Ok(found)
}

/// The trailers that the run extracts.
pub fn in_scope(plan: &Plan) -> usize {
    plan.spec.only.as_ref().map_or(plan.trailers.trailers.len(), BTreeSet::len)
}

/// The folds of the cells whose inputs are there, and why the others are left out, by the cell's name.
pub fn cell_tasks(plan: &Plan, tables: &[GatheredTable]) -> Result<(Vec<CellTask>, BTreeMap<String, String>)> {
    let mut tasks = Vec::new();
    let mut left_out = BTreeMap::new();
    for cell in &plan.spec.cells {
        let Some(found) = inputs(plan, cell, tables) else {
            left_out.insert(cell.name(), format!("no trailer of the dataset has an embedding for {}", cell.modality));
            continue;
        };
        for fold in 0..cell.folds {
            let mut recipe = Recipe::new(ArtifactKind::Cell, json!({ "cell": cell, "fold": fold }))?;
            recipe.upstream = found.iter().map(|t| t.sha256).collect();
            let Named { tables, subject: table_subject, others: subjects } = Named::of(&found, &plan.spec.dataset);
            tasks.push(CellTask {
                dataset: plan.spec.dataset.clone(),
                cell: cell.clone(),
                fold,
                recipe,
                tables,
                table_subject,
                subjects,
            });
        }
    }
    Ok((tasks, left_out))
}

/// The tables that a cell reads, video before audio; none where one of them is not there.
pub fn inputs<'a>(plan: &Plan, cell: &CellSpec, tables: &'a [GatheredTable]) -> Option<Vec<&'a GatheredTable>> {
    let of_kind = |kind: &ArtifactKind| {
        let source = match kind {
            ArtifactKind::VideoTable => plan.spec.video_embedding(cell.pictures.as_ref()),
            _ => plan.spec.recipe(ArtifactKind::AudioEmbedding),
        };
        let source = source?.hash();
        tables.iter().find(|table| table.source == source)
    };
    cell.modality.tables().iter().map(of_kind).collect()
}

/// Those of `tasks` whose results are not committed.
pub async fn of_cells(store: &dyn ObjectStore, tasks: Vec<CellTask>) -> Result<Vec<CellTask>> {
    let looked = stream::iter(tasks).map(|task| async move {
        let there = artifact::committed(store, &ArtifactKey::new(&task.recipe, &task.dataset)).await?.is_some();
        Ok::<_, Error>((!there).then_some(task))
    });
    looked.buffered(SIDE_BY_SIDE).try_filter_map(|task| async move { Ok(task) }).try_collect().await
}

/// The keys of the run's quarantine records.
pub async fn quarantine_keys(store: &dyn ObjectStore, run: &str) -> Result<BTreeSet<String>> {
    store.list(&quarantine_folder(run)).map_ok(|object| object.key).try_collect().await
}

/// The end states of those of the jobs `pending` (id and number) that have one in the store.
pub async fn end_states(
    store: &dyn ObjectStore,
    plan: &Plan,
    jobs: &Jobs<'_>,
    pending: &BTreeMap<String, usize>,
) -> Result<Vec<(String, Outcome)>> {
    let given_up = quarantine_keys(store, &plan.spec.id).await?;
    let listed = match pending.len() > LIST_FROM && pending.values().next().is_some_and(|&i| jobs.trailer(i).is_some())
    {
        true => Some(of_trailers(store, plan).await?),
        false => None,
    };
    let (given_up, listed) = (&given_up, &listed);
    let looked = stream::iter(pending).map(|(id, &i)| async move {
        let there = match (listed, jobs.trailer(i)) {
            (Some(missing), Some(trailer)) => missing[trailer] == 0,
            _ => all_committed(store, jobs.artifacts(i)).await?,
        };
        if there {
            return Ok(Some((id.clone(), Outcome::Committed { made: 0, seconds: BTreeMap::new() })));
        }
        let key = quarantine_key(&plan.spec.id, id);
        if !given_up.contains(&key) {
            return Ok(None);
        }
        let record: Option<QuarantineRecord> = run::get_json(store, &key).await?;
        Ok::<_, Error>(record.map(|r| (id.clone(), Outcome::Quarantined { error: r.error, reason: r.reason })))
    });
    looked.buffered(SIDE_BY_SIDE).try_filter_map(|found| async move { Ok(found) }).try_collect().await
}

/// Whether every one of these artifacts is committed.
pub async fn all_committed(store: &dyn ObjectStore, keys: Vec<ArtifactKey>) -> Result<bool> {
    for key in keys {
        if artifact::committed(store, &key).await?.is_none() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The records of the run's jobs that were given up and whose artifacts are still missing, in order. A commit outranks a quarantine record: a
/// copy of the job may have been done after all.
pub async fn quarantined(store: &dyn ObjectStore, run: &str) -> Result<Vec<QuarantineRecord>> {
    let keys = quarantine_keys(store, run).await?;
    let records = stream::iter(keys).map(|key| async move {
        let Some(record) = run::get_json::<QuarantineRecord>(store, &key).await? else { return Ok(None) };
        let committed = match serde_json::from_value::<jhalak_common::run::job::Job>(record.message.clone()) {
            Ok(job) => all_committed(store, job.task.artifacts()).await?,
            Err(_) => false,
        };
        Ok::<_, Error>((!committed).then_some(record))
    });
    records.buffered(SIDE_BY_SIDE).try_filter_map(|record| async move { Ok(record) }).try_collect().await
}
