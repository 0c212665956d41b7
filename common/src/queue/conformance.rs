//! The conformance suite of queues: checks that run on every implementation.
//!
//! A bench opens connections to one broker. The checks run one after another, and each leaves the
//! broker empty.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::future::{BoxFuture, try_join_all};
use tokio::time::timeout;

use super::interface::{Channel, Deliveries, Delivery, Queue, WorkKind, retry_delays};
use crate::error::{Error, Result};
use crate::settings::QueueSettings;

/// Timeout for events that must happen, long enough for a busy machine.
const SOON: Duration = Duration::from_secs(30);
/// How long to wait for events that must not happen.
const NEVER: Duration = Duration::from_millis(300);
const EXTRACT: Channel = Channel::Work(WorkKind::Extract);
const TRAIN: Channel = Channel::Work(WorkKind::Train);

/// The future of a new connection.
pub type Opening = BoxFuture<'static, Result<Arc<dyn Queue>>>;

/// Opens connections to the queue under test.
pub struct Bench {
    /// Opens another connection to the same broker, which is empty at first.
    pub open: Box<dyn Fn() -> Opening + Send + Sync>,
    /// The settings that `open` uses.
    pub settings: QueueSettings,
}

type Check = fn(&Bench) -> BoxFuture<'_, Result<()>>;

/// Every check with the promise that it verifies.
pub const CHECKS: [(&str, Check); 15] = [
    ("messages of a channel arrive in order", |b| Box::pin(order(b))),
    ("at most `prefetch` deliveries are out", |b| Box::pin(prefetch(b))),
    ("an acknowledged message is gone", |b| Box::pin(ack(b))),
    ("a dropped delivery comes back and is counted", |b| Box::pin(dropped(b))),
    ("a requeued delivery comes back and is not counted", |b| Box::pin(requeued(b))),
    ("a message that is dropped too often goes to quarantine", |b| Box::pin(poison(b))),
    ("a retry arrives on its work channel, and not early", |b| Box::pin(retry(b))),
    ("a delivery states how long it waited, also when it was handed back", |b| Box::pin(waiting(b))),
    ("kinds of work do not mix", |b| Box::pin(kinds(b))),
    ("quarantine keeps its messages, however often they are read", |b| Box::pin(quarantine(b))),
    ("results reach their own run, and nobody without a consumer", |b| Box::pin(results(b))),
    ("many publishers and consumers lose and repeat nothing", |b| Box::pin(crowd(b))),
    ("a large body arrives unchanged", |b| Box::pin(large(b))),
    ("a delivery outlives its consumer", |b| Box::pin(outlives(b))),
    ("close hands back, ends consumers and refuses later calls", |b| Box::pin(close(b))),
];

/// Runs every check and returns their names.
///
/// # Errors
/// Bug with one line for each broken promise.
pub async fn suite(bench: &Bench) -> Result<Vec<&'static str>> {
    let (mut kept, mut broken) = (Vec::new(), Vec::new());
    for (name, check) in CHECKS {
        match timeout(SOON * 4, check(bench)).await {
            Ok(Ok(())) => kept.push(name),
            Ok(Err(error)) => broken.push(format!("{name}: {error}")),
            Err(_) => broken.push(format!("{name}: it hangs")),
        }
        if !broken.is_empty() {
            // Messages left by a failed check would break the next checks.
            break;
        }
    }
    if broken.is_empty() { Ok(kept) } else { Err(Error::bug(broken.join("\n"))) }
}

async fn order(bench: &Bench) -> Result<()> {
    let queue = (bench.open)().await?;
    for n in 0..50 {
        queue.publish(&EXTRACT, body(n)).await?;
    }
    reaches(&*queue, &EXTRACT, 50).await?;
    let mut deliveries = queue.consume(&EXTRACT, 7).await?;
    for n in 0..50 {
        let delivery = arrives(&mut *deliveries).await?;
        same(&delivery, n, 0)?;
        ensure(delivery.ack().await?, "the acknowledgement came too late")?;
    }
    finish(deliveries, &*queue).await
}

