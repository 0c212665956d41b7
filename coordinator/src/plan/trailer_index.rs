//! Finds the trailers of a plan by the names of their artifacts' folders.

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

use jhalak_common::Result;
use jhalak_common::artifact::{self, ArtifactKey, Recipe};
use jhalak_common::compact::Packed;
use jhalak_common::run::job::Trailer;
use jhalak_common::store::ObjectStore;

/// Finds a plan's trailer by the name of its artifacts' folder. Keeps a few bytes for each trailer:
/// its names would take a hundred.
pub struct TrailerIndex<'a> {
    trailers: &'a Packed<Trailer>,
    /// The hash of each trailer's folder and the trailer's index, in ascending order.
    by_hash: Vec<(u64, u32)>,
}

impl<'a> TrailerIndex<'a> {
    /// Indexes the trailers.
    pub fn new(trailers: &'a Packed<Trailer>) -> Self {
        let folders = trailers.scan().map(|trailer| hash_of(&ArtifactKey::subject_folder(&trailer.subject)));
        let mut by_hash: Vec<(u64, u32)> = folders.zip(0..).collect();
        by_hash.sort_unstable();
        TrailerIndex { trailers, by_hash }
    }

    /// Returns the index of the trailer with this [`ArtifactKey::subject_folder`].
    pub fn get(&self, folder: &str) -> Option<u32> {
        let hash = hash_of(folder);
        let start = self.by_hash.partition_point(|(other, _)| *other < hash);
        let alike = self.by_hash[start..].iter().take_while(|(other, _)| *other == hash);
        alike.map(|(_, i)| *i).find(|&i| {
            let trailer = self.trailers.get(i as usize);
            trailer.is_some_and(|trailer| ArtifactKey::subject_folder(&trailer.subject) == folder)
        })
    }

    /// Lists the indexes of the trailers with a committed artifact of this recipe, in the order of
    /// the store.
    pub async fn committed(&self, store: &dyn ObjectStore, recipe: &Recipe) -> Result<Vec<u32>> {
        let mut found = Vec::new();
        artifact::each_committed(store, recipe.kind, &recipe.hash(), |subject| found.extend(self.get(subject))).await?;
        Ok(found)
    }
}

fn hash_of(folder: &str) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one(folder)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::testing::plan;
    use jhalak_common::hash;

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
