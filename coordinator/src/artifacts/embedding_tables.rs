//! Gathers the embeddings of a run into one Parquet table for each modality, which training jobs
//! read in one request.

use std::collections::BTreeSet;

use futures::{StreamExt, TryStreamExt, stream};
use jhalak_common::artifact::embedding_file;
use jhalak_common::artifact::table_file::{self, TableWriter};
use jhalak_common::artifact::{self, ArtifactKey, ArtifactKind, Body, CommitRecord, Recipe, Subject};
use jhalak_common::hash::{self, Hash};
use jhalak_common::store::ObjectStore;
use jhalak_common::{Error, Result};
use serde_json::json;

use crate::artifacts::MAX_CONCURRENT_REQUESTS;
use crate::plan::Plan;

/// Returns the kind of table that embeddings of this kind are gathered into.
pub fn table_of(embedding: ArtifactKind) -> Option<ArtifactKind> {
    match embedding {
        ArtifactKind::VideoEmbedding => Some(ArtifactKind::VideoTable),
        ArtifactKind::AudioEmbedding => Some(ArtifactKind::AudioTable),
        _ => None,
    }
}

/// Lists the plan's recipes of embeddings, each with the kind of its table, in the order of the
/// plan.
pub fn sources(plan: &Plan) -> impl Iterator<Item = (ArtifactKind, &Recipe)> {
    plan.spec.recipes.iter().filter_map(|recipe| Some((table_of(recipe.kind)?, recipe)))
}

/// A committed table of embeddings.
#[derive(Debug, Clone)]
pub struct GatheredTable {
    /// The kind of table.
    pub kind: ArtifactKind,
    /// The recipe of the table.
    pub recipe: Hash,
    /// The recipe of the embeddings.
    pub source: Hash,
    /// The name of the dataset, and a hash of the trailers that have an embedding.
    pub subject: Subject,
    /// The hash of the file, which is upstream of cells.
    pub sha256: Hash,
    /// The number of trailers in the table.
    pub rows: u64,
    /// The trailers whose embedding is empty, such as those without sound, in order.
    pub without: Vec<String>,
    /// The trailers whose embedding is that of a clip of zeros, because no keyframe was chosen, in order.
    pub zero_clips: Vec<String>,
}

/// Returns the table `kind` of all committed embeddings of the recipe `source`, and makes it when
/// it does not exist. None when no trailer has an embedding.
pub async fn gather(
    store: &dyn ObjectStore,
    plan: &Plan,
    kind: ArtifactKind,
    source: &Recipe,
) -> Result<Option<GatheredTable>> {
    let subjects = committed_subjects(store, plan, source).await?;
    gather_these(store, plan, kind, source, subjects).await
}

/// Does the same as [`gather`] for trailers whose embeddings are known to be committed.
pub async fn gather_these(
    store: &dyn ObjectStore,
    plan: &Plan,
    kind: ArtifactKind,
    source: &Recipe,
    subjects: Vec<&Subject>,
) -> Result<Option<GatheredTable>> {
    if subjects.is_empty() {
        return Ok(None);
    }
    let (recipe, subject) = table(plan, kind, source, &subjects)?;
    let key = ArtifactKey::new(&recipe, &subject);
    let record = match artifact::committed(store, &key).await? {
        Some(record) => record,
        None => {
            write(store, &recipe, &subject, source, &subjects).await?;
            artifact::committed(store, &key)
                .await?
                .ok_or_else(|| Error::bug("a table was committed and does not exist"))?
        }
    };
    describe(kind, &recipe, source, subject, &record)
}

/// The recipe and the subject of the table `kind` of these embeddings.
fn table(plan: &Plan, kind: ArtifactKind, source: &Recipe, subjects: &[&Subject]) -> Result<(Recipe, Subject)> {
    let mut recipe = Recipe::new(kind, json!({}))?;
    recipe.upstream = vec![source.hash()];
    let content = hash::of_bytes(hash::canonical_rows(subjects)?.as_bytes());
    Ok((recipe, Subject { id: plan.spec.dataset.id.clone(), content }))
}

