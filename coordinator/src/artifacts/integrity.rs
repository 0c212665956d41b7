//! The integrity of a store: compares every commit record with its files.

use std::collections::BTreeMap;

use futures::{StreamExt, TryStreamExt, stream};
use jhalak_common::artifact::{
    ARTIFACTS_FOLDER, ArtifactKey, COMMIT_FILE, COMMIT_VERSION, CommitRecord, check_version, has_version,
};
use jhalak_common::store::ObjectStore;
use jhalak_common::{Error, ErrorKind, Result, hash};
use serde::Serialize;
use serde_json::Value;

/// Maximum number of artifacts that are checked at once.
const MAX_CONCURRENT_CHECKS: usize = 16;

/// The result of a check.
#[derive(Debug, Default, Serialize)]
pub struct Found {
    /// The number of artifacts that are as they were committed.
    pub sound: usize,
    /// The artifacts that are not.
    pub damaged: Vec<Damage>,
    /// The number of folders without a commit record: work that was interrupted or is in progress.
    /// No one reads them.
    pub uncommitted: usize,
}

/// An artifact that differs from its commit record.
#[derive(Debug, Serialize)]
pub struct Damage {
    /// The key of the commit record.
    pub commit: String,
    /// The difference.
    pub why: String,
    /// The object whose bytes differ from the record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object: Option<String>,
}

impl Damage {
    /// Removes the object with the wrong bytes, then the commit record, so that the next run makes
    /// the artifact again under the usual names.
    pub async fn repair(&self, store: &dyn ObjectStore) -> Result<()> {
        if let Some(object) = &self.object {
            store.delete(object).await?;
        }
        store.delete(&self.commit).await
    }
}

/// A difference, and the object whose bytes differ.
type Difference = (String, Option<String>);

/// Checks every artifact: each file of the record must exist with the recorded size and, with
/// `bytes`, the recorded hash.
pub async fn check_store(store: &dyn ObjectStore, bytes: bool) -> Result<Found> {
    let mut found = Found::default();
    let checks = folders(store).map(|folder: Result<(String, BTreeMap<String, u64>)>| async move {
        let (folder, sizes) = folder?;
        if !sizes.contains_key(COMMIT_FILE) {
            return Ok(None);
        }
        let commit = format!("{folder}/{COMMIT_FILE}");
        let why = check(store, &folder, &sizes, bytes).await?;
        Ok::<_, Error>(Some((commit, why)))
    });
    let mut checks = Box::pin(checks.buffered(MAX_CONCURRENT_CHECKS));
    while let Some(checked) = checks.try_next().await? {
        match checked {
            None => found.uncommitted += 1,
            Some((_, None)) => found.sound += 1,
            Some((commit, Some((why, object)))) => found.damaged.push(Damage { commit, why, object }),
        }
    }
    Ok(found)
}

/// Lists every folder with files of an artifact, with the sizes of the files.
fn folders(store: &dyn ObjectStore) -> impl futures::Stream<Item = Result<(String, BTreeMap<String, u64>)>> + '_ {
    let objects = store.list(ARTIFACTS_FOLDER);
    let state = (objects, None::<(String, BTreeMap<String, u64>)>, false);
    stream::try_unfold(state, |(mut objects, mut open, mut ended)| async move {
        while !ended {
            let Some(object) = objects.try_next().await? else {
                ended = true;
                break;
            };
            let Some((folder, name)) = object.key.rsplit_once('/') else { continue };
            match &mut open {
                Some((at, sizes)) if at == folder => drop(sizes.insert(name.to_string(), object.size)),
                _ => {
                    let next = (folder.to_string(), BTreeMap::from([(name.to_string(), object.size)]));
                    if let Some(done) = open.replace(next) {
                        return Ok(Some((done, (objects, open, ended))));
                    }
                }
            }
        }
        Ok(open.take().map(|done| (done, (objects, None, ended))))
    })
}

