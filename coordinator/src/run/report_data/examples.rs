//! Example recommendations for the report: the final model, asked for a few viewers.

use jhalak_common::dataset::Dataset;
use jhalak_common::hash;
use jhalak_common::store::ObjectStore;
use jhalak_common::{Error, ErrorKind, Result};
use jhalak_worker::blocking;
use jhalak_worker::recommend::serving::{LoadedModel, ModelKind, RankBy, SessionInput};

use crate::artifacts::fitted_model;
use crate::reasons::Reasons;
use crate::report::{Example, Recommended};

/// Viewers that are drawn.
const VIEWERS: usize = 3;
/// Movies for each of them.
const MOVIES: usize = 3;
/// Rated movies in a reason.
const REASONS: usize = 2;
/// Larger datasets have no examples: a refit on their ratings would hold up the end of the run.
const MAX_RATINGS: usize = 200_000;

/// Asks the model in the folder `model` of the store for viewers drawn by `seed`. Empty where the
/// model cannot be read: a run does not fail at its end for want of an example.
///
/// # Errors
/// Those of the store.
pub async fn collect(store: &dyn ObjectStore, dataset: &Dataset, model: &str, seed: u64) -> Result<Vec<Example>> {
    if dataset.ratings.is_empty() || dataset.ratings.len() > MAX_RATINGS {
        return Ok(Vec::new());
    }
    let found = match fitted_model::at(store, model).await {
        Ok(stored) => blocking::compute(move || examples(stored, seed)).await,
        Err(error) => Err(error),
    };
    match found {
        Err(error) if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::NotFound) => {
            tracing::warn!(error = %error.chain(), "the report has no example recommendations");
            Ok(Vec::new())
        }
        other => other,
    }
}

fn examples(stored: fitted_model::Stored, seed: u64) -> Result<Vec<Example>> {
    let model = LoadedModel::read(&stored.files, stored.dataset).map_err(Error::from)?;
    let kind = model.default_kind();
    let name = match (kind, &model.description.network) {
        (ModelKind::Network, Some(network)) => network.cell.model.name().to_owned(),
        _ => "ensemble".to_owned(),
    };
    let mut ratings = vec![[0; 3]; model.dataset().users.len()];
    model.dataset().ratings.iter().for_each(|rating| ratings[rating.user as usize][rating.label.index()] += 1);
    let draw = |user: u32| {
        let id = &model.dataset().users[user as usize].id;
        hash::of_json(&serde_json::json!(["example", seed, id])).to_string()
    };
    let mut drawn: Vec<u32> = (0..ratings.len() as u32).filter(|&user| ratings[user as usize] != [0; 3]).collect();
    drawn.sort_by_cached_key(|&user| draw(user));
    let Some(&first) = drawn.first() else { return Ok(Vec::new()) };
    let mut session = model.session(SessionInput { user: Some(first), ..SessionInput::default() }, kind)?;
    let movies = session.dataset().movies.len() as u32;
    let mut examples = Vec::new();
    for user in drawn {
        session.turn_to(user)?;
        let open: Vec<u32> =
            (0..movies).filter(|&movie| session.rated(movie).is_none() && session.can_predict(movie)).collect();
        // Somebody who has rated everything is no example.
        if open.is_empty() {
            continue;
        }
        let mut example = Example {
            user: session.dataset().users[user as usize].id.clone(),
            ratings: ratings[user as usize],
            model: name.clone(),
            candidates: open.len() as u64,
            movies: Vec::new(),
        };
        for ranked in session.best(RankBy::Like, &open, MOVIES)? {
            let Reasons { pro, contra } = Reasons::of(&session.explain(ranked.movie, REASONS)?);
            let of = &session.dataset().movies[ranked.movie as usize];
            let (movie, title, year) = (of.id.clone(), of.name.clone(), of.year);
            example.movies.push(Recommended { movie, title, year, probabilities: ranked.probabilities, pro, contra });
        }
        examples.push(example);
        if examples.len() == VIEWERS {
            break;
        }
    }
    Ok(examples)
}
