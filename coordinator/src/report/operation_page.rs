//! The part of the page for whoever runs the system.

use std::collections::BTreeMap;

use serde::Serialize;

use super::number::{count, counted, span};
use super::{Report, Seconds};
use crate::charts::{self, Bar};

/// Movies or jobs that are named for each reason of a failure.
const MAX_NAMED: usize = 6;

/// How the run went, as the page shows it.
#[derive(Serialize)]
pub(super) struct Shown {
    /// One sentence.
    sentence: String,
    /// Charts as HTML.
    charts: Vec<String>,
    slowest: Vec<[String; 3]>,
    failures: Vec<Failure>,
}

#[derive(Serialize)]
struct Failure {
    reason: String,
    count: String,
    named: Vec<String>,
    more: usize,
}

pub(super) fn shown(report: &Report) -> Shown {
    let operation = report.operation.clone().unwrap_or_default();
    let bars = |title: &str, note: &str, of: &[Seconds]| {
        let bars: Vec<Bar> = of
            .iter()
            .map(|one| Bar { name: one.name.clone(), length: one.seconds, value: span(one.seconds) })
            .collect();
        charts::bars(title, note, "time", 0.0, &bars).figure()
    };
    let mut pictures = Vec::new();
    if !operation.stages.is_empty() {
        pictures.push(bars("Time by stage", "On the clock, of the process that finished the run.", &operation.stages));
    }
    if !operation.steps.is_empty() {
        let note = "Summed over all workers; waiting for a slot is left out.";
        pictures.push(bars("Work on trailers by step", note, &operation.steps));
    }
    let slowest = operation.slowest.iter().map(|slow| {
        let name =
            if slow.title == slow.movie { slow.movie.clone() } else { format!("{} ({})", slow.title, slow.movie) };
        [name, span(slow.seconds), slow.longest_step.clone()]
    });
    Shown { sentence: sentence(report), charts: pictures, slowest: slowest.collect(), failures: failures(report) }
}

fn sentence(report: &Report) -> String {
    let mut sentences = Vec::new();
    let time = |text: &Option<String>| text.as_ref().and_then(|text| text.parse::<jiff::Timestamp>().ok());
    if let (Some(from), Some(to)) = (time(&Some(report.run.started.clone())), time(&report.run.ended)) {
        sentences.push(format!("From the request to the report: {}.", span(to.duration_since(from).as_secs_f64())));
    }
    match &report.operation {
        Some(operation) => match operation.trailers_an_hour {
            Some(rate) if rate.is_finite() => {
                sentences.push(format!(
                    "{} extracted, {} per hour.",
                    counted(operation.extracted, "trailer"),
                    count(rate.round() as u64)
                ));
            }
            _ if report.extraction.is_some() => {
                sentences.push("No trailer had to be extracted in the last start.".to_owned())
            }
            _ => {}
        },
        None => sentences.push("Times were not recorded.".to_owned()),
    }
    sentences.join(" ")
}

/// Groups failures by their reason, the most frequent first.
fn failures(report: &Report) -> Vec<Failure> {
    let mut reasons: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for one in report.extraction.iter().flat_map(|extraction| &extraction.quarantined) {
        reasons.entry(&one.reason).or_default().push(one.trailer.clone());
    }
    for one in report.operation.iter().flat_map(|operation| &operation.failed_jobs) {
        reasons.entry(&one.reason).or_default().push(one.about.clone());
    }
    let mut failures: Vec<(&str, Vec<String>)> = reasons.into_iter().collect();
    failures.sort_by(|a, b| b.1.len().cmp(&a.1.len()).then_with(|| a.0.cmp(b.0)));
    let failure = |(reason, mut named): (&str, Vec<String>)| {
        let (count, more) = (named.len(), named.len().saturating_sub(MAX_NAMED));
        named.truncate(MAX_NAMED);
        Failure { reason: reason.to_owned(), count: counted(count as u64, "job"), named, more }
    };
    failures.into_iter().map(failure).collect()
}