async fn waiting(bench: &Bench) -> Result<()> {
    let queue = (bench.open)().await?;
    queue.publish(&EXTRACT, body(1)).await?;
    tokio::time::sleep(Duration::from_millis(2_100)).await;
    let mut deliveries = queue.consume(&EXTRACT, 1).await?;
    let waited = |delivery: &Delivery| delivery.waited.is_some_and(|waited| (1..60).contains(&waited.as_secs()));
    let first = arrives(&mut *deliveries).await?;
    ensure(waited(&first), "the delivery does not state that it waited")?;
    first.requeue().await?;
    let again = arrives(&mut *deliveries).await?;
    ensure(waited(&again), "the wait began anew when the delivery was handed back")?;
    again.ack().await?;
    finish(deliveries, &*queue).await
}

async fn prefetch(bench: &Bench) -> Result<()> {
    let queue = (bench.open)().await?;
    for n in 0..5 {
        queue.publish(&EXTRACT, body(n)).await?;
    }
    let mut deliveries = queue.consume(&EXTRACT, 3).await?;
    let mut out = Vec::new();
    for _ in 0..3 {
        out.push(arrives(&mut *deliveries).await?);
    }
    silent(&mut *deliveries).await?;
    reaches(&*queue, &EXTRACT, 2).await?;
    ensure(out.remove(0).ack().await?, "the acknowledgement came too late")?;
    out.push(arrives(&mut *deliveries).await?);
    silent(&mut *deliveries).await?;
    out.remove(0).ack().await?;
    out.push(arrives(&mut *deliveries).await?);
    for delivery in out {
        delivery.ack().await?;
    }
    finish(deliveries, &*queue).await
}

async fn ack(bench: &Bench) -> Result<()> {
    let queue = (bench.open)().await?;
    queue.publish(&EXTRACT, body(1)).await?;
    let mut deliveries = queue.consume(&EXTRACT, 1).await?;
    arrives(&mut *deliveries).await?.ack().await?;
    silent(&mut *deliveries).await?;
    finish(deliveries, &*queue).await?;
    let again = (bench.open)().await?;
    let mut deliveries = again.consume(&EXTRACT, 1).await?;
    silent(&mut *deliveries).await?;
    finish(deliveries, &*again).await
}

async fn dropped(bench: &Bench) -> Result<()> {
    let queue = (bench.open)().await?;
    queue.publish(&EXTRACT, body(1)).await?;
    let mut deliveries = queue.consume(&EXTRACT, 1).await?;
    for times in 0..3 {
        let delivery = arrives(&mut *deliveries).await?;
        same(&delivery, 1, times)?;
        drop(delivery);
    }
    let delivery = arrives(&mut *deliveries).await?;
    same(&delivery, 1, 3)?;
    delivery.ack().await?;
    finish(deliveries, &*queue).await
}

async fn requeued(bench: &Bench) -> Result<()> {
    let queue = (bench.open)().await?;
    queue.publish(&EXTRACT, body(1)).await?;
    let mut deliveries = queue.consume(&EXTRACT, 1).await?;
    drop(arrives(&mut *deliveries).await?);
    for _ in 0..2 {
        let delivery = arrives(&mut *deliveries).await?;
        same(&delivery, 1, 1)?;
        delivery.requeue().await?;
    }
    drop(arrives(&mut *deliveries).await?);
    let delivery = arrives(&mut *deliveries).await?;
    same(&delivery, 1, 2)?;
    delivery.ack().await?;
    finish(deliveries, &*queue).await
}