/// Returns the difference between the artifact in `folder` and its record; None when there is none.
async fn check(
    store: &dyn ObjectStore,
    folder: &str,
    sizes: &BTreeMap<String, u64>,
    bytes: bool,
) -> Result<Option<Difference>> {
    let of_record = |why: &str| Ok(Some((why.to_string(), None)));
    let commit = format!("{folder}/{COMMIT_FILE}");
    let text = match store.get(&commit).await {
        Ok(text) => text,
        // Removed after the listing.
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e),
    };
    let Ok(value) = serde_json::from_slice::<Value>(&text) else {
        return of_record("the record is not valid JSON");
    };
    // A record of a newer program is an error, not damage.
    if !has_version(&value) {
        return of_record("the record has no version");
    }
    check_version(&value, COMMIT_VERSION, &commit)?;
    let Ok(record) = serde_json::from_value::<CommitRecord>(value) else {
        return of_record("the record does not match its version");
    };
    let key = ArtifactKey::new(&record.recipe, &record.subject);
    if key.commit() != commit {
        return of_record("the record belongs to another recipe or subject");
    }
    for file in &record.files {
        let name = file.object.as_ref().unwrap_or(&file.name);
        match sizes.get(name) {
            None => return of_record(&format!("its file {name} is missing")),
            Some(size) if *size != file.size => {
                let why = format!("its file {name} has {size} bytes, {} were committed", file.size);
                return Ok(Some((why, Some(file.key(&key)))));
            }
            Some(_) if bytes => {
                let place = file.key(&key);
                let wrong = match store.get(&place).await {
                    Ok(found) => hash::of_bytes(&found) != file.sha256,
                    Err(e) if e.kind() == ErrorKind::NotFound => true,
                    Err(e) => return Err(e),
                };
                if wrong {
                    return Ok(Some((format!("its file {name} holds other bytes than were committed"), Some(place))));
                }
            }
            Some(_) => {}
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::testing::{commit_one, empty_store, plan};
    use jhalak_common::artifact::Subject;

    /// The reason of the only damage.
    async fn damage(store: &dyn ObjectStore, bytes: bool) -> String {
        let found = check_store(store, bytes).await.expect("a readable store");
        assert_eq!(found.damaged.len(), 1, "{found:?}");
        found.damaged.into_iter().map(|damage| damage.why).collect()
    }

    #[tokio::test]
    async fn intact_damaged_and_uncommitted_artifacts_are_distinguished() {
        let (_folder, store) = empty_store();
        let (store, plan) = (store.as_ref(), plan(3));
        let recipe = &plan.spec.recipes[0];
        let keys: Vec<ArtifactKey> =
            plan.trailers.trailers.iter().map(|trailer| ArtifactKey::new(recipe, &trailer.subject)).collect();
        for trailer in &plan.trailers.trailers {
            commit_one(store, recipe, &trailer.subject).await;
        }
        store.delete(&keys[2].commit()).await.expect("a folder that can be written");
        let found = check_store(store, true).await.expect("a readable store");
        assert_eq!((found.sound, found.damaged.len(), found.uncommitted), (2, 0, 1));

        let file = keys[0].file("bytes");
        store.put(&file, "xx".into()).await.expect("a folder that can be written");
        assert!(damage(store, true).await.contains("other bytes"));
        let quick = check_store(store, false).await.expect("a readable store");
        assert!(quick.damaged.is_empty(), "hashes are compared only when asked for");
        store.put(&file, "longer".into()).await.expect("a folder that can be written");
        assert!(damage(store, false).await.contains("6 bytes"));
        store.delete(&file).await.expect("a folder that can be written");
        assert!(damage(store, false).await.contains("missing"));
    }

    #[tokio::test]
    async fn a_record_in_the_folder_of_another_subject_or_that_is_not_json_is_damage() {
        let (_folder, store) = empty_store();
        let (store, plan) = (store.as_ref(), plan(1));
        let (recipe, subject) = (&plan.spec.recipes[0], &plan.trailers.trailers[0].subject);
        commit_one(store, recipe, subject).await;
        let record = store.get(&ArtifactKey::new(recipe, subject).commit()).await.expect("a record");
        let elsewhere = ArtifactKey::new(recipe, &Subject { id: "other".into(), content: subject.content });
        store.put(&elsewhere.commit(), record).await.expect("a folder that can be written");
        assert!(damage(store, false).await.contains("another recipe or subject"));
        store.put(&elsewhere.commit(), "{".into()).await.expect("a folder that can be written");
        assert!(damage(store, false).await.contains("JSON"));
    }

    #[tokio::test]
    async fn a_record_of_a_newer_program_is_an_error_and_not_damage() {
        let (_folder, store) = empty_store();
        let (store, plan) = (store.as_ref(), plan(1));
        let (recipe, subject) = (&plan.spec.recipes[0], &plan.trailers.trailers[0].subject);
        commit_one(store, recipe, subject).await;
        let record = format!("{{\"version\":{}}}", COMMIT_VERSION + 1);
        store.put(&ArtifactKey::new(recipe, subject).commit(), record.into()).await.expect("room on disk");
        let error = check_store(store, false).await.expect_err("it is newer");
        assert!(error.chain().contains("upgrade"), "{}", error.chain());
    }
}
