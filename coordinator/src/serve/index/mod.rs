//! The index of one run for its pages: its trailers, their titles and ratings, read once; and the
//! state of each trailer, read again while the run lasts.
//!
//! Everything is streamed from the store into arrays: the page of a run of 100,000 trailers costs
//! some 500 bytes for each.

mod catalogue;
mod search;
mod states;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jhalak_common::artifact::ArtifactKind;
use jhalak_common::run::job::Trailer;
use jhalak_common::run::{self, RunState, dataset_key, run_key};
use jhalak_common::store::ObjectStore;
use jhalak_common::{Error, ErrorKind, Result};
use tokio::sync::{Mutex, RwLock, watch};

use crate::inspect::embeddings::Mean;
use crate::plan::Plan;
pub use catalogue::Catalogue;
pub use search::{Filter, LabelFilter, Order, StateFilter};
pub use states::States;

/// Runs whose index is held.
const MAX_RUNS: usize = 2;

/// Maximum age of the states of a run in progress.
const FRESH: Duration = Duration::from_secs(5);

/// States that are this many times older than fresh ones are read again before they are shown.
const OLD: u32 = 4;

/// How long a page waits for the first reading of its run.
const MAX_WAIT: Duration = Duration::from_secs(8);

/// States are read again after this many times the duration of the last reading.
const PAUSE: u32 = 20;

/// The index of one run.
pub struct RunIndex {
    /// The specification and the trailers, in ascending order of movie id.
    pub plan: Plan,
    /// The movies and ratings of the run's dataset.
    pub catalogue: Catalogue,
    /// The index of each trailer's movie in the catalogue.
    movies: Vec<Option<u32>>,
    /// The titles of the trailers, for search.
    titles: search::Titles,
    /// The most frequent rating of each trailer's movie.
    labels: Vec<LabelFilter>,
    /// The positions of the trailers in the order of their titles, and by the number of ratings.
    by_title: Vec<u32>,
    by_ratings: Vec<u32>,
    /// The tables of embeddings that were downloaded, by the kind of the embedding.
    pub tables: Mutex<BTreeMap<ArtifactKind, Arc<TableFile>>>,
    states: RwLock<Dated>,
    refreshing: Mutex<()>,
}

/// A table of embeddings on this machine's disk, removed when the last reader is done.
pub struct TableFile {
    /// The Parquet files, in order.
    pub paths: Vec<PathBuf>,
    /// Holds the files.
    pub folder: tempfile::TempDir,
    /// The mean of the rows.
    pub mean: Mean,
}

/// States with what they were read from.
struct Dated {
    states: Arc<States>,
    /// The tag of `state.json` before they were read.
    tag: String,
    is_final: bool,
    read: Instant,
    took: Duration,
}

impl RunIndex {
    /// Reads the index of a run.
    ///
    /// # Errors
    /// NotFound where the store has no such run.
    pub async fn read(store: &Arc<dyn ObjectStore>, id: &str) -> Result<RunIndex> {
        let plan = crate::plan::load(store.as_ref(), id).await?;
        let Plan { spec, trailers } = &plan;
        let catalogue = Catalogue::read(store, &dataset_key(&spec.dataset.content)).await?;
        let movies: Vec<Option<u32>> =
            trailers.trailers.iter().map(|trailer| catalogue.position(&trailer.subject.id)).collect();
        let titles =
            search::Titles::of(trailers.trailers.iter().zip(&movies).map(|(trailer, movie)| {
                (trailer.subject.id.as_str(), movie.map_or("", |movie| catalogue.name(movie)))
            }));
        let count = |movie: &Option<u32>| movie.map_or(0, |movie| catalogue.ratings(movie).len());
        let label = |movie: &Option<u32>| LabelFilter::of(movie.map_or([0; 3], |movie| catalogue.label_counts(movie)));
        let labels = movies.iter().map(label).collect();
        let mut by_ratings: Vec<u32> = (0..movies.len() as u32).collect();
        let mut by_title = by_ratings.clone();
        by_ratings.sort_by_cached_key(|&trailer| std::cmp::Reverse(count(&movies[trailer as usize])));
        by_title.sort_by_cached_key(|&trailer| titles.title(trailer).to_owned());
        let dated = Dated::read(store, &plan).await?;
        Ok(RunIndex {
            plan,
            catalogue,
            movies,
            titles,
            labels,
            by_title,
            by_ratings,
            tables: Mutex::default(),
            states: RwLock::new(dated),
            refreshing: Mutex::new(()),
        })
    }

    /// Returns the trailers.
    pub fn trailers(&self) -> &[Trailer] {
        &self.plan.trailers.trailers
    }

    /// Returns the position of the trailer of a movie.
    pub fn position(&self, id: &str) -> Option<usize> {
        self.trailers().binary_search_by(|trailer| trailer.subject.id.as_str().cmp(id)).ok()
    }

    /// Returns the movie of a trailer in the catalogue.
    pub fn movie(&self, trailer: usize) -> Option<u32> {
        self.movies.get(trailer).copied().flatten()
    }

    /// Returns the title of a trailer's movie; its id where the catalogue lacks it.
    pub fn title(&self, trailer: usize) -> &str {
        let id = self.trailers().get(trailer).map_or("", |trailer| trailer.subject.id.as_str());
        self.movie(trailer).map_or(id, |movie| self.catalogue.name(movie))
    }

