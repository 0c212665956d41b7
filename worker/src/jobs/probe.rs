//! The probe: a job that makes nothing but its own commit record.

use jhalak_common::artifact::{self, Commit};
use jhalak_common::run::job::ProbeTask;
use jhalak_common::{Error, Result};
use serde_json::json;

use super::{Context, JobStats};

pub(super) async fn run(context: &Context, task: &ProbeTask) -> Result<JobStats> {
    let mut done = JobStats::default();
    let Some(recipe) = &task.recipe else { return Ok(done) };
    if recipe.kind != artifact::ArtifactKind::Probe {
        return Err(Error::invalid(format!("a probe makes no {}", recipe.kind.name())));
    }
    let store = context.store.as_ref();
    if artifact::commit(store, recipe, &task.subject, Vec::new(), json!({})).await? == Commit::Committed {
        done.committed = 1;
    }
    Ok(done)
}
