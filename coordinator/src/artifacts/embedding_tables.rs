//! Gathers the embeddings of a run into one Parquet table for each modality, which training jobs
//! read in one request.

use futures::{StreamExt, TryStreamExt, stream};
use jhalak_common::artifact::embedding_file::{self, Vectors};
use jhalak_common::artifact::recipes::{KEYFRAMES, SOUND_PARTS};
use jhalak_common::artifact::table::{self, ShardedWriter};
use jhalak_common::artifact::{self, ArtifactKey, ArtifactKind, CommitRecord, Recipe, Subject};
use jhalak_common::hash::{self, Hash};
use jhalak_common::store::ObjectStore;
use jhalak_common::{Error, Result};
use serde_json::json;

use crate::artifacts::MAX_CONCURRENT_REQUESTS;
use crate::plan::Plan;
use crate::plan::trailer_index::TrailerIndex;

/// Returns the committed tables of the run: given ones, and gathered ones. Makes none.
pub async fn committed(store: &dyn ObjectStore, plan: &Plan) -> Result<Vec<GatheredTable>> {
    let mut found = given(store, plan).await?;
    for (kind, source) in plan.embeddings() {
        found.extend(find(store, plan, kind, source).await?.and_then(|(_, table)| table));
    }
    Ok(found)
}

/// Returns the tables of the run that were given and are committed.
pub async fn given(store: &dyn ObjectStore, plan: &Plan) -> Result<Vec<GatheredTable>> {
    let mut found = Vec::new();
    for given in &plan.spec.given {
        if let Some(record) = artifact::committed(store, &ArtifactKey::new(&given.recipe, &given.subject)).await? {
            found.extend(describe(&given.recipe, &record)?);
        }
    }
    Ok(found)
}

/// Trailers of a plan whose embeddings are gathered.
pub struct Subjects<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// Their indexes in the plan, in the order of the table.
    pub rows: Vec<u32>,
}

impl Subjects<'_> {
    /// Returns the number of rows that a table of this kind may have. It decides on shards before
    /// an embedding is read.
    fn most_rows(&self, kind: ArtifactKind) -> usize {
        let each = match kind {
            ArtifactKind::VideoParts => KEYFRAMES as usize,
            ArtifactKind::AudioParts => SOUND_PARTS,
            _ => 1,
        };
        self.rows.len() * each
    }

    fn iter(&self) -> impl Iterator<Item = Subject> {
        self.rows.iter().filter_map(|&row| Some(self.plan.trailers.trailers.get(row as usize)?.subject))
    }
}

/// A committed table of embeddings.
#[derive(Debug, Clone)]
pub struct GatheredTable {
    /// The kind of table.
    pub kind: ArtifactKind,
    /// The recipe of the table.
    pub recipe: Hash,
    /// The recipe of the embeddings; the table's own if they were given.
    pub source: Hash,
    /// The name of the dataset, and a hash of the trailers that have an embedding.
    pub subject: Subject,
    /// The hash of its file or files ([`table::content`]), which is upstream of cells.
    pub sha256: Hash,
    /// The number of trailers in the table; in a table of parts, the number of parts.
    pub rows: u64,
    /// The trailers whose embedding is empty, such as those without sound, in order.
    pub without: Vec<String>,
    /// The trailers whose embedding is that of a clip of zeros, because no keyframe was chosen, in
    /// order.
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
    gather_these(store, kind, source, &subjects).await
}

/// Does the same as [`gather`] for trailers whose embeddings are known to be committed.
pub async fn gather_these(
    store: &dyn ObjectStore,
    kind: ArtifactKind,
    source: &Recipe,
    subjects: &Subjects<'_>,
) -> Result<Option<GatheredTable>> {
    if subjects.rows.is_empty() {
        return Ok(None);
    }
    let table = Address::of(kind, source, subjects)?;
    let record = match table.committed(store).await? {
        Some(record) => record,
        None => {
            write(store, &table, source, subjects).await?;
            let committed = table.committed(store).await?;
            committed.ok_or_else(|| Error::bug("a table was committed and does not exist"))?
        }
    };
    describe(source, &record)
}

