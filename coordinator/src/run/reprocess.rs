//! Having artifacts made again that are committed: their commit records are removed, and the run finds them missing.

use std::collections::BTreeSet;

use futures::{StreamExt, TryStreamExt, stream};
use jhalak_common::artifact::{ArtifactKey, ArtifactKind, Recipe};
use jhalak_common::store::ObjectStore;
use jhalak_common::{Error, Result};

use crate::artifacts::embedding_tables;
use crate::plan::Plan;
use crate::run::missing;

/// Requests to the store side by side.
const SIDE_BY_SIDE: usize = 32;

/// The committed artifacts of the run that are of `kind`, or made from those: what is to be made again.
pub async fn chosen(store: &dyn ObjectStore, plan: &Plan, kind: ArtifactKind) -> Result<Vec<ArtifactKey>> {
    let recipes = affected(plan, kind);
    let tables: Vec<(ArtifactKind, &Recipe)> =
        embedding_tables::sources(plan).filter(|(table, source)| *table == kind || recipes.contains(source)).collect();
    if recipes.is_empty() && tables.is_empty() && kind != ArtifactKind::Cell {
        return Err(Error::invalid(format!(
            "this run makes no {}: its recipes are those of the settings",
            kind.name()
        )));
    }
    let mut keys = Vec::new();
    let miss = missing::of_trailers(store, plan).await?;
    for (bit, recipe) in plan.spec.recipes.iter().enumerate().filter(|(_, r)| recipes.contains(r)) {
        for (trailer, missing) in plan.trailers.trailers.iter().zip(&miss) {
            let in_scope = plan
                .spec
                .only
                .as_ref()
                .is_none_or(|only| only.contains(&ArtifactKey::subject_folder(&trailer.subject)));
            if in_scope && missing & (1 << bit) == 0 {
                keys.push(ArtifactKey::new(recipe, &trailer.subject));
            }
        }
    }
    for (table, source) in tables {
        let found = embedding_tables::find(store, plan, table, source).await?;
        keys.extend(found.filter(|(_, table)| table.is_some()).map(|(key, _)| key));
    }
    if kind == ArtifactKind::Cell {
        let mut found = Vec::new();
        for (table, source) in embedding_tables::sources(plan) {
            found.extend(embedding_tables::find(store, plan, table, source).await?.and_then(|(_, table)| table));
        }
        let (tasks, _) = missing::cell_tasks(plan, &found)?;
        let all: Vec<ArtifactKey> = tasks.iter().map(|task| ArtifactKey::new(&task.recipe, &task.dataset)).collect();
        let open: BTreeSet<ArtifactKey> = missing::of_cells(store, tasks)
            .await?
            .iter()
            .map(|task| ArtifactKey::new(&task.recipe, &task.dataset))
            .collect();
        keys.extend(all.into_iter().filter(|key| !open.contains(key)));
    }
    Ok(keys)
}

/// Removes the commit records of these artifacts. Their files stay until they are written again; without a record nobody looks at them.
pub async fn retract(store: &dyn ObjectStore, keys: &[ArtifactKey]) -> Result<()> {
    stream::iter(keys)
        .map(Ok::<_, Error>)
        .try_for_each_concurrent(SIDE_BY_SIDE, |key| async move { store.delete(&key.commit()).await })
        .await
}

/// The run's recipes of `kind`, and those made from them, upstream before downstream.
fn affected(plan: &Plan, kind: ArtifactKind) -> Vec<&Recipe> {
    let mut hashes = BTreeSet::new();
    let mut found = Vec::new();
    for recipe in &plan.spec.recipes {
        if recipe.kind == kind || recipe.upstream.iter().any(|hash| hashes.contains(hash)) {
            hashes.insert(recipe.hash());
            found.push(recipe);
        }
    }
    found
}
