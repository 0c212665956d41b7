//! What `submit` says about the run that its slot already has.

use std::ffi::OsString;

use jhalak_common::run::{self, RunSpec, RunState, Stage, run_key};
use jhalak_common::store::ObjectStore;
use jhalak_common::{Error, Result};

use crate::console::output::Output;
use crate::run::lease;
use crate::run::priority::Priority;

/// The variable that names the slot if the option does not.
pub(super) const VARIABLE: &str = "JHALAK_SLOT";

/// Reads the option: an empty one is a mistake, such as a variable that is not set.
pub(super) fn parse(name: &str) -> Result<String, String> {
    match name.trim() {
        "" => Err("is empty: name the slot, or leave --slot out".to_owned()),
        _ => Ok(name.to_owned()),
    }
}

/// Reads the variable: an empty one counts as unset.
pub(super) fn from_environment(value: Option<OsString>) -> Result<Option<String>> {
    let Some(value) = value.filter(|value| !value.is_empty()) else { return Ok(None) };
    let value = value.into_string().map_err(|_| Error::usage(format!("{VARIABLE} is not valid UTF-8")))?;
    parse(&value).map(Some).map_err(|reason| Error::usage(format!("{VARIABLE} {reason}")))
}

/// The dataset differs from that of the run.
pub(super) const DATASET_CHANGED: &str =
    "the dataset has changed since the run of this slot was planned: the frozen dataset counts";

/// Says that the slot has a run, and whether that has another priority than the requested one.
pub(super) async fn say_found(
    store: &dyn ObjectStore,
    existing: &RunSpec,
    requested: Priority,
    output: &Output,
) -> Result<()> {
    output
        .progress
        .say(&format!("the slot already has a run, planned at {}", crate::utc::to_the_second(existing.created)));
    let state: Option<RunState> = run::get_json(store, &run_key(&existing.id, "state.json")).await?;
    if let Some(so_far) = state.and_then(|state| other_priority(&state, requested)) {
        let requested = requested.name();
        output.progress.say(&format!(
            "the run has --priority {so_far} so far: --priority {requested} counts once this submit drives it"
        ));
    }
    Ok(())
}

/// Says why a submit without `--wait` would leave the run alone, for a dry run.
pub(super) async fn say_why_left(store: &dyn ObjectStore, run: &str, resumes: bool, output: &Output) -> Result<()> {
    if run::is_cancelled(store, run).await? && !resumes {
        output.progress.say(&format!("the run {run} was cancelled: a submit without --resume leaves it so"));
    } else if let Some(holder) = lease::holder(store, run).await? {
        output.progress.say(&format!("the run {run} is held by {holder}: a submit without --wait leaves it there"));
    }
    Ok(())
}

/// Returns the priority of a run in progress, if it is not the requested one.
fn other_priority(state: &RunState, requested: Priority) -> Option<String> {
    let is_driven = !state.stage.is_final() && state.stage != Stage::Planned;
    let so_far = state.priority.clone().unwrap_or_else(|| Priority::Normal.name().to_owned());
    Some(so_far).filter(|so_far| is_driven && so_far != requested.name())
}

/// Returns in which respects two specifications of one slot differ, apart from their trailers.
pub(super) fn differences(requested: &RunSpec, existing: &RunSpec) -> Vec<&'static str> {
    let mut found = Vec::new();
    found.extend((requested.recipes != existing.recipes).then_some("extraction"));
    let is_same_grid = requested.grid == existing.grid && requested.cells == existing.cells;
    // A changed dataset changes the cells that it allows; that is reported as such.
    let is_same_dataset = requested.dataset == existing.dataset;
    found.extend((is_same_dataset && !is_same_grid).then_some("evaluation"));
    found.extend((requested.table_precision != existing.table_precision).then_some("table precision"));
    found.extend((is_same_dataset && requested.fit != existing.fit).then_some("final model"));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_option_is_refused_and_an_empty_variable_counts_as_unset() {
        assert!(parse("").is_err() && parse(" ").is_err());
        assert_eq!(parse("2026-11-22").as_deref(), Ok("2026-11-22"));
        let read = |value: Option<&str>| from_environment(value.map(OsString::from)).map_err(|error| error.chain());
        assert_eq!((read(None), read(Some(""))), (Ok(None), Ok(None)));
        assert_eq!(read(Some("night")), Ok(Some("night".to_owned())));
        assert!(read(Some(" ")).is_err_and(|error| error.contains(VARIABLE)));
    }

    #[test]
    fn another_priority_counts_while_the_run_is_driven() {
        let state =
            |stage, priority: Option<&str>| RunState { priority: priority.map(str::to_owned), ..RunState::of(stage) };
        let extracting = state(Stage::Extracting, Some("low"));
        assert_eq!(other_priority(&extracting, Priority::Normal).as_deref(), Some("low"));
        assert_eq!(other_priority(&extracting, Priority::Low), None);
        assert_eq!(other_priority(&state(Stage::Training, None), Priority::High).as_deref(), Some("normal"));
        assert_eq!(other_priority(&state(Stage::Training, None), Priority::Normal), None);
        for stage in [Stage::Planned, Stage::Done] {
            assert_eq!(other_priority(&state(stage, None), Priority::High), None);
        }
    }
}