/// Looks up the table `kind` of all committed embeddings and makes none. Returns the key, and the
/// table when it is committed; None when no trailer has an embedding.
pub async fn find(
    store: &dyn ObjectStore,
    plan: &Plan,
    kind: ArtifactKind,
    source: &Recipe,
) -> Result<Option<(ArtifactKey, Option<GatheredTable>)>> {
    let subjects = committed_subjects(store, plan, source).await?;
    if subjects.is_empty() {
        return Ok(None);
    }
    let (recipe, subject) = table(plan, kind, source, &subjects)?;
    let key = ArtifactKey::new(&recipe, &subject);
    let found = match artifact::committed(store, &key).await? {
        Some(record) => describe(kind, &recipe, source, subject, &record)?,
        None => None,
    };
    Ok(Some((key, found)))
}

/// Lists the trailers of the plan that have a committed embedding of this recipe.
pub async fn committed_subjects<'a>(
    store: &dyn ObjectStore,
    plan: &'a Plan,
    source: &Recipe,
) -> Result<Vec<&'a Subject>> {
    let committed: BTreeSet<String> =
        artifact::list_committed(store, source.kind, &source.hash()).await?.into_iter().collect();
    let subjects = plan.trailers.trailers.iter().map(|t| &t.subject);
    Ok(subjects.filter(|s| committed.contains(&ArtifactKey::subject_folder(s))).collect())
}

fn describe(
    kind: ArtifactKind,
    recipe: &Recipe,
    source: &Recipe,
    subject: Subject,
    record: &CommitRecord,
) -> Result<Option<GatheredTable>> {
    let damaged = || Error::invalid(format!("the commit record of the {} is damaged", kind.name()));
    let rows = record.facts["rows"].as_u64().ok_or_else(damaged)?;
    let without = serde_json::from_value(record.facts["without"].clone()).map_err(|_| damaged())?;
    // Tables of earlier versions, and those without such trailers, do not have it.
    let zero_clips = serde_json::from_value(record.facts["zero_clips"].clone()).unwrap_or_default();
    let Some(file) = record.files.first() else { return Ok(None) };
    Ok(Some(GatheredTable {
        kind,
        recipe: recipe.hash(),
        source: source.hash(),
        subject,
        sha256: file.sha256,
        rows,
        without,
        zero_clips,
    }))
}

async fn write(
    store: &dyn ObjectStore,
    recipe: &Recipe,
    subject: &Subject,
    source: &Recipe,
    subjects: &[&Subject],
) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join(table_file::FILE);
    let mut writer: Option<TableWriter> = None;
    let (mut rows, mut without, mut zero_clips) = (0u64, Vec::new(), Vec::new());
    let mut vectors =
        stream::iter(subjects).map(|s| read_embedding(store, source, s)).buffered(MAX_CONCURRENT_REQUESTS);
    while let Some(Embedding { id, vector, is_zero_clip }) = vectors.try_next().await? {
        zero_clips.extend(is_zero_clip.then(|| id.clone()));
        let Some(vector) = vector else {
            without.push(id);
            continue;
        };
        let writer = match &mut writer {
            Some(writer) => writer,
            none => none.insert(TableWriter::create(&path, vector.len())?),
        };
        writer.push(&id, &vector)?;
        rows += 1;
    }
    drop(vectors);
    let files = match writer {
        Some(writer) => {
            writer.finish()?;
            vec![(table_file::FILE, Body::File(path))]
        }
        None => Vec::new(),
    };
    let mut facts = json!({ "rows": rows, "without": without });
    if !zero_clips.is_empty() {
        facts["zero_clips"] = json!(zero_clips);
    }
    artifact::commit(store, recipe, subject, files, facts).await?;
    Ok(())
}

