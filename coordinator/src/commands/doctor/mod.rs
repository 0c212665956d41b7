//! `jhalak doctor`: whether everything that a run needs is there.

#[cfg(feature = "local")]
mod models;

use std::time::{Duration, Instant};

use clap::Args;
use jhalak_common::artifact::{ArtifactKey, ArtifactKind, Recipe, Subject};
use jhalak_common::process::exit;
use jhalak_common::run::job::{Job, JobResult, MESSAGE_VERSION, Outcome, ProbeTask, Task};
use jhalak_common::settings::{Settings, redact_url};
use jhalak_common::{Error, Result, hash, queue, store};
use serde_json::{Value, json};

use crate::artifacts::integrity;
use crate::console::output::Output;

/// Says whether everything that a run needs is there: store, queue, ONNX Runtime, models. Exit code 5 where something is not.
///
/// With --store (alone, or with a URL) looks through the store instead: commit records whose files are missing, or are not what was committed. Exit
/// code 3 where there is one that was not repaired.
#[derive(Args)]
pub struct Doctor {
    /// Remove the commit records of damaged artifacts, so that the next `run` or `submit` makes them again.
    #[arg(long)]
    repair: bool,
    /// Send a probe through the queue to the workers of each kind and wait for their answer.
    #[arg(long)]
    workers: bool,
    /// With --store: compare the sizes of files alone, and do not read their bytes.
    #[arg(long)]
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
            return self.look_through(&settings, &output).await;
        }
        let mut told = Told { output: &output, answer: Vec::new(), well: true };
        told.tell("store", &settings.store, check_store(&settings).await)?;
        told.tell("queue", &redact_url(&settings.queue), check_queue(&settings).await)?;
        if self.workers {
            output.progress.say(&format!("asking the workers; they have {} s to answer", PROBE.as_secs()));
            let [extract, train] = queue::WorkKind::ALL;
            let (extracts, trains) = tokio::join!(probe(&settings, extract), probe(&settings, train));
            told.tell("workers", extract.name(), extracts)?;
            told.tell("workers", train.name(), trains)?;
        }
        #[cfg(feature = "local")]
        for (name, place, found) in models::check(&settings).await {
            told.tell(&name, &place, found)?;
        }
        if output.json {
            output.print(&told.answer, "")?;
        }
        Ok(if told.well { exit::DONE } else { exit::UNREACHABLE })
    }
}

/// What was found so far: a person reads each check when it is known, a program all of them at the end.
struct Told<'a> {
    output: &'a Output,
    answer: Vec<Value>,
    well: bool,
}

impl Told<'_> {
    fn tell(&mut self, name: &str, place: &str, found: Result<String>) -> Result<()> {
        let ok = found.is_ok();
        let words = found.unwrap_or_else(|error| error.chain());
        self.well &= ok;
        let record = json!({ "check": name, "place": place, "ok": ok, "words": words });
        if !self.output.json {
            self.output.print(&record, &format!("{} {name:32} {place}: {words}", if ok { "ok  " } else { "FAIL" }))?;
        }
        self.answer.push(record);
        Ok(())
    }
}

impl Doctor {
    async fn look_through(&self, settings: &Settings, output: &Output) -> Result<u8> {
        let store = store::open(&settings.store, &settings.s3).await?;
        let found = integrity::check_store(store.as_ref(), !self.quick).await?;
        let mut text: String =
            found.damaged.iter().map(|damage| format!("{}: {}\n", damage.commit, damage.why)).collect();
        if self.repair {
            for damage in &found.damaged {
                store.delete(&damage.commit).await?;
            }
        }
        text.push_str(&format!("{}: {} artifacts are as they were committed", store.url(), found.sound));
        if found.uncommitted > 0 {
            text.push_str(&format!(", {} were begun and not committed (nobody looks at them)", found.uncommitted));
        }
        text.push_str(&match (found.damaged.len(), self.repair) {
            (0, _) => String::new(),
            (n, true) => format!(", {n} were not: their records are removed, and the next run makes them again"),
            (n, false) => format!(", {n} are not: --repair has the next run make them again"),
        });
        output.print(&json!({ "repaired": self.repair, "found": found }), &text)?;
        Ok(if found.damaged.is_empty() || self.repair { exit::DONE } else { exit::INVALID })
    }
}

async fn check_store(settings: &Settings) -> Result<String> {
    let store = store::open(&settings.store, &settings.s3).await?;
    let key = format!("doctor/{}.txt", std::process::id());
    let words = bytes::Bytes::from_static(b"written by jhalak doctor");
    store.put(&key, words.clone()).await?;
    let read = store.get(&key).await?;
    store.delete(&key).await?;
    if read == words {
        Ok("writes, reads and deletes".into())
    } else {
        Err(Error::transient("read other bytes than were written"))
    }
}

async fn check_queue(settings: &Settings) -> Result<String> {
    let queue = queue::open(&settings.queue, &settings.rabbitmq).await?;
    let mut waiting = Vec::new();
    for kind in queue::WorkKind::ALL {
        waiting.push(format!("{} {}", queue.depth(&queue::Channel::Work(kind)).await?, kind.name()));
    }
    queue.close().await;
    Ok(format!("reached; waiting jobs: {}", waiting.join(", ")))
}

/// How long workers may take to answer a probe: they may have their hands full.
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
    let job = Job { version: MESSAGE_VERSION, id: run.clone(), run: run.clone(), store: store.url(), attempt: 0, task };
    let began = Instant::now();
    let asked = async {
        let mut results = queue.consume(&queue::Channel::Results(run), 1).await?;
        queue.publish(&queue::Channel::Work(kind), job.encode()?).await?;
        let delivery = tokio::time::timeout(PROBE, results.next()).await.map_err(|_| {
            Error::transient(format!(
                "no worker answered within {} s: is one running, with this store?",
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
