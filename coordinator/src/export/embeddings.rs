//! `embeddings.parquet`, one row per trailer, and `frames.parquet`, one row per keyframe.

use std::collections::BTreeMap;

use futures::{StreamExt, TryStreamExt, stream};
use jhalak_common::artifact::embedding_file::{self, Vectors};
use jhalak_common::artifact::{self, ArtifactKey, ArtifactKind, Recipe, Subject};
use jhalak_common::{Error, Result};
use serde_json::Value;

use super::context::{Context, file_word};
use super::manifest::{FileEntry, Written};
use super::table::{Cell, Column, Kind, TableFile};
use crate::artifacts::MAX_CONCURRENT_REQUESTS;

/// The unit of every vector.
const UNIT: &str = "activations of the model's last layer, without a unit; not normalised";

/// A recipe of embeddings and the name of its column.
struct Source<'a> {
    recipe: &'a Recipe,
    column: String,
    model: String,
    strategy: Option<String>,
    dim: usize,
}

/// Writes the tables of embeddings.
pub(super) async fn write(context: &Context<'_>) -> Result<Written> {
    let mut sources = Vec::new();
    for kind in [ArtifactKind::VideoEmbedding, ArtifactKind::AudioEmbedding] {
        for (place, recipe) in context.recipes(kind).enumerate() {
            let model = context.model_name(recipe);
            let strategy = (kind == ArtifactKind::VideoEmbedding).then(|| context.strategy(recipe));
            let column = match (&strategy, place) {
                (None, _) => "audio".to_owned(),
                (Some(_), 0) => "video".to_owned(),
                (Some(strategy), _) => file_word(&format!("video_{strategy}_{model}")).replace('-', "_"),
            };
            if let Some(dim) = dimension(context, recipe).await? {
                sources.push(Source { recipe, column, model, strategy, dim });
            }
        }
    }
    if sources.is_empty() {
        return Ok((Vec::new(), vec!["no embedding is committed".to_owned()]));
    }
    let (mut files, mut notes) = (vec![whole(context, &sources).await?], Vec::new());
    // One table of keyframes for each length of vector: the primary model's is `frames.parquet`.
    let video: Vec<&Source> = sources.iter().filter(|source| source.strategy.is_some()).collect();
    let mut models: Vec<&str> = Vec::new();
    for source in &video {
        if !models.contains(&source.model.as_str()) {
            models.push(&source.model);
        }
    }
    for (place, model) in models.iter().enumerate() {
        let name =
            if place == 0 { "frames.parquet".to_owned() } else { format!("frames-{}.parquet", file_word(model)) };
        let of_model: Vec<&Source> = video.iter().copied().filter(|source| source.model == *model).collect();
        match frames(context, &name, &of_model).await? {
            Some(entry) => files.push(entry),
            None => notes.push(format!("{model} embeds all keyframes of a trailer together: it has no rows in {name}")),
        }
    }
    Ok((files, notes))
}

/// Returns the length of the vectors of a recipe; None if no trailer has one.
async fn dimension(context: &Context<'_>, recipe: &Recipe) -> Result<Option<usize>> {
    for subject in context.subjects() {
        if let Some(vectors) = read(context, recipe, subject).await? {
            return Ok(Some(vectors.mean.len()));
        }
    }
    Ok(None)
}

/// Reads an embedding; None if it is not committed or has no vector, as for a trailer without
/// sound.
async fn read(context: &Context<'_>, recipe: &Recipe, subject: &Subject) -> Result<Option<Vectors>> {
    let Some(record) = context.committed(recipe, subject).await? else { return Ok(None) };
    if record.files.is_empty() {
        return Ok(None);
    }
    let bytes = artifact::read_file(context.store, &record, embedding_file::FILE).await?;
    let place = ArtifactKey::new(recipe, subject).folder();
    embedding_file::decode(&bytes).map(Some).map_err(|e| e.context(place))
}

fn vector_column(source: &Source, name: &str, about: &str) -> Column {
    let mut column = Column::new(name, Kind::Vector(source.dim), about);
    column.metadata = vec![
        ("model".into(), source.model.clone()),
        ("recipe".into(), source.recipe.hash().to_string()),
        ("unit".into(), UNIT.into()),
    ];
    if let Some(strategy) = &source.strategy {
        column.metadata.push(("keyframes".into(), strategy.clone()));
    }
    column
}

/// Metadata of a file with one or more vectors: the first one's, and `column.key` for each.
fn metadata(context: &Context<'_>, columns: &[Column]) -> Vec<(String, String)> {
    let mut pairs = context.metadata();
    for (place, column) in columns.iter().filter(|column| !column.metadata.is_empty()).enumerate() {
        for (key, value) in &column.metadata {
            if place == 0 {
                pairs.push((key.clone(), value.clone()));
            }
            pairs.push((format!("{}.{key}", column.name), value.clone()));
        }
    }
    pairs
}