/// The embedding of a trailer.
pub(crate) struct Embedding {
    /// The movie's id.
    pub id: String,
    /// The vector; None for an embedding without a file.
    pub vector: Option<Vec<f32>>,
    /// Whether the vector is that of a clip of zeros.
    pub is_zero_clip: bool,
}

/// Reads the embedding of a trailer.
pub(crate) async fn read_embedding(store: &dyn ObjectStore, source: &Recipe, subject: &Subject) -> Result<Embedding> {
    let key = ArtifactKey::new(source, subject);
    let record = artifact::committed(store, &key)
        .await?
        .ok_or_else(|| Error::transient(format!("{} was deleted while it was read", key.folder())))?;
    let is_zero_clip = record.facts.get("zero_clip").is_some();
    let id = subject.id.clone();
    if record.files.is_empty() {
        return Ok(Embedding { id, vector: None, is_zero_clip });
    }
    let bytes = artifact::read_file(store, &record, embedding_file::FILE).await?;
    let mean = embedding_file::decode_mean(&bytes).map_err(|e| e.context(key.folder()))?;
    Ok(Embedding { id, vector: Some(mean), is_zero_clip })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::testing::{commit_one, empty_store, plan};

    #[tokio::test]
    async fn a_table_holds_every_committed_embedding_and_names_trailers_without_sound() {
        let (_folder, store) = empty_store();
        let (store, plan) = (store.as_ref(), plan(3));
        let (kind, source) = sources(&plan).last().expect("audio embeddings");
        assert_eq!(kind, ArtifactKind::AudioTable);
        assert!(gather(store, &plan, kind, source).await.expect("a readable store").is_none());
        assert!(find(store, &plan, kind, source).await.expect("a readable store").is_none());
        let [first, silent] = [0, 2].map(|i| &plan.trailers.trailers[i].subject);
        commit_one(store, source, first).await;
        artifact::commit(store, source, silent, Vec::new(), json!({})).await.expect("room on disk");
        let (_, found) = find(store, &plan, kind, source).await.expect("a readable store").expect("embeddings");
        assert!(found.is_none(), "a dry run makes no table");
        let table = gather(store, &plan, kind, source).await.expect("a readable store").expect("a table");
        assert_eq!((table.rows, table.without.as_slice()), (1, &["m2".to_string()][..]));
        let key = ArtifactKey { kind, recipe: table.recipe, subject: table.subject.clone() };
        let record = artifact::committed(store, &key).await.expect("a readable record").expect("a table");
        let rows =
            table_file::Table::read(artifact::read_file(store, &record, table_file::FILE).await.expect("a file"));
        assert!(rows.is_ok());
    }

    #[tokio::test]
    async fn a_table_is_made_once_and_another_one_when_a_trailer_is_added() {
        let (_folder, store) = empty_store();
        let (store, plan) = (store.as_ref(), plan(3));
        let (kind, source) = sources(&plan).next().expect("video embeddings");
        let subjects: Vec<&Subject> = plan.trailers.trailers.iter().map(|trailer| &trailer.subject).collect();
        commit_one(store, source, subjects[0]).await;
        commit_one(store, source, subjects[1]).await;
        let first = gather(store, &plan, kind, source).await.expect("a readable store").expect("a table");
        let second = gather(store, &plan, kind, source).await.expect("a readable store").expect("a table");
        assert_eq!((first.subject.clone(), first.sha256), (second.subject, second.sha256));
        let (_, found) = find(store, &plan, kind, source).await.expect("a readable store").expect("embeddings");
        assert_eq!(found.expect("the table").sha256, first.sha256);
        commit_one(store, source, subjects[2]).await;
        let third = gather(store, &plan, kind, source).await.expect("a readable store").expect("a table");
        assert_eq!((third.rows, third.recipe), (3, first.recipe));
        assert!(third.subject != first.subject && third.sha256 != first.sha256);
    }
}
