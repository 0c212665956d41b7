//! How many jobs of a run are on the queue or with workers at once.
//!
//! The queue is first in, first out, and shared by all runs. A run that keeps only a little more
//! there than the workers can take lets every other run have its turn: two runs share the workers
//! evenly, and a small run waits for no more than what the workers take next.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::run::priority::Priority;

/// Jobs that a run sends before it knows its workers.
const MIN_JOBS: usize = 4;

/// The time over which the rate of results is measured.
const RATE_SPAN: Duration = Duration::from_secs(2);

/// The window of one stage.
pub(super) struct Window {
    max: usize,
    priority: Priority,
    /// Slots of all workers, as far as known.
    slots: usize,
    /// Whether jobs of other runs wait for the same workers.
    is_contended: bool,
    /// When the last results arrived.
    results: VecDeque<Instant>,
}

impl Window {
    /// A window of at most `max` jobs.
    pub(super) fn new(max: usize, priority: Priority) -> Window {
        Window { max, priority, slots: 0, is_contended: false, results: VecDeque::new() }
    }

    /// Notes the slots of workers that are at work on the run (`known`, one for each worker) and
    /// the number of workers that take jobs of its kind.
    pub(super) fn note_workers(&mut self, known: &[usize], workers: usize) {
        let sum: usize = known.iter().sum();
        let mean = sum.checked_div(known.len()).unwrap_or(1).max(1);
        self.slots = sum + workers.saturating_sub(known.len()) * mean;
    }

    /// Notes how many messages wait on the queue, and how many of them at most are of this run.
    pub(super) fn note_waiting(&mut self, all: u64, own: usize) {
        self.is_contended = all > own as u64;
    }

    /// Notes a result.
    pub(super) fn note_result(&mut self) {
        self.results.push_back(Instant::now());
        while self.results.len() > self.max {
            self.results.pop_front();
        }
    }

    /// Returns the number of jobs that may be on the queue or with workers: two for each slot, so
    /// that each slot finds its next job waiting, and for short jobs those of the next second.
    pub(super) fn size(&mut self) -> usize {
        while self.results.front().is_some_and(|at| at.elapsed() > RATE_SPAN) {
            self.results.pop_front();
        }
        let per_second = self.results.len() / RATE_SPAN.as_secs() as usize;
        let normal = (self.slots + self.slots.max(per_second)).max(MIN_JOBS);
        let size = match self.priority {
            Priority::Low if self.is_contended => normal / 4,
            Priority::Low | Priority::Normal => normal,
            Priority::High => normal * 4,
        };
        size.clamp(1, self.max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_follows_the_slots_of_the_workers_and_the_rate_of_short_jobs() {
        let mut window = Window::new(100, Priority::Normal);
        assert_eq!(window.size(), MIN_JOBS);
        // Two of three workers are known.
        window.note_workers(&[4, 8], 3);
        assert_eq!(window.size(), 2 * (4 + 8 + 6));
        window.note_workers(&[], 3);
        assert_eq!(window.size(), 6);
        for _ in 0..90 {
            window.note_result();
        }
        assert_eq!(window.size(), 3 + 45);
        window.note_workers(&[200], 1);
        assert_eq!(window.size(), 100);
        assert_eq!(Window::new(2, Priority::Normal).size(), 2);
        assert_eq!(Window::new(100, Priority::High).size(), 4 * MIN_JOBS);
    }

    #[test]
    fn a_low_priority_gives_way_only_while_other_runs_wait() {
        let mut window = Window::new(100, Priority::Low);
        window.note_workers(&[8], 1);
        window.note_waiting(8, 8);
        assert_eq!(window.size(), 16, "alone, it has every slot and a next job for each");
        window.note_waiting(9, 8);
        assert_eq!(window.size(), 4);
        window.note_waiting(0, 0);
        assert_eq!(window.size(), 16);
    }
}