async fn poison(bench: &Bench) -> Result<()> {
    let queue = (bench.open)().await?;
    queue.publish(&EXTRACT, body(66)).await?;
    queue.publish(&EXTRACT, body(1)).await?;
    let mut deliveries = queue.consume(&EXTRACT, 1).await?;
    let mut dropped = 0;
    loop {
        let delivery = arrives(&mut *deliveries).await?;
        if delivery.body == body(1) {
            // The valid message behind it is delivered.
            delivery.ack().await?;
            break;
        }
        dropped += 1;
        ensure(dropped <= bench.settings.delivery_limit + 1, "the poison is delivered for ever")?;
    }
    ensure(
        dropped == bench.settings.delivery_limit + 1,
        format!("the poison was dead-lettered after {dropped} deliveries"),
    )?;
    drop(deliveries);
    let mut deliveries = queue.consume(&Channel::Quarantine, 1).await?;
    let delivery = arrives(&mut *deliveries).await?;
    ensure(delivery.body == body(66), "another message is in quarantine")?;
    ensure(delivery.is_dead_letter, "a dead letter does not say so")?;
    delivery.ack().await?;
    queue.publish(&Channel::Quarantine, body(2)).await?;
    let delivery = arrives(&mut *deliveries).await?;
    ensure(!delivery.is_dead_letter, "a worker's copy is called a dead letter")?;
    delivery.ack().await?;
    finish(deliveries, &*queue).await
}

async fn retry(bench: &Bench) -> Result<()> {
    let queue = (bench.open)().await?;
    let delays = retry_delays(&bench.settings);
    let start = Instant::now();
    let last = delays.len() - 1;
    // The longest delay first: a short one must not wait behind it. A tier beyond the last means
    // the last.
    for tier in (0..=last + 1).rev() {
        queue.publish_later(WorkKind::Extract, tier, body(tier as u32)).await?;
    }
    let mut deliveries = queue.consume(&EXTRACT, 10).await?;
    for nth in 0..=last + 1 {
        let delivery = arrives(&mut *deliveries).await?;
        let tier = (0..=last + 1).find(|&tier| delivery.body == body(tier as u32));
        let tier = tier.ok_or_else(|| Error::bug("a body was changed"))?;
        let (waited, delay) = (start.elapsed(), delays[tier.min(last)]);
        ensure(waited >= delay, format!("tier {tier} arrived after {waited:?} in place of {delay:?}"))?;
        // The last two have the same delay and may come in any order.
        ensure(tier == nth || tier.min(nth) >= last, format!("tier {tier} arrived as number {nth}"))?;
        ensure(delivery.redeliveries == 0, "a retry counts as a redelivery")?;
        delivery.ack().await?;
    }
    silent(&mut *deliveries).await?;
    finish(deliveries, &*queue).await
}

async fn kinds(bench: &Bench) -> Result<()> {
    let queue = (bench.open)().await?;
    queue.publish(&TRAIN, body(1)).await?;
    queue.publish_later(WorkKind::Train, 0, body(2)).await?;
    let mut extract = queue.consume(&EXTRACT, 5).await?;
    let mut train = queue.consume(&TRAIN, 5).await?;
    for n in [1, 2] {
        let delivery = arrives(&mut *train).await?;
        same(&delivery, n, 0)?;
        delivery.ack().await?;
    }
    silent(&mut *extract).await?;
    drop(extract);
    finish(train, &*queue).await
}

async fn quarantine(bench: &Bench) -> Result<()> {
    let queue = (bench.open)().await?;
    queue.publish(&Channel::Quarantine, body(1)).await?;
    let mut deliveries = queue.consume(&Channel::Quarantine, 1).await?;
    for _ in 0..bench.settings.delivery_limit + 2 {
        let delivery = arrives(&mut *deliveries).await?;
        ensure(delivery.body == body(1), "another message is in quarantine")?;
    }
    drop(deliveries);
    reaches(&*queue, &Channel::Quarantine, 1).await?;
    let mut deliveries = queue.consume(&Channel::Quarantine, 1).await?;
    arrives(&mut *deliveries).await?.ack().await?;
    finish(deliveries, &*queue).await
}

