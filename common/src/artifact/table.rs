//! A committed table of embeddings: one file or, above [`SHARD_ROWS`] rows, several files (shards).
//!
//! | rows | files |
//! |---|---|
//! | up to [`SHARD_ROWS`], and every table of an earlier version | `embeddings.parquet` |
//! | more | `embeddings-00000.parquet`, `embeddings-00001.parquet` and so on |
//!
//! Readers hold one file at a time, and of it one row group. Shards have names of their own, so
//! that a program that knows one file alone refuses the table and does not read a part of it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::table_file::{self, TableWriter};
use super::{Body, CommitRecord, FileRecord, Recipe, Subject, commit, read_file};
use crate::error::{Error, Result};
use crate::hash::{self, Hash};
use crate::settings::TablePrecision;
use crate::store::ObjectStore;

/// Rows in one shard: 26 MB of vectors of 1,280 numbers.
pub const SHARD_ROWS: usize = 5_000;

/// The fact of a commit record that describes shards.
const SHARDS: &str = "shards";

/// One shard, in the facts of the commit record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shard {
    /// The number of rows.
    pub rows: u64,
    /// The id of the first row, which is the smallest.
    pub first: String,
    /// The id of the last row, which is the largest.
    pub last: String,
}

/// The rows of a table that are read.
#[derive(Debug, Clone)]
pub enum Wanted {
    /// Every row.
    All,
    /// The rows of these ids, in ascending order.
    Ids(Arc<Vec<String>>),
}

impl Wanted {
    /// Returns whether the row of this id is read.
    fn has(&self, id: &str) -> bool {
        match self {
            Wanted::All => true,
            Wanted::Ids(ids) => ids.binary_search_by(|wanted| wanted.as_str().cmp(id)).is_ok(),
        }
    }

    /// Returns whether any id between that of the shard's first and last row is read.
    fn meets(&self, shard: &Shard) -> bool {
        match self {
            Wanted::All => true,
            Wanted::Ids(ids) => {
                let at = ids.partition_point(|id| *id < shard.first);
                ids.get(at).is_some_and(|id| *id <= shard.last)
            }
        }
    }
}

/// Returns the parameters of a table's recipe: a table of one file of float32 has none, as in every
/// version.
pub fn params(rows: usize, precision: TablePrecision) -> Value {
    let mut params = if rows > SHARD_ROWS { json!({ "shard_rows": SHARD_ROWS }) } else { json!({}) };
    if !precision.is_default() {
        params["precision"] = json!(precision);
    }
    params
}

/// Returns whether a table is stored in shards.
pub fn is_sharded(record: &CommitRecord) -> bool {
    record.recipe.params.get("shard_rows").is_some()
}

/// Returns the hash of a table, which is upstream of cells: that of its file, or one over those of
/// its shards. None for a table without rows, which has no file.
pub fn content(record: &CommitRecord) -> Option<Hash> {
    match record.files.as_slice() {
        [] => None,
        [one] if !is_sharded(record) => Some(one.sha256),
        several => Some(hash::of_json(&json!(several.iter().map(|file| file.sha256).collect::<Vec<_>>()))),
    }
}

/// Writes a table row by row into the files of a folder, in bounded memory.
pub struct ShardedWriter {
    folder: PathBuf,
    sharded: bool,
    precision: TablePrecision,
    open: Option<TableWriter>,
    files: Vec<(String, PathBuf)>,
    shards: Vec<Shard>,
}

impl ShardedWriter {
    /// Creates a writer of files in `folder`. `expected` is the number of rows that the table may
    /// have: it decides between one file and shards, as in [`params`].
    pub fn new(folder: &Path, expected: usize, precision: TablePrecision) -> Self {
        let folder = folder.to_path_buf();
        Self { folder, sharded: expected > SHARD_ROWS, precision, open: None, files: Vec::new(), shards: Vec::new() }
    }

    /// Adds a row, in ascending order of id.
    ///
    /// # Errors
    /// A vector of another length than the one before, or a full disk.
    pub fn push(&mut self, id: &str, vector: &[f32]) -> Result<()> {
        let is_full = self.sharded && self.shards.last().is_some_and(|shard| shard.rows as usize == SHARD_ROWS);
        if is_full && let Some(full) = self.open.take() {
            if full.dim() != vector.len() {
                return Err(table_file::other_length(id, vector.len(), full.dim()));
            }
            full.finish()?;
        }
        let writer = match &mut self.open {
            Some(writer) => writer,
            none => {
                let name = match self.sharded {
                    true => format!("embeddings-{:05}.parquet", self.files.len()),
                    false => table_file::FILE.to_owned(),
                };
                let path = self.folder.join(&name);
                let writer = TableWriter::create(&path, vector.len(), self.precision)?;
                self.files.push((name, path));
                self.shards.push(Shard { rows: 0, first: id.to_owned(), last: String::new() });
                none.insert(writer)
            }
        };
        writer.push(id, vector)?;
        if let Some(shard) = self.shards.last_mut() {
            shard.rows += 1;
            id.clone_into(&mut shard.last);
        }
        Ok(())
    }

    /// Closes the last file. Returns the files by name in their order, and the number of rows.
    pub fn finish(&mut self) -> Result<(Vec<(String, PathBuf)>, u64)> {
        if let Some(writer) = self.open.take() {
            writer.finish()?;
        }
        Ok((std::mem::take(&mut self.files), self.shards.iter().map(|shard| shard.rows).sum()))
    }

