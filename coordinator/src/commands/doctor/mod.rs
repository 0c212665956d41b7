//! `jhalak doctor`: checks store, queue, scratch folder, clock, ONNX Runtime, models and workers.

#[cfg(feature = "local")]
mod models;
mod services;

use std::time::{Duration, Instant};

use clap::Args;
use jhalak_common::artifact::{ArtifactKey, ArtifactKind, Recipe, Subject};
use jhalak_common::process::exit;
use jhalak_common::redact::redact_url;
use jhalak_common::run::job::{Job, JobResult, Outcome, ProbeTask, Task};
use jhalak_common::run::{SigningKey, encode_signed};
use jhalak_common::settings::Settings;
use jhalak_common::{Error, Result, hash, queue, store};
use serde_json::{Value, json};

use crate::artifacts::integrity;
use crate::console::output::Output;
use crate::run::run_integrity;

/// Check store, queue, models and workers, or stored artifacts
///
/// Checks the store (conditional writes too), the queue (a broker that takes no messages gives its reason), the scratch
/// folder, the clock, ONNX Runtime and the models, and exits with 5 if a check fails.
///
/// With --store (alone or with a URL), checks the artifacts in the store instead: reports commit records whose files
/// are missing or changed, and runs whose report counts other trailers than the store holds. Exits with 3 if any
/// remain.
#[derive(Args)]
#[command(after_help = "Examples:
  # Check everything that a run needs
  jhalak doctor
  # Check the artifacts in the configured store
  jhalak doctor --store")]
pub struct Doctor {
    /// Remove the damaged files and commit records of artifacts
    ///
    /// The next `run` or `submit` makes these artifacts again. Implies a check of the store.
    #[arg(long, help_heading = "Store check")]
    repair: bool,
    /// Send a probe to the workers of each kind and wait for an answer
    #[arg(long, help_heading = "Worker check")]
    workers: bool,
    /// Compare only the sizes of files, not their contents
    ///
    /// Implies a check of the store.
    #[arg(long, help_heading = "Store check")]
    quick: bool,
}

impl Doctor {
    pub(in crate::commands) async fn execute(
        self,
        settings: Settings,
        output: Output,
        through_store: bool,
    ) -> Result<u8> {
        if through_store || self.repair || self.quick {
            return self.check_artifacts(&settings, &output).await;
        }
        let mut checks = Checks { output: &output, records: Vec::new(), all_pass: true };
        checks.report("store", &settings.store, services::store(&settings).await)?;
        checks.report("queue", &redact_url(&settings.queue), services::queue(&settings).await)?;
        if self.workers {
            output.progress.say(&format!("probing the workers; waiting up to {} s for an answer", PROBE.as_secs()));
            let [extract, train] = queue::WorkKind::ALL;
            let (extracts, trains) = tokio::join!(probe(&settings, extract), probe(&settings, train));
            checks.report("workers", extract.name(), extracts)?;
            checks.report("workers", train.name(), trains)?;
        }
        checks.report("scratch", &settings.worker.scratch.display().to_string(), services::scratch(&settings))?;
        checks.report("clock", &settings.store, services::clock(&settings).await)?;
        #[cfg(feature = "local")]
        for (name, location, found) in models::check(&settings).await {
            checks.report(&name, &location, found)?;
        }
        if output.json {
            output.print(&checks.records, "")?;
        }
        Ok(if checks.all_pass { exit::DONE } else { exit::UNREACHABLE })
    }
}

/// The checks so far: printed one by one as text, all at the end as JSON.
struct Checks<'a> {
    output: &'a Output,
    records: Vec<Value>,
    all_pass: bool,
}

impl Checks<'_> {
    fn report(&mut self, name: &str, location: &str, found: Result<String>) -> Result<()> {
        let ok = found.is_ok();
        let message = found.unwrap_or_else(|error| error.chain());
        self.all_pass &= ok;
        // `place` and `words` are the names of earlier versions.
        let record = json!({
            "check": name, "location": location, "ok": ok, "message": message, "place": location, "words": message,
        });
        if !self.output.json {
            let mark = if ok { "ok  " } else { "FAIL" };
            self.output.print(&record, &format!("{mark} {name:32} {}: {message}", location.trim_end_matches(':')))?;
        }
        self.records.push(record);
        Ok(())
    }
}

