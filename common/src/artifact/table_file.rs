//! Tables of embeddings: one Parquet file that pandas and polars open, with one row per trailer:
//! `movie_id` (string) and `embedding` (list of float, or of float16).

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use half::f16;
use parquet::column::reader::ColumnReader;
use parquet::data_type::{ByteArray, ByteArrayType, FixedLenByteArray, FixedLenByteArrayType, FloatType};
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::reader::{ChunkReader, FileReader, SerializedFileReader};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

use crate::error::{Error, Result};
use crate::settings::TablePrecision;

/// Returns the schema of a table.
fn schema(precision: TablePrecision) -> String {
    let number = match precision {
        TablePrecision::Float32 => "float element",
        TablePrecision::Float16 => "fixed_len_byte_array(2) element (FLOAT16)",
    };
    format!(
        "message embeddings {{
            required binary movie_id (STRING);
            required group embedding (LIST) {{ repeated group list {{ required {number}; }} }}
        }}"
    )
}

/// The name of the one file of a table artifact.
pub const FILE: &str = "embeddings.parquet";

/// Rows in one row group: what a writer holds in memory.
const GROUP: usize = 1_000;

/// Embeddings by movie id, all of one dimension.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Table {
    /// The length of every vector; 0 for an empty table.
    pub dim: usize,
    /// The vectors.
    pub rows: BTreeMap<String, Vec<f32>>,
}

/// Writes a table row by row in bounded memory.
pub struct TableWriter {
    writer: SerializedFileWriter<File>,
    dim: usize,
    precision: TablePrecision,
    ids: Vec<ByteArray>,
    values: Vec<f32>,
}

impl TableWriter {
    /// Creates or replaces the file `path` for vectors of length `dim` (at least 1).
    pub fn create(path: &Path, dim: usize, precision: TablePrecision) -> Result<Self> {
        if dim == 0 {
            return Err(Error::bug("a table of embeddings of dimension 0"));
        }
        let schema = Arc::new(parse_message_type(&schema(precision)).map_err(cannot_write)?);
        let properties = WriterProperties::builder()
            .set_created_by("jhalak".into())
            .set_dictionary_enabled(false)
            .set_statistics_enabled(EnabledStatistics::None)
            .set_offset_index_disabled(true)
            .build();
        let writer =
            SerializedFileWriter::new(File::create(path)?, schema, Arc::new(properties)).map_err(cannot_write)?;
        Ok(TableWriter { writer, dim, precision, ids: Vec::new(), values: Vec::new() })
    }

    /// Adds a row. Callers add rows in ascending order of id, so that equal tables give equal
    /// files.
    ///
    /// # Errors
    /// InvalidInput for a vector of another length, or with a number that the precision cannot
    /// hold; a full disk.
    pub fn push(&mut self, id: &str, vector: &[f32]) -> Result<()> {
        if vector.len() != self.dim {
            return Err(other_length(id, vector.len(), self.dim));
        }
        if self.precision == TablePrecision::Float16
            && let Some(number) =
                vector.iter().find(|number| number.is_finite() && f16::from_f32(**number).is_infinite())
        {
            return Err(Error::invalid(format!(
                "the embedding of {id} holds {number}, and float16 ends at 65,504: set extract.table_precision to float32"
            )));
        }
        self.ids.push(id.into());
        self.values.extend_from_slice(vector);
        if self.ids.len() == GROUP { self.flush() } else { Ok(()) }
    }

