//! Artifacts of a run that are not committed, found by looking at the store.

use futures::{StreamExt, TryStreamExt, stream};
use jhalak_common::artifact::{self, ArtifactKey};
use jhalak_common::store::ObjectStore;
use jhalak_common::{Error, Result};

use crate::artifacts::MAX_CONCURRENT_REQUESTS;
use crate::plan::Plan;
use crate::plan::trailer_index::TrailerIndex;

/// A set of a run's recipes as bits: bit i stands for recipe i of the plan.
pub type RecipeSet = u32;

/// Maximum number of recipes that are listed at once; each listing runs through every trailer.
const MAX_CONCURRENT_LISTINGS: usize = 3;

/// The recipes whose artifact each trailer lacks, by the trailer's index in the plan, whether or
/// not the run extracts it.
pub async fn of_trailers(store: &dyn ObjectStore, plan: &Plan) -> Result<Vec<RecipeSet>> {
    let recipes = &plan.spec.recipes;
    if recipes.len() > RecipeSet::BITS as usize {
        return Err(Error::bug(format!(
            "a trailer has {} artifacts, and at most {} are supported",
            recipes.len(),
            RecipeSet::BITS
        )));
    }
    let all: RecipeSet = (0..recipes.len()).map(|bit| 1 << bit).sum();
    let mut missing = vec![all; plan.trailers.trailers.len()];
    if missing.is_empty() {
        return Ok(missing);
    }
    let index = TrailerIndex::new(&plan.trailers.trailers);
    let lists = recipes.iter().map(|recipe| index.committed(store, recipe));
    let mut lists = stream::iter(lists).buffered(MAX_CONCURRENT_LISTINGS).enumerate();
    while let Some((bit, committed)) = lists.next().await {
        committed?.into_iter().for_each(|i| missing[i as usize] &= !(1 << bit));
    }
    Ok(missing)
}

/// Which of `keys` are committed, in their order.
pub async fn are_committed(store: &dyn ObjectStore, keys: &[ArtifactKey]) -> Result<Vec<bool>> {
    let checks = keys.iter().map(|key| async move { Ok(artifact::committed(store, key).await?.is_some()) });
    stream::iter(checks).buffered(MAX_CONCURRENT_REQUESTS).try_collect().await
}

/// Whether every one of `keys` is committed.
pub async fn all_committed(store: &dyn ObjectStore, keys: &[ArtifactKey]) -> Result<bool> {
    for key in keys {
        if artifact::committed(store, key).await?.is_none() {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::testing::{commit_one, empty_store, plan};

    #[tokio::test]
    async fn a_trailer_lacks_the_recipes_that_are_not_committed_for_its_content() {
        let ((_folder, store), mut plan) = (empty_store(), plan(3));
        let recipes = plan.spec.recipes.clone();
        assert_eq!(of_trailers(store.as_ref(), &plan).await.expect("a store"), [0b111, 0b111, 0b111]);
        let subjects: Vec<_> = plan.trailers.trailers.iter().map(|trailer| trailer.subject.clone()).collect();
        for recipe in &recipes {
            assert!(commit_one(store.as_ref(), recipe, &subjects[0]).await);
        }
        assert!(commit_one(store.as_ref(), &recipes[1], &subjects[2]).await);
        // Another content of the same movie is another subject.
        plan.trailers.trailers[2].subject.content = jhalak_common::hash::of_bytes(b"another trailer");
        assert!(commit_one(store.as_ref(), &recipes[2], &plan.trailers.trailers[2].subject).await);
        assert_eq!(of_trailers(store.as_ref(), &plan).await.expect("a store"), [0, 0b111, 0b011]);

        let key = |subject: &jhalak_common::artifact::Subject| ArtifactKey::new(&recipes[1], subject);
        let keys: Vec<_> = subjects.iter().map(key).collect();
        assert_eq!(are_committed(store.as_ref(), &keys).await.expect("a store"), [true, false, true]);
        assert!(!all_committed(store.as_ref(), &keys).await.expect("a store"));
        assert!(all_committed(store.as_ref(), &keys[2..]).await.expect("a store"));
    }
}
