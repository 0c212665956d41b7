//! `jhalak users` and `jhalak movies`: the ids that other commands take.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use clap::Args;
use jhalak_common::dataset::{Dataset, Label, composed};
use jhalak_common::process::exit;
use jhalak_common::settings::Settings;
use jhalak_common::{Result, store};
use serde_json::{Value, json};

use crate::artifacts::fitted_model::{self, Wanted};
use crate::commands::numbers;
use crate::commands::run_id;
use crate::console::output::Output;
use crate::plan::{self, dataset_source};

/// Which dataset is listed, and how much of it.
#[derive(Args)]
struct Listing {
    /// List only entries that contain this, in any case
    search: Option<String>,
    /// Dataset folder: a path or s3://bucket/prefix
    ///
    /// [default: the dataset of the run]
    #[arg(long, value_name = "DIR", help_heading = "Input")]
    dataset: Option<String>,
    /// Run whose dataset is listed
    ///
    /// [default: the only run in the store]
    #[arg(long, value_name = "RUN", conflicts_with = "dataset", help_heading = "Input")]
    run: Option<String>,
    /// Fitted model whose dataset is listed, by its id in `jhalak models ls --fitted`
    #[arg(long, value_name = "ID", conflicts_with_all = ["dataset", "run"], help_heading = "Input")]
    fitted: Option<String>,
    /// Folder of a fitted model whose dataset is listed
    #[arg(long, value_name = "DIR", conflicts_with_all = ["dataset", "run", "fitted"], help_heading = "Input")]
    model_dir: Option<PathBuf>,
    /// Maximum number of entries
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = numbers::count::<usize>, help_heading = "Output")]
    top: usize,
}

/// List the viewers of a dataset with their ratings
///
/// `jhalak predict --user` takes these ids.
#[derive(Args)]
#[command(after_help = "Examples:
  # List the viewers of a dataset
  jhalak users --dataset .local/demo/dataset
  # Find those whose id contains 01
  jhalak users 01 --dataset .local/demo/dataset")]
pub struct Users {
    #[command(flatten)]
    listing: Listing,
}

/// List the movies of a dataset with their genres and ratings
///
/// Searches ids, titles, genres and years. `jhalak predict --movie` takes these ids.
#[derive(Args)]
#[command(after_help = "Examples:
  # List the movies of the only run in the store
  jhalak movies
  # Find movies by a part of the title
  jhalak movies sintel --dataset .local/demo/dataset")]
pub struct Movies {
    #[command(flatten)]
    listing: Listing,
}

/// An entry of a list: its JSON, its line, and what is searched.
struct Entry {
    json: Value,
    line: String,
    searched: String,
}

impl Listing {
    /// Reads the dataset. The second value holds the ids of movies with a trailer, if that is known.
    async fn read(&self, settings: &Settings) -> Result<(Dataset, Option<BTreeSet<String>>)> {
        if let Some(folder) = &self.model_dir {
            return Ok((fitted_model::in_folder(folder)?.dataset, None));
        }
        if let Some(id) = &self.fitted {
            let store = store::open(&settings.store, &settings.s3).await?;
            return Ok((fitted_model::dataset(store.as_ref(), &Wanted::Id(id.clone())).await?, None));
        }
        if let Some(url) = &self.dataset {
            let source = dataset_source::read(url, None, settings).await?;
            let trailers = source.reading.trailers.keys().map(str::to_owned).collect();
            return Ok((source.reading.dataset, Some(trailers)));
        }
        let store = store::open(&settings.store, &settings.s3).await?;
        let run = run_id::find(store.as_ref(), self.run.as_deref()).await?;
        let plan = plan::load(store.as_ref(), &run).await?;
        let trailers = plan.trailers.trailers.iter().map(|trailer| trailer.subject.id.clone()).collect();
        Ok((plan::frozen_dataset(store.as_ref(), &plan).await?, Some(trailers)))
    }