    /// Returns the states of the trailers. They are read again in the background when they may have
    /// changed; the first call waits, and one after a long pause.
    pub async fn states(self: &Arc<Self>, store: &Arc<dyn ObjectStore>) -> Arc<States> {
        let (states, is_due, is_old) = {
            let dated = self.states.read().await;
            let (age, fresh) = (dated.read.elapsed(), FRESH.max(dated.took * PAUSE));
            (dated.states.clone(), age > fresh, age > fresh * OLD)
        };
        if is_old {
            // Nobody has looked for a while: these states may be wrong by now.
            let _one = self.refreshing.lock().await;
            if let Err(error) = self.refresh(store).await {
                tracing::warn!(error = %error.chain(), "cannot read the states of the trailers");
            }
            return self.states.read().await.states.clone();
        }
        if is_due {
            let (index, store) = (self.clone(), store.clone());
            tokio::spawn(async move {
                // One reading at a time.
                let Ok(_one) = index.refreshing.try_lock() else { return };
                if let Err(error) = index.refresh(&store).await {
                    tracing::warn!(error = %error.chain(), "cannot read the states of the trailers");
                }
            });
        }
        states
    }

    async fn refresh(&self, store: &Arc<dyn ObjectStore>) -> Result<()> {
        let (tag, is_final) = state_tag(store, &self.plan.spec.id).await?;
        {
            let mut dated = self.states.write().await;
            if dated.is_final && is_final && dated.tag == tag {
                dated.read = Instant::now();
                return Ok(());
            }
        }
        let dated = Dated::read(store, &self.plan).await?;
        *self.states.write().await = dated;
        Ok(())
    }

    /// Returns the positions of the trailers that pass `filter`, in its order.
    pub fn find(&self, filter: &Filter, states: &States) -> Vec<u32> {
        let genre = filter.genre.as_ref().map(|genre| self.catalogue.genre(genre));
        let mut found = self.titles.find(&filter.text);
        if genre.is_some() || filter.state.is_some() || filter.label.is_some() {
            found.retain(|&trailer| {
                let movie = self.movie(trailer as usize);
                genre.is_none_or(|genre| movie.is_some_and(|movie| self.catalogue.has_genre(movie, genre)))
                    && filter.state.is_none_or(|state| states.of(trailer as usize) == state)
                    && filter.label.is_none_or(|label| self.labels.get(trailer as usize) == Some(&label))
            });
        }
        let order = match filter.order {
            Order::Id => return found,
            Order::Title => &self.by_title,
            Order::Ratings => &self.by_ratings,
        };
        if found.len() == order.len() {
            return order.clone();
        }
        let mut is_found = vec![false; order.len()];
        found.iter().for_each(|&trailer| is_found[trailer as usize] = true);
        order.iter().copied().filter(|&trailer| is_found[trailer as usize]).collect()
    }
}

impl Dated {
    async fn read(store: &Arc<dyn ObjectStore>, plan: &Plan) -> Result<Dated> {
        let began = Instant::now();
        let (tag, is_final) = state_tag(store, &plan.spec.id).await?;
        let states = Arc::new(States::read(store.as_ref(), plan).await?);
        Ok(Dated { states, tag, is_final, read: Instant::now(), took: began.elapsed() })
    }
}

/// The tag of a run's state record, and whether the run has ended.
async fn state_tag(store: &Arc<dyn ObjectStore>, run: &str) -> Result<(String, bool)> {
    let key = run_key(run, "state.json");
    let Some(state) = run::get_json::<RunState>(store.as_ref(), &key).await? else { return Ok(Default::default()) };
    Ok((format!("{:?}", state.updated), state.stage.is_final()))
}

/// A reading: None while it is in progress.
type Reading = watch::Receiver<Option<std::result::Result<Arc<RunIndex>, Failed>>>;

/// Why a reading failed, for everybody who waits for it.
#[derive(Clone)]
struct Failed(ErrorKind, String);

/// The indexes of the runs that were looked at last.
#[derive(Default)]
pub struct Indexes {
    /// The one used last comes last.
    held: Mutex<Vec<(String, Reading)>>,
}

impl Indexes {
    /// Returns the index of a run. It is read once, in the background: a caller that leaves does
    /// not stop it.
    ///
    /// # Errors
    /// Those of [`RunIndex::read`]; Throttled while it is still being read after a few seconds.
    pub async fn of(&self, store: &Arc<dyn ObjectStore>, run: &str) -> Result<Arc<RunIndex>> {
        let mut reading = self.reading(store, run).await;
        let read = match tokio::time::timeout(MAX_WAIT, reading.wait_for(Option::is_some)).await {
            Ok(Ok(read)) => read.clone(),
            Ok(Err(_)) => Some(Err(Failed(ErrorKind::Bug, "reading a run panicked".into()))),
            Err(_) => None,
        };
        match read {
            Some(Ok(index)) => Ok(index),
            Some(Err(Failed(kind, message))) => {
                self.held.lock().await.retain(|(id, _)| id != run);
                Err(Error::new(kind, message))
            }
            None => {
                let message = format!("the trailers of {run} are being read: this page comes again in a few seconds");
                Err(Error::new(ErrorKind::Throttled, message))
            }
        }
    }

    async fn reading(&self, store: &Arc<dyn ObjectStore>, run: &str) -> Reading {
        let mut held = self.held.lock().await;
        let found = held.iter().position(|(id, _)| id == run).map(|i| held.remove(i).1);
        let reading = found.unwrap_or_else(|| {
            let (sender, receiver) = watch::channel(None);
            let (store, run) = (store.clone(), run.to_owned());
            tokio::spawn(async move {
                let read = RunIndex::read(&store, &run).await.map(Arc::new);
                let _ = sender.send(Some(read.map_err(|e| Failed(e.kind(), e.chain()))));
            });
            receiver
        });
        held.push((run.to_owned(), reading.clone()));
        if held.len() > MAX_RUNS {
            held.remove(0);
        }
        reading
    }
}
