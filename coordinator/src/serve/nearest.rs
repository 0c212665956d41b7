//! The trailers nearest to a vector, found by one pass over the run's table of embeddings.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use jhalak_common::artifact::table_file;
use jhalak_common::artifact::{self, ArtifactKind};
use jhalak_common::{Error, Result};
use jhalak_worker::blocking;

use super::index::{RunIndex, TableFile};
use super::site::Site;
use crate::artifacts::embedding_tables;
use crate::inspect::embeddings::{Mean, cosine};

/// A trailer and how near it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Near {
    /// The movie's id.
    pub id: String,
    /// The cosine without the mean of all, from -1 to 1.
    pub similarity: f64,
}

/// Returns the table of the run's primary embeddings of this kind, downloaded once; None before it
/// is gathered.
pub async fn table(site: &Site, index: &RunIndex, embedding: ArtifactKind) -> Result<Option<Arc<TableFile>>> {
    let mut held = index.tables.lock().await;
    if let Some(table) = held.get(&embedding) {
        return Ok(Some(table.clone()));
    }
    let (plan, store) = (&index.plan, site.store.as_ref());
    let Some((kind, recipe)) = plan.embeddings().find(|(_, recipe)| recipe.kind == embedding) else {
        return Ok(None);
    };
    let Some((key, Some(_))) = embedding_tables::find(store, plan, kind, recipe).await? else { return Ok(None) };
    let Some(record) = artifact::committed(store, &key).await? else { return Ok(None) };
    let folder = tempfile::tempdir()?;
    let mut paths = Vec::new();
    for (number, file) in record.files.iter().enumerate() {
        let path = folder.path().join(number.to_string());
        store.download(&file.key(&key), &path, None).await?;
        paths.push(path);
    }
    let table = Arc::new(blocking::compute(move || TableFile::of(paths, folder)).await?);
    held.insert(embedding, table.clone());
    Ok(Some(table))
}

impl TableFile {
    /// Reads the mean of the rows in `paths`, which lie in `folder`.
    fn of(paths: Vec<PathBuf>, folder: tempfile::TempDir) -> Result<TableFile> {
        let mut mean = Mean::default();
        for path in &paths {
            table_file::each_row(File::open(path)?, &mut |_: &str, row: &[f32]| {
                mean.add(row);
                Ok(())
            })?;
        }
        Ok(TableFile { paths, folder, mean })
    }
}

/// Returns the `most` rows nearest to `vector`, nearest first, without the row `except`. Compares
/// without the mean of the rows, as the report does.
///
/// # Errors
/// InvalidInput for a vector of another length than the table's.
pub async fn nearest(table: Arc<TableFile>, vector: Vec<f32>, except: String, most: usize) -> Result<Vec<Near>> {
    blocking::compute(move || {
        let mut best: Vec<Near> = Vec::with_capacity(most + 1);
        let question = table.mean.without(&vector);
        let mut compare = |id: &str, row: &[f32]| {
            if row.len() != vector.len() {
                return Err(Error::invalid(format!(
                    "the table has vectors of {} numbers, and this trailer one of {}: they are of different models",
                    row.len(),
                    vector.len()
                )));
            }
            if id == except {
                return Ok(());
            }
            let similarity = cosine(&table.mean.without(row), &question);
            let place = best.partition_point(|near| near.similarity >= similarity);
            if place < most {
                best.insert(place, Near { id: id.to_owned(), similarity });
                best.truncate(most);
            }
            Ok(())
        };
        for path in &table.paths {
            table_file::each_row(File::open(path)?, &mut compare)?;
        }
        Ok(best)
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use jhalak_common::artifact::table_file::TableWriter;
    use jhalak_common::settings::TablePrecision;

    #[tokio::test]
    async fn the_nearest_rows_come_first_and_the_trailer_itself_is_left_out() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let shards: [&[(&str, [f32; 2])]; 2] =
            [&[("a", [1.0, 0.0]), ("b", [0.9, 0.1]), ("c", [0.0, 1.0])], &[("d", [-1.0, 0.0]), ("e", [0.0, 0.0])]];
        let mut paths = Vec::new();
        for (number, rows) in shards.iter().enumerate() {
            paths.push(folder.path().join(number.to_string()));
            let mut writer = TableWriter::create(&paths[number], 2, TablePrecision::Float32).expect("a new file");
            rows.iter().for_each(|(id, row)| writer.push(id, row).expect("two numbers"));
            writer.finish().expect("room on disk");
        }
        let table = Arc::new(TableFile::of(paths, folder).expect("readable"));
        let near = nearest(table.clone(), vec![2.0, 0.0], "a".into(), 3).await.expect("a table");
        assert_eq!(near.iter().map(|near| near.id.as_str()).collect::<Vec<_>>(), ["b", "c", "e"]);
        assert!((near[0].similarity - 0.9990).abs() < 1e-3, "{near:?}");
        assert!(nearest(table, vec![1.0], "a".into(), 3).await.is_err());
    }
}
