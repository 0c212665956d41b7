//! A catalogue in Parquet: `movies.parquet`, read as the table `movies.csv` of the same columns.

use std::io::Read;

use bytes::Bytes;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;
use serde_json::{Map, Value};

use super::files::Files;
use super::movies;
use crate::compact::Texts;
use crate::dataset::readers::reading::Reading;
use crate::error::{Error, Result};

/// The file's name.
pub(super) const FILE: &str = "movies.parquet";

/// The largest file, in bytes: it is read into memory.
const MAX: u64 = 1 << 30;

/// A dataset with its catalogue as CSV.
pub(super) struct WithCatalogue<'a> {
    files: &'a dyn Files,
    names: Texts,
    table: Bytes,
}

/// Returns the files with the catalogue as CSV, if it is Parquet.
///
/// # Errors
/// Invalid input if there are two catalogues, or the file is too large, or cannot be read as
/// Parquet.
pub(super) fn of(files: &dyn Files) -> Result<Option<WithCatalogue<'_>>> {
    if !files.has(FILE) {
        return Ok(None);
    }
    if files.has(movies::FILE) {
        return Err(Error::invalid(format!("two catalogues in one folder, {} and {FILE}: remove one", movies::FILE)));
    }
    let mut bytes = Vec::new();
    files
        .open(FILE)?
        .take(MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(|e| Error::from(e).context(format!("read {FILE}")))?;
    if bytes.len() as u64 > MAX {
        return Err(Error::invalid(format!("{FILE} is larger than {} MiB: write it as {}", MAX >> 20, movies::FILE)));
    }
    // The crate panics on a few types of columns that it does not read by rows.
    let table = std::panic::catch_unwind(|| csv_of(bytes.into()))
        .unwrap_or_else(|_| Err("a column of a type that is not read".to_owned()));
    let table = table.map_err(|reason| {
        Error::invalid(format!(
            "{FILE} cannot be read as Parquet: {reason}. Write it with snappy, gzip, zstd, lz4 or without compression, with texts, numbers, \
             and lists of them, or as {}",
            movies::FILE
        ))
    })?;
    let names = files.names().iter().map(|name| if name == FILE { movies::FILE } else { name });
    let names = names.collect::<Texts>().into_ascending();
    Ok(Some(WithCatalogue { files, names, table: table.into() }))
}

impl Files for WithCatalogue<'_> {
    fn location(&self) -> &str {
        self.files.location()
    }

    fn names(&self) -> &Texts {
        &self.names
    }

    fn open(&self, name: &str) -> Result<Box<dyn Read + '_>> {
        if name == movies::FILE { Ok(Box::new(&self.table[..])) } else { self.files.open(name) }
    }
}

/// Names the Parquet file where a reading names the CSV that it became: its rows count from 1,
/// without a header.
pub(super) fn named(mut reading: Reading) -> Reading {
    for reject in reading.rejects.iter_mut().filter(|reject| reject.file == movies::FILE) {
        reject.file = FILE.to_owned();
        reject.line = reject.line.map(|line| line.saturating_sub(1));
    }
    for note in &mut reading.notes {
        if let Some(rest) = note.strip_prefix(movies::FILE) {
            *note = format!("{FILE}{rest}");
        }
    }
    reading
}

/// Returns the table as CSV with a header.
fn csv_of(bytes: Bytes) -> Result<Vec<u8>, String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let reader = SerializedFileReader::new(bytes).map_err(|e| text(&e))?;
    let mut table = csv::Writer::from_writer(Vec::new());
    let schema = reader.metadata().file_metadata().schema_descr().root_schema();
    table.write_record(schema.get_fields().iter().map(|field| field.name())).map_err(|e| text(&e))?;
    for row in reader.get_row_iter(None).map_err(|e| text(&e))? {
        let row = row.map_err(|e| text(&e))?;
        table.write_record(row.get_column_iter().map(|(_, field)| cell(field))).map_err(|e| text(&e))?;
    }
    table.into_inner().map_err(|e| text(&e))
}

/// Writes a value as a cell: texts and numbers plain, lists and structures as JSON.
fn cell(field: &Field) -> String {
    match json(field) {
        Value::Null => String::new(),
        Value::String(text) => text,
        other => other.to_string(),
    }
}

fn json(field: &Field) -> Value {
    match field {
        Field::Null => Value::Null,
        Field::Str(text) => text.as_str().into(),
        Field::Bytes(bytes) => String::from_utf8_lossy(bytes.data()).into_owned().into(),
        Field::Group(row) => {
            row.get_column_iter().map(|(name, field)| (name.clone(), json(field))).collect::<Map<_, _>>().into()
        }
        Field::ListInternal(list) => list.elements().iter().map(json).collect(),
        Field::Date(days) => instant(i64::from(*days).saturating_mul(86_400)),
        Field::TimestampMillis(milliseconds) => instant(milliseconds.div_euclid(1_000)),
        Field::TimestampMicros(microseconds) => instant(microseconds.div_euclid(1_000_000)),
        number => serde_json::from_str(&number.to_string()).unwrap_or_else(|_| number.to_string().into()),
    }
}

/// Returns the day of an instant, in seconds from 1970.
fn instant(seconds: i64) -> Value {
    jiff::Timestamp::from_second(seconds).map_or(Value::Null, |time| time.strftime("%Y-%m-%d").to_string().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::{Fetched, FetchedTable, ReadSettings, read};

    #[test]
    fn rejects_and_notes_name_the_parquet_file_and_its_rows() {
        let tables = [
            ("movies.csv", "id,name,budget\nm1,One,1\na/b,Two,2\n"),
            ("ratings.csv", "user,movie,label\na,m1,1\nb,m1,-1\n"),
        ];
        let table = |(name, text): (&str, &'static str)| (name.to_owned(), FetchedTable::Bytes(text.into()));
        let files = Fetched::new("x", Default::default(), tables.map(table).into());
        let reading = named(read(&files, &ReadSettings::default()).expect("a dataset"));
        assert!(reading.rejects[0].to_string().starts_with("movies.parquet row 2: "), "{}", reading.rejects[0]);
        assert!(reading.notes.iter().any(|note| note.starts_with("movies.parquet: columns not read")));
    }
}
