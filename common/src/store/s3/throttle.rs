//! One pause for all requests to a bucket whose server asks for fewer of them, fails or cannot be
//! reached: slots that each back off alone would still send as many requests as there are slots.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::backoff::Backoff;

/// The pauses: from 0.2 s, doubled up to 10 s while the server keeps asking, times 0.5 to 1 at
/// random.
const PAUSES: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(10), 0.5..1.0);

/// The longest pause while the server fails or cannot be reached: when it is back, nothing that
/// must be renewed in seconds waits for long.
const LONGEST_OUTAGE: Duration = Duration::from_secs(2);

/// Requests that waited for the same pause return spread over this share of it.
const SPREAD: f64 = 0.5;

/// Holds requests back while a pause lasts.
pub(super) struct Throttle(Mutex<State>);

struct State {
    backoff: Backoff,
    /// The last pause, and when it ends.
    pause: Duration,
    until: Option<Instant>,
    /// Requests that have waited for the pause.
    waited: u32,
}

impl Throttle {
    pub(super) fn new() -> Self {
        Throttle(Mutex::new(State { backoff: PAUSES, pause: Duration::ZERO, until: None, waited: 0 }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code that holds the lock can panic halfway through a change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the end of the pause, if there is one.
    pub(super) async fn turn(&self) {
        let turn = self.state().next_turn(Instant::now());
        if let Some(turn) = turn {
            tokio::time::sleep_until(turn).await;
        }
    }

    /// The server asked for fewer requests. Answers to requests that were sent before the pause
    /// began do not make it longer.
    pub(super) fn slow_down(&self) {
        self.state().pause(Duration::MAX, Instant::now());
    }

    /// The server failed, or could not be reached.
    pub(super) fn failed(&self) {
        self.state().pause(LONGEST_OUTAGE, Instant::now());
    }

    /// The server took a request: the next pause is a short one.
    pub(super) fn accepted(&self) {
        self.state().accepted(Instant::now());
    }
}

impl State {
    fn pause(&mut self, longest: Duration, now: Instant) {
        if self.until.is_none_or(|until| until <= now) {
            self.pause = self.backoff.next_delay().min(longest);
            self.until = Some(now + self.pause);
            self.waited = 0;
        }
    }

    fn accepted(&mut self, now: Instant) {
        if self.until.is_some_and(|until| until <= now) {
            self.until = None;
            self.backoff.reset();
        }
    }

    /// Returns when a request may be sent; None for now. Turns within a pause are spread evenly by
    /// the golden ratio, so that no two requests return at once.
    fn next_turn(&mut self, now: Instant) -> Option<Instant> {
        let until = self.until.filter(|until| *until > now)?;
        self.waited += 1;
        let share = (f64::from(self.waited) * 0.618_033_988_749_895).fract();
        Some(until + self.pause.mul_f64(SPREAD * share))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> State {
        let Throttle(state) = Throttle::new();
        state.into_inner().expect("not poisoned")
    }

    #[test]
    fn one_pause_holds_every_request_back_and_spreads_their_return() {
        let (mut state, now) = (state(), Instant::now());
        assert_eq!(state.next_turn(now), None);
        state.pause(Duration::MAX, now);
        let until = state.until.expect("a pause");
        assert!(until >= now + Duration::from_millis(100) && until <= now + Duration::from_millis(200));
        // Late answers to earlier requests change nothing.
        state.pause(Duration::MAX, now);
        assert_eq!(state.until, Some(until));
        let mut turns: Vec<Instant> = (0..8).map(|_| state.next_turn(now).expect("a turn")).collect();
        assert!(turns.iter().all(|turn| *turn >= until && *turn <= until + state.pause));
        turns.sort();
        turns.dedup();
        assert_eq!(turns.len(), 8, "no two return at once");
        assert_eq!(state.next_turn(until), None, "the pause is over");
    }

    #[test]
    fn pauses_grow_while_the_server_keeps_asking_and_start_short_after_a_success() {
        let (mut state, mut now) = (state(), Instant::now());
        let mut pauses = Vec::new();
        for _ in 0..5 {
            state.pause(Duration::MAX, now);
            pauses.push(state.pause);
            now += state.pause;
        }
        assert!(pauses[4] >= Duration::from_millis(1600), "{pauses:?}");
        state.accepted(now);
        state.pause(Duration::MAX, now);
        assert!(state.pause <= Duration::from_millis(200));
    }

    #[test]
    fn an_outage_holds_requests_back_for_two_seconds_at_most() {
        let (mut state, mut now) = (state(), Instant::now());
        for _ in 0..8 {
            state.pause(LONGEST_OUTAGE, now);
            now += state.pause;
        }
        assert_eq!(state.pause, LONGEST_OUTAGE);
    }
}
