//! The predicted audience of a movie: the viewers who have not rated it.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use jhalak_common::dataset::Movie;
use jhalak_common::{Error, ErrorKind, Result};
use jhalak_worker::blocking;
use jhalak_worker::recommend::serving::{LoadedModel, ModelKind, SessionInput, ViewerSession};
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

use super::media;
use super::run::report;
use crate::serve::answer::Form;
use crate::serve::failure::Failure;
use crate::serve::held_models::KnownViewers;
use crate::serve::index::RunIndex;
use crate::serve::model;
use crate::serve::query::Names;
use crate::serve::site::Site;

/// Viewers who are asked for at most: the first by id.
const MAX_VIEWERS: usize = 2_000;

/// Viewers who are listed.
const MAX_LISTED: usize = 12;

/// Bars of the histogram of probabilities.
const BARS: usize = 10;

/// The predicted audience of a movie.
#[derive(Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Audience {
    /// The run.
    run: String,
    /// The movie; null for a trailer that was sent.
    trailer: Option<String>,
    /// Why there is none.
    without: Option<String>,
    /// The model that answered: `ensemble`, `classifier` or `ann`.
    model: Option<String>,
    /// Viewers whose answer was predicted: those who have not rated it, at most 2,000.
    viewers: u64,
    /// Viewers of the dataset.
    all: u64,
    /// Viewers for whom like is the most probable answer.
    likely: u64,
    /// The mean probability of like.
    mean: f64,
    /// The viewers by their probability of like, in tenths.
    histogram: Vec<Bar>,
    /// The viewers who most probably like it.
    first: Vec<ViewerLine>,
}

/// A bar of the histogram.
#[derive(Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Bar {
    /// The lower end, in percent.
    from: u64,
    /// Viewers.
    viewers: u64,
    /// The height of the bar, 0 to 100.
    height: f64,
}

/// A viewer.
#[derive(Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ViewerLine {
    /// The id.
    user: String,
    /// The probability of like.
    like: f64,
    /// The probability of dislike.
    dislike: f64,
}

/// The movie whose audience is predicted.
pub enum Asked {
    /// A movie of the dataset.
    Known(String),
    /// A movie that came later, with its raw embeddings by modality.
    New(Box<Movie>, BTreeMap<String, Vec<f32>>),
}

/// Shows the audience of a movie of the run.
pub async fn show(
    State(site): State<Arc<Site>>,
    form: Form,
    Names([run, id]): Names<[String; 2]>,
) -> Result<Response, Failure> {
    let index = site.index(&run).await?;
    media::find(&index, &id)?;
    let audience = predict(&site, &index, Asked::Known(id.clone())).await?;
    site.answer(form, "audience.html", &Audience { trailer: Some(id), ..audience })
}

/// Predicts the audience of a movie by the final model of a run.
pub async fn predict(site: &Site, index: &RunIndex, asked: Asked) -> Result<Audience, Failure> {
    let _turn = site.turn().await?;
    let run = index.plan.spec.id.clone();
    let folder = report(site, &run).await?.and_then(|report| report.model);
    let predicted = match asked {
        Asked::Known(id) => model::of_known(site, index, folder, move |known| ask_known(known, &id)).await,
        Asked::New(movie, embeddings) => match model::of_run(site, index, folder).await {
            Ok(model) => blocking::compute(move || ask_new(model, *movie, embeddings)).await,
            Err(error) => Err(error),
        },
    };
    match predicted {
        Ok(predicted) => Ok(predicted.shown(run)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::InvalidInput) => {
            Ok(Predicted::default().shown(run).because(error.chain()))
        }
        Err(error) => Err(error.into()),
    }
}

/// The prediction of the model.
#[derive(Default)]
struct Predicted {
    model: Option<String>,
    all: u64,
    viewers: Vec<(String, [f32; 3])>,
}

fn ask_known(known: &mut KnownViewers, id: &str) -> Result<Predicted> {
    let (name, all) = (known.name.clone(), known.viewers);
    let session = known.session();
    let missing = || Error::not_found("the final model was fitted on a dataset without this movie");
    let movie = session.dataset().movie_index(id).ok_or_else(missing)? as u32;
    predicted(session, name, movie, all)
}

fn ask_new(model: LoadedModel, movie: Movie, embeddings: BTreeMap<String, Vec<f32>>) -> Result<Predicted> {
    let network = model.description.network.as_ref();
    // Of a new movie nothing but its trailer is known: only the network looks at it.
    let reading = network.filter(|network| !network.cell.modality.tables().is_empty());
    let Some(network) = reading else {
        return Err(Error::not_found(
            "the final model of this run reads no trailers, and nothing else is known of a new one: choose a run over \
             trailers",
        ));
    };
    let (kind, name) = (ModelKind::Network, network.cell.model.name().to_owned());
    let (all, place) = (model.dataset().users.len() as u32, model.dataset().movies.len() as u32);
    let embeddings = BTreeMap::from([(movie.id.clone(), embeddings)]);
    let input = SessionInput { movies: vec![movie], embeddings, ..SessionInput::default() };
    predicted(&mut model.session(input, kind)?, name, place, all)
}

/// Predicts a movie for those of the first `all` viewers who have not rated it.
fn predicted(session: &mut ViewerSession, name: String, movie: u32, all: u32) -> Result<Predicted> {
    let raters: BTreeSet<u32> =
        session.dataset().ratings.iter().filter(|rating| rating.movie == movie).map(|rating| rating.user).collect();
    let users: Vec<u32> = (0..all).filter(|user| !raters.contains(user)).take(MAX_VIEWERS).collect();
    let probabilities = session.audience(movie, &users)?;
    let id = |user: u32| session.dataset().users[user as usize].id.clone();
    let viewers = users.iter().map(|&user| id(user)).zip(probabilities).collect();
    Ok(Predicted { model: Some(name), all: u64::from(all), viewers })
}

impl Predicted {
    fn shown(mut self, run: String) -> Audience {
        let like = |viewer: &(String, [f32; 3])| f64::from(viewer.1[2]);
        let mut counts = [0u64; BARS];
        for viewer in &self.viewers {
            counts[((like(viewer) * BARS as f64) as usize).min(BARS - 1)] += 1;
        }
        let most = counts.iter().copied().max().unwrap_or(0).max(1) as f64;
        let count = self.viewers.len();
        let mean = self.viewers.iter().map(like).sum::<f64>() / count.max(1) as f64;
        let likely = self.viewers.iter().filter(|(_, [dislike, neutral, like])| like > &dislike.max(*neutral)).count();
        self.viewers.sort_by(|a, b| b.1[2].total_cmp(&a.1[2]).then_with(|| a.0.cmp(&b.0)));
        self.viewers.truncate(MAX_LISTED);
        Audience {
            run,
            trailer: None,
            without: None,
            model: self.model,
            viewers: count as u64,
            all: self.all,
            likely: likely as u64,
            mean,
            histogram: (0u64..)
                .zip(counts)
                .map(|(i, viewers)| Bar { from: 10 * i, viewers, height: 100.0 * viewers as f64 / most })
                .collect(),
            first: self
                .viewers
                .into_iter()
                .map(|(user, [dislike, _, like])| ViewerLine { user, like: like.into(), dislike: dislike.into() })
                .collect(),
        }
    }
}

impl Audience {
    fn because(self, reason: String) -> Audience {
        Audience { without: Some(reason), ..self }
    }
}
