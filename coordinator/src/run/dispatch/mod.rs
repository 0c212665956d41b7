//! One stage of a run: sends its jobs, a window of them at a time, and waits until each has its end
//! state.

mod dead_letters;
mod lost_jobs;
mod observer;
mod sending;
mod settling;
mod state;
#[cfg(test)]
mod tests;
mod window;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use jhalak_common::queue::{Channel, Deliveries};
use jhalak_common::run::{RunState, Stage};
use jhalak_common::{Error, Result};

use crate::plan::Plan;
use crate::run::context::{Ended, RunContext};
use crate::run::end_states;
use crate::run::gauges::{self, JobCounts};
use crate::run::jobs::Jobs;
use lost_jobs::LostJobs;
use observer::Observer;
use settling::read_result;
use state::Dispatch;
use window::Window;

/// Without a result for this long, the store is checked for end states; doubled after each check
/// that finds none, up to [`MAX_CHECK_STORE_AFTER`].
const CHECK_STORE_AFTER: Duration = Duration::from_secs(15);
const MAX_CHECK_STORE_AFTER: Duration = Duration::from_secs(120);

/// How long results are awaited before everything else is looked after.
const TICK: Duration = Duration::from_millis(500);

/// While the broker takes no messages, that is reported this often.
const BLOCKED_INTERVAL: Duration = Duration::from_secs(60);

/// How often the state record is written.
const STATE_INTERVAL: Duration = Duration::from_secs(2);

/// Maximum number of results that are delivered before they are acknowledged.
const RESULTS_PREFETCH: u16 = 256;

/// The jobs of a stage, and those that need not be sent.
pub(crate) struct StageJobs<'a> {
    /// Which stage.
    pub stage: Stage,
    /// The jobs to send.
    pub jobs: &'a Jobs<'a>,
    /// The number of jobs of the stage, done or not.
    pub all: usize,
    /// The number of jobs that were quarantined before.
    pub quarantined: usize,
}

/// Sends the jobs of a stage and waits until each has its end state. Returns the number of
/// artifacts made.
pub(crate) async fn run(context: &RunContext, plan: &Plan, work: StageJobs<'_>) -> Result<Ended<usize>> {
    let StageJobs { stage, jobs, all, quarantined } = work;
    let before = all.saturating_sub(jobs.len());
    let since = jiff::Timestamp::now();
    let committed = before.saturating_sub(quarantined);
    let state = RunState {
        jobs: all,
        committed,
        quarantined,
        before,
        progressed: Some(since),
        since: Some(since),
        updated: since,
        ..RunState::of(stage)
    };
    context.write_state(&plan.spec.id, &state).await?;
    if jobs.is_empty() {
        gauges::note_jobs(&plan.spec.id, stage, JobCounts { waiting: 0, sent: 0, committed, quarantined });
        return Ok(Ended::Completed(0));
    }
    gauges::forget_backlog();
    let results = Channel::Results(plan.spec.id.clone());
    let mut results = context.queue.consume(&results, RESULTS_PREFETCH).await?;
    let bar = context.progress.stage(stage.name(), all, before);
    let mut dispatch = Dispatch {
        context,
        plan,
        stage,
        jobs,
        bar,
        all,
        before,
        since,
        progressed: since,
        window: Window::new(context.window, context.priority),
        lost: LostJobs::new(context.longest_retry),
        held: BTreeSet::new(),
        unable: BTreeSet::new(),
        backlog: None,
        may_send: false,
        next: 0,
        pending: BTreeMap::new(),
        made: 0,
        quarantined,
        costs: ((0..jobs.len()).map(|i| jobs.cost(i)).sum(), 0),
        dropped: Vec::new(),
    };
    let (store, queue) = (context.store.clone(), context.queue.clone());
    let observer = Observer::start(store, queue, plan.spec.id.clone(), jobs.kind()).await;
    let began = Instant::now();
    let ended = dispatch.run(&mut *results, observer).await?;
    context.timings.stage(stage, began.elapsed().as_secs_f64());
    dispatch.bar.end();
    Ok(ended)
}

