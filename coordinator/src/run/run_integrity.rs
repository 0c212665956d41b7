//! Compares the reports of ended runs with the store: the trailers of the tables are those that are
//! committed, and those are the planned ones without the quarantined (invariant 1 in
//! ARCHITECTURE.md).

use futures::TryStreamExt;
use jhalak_common::run::{self, RunState, Stage, run_key};
use jhalak_common::store::ObjectStore;
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

/// Compares the report of each ended run with the store.
pub async fn check_runs(store: &dyn ObjectStore) -> Result<Vec<Difference>> {
    let mut runs = Vec::new();
    let mut objects = store.list("runs/");
    while let Some(object) = objects.try_next().await? {
        let name = object.key.strip_prefix("runs/").and_then(|key| key.strip_suffix("/spec.json"));
        runs.extend(name.map(str::to_string));
    }
    drop(objects);
    let mut found = Vec::new();
    for run in runs {
        if let Some(why) = check_run(store, &run).await? {
            found.push(Difference { run, why });
        }
    }
    Ok(found)
}

async fn check_run(store: &dyn ObjectStore, run: &str) -> Result<Option<String>> {
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
    let Some(reported) = report.extraction else { return Ok(None) };
    let plan = plan::load(store, run).await?;
    let counts = TrailerCounts::of(&plan, &missing::of_trailers(store, &plan).await?);
    if counts.committed != reported.committed {
        return Ok(Some(format!(
            "its report counts {} trailers with all artifacts and the store holds {}: submit it again",
            reported.committed, counts.committed
        )));
    }
    let overruled = Quarantined::read(store, run).await?.overruled.len();
    if overruled > 0 {
        return Ok(Some(format!("{overruled} quarantined jobs were committed later: submit it again")));
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
    async fn a_run_whose_report_counts_other_trailers_than_the_store_is_named() {
        let bench = Bench::with_workers();
        let mut plan = plan(3);
        plan.spec.cells.clear();
        plan.spec.fit = None;
        let store = bench.store.as_ref();
        bench.poisoned.lock().expect("no panic").insert("m1".into());
        bench.finish(&plan).await;
        assert!(check_runs(store).await.expect("readable").is_empty());
        // A late copy of the quarantined job commits.
        for recipe in &plan.spec.recipes {
            crate::plan::testing::commit_one(store, recipe, &plan.trailers.trailers[1].subject).await;
        }
        let found = check_runs(store).await.expect("readable");
        assert!(found.len() == 1 && found[0].why.contains("submit it again"), "{found:?}");
        bench.finish(&plan).await;
        assert!(check_runs(store).await.expect("readable").is_empty(), "the next run takes it in");
    }
}