async fn results(bench: &Bench) -> Result<()> {
    let queue = (bench.open)().await?;
    let (first, second) = (Channel::Results("run-1".into()), Channel::Results("run-2".into()));
    queue.publish(&first, body(0)).await?;
    ensure(queue.depth(&first).await? == 0, "a result without a consumer was kept")?;
    let mut ones = queue.consume(&first, 5).await?;
    let mut twos = queue.consume(&second, 5).await?;
    queue.publish(&first, body(1)).await?;
    queue.publish(&second, body(2)).await?;
    for (deliveries, n) in [(&mut ones, 1), (&mut twos, 2)] {
        let delivery = arrives(&mut **deliveries).await?;
        same(&delivery, n, 0)?;
        delivery.ack().await?;
        silent(&mut **deliveries).await?;
    }
    drop(twos);
    finish(ones, &*queue).await?;
    let queue = (bench.open)().await?;
    queue.publish(&first, body(3)).await?;
    let mut ones = queue.consume(&first, 5).await?;
    silent(&mut *ones).await?;
    finish(ones, &*queue).await
}

async fn crowd(bench: &Bench) -> Result<()> {
    const PUBLISHERS: u32 = 8;
    const EACH: u32 = 50;
    let queues = [(bench.open)().await?, (bench.open)().await?];
    let publishing = (0..PUBLISHERS).map(|p| {
        let queue = queues[p as usize % 2].clone();
        async move {
            try_join_all((0..EACH).map(|n| queue.publish(&EXTRACT, body(p * EACH + n)))).await?;
            Ok(BTreeMap::new())
        }
    });
    let consuming = (0..4).map(|c| {
        let queue = queues[c % 2].clone();
        async move {
            let mut seen = BTreeMap::<Bytes, u32>::new();
            let mut deliveries = queue.consume(&EXTRACT, 1 + c as u16 * 10).await?;
            // Ends when nothing has arrived for a while after everything was published: the sums
            // are checked below.
            while let Ok(next) = timeout(NEVER * 10, deliveries.next()).await {
                let delivery = next?.ok_or_else(|| Error::bug("the queue was closed"))?;
                *seen.entry(delivery.body.clone()).or_default() += 1;
                ensure(delivery.ack().await?, "the acknowledgement came too late")?;
            }
            Ok(seen)
        }
    });
    let work: Vec<BoxFuture<'_, Result<BTreeMap<Bytes, u32>>>> =
        publishing.map(boxed).chain(consuming.map(boxed)).collect();
    let mut seen = BTreeMap::<Bytes, u32>::new();
    for part in try_join_all(work).await? {
        for (body, times) in part {
            *seen.entry(body).or_default() += times;
        }
    }
    let all = (PUBLISHERS * EACH) as usize;
    ensure(seen.len() == all, format!("{} of {all} messages arrived", seen.len()))?;
    ensure(seen.values().all(|&times| times == 1), "a message arrived twice")?;
    ensure(queues[0].depth(&EXTRACT).await? == 0, "messages were left")?;
    for queue in queues {
        queue.close().await;
    }
    Ok(())
}