impl Dispatch<'_> {
    async fn run(&mut self, results: &mut dyn Deliveries, mut observer: Observer) -> Result<Ended<usize>> {
        let mut check_after = CHECK_STORE_AFTER;
        let (mut last_result, mut last_state) = (Instant::now(), Instant::now());
        let mut warned = false;
        let mut reported_blocked: Option<Instant> = None;
        let mut resend_at: Option<Instant> = None;
        loop {
            if let Some(observation) = observer.news() {
                ignore_transient(self.take_in(&observation).await, "cannot send lost jobs again")?;
            }
            self.fill_window().await?;
            if self.pending.is_empty() && self.next == self.jobs.len() {
                self.write_state(0).await?;
                return Ok(Ended::Completed(self.made));
            }
            let signals = &self.context.signals;
            let next = tokio::select! {
                biased;
                () = signals.stop.cancelled() => {
                    // So that `status` shows what is done.
                    ignore_transient(self.write_state(0).await, "cannot write the state of the run")?;
                    return Err(Error::cancelled(format!(
                        "stop requested; repeat the command to resume the run {}", self.plan.spec.id
                    )));
                }
                () = signals.superseded.cancelled() => return Ok(Ended::Superseded),
                () = signals.cancelled.cancelled() => return self.drain(results).await,
                next = tokio::time::timeout(TICK, results.next()) => next,
            };
            let ended = match next {
                Ok(delivery) => {
                    last_result = Instant::now();
                    check_after = CHECK_STORE_AFTER;
                    let delivery = delivery?.ok_or_else(|| Error::transient("the queue was closed"))?;
                    let result = read_result(&delivery.body);
                    delivery.ack().await?;
                    self.window.note_result();
                    result.into_iter().collect()
                }
                Err(_) if last_result.elapsed() >= check_after => {
                    last_result = Instant::now();
                    // A job that a worker has taken is no longer on the queue.
                    if !warned
                        && self.made == 0
                        && self.backlog.is_some_and(|b| b.consumers == 0 && b.ready >= self.pending.len() as u64)
                    {
                        warned = true;
                        let message = "no worker takes the jobs on the queue: is a `jhalak-worker` running?";
                        self.context.progress.say(message);
                    }
                    let states = end_states::find(self.store(), self.plan, self.jobs, &self.pending).await;
                    let found = ignore_transient(states, "cannot check the store for end states")?.unwrap_or_default();
                    check_after = match found.is_empty() {
                        true => (check_after * 2).min(MAX_CHECK_STORE_AFTER),
                        false => CHECK_STORE_AFTER,
                    };
                    found
                }
                Err(_) => Vec::new(),
            };
            for result in ended {
                self.settle(result);
            }
            if last_state.elapsed() >= STATE_INTERVAL {
                // The record only informs people: the run itself relies on the artifacts in the
                // store.
                ignore_transient(self.write_state(0).await, "cannot write the state of the run")?;
                last_state = Instant::now();
                self.resend_dropped().await?;
            }
            if results.were_forgotten() {
                self.context.progress.say("the broker has lost its data: sending the missing jobs again");
                resend_at = Some(Instant::now());
            }
            if let Some(reason) = self.context.queue.blocked() {
                if reported_blocked.is_none_or(|at| at.elapsed() > BLOCKED_INTERVAL) {
                    let message = format!("the broker takes no messages ({reason}): waiting until it does");
                    self.context.progress.say(&message);
                    reported_blocked = Some(Instant::now());
                }
            } else if reported_blocked.take().is_some() {
                self.context.progress.say("the broker takes messages again");
            }
            if resend_at.is_some_and(|at| at <= Instant::now()) {
                let sent = ignore_transient(self.resend_lost().await, "cannot send lost jobs again")?;
                resend_at = sent.is_none().then(|| Instant::now() + CHECK_STORE_AFTER);
            }
        }
    }
}

/// Turns a transient error into None and a warning.
fn ignore_transient<T>(outcome: Result<T>, failed: &str) -> Result<Option<T>> {
    match outcome {
        Err(error) if error.kind().is_transient() => {
            tracing::warn!(error = %error.chain(), "{failed}");
            Ok(None)
        }
        other => other.map(Some),
    }
}