impl Doctor {
    async fn check_artifacts(&self, settings: &Settings, output: &Output) -> Result<u8> {
        let store = store::open(&settings.store, &settings.s3).await?;
        if store.url().strip_prefix("file://").is_some_and(|folder| !std::path::Path::new(folder).is_dir()) {
            return Err(Error::not_found(format!("there is no store at {}: check the path", store.url())));
        }
        let found = integrity::check_store(store.as_ref(), !self.quick).await?;
        let mut text: String =
            found.damaged.iter().map(|damage| format!("{}: {}\n", damage.commit, damage.why)).collect();
        // Before the repair, which removes records that reports count.
        let runs = run_integrity::check_runs(store.as_ref()).await?;
        if self.repair {
            for damage in &found.damaged {
                damage.repair(store.as_ref()).await?;
            }
        }
        for run in &runs {
            text.push_str(&format!("{}: {}\n", run.run, run.why));
        }
        text.push_str(&format!("{}: {} artifacts are intact", store.url(), found.sound));
        if found.uncommitted > 0 {
            text.push_str(&format!(", {} are uncommitted (never read)", found.uncommitted));
        }
        text.push_str(&match (found.damaged.len(), self.repair) {
            (0, _) => String::new(),
            (n, true) => format!(", {n} were damaged: their records are removed, and the next run makes them again"),
            (n, false) => format!(", {n} are damaged: --repair lets the next run make them again"),
        });
        output.print(&json!({ "repaired": self.repair, "found": found, "runs": runs }), &text)?;
        let is_sound = (found.damaged.is_empty() || self.repair) && runs.is_empty();
        Ok(if is_sound { exit::DONE } else { exit::INVALID })
    }
}

/// Wait for the answer to a probe; long, since all slots of a worker may be busy.
const PROBE: Duration = Duration::from_secs(30);

/// Sends a probe to the workers of `kind` and waits until one has committed it.
async fn probe(settings: &Settings, kind: queue::WorkKind) -> Result<String> {
    let store = store::open(&settings.store, &settings.s3).await?;
    let queue = queue::open(&settings.queue, &settings.rabbitmq).await?;
    let now = jiff::Timestamp::now().as_millisecond();
    let run = format!("probe-{}-{}-{now}", kind.name(), std::process::id());
    let recipe = Recipe::new(ArtifactKind::Probe, json!({}))?;
    let subject = Subject { id: run.clone(), content: hash::of_bytes(run.as_bytes()) };
    let place = ArtifactKey::new(&recipe, &subject).commit();
    let task = Task::Probe(ProbeTask { workers: kind, subject, recipe: Some(recipe) });
    let job = Job::new(&run, &run, store.url(), task);
    let began = Instant::now();
    let asked = async {
        let mut results = queue.consume(&queue::Channel::Results(run), 1).await?;
        let key = SigningKey::load(settings.rabbitmq.signing_key_file.as_deref())?;
        queue.publish(&queue::Channel::Work(kind), encode_signed(job, key.as_ref())?).await?;
        let delivery = tokio::time::timeout(PROBE, results.next()).await.map_err(|_| {
            Error::transient(format!(
                "no worker answered within {} s: check that one is running and uses this store",
                PROBE.as_secs()
            ))
        })??;
        let delivery = delivery.ok_or_else(|| Error::transient("the queue was closed"))?;
        let outcome = JobResult::decode(&delivery.body)?.outcome;
        delivery.ack().await?;
        Ok::<_, Error>(outcome)
    }
    .await;
    queue.close().await;
    store.delete(&place).await?;
    match asked? {
        Outcome::Committed { .. } => Ok(format!("a worker answered after {:.1} s", began.elapsed().as_secs_f64())),
        other => Err(Error::transient(format!("a worker answered {other:?}"))),
    }
}
