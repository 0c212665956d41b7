//! Sends the jobs of a stage: a window of them at a time, and again where their messages are lost.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures::{StreamExt, TryStreamExt, stream};
use jhalak_common::artifact::Subject;
use jhalak_common::counted::counted;
use jhalak_common::hash;
use jhalak_common::process::fault_point;
use jhalak_common::queue::Channel;
use jhalak_common::run::encode_signed;
use jhalak_common::run::job::{Job, JobResult, ProbeTask, Task};
use jhalak_common::telemetry::trace::{Role, Span, TraceContext};
use jhalak_common::{Error, Result};

use super::dead_letters;
use super::observer::Observation;
use super::state::Dispatch;
use crate::run::end_states;

/// Delay before a job is sent again that a worker dropped for a cancellation unknown to this
/// coordinator.
const RESEND_DROPPED_AFTER: Duration = Duration::from_secs(10);

/// Maximum number of messages that are published at once.
const MAX_CONCURRENT_PUBLISHES: usize = 256;

/// Maximum number of jobs that are added to the window before their ids are noted.
const MAX_BATCH: usize = 2_000;

impl Dispatch<'_> {
    pub(super) async fn fill_window(&mut self) -> Result<()> {
        if self.next == self.jobs.len() || !self.may_send {
            return Ok(());
        }
        let window = self.window.size();
        // Refilled in batches: a single message would wait alone for its confirmation.
        let batch = (window / 8).clamp(1, MAX_CONCURRENT_PUBLISHES);
        if self.pending.len() + batch > window && !self.pending.is_empty() {
            return Ok(());
        }
        while self.pending.len() < window && self.next < self.jobs.len() {
            let last = (self.next + (window - self.pending.len()).min(MAX_BATCH)).min(self.jobs.len());
            let batch: Vec<(String, usize)> = (self.next..last).map(|i| (self.jobs.id(i), i)).collect();
            // An earlier coordinator has sent what workers hold.
            let fresh = batch.iter().filter(|(id, _)| !self.held.contains(id)).map(|(_, i)| *i).collect();
            self.send(fresh, self.context.is_successor).await?;
            self.pending.extend(batch);
            self.next = last;
            fault_point::reach("coordinator-published");
        }
        Ok(())
    }

    /// Sends jobs. `is_copy`: messages of them may be on the queue.
    async fn send(&self, batch: Vec<usize>, is_copy: bool) -> Result<()> {
        let channel = Channel::Work(self.jobs.kind());
        let queue = &self.context.queue;
        let (channel, jobs, key) = (&channel, self.jobs, self.context.signing_key.as_ref());
        stream::iter(batch)
            .map(Ok::<_, Error>)
            .try_for_each_concurrent(MAX_CONCURRENT_PUBLISHES, |i| async move {
                let mut job = jobs.build(i);
                job.is_copy = is_copy;
                let mut sending = begin_trace(&job, queue.name(channel), &self.context.trace);
                job.traceparent = sending.context_or(&TraceContext::default()).traceparent();
                let sent = queue.publish(channel, encode_signed(job, key)?).await;
                if let Err(error) = &sent {
                    sending.fail(error.kind());
                }
                sent
            })
            .await
    }

    /// Takes in what was observed of the workers: how many jobs they can take, and which jobs are
    /// lost. Those are sent again.
    pub(super) async fn take_in(&mut self, observation: &Observation) -> Result<()> {
        let consumers = observation.backlog.map_or(0, |backlog| backlog.consumers);
        self.window.note_workers(&observation.slots(), consumers as usize);
        self.held = observation.workers.iter().flatten().flat_map(|record| record.jobs.keys().cloned()).collect();
        if let Some(backlog) = observation.backlog {
            self.window.note_waiting(backlog.ready, self.pending.len().saturating_sub(self.held.len()));
        }
        // A coordinator that is started again and again while no worker is up must not pile up
        // copies.
        self.may_send |= observation.backlog.is_none_or(|backlog| backlog.consumers > 0 || backlog.is_empty());
        self.backlog = observation.backlog;
        for worker in observation.workers.iter().flatten() {
            if let Some(reason) = &worker.unable
                && self.unable.insert(reason.clone())
            {
                let message = format!("a worker ({}) cannot do jobs of this run: {reason}", worker.process);
                self.context.progress.say(&message);
            }
        }
        let found = self.lost.find(observation, &self.pending);
        if found.wants_marker {
            self.send_marker().await?;
        }
        let lost: BTreeMap<String, usize> =
            found.lost.into_iter().filter_map(|id| self.pending.get(&id).map(|i| (id.clone(), *i))).collect();
        if lost.is_empty() {
            return Ok(());
        }
        for result in end_states::find(self.store(), self.plan, self.jobs, &lost).await? {
            self.settle(result);
        }
        let run = &self.plan.spec.id;
        let lost: BTreeMap<_, _> = lost.into_iter().filter(|(id, _)| self.pending.contains_key(id)).collect();
        for (id, outcome) in dead_letters::quarantine(self.context.queue.as_ref(), self.store(), run, &lost).await? {
            self.settle(JobResult::new(id, run, outcome));
        }
        let lost = lost.into_iter().filter(|(id, _)| self.pending.contains_key(id));
        let lost: Vec<usize> = lost.map(|(_, i)| i).collect();
        if !lost.is_empty() {
            let jobs = lost.len();
            tracing::warn!(jobs, "jobs are neither on the queue nor with a worker: sending them again");
            let message =
                format!("neither on the queue nor with a worker, and sent again: {}", counted(jobs as u64, "job"));
            self.context.progress.say(&message);
            self.send(lost, true).await?;
        }
        Ok(())
    }

    /// Sends a job without work, whose answer shows that all messages before it were delivered.
    async fn send_marker(&mut self) -> Result<()> {
        let (kind, run) = (self.jobs.kind(), &self.plan.spec.id);
        let id = format!("marker-{}", jiff::Timestamp::now().as_millisecond());
        let subject = Subject { id: id.clone(), content: hash::of_bytes(id.as_bytes()) };
        let task = Task::Probe(ProbeTask { workers: kind, subject, recipe: None });
        let job = Job::new(&id, run, self.store().url(), task);
        let body = encode_signed(job, self.context.signing_key.as_ref())?;
        self.context.queue.publish(&Channel::Work(kind), body).await?;
        self.lost.marked(id);
        Ok(())
    }

    /// Sends again every job without an end state, on the queue or in the store: its message may be
    /// lost.
    pub(super) async fn resend_lost(&mut self) -> Result<()> {
        for result in end_states::find(self.store(), self.plan, self.jobs, &self.pending).await? {
            self.settle(result);
        }
        self.send(self.pending.values().copied().collect(), true).await
    }

    pub(super) async fn resend_dropped(&mut self) -> Result<()> {
        let is_due = |(at, _): &(Instant, usize)| at.elapsed() > RESEND_DROPPED_AFTER;
        let (due, later): (Vec<_>, Vec<_>) = self.dropped.drain(..).partition(is_due);
        self.dropped = later;
        self.send(due.into_iter().map(|(_, i)| i).collect(), true).await
    }
}

/// Begins the trace of a job with the sending of its message; it refers to the trace of its run.
fn begin_trace(job: &Job, destination: String, run: &TraceContext) -> Span {
    let mut span = TraceContext::default().message(Role::Sends, &destination, Some(run));
    span.set("messaging.message.id", job.id.clone());
    span.set("messaging.message.conversation_id", job.run.clone());
    if let Task::Extract(task) = &job.task {
        span.set("jhalak.trailer", task.trailer.subject.id.clone());
    }
    span
}