    /// Returns the length of every vector.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Writes the remaining rows and closes the file.
    pub fn finish(mut self) -> Result<()> {
        self.flush()?;
        self.writer.close().map_err(cannot_write)?;
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        if self.ids.is_empty() {
            return Ok(());
        }
        let mut group = self.writer.next_row_group().map_err(cannot_write)?;
        let mut column = group
            .next_column()
            .map_err(cannot_write)?
            .ok_or_else(|| Error::bug("the schema has no column movie_id"))?;
        column.typed::<ByteArrayType>().write_batch(&self.ids, None, None).map_err(cannot_write)?;
        column.close().map_err(cannot_write)?;
        let definition = vec![1i16; self.values.len()];
        let repetition: Vec<i16> = (0..self.values.len()).map(|i| i16::from(i % self.dim != 0)).collect();
        let mut column = group
            .next_column()
            .map_err(cannot_write)?
            .ok_or_else(|| Error::bug("the schema has no column embedding"))?;
        let (definition, repetition) = (Some(definition.as_slice()), Some(repetition.as_slice()));
        match self.precision {
            TablePrecision::Float32 => column.typed::<FloatType>().write_batch(&self.values, definition, repetition),
            TablePrecision::Float16 => {
                let halves = self.values.iter().map(|number| f16::from_f32(*number).to_le_bytes().to_vec());
                let halves: Vec<FixedLenByteArray> = halves.map(|half| ByteArray::from(half).into()).collect();
                column.typed::<FixedLenByteArrayType>().write_batch(&halves, definition, repetition)
            }
        }
        .map_err(cannot_write)?;
        column.close().map_err(cannot_write)?;
        group.close().map_err(cannot_write)?;
        self.ids.clear();
        self.values.clear();
        Ok(())
    }
}

/// The error of a vector of another length than those before it.
pub(super) fn other_length(id: &str, found: usize, expected: usize) -> Error {
    Error::invalid(format!("the embedding of {id} has {found} numbers, and the others have {expected}"))
}

fn cannot_write(error: ParquetError) -> Error {
    Error::transient("the table of embeddings cannot be written").with_source(error)
}

fn cannot_read(error: ParquetError) -> Error {
    Error::invalid("the table of embeddings cannot be read").with_source(error)
}

/// Calls `visit` with each row of a table written by [`TableWriter`], in its order. Holds one row
/// group at a time.
pub fn each_row<R: ChunkReader + 'static>(source: R, visit: impl FnMut(&str, &[f32]) -> Result<()>) -> Result<()> {
    each_row_of(source, |_| true, visit)
}

/// As [`each_row`], for the rows of ids that are wanted. Of a row group without such an id, only
/// the ids are read.
pub fn each_row_of<R: ChunkReader + 'static>(
    source: R,
    wanted: impl Fn(&str) -> bool,
    mut visit: impl FnMut(&str, &[f32]) -> Result<()>,
) -> Result<()> {
    let reader = SerializedFileReader::new(source).map_err(cannot_read)?;
    let mut known_dim = 0;
    for index in 0..reader.num_row_groups() {
        let group = reader.get_row_group(index).map_err(cannot_read)?;
        let rows = usize::try_from(group.metadata().num_rows())
            .map_err(|e| Error::invalid("the table has a negative length").with_source(e))?;
        let (mut ids, mut values, mut definition, mut repetition) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let other_columns = || Error::invalid("the table of embeddings has other columns than movie_id and embedding");
        let ColumnReader::ByteArrayColumnReader(mut id_column) = group.get_column_reader(0).map_err(cannot_read)?
        else {
            return Err(other_columns());
        };
        id_column.read_records(rows, None, None, &mut ids).map_err(cannot_read)?;
        let mut is_wanted = Vec::with_capacity(ids.len());
        for id in &ids {
            is_wanted.push(wanted(id.as_utf8().map_err(cannot_read)?));
        }
        if ids.len() == rows && rows > 0 && !is_wanted.contains(&true) {
            continue;
        }
        let (definition, repetition) = (Some(&mut definition), Some(&mut repetition));
        match group.get_column_reader(1).map_err(cannot_read)? {
            ColumnReader::FloatColumnReader(mut column) => {
                column.read_records(rows, definition, repetition, &mut values).map_err(cannot_read)?;
            }
            ColumnReader::FixedLenByteArrayColumnReader(mut column) => {
                let mut halves = Vec::new();
                column.read_records(rows, definition, repetition, &mut halves).map_err(cannot_read)?;
                for half in &halves {
                    let bytes = half.data().try_into().map_err(|_| other_columns())?;
                    values.push(f16::from_le_bytes(bytes).to_f32());
                }
            }
            _ => return Err(other_columns()),
        }
        if ids.len() != rows || rows == 0 || !values.len().is_multiple_of(rows) {
            return Err(Error::invalid("the table of embeddings has rows of different length"));
        }
        let dim = values.len() / rows;
        if dim == 0 || (known_dim != 0 && known_dim != dim) {
            return Err(Error::invalid("the table of embeddings has rows of different length"));
        }
        known_dim = dim;
        let wanted_rows = ids.iter().zip(values.chunks_exact(dim)).zip(is_wanted).filter(|(_, is_wanted)| *is_wanted);
        for ((id, vector), _) in wanted_rows {
            visit(id.as_utf8().map_err(cannot_read)?, vector)?;
        }
    }
    Ok(())
}

