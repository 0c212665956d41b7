//! Since when this worker has reached neither its store nor its broker, for the probes of an
//! orchestrator.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jhalak_common::ErrorKind;
use jhalak_common::queue::Queue;
use jhalak_common::store::ObjectStore;

/// How often store and broker are asked.
const INTERVAL: Duration = Duration::from_secs(10);

/// An object that no one writes: asking for it shows that the store answers.
const ABSENT: &str = "doctor/absent.txt";

/// When store and broker last answered.
pub(crate) struct Reachability {
    store: Mutex<Instant>,
    broker: Mutex<Instant>,
}

impl Default for Reachability {
    fn default() -> Self {
        Reachability { store: Mutex::new(Instant::now()), broker: Mutex::new(Instant::now()) }
    }
}

impl Reachability {
    /// Returns for how long the store or the broker, whichever is worse, has not answered.
    pub(crate) fn silence(&self) -> Duration {
        let age = |of: &Mutex<Instant>| of.lock().unwrap_or_else(PoisonError::into_inner).elapsed();
        age(&self.store).max(age(&self.broker)).saturating_sub(INTERVAL)
    }

    /// Asks both at intervals, until dropped.
    pub(crate) async fn watch(self: Arc<Self>, store: Arc<dyn ObjectStore>, queue: Arc<dyn Queue>) {
        let note = |of: &Mutex<Instant>| *of.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        loop {
            if queue.is_connected() {
                note(&self.broker);
            }
            // An answer of any kind but a refusal.
            match store.head(ABSENT).await {
                Err(e) if e.kind().is_transient() || e.kind() == ErrorKind::Permission => {}
                _ => note(&self.store),
            }
            tokio::time::sleep(INTERVAL).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jhalak_common::queue::memory::MemoryQueue;
    use jhalak_common::settings::QueueSettings;
    use jhalak_common::store::local::LocalStore;

    #[tokio::test]
    async fn an_answer_of_store_and_broker_ends_the_silence() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = Arc::new(LocalStore::open(folder.path()).expect("a folder"));
        let long_ago = Instant::now().checked_sub(Duration::from_secs(100)).expect("the machine runs for longer");
        let reachability = Arc::new(Reachability { store: Mutex::new(long_ago), broker: Mutex::new(long_ago) });
        assert!(reachability.silence() > Duration::from_secs(60));
        let queue = Arc::new(MemoryQueue::new(&QueueSettings::default()));
        let watching = tokio::spawn(reachability.clone().watch(store, queue));
        while reachability.silence() > Duration::ZERO {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        watching.abort();
    }
}
