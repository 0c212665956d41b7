//! Reprocessing: removes the commit records of artifacts, so that the run finds them missing and makes them again.

use std::collections::BTreeSet;

use futures::{StreamExt, TryStreamExt, stream};
use jhalak_common::artifact::{ArtifactKey, ArtifactKind, Recipe};
use jhalak_common::store::ObjectStore;
use jhalak_common::{Error, Result};

use crate::artifacts::{MAX_CONCURRENT_REQUESTS, embedding_tables};
use crate::plan::Plan;
use crate::run::remaining;

/// Selects the committed artifacts of the run that are of `kind` or made from one of that kind.
pub async fn select(store: &dyn ObjectStore, plan: &Plan, kind: ArtifactKind) -> Result<Vec<ArtifactKey>> {
    let recipes = affected(plan, kind);
    let tables: Vec<(ArtifactKind, &Recipe)> =
        embedding_tables::sources(plan).filter(|(table, source)| *table == kind || recipes.contains(source)).collect();
    if recipes.is_empty() && tables.is_empty() && kind != ArtifactKind::Cell {
        return Err(Error::invalid(format!("this run makes no {}: its settings do not ask for it", kind.name())));
    }
    let nothing_again = BTreeSet::new();
    let mut keys = Vec::new();
    let missing = remaining::extraction(store, plan, &nothing_again).await?.missing;
    for (bit, recipe) in plan.spec.recipes.iter().enumerate().filter(|(_, recipe)| recipes.contains(recipe)) {
        for (trailer, missing) in plan.trailers.trailers.iter().zip(&missing) {
            if plan.extracts(trailer) && missing & (1 << bit) == 0 {
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
        keys.extend(remaining::training(store, plan, &found, &nothing_again).await?.committed);
    }
    Ok(keys)
}

/// Removes the commit records of these artifacts. Their files stay until they are overwritten; without a record no one reads
/// them.
pub async fn retract(store: &dyn ObjectStore, keys: &[ArtifactKey]) -> Result<()> {
    stream::iter(keys)
        .map(Ok::<_, Error>)
        .try_for_each_concurrent(MAX_CONCURRENT_REQUESTS, |key| async move { store.delete(&key.commit()).await })
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
