//! Prints the outcome of a run and chooses the exit code, for `run` and `submit`.

use jhalak_common::Result;
use jhalak_common::process::exit;
use jhalak_common::run::Stage;
use jhalak_common::run::job::{QuarantineRecord, Task};
use serde_json::json;

use crate::console::output::Output;
use crate::plan::Plan;
use crate::report::{self, LeftOut};
use crate::run::RunOutcome;
use crate::run::finish::Finished;

/// Prints the outcome and returns the exit code. `wait`: the command was to stay until the run has ended.
/// `allow_quarantined`: quarantined trailers alone are not a failure.
pub(super) fn print(
    outcome: RunOutcome,
    plan: &Plan,
    wait: bool,
    allow_quarantined: bool,
    output: &Output,
) -> Result<u8> {
    let run = &plan.spec.id;
    match outcome {
        RunOutcome::Finished(finished) => print_finished(&finished, plan, allow_quarantined, output),
        RunOutcome::Cancelled(state) => {
            let text = format!("the run {run} was cancelled: resume it with `jhalak retry {run}` or --resume");
            let answer = json!({ "run": run, "found": true, "state": Stage::Cancelled.name(), "at": state });
            output.print(&answer, &text)?;
            // A CronJob's submit must not fail because somebody cancelled the run of its slot.
            Ok(if plan.spec.slot.is_some() && !wait { exit::DONE } else { exit::INTERRUPTED })
        }
        RunOutcome::LedElsewhere(holder) => {
            let text = format!("the run {run} is already driven by {holder}: `jhalak watch {run}` shows its progress");
            output.print(&json!({ "run": run, "found": true, "driven_by": holder }), &text)?;
            Ok(exit::DONE)
        }
    }
}

fn print_finished(finished: &Finished, plan: &Plan, allow_quarantined: bool, output: &Output) -> Result<u8> {
    let run = &plan.spec.id;
    let Finished { stage, report, page, made, model, quarantined } = finished;
    let mut text = report::summary(report);
    // The summary names the trailers.
    let mut cells = Vec::new();
    for record in quarantined {
        match record.decode_job().map(|job| job.task) {
            Some(Task::Extract(_)) => {}
            Some(Task::Fit(_)) => {
                text.push_str(&format!("  no model     the final model is quarantined: {}\n", record.reason));
            }
            _ => cells.push((record.about.as_str(), record.reason.as_str())),
        }
    }
    text.push_str(&quarantine_lines(cells.into_iter()));
    if !quarantined.is_empty() {
        text.push_str(&format!(
            "  `jhalak quarantine ls {run}` lists them; `jhalak retry {run}` makes the next run send them again\n"
        ));
    }
    if *made == 0 {
        text.push_str(match quarantined.is_empty() {
            true => "  everything was committed before: nothing was computed again\n",
            false => "  no job was committed by this run: the others were committed before\n",
        });
    }
    if let Some(model) = model {
        text.push_str(&format!("  model        {model} (try it: jhalak recommend --user U)\n"));
    }
    text.push_str(&format!("  report       {page}\n"));
    let answer = json!({
        "run": run, "state": stage.name(), "report": page, "made": made, "model": model,
        "quarantined": quarantined, "evaluation": report.evaluation,
    });
    output.print(&answer, &text)?;
    let is_model_whole =
        (model.is_some() || plan.spec.fit.is_none()) && !report.left_out.iter().any(LeftOut::is_of_final_model);
    let is_tolerated = allow_quarantined && is_model_whole && are_extractions(quarantined);
    Ok(if *stage == Stage::Done || is_tolerated { exit::DONE } else { exit::QUARANTINED })
}

/// Whether every quarantined job is the extraction of a trailer.
fn are_extractions(quarantined: &[QuarantineRecord]) -> bool {
    let is_extraction = |task| matches!(task, Task::Extract(_));
    quarantined.iter().all(|record| record.decode_job().is_some_and(|job| is_extraction(job.task)))
}

/// Lists quarantined jobs by their reasons.
fn quarantine_lines<'a>(quarantined: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    /// Jobs of one reason, and reasons, that are listed.
    const LISTED: usize = 5;
    let mut by_reason: Vec<(&str, Vec<&str>)> = Vec::new();
    for (about, reason) in quarantined {
        match by_reason.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, jobs)) => jobs.push(about),
            None => by_reason.push((reason, vec![about])),
        }
    }
    let mut text = String::new();
    for (reason, jobs) in by_reason.iter().take(LISTED) {
        let more = match jobs.len() {
            n if n > LISTED => format!(" and {} more", n - LISTED),
            _ => String::new(),
        };
        text.push_str(&format!("  quarantined  {}{more}: {reason}\n", jobs[..jobs.len().min(LISTED)].join(", ")));
    }
    if by_reason.len() > LISTED {
        let jobs: usize = by_reason[LISTED..].iter().map(|(_, jobs)| jobs.len()).sum();
        text.push_str(&format!("  quarantined  {jobs} more, for {} other reasons\n", by_reason.len() - LISTED));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::jobs::Jobs;
    use crate::run::testing;

    #[test]
    fn a_quarantined_training_job_is_not_a_quarantined_trailer() {
        let plan = testing::plan(1);
        let extraction = testing::record(&Jobs::extractions(&plan, "s3://store".into(), &[0b111]).build(0));
        let Some(Task::Extract(_)) = extraction.decode_job().map(|job| job.task) else { panic!("an extraction") };
        let mut unknown = extraction.clone();
        unknown.message["task"] = json!({ "kind": "unknown" });
        assert!(are_extractions(&[]) && are_extractions(&[extraction.clone(), extraction.clone()]));
        assert!(!are_extractions(&[extraction, unknown]));
    }

    #[test]
    fn jobs_of_one_reason_share_a_line() {
        let cells: Vec<String> = (0..75).map(|i| format!("cell {i}")).collect();
        let of_cells = cells.iter().map(|cell| (cell.as_str(), "too few ratings"));
        assert_eq!(
            quarantine_lines(of_cells.chain([("tt1", "no video")])),
            "  quarantined  cell 0, cell 1, cell 2, cell 3, cell 4 and 70 more: too few ratings\n  \
             quarantined  tt1: no video\n"
        );
        let many = cells.iter().take(7).map(|reason| ("tt1", reason.as_str()));
        assert!(quarantine_lines(many).ends_with("  quarantined  2 more, for 2 other reasons\n"));
    }
}