/// Where the table of these embeddings is.
struct Address {
    /// How this version makes it.
    recipe: Recipe,
    /// How earlier versions made it, if that differs: in one file, whatever its size.
    earlier: Option<Recipe>,
    subject: Subject,
}

impl Address {
    /// The address of the table `kind` of these embeddings.
    fn of(kind: ArtifactKind, source: &Recipe, subjects: &Subjects<'_>) -> Result<Address> {
        let with = |params| -> Result<Recipe> {
            let mut recipe = Recipe::new(kind, params)?;
            recipe.upstream = vec![source.hash()];
            Ok(recipe)
        };
        let precision = subjects.plan.spec.table_precision;
        let recipe = with(table::params(subjects.most_rows(kind), precision))?;
        let earlier = if precision.is_default() { Some(with(json!({}))?) } else { None };
        let content = hash::of_rows(subjects.iter())?;
        let subject = Subject { id: subjects.plan.spec.dataset.id.clone(), content };
        Ok(Address { earlier: earlier.filter(|earlier| *earlier != recipe), recipe, subject })
    }

    /// Returns the record of the table. One of an earlier version stays the run's table, so that
    /// what was trained on it stays valid.
    async fn committed(&self, store: &dyn ObjectStore) -> Result<Option<CommitRecord>> {
        if let Some(earlier) = &self.earlier
            && let Some(record) = artifact::committed(store, &ArtifactKey::new(earlier, &self.subject)).await?
        {
            return Ok(Some(record));
        }
        artifact::committed(store, &ArtifactKey::new(&self.recipe, &self.subject)).await
    }
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
    if subjects.rows.is_empty() {
        return Ok(None);
    }
    let table = Address::of(kind, source, &subjects)?;
    Ok(Some(match table.committed(store).await? {
        Some(record) => (ArtifactKey::new(&record.recipe, &record.subject), describe(source, &record)?),
        None => (ArtifactKey::new(&table.recipe, &table.subject), None),
    }))
}

/// Lists the trailers of the plan that have a committed embedding of this recipe.
async fn committed_subjects<'a>(store: &dyn ObjectStore, plan: &'a Plan, source: &Recipe) -> Result<Subjects<'a>> {
    let mut rows = TrailerIndex::new(&plan.trailers.trailers).committed(store, source).await?;
    rows.sort_unstable();
    rows.dedup();
    Ok(Subjects { plan, rows })
}

fn describe(source: &Recipe, record: &CommitRecord) -> Result<Option<GatheredTable>> {
    let kind = record.recipe.kind;
    let damaged =
        || Error::invalid(format!("the commit record of the {} is damaged: delete it and repeat the run", kind.name()));
    let rows = record.facts["rows"].as_u64().ok_or_else(damaged)?;
    let without = serde_json::from_value(record.facts["without"].clone()).map_err(|_| damaged())?;
    // Tables of earlier versions, and those without such trailers, do not have it.
    let zero_clips = serde_json::from_value(record.facts["zero_clips"].clone()).unwrap_or_default();
    let Some(sha256) = table::content(record) else { return Ok(None) };
    Ok(Some(GatheredTable {
        kind,
        recipe: record.recipe.hash(),
        source: source.hash(),
        subject: record.subject.clone(),
        sha256,
        rows,
        without,
        zero_clips,
    }))
}

