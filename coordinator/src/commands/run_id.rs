//! The run that a command means: by its id, by the start of its id, or the only run of the store.

use std::collections::BTreeSet;

use clap::Args;
use futures::TryStreamExt;
use jhalak_common::run::{UNREADABLE_RUN, quarantine_folder};
use jhalak_common::store::ObjectStore;
use jhalak_common::{Error, ErrorKind, Result};

#[cfg(feature = "local")]
use crate::artifacts::fitted_model;

/// Runs that a message lists.
const LISTED: usize = 8;

/// A run on the command line.
#[derive(Args)]
pub(in crate::commands) struct RunArg {
    /// Run id, or the start of one that no other run shares
    ///
    /// [default: the only run in the store]
    run: Option<String>,
}

impl RunArg {
    /// Returns the id of the run.
    pub(in crate::commands) async fn find(&self, store: &dyn ObjectStore) -> Result<String> {
        find_by(store, self.run.as_deref(), "name one as RUN").await
    }
}

/// Returns the id of the run that `given` names.
///
/// # Errors
/// NotFound if there is none; Usage if it may be several.
pub(in crate::commands) async fn find(store: &dyn ObjectStore, given: Option<&str>) -> Result<String> {
    find_by(store, given, "name one with --run").await
}

/// Does the same; `way` says how a run is named.
async fn find_by(store: &dyn ObjectStore, given: Option<&str>, way: &str) -> Result<String> {
    if given == Some(UNREADABLE_RUN) {
        return Ok(UNREADABLE_RUN.to_owned());
    }
    let runs = all(store).await?;
    choose(&runs, given, &store.url(), way)
}

/// Returns the id of the run that `given` names, or `given` itself where messages in its name are
/// quarantined: anybody may send one for a run that was never planned.
///
/// # Errors
/// Those of [`find`].
pub(in crate::commands) async fn find_quarantined(store: &dyn ObjectStore, given: &str) -> Result<String> {
    match find(store, Some(given)).await {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let mut records = store.list(&quarantine_folder(given));
            match records.try_next().await {
                Ok(Some(_)) => Ok(given.to_owned()),
                _ => Err(error),
            }
        }
        found => found,
    }
}

/// Returns the id of the run that `given` names, also of one whose records were removed and whose
/// fitted model is still in the store.
///
/// # Errors
/// Those of [`find`].
#[cfg(feature = "local")]
pub(in crate::commands) async fn find_fitted(store: &dyn ObjectStore, given: &str) -> Result<String> {
    let mut runs: BTreeSet<String> = all(store).await?.into_iter().collect();
    let (fitted, _) = fitted_model::all(store).await?;
    runs.extend(fitted.into_iter().flat_map(|model| model.runs));
    let runs: Vec<String> = runs.into_iter().collect();
    choose(&runs, Some(given), &store.url(), "name one with --run")
}

fn choose(runs: &[String], given: Option<&str>, store: &str, way: &str) -> Result<String> {
    let list = |runs: &[&String]| {
        let more = if runs.len() > LISTED { format!(" and {} more", runs.len() - LISTED) } else { String::new() };
        let names: Vec<&str> = runs.iter().take(LISTED).map(|run| run.as_str()).collect();
        format!("{}{more}", names.join(", "))
    };
    let all: Vec<&String> = runs.iter().collect();
    if all.is_empty() {
        let named = given.map(|run| format!(" `{run}`")).unwrap_or_default();
        return Err(Error::not_found(format!(
            "the store {store} has no run{named}: start one with `jhalak run`, or name another --store"
        )));
    }
    if given == Some("") {
        return Err(Error::usage(format!("the run's id is empty: {way}: {}", list(&all))));
    }
    let Some(given) = given else {
        return match all.as_slice() {
            [run] => Ok((*run).clone()),
            _ => Err(Error::usage(format!("the store {store} has {} runs: {way}: {}", all.len(), list(&all)))),
        };
    };
    if runs.iter().any(|run| run == given) {
        return Ok(given.to_owned());
    }
    let begun: Vec<&String> = runs.iter().filter(|run| run.starts_with(given)).collect();
    match begun.as_slice() {
        [run] => Ok((*run).clone()),
        [] => Err(Error::not_found(format!("the store {store} has no run `{given}`: it has {}", list(&all)))),
        _ => Err(Error::usage(format!("`{given}` is the start of {} runs: {}", begun.len(), list(&begun)))),
    }
}

/// Lists the ids of the store's runs, in order.
pub(in crate::commands) async fn all(store: &dyn ObjectStore) -> Result<Vec<String>> {
    let mut found = BTreeSet::new();
    let mut objects = store.list("runs/");
    while let Some(object) = objects.try_next().await? {
        let rest = object.key.strip_prefix("runs/").and_then(|key| key.split_once('/'));
        if let Some((run, "state.json" | "spec.json")) = rest {
            found.insert(run.to_owned());
        }
    }
    Ok(found.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(feature = "local")]
    #[tokio::test]
    async fn the_run_of_a_fitted_model_is_found_by_its_start() {
        use jhalak_common::artifact::{ArtifactKey, ArtifactKind, Subject};
        use jhalak_common::hash;
        let (_folder, store) = crate::plan::testing::empty_store();
        let content = hash::of_bytes(b"d");
        let key =
            ArtifactKey { kind: ArtifactKind::Model, recipe: content, subject: Subject { id: "d".into(), content } };
        fitted_model::point_to(store.as_ref(), &key, Some("films-1a2b")).await.expect("room on disk");
        assert_eq!(find_fitted(store.as_ref(), "films").await.expect("its start"), "films-1a2b");
        let error = find_fitted(store.as_ref(), "nope").await.expect_err("no such run");
        assert!(error.to_string().contains("has no run `nope`: it has films-1a2b"), "{error}");
    }

    #[test]
    fn a_run_is_found_by_its_id_a_unique_start_or_alone() {
        let runs = ["demo-1a", "demo-1ab", "films-9"].map(str::to_owned);
        let kind = |runs: &[String], given| choose(runs, given, "s", "name one").map_err(|e| e.kind());
        assert_eq!(kind(&runs, Some("demo-1a")), Ok("demo-1a".to_owned()), "an id that is the start of another");
        assert_eq!(kind(&runs, Some("f")), Ok("films-9".to_owned()));
        assert_eq!(kind(&runs, Some("demo")), Err(ErrorKind::Usage));
        assert_eq!(kind(&runs, None), Err(ErrorKind::Usage));
        assert_eq!(kind(&runs[2..], None), Ok("films-9".to_owned()));
        assert_eq!(kind(&runs[2..], Some("")), Err(ErrorKind::Usage), "an empty variable of a script");
        for unknown in ["../../etc", "nope", "films-9/"] {
            assert_eq!(kind(&runs, Some(unknown)), Err(ErrorKind::NotFound), "{unknown}");
        }
        assert_eq!(kind(&[], None), Err(ErrorKind::NotFound));
    }
}