    fn print(&self, what: &str, name: &str, entries: Vec<Entry>, output: &Output) -> Result<u8> {
        let form = |text: &str| composed(text).to_lowercase();
        let search = form(self.search.as_deref().unwrap_or_default());
        let all = entries.len();
        let found: Vec<Entry> = entries.into_iter().filter(|e| form(&e.searched).contains(&search)).collect();
        let mut text: String = found.iter().take(self.top).map(|entry| entry.line.clone() + "\n").collect();
        text.push_str(&match found.len() {
            shown if shown > self.top => {
                format!("{} of {shown} {what} shown: raise --top, or search for a part of the name\n", self.top)
            }
            shown if shown == all => format!("{shown} {what} in the dataset {name}\n"),
            shown => format!("{shown} of {all} {what} in the dataset {name}\n"),
        });
        let count = found.len();
        let shown: Vec<Value> = found.into_iter().take(self.top).map(|entry| entry.json).collect();
        output.print(&json!({ "dataset": name, "found": count, what: shown }), &text)?;
        Ok(exit::DONE)
    }
}

/// Ratings by class, in the order dislike, neutral, like.
type Counts = [u64; 3];

fn by_class(counts: &Counts) -> String {
    let [dislike, neutral, like] = counts;
    let all = dislike + neutral + like;
    let plural = if all == 1 { "" } else { "s" };
    format!("{all:>4} rating{plural}: {like} like, {neutral} neutral, {dislike} dislike")
}

fn as_json(counts: &Counts) -> Value {
    let names = Label::ALL.map(|label| label.name());
    names
        .iter()
        .zip(counts)
        .map(|(name, count)| ((*name).to_owned(), json!(count)))
        .collect::<BTreeMap<_, _>>()
        .into_iter()
        .collect()
}

impl Users {
    pub(in crate::commands) async fn execute(self, settings: Settings, output: Output) -> Result<u8> {
        let (dataset, _) = self.listing.read(&settings).await?;
        let mut counts = vec![Counts::default(); dataset.users.len()];
        for rating in &dataset.ratings {
            counts[rating.user as usize][rating.label.index()] += 1;
        }
        let entry = |(user, counts): (&jhalak_common::dataset::User, &Counts)| Entry {
            json: json!({ "id": user.id, "ratings": as_json(counts), "attributes": user.attributes }),
            line: format!("{:24} {}", user.id, by_class(counts)),
            searched: user.id.clone(),
        };
        let entries = dataset.users.iter().zip(&counts).map(entry).collect();
        self.listing.print("users", &dataset.name, entries, &output)
    }
}

impl Movies {
    pub(in crate::commands) async fn execute(self, settings: Settings, output: Output) -> Result<u8> {
        let (dataset, trailers) = self.listing.read(&settings).await?;
        let mut counts = vec![Counts::default(); dataset.movies.len()];
        for rating in &dataset.ratings {
            counts[rating.movie as usize][rating.label.index()] += 1;
        }
        let entry = |(movie, counts): (&jhalak_common::dataset::Movie, &Counts)| {
            let year = movie.year.map(|year| format!(", {year}")).unwrap_or_default();
            let genres = movie.genres.join(", ");
            let genres = if genres.is_empty() { genres } else { format!(" ({genres})") };
            let has_trailer = trailers.as_ref().map(|trailers| trailers.contains(&movie.id));
            let trailer = if has_trailer == Some(false) { "; no trailer" } else { "" };
            Entry {
                json: json!({
                    "id": movie.id, "name": movie.name, "year": movie.year, "genres": movie.genres,
                    "trailer": has_trailer, "ratings": as_json(counts),
                }),
                line: format!("{:16} {}{year}{genres}{trailer}; {}", movie.id, movie.name, by_class(counts).trim()),
                searched: format!("{} {} {genres}{year}", movie.id, movie.name),
            }
        };
        let entries = dataset.movies.iter().zip(&counts).map(entry).collect();
        self.listing.print("movies", &dataset.name, entries, &output)
    }
}
