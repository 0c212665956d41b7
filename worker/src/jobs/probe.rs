//! The probe job: commits a record without files.

use jhalak_common::artifact::{self, Commit};
use jhalak_common::run::job::ProbeTask;
use jhalak_common::{Error, Result};
use serde_json::json;

use super::context::Context;

/// Commits the probe's record, if it asks for one.
pub(super) async fn run(context: &Context, task: &ProbeTask) -> Result<usize> {
    let Some(recipe) = &task.recipe else { return Ok(0) };
    if recipe.kind != artifact::ArtifactKind::Probe {
        return Err(Error::invalid(format!("a probe job cannot make {} artifacts", recipe.kind.name())));
    }
    let store = context.store.as_ref();
    let commit = artifact::commit(store, recipe, &task.subject, Vec::new(), json!({})).await?;
    Ok(usize::from(commit == Commit::Committed))
}
