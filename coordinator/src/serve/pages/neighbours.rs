//! The trailers whose embeddings are nearest to one trailer's.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use jhalak_common::artifact::{self, ArtifactKey, ArtifactKind};
use schemars::JsonSchema;
use serde::Serialize;

use super::media;
use super::trailers::Tile;
use crate::artifacts::embedding_tables::read_embedding;
use crate::serve::answer::Form;
use crate::serve::failure::Failure;
use crate::serve::index::{RunIndex, States};
use crate::serve::nearest::{self, Near};
use crate::serve::query::Names;
use crate::serve::site::Site;

/// Neighbours that are shown.
pub const MOST: usize = 8;

/// The neighbours of a trailer.
#[derive(Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Neighbours {
    /// The run.
    run: String,
    /// The trailer.
    trailer: String,
    /// By pictures, then by sound.
    kinds: Vec<Kind>,
}

/// The neighbours by one kind of embedding.
#[derive(Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Kind {
    /// `pictures` or `sound`.
    by: String,
    /// Why there are none.
    without: Option<String>,
    /// The nearest trailers, nearest first.
    near: Vec<Neighbour>,
}

/// A trailer near another one.
#[derive(Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Neighbour {
    /// The cosine of the embeddings without the mean of the run's trailers.
    similarity: f64,
    /// The trailer.
    tile: Tile,
}

/// Shows the neighbours.
pub async fn show(
    State(site): State<Arc<Site>>,
    form: Form,
    Names([run, id]): Names<[String; 2]>,
) -> Result<Response, Failure> {
    let index = site.index(&run).await?;
    let states = index.states(&site.store).await;
    let subject = index.trailers()[media::find(&index, &id)?].subject.clone();
    let mut kinds = Vec::new();
    for embedding in [ArtifactKind::VideoEmbedding, ArtifactKind::AudioEmbedding] {
        let Some(recipe) = index.plan.spec.recipe(embedding) else { continue };
        let is_committed =
            artifact::committed(site.store.as_ref(), &ArtifactKey::new(recipe, &subject)).await?.is_some();
        let vector = match is_committed {
            true => read_embedding(site.store.as_ref(), recipe, &subject).await?.vector.ok_or("the trailer has none"),
            false => Err("the trailer is not embedded yet"),
        };
        kinds.push(kind(&site, &index, &states, embedding, vector.map_err(str::to_owned), &id).await?);
    }
    site.answer(form, "neighbours.html", &Neighbours { run, trailer: id, kinds })
}

/// Returns the neighbours of a vector by one kind of embedding.
pub async fn kind(
    site: &Site,
    index: &RunIndex,
    states: &States,
    embedding: ArtifactKind,
    vector: Result<Vec<f32>, String>,
    except: &str,
) -> Result<Kind, Failure> {
    let by = if embedding == ArtifactKind::VideoEmbedding { "pictures" } else { "sound" }.to_owned();
    let without = |reason: String| Kind { by: by.clone(), without: Some(reason), near: Vec::new() };
    let vector = match vector {
        Ok(vector) => vector,
        Err(reason) => return Ok(without(reason)),
    };
    let Some(table) = nearest::table(site, index, embedding).await? else {
        return Ok(without("the run gathers the embeddings when all trailers are done".to_owned()));
    };
    let near = nearest::nearest(table, vector, except.to_owned(), MOST).await?;
    let neighbour = |Near { id, similarity }: Near| {
        Some(Neighbour { similarity, tile: Tile::of(index, states, index.position(&id)?) })
    };
    Ok(Kind { near: near.into_iter().filter_map(neighbour).collect(), without: None, by })
}
