//! Writes Parquet tables row by row in bounded memory: texts, numbers, lists of texts and vectors
//! of a fixed length, compressed by Snappy.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jhalak_common::{Error, Result};
use parquet::basic::Compression;
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DoubleType, FloatType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::Type;

use super::arrow_schema;
pub use super::column::{Column, Kind};
use crate::console::files::{cannot_write, with_way_out};

/// Bytes of values in one row group: what a writer holds in memory.
const GROUP_BYTES: usize = 32 << 20;

/// One cell of a row.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// Empty.
    None,
    /// Of a [`Kind::Text`] column.
    Text(String),
    /// Of a [`Kind::Texts`] column.
    Texts(Vec<String>),
    /// Of a [`Kind::Flag`] column.
    Flag(bool),
    /// Of a [`Kind::Int`] column.
    Int(i64),
    /// Of a [`Kind::Float`] column.
    Float(f32),
    /// Of a [`Kind::Double`] column.
    Double(f64),
    /// Of a [`Kind::Vector`] column.
    Vector(Vec<f32>),
}

impl Cell {
    /// A text.
    pub fn text(text: impl Into<String>) -> Cell {
        Cell::Text(text.into())
    }

    /// A text; empty if there is none.
    pub fn maybe(text: Option<impl Into<String>>) -> Cell {
        text.map_or(Cell::None, |text| Cell::Text(text.into()))
    }

    /// A count or a number; the highest one if it does not fit.
    pub fn int(number: impl TryInto<i64>) -> Cell {
        Cell::Int(number.try_into().unwrap_or(i64::MAX))
    }

    fn bytes(&self) -> usize {
        match self {
            Cell::Text(text) => text.len(),
            Cell::Texts(texts) => texts.iter().map(String::len).sum(),
            Cell::Vector(numbers) => 4 * numbers.len(),
            _ => 8,
        }
    }
}

/// A table being written.
pub struct TableFile {
    path: PathBuf,
    writer: SerializedFileWriter<File>,
    columns: Vec<Column>,
    cells: Vec<Vec<Cell>>,
    held: usize,
    rows: u64,
}

impl TableFile {
    /// Creates the file `path`, with the schema of `columns` and the key-value pairs `metadata`.
    pub fn create(path: &Path, columns: Vec<Column>, metadata: Vec<(String, String)>) -> Result<TableFile> {
        let failed = |e| failed(e, path);
        let fields = columns.iter().map(Column::parquet).collect::<Result<Vec<_>, _>>().map_err(failed)?;
        let schema = Type::group_type_builder("table").with_fields(fields).build().map_err(failed)?;
        let mut pairs = vec![KeyValue::new(arrow_schema::KEY.to_owned(), arrow_schema::encode(&columns, &metadata))];
        pairs.extend(metadata.into_iter().map(|(key, value)| KeyValue::new(key, value)));
        let properties = WriterProperties::builder()
            .set_created_by("jhalak".into())
            .set_compression(Compression::SNAPPY)
            .set_key_value_metadata(Some(pairs))
            .build();
        let file = File::create(path).map_err(|e| cannot_write(path, e))?;
        let writer = SerializedFileWriter::new(file, Arc::new(schema), Arc::new(properties)).map_err(failed)?;
        let cells = columns.iter().map(|_| Vec::new()).collect();
        Ok(TableFile { path: path.to_owned(), writer, columns, cells, held: 0, rows: 0 })
    }

    /// Adds a row: one cell for each column.
    ///
    /// # Errors
    /// Bug if a cell does not fit its column.
    pub fn push(&mut self, row: Vec<Cell>) -> Result<()> {
        if row.len() != self.columns.len() {
            return Err(Error::bug(format!("a row of {} cells in a table of {}", row.len(), self.columns.len())));
        }
        for (column, cell) in self.columns.iter().zip(&row) {
            let fits = match (column.kind, cell) {
                (_, Cell::None) => column.nullable,
                (Kind::Text, Cell::Text(_)) | (Kind::Texts, Cell::Texts(_)) | (Kind::Flag, Cell::Flag(_)) => true,
                (Kind::Int, Cell::Int(_)) | (Kind::Float, Cell::Float(_)) | (Kind::Double, Cell::Double(_)) => true,
                (Kind::Vector(length), Cell::Vector(numbers)) => numbers.len() == length,
                _ => false,
            };
            if !fits {
                return Err(Error::bug(format!("a cell does not fit the column {}", column.name)));
            }
        }
        for (held, cell) in self.cells.iter_mut().zip(row) {
            self.held += cell.bytes();
            held.push(cell);
        }
        self.rows += 1;
        if self.held >= GROUP_BYTES { self.flush() } else { Ok(()) }
    }

    /// Writes the remaining rows, closes the file and returns the number of rows and the columns.
    pub fn finish(mut self) -> Result<(u64, Vec<Column>)> {
        self.flush()?;
        let failed = |e| failed(e, &self.path);
        self.writer.close().map_err(failed)?;
        Ok((self.rows, self.columns))
    }

