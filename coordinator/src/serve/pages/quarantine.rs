//! The quarantined jobs of a run, by reason.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use jhalak_common::run::job::QuarantineRecord;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::serve::answer::Form;
use crate::serve::failure::Failure;
use crate::serve::query::{Names, Options, Window};
use crate::serve::site::Site;

/// Jobs on one page.
const PAGE_SIZE: usize = 50;

/// The options of the page.
#[derive(Deserialize)]
pub struct Query {
    /// The number of a reason.
    reason: Option<u64>,
    page: Option<u64>,
}

/// The quarantined jobs of a run.
#[derive(Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Quarantine {
    /// The run.
    run: String,
    /// All quarantined jobs.
    all: u64,
    /// The reasons, the most frequent first.
    reasons: Vec<Reason>,
    /// The number of the reason that is shown, from 1; null for all.
    reason: Option<u64>,
    /// Jobs with this reason.
    total: u64,
    /// The page, from 1.
    page: u64,
    /// Number of pages.
    pages: u64,
    /// The jobs.
    jobs: Vec<Entry>,
}

/// A reason that several jobs may share.
#[derive(Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Reason {
    /// The message, with `*` for what differs between jobs.
    text: String,
    /// The kind of the error.
    kind: String,
    /// Jobs with it.
    jobs: u64,
}

/// A quarantined job.
#[derive(Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// The job's id.
    job: String,
    /// Its subject.
    about: String,
    /// The movie's id, where it is the extraction of a trailer.
    trailer: Option<String>,
    /// The kind of the error.
    kind: String,
    /// The message.
    message: String,
    /// Its causes, such as the decoder's output, outermost first.
    causes: Vec<String>,
    /// Attempts, crashes included.
    attempts: u32,
    /// When, RFC 3339.
    at: Option<String>,
    /// The worker.
    worker: Option<String>,
    /// The version of the worker's program.
    program: Option<String>,
    /// Seconds by step of the last attempt.
    steps: BTreeMap<String, f64>,
    /// The command that shows the job with its message.
    show: String,
    /// The command that lets the next run try it again.
    retry: String,
    /// The command that sends it to the workers at once.
    requeue: String,
}

/// Shows the jobs.
pub async fn show(
    State(site): State<Arc<Site>>,
    form: Form,
    Names([run]): Names<[String; 1]>,
    Options(query): Options<Query>,
) -> Result<Response, Failure> {
    let index = site.index(&run).await?;
    let states = index.states(&site.store).await;
    let records = &states.quarantined;
    let mut by_reason: BTreeMap<(String, String), Vec<usize>> = BTreeMap::new();
    for (i, one) in records.iter().enumerate() {
        by_reason.entry((pattern(&one.record.reason), kind(&one.record))).or_default().push(i);
    }
    let mut by_reason: Vec<((String, String), Vec<usize>)> = by_reason.into_iter().collect();
    by_reason.sort_by(|(a, of_a), (b, of_b)| of_b.len().cmp(&of_a.len()).then_with(|| a.cmp(b)));
    let chosen: Vec<usize> = match query.reason {
        None => (0..records.len()).collect(),
        Some(number) => {
            let place = usize::try_from(number).ok().and_then(|n| n.checked_sub(1));
            let missing = || Failure::missing(format!("reason {number} does not exist"));
            place.and_then(|place| by_reason.get(place)).ok_or_else(missing)?.1.clone()
        }
    };
    let window = Window::of(query.page, chosen.len(), PAGE_SIZE)?;
    let jobs = chosen[window.start..window.end].iter().map(|&i| {
        let one = &records[i];
        let trailer = one.trailer.map(|trailer| index.trailers()[trailer].subject.id.clone());
        Entry::of(&run, &one.record, trailer)
    });
    let page = Quarantine {
        all: records.len() as u64,
        reason: query.reason,
        total: chosen.len() as u64,
        page: window.page,
        pages: window.pages,
        jobs: jobs.collect(),
        reasons: by_reason
            .into_iter()
            .map(|((text, kind), jobs)| Reason { text, kind, jobs: jobs.len() as u64 })
            .collect(),
        run,
    };
    site.answer(form, "quarantine.html", &page)
}

impl Entry {
    /// Describes a record.
    pub fn of(run: &str, record: &QuarantineRecord, trailer: Option<String>) -> Entry {
        let mut parts = record.reason.split(": ").map(str::to_owned);
        let message = parts.next().unwrap_or_default();
        let command = |verb: &str| format!("jhalak {verb} {} {}", shell(run), shell(&record.job));
        Entry {
            job: record.job.clone(),
            about: record.about.clone(),
            trailer,
            kind: kind(record),
            message,
            causes: parts.collect(),
            attempts: record.attempts,
            at: record.at.map(|at| format!("{at:.0}")),
            worker: record.worker.clone(),
            program: record.program.clone(),
            steps: record.seconds.clone(),
            show: command("quarantine show"),
            retry: command("retry"),
            requeue: command("quarantine requeue"),
        }
    }
}

/// The kind of an error as it is stored: `invalid_input`.
fn kind(record: &QuarantineRecord) -> String {
    match serde_json::to_value(record.error) {
        Ok(serde_json::Value::String(kind)) => kind,
        _ => String::new(),
    }
}

/// Quotes a word for a shell, if it needs that. Ids come from a dataset: a command that is copied
/// must not run parts of them.
fn shell(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.@=/:+,".contains(c);
    let is_option = word.starts_with('-');
    match !word.is_empty() && !is_option && word.chars().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

/// A reason without what differs between jobs: words with digits, slashes or quotes.
fn pattern(reason: &str) -> String {
    let mut text = String::new();
    for word in reason.split_whitespace() {
        let differs = word.chars().any(|c| c.is_ascii_digit() || matches!(c, '/' | '`' | '@'));
        let shown = if differs { "*" } else { word };
        if shown == "*" && text.ends_with('*') {
            continue;
        }
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(shown);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_of_the_same_cause_are_one() {
        let (a, b) =
            ("cannot decode /data/tt1.mp4: moov atom not found", "cannot decode /data/tt22.mp4: moov atom not found");
        assert_eq!(pattern(a), pattern(b));
        assert_eq!(pattern(a), "cannot decode * moov atom not found");
        assert_ne!(pattern(a), pattern("cannot decode /data/tt1.mp4: no video stream"));
    }

    #[test]
    fn commands_can_be_copied_whatever_the_id() {
        assert_eq!(shell("extract-tt1@0123"), "extract-tt1@0123");
        assert_eq!(shell("a b; rm -rf ~"), "'a b; rm -rf ~'");
        assert_eq!(shell("$(reboot)'"), r"'$(reboot)'\'''");
        assert_eq!(shell("--help"), "'--help'");
    }
}
