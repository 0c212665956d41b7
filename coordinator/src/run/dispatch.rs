//! One stage of a run: sends its jobs, a window of them at a time, and waits until each has its end state.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures::{StreamExt, TryStreamExt, stream};
use jhalak_common::queue::{Channel, Deliveries};
use jhalak_common::run::job::{JobResult, Outcome};
use jhalak_common::run::{self, RUN_VERSION, RunState, Stage, run_key};
use jhalak_common::{Error, Result};

use crate::console::progress::Bar;
use crate::plan::Plan;
use crate::run::jobs::Jobs;
use crate::run::missing;
use crate::run::stages::Coordinator;

/// Without a result for so long, the store is looked at again; doubled each time nothing is found, up to [`LOOK_AT_MOST`].
const LOOK_AGAIN: Duration = Duration::from_secs(15);
const LOOK_AT_MOST: Duration = Duration::from_secs(120);

/// Without any progress for so long, and with nothing on the queue, jobs are sent again: their messages were lost, and the broker did not show it.
/// Longer than any job may take.
const SEND_AGAIN: Duration = Duration::from_secs(1_800);

/// A job that a worker dropped for a cancellation that nobody knows of here is sent again after so long.
const DROPPED: Duration = Duration::from_secs(10);

/// How often the state is written.
const WRITE_STATE: Duration = Duration::from_secs(2);

/// Messages that are published side by side.
const PUBLISH: usize = 256;

/// After a cancellation, results of jobs that were running are waited for until none has come for so long.
const LAST_RESULTS: Duration = Duration::from_secs(4);

/// How a stage ended.
pub(crate) enum Ended {
    /// Every job has its end state; how many artifacts were made.
    Over(usize),
    /// The run was cancelled.
    Cancelled,
    /// Another coordinator leads.
    Lost,
}

/// The stage as it runs.
struct Running<'a> {
    coordinator: &'a Coordinator,
    plan: &'a Plan,
    stage: Stage,
    jobs: &'a Jobs<'a>,
    bar: Bar,
    /// Jobs of the stage, with those that were done or given up before.
    all: usize,
    before: usize,
    since: jiff::Timestamp,
    /// The next job to be sent.
    next: usize,
    /// Jobs that were sent and have no end state yet, by id.
    pending: BTreeMap<String, usize>,
    made: usize,
    quarantined: usize,
    /// Jobs that workers dropped, and when that was told.
    dropped: Vec<(Instant, usize)>,
}

impl Coordinator {
    /// Sends `jobs` and waits until each has its end state. `all` counts the jobs of the stage, `given_up` those that were quarantined before.
    pub(crate) async fn stage(
        &self,
        plan: &Plan,
        stage: Stage,
        jobs: &Jobs<'_>,
        all: usize,
        given_up: usize,
    ) -> Result<Ended> {
        let before = all.saturating_sub(jobs.len());
        let since = jiff::Timestamp::now();
        let state = RunState {
            version: RUN_VERSION,
            stage,
            jobs: all,
            committed: before.saturating_sub(given_up),
            quarantined: given_up,
            cancelled: 0,
            before,
            since: Some(since),
            updated: since,
        };
        self.write_state(plan, &state).await?;
        if jobs.is_empty() {
            return Ok(Ended::Over(0));
        }
        let mut results = self.queue.consume(&Channel::Results(plan.spec.id.clone()), 256).await?;
        let bar = self.progress.stage(stage.name(), all, before);
        let mut running = Running {
            coordinator: self,
            plan,
            stage,
            jobs,
            bar,
            all,
            before,
            since,
            next: 0,
            pending: BTreeMap::new(),
            made: 0,
            quarantined: given_up,
            dropped: Vec::new(),
        };
        let ended = running.go(&mut *results).await?;
        running.bar.end();
        Ok(ended)
    }

    pub(crate) async fn write_state(&self, plan: &Plan, state: &RunState) -> Result<()> {
        run::put_json(self.store.as_ref(), &run_key(&plan.spec.id, "state.json"), state).await
    }
}

