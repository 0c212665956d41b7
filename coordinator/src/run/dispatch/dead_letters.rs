//! Reads the dead letters: jobs that the broker dead-lettered after too many deliveries
//! without an end. Each took its worker down, or its connection; sent again, it would take down the
//! next.

use std::collections::BTreeMap;
use std::time::Duration;

use jhalak_common::queue::{Channel, Delivery, Queue};
use jhalak_common::run::job::{Job, Outcome, QuarantineRecord};
use jhalak_common::run::{self, quarantine_key};
use jhalak_common::store::ObjectStore;
use jhalak_common::{Error, Result};
use serde_json::Value;

/// The most dead_letters that are read at once. Workers put a copy of each quarantined message
/// there too.
const MAX_LETTERS: u64 = 10_000;

/// No further dead_letter arrives after this long without one.
const SILENCE: Duration = Duration::from_secs(2);

/// Quarantines those of the `lost` jobs of a run that are dead letters: writes their records, then
/// removes the dead_letters. Returns the jobs with their end states.
///
/// # Errors
/// Those of the queue and of the store. What was written stays; the call can be repeated.
pub(super) async fn quarantine(
    queue: &dyn Queue,
    store: &dyn ObjectStore,
    run: &str,
    lost: &BTreeMap<String, usize>,
) -> Result<Vec<(String, Outcome)>> {
    let depth = queue.depth(&Channel::Quarantine).await?.min(MAX_LETTERS);
    if depth == 0 {
        return Ok(Vec::new());
    }
    let prefetch = u16::try_from(depth).unwrap_or(u16::MAX);
    let mut deliveries = queue.consume(&Channel::Quarantine, prefetch).await?;
    let (mut ours, mut others) = (Vec::new(), Vec::new());
    for _ in 0..depth {
        let Ok(next) = tokio::time::timeout(SILENCE, deliveries.next()).await else { break };
        let Some(dead_letter) = next? else { break };
        match job_of(&dead_letter).filter(|job| job.run == run && lost.contains_key(&job.id)) {
            Some(job) => ours.push((dead_letter, job)),
            None => others.push(dead_letter),
        }
    }
    drop(deliveries);
    for dead_letter in others {
        dead_letter.requeue().await?;
    }
    let mut ended = Vec::new();
    for (dead_letter, job) in ours {
        let record = record(&job, &dead_letter.body)?;
        run::put_json(store, &quarantine_key(run, &job.id), &record).await?;
        tracing::error!(job = job.id, reason = record.reason, "job quarantined: it is a dead letter");
        dead_letter.ack().await?;
        ended.push((job.id, Outcome::Quarantined { error: record.error, reason: record.reason }));
    }
    Ok(ended)
}

fn job_of(dead_letter: &Delivery) -> Option<Job> {
    dead_letter.is_dead_letter.then(|| Job::decode(&dead_letter.body).ok()).flatten()
}

fn record(job: &Job, body: &[u8]) -> Result<QuarantineRecord> {
    let error = Error::bug(
        "the broker dead-lettered the job: its worker ended or lost its connection at each delivery that rabbitmq.delivery_limit \
         allows. Look for the end of that worker (memory, a crash), then `jhalak retry`",
    );
    let message: Value =
        serde_json::from_slice(body).map_err(|e| Error::bug("a job that was read is not JSON").with_source(e))?;
    let attempts = job.attempt.saturating_add(1);
    Ok(QuarantineRecord::new(&job.run, &job.id, job.task.about(), &error, attempts, message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use jhalak_common::artifact::Subject;
    use jhalak_common::hash;
    use jhalak_common::queue::WorkKind;
    use jhalak_common::queue::memory::MemoryQueue;
    use jhalak_common::run::job::{ProbeTask, Task};
    use jhalak_common::settings::QueueSettings;
    use jhalak_common::store::local::LocalStore;

    fn job(id: &str, run: &str) -> Job {
        let subject = Subject { id: id.into(), content: hash::of_bytes(id.as_bytes()) };
        Job::new(id, run, "here", Task::Probe(ProbeTask { workers: WorkKind::Train, subject, recipe: None }))
    }

    #[tokio::test]
    async fn a_lost_job_that_the_broker_gave_up_is_quarantined_and_other_letters_stay() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = LocalStore::open(folder.path()).expect("a folder");
        let settings = QueueSettings { delivery_limit: 1, ..QueueSettings::default() };
        let queue = MemoryQueue::new(&settings);
        // Its worker ends at each delivery.
        for poison in [job("poison", "films-1"), job("poison", "films-2")] {
            queue.publish(&Channel::Work(WorkKind::Train), poison.encode().expect("JSON")).await.expect("open");
        }
        let mut deliveries = queue.consume(&Channel::Work(WorkKind::Train), 1).await.expect("open");
        while queue.depth(&Channel::Quarantine).await.expect("open") < 2 {
            drop(deliveries.next().await.expect("open"));
        }
        // A worker has quarantined this one, and an operator has sent it again since.
        let copy = job("copy", "films-1").encode().expect("JSON");
        queue.publish(&Channel::Quarantine, copy).await.expect("open");
        let lost = BTreeMap::from([("poison".to_string(), 0), ("copy".to_string(), 1)]);
        let ended = quarantine(&queue, &store, "films-1", &lost).await.expect("quarantined");
        let [(id, Outcome::Quarantined { reason, .. })] = &ended[..] else { panic!("{ended:?}") };
        assert!(id == "poison" && reason.contains("rabbitmq.delivery_limit"), "{reason}");
        let record: Option<QuarantineRecord> =
            run::get_json(&store, &quarantine_key("films-1", "poison")).await.expect("readable");
        assert_eq!(record.and_then(|record| record.decode_job()), Some(job("poison", "films-1")));
        assert_eq!(queue.depth(&Channel::Quarantine).await.expect("open"), 2, "the other run's, and the copy");
        assert!(quarantine(&queue, &store, "films-1", &lost).await.expect("nothing to do").is_empty());
    }
}