    /// Commits the rows as the table of this recipe and subject, with their number and what readers
    /// need to know about shards as facts.
    ///
    /// # Errors
    /// A full disk, and those of [`commit`].
    pub async fn commit(
        mut self,
        store: &dyn ObjectStore,
        recipe: &Recipe,
        subject: &Subject,
        mut facts: Value,
    ) -> Result<()> {
        let (files, rows) = self.finish()?;
        facts["rows"] = json!(rows);
        if self.sharded {
            facts[SHARDS] = json!(self.shards);
        }
        let files = files.iter().map(|(name, path)| (name.as_str(), Body::File(path.clone()))).collect();
        commit(store, recipe, subject, files, facts).await?;
        Ok(())
    }
}

/// Calls `visit` with the rows of a committed table that are wanted, in ascending order of id.
/// Shards without a wanted row are not read.
///
/// # Errors
/// InvalidInput for a damaged table, as [`read_file`]; those of `visit`.
pub async fn each_row(
    store: &dyn ObjectStore,
    record: &CommitRecord,
    wanted: &Wanted,
    mut visit: impl FnMut(String, Vec<f32>) -> Result<()>,
) -> Result<()> {
    for file in files(record, wanted)? {
        let bytes = read_file(store, record, &file.name).await?;
        let of = wanted.clone();
        let rows = tokio::task::spawn_blocking(move || {
            let mut rows = Vec::new();
            table_file::each_row_of(
                bytes,
                |id| of.has(id),
                |id, row| {
                    rows.push((id.to_owned(), row.to_vec()));
                    Ok(())
                },
            )?;
            Ok::<_, Error>(rows)
        });
        let rows = rows.await.map_err(|e| Error::bug("reading a table panicked").with_source(e))?;
        let rows = rows.map_err(|e| e.context(file.name.clone()))?;
        rows.into_iter().try_for_each(|(id, row)| visit(id, row))?;
    }
    Ok(())
}

/// Lists the files of a table that may hold wanted rows, in order.
fn files<'a>(record: &'a CommitRecord, wanted: &Wanted) -> Result<Vec<&'a FileRecord>> {
    if !is_sharded(record) {
        return Ok(record.files.iter().collect());
    }
    let damaged = || Error::invalid("the commit record of a table does not describe its files: submit the run again");
    let shards: Vec<Shard> = serde_json::from_value(record.facts[SHARDS].clone()).map_err(|_| damaged())?;
    if shards.len() != record.files.len() {
        return Err(damaged());
    }
    Ok(record.files.iter().zip(&shards).filter(|(_, shard)| wanted.meets(shard)).map(|(file, _)| file).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact::{self, ArtifactKey, ArtifactKind};
    use crate::store::local::LocalStore;

    /// Commits a table of rows `tt0000000` and so on of two numbers, and returns its record.
    async fn commit(store: &LocalStore, rows: usize) -> CommitRecord {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut writer = ShardedWriter::new(folder.path(), rows, TablePrecision::Float32);
        for i in 0..rows {
            writer.push(&format!("tt{i:07}"), &[i as f32, 1.0]).expect("room on disk");
        }
        let recipe = Recipe::new(ArtifactKind::VideoTable, params(rows, TablePrecision::Float32)).expect("JSON");
        let subject = Subject { id: "d".into(), content: hash::of_bytes(&rows.to_le_bytes()) };
        writer.commit(store, &recipe, &subject, json!({})).await.expect("room on disk");
        let key = ArtifactKey::new(&recipe, &subject);
        let record = artifact::committed(store, &key).await.expect("readable").expect("committed");
        assert_eq!(record.facts["rows"], rows);
        record
    }

    async fn read(store: &LocalStore, record: &CommitRecord, wanted: &Wanted) -> Result<Vec<(String, Vec<f32>)>> {
        let mut rows = Vec::new();
        each_row(store, record, wanted, |id, row| {
            rows.push((id, row));
            Ok(())
        })
        .await?;
        Ok(rows)
    }

    fn ids(of: &[usize]) -> Wanted {
        Wanted::Ids(Arc::new(of.iter().map(|i| format!("tt{i:07}")).collect()))
    }

    #[tokio::test]
    async fn a_large_table_has_shards_and_gives_back_every_row_in_order() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = LocalStore::open(folder.path()).expect("a folder");
        for (rows, files) in [(3, 1), (SHARD_ROWS, 1), (SHARD_ROWS + 1, 2), (2 * SHARD_ROWS, 2)] {
            let record = commit(&store, rows).await;
            assert_eq!((record.files.len(), is_sharded(&record)), (files, files > 1));
            let found = read(&store, &record, &Wanted::All).await.expect("a table");
            assert_eq!(found.len(), rows);
            assert!(found.iter().enumerate().all(|(i, (id, row))| *id == format!("tt{i:07}") && row[0] == i as f32));
            let name = &record.files[0].name;
            assert_eq!(name == table_file::FILE, files == 1, "an earlier program must not read a part: {name}");
        }
    }

    #[tokio::test]
    async fn only_shards_with_a_wanted_row_are_read() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = LocalStore::open(folder.path()).expect("a folder");
        let record = commit(&store, 3 * SHARD_ROWS).await;
        let lost = record.files[1].key(&ArtifactKey::new(&record.recipe, &record.subject));
        store.delete(&lost).await.expect("a folder that can be written");
        let wanted = [7, SHARD_ROWS - 1, 2 * SHARD_ROWS];
        let found = read(&store, &record, &ids(&wanted)).await.expect("the two other shards");
        assert_eq!(found.iter().map(|(_, row)| row[0] as usize).collect::<Vec<_>>(), wanted);
        assert!(read(&store, &record, &ids(&[SHARD_ROWS])).await.is_err(), "a lost shard is an error");
        assert!(read(&store, &record, &Wanted::All).await.is_err(), "a lost shard is an error");
        assert!(read(&store, &record, &ids(&[99 * SHARD_ROWS])).await.expect("no shard").is_empty());
    }
}