/// One row per trailer.
async fn whole(context: &Context<'_>, sources: &[Source<'_>]) -> Result<FileEntry> {
    let mut columns = vec![
        Column::new("movie", Kind::Text, "movie id"),
        Column::new("name", Kind::Text, "title"),
        Column::new("genres", Kind::Texts, "genres in the catalogue"),
        Column::new("duration_s", Kind::Double, "length of the video in seconds").nullable(),
    ];
    for source in sources {
        let about = match &source.strategy {
            Some(strategy) => format!("mean over the {strategy} keyframes, by {}", source.model),
            None => format!("mean over the sound, by {}; empty for a trailer without sound", source.model),
        };
        columns.push(vector_column(source, &source.column, &about).nullable());
    }
    let metadata = metadata(context, &columns);
    let mut table = TableFile::create(&context.path("embeddings.parquet"), columns, metadata)?;
    let row = async |subject: &Subject| {
        let mut vectors = Vec::new();
        for source in sources {
            vectors.push(read(context, source.recipe, subject).await?.map(|vectors| vectors.mean));
        }
        Ok::<_, Error>((subject.clone(), vectors, context.duration_s(subject).await?))
    };
    let mut rows = stream::iter(context.subjects()).map(row).buffered(MAX_CONCURRENT_REQUESTS);
    while let Some((subject, vectors, duration)) = rows.try_next().await? {
        if vectors.iter().all(Option::is_none) {
            continue;
        }
        let (name, genres) = context.title(&subject.id);
        let mut cells = vec![
            Cell::text(&subject.id),
            Cell::text(name),
            Cell::Texts(genres),
            duration.map_or(Cell::None, Cell::Double),
        ];
        for (source, vector) in sources.iter().zip(vectors) {
            let vector = checked(vector, source.dim, &subject.id)?;
            cells.push(vector.map_or(Cell::None, Cell::Vector));
        }
        table.push(cells)?;
    }
    drop(rows);
    let (rows, columns) = table.finish()?;
    Ok(FileEntry::of("embeddings.parquet", "one row per trailer with an embedding", Some(rows), columns))
}

fn checked(vector: Option<Vec<f32>>, dim: usize, id: &str) -> Result<Option<Vec<f32>>> {
    match vector {
        Some(vector) if vector.len() != dim => Err(Error::invalid(format!(
            "the embedding of {id} has {} numbers, and the others have {dim}: run `jhalak doctor --store`",
            vector.len()
        ))),
        other => Ok(other),
    }
}

/// One row per keyframe; None if the model has no vector for single keyframes.
async fn frames(context: &Context<'_>, name: &str, sources: &[&Source<'_>]) -> Result<Option<FileEntry>> {
    let Some(first) = sources.first() else { return Ok(None) };
    let columns = vec![
        Column::new("movie", Kind::Text, "movie id"),
        Column::new("keyframes", Kind::Text, "strategy that chose the keyframe"),
        Column::new("index", Kind::Int, "number of the keyframe, from 0"),
        Column::new("frame", Kind::Int, "number of the frame in the video, from 0; empty for padding").nullable(),
        Column::new("time_s", Kind::Double, "seconds from the first frame; empty for padding").nullable(),
        Column::new("scene", Kind::Int, "number of its scene, from 1, if chosen by scene").nullable(),
        vector_column(first, "vector", &format!("embedding of the keyframe by {}", first.model)),
    ];
    let metadata = metadata(context, &columns);
    let mut table = TableFile::create(&context.path(name), columns, metadata)?;
    let mut any = false;
    for source in sources {
        let strategy = source.strategy.clone().unwrap_or_default();
        let keyframes = context
            .recipes(ArtifactKind::Keyframes)
            .find(|r| Some(r.hash()) == source.recipe.upstream.first().copied());
        let row = async |subject: &Subject| {
            let parts = read(context, source.recipe, subject).await?.and_then(|vectors| vectors.parts);
            let record = match keyframes {
                Some(recipe) if parts.is_some() => context.committed(recipe, subject).await?,
                _ => None,
            };
            Ok::<_, Error>((subject.clone(), parts, record))
        };
        let mut rows = stream::iter(context.subjects()).map(row).buffered(MAX_CONCURRENT_REQUESTS);
        while let Some((subject, parts, record)) = rows.try_next().await? {
            let (Some(parts), Some(record)) = (parts, record) else { continue };
            let known: BTreeMap<u64, &Value> = ["keyframes", "padding"]
                .iter()
                .filter_map(|key| record.facts[*key].as_array())
                .flatten()
                .filter_map(|frame| Some((frame["index"].as_u64()?, frame)))
                .collect();
            for (index, vector) in (0u64..).zip(parts) {
                let frame = known.get(&index).copied().unwrap_or(&Value::Null);
                any = true;
                let vector = checked(Some(vector), source.dim, &subject.id)?;
                table.push(vec![
                    Cell::text(&subject.id),
                    Cell::text(&strategy),
                    Cell::int(index),
                    frame["frame"].as_i64().map_or(Cell::None, Cell::Int),
                    frame["time_s"].as_f64().map_or(Cell::None, Cell::Double),
                    frame["scene"]["index"].as_i64().map_or(Cell::None, |scene| Cell::Int(scene + 1)),
                    vector.map_or(Cell::None, Cell::Vector),
                ])?;
            }
        }
    }
    let (rows, columns) = table.finish()?;
    if !any {
        std::fs::remove_file(context.path(name))?;
        return Ok(None);
    }
    Ok(Some(FileEntry::of(name, "one row per keyframe, with its vector", Some(rows), columns)))
}
