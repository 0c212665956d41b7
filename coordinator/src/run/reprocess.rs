//! Reprocessing: removes the commit records of artifacts, so that the run finds them missing and
//! makes them again.

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
        plan.embeddings().filter(|(table, source)| *table == kind || recipes.contains(source)).collect();
    if recipes.is_empty() && tables.is_empty() && kind != ArtifactKind::Cell {
        return Err(Error::invalid(format!("the settings of this run produce no {}", kind.name())));
    }
    let nothing_again = BTreeSet::new();
    let mut keys = Vec::new();
    let missing = remaining::extraction(store, plan, &nothing_again).await?.missing;
    for (bit, recipe) in plan.spec.recipes.iter().enumerate().filter(|(_, recipe)| recipes.contains(recipe)) {
        for (trailer, missing) in plan.trailers.trailers.scan().zip(&missing) {
            if plan.extracts(&trailer) && missing & (1 << bit) == 0 {
                keys.push(ArtifactKey::new(recipe, &trailer.subject));
            }
        }
    }
    for (table, source) in tables {
        let found = embedding_tables::find(store, plan, table, source).await?;
        keys.extend(found.filter(|(_, table)| table.is_some()).map(|(key, _)| key));
    }
    if kind == ArtifactKind::Cell {
        let found = embedding_tables::committed(store, plan).await?;
        keys.extend(remaining::training(store, plan, &found, &nothing_again).await?.committed);
    }
    Ok(keys)
}

/// Removes the commit records of these artifacts. Their files stay until they are overwritten;
/// without a record no one reads them.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::testing::{Bench, is_committed, plan};

    #[tokio::test]
    async fn reprocessing_selects_a_kind_and_what_is_made_from_it() {
        let bench = Bench::with_workers();
        let plan = plan(2);
        bench.drive(&plan).await;
        let count = async |kind| {
            let keys = select(bench.store.as_ref(), &plan, kind).await.expect("a kind of this run");
            keys.iter().fold([0; 6], |mut counts, key| {
                let kinds = [
                    ArtifactKind::Keyframes,
                    ArtifactKind::VideoEmbedding,
                    ArtifactKind::AudioEmbedding,
                    ArtifactKind::VideoTable,
                    ArtifactKind::AudioTable,
                    ArtifactKind::Cell,
                ];
                counts[kinds.iter().position(|kind| *kind == key.kind).expect("a kind of this run")] += 1;
                counts
            })
        };
        assert_eq!(count(ArtifactKind::Keyframes).await, [2, 2, 0, 1, 0, 0]);
        assert_eq!(count(ArtifactKind::AudioEmbedding).await, [0, 0, 2, 0, 1, 0]);
        assert_eq!(count(ArtifactKind::VideoTable).await, [0, 0, 0, 1, 0, 0]);
        assert_eq!(count(ArtifactKind::Cell).await, [0, 0, 0, 0, 0, 4]);
        let error = select(bench.store.as_ref(), &plan, ArtifactKind::Objects).await.expect_err("not of this run");
        assert_eq!(error.kind(), jhalak_common::ErrorKind::InvalidInput);
    }

    #[tokio::test]
    async fn a_retracted_artifact_is_missing_and_keeps_its_files() {
        let bench = Bench::with_workers();
        let plan = plan(1);
        bench.drive(&plan).await;
        let (recipe, trailer) = (&plan.spec.recipes[0], &plan.trailers.trailers[0]);
        let key = ArtifactKey::new(recipe, &trailer.subject);
        assert!(is_committed(bench.store.as_ref(), recipe, trailer).await);
        retract(bench.store.as_ref(), std::slice::from_ref(&key)).await.expect("a folder that can be written");
        assert!(!is_committed(bench.store.as_ref(), recipe, trailer).await);
        assert!(bench.store.head(&key.file("bytes")).await.is_ok());
    }

    #[tokio::test]
    async fn artifacts_of_trailers_outside_the_scope_are_not_selected() {
        let bench = Bench::with_workers();
        let mut plan = plan(2);
        bench.drive(&plan).await;
        plan.spec.only = Some([ArtifactKey::subject_folder(&plan.trailers.trailers[1].subject)].into());
        let keys = select(bench.store.as_ref(), &plan, ArtifactKind::Keyframes).await.expect("a kind of this run");
        let keyframes: Vec<_> = keys.iter().filter(|key| key.kind == ArtifactKind::Keyframes).collect();
        assert!(matches!(keyframes[..], [key] if key.subject.id == "m1"), "{keyframes:?}");
    }
}
