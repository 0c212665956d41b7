//! Prints the outcome of a run and chooses the exit code, for `run` and `submit`.

use jhalak_common::Result;
use jhalak_common::process::exit;
use jhalak_common::run::Stage;
use serde_json::json;

use crate::console::output::Output;
use crate::plan::Plan;
use crate::report;
use crate::run::RunOutcome;
use crate::run::finish::Finished;

/// Prints the outcome and returns the exit code. `wait`: the command was to stay until the run has ended.
pub(super) fn print(outcome: RunOutcome, plan: &Plan, wait: bool, output: &Output) -> Result<u8> {
    let run = &plan.spec.id;
    match outcome {
        RunOutcome::Finished(finished) => print_finished(&finished, run, output),
        RunOutcome::Cancelled(state) => {
            let text = format!("the run {run} was cancelled: `jhalak retry {run}` or --resume lets it go on");
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

fn print_finished(finished: &Finished, run: &str, output: &Output) -> Result<u8> {
    let Finished { stage, report, page, made, model, quarantined } = finished;
    let mut text = report::summary(report);
    for record in quarantined {
        text.push_str(&format!("  quarantined  {}: {}\n", record.about, record.reason));
    }
    if !quarantined.is_empty() {
        text.push_str(&format!(
            "  `jhalak quarantine ls {run}` lists them; `jhalak retry {run}` makes the next run send them again\n"
        ));
    }
    if *made == 0 {
        text.push_str("  everything was committed before: nothing was computed again\n");
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
    Ok(if *stage == Stage::Done { exit::DONE } else { exit::QUARANTINED })
}