async fn large(bench: &Bench) -> Result<()> {
    let queue = (bench.open)().await?;
    let large: Bytes = (0..200_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    queue.publish(&EXTRACT, large.clone()).await?;
    queue.publish(&EXTRACT, Bytes::new()).await?;
    let mut deliveries = queue.consume(&EXTRACT, 2).await?;
    for expected in [large, Bytes::new()] {
        let delivery = arrives(&mut *deliveries).await?;
        ensure(delivery.body == expected, format!("a body of {} bytes was changed", expected.len()))?;
        delivery.ack().await?;
    }
    finish(deliveries, &*queue).await
}

async fn outlives(bench: &Bench) -> Result<()> {
    let queue = (bench.open)().await?;
    for n in 0..3 {
        queue.publish(&EXTRACT, body(n)).await?;
    }
    let mut deliveries = queue.consume(&EXTRACT, 3).await?;
    let first = arrives(&mut *deliveries).await?;
    drop(deliveries);
    // Prefetched messages come back uncounted; handed-out deliveries are still out.
    reaches(&*queue, &EXTRACT, 2).await?;
    ensure(first.ack().await?, "a delivery was lost with its consumer")?;
    let mut deliveries = queue.consume(&EXTRACT, 3).await?;
    let mut rest = Vec::new();
    for _ in 0..2 {
        let delivery = arrives(&mut *deliveries).await?;
        ensure(delivery.redeliveries == 0, "what was never handed out was counted")?;
        rest.push(delivery.body.clone());
        delivery.ack().await?;
    }
    rest.sort();
    ensure(rest == [body(1), body(2)], "other messages came back")?;
    finish(deliveries, &*queue).await
}

async fn close(bench: &Bench) -> Result<()> {
    let (stays, leaves) = ((bench.open)().await?, (bench.open)().await?);
    for n in 0..3 {
        stays.publish(&EXTRACT, body(n)).await?;
    }
    let mut deliveries = leaves.consume(&EXTRACT, 2).await?;
    let (first, second) = (arrives(&mut *deliveries).await?, arrives(&mut *deliveries).await?);
    first.requeue().await?;
    leaves.close().await;
    ensure(!second.ack().await?, "a message was acknowledged after the close")?;
    let end = timeout(SOON, deliveries.next()).await.map_err(|_| Error::bug("a consumer waits on a closed queue"))?;
    ensure(end?.is_none(), "a closed queue delivered")?;
    ensure(leaves.publish(&EXTRACT, body(9)).await.is_err(), "a closed queue took a message")?;
    ensure(leaves.consume(&EXTRACT, 1).await.is_err(), "a closed queue took a consumer")?;
    reaches(&*stays, &EXTRACT, 3).await?;
    let mut deliveries = stays.consume(&EXTRACT, 3).await?;
    let mut counted = BTreeMap::new();
    for _ in 0..3 {
        let delivery = arrives(&mut *deliveries).await?;
        counted.insert(delivery.body.clone(), delivery.redeliveries);
        delivery.ack().await?;
    }
    let expected = BTreeMap::from([(body(0), 0), (body(1), 1), (body(2), 0)]);
    ensure(counted == expected, format!("after the close came {counted:?} in place of {expected:?}"))?;
    finish(deliveries, &*stays).await
}

fn boxed<'a, T>(future: impl Future<Output = T> + Send + 'a) -> BoxFuture<'a, T> {
    Box::pin(future)
}

fn body(n: u32) -> Bytes {
    Bytes::from(format!("{{\"message\":{n:06}}}"))
}

fn ensure(kept: bool, otherwise: impl Into<String>) -> Result<()> {
    if kept { Ok(()) } else { Err(Error::bug(otherwise)) }
}

fn same(delivery: &Delivery, n: u32, redeliveries: u32) -> Result<()> {
    ensure(delivery.body == body(n), format!("expected message {n}, got {:?}", delivery.body))?;
    ensure(
        delivery.redeliveries == redeliveries,
        format!("expected {redeliveries} redeliveries, got {}", delivery.redeliveries),
    )
}

async fn arrives(deliveries: &mut dyn Deliveries) -> Result<Delivery> {
    let next = timeout(SOON, deliveries.next()).await.map_err(|_| Error::bug("no message arrived"))?;
    next?.ok_or_else(|| Error::bug("the queue was closed"))
}

async fn silent(deliveries: &mut dyn Deliveries) -> Result<()> {
    match timeout(NEVER, deliveries.next()).await {
        Err(_) => Ok(()),
        Ok(next) => Err(Error::bug(format!("got {:?} where nothing should arrive", next?))),
    }
}

/// Waits until `expected` messages wait in `channel`.
async fn reaches(queue: &dyn Queue, channel: &Channel, expected: u64) -> Result<()> {
    let start = Instant::now();
    loop {
        let depth = queue.depth(channel).await?;
        if depth == expected {
            return Ok(());
        }
        ensure(start.elapsed() < SOON, format!("{depth} messages wait in {channel}, expected {expected}"))?;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Ends a check: no message may be left.
async fn finish(deliveries: Box<dyn Deliveries>, queue: &dyn Queue) -> Result<()> {
    drop(deliveries);
    for channel in [EXTRACT, TRAIN, Channel::Quarantine] {
        reaches(queue, &channel, 0).await?;
    }
    queue.close().await;
    Ok(())
}
