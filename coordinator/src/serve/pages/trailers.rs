//! The grid of a run's trailers.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use jhalak_common::artifact::ArtifactKind;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::serve::answer::Form;
use crate::serve::failure::Failure;
use crate::serve::index::{Filter, LabelFilter, Order, RunIndex, StateFilter, States};
use crate::serve::query::{Names, Options, Window};
use crate::serve::site::Site;

/// Trailers on one page.
const PAGE_SIZE: usize = 48;

/// The longest text that is searched for, in bytes.
const MAX_TEXT: usize = 200;

/// The options of the grid.
#[derive(Deserialize)]
pub struct Query {
    q: Option<String>,
    genre: Option<String>,
    state: Option<String>,
    label: Option<String>,
    order: Option<String>,
    page: Option<u64>,
}

/// A page of the grid of trailers.
#[derive(Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Trailers {
    /// The run.
    run: String,
    /// Trailers of the run.
    all: u64,
    /// Trailers whose artifacts are all committed.
    committed: u64,
    /// Trailers with missing artifacts.
    open: u64,
    /// Trailers whose job is quarantined.
    quarantined: u64,
    /// Every genre of the dataset.
    genres: Vec<String>,
    /// The text of the search.
    filter: Shown,
    /// The options of the address without the page.
    options: String,
    /// Trailers that were found.
    total: u64,
    /// The page, from 1.
    page: u64,
    /// Number of pages.
    pages: u64,
    /// The trailers.
    trailers: Vec<Tile>,
}

/// The filter of the grid.
#[derive(Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Shown {
    /// A part of the title or id.
    q: String,
    /// A genre.
    genre: Option<String>,
    /// A state.
    state: Option<StateFilter>,
    /// The most frequent rating.
    label: Option<LabelFilter>,
    /// The order.
    order: Order,
}

/// One trailer of a grid.
#[derive(Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tile {
    /// The movie's id.
    pub id: String,
    /// Its title.
    pub name: String,
    /// Its year.
    pub year: Option<i32>,
    /// Its genres.
    pub genres: Vec<String>,
    /// Its state.
    pub state: StateFilter,
    /// Viewers who dislike it, are neutral and like it.
    pub ratings: [u32; 3],
    /// The start of the hash of the file, which names versions of its picture.
    pub content: String,
    /// Whether it has keyframes.
    pub has_picture: bool,
}

/// Shows a page of the grid.
pub async fn show(
    State(site): State<Arc<Site>>,
    form: Form,
    Names([run]): Names<[String; 1]>,
    Options(query): Options<Query>,
) -> Result<Response, Failure> {
    let (filter, page) = filter(query)?;
    let index = site.index(&run).await?;
    let states = index.states(&site.store).await;
    let found = index.find(&filter, &states);
    let window = Window::of(page, found.len(), PAGE_SIZE)?;
    let [committed, open, quarantined] = states.counts;
    let tiles = found[window.start..window.end].iter().map(|&trailer| Tile::of(&index, &states, trailer as usize));
    let grid = Trailers {
        run,
        all: index.trailers().len() as u64,
        committed,
        open,
        quarantined,
        genres: index.catalogue.genres.clone(),
        options: options(&filter),
        total: found.len() as u64,
        page: window.page,
        pages: window.pages,
        trailers: tiles.collect(),
        filter: Shown {
            q: filter.text,
            genre: filter.genre,
            state: filter.state,
            label: filter.label,
            order: filter.order,
        },
    };
    site.answer(form, "trailers.html", &grid)
}

impl Tile {
    /// Describes a trailer of a run.
    pub fn of(index: &RunIndex, states: &States, trailer: usize) -> Tile {
        let (movie, subject) = (index.movie(trailer), &index.trailers()[trailer].subject);
        let catalogue = &index.catalogue;
        let keyframes = index.plan.spec.recipes.iter().position(|recipe| recipe.kind == ArtifactKind::Keyframes);
        Tile {
            id: subject.id.clone(),
            name: index.title(trailer).to_owned(),
            year: movie.and_then(|movie| catalogue.year(movie)),
            genres: movie
                .map(|movie| catalogue.genres_of(movie).into_iter().map(str::to_owned).collect())
                .unwrap_or_default(),
            state: states.of(trailer),
            ratings: movie.map_or([0; 3], |movie| catalogue.label_counts(movie)),
            content: subject.content.short(),
            has_picture: keyframes.is_some_and(|recipe| states.is_committed(trailer, recipe)),
        }
    }
}

/// Reads the filter. A select that is left at its first entry sends an empty value.
fn filter(query: Query) -> Result<(Filter, Option<u64>), Failure> {
    let text = query.q.unwrap_or_default();
    if text.len() > MAX_TEXT {
        return Err(Failure::bad(format!("the text to search for is longer than {MAX_TEXT} bytes")));
    }
    let filter = Filter {
        text: text.trim().to_owned(),
        genre: query.genre.filter(|genre| !genre.is_empty()),
        state: one_of("state", query.state)?,
        label: one_of("label", query.label)?,
        order: one_of("order", query.order)?.unwrap_or_default(),
    };
    Ok((filter, query.page))
}

/// Reads one of the names of an enumeration.
fn one_of<T: serde::de::DeserializeOwned>(option: &str, value: Option<String>) -> Result<Option<T>, Failure> {
    let Some(value) = value.filter(|value| !value.is_empty()) else { return Ok(None) };
    serde_json::from_value(value.into()).map(Some).map_err(|e| Failure::bad(format!("the option {option}: {e}")))
}

/// The filter as options of an address, without the page.
fn options(filter: &Filter) -> String {
    use crate::serve::templates::segment;
    let mut options = Vec::new();
    if !filter.text.is_empty() {
        options.push(format!("q={}", segment(&filter.text)));
    }
    if let Some(genre) = &filter.genre {
        options.push(format!("genre={}", segment(genre)));
    }
    options.extend(filter.state.as_ref().map(|state| format!("state={}", name(state))));
    options.extend(filter.label.as_ref().map(|label| format!("label={}", name(label))));
    if filter.order != Order::default() {
        options.push(format!("order={}", name(&filter.order)));
    }
    options.join("&")
}

/// Returns the name of an enumeration's value as it is in addresses.
fn name<T: Serialize>(value: &T) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(name)) => name,
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(state: &str, order: &str) -> Query {
        let (q, genre) = (Some(" a&b ".into()), Some("Sci-Fi & more".into()));
        Query { q, genre, state: Some(state.into()), label: Some(String::new()), order: Some(order.into()), page: None }
    }

    #[test]
    fn a_filter_is_read_from_an_address_and_written_into_one() {
        let (filter, _) = filter(query("quarantined", "title")).expect("a filter");
        assert_eq!((filter.state, filter.label), (Some(StateFilter::Quarantined), None));
        assert_eq!(options(&filter), "q=a%26b&genre=Sci-Fi%20%26%20more&state=quarantined&order=title");
    }

    #[test]
    fn an_unknown_state_is_refused_with_the_known_ones() {
        let failure = filter(query("lost", "")).expect_err("no such state");
        assert!(failure.message.contains("committed") && failure.message.contains("state"), "{}", failure.message);
    }
}
