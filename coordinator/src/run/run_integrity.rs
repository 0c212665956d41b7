//! Compares the reports of ended runs with the store: the trailers of the tables are those that are
//! committed, and those are the planned ones without the quarantined (invariant 1 in
//! ARCHITECTURE.md).

use std::collections::BTreeMap;

use futures::TryStreamExt;
use jhalak_common::run::job::{QuarantineRecord, Task};
use jhalak_common::run::{self, RunState, SPECIFICATION, Stage, UNREADABLE_RUN, run_key};
use jhalak_common::store::{self, ObjectStore};
use jhalak_common::{ErrorKind, Result};
use serde::Serialize;

use crate::plan;
use crate::report::Report;
use crate::run::missing;
use crate::run::quarantined::Quarantined;
use crate::run::stages::TrailerCounts;

/// A run whose report differs from the store.
#[derive(Debug, Serialize)]
pub struct Difference {
    /// The id of the run.
    pub run: String,
    /// How they differ, with the way out.
    pub why: String,
}

/// Compares the report of each ended run with the store, and its plan and dataset with their
/// hashes.
pub async fn check_runs(store: &dyn ObjectStore) -> Result<Vec<Difference>> {
    // Whether each run has a specification.
    let mut runs: BTreeMap<String, bool> = BTreeMap::new();
    let mut objects = store.list("runs/");
    while let Some(object) = objects.try_next().await? {
        let Some((run, file)) = object.key.strip_prefix("runs/").and_then(|key| key.split_once('/')) else { continue };
        *runs.entry(run.to_owned()).or_default() |= file == SPECIFICATION;
    }
    drop(objects);
    let mut found = Vec::new();
    for (run, is_planned) in runs {
        let why = match is_planned {
            true => check_run(store, &run).await,
            false if run == UNREADABLE_RUN => Ok(None),
            false => Ok(Some(format!(
                "it has no {SPECIFICATION}: its submit was stopped, or the file was deleted. Submit again, or delete the \
                 objects below {}",
                run_key(&run, "")
            ))),
        };
        let why = match why {
            // One damaged record hides no other run.
            Err(e) if matches!(e.kind(), ErrorKind::InvalidInput | ErrorKind::NotFound) => Some(e.chain()),
            why => why?,
        };
        found.extend(why.map(|why| Difference { run, why }));
    }
    Ok(found)
}

async fn check_run(store: &dyn ObjectStore, run: &str) -> Result<Option<String>> {
    let plan = plan::load(store, run).await?;
    plan::frozen_dataset(store, &plan).await?;
    let state: Option<RunState> = run::get_json(store, &run_key(run, "state.json")).await?;
    if !state.is_some_and(|state| matches!(state.stage, Stage::Done | Stage::DoneWithFailures)) {
        return Ok(None);
    }
    let report = match store.get(&run_key(run, "report/report.json")).await {
        Ok(bytes) => Report::from_json(&bytes)?,
        Err(e) if e.kind() == ErrorKind::NotFound => {
            return Ok(Some("it has ended and has no report: submit it again".to_string()));
        }
        Err(e) => return Err(e),
    };
    if !store::exists(store, &run_key(run, "report/index.html")).await? {
        return Ok(Some("the page of its report is missing: submit it again".to_string()));
    }
    let Some(reported) = report.extraction else { return Ok(None) };
    let counts = TrailerCounts::of(&plan, &missing::of_trailers(store, &plan).await?);
    // A later run may have committed more trailers of this one; fewer were lost.
    if counts.committed < reported.committed {
        return Ok(Some(format!(
            "its report counts {} trailers with all artifacts and the store holds {}: submit it again",
            reported.committed, counts.committed
        )));
    }
    let standing = Quarantined::read(store, &plan).await?.standing;
    let quarantined = standing.values().filter_map(QuarantineRecord::decode_job);
    let quarantined = quarantined.filter(|job| matches!(job.task, Task::Extract(_))).count() as u64;
    if counts.missing > quarantined {
        return Ok(Some(format!(
            "{} of its trailers lack artifacts and {quarantined} of them are quarantined: submit it again",
            counts.missing
        )));
    }
    for recipe in &report.recipes {
        let Some(trailers) = recipe.parameters.get("trailers").and_then(serde_json::Value::as_u64) else { continue };
        // Trailers without sound have no audio embedding.
        let without = if recipe.kind == "audio-table" { reported.without_sound.len() as u64 } else { 0 };
        if plan.spec.only.is_none() && trailers + without != reported.committed {
            return Ok(Some(format!(
                "its {} holds {trailers} trailers and its report counts {}: submit it again",
                recipe.kind, reported.committed
            )));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::testing::{Bench, plan};

    #[tokio::test]
    async fn lost_artifacts_records_and_pages_are_named_and_later_commits_are_not() {
        let bench = Bench::with_workers();
        let mut plan = plan(3);
        plan.spec.cells.clear();
        plan.spec.fit = None;
        let (store, id) = (bench.store.as_ref(), plan.spec.id.clone());
        bench.poisoned.lock().expect("no panic").insert("m1".into());
        bench.finish(&plan).await;
        let faults = async || check_runs(store).await.expect("readable");
        assert!(faults().await.is_empty());
        // Its record is dropped: the run is not whole, and nothing says why.
        let record = crate::run::quarantined::keys(store, &id).await.expect("readable");
        let record = record.first().expect("one record").clone();
        let bytes = store.get(&record).await.expect("a record");
        store.delete(&record).await.expect("a folder that can be written");
        assert!(faults().await[0].why.contains("1 of its trailers lack artifacts and 0"), "{:?}", faults().await);
        store.put(&record, bytes).await.expect("room on disk");
        // A later run commits the quarantined trailer: this report was right when it was written.
        for recipe in &plan.spec.recipes {
            crate::plan::testing::commit_one(store, recipe, &plan.trailers.trailers[1].subject).await;
        }
        assert!(faults().await.is_empty(), "{:?}", faults().await);
        let commit = |trailer: usize| {
            jhalak_common::artifact::ArtifactKey::new(&plan.spec.recipes[0], &plan.trailers.trailers[trailer].subject)
                .commit()
        };
        for trailer in [0, 1] {
            store.delete(&commit(trailer)).await.expect("a folder that can be written");
        }
        assert!(faults().await[0].why.contains("counts 2 trailers with all artifacts and the store holds 1"));
        bench.poisoned.lock().expect("no panic").clear();
        bench.finish(&plan).await;
        assert!(faults().await.is_empty(), "{:?}", faults().await);
        let page = run_key(&id, "report/index.html");
        store.delete(&page).await.expect("a folder that can be written");
        assert!(faults().await[0].why.contains("page of its report"));
        bench.finish(&plan).await;
        assert!(faults().await.is_empty(), "the page is written again");
        for (file, bytes, why) in [
            ("report/report.json", "{}", "report"),
            ("trailers.json", "{\"version\":1,\"trailers\":[]}", "does not list the trailers that were planned"),
        ] {
            store.put(&run_key(&id, file), bytes.into()).await.expect("room on disk");
            let found = faults().await;
            assert!(found.len() == 1 && found[0].why.contains(why), "{found:?}");
        }
        store.delete(&run_key(&id, SPECIFICATION)).await.expect("a folder that can be written");
        assert!(faults().await[0].why.contains("has no spec.json"));
    }
}