impl Running<'_> {
    async fn go(&mut self, results: &mut dyn Deliveries) -> Result<Ended> {
        let mut patience = LOOK_AGAIN;
        let (mut last_result, mut last_progress, mut last_state) = (Instant::now(), Instant::now(), Instant::now());
        let mut told = false;
        // When jobs whose messages are lost are sent again.
        let mut again: Option<Instant> = None;
        loop {
            self.fill_window().await?;
            if self.pending.is_empty() {
                self.write_state(0).await?;
                return Ok(Ended::Over(self.made));
            }
            let halt = &self.coordinator.halt;
            let next = tokio::select! {
                biased;
                () = halt.stop.cancelled() => return Err(Error::cancelled(format!(
                    "asked to stop; start the same command again to go on with the run {}", self.plan.spec.id
                ))),
                () = halt.lost.cancelled() => return Ok(Ended::Lost),
                () = halt.cancelled.cancelled() => return self.wind_up(results).await,
                next = tokio::time::timeout(WRITE_STATE, results.next()) => next,
            };
            let ended = match next {
                Ok(delivery) => {
                    last_result = Instant::now();
                    patience = LOOK_AGAIN;
                    let delivery = delivery?.ok_or_else(|| Error::transient("the queue was closed"))?;
                    let result = read_result(&delivery.body);
                    delivery.ack().await?;
                    result.into_iter().collect()
                }
                Err(_) if last_result.elapsed() >= patience => {
                    last_result = Instant::now();
                    // Of those that a worker has taken, none waits.
                    if !told && self.made == 0 && self.waiting().await >= self.pending.len() as u64 {
                        told = true;
                        let words = "jobs wait on the queue and nobody takes any: is a `jhalak-worker` running?";
                        self.coordinator.progress.say(words);
                    }
                    let looked = missing::end_states(self.store(), self.plan, self.jobs, &self.pending).await;
                    let found = for_now(looked, "the store cannot be looked at now")?.unwrap_or_default();
                    patience = if found.is_empty() { (patience * 2).min(LOOK_AT_MOST) } else { LOOK_AGAIN };
                    found
                }
                Err(_) => Vec::new(),
            };
            for (id, outcome) in ended {
                if self.settle(&id, outcome) {
                    last_progress = Instant::now();
                }
            }
            if last_state.elapsed() >= WRITE_STATE {
                // For people: what drives the run is what the store holds.
                for_now(self.write_state(0).await, "the state of the run cannot be written now")?;
                last_state = Instant::now();
                let (again, later): (Vec<_>, Vec<_>) =
                    self.dropped.drain(..).partition(|(at, _)| at.elapsed() > DROPPED);
                self.dropped = later;
                self.send(again.into_iter().map(|(_, i)| i).collect()).await?;
            }
            if results.were_forgotten() {
                self.coordinator.progress.say("the broker has lost its data: what is missing is sent again");
                again = Some(Instant::now());
            }
            if last_progress.elapsed() > SEND_AGAIN && self.waiting().await == 0 {
                tracing::warn!(
                    jobs = self.pending.len(),
                    "no progress and nothing on the queue: sending what is missing again"
                );
                again = Some(Instant::now());
            }
            if again.is_some_and(|at| at <= Instant::now()) {
                let sent = for_now(self.send_again().await, "lost jobs cannot be sent again now")?;
                again = sent.is_none().then(|| Instant::now() + LOOK_AGAIN);
                last_progress = Instant::now();
            }
        }
    }

    /// Sends again every job whose message may be lost: those without an end state, also in the store.
    async fn send_again(&mut self) -> Result<()> {
        for (id, outcome) in missing::end_states(self.store(), self.plan, self.jobs, &self.pending).await? {
            self.settle(&id, outcome);
        }
        self.send(self.pending.values().copied().collect()).await
    }

    async fn fill_window(&mut self) -> Result<()> {
        let window = self.coordinator.window;
        // Refilled in batches: a message alone waits for its confirmation.
        if self.next == self.jobs.len()
            || (self.pending.len() + PUBLISH.min(window) > window && !self.pending.is_empty())
        {
            return Ok(());
        }
        while self.pending.len() < window && self.next < self.jobs.len() {
            let last = (self.next + (window - self.pending.len()).min(2_000)).min(self.jobs.len());
            let batch: Vec<usize> = (self.next..last).collect();
            self.send(batch.clone()).await?;
            self.pending.extend(batch.into_iter().map(|i| (self.jobs.id(i), i)));
            self.next = last;
            jhalak_common::process::fault_point::reach("coordinator-published");
        }
        Ok(())
    }

    async fn send(&self, batch: Vec<usize>) -> Result<()> {
        let channel = Channel::Work(self.jobs.kind());
        let queue = &self.coordinator.queue;
        let (channel, jobs) = (&channel, self.jobs);
        stream::iter(batch)
            .map(Ok::<_, Error>)
            .try_for_each_concurrent(PUBLISH, |i| async move { queue.publish(channel, jobs.build(i).encode()?).await })
            .await
    }

    /// Notes the end state of a job. False where it had one already or is none of this stage's.
    fn settle(&mut self, id: &str, outcome: Outcome) -> bool {
        let Some(i) = self.pending.remove(id) else { return false };
        match outcome {
            Outcome::Committed { made, .. } => {
                self.made += made;
                self.bar.step(&self.jobs.about(i));
            }
            Outcome::Quarantined { reason, .. } => {
                self.quarantined += 1;
                self.bar.quarantined(&self.jobs.about(i), &reason);
            }
            // It counts with those that were never started.
            Outcome::Cancelled => {
                self.dropped.push((Instant::now(), i));
                self.pending.insert(id.to_string(), i);
            }
        }
        true
    }

    /// The run was cancelled: takes what still ends, then writes down what was left.
    async fn wind_up(&mut self, results: &mut dyn Deliveries) -> Result<Ended> {
        let mut cancelled = std::collections::BTreeSet::new();
        while cancelled.len() < self.pending.len() {
            let Ok(delivery) = tokio::time::timeout(LAST_RESULTS, results.next()).await else { break };
            let Some(delivery) = delivery? else { break };
            if let Some((id, outcome)) = read_result(&delivery.body) {
                if outcome == Outcome::Cancelled {
                    cancelled.insert(id.clone());
                }
                self.settle(&id, outcome);
            }
            delivery.ack().await?;
        }
        for (id, outcome) in missing::end_states(self.store(), self.plan, self.jobs, &self.pending).await? {
            self.settle(&id, outcome);
        }
        let left = self.pending.len() + self.jobs.len() - self.next;
        self.stage = Stage::Cancelled;
        self.write_state(left).await?;
        Ok(Ended::Cancelled)
    }

    async fn write_state(&self, cancelled: usize) -> Result<()> {
        let open = self.pending.len() + self.jobs.len() - self.next;
        let state = RunState {
            version: RUN_VERSION,
            stage: self.stage,
            jobs: self.all,
            committed: self.all.saturating_sub(open + self.quarantined),
            quarantined: self.quarantined,
            cancelled,
            before: self.before,
            since: Some(self.since),
            updated: jiff::Timestamp::now(),
        };
        self.coordinator.write_state(self.plan, &state).await
    }

    /// Jobs of this kind on the queue; 0 where the broker cannot tell.
    async fn waiting(&self) -> u64 {
        self.coordinator.queue.depth(&Channel::Work(self.jobs.kind())).await.unwrap_or(0)
    }

    fn store(&self) -> &dyn jhalak_common::store::ObjectStore {
        self.coordinator.store.as_ref()
    }
}

/// None, and a warning, for what may pass by itself.
fn for_now<T>(outcome: Result<T>, what: &str) -> Result<Option<T>> {
    match outcome {
        Err(error) if error.kind().is_transient() => {
            tracing::warn!(error = %error.chain(), "{what}");
            Ok(None)
        }
        other => other.map(Some),
    }
}

fn read_result(body: &[u8]) -> Option<(String, Outcome)> {
    match JobResult::decode(body) {
        Ok(result) => Some((result.job, result.outcome)),
        Err(error) => {
            tracing::warn!(error = %error.chain(), "a result was passed over: the store will tell");
            None
        }
    }
}
