//! The probe job: commits a record without files.

use jhalak_common::artifact::{self, Commit};
use jhalak_common::run::job::ProbeTask;
use jhalak_common::{Error, Result};
use serde_json::json;

use super::context::Context;
use super::stats::JobStats;

/// Commits the probe's record, if it asks for one.
pub(super) async fn run(context: &Context, task: &ProbeTask) -> Result<JobStats> {
    let mut stats = JobStats::default();
    let Some(recipe) = &task.recipe else { return Ok(stats) };
    if recipe.kind != artifact::ArtifactKind::Probe {
        return Err(Error::invalid(format!("a probe job cannot make {} artifacts", recipe.kind.name())));
    }
    let store = context.store.as_ref();
    if artifact::commit(store, recipe, &task.subject, Vec::new(), json!({})).await? == Commit::Committed {
        stats.committed = 1;
    }
    Ok(stats)
}
