//! `scenes.parquet` and `objects.parquet`: one row per scene, one row per object in a keyframe.

use futures::{StreamExt, TryStreamExt, stream};
use jhalak_common::artifact::{self, ArtifactKind, Recipe, Subject};
use jhalak_common::{Error, Result};
use serde_json::Value;

use super::context::Context;
use super::manifest::{FileEntry, Written};
use super::table::{Cell, Column, Kind, TableFile};
use crate::artifacts::MAX_CONCURRENT_REQUESTS;

/// Writes the tables of scenes and objects, if the run has them.
pub(super) async fn write(context: &Context<'_>) -> Result<Written> {
    let (mut files, mut notes) = (Vec::new(), Vec::new());
    match context.recipes(ArtifactKind::Scenes).next() {
        Some(recipe) => files.push(scenes(context, recipe).await?),
        None => notes.push("no keyframes by scene: no scenes.parquet (setting extract.also)".to_owned()),
    }
    match context.recipes(ArtifactKind::Objects).next() {
        Some(recipe) => files.push(objects(context, recipe).await?),
        None => notes.push("no scene-object keyframes: no objects.parquet (setting extract.also)".to_owned()),
    }
    Ok((files, notes))
}

/// Reads a JSON file of an artifact of each trailer, in order.
async fn each(
    context: &Context<'_>,
    recipe: &Recipe,
    name: &str,
    mut take: impl FnMut(&str, Value) -> Result<()>,
) -> Result<()> {
    let read = async |subject: &Subject| {
        let Some(record) = context.committed(recipe, subject).await? else { return Ok(None) };
        let bytes = artifact::read_file(context.store, &record, name).await?;
        let value = serde_json::from_slice(&bytes).map_err(|e| {
            Error::invalid(format!("{name} of {} is damaged: delete its folder and repeat the run", subject.id))
                .with_source(e)
        })?;
        Ok::<_, Error>(Some((subject.id.clone(), value)))
    };
    let mut found = stream::iter(context.subjects()).map(read).buffered(MAX_CONCURRENT_REQUESTS);
    while let Some(one) = found.try_next().await? {
        if let Some((id, value)) = one {
            take(&id, value)?;
        }
    }
    Ok(())
}

fn facts(context: &Context<'_>, recipe: &Recipe) -> Vec<(String, String)> {
    let mut pairs = context.metadata();
    pairs.push(("recipe".into(), recipe.hash().to_string()));
    pairs
}

async fn scenes(context: &Context<'_>, recipe: &Recipe) -> Result<FileEntry> {
    let columns = vec![
        Column::new("movie", Kind::Text, "movie id"),
        Column::new("scene", Kind::Int, "number of the scene, from 1"),
        Column::new("start_s", Kind::Double, "seconds from the first frame at which it is shown").nullable(),
        Column::new("end_s", Kind::Double, "seconds at which its last frame ends").nullable(),
        Column::new("start_frame", Kind::Int, "its first frame, from 0"),
        Column::new("end_frame", Kind::Int, "the frame after its last one"),
        Column::new("cut_score", Kind::Double, "PySceneDetect's content_val of its first frame").nullable(),
    ];
    let mut metadata = facts(context, recipe);
    for key in ["threshold", "min_scene_len"] {
        metadata.push((key.into(), recipe.params[key].to_string()));
    }
    let mut table = TableFile::create(&context.path("scenes.parquet"), columns, metadata)?;
    each(context, recipe, "scenes.json", |id, list| {
        let spans = list["scenes"].as_array().cloned().unwrap_or_default();
        for (place, span) in spans.iter().enumerate() {
            let shown = &list["shown_s"][place];
            let seconds = |side: usize| shown[side].as_f64().map_or(Cell::None, Cell::Double);
            let frame = |side: usize| span[side].as_i64().unwrap_or(0);
            let score = usize::try_from(frame(0)).ok().and_then(|frame| list["scores"][frame].as_f64());
            table.push(vec![
                Cell::text(id),
                Cell::int(place + 1),
                seconds(0),
                seconds(1),
                Cell::Int(frame(0)),
                Cell::Int(frame(1)),
                score.map_or(Cell::None, Cell::Double),
            ])?;
        }
        Ok(())
    })
    .await?;
    let (rows, columns) = table.finish()?;
    Ok(FileEntry::of("scenes.parquet", "one row per scene", Some(rows), columns))
}

async fn objects(context: &Context<'_>, recipe: &Recipe) -> Result<FileEntry> {
    let columns = vec![
        Column::new("movie", Kind::Text, "movie id"),
        Column::new("keyframe", Kind::Int, "number of the scene-object keyframe, from 0"),
        Column::new("time_s", Kind::Double, "seconds from the first frame"),
        Column::new("class", Kind::Int, "number of the class, from 0"),
        Column::new("label", Kind::Text, "name of the class"),
        Column::new("score", Kind::Double, "confidence, from 0 to 1"),
        Column::new("left", Kind::Double, "left edge of the box in pixels of the displayed picture"),
        Column::new("top", Kind::Double, "top edge"),
        Column::new("right", Kind::Double, "right edge"),
        Column::new("bottom", Kind::Double, "bottom edge"),
    ];
    let mut metadata = facts(context, recipe);
    metadata.push(("model".into(), context.model_name(recipe)));
    let mut table = TableFile::create(&context.path("objects.parquet"), columns, metadata)?;
    each(context, recipe, "objects.json", |id, seen| {
        for keyframe in seen["keyframes"].as_array().into_iter().flatten() {
            for object in keyframe["objects"]["objects"].as_array().into_iter().flatten() {
                let number = |value: &Value| Cell::Double(value.as_f64().unwrap_or(f64::NAN));
                let class = object["class"].as_u64().unwrap_or(0);
                let label = usize::try_from(class).ok().and_then(|class| seen["classes"][class].as_str());
                table.push(vec![
                    Cell::text(id),
                    Cell::Int(keyframe["index"].as_i64().unwrap_or(0)),
                    number(&keyframe["time_s"]),
                    Cell::int(class),
                    Cell::text(label.unwrap_or("unknown")),
                    number(&object["confidence"]),
                    number(&object["box"]["left"]),
                    number(&object["box"]["top"]),
                    number(&object["box"]["right"]),
                    number(&object["box"]["bottom"]),
                ])?;
            }
        }
        Ok(())
    })
    .await?;
    let (rows, columns) = table.finish()?;
    Ok(FileEntry::of("objects.parquet", "one row per object in a scene-object keyframe", Some(rows), columns))
}