    fn flush(&mut self) -> Result<()> {
        if self.cells.first().is_none_or(Vec::is_empty) {
            return Ok(());
        }
        let failed = |e| failed(e, &self.path);
        let mut group = self.writer.next_row_group().map_err(failed)?;
        for (column, cells) in self.columns.iter().zip(&mut self.cells) {
            write_column(&mut group, column, &std::mem::take(cells)).map_err(failed)?;
        }
        group.close().map_err(failed)?;
        self.held = 0;
        Ok(())
    }
}

/// Writes the cells of one column. The levels are those of Parquet's nested encoding: how much of
/// an element exists, and whether it continues a list.
fn write_column(
    group: &mut SerializedRowGroupWriter<'_, File>,
    column: &Column,
    cells: &[Cell],
) -> Result<(), ParquetError> {
    let Some(mut writer) = group.next_column()? else {
        return Err(ParquetError::General(format!("no column {}", column.name)));
    };
    let present = i16::from(column.nullable);
    let defined: Option<Vec<i16>> =
        column.nullable.then(|| cells.iter().map(|cell| i16::from(*cell != Cell::None)).collect());
    macro_rules! flat {
        ($physical:ty, $variant:pat => $value:expr) => {{
            let values: Vec<_> =
                cells.iter().filter_map(|cell| if let $variant = cell { Some($value) } else { None }).collect();
            writer.typed::<$physical>().write_batch(&values, defined.as_deref(), None)?;
        }};
    }
    match column.kind {
        Kind::Text => flat!(ByteArrayType, Cell::Text(text) => ByteArray::from(text.as_str())),
        Kind::Flag => flat!(BoolType, Cell::Flag(flag) => *flag),
        Kind::Int => flat!(Int64Type, Cell::Int(number) => *number),
        Kind::Float => flat!(FloatType, Cell::Float(number) => *number),
        Kind::Double => flat!(DoubleType, Cell::Double(number) => *number),
        Kind::Texts | Kind::Vector(_) => {
            let (mut definition, mut repetition) = (Vec::new(), Vec::new());
            let mut list = |length: usize, is_none: bool| {
                for place in 0..length.max(1) {
                    let level = if is_none { 0 } else { present + i16::from(length > 0) };
                    definition.push(level);
                    repetition.push(i16::from(place > 0));
                }
            };
            let (mut texts, mut numbers) = (Vec::new(), Vec::new());
            for cell in cells {
                match cell {
                    Cell::Texts(found) => {
                        list(found.len(), false);
                        texts.extend(found.iter().map(|text| ByteArray::from(text.as_str())));
                    }
                    Cell::Vector(found) => {
                        list(found.len(), false);
                        numbers.extend_from_slice(found);
                    }
                    _ => list(0, true),
                }
            }
            if column.kind == Kind::Texts {
                writer.typed::<ByteArrayType>().write_batch(&texts, Some(&definition), Some(&repetition))?;
            } else {
                writer.typed::<FloatType>().write_batch(&numbers, Some(&definition), Some(&repetition))?;
            }
        }
    }
    writer.close()
}

fn failed(error: ParquetError, path: &Path) -> Error {
    with_way_out(Error::of_writer(error), path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use parquet::file::reader::{FileReader, SerializedFileReader};

    #[test]
    fn empty_cells_and_lists_of_a_table_read_back() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("t.parquet");
        let columns = vec![
            Column::new("id", Kind::Text, ""),
            Column::new("genres", Kind::Texts, ""),
            Column::new("vector", Kind::Vector(2), "").nullable(),
            Column::new("seconds", Kind::Double, "").nullable(),
        ];
        let mut table = TableFile::create(&path, columns, vec![("unit".into(), "none".into())]).expect("a new file");
        let row = |id: &str, genres: &[&str], vector: Option<[f32; 2]>| {
            let genres = genres.iter().map(|genre| (*genre).to_owned()).collect();
            vec![
                Cell::text(id),
                Cell::Texts(genres),
                vector.map_or(Cell::None, |vector| Cell::Vector(vector.into())),
                vector.map_or(Cell::None, |_| Cell::Double(1.5)),
            ]
        };
        table.push(row("a", &["Drama", "War"], Some([1.0, 2.0]))).expect("fits");
        table.push(row("b", &[], None)).expect("fits");
        assert!(table.push(vec![Cell::text("c")]).is_err(), "too few cells");
        table.push(row("c", &["Action"], Some([3.0, 4.0]))).expect("fits");
        assert_eq!(table.finish().expect("room on disk").0, 3);

        let reader = SerializedFileReader::new(File::open(&path).expect("just written")).expect("Parquet");
        let rows: Vec<String> =
            reader.get_row_iter(None).expect("rows").map(|r| r.expect("a row").to_string()).collect();
        assert!(rows[0].contains("[\"Drama\", \"War\"]") && rows[0].contains("[1.0, 2.0]"), "{rows:?}");
        assert!(rows[1].contains("genres: []") && rows[1].contains("vector: null"), "{rows:?}");
        assert!(rows[2].contains("[3.0, 4.0]"), "{rows:?}");
        let pairs = reader.metadata().file_metadata().key_value_metadata().expect("metadata").clone();
        assert!(pairs.iter().any(|pair| pair.key == "unit") && pairs.iter().any(|pair| pair.key == arrow_schema::KEY));
    }
}
