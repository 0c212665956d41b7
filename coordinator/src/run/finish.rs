//! The end of a run: points to the final model, stores the report, and writes the last state.

use jhalak_common::artifact;
use jhalak_common::dataset::Reading;
use jhalak_common::process::fault_point;
use jhalak_common::run::job::QuarantineRecord;
use jhalak_common::run::{RunState, Stage, run_key};
use jhalak_common::settings::Settings;
use jhalak_common::store::{self, ObjectStore};
use jhalak_common::{ErrorKind, Result};

use crate::artifacts::fitted_model;
use crate::plan::Plan;
use crate::report::{self, Report};
use crate::run::context::RunContext;
use crate::run::report_data::assemble;
use crate::run::stages::Summary;

/// The outcome of a run that reached its end.
#[derive(Debug)]
pub struct Finished {
    /// [`Stage::Done`], or [`Stage::DoneWithFailures`] when jobs are quarantined.
    pub stage: Stage,
    /// The report.
    pub report: Report,
    /// The URL of the report's page.
    pub page: String,
    /// The number of artifacts that this drive made; 0 when all were committed before.
    pub made: usize,
    /// The URL of the final model's folder; None when the run fits none or its job is quarantined.
    pub model: Option<String>,
    /// The records of quarantined jobs, in the order of their ids.
    pub quarantined: Vec<QuarantineRecord>,
}

/// Stores the report of a run whose stages have completed, and writes the last state. An existing
/// report is kept when it says the same about the trailers, the figures and the model.
pub async fn finish(
    context: &RunContext,
    plan: &Plan,
    reading: &Reading,
    summary: Summary,
    settings: &Settings,
) -> Result<Finished> {
    let store = context.store.as_ref();
    let json_key = run_key(&plan.spec.id, "report/report.json");
    let html_key = run_key(&plan.spec.id, "report/index.html");
    let url = store.url();
    let url = url.trim_end_matches('/');
    let model = match &summary.model {
        Some(key) if artifact::committed(store, key).await?.is_some() => {
            fitted_model::point_to(store, key, Some(&plan.spec.id)).await?;
            Some(format!("{url}/{}", key.folder()))
        }
        _ => None,
    };
    let mut assembled =
        assemble(store, plan, reading, &summary, settings, model.clone(), context.timings.so_far()).await?;
    let existing = read(store, &json_key).await?;
    if let Some(existing) = &existing {
        assembled.measures = existing.measures.clone();
    }
    let report = match existing {
        Some(existing) if existing.says_the_same(&assembled) && store::exists(store, &html_key).await? => existing,
        _ => {
            store.put(&html_key, report::render(&assembled)?.into()).await?;
            store.put(&json_key, assembled.to_json()?.into()).await?;
            assembled
        }
    };
    fault_point::reach("coordinator-reported");
    let Summary { quarantined, made, jobs, .. } = summary;
    let stage = if quarantined.is_empty() { Stage::Done } else { Stage::DoneWithFailures };
    let committed = jobs.saturating_sub(quarantined.len());
    let state = RunState { jobs, committed, quarantined: quarantined.len(), ..RunState::of(stage) };
    context.write_state(&plan.spec.id, &state).await?;
    Ok(Finished { stage, report, page: format!("{url}/{html_key}"), made, model, quarantined })
}

async fn read(store: &dyn ObjectStore, key: &str) -> Result<Option<Report>> {
    match store.get(key).await {
        // A report that this program cannot read is written anew.
        Ok(bytes) => Ok(Report::from_json(&bytes).ok()),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}
