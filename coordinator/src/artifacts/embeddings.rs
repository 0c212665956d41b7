//! The embeddings of a dataset's movies as cells read them, for commands that train in their own
//! process.

use std::collections::{BTreeMap, BTreeSet};

use futures::TryStreamExt;
use jhalak_common::artifact::recipes;
use jhalak_common::artifact::{self, ArtifactKey, ArtifactKind, ArtifactPath, CommitRecord};
use jhalak_common::evaluation::Modality;
use jhalak_common::models::Registry;
use jhalak_common::run;
use jhalak_common::run::job::Trailer;
use jhalak_common::settings::{Grid, Settings};
use jhalak_common::store::ObjectStore;
use jhalak_common::{Error, Result};
use jhalak_worker::recommend::features::embedding::{Features, TableRows};

use crate::artifacts::embedding_tables::{self, GatheredTable};
use crate::plan::dataset_source::Source;
use crate::plan::{self, Plan, grid};

/// The embeddings of a modality.
pub struct Embeddings {
    /// The rows by movie.
    pub features: Features,
    /// The tables that the rows come from, for reports.
    pub tables: Vec<GatheredTable>,
}

/// Reads the embeddings of a modality from the store, where a `run` with these settings committed
/// them. Trailers are identified by content; a dataset without trailer files uses whatever the
/// store has under the ids of its movies. With `parts`, reads the frames and sound windows in
/// their place.
///
/// # Errors
/// InvalidInput when the store has none, or more trailers than parts are made for.
pub async fn read(
    store: &dyn ObjectStore,
    source: &Source,
    modality: Modality,
    (rows, parts): (TableRows, bool),
    settings: &Settings,
) -> Result<Embeddings> {
    let mut settings = settings.clone();
    if parts {
        // The recipes of a run with these cells.
        (settings.evaluate.trailer_attention, settings.evaluate.grid) = (true, Grid::Standard);
    }
    let mut found = Embeddings { features: Features::default(), tables: Vec::new() };
    if modality.tables().is_empty() {
        return Ok(found);
    }
    let mut plan = plan::draft(store, source, &settings, plan::Request::default(), None).await?.plan;
    if plan.trailers.trailers.is_empty() {
        plan.trailers.trailers = committed_trailers(store, source, &plan).await?.into();
    }
    let trailers = plan.trailers.trailers.len();
    if parts && trailers > grid::MOST_WITH_PARTS {
        return Err(Error::invalid(format!("trailer-attention: {}", grid::too_many_for_attention(trailers))));
    }
    for &kind in modality.tables() {
        let own = plan.embeddings().find(|(table, _)| *table == kind);
        let (_, recipe) = own.ok_or_else(|| Error::bug(format!("a run makes no {}", kind.name())))?;
        let kind = recipe.kind.parts_table().filter(|_| parts).unwrap_or(kind);
        let gathered = embedding_tables::gather(store, &plan, kind, recipe).await?;
        let gathered = gathered.filter(|table| table.rows > 0);
        let gathered = gathered.ok_or_else(|| missing(store, modality, recipe.kind, parts))?;
        let key = ArtifactKey { kind, recipe: gathered.recipe, subject: gathered.subject.clone() };
        let record = artifact::committed(store, &key)
            .await?
            .ok_or_else(|| Error::transient(format!("{} was deleted while it was read", key.folder())))?;
        found.features.read(store, &record, &source.reading.dataset, rows).await?;
        found.tables.push(gathered);
    }
    Ok(found)
}

fn missing(store: &dyn ObjectStore, modality: Modality, embedding: ArtifactKind, parts: bool) -> Error {
    if parts {
        return Error::invalid(format!(
            "trailer-attention with {modality} needs a {} of the dataset's trailers with its parts, and the store {} has \
             none for these settings: start `jhalak run --dataset DIR` with this store and the setting \
             evaluate.trailer_attention = true first",
            embedding.name(),
            store.url()
        ));
    }
    Error::invalid(format!(
        "the modality {modality} needs a {} of the dataset's trailers, and the store {} has none for these settings: \
         put trailers into DIR/trailers/ID.mp4 and start `jhalak run --dataset DIR` with this store first, or choose a \
         modality that needs no trailers",
        embedding.name(),
        store.url()
    ))
}

/// Reads the raw embeddings of one movie's trailer by modality; empty when the store has none.
///
/// # Errors
/// InvalidInput when the store has embeddings of two different trailers of the movie.
pub async fn of_movie(store: &dyn ObjectStore, id: &str, settings: &Settings) -> Result<BTreeMap<String, Vec<f32>>> {
    let registry = Registry::load(settings.models.registry.as_deref())?;
    let (recipes, _) = recipes::recipes(settings, &registry)?;
    let mut found = BTreeMap::new();
    for recipe in &recipes {
        let name = match recipe.kind {
            ArtifactKind::VideoEmbedding => "video",
            ArtifactKind::AudioEmbedding => "audio",
            _ => continue,
        };
        // The first of several video embeddings is the one of the extraction settings.
        if found.contains_key(name) {
            continue;
        }
        let prefix = ArtifactKey::subject_prefix(recipe.kind, &recipe.hash(), id);
        let keys: Vec<String> = store.list(&prefix).map_ok(|object| object.key).try_collect().await?;
        let mut records = keys.iter().filter(|key| is_commit(key));
        let Some(key) = records.next() else { continue };
        if records.next().is_some() {
            return Err(Error::invalid(format!(
                "the store {} has embeddings of several trailers of {id}: keep one of their folders below artifacts/, or use another store",
                store.url()
            )));
        }
        let Some(record) = run::get_json::<CommitRecord>(store, key).await? else { continue };
        let vector = embedding_tables::read_embedding(store, recipe, &record.subject).await?.vector;
        found.extend(vector.map(|vector| (name.to_owned(), vector)));
    }
    Ok(found)
}

fn is_commit(key: &str) -> bool {
    ArtifactKey::parse(key).is_some_and(|path| path.is_commit())
}

/// Lists the trailers with embeddings in the store under the ids of the dataset's movies.
async fn committed_trailers(store: &dyn ObjectStore, source: &Source, plan: &Plan) -> Result<Vec<Trailer>> {
    let mut trailers: BTreeMap<String, Trailer> = BTreeMap::new();
    for kind in [ArtifactKind::VideoEmbedding, ArtifactKind::AudioEmbedding] {
        let Some(recipe) = plan.spec.recipe(kind) else { continue };
        let folder = ArtifactKey::recipe_folder(kind, &recipe.hash());
        let keys: BTreeSet<String> = store.list(&folder).map_ok(|object| object.key).try_collect().await?;
        for key in &keys {
            let Some(ArtifactPath { id, .. }) = ArtifactKey::parse(key).filter(ArtifactPath::is_commit) else {
                continue;
            };
            if source.reading.dataset.movie_index(id).is_none() {
                continue;
            }
            let Some(record) = run::get_json::<CommitRecord>(store, key).await? else { continue };
            let subject = record.subject;
            let trailer = Trailer { store: store.url(), key: String::new(), size: 0, tag: None, subject };
            if let Some(other) = trailers.get(id).filter(|other| other.subject != trailer.subject) {
                return Err(Error::invalid(format!(
                    "the store {} has embeddings of two different trailers of {id} ({} and {}): name a dataset with its trailer files, so that the right one is used",
                    store.url(),
                    other.subject.content.short(),
                    trailer.subject.content.short()
                )));
            }
            trailers.insert(id.to_owned(), trailer);
        }
    }
    Ok(trailers.into_values().collect())
}
