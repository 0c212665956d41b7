//! One trailer: its keyframes by strategy, scenes, objects, sound, ratings and artifacts.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use jhalak_common::Result;
use jhalak_common::dataset::Movie;
use schemars::JsonSchema;
use serde::Serialize;

use super::findings::{self, Looked};
use super::media;
use super::quarantine::Entry;
use super::trailers::Tile;
use crate::serve::answer::Form;
use crate::serve::failure::Failure;
use crate::serve::index::RunIndex;
use crate::serve::query::Names;
use crate::serve::site::Site;

/// Viewers' ratings that are listed.
const MAX_RATINGS: usize = 100;

/// The page of a trailer.
#[derive(Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TrailerPage {
    /// The run.
    run: String,
    /// Its entry in the grid.
    tile: Tile,
    /// The plot in a few sentences.
    description: String,
    /// Spoken languages.
    languages: Vec<String>,
    /// Directors.
    directors: Vec<String>,
    /// Writers.
    writers: Vec<String>,
    /// Actors.
    cast: Vec<String>,
    /// The file as the run names it.
    file: String,
    /// Its size in bytes.
    size: u64,
    /// The hash of its content.
    content: String,
    /// The type of the video, if the browser can play it here.
    playable: Option<String>,
    /// Why it cannot be played.
    not_playable: Option<String>,
    /// The findings in it.
    looked: Looked,
    /// Its quarantine record, if it has one that no commit outranks.
    quarantined: Option<Entry>,
    /// The ratings, at most 100 of them.
    ratings: Vec<RatedBy>,
    /// Number of all ratings.
    ratings_total: u64,
}

/// A rating.
#[derive(Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RatedBy {
    /// The viewer.
    user: String,
    /// `dislike`, `neutral` or `like`.
    label: String,
}

/// Shows a trailer.
pub async fn show(
    State(site): State<Arc<Site>>,
    form: Form,
    Names([run, id]): Names<[String; 2]>,
) -> Result<Response, Failure> {
    let index = site.index(&run).await?;
    let position = media::find(&index, &id)?;
    let states = index.states(&site.store).await;
    let trailer = &index.trailers()[position];
    let movie = index.movie(position);
    let details = movie.map(|movie| index.catalogue.details(movie)).transpose()?.flatten().unwrap_or_default();
    let Movie { description, languages, directors, writers, cast, .. } = details;
    let spec = &index.plan.spec;
    let looked = findings::look(site.store.as_ref(), &spec.recipes, &spec.models, &trailer.subject).await?;
    let (playable, not_playable) = match media::open_video(&site, trailer).await {
        Ok((_, kind)) => (Some(kind.to_owned()), None),
        Err(error) => (None, Some(error.chain())),
    };
    let record = states.record_of(position).filter(|_| looked.lacks_artifacts());
    let page = TrailerPage {
        tile: Tile::of(&index, &states, position),
        description,
        languages,
        directors,
        writers,
        cast,
        file: format!("{}/{}", trailer.store.trim_end_matches('/'), trailer.key),
        size: trailer.size,
        content: trailer.subject.content.to_string(),
        playable,
        not_playable,
        looked,
        quarantined: record.map(|record| Entry::of(&run, record, Some(id))),
        ratings: ratings(&index, movie),
        ratings_total: movie.map_or(0, |movie| index.catalogue.ratings(movie).len() as u64),
        run,
    };
    site.answer(form, "trailer.html", &page)
}

fn ratings(index: &RunIndex, movie: Option<u32>) -> Vec<RatedBy> {
    let Some(movie) = movie else { return Vec::new() };
    let user = |user: u32| index.catalogue.users.get(user as usize).cloned().unwrap_or_default();
    let rated = index.catalogue.ratings(movie).take(MAX_RATINGS);
    rated.map(|rated| RatedBy { user: user(rated.user), label: rated.label.name().to_owned() }).collect()
}
