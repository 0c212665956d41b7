//! Which runs were cancelled: looked up before a job starts, and again and again while jobs of the run are at work.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jhalak_common::run;
use jhalak_common::store::ObjectStore;
use tokio_util::sync::CancellationToken;

/// What was looked up is believed for so long.
const FRESH: Duration = Duration::from_secs(2);

/// A run without jobs is forgotten after so long.
const FORGET: Duration = Duration::from_secs(60);

/// The runs that this worker has jobs of.
pub struct RunWatch {
    store: Arc<dyn ObjectStore>,
    runs: Mutex<BTreeMap<String, Watched>>,
}

struct Watched {
    cancelled: CancellationToken,
    looked: Option<Instant>,
    jobs: usize,
}

/// A job of a run, as long as it is at work.
pub struct Entered {
    /// Cancelled once the run is.
    pub cancelled: CancellationToken,
    watch: Arc<RunWatch>,
    run: String,
}

impl RunWatch {
    /// Watches the runs that live in `store`.
    pub fn new(store: Arc<dyn ObjectStore>) -> Arc<Self> {
        Arc::new(RunWatch { store, runs: Mutex::default() })
    }

    fn runs(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Watched>> {
        // No code that holds the lock can panic halfway through a change.
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A job of `run` is about to start. Looks the run up, unless that was done just now.
    pub async fn enter(self: &Arc<Self>, run: &str) -> Entered {
        let fresh = {
            let mut runs = self.runs();
            let watched = runs.entry(run.to_string()).or_insert_with(Watched::new);
            watched.jobs += 1;
            // That it is cancelled is never believed without looking: somebody may have let it go on.
            !watched.cancelled.is_cancelled() && watched.looked.is_some_and(|at| at.elapsed() < FRESH)
        };
        let mut entered = Entered { cancelled: CancellationToken::new(), watch: self.clone(), run: run.to_string() };
        if !fresh {
            self.look(run).await;
        }
        if let Some(watched) = self.runs().get(run) {
            entered.cancelled = watched.cancelled.clone();
        }
        entered
    }

    /// Looks up the runs that have jobs at work, until dropped.
    pub async fn keep_looking(self: Arc<Self>) {
        loop {
            tokio::time::sleep(FRESH).await;
            let busy: Vec<String> = {
                let mut runs = self.runs();
                runs.retain(|_, w| w.jobs > 0 || w.looked.is_some_and(|at| at.elapsed() < FORGET));
                runs.iter().filter(|(_, w)| w.jobs > 0).map(|(run, _)| run.clone()).collect()
            };
            for run in busy {
                self.look(&run).await;
            }
        }
    }

    async fn look(&self, run: &str) {
        let cancelled = match run::is_cancelled(self.store.as_ref(), run).await {
            Ok(cancelled) => cancelled,
            Err(error) => {
                // Whether the store can be reached is for the job itself to find out.
                tracing::debug!(run, error = %error.chain(), "whether the run was cancelled cannot be told now");
                return;
            }
        };
        if let Some(watched) = self.runs().get_mut(run) {
            watched.looked = Some(Instant::now());
            match (cancelled, watched.cancelled.is_cancelled()) {
                (true, false) => {
                    tracing::info!(run, "the run was cancelled: its jobs are dropped");
                    watched.cancelled.cancel();
                }
                // Somebody lets it go on.
                (false, true) => watched.cancelled = CancellationToken::new(),
                _ => {}
            }
        }
    }
}

impl Watched {
    fn new() -> Self {
        Watched { cancelled: CancellationToken::new(), looked: None, jobs: 0 }
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        if let Some(watched) = self.watch.runs().get_mut(&self.run) {
            watched.jobs -= 1;
        }
    }
}