async fn write(store: &dyn ObjectStore, table: &Address, source: &Recipe, subjects: &Subjects<'_>) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let kind = table.recipe.kind;
    let mut writer = ShardedWriter::new(folder.path(), subjects.most_rows(kind), subjects.plan.spec.table_precision);
    let (mut without, mut zero_clips) = (Vec::new(), Vec::new());
    let vectors = stream::iter(subjects.iter())
        .map(|subject| async move { read_embedding_with(store, source, &subject, kind.has_parts()).await });
    let mut vectors = vectors.buffered(MAX_CONCURRENT_REQUESTS);
    while let Some(Embedding { id, vector, parts, is_zero_clip }) = vectors.try_next().await? {
        zero_clips.extend(is_zero_clip.then(|| id.clone()));
        match vector {
            // A model that takes a trailer at once gives one vector, which is the only part.
            Some(vector) if parts.is_empty() => writer.push(&id, &vector)?,
            Some(_) => parts.iter().try_for_each(|part| writer.push(&id, part))?,
            None => without.push(id),
        }
    }
    drop(vectors);
    let mut facts = json!({ "without": without });
    if !zero_clips.is_empty() {
        facts["zero_clips"] = json!(zero_clips);
    }
    writer.commit(store, &table.recipe, &table.subject, facts).await
}

/// The embedding of a trailer.
pub(crate) struct Embedding {
    /// The movie's id.
    pub id: String,
    /// The vector; None for an embedding without a file.
    pub vector: Option<Vec<f32>>,
    /// The vectors of keyframes or windows, if they were requested and the embedding has them.
    parts: Vec<Vec<f32>>,
    /// Whether the vector is that of a clip of zeros.
    pub is_zero_clip: bool,
}

/// Reads the embedding of a trailer.
#[cfg(feature = "local")]
pub(crate) async fn read_embedding(store: &dyn ObjectStore, source: &Recipe, subject: &Subject) -> Result<Embedding> {
    read_embedding_with(store, source, subject, false).await
}

