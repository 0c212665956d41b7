//! The checks of store, broker, scratch folder and clock.

use std::time::{Duration, Instant};

use jhalak_common::queue::{self, Channel, Queue};
use jhalak_common::settings::Settings;
use jhalak_common::store::{self, ObjectStore, PutOutcome};
use jhalak_common::{Error, Result};
use rustix::fs::statvfs;

/// How long the broker may take to confirm a message.
const CONFIRM: Duration = Duration::from_secs(10);

/// How often it is asked whether the broker blocks.
const LOOK: Duration = Duration::from_millis(50);

/// Of two clocks that are off by more, each looks to the other like that of a process that has ended.
/// (S3 refuses requests of clocks that are off by 15 minutes.)
const MAX_SKEW_S: i64 = 60;

/// Writes, reads and deletes an object, and creates one that exists: a store without conditional
/// writes would let two workers commit one artifact.
pub(super) async fn store(settings: &Settings) -> Result<String> {
    let store = store::open(&settings.store, &settings.s3).await?;
    let key = format!("doctor/{}-{}.txt", std::process::id(), jiff::Timestamp::now().as_nanosecond());
    let checked = write_and_read(store.as_ref(), &key).await;
    let deleted = store.delete(&key).await;
    checked.and(deleted)?;
    Ok("write, conditional write, read and delete work".into())
}

async fn write_and_read(store: &dyn ObjectStore, key: &str) -> Result<()> {
    let (first, second) = (bytes::Bytes::from_static(b"written by jhalak doctor"), bytes::Bytes::from_static(b"again"));
    if store.put_if_absent(key, first.clone()).await? != PutOutcome::Created {
        return Err(Error::transient(format!("{key} existed before it was written: try again")));
    }
    if store.put_if_absent(key, second).await? != PutOutcome::AlreadyExists || store.get(key).await? != first {
        return Err(Error::invalid(
            "it ignores If-None-Match, so that two workers could commit one artifact: use a store with conditional writes",
        ));
    }
    store.put(key, first.clone()).await?;
    match store.get(key).await? == first {
        true => Ok(()),
        false => Err(Error::transient("the bytes read differ from the bytes written")),
    }
}

/// Asks the broker for its queues, and publishes a message that nobody takes: a broker that is short
/// of memory or disk states its reason then.
pub(super) async fn queue(settings: &Settings) -> Result<String> {
    let queue = queue::open(&settings.queue, &settings.rabbitmq).await?;
    let asked = ask(queue.as_ref(), settings).await;
    queue.close().await;
    asked
}

async fn ask(queue: &dyn Queue, settings: &Settings) -> Result<String> {
    let probe = Channel::Results(format!("doctor-{}", std::process::id()));
    let began = Instant::now();
    tokio::select! {
        sent = queue.publish(&probe, "{}".into()) => sent?,
        reason = blocked(queue) => return Err(Error::transient(match reason {
            Some(reason) => format!("the broker takes no messages: {reason}; make room on its machine"),
            None => format!("the broker did not confirm a message within {} s", CONFIRM.as_secs()),
        })),
    }
    let confirmed = began.elapsed().as_millis();
    let mut waiting = Vec::new();
    for kind in queue::WorkKind::ALL {
        let queue::Backlog { ready, delayed, consumers } = queue.backlog(kind).await?;
        waiting.push(format!("{} {} jobs for {consumers} workers", ready + delayed, kind.name()));
    }
    let dead_letters = queue.depth(&Channel::Quarantine).await?;
    let mut words = Vec::new();
    if settings.queue != "memory:" {
        words.push(queue.product().await.unwrap_or_else(|| "version not shown over TLS".into()));
        words.push(format!("confirms in {confirmed} ms"));
        words.push(format!(
            "its consumer_timeout is unknown, since no protocol shows it, and must be at least {} s \
             (rabbitmq.consumer_timeout_ms): read it there with `rabbitmqctl eval 'application:get_env(rabbit, \
             consumer_timeout).'`",
            settings.rabbitmq.consumer_timeout_ms / 1_000
        ));
    }
    words.push(format!("waiting: {}; dead letters: {dead_letters}", waiting.join(", ")));
    Ok(words.join("; "))
}

/// Waits until the broker blocks, and returns its reason; None when it takes too long to answer.
async fn blocked(queue: &dyn Queue) -> Option<String> {
    let began = Instant::now();
    while began.elapsed() < CONFIRM {
        if let Some(reason) = queue.blocked() {
            return Some(reason);
        }
        tokio::time::sleep(LOOK).await;
    }
    None
}

/// Writes to the scratch folder, and compares the room there with what workers may use.
pub(super) fn scratch(settings: &Settings) -> Result<String> {
    let folder = &settings.worker.scratch;
    let named = |e: std::io::Error| {
        Error::from(e).context(format!("the scratch folder {} (setting worker.scratch)", folder.display()))
    };
    std::fs::create_dir_all(folder).map_err(named)?;
    tempfile::tempfile_in(folder).map_err(named)?;
    let room = statvfs(folder).map_err(|e| named(e.into()))?;
    let free_mb = room.f_bavail.saturating_mul(room.f_frsize) >> 20;
    let wanted_mb = u64::from(settings.worker.scratch_mb);
    if free_mb < wanted_mb {
        return Err(Error::invalid(format!(
            "{free_mb} MB are free and worker.scratch_mb lets a worker use {wanted_mb}: make room, or lower it"
        )));
    }
    Ok(format!("{free_mb} MB are free; a worker uses up to {wanted_mb}"))
}

/// Compares this machine's clock with that of the store: a file's time, or the Date that S3 answers
/// with.
pub(super) async fn clock(settings: &Settings) -> Result<String> {
    let store = store::open(&settings.store, &settings.s3).await?;
    let before = jiff::Timestamp::now();
    let Some(theirs) = store.time().await? else {
        return Ok(format!("{before:.0}; the store shows no time of its own"));
    };
    let off_s = theirs.as_second() - before.as_second();
    match off_s.abs() > MAX_SKEW_S {
        true => Err(Error::invalid(format!(
            "this machine's clock is {off_s} s from that of the store ({before:.0}): set it; processes and requests are judged by their times"
        ))),
        false => Ok(format!("{before:.0}, {} s from that of the store", off_s.abs())),
    }
}
