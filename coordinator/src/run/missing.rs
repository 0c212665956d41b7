//! Artifacts of a run that are not committed, found by looking at the store.

use futures::{StreamExt, TryStreamExt, stream};
use jhalak_common::artifact::{self, ArtifactKey, Recipe};
use jhalak_common::run::job::Trailer;
use jhalak_common::store::ObjectStore;
use jhalak_common::{Error, Result};

use crate::artifacts::MAX_CONCURRENT_REQUESTS;
use crate::plan::Plan;

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
    let lists = recipes.iter().map(|recipe| committed_indices(store, recipe, &index));
    let mut lists = stream::iter(lists).buffered(MAX_CONCURRENT_LISTINGS).enumerate();
    while let Some((bit, committed)) = lists.next().await {
        committed?.into_iter().for_each(|i| missing[i as usize] &= !(1 << bit));
    }
    Ok(missing)
}

/// The indices of the trailers with a committed artifact of this recipe. Keeps no names: those of a
/// hundred thousand trailers would take megabytes.
async fn committed_indices(store: &dyn ObjectStore, recipe: &Recipe, index: &TrailerIndex<'_>) -> Result<Vec<u32>> {
    let mut found = Vec::new();
    artifact::each_committed(store, recipe.kind, &recipe.hash(), |subject| found.extend(index.get(subject))).await?;
    Ok(found)
}

/// Finds a plan's trailer by the name of its artifacts' folder. Keeps four bytes for each trailer:
/// its names would take a hundred.
pub struct TrailerIndex<'a> {
    trailers: &'a [Trailer],
    /// The indices of the trailers in the order of their ids.
    by_id: Vec<u32>,
}

impl<'a> TrailerIndex<'a> {
    /// Indexes these trailers.
    pub fn new(trailers: &'a [Trailer]) -> Self {
        let mut by_id: Vec<u32> = (0u32..).zip(trailers).map(|(i, _)| i).collect();
        by_id.sort_by_key(|&i| &trailers[i as usize].subject.id);
        TrailerIndex { trailers, by_id }
    }

    /// Returns the index of the trailer with this [`ArtifactKey::subject_folder`].
    pub fn get(&self, folder: &str) -> Option<u32> {
        let (id, _) = folder.rsplit_once('@')?;
        let subject = |i: u32| &self.trailers[i as usize].subject;
        let start = self.by_id.partition_point(|&i| subject(i).id.as_str() < id);
        let of_id = self.by_id[start..].iter().take_while(|&&i| subject(i).id == id);
        of_id.copied().find(|&i| ArtifactKey::subject_folder(subject(i)) == folder)
    }
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
    use jhalak_common::hash;

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

    #[test]
    fn trailer_is_found_by_its_folder_whatever_the_order_of_the_plan() {
        let mut plan = plan(12);
        // The name of a folder is split at its last `@`.
        plan.trailers.trailers[3].subject.id = "m@3".into();
        let trailers = &plan.trailers.trailers;
        let index = TrailerIndex::new(trailers);
        for (i, trailer) in (0u32..).zip(trailers) {
            assert_eq!(index.get(&ArtifactKey::subject_folder(&trailer.subject)), Some(i));
        }
        let mut other = trailers[0].subject.clone();
        other.content = hash::of_bytes(b"another file of the movie");
        for folder in [ArtifactKey::subject_folder(&other).as_str(), "m3@0123456789abcdef", "m0", "@", ""] {
            assert_eq!(index.get(folder), None, "{folder}");
        }
    }
}