/// Reads the embedding of a trailer, with its parts if `with_parts` is true.
async fn read_embedding_with(
    store: &dyn ObjectStore,
    source: &Recipe,
    subject: &Subject,
    with_parts: bool,
) -> Result<Embedding> {
    let key = ArtifactKey::new(source, subject);
    let record = artifact::committed(store, &key)
        .await?
        .ok_or_else(|| Error::transient(format!("{} was deleted while it was read", key.folder())))?;
    let is_zero_clip = record.facts.get("zero_clip").is_some();
    let mut embedding = Embedding { id: subject.id.clone(), vector: None, parts: Vec::new(), is_zero_clip };
    if record.files.is_empty() {
        return Ok(embedding);
    }
    let bytes = artifact::read_file(store, &record, embedding_file::FILE).await?;
    let read = |bytes| match with_parts {
        true => embedding_file::decode(bytes),
        false => Ok(Vectors { mean: embedding_file::decode_mean(bytes)?, parts: None }),
    };
    let Vectors { mean, parts } = read(&bytes).map_err(|e| e.context(key.folder()))?;
    (embedding.vector, embedding.parts) = (Some(mean), parts.unwrap_or_default());
    Ok(embedding)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::testing::{commit_one, empty_store, plan};
    use jhalak_common::artifact::Body;
    use jhalak_common::artifact::table::{SHARD_ROWS, Wanted};
    use jhalak_common::artifact::table_file::{self, TableWriter};
    use jhalak_common::evaluation::{CellSpec, Modality, Model, Split, UserEmbedding};
    use jhalak_common::settings::TablePrecision;

    #[tokio::test]
    async fn a_table_holds_every_committed_embedding_and_names_trailers_without_sound() {
        let (_folder, store) = empty_store();
        let (store, plan) = (store.as_ref(), plan(3));
        let (kind, source) = plan.embeddings().last().expect("audio embeddings");
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
        let mut rows = Vec::new();
        let keep = |id, _| {
            rows.push(id);
            Ok(())
        };
        table::each_row(store, &record, &Wanted::All, keep).await.expect("a table");
        assert_eq!(rows, ["m0"]);
    }

    #[tokio::test]
    async fn a_table_of_parts_has_a_row_for_each_part_and_the_table_of_means_stays_as_it_is() {
        let (_folder, store) = empty_store();
        let (store, mut plan) = (store.as_ref(), plan(400));
        let kinds = |plan: &Plan| plan.embeddings().map(|(kind, _)| kind).collect::<Vec<_>>();
        let before = kinds(&plan);
        let model = Model::TrailerAttention;
        plan.spec.cells.push(CellSpec::strict(Split::Pairs, Modality::Video, model, UserEmbedding::Liked, true));
        assert_eq!(kinds(&plan), [before[0], ArtifactKind::VideoParts, before[1]]);
        let (kind, source) = plan.embeddings().nth(1).expect("parts");
        // 400 trailers of up to 16 parts: shards, though all but one have a mean alone.
        for (i, trailer) in plan.trailers.trailers.iter().enumerate() {
            let parts = [0.0, 1.0, 2.0, 3.0, i as f32, 5.0];
            let parts = (i == 7).then_some(parts.as_slice());
            let bytes = embedding_file::encode(&[1.0, 2.0], parts, &json!({})).expect("an embedding");
            let files = vec![(embedding_file::FILE, Body::Bytes(bytes))];
            artifact::commit(store, source, &trailer.subject, files, json!({})).await.expect("room on disk");
        }
        let means = gather(store, &plan, ArtifactKind::VideoTable, source).await.expect("a store").expect("a table");
        let table = gather(store, &plan, kind, source).await.expect("a store").expect("a table");
        assert_eq!((means.rows, table.rows), (400, 402));
        let key = ArtifactKey { kind, recipe: table.recipe, subject: table.subject.clone() };
        let record = artifact::committed(store, &key).await.expect("a readable record").expect("a table");
        assert!(table::is_sharded(&record));
        let mut of_m7 = Vec::new();
        let keep = |id, row: Vec<f32>| {
            if id == "m7" {
                of_m7.extend(row);
            }
            Ok(())
        };
        table::each_row(store, &record, &Wanted::All, keep).await.expect("a table");
        assert_eq!(of_m7, [0.0, 1.0, 2.0, 3.0, 7.0, 5.0]);
    }

    #[tokio::test]
    async fn a_large_table_of_an_earlier_version_stays_the_table_of_its_run() {
        let (folder, store) = empty_store();
        let (store, plan) = (store.as_ref(), plan(SHARD_ROWS + 1));
        let (kind, source) = plan.embeddings().next().expect("video embeddings");
        let mut rows: Vec<u32> = (0..plan.trailers.trailers.len() as u32).collect();
        rows.sort_by_key(|&row| &plan.trailers.trailers[row as usize].subject);
        let subjects = Subjects { plan: &plan, rows };
        let address = Address::of(kind, source, &subjects).expect("a recipe");
        let path = folder.path().join("t");
        let mut writer = TableWriter::create(&path, 1, TablePrecision::Float32).expect("a new file");
        subjects.iter().for_each(|subject| writer.push(&subject.id, &[1.0]).expect("room on disk"));
        writer.finish().expect("room on disk");
        let facts = json!({ "rows": subjects.rows.len(), "without": [] });
        let earlier = address.earlier.as_ref().expect("it was made in another way");
        let files = vec![(table_file::FILE, Body::File(path))];
        artifact::commit(store, earlier, &address.subject, files, facts).await.expect("room on disk");
        // No embedding is in the store: what is gathered is the earlier table.
        let table = gather_these(store, kind, source, &subjects).await.expect("no embedding is read");
        let table = table.expect("the earlier table");
        let record = artifact::committed(store, &ArtifactKey::new(earlier, &address.subject)).await;
        assert_eq!(
            (table.recipe, table.sha256),
            (earlier.hash(), record.expect("readable").expect("it").files[0].sha256)
        );
    }

    #[tokio::test]
    async fn a_table_is_made_once_and_another_one_when_a_trailer_is_added() {
        let (_folder, store) = empty_store();
        let (store, plan) = (store.as_ref(), plan(3));
        let (kind, source) = plan.embeddings().next().expect("video embeddings");
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