impl Table {
    /// Reads a table written by [`TableWriter`].
    pub fn read(bytes: Bytes) -> Result<Table> {
        let mut table = Table::default();
        each_row(bytes, |id, vector| {
            table.dim = vector.len();
            table.rows.insert(id.to_owned(), vector.to_vec());
            Ok(())
        })?;
        Ok(table)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_of_several_row_groups_reads_back_and_is_deterministic() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let write = |name: &str| {
            let path = folder.path().join(name);
            let mut writer = TableWriter::create(&path, 3, TablePrecision::Float32).expect("a new file");
            for i in 0..2_500u16 {
                writer.push(&format!("tt{i:07}"), &[f32::from(i), 0.5, -1.0]).expect("three numbers");
            }
            writer.finish().expect("room on disk");
            std::fs::read(path).expect("just written")
        };
        let bytes = write("a");
        assert_eq!(bytes, write("b"));
        let table = Table::read(bytes.into()).expect("a table");
        assert_eq!((table.dim, table.rows.len()), (3, 2_500));
        assert_eq!(table.rows["tt0002499"], [2_499.0, 0.5, -1.0]);
    }

    #[test]
    fn half_precision_halves_the_file_and_rounds_to_three_digits() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let vector: Vec<f32> = (0..1_280u16).map(|i| (f32::from(i) * 0.37).sin() * 17.0).collect();
        let write = |precision| {
            let path = folder.path().join("t");
            let mut writer = TableWriter::create(&path, vector.len(), precision).expect("a new file");
            (0..50).for_each(|i| writer.push(&format!("tt{i:07}"), &vector).expect("room on disk"));
            writer.finish().expect("room on disk");
            std::fs::read(path).expect("just written")
        };
        let (whole, half) = (write(TablePrecision::Float32), write(TablePrecision::Float16));
        assert!(half.len() < whole.len() * 52 / 100, "{} of {}", half.len(), whole.len());
        let (whole, half) = (Table::read(whole.into()).expect("a table"), Table::read(half.into()).expect("a table"));
        assert_eq!((whole.rows["tt0000049"].as_slice(), half.dim), (vector.as_slice(), vector.len()));
        let pairs = vector.iter().zip(&half.rows["tt0000049"]);
        assert!(pairs.into_iter().all(|(exact, rounded)| (exact - rounded).abs() <= exact.abs() * 0.0005));
        let mut writer = TableWriter::create(&folder.path().join("u"), 1, TablePrecision::Float16).expect("a new file");
        let refused = writer.push("tt1", &[70_000.0]).expect_err("beyond float16").to_string();
        assert!(refused.contains("extract.table_precision"), "{refused}");
    }

    #[test]
    fn a_vector_of_another_length_and_a_file_that_is_not_parquet_are_refused() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut writer = TableWriter::create(&folder.path().join("t"), 3, TablePrecision::Float32).expect("a new file");
        assert!(writer.push("a", &[1.0]).is_err());
        assert!(Table::read(Bytes::from_static(b"PAR1 no table")).is_err());
    }
}
