//! Growing, capped, jittered delays between attempts, so that many processes that lost one service
//! do not return in step.
//!
//! The delay doubles from attempt to attempt up to a cap and is multiplied by a random factor, as
//! in "Exponential Backoff And Jitter":
//! <https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>. The factors 0.5 to
//! 1 are that article's equal jitter.

use std::hash::{BuildHasher, RandomState};
use std::ops::Range;
use std::time::Duration;

/// The delays between attempts at one operation.
#[derive(Debug, Clone)]
pub(crate) struct Backoff {
    first: Duration,
    longest: Duration,
    jitter: Range<f64>,
    next: Duration,
}

impl Backoff {
    /// Delays from `first`, doubled up to `longest`, each multiplied by a random factor in
    /// `jitter`.
    pub(crate) const fn new(first: Duration, longest: Duration, jitter: Range<f64>) -> Self {
        Backoff { first, longest, jitter, next: first }
    }

    /// Starts with the first delay again: the operation made progress.
    pub(crate) fn reset(&mut self) {
        self.next = self.first;
    }

    /// Returns the delay before the next attempt, and doubles the one after it.
    pub(crate) fn next_delay(&mut self) -> Duration {
        // The standard library seeds each hasher from the operating system's random numbers.
        self.delay_at(RandomState::new().hash_one(()) as f64 / u64::MAX as f64)
    }

    /// Waits for the delay before the next attempt.
    pub(crate) async fn wait(&mut self) {
        tokio::time::sleep(self.next_delay()).await;
    }

    /// The next delay at the share `random` of the way through the jitter, 0 to 1.
    fn delay_at(&mut self, random: f64) -> Duration {
        let factor = self.jitter.start + (self.jitter.end - self.jitter.start) * random;
        let delay = self.next.mul_f64(factor);
        self.next = self.next.saturating_mul(2).min(self.longest);
        delay
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backoff() -> Backoff {
        Backoff::new(Duration::from_millis(200), Duration::from_secs(1), 0.5..1.0)
    }

    fn delays_ms(backoff: &mut Backoff, random: f64) -> Vec<u128> {
        (0..5).map(|_| backoff.delay_at(random).as_millis()).collect()
    }

    #[test]
    fn delays_double_up_to_the_longest_and_start_again_after_a_reset() {
        let mut backoff = backoff();
        assert_eq!(delays_ms(&mut backoff, 1.0), [200, 400, 800, 1_000, 1_000]);
        backoff.reset();
        assert_eq!(delays_ms(&mut backoff, 0.0), [100, 200, 400, 500, 500]);
    }

    #[test]
    fn random_delays_stay_within_the_jitter_and_differ() {
        let delays: Vec<Duration> = (0..100).map(|_| backoff().next_delay()).collect();
        let range = Duration::from_millis(100)..=Duration::from_millis(200);
        assert!(delays.iter().all(|delay| range.contains(delay)), "{delays:?}");
        assert!(delays.iter().any(|delay| *delay != delays[0]), "{delays:?}");
    }
}
