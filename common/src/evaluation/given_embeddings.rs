//! Reads embeddings that were computed elsewhere: Parquet, CSV, or NumPy with a list of ids.

use std::collections::BTreeMap;
use std::path::Path;

use bytes::Bytes;
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;

use crate::artifact::table_file::Table;
use crate::error::{Error, Result};

/// Names of the column with the movies' ids, in lower case without `_`.
const IDS: [&str; 11] =
    ["movieid", "itemid", "imdbid", "trackid", "filmid", "trailerid", "tconst", "movie", "item", "film", "id"];
/// Largest size of a number: larger ones are marks of missing values, such as 1e35.
const LARGEST: f64 = 1e30;
/// Largest share of rows that are left out.
const MOST_LEFT_OUT: f64 = 0.5;
/// Longest row.
const LONGEST: usize = 65_536;

/// Embeddings with what was left out.
#[derive(Debug)]
pub struct Given {
    /// The rows by movie id.
    pub table: Table,
    /// Rows without a usable vector: a number that is missing, not finite or above 1e30, or zeros
    /// only.
    pub left_out: usize,
    /// The id of the first of them.
    pub first_left_out: Option<String>,
    /// Columns that are not read: indexes of rows that pandas wrote.
    pub unread: Vec<String>,
}

/// Reads the embeddings in the file `path`.
///
/// - Parquet: a column of ids, and one column of lists or several columns of numbers. The column of
///   ids is called `movie_id`, `item_id`, `imdb_id`, `id` or alike; columns of numbers are numbered
///   (`v0`, `v1` ...), or no other column is.
/// - CSV, separated by commas, semicolons or tabs: the same, with a header; a list is `[1.5, 2]`.
/// - `.npy`: two dimensions of f32 or f64, with the ids in `NAME.ids.txt`, one per line.
///
/// # Errors
/// Invalid input that names the file, the row and the way out: a file that cannot be read, rows of
/// different length, an id that occurs twice, no column of ids or two, columns that may be no part
/// of the vector, or more than half of the rows without a usable vector.
pub fn read(path: &Path) -> Result<Given> {
    let name = path.display().to_string();
    let bytes = std::fs::read(path).map_err(|e| Error::from(e).context(format!("read {name}")))?;
    let mut unread = Vec::new();
    let rows = if bytes.starts_with(b"PAR1") {
        parquet_rows(&name, bytes.into(), &mut unread)?
    } else if bytes.starts_with(b"\x93NUMPY") {
        let ids = path.with_extension("ids.txt");
        let text = std::fs::read_to_string(&ids).map_err(|e| {
            Error::invalid(format!("{name}: the ids of its rows are expected in {}, one per line", ids.display()))
                .with_source(e)
        })?;
        numpy_rows(&name, &bytes, &text)?
    } else {
        let text = std::str::from_utf8(&bytes)
            .map_err(|_| Error::invalid(format!("{name}: neither Parquet nor NumPy (.npy) nor CSV in UTF-8")))?;
        csv_rows(&name, text, &mut unread)?
    };
    Ok(Given { unread, ..gather(&name, rows)? })
}

/// An id with its vector, NaN where a number is missing.
type Row = (String, Vec<f64>);

fn gather(name: &str, rows: Vec<Row>) -> Result<Given> {
    let invalid = |reason: String| Err(Error::invalid(format!("{name}: {reason}")));
    let mut given = Given { table: Table::default(), left_out: 0, first_left_out: None, unread: Vec::new() };
    let all = rows.len();
    let mut lines: BTreeMap<String, usize> = BTreeMap::new();
    for ((id, vector), number) in rows.into_iter().zip(1..) {
        if id.is_empty() {
            return invalid(format!("row {number} has no id"));
        }
        if let Some(first) = lines.insert(id.clone(), number) {
            return invalid(format!("the id {id} occurs twice, in rows {first} and {number}: keep one"));
        }
        if given.table.dim == 0 {
            given.table.dim = vector.len();
        }
        if vector.is_empty() || vector.len() != given.table.dim || vector.len() > LONGEST {
            let (found, expected) = (vector.len(), given.table.dim);
            return invalid(format!("row {number} (id {id}) has {found} numbers, and the first row {expected}"));
        }
        if vector.iter().any(|x| !x.is_finite() || x.abs() > LARGEST) || vector.iter().all(|x| *x == 0.0) {
            given.left_out += 1;
            given.first_left_out.get_or_insert(id);
            continue;
        }
        given.table.rows.insert(id, vector.into_iter().map(|x| x as f32).collect());
    }
    if all == 0 {
        return invalid("it has no rows".to_owned());
    }
    if given.left_out as f64 > MOST_LEFT_OUT * all as f64 {
        let (left_out, first) = (given.left_out, given.first_left_out.unwrap_or_default());
        return invalid(format!(
            "{left_out} of {all} rows have no usable vector (missing, not finite, above 1e30 or zeros), the first is {first}: \
             is the right column the id?"
        ));
    }
    Ok(given)
}

/// The columns of a table of embeddings.
struct Columns {
    id: usize,
    /// The columns of the vector, in their order.
    vector: Vec<usize>,
}

impl Columns {
    /// Chooses the columns. `is_list` states which hold lists. Indexes of rows that pandas wrote go
    /// to `unread`.
    fn of(name: &str, names: &[&str], is_list: &[bool], unread: &mut Vec<String>) -> Result<Columns> {
        let invalid = |reason: String| Err(Error::invalid(format!("{name}: {reason}")));
        let shown = |of: &[usize]| {
            let some: Vec<String> = of.iter().take(5).map(|&i| format!("`{}`", names[i].escape_debug())).collect();
            if of.len() > 5 { format!("{} and {} more", some.join(", "), of.len() - 5) } else { some.join(", ") }
        };
        let all: Vec<usize> = (0..names.len()).collect();
        let plain = |i: &usize| names[*i].trim().to_lowercase().replace(['_', '-', ' '], "");
        let ids: Vec<usize> = all.iter().copied().filter(|i| IDS.contains(&plain(i).as_str())).collect();
        let [id] = ids[..] else {
            return invalid(match ids.is_empty() {
                true => format!("no column is known to hold the ids of movies ({}): name it movie_id", shown(&all)),
                false => format!("the columns {} may all hold ids: keep one", shown(&ids)),
            });
        };
        let is_index =
            |i: &usize| plain(i).is_empty() || plain(i).starts_with("unnamed:") || plain(i).starts_with("indexlevel");
        let (index, vector): (Vec<usize>, Vec<usize>) = all.into_iter().filter(|i| *i != id).partition(|i| is_index(i));
        unread.extend(index.iter().map(|i| format!("`{}`", names[*i].escape_debug())));
        let (lists, numbers): (Vec<usize>, Vec<usize>) = vector.iter().copied().partition(|i| is_list[*i]);
        if lists.len() > 1 || (!lists.is_empty() && !numbers.is_empty()) {
            return invalid(format!(
                "a column of lists is the whole vector: keep one of the columns {}",
                shown(&vector)
            ));
        }
        let stem = |i: &usize| {
            let digits = names[*i].trim_end_matches(|c: char| c.is_ascii_digit());
            (digits.len() < names[*i].len()).then_some(digits)
        };
        let mut stems: BTreeMap<&str, usize> = BTreeMap::new();
        numbers.iter().filter_map(stem).for_each(|stem| *stems.entry(stem).or_default() += 1);
        if let Some((most, 2..)) = stems.into_iter().max_by_key(|(_, count)| *count) {
            let others: Vec<usize> = numbers.iter().copied().filter(|i| stem(i) != Some(most)).collect();
            if !others.is_empty() {
                return invalid(format!(
                    "the columns of the vector are numbered, and {} may be no part of it: remove it",
                    shown(&others)
                ));
            }
        }
        Ok(Columns { id, vector })
    }
}

/// Returns an id as the readers of datasets do: `7.0` is `7`.
fn whole(id: &str) -> String {
    let id = id.trim();
    match id.strip_suffix(".0") {
        Some(digits) if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) => digits.to_owned(),
        _ => id.to_owned(),
    }
}

fn csv_rows(name: &str, text: &str, unread: &mut Vec<String>) -> Result<Vec<Row>> {
    let text = text.trim_start_matches('\u{feff}');
    let first = text.lines().next().unwrap_or_default();
    let separator =
        [b',', b';', b'\t'].into_iter().max_by_key(|s| (first.bytes().filter(|b| b == s).count(), *s == b','));
    let mut reader =
        csv::ReaderBuilder::new().delimiter(separator.unwrap_or(b',')).flexible(true).from_reader(text.as_bytes());
    let failed = |e: csv::Error| Error::invalid(format!("{name}: not a table: {e}"));
    let header = reader.headers().map_err(failed)?.clone();
    if header.len() < 2 {
        return Err(Error::invalid(format!("{name}: a column of ids and a column of numbers are needed")));
    }
    if header.iter().skip(1).all(|cell| cell.trim().parse::<f64>().is_ok()) && !header[0].is_empty() {
        return Err(Error::invalid(format!("{name}: the first line has numbers only: add a header such as id,v0,v1")));
    }
    let names: Vec<&str> = header.iter().collect();
    let (mut rows, mut columns) = (Vec::new(), None);
    for record in reader.records() {
        let record = record.map_err(failed)?;
        let Columns { id, vector: read } = match &columns {
            Some(columns) => columns,
            None => {
                let is_list: Vec<bool> =
                    (0..names.len()).map(|i| record.get(i).is_some_and(|cell| cell.trim().starts_with('['))).collect();
                columns.insert(Columns::of(name, &names, &is_list, unread)?)
            }
        };
        // Cells beyond the header are counted, and refused as rows of another length.
        let beyond = names.len()..record.len();
        let mut vector = Vec::with_capacity(record.len());
        for cell in read.iter().copied().chain(beyond).filter_map(|i| record.get(i)) {
            let cell = cell.trim();
            match cell.strip_prefix('[').and_then(|list| list.strip_suffix(']')) {
                Some(list) => {
                    let numbers = list.split(|c: char| c == ',' || c.is_whitespace()).filter(|cell| !cell.is_empty());
                    for number in numbers {
                        vector.push(number_of(name, rows.len() + 1, number)?);
                    }
                }
                None => vector.push(number_of(name, rows.len() + 1, cell)?),
            }
        }
        rows.push((whole(record.get(*id).unwrap_or_default()), vector));
    }
    Ok(rows)
}

/// Parses a number; an empty cell and the usual marks of missing values are NaN.
fn number_of(name: &str, row: usize, cell: &str) -> Result<f64> {
    if ["", "na", "n/a", "null", "none"].contains(&cell.to_lowercase().as_str()) {
        return Ok(f64::NAN);
    }
    cell.parse().map_err(|_| {
        let cell: String = cell.chars().take(40).collect();
        Error::invalid(format!(
            "{name} row {row}: not a number: {cell:?}; keep one column of ids and columns of numbers"
        ))
    })
}

fn parquet_rows(name: &str, bytes: Bytes, unread: &mut Vec<String>) -> Result<Vec<Row>> {
    let failed = |error: ParquetError| {
        Error::invalid(format!(
            "{name}: not a Parquet file that can be read (compression none, snappy, gzip, zstd or lz4)"
        ))
        .with_source(error)
    };
    let reader = SerializedFileReader::new(bytes).map_err(failed)?;
    let fields = reader.metadata().file_metadata().schema_descr().root_schema().get_fields();
    let names: Vec<&str> = fields.iter().map(|field| field.name()).collect();
    let is_list: Vec<bool> = fields.iter().map(|field| !field.is_primitive()).collect();
    let Columns { id, vector } = Columns::of(name, &names, &is_list, unread)?;
    let mut is_read = vec![false; names.len()];
    vector.into_iter().for_each(|column| is_read[column] = true);
    let mut rows = Vec::new();
    for row in reader.get_row_iter(None).map_err(failed)? {
        let row = row.map_err(failed)?;
        let (mut own, mut vector) = (String::new(), Vec::new());
        for (i, (column, field)) in row.get_column_iter().enumerate() {
            if i == id {
                own = match field {
                    Field::Str(text) => whole(text),
                    other => whole(&other.to_string()),
                };
            } else if is_read[i] && !numbers(field, &mut vector) {
                let number = rows.len() + 1;
                return Err(Error::invalid(format!("{name} row {number}: the column {column} holds no numbers")));
            }
        }
        rows.push((own, vector));
    }
    Ok(rows)
}

/// Appends the numbers of a field, or returns false if it holds something else.
fn numbers(field: &Field, to: &mut Vec<f64>) -> bool {
    let number = match field {
        Field::Null => f64::NAN,
        Field::Float(x) => f64::from(*x),
        Field::Double(x) => *x,
        Field::Int(x) => f64::from(*x),
        Field::Long(x) => *x as f64,
        Field::ListInternal(list) => return list.elements().iter().all(|element| numbers(element, to)),
        _ => return false,
    };
    to.push(number);
    true
}

fn numpy_rows(name: &str, bytes: &[u8], ids: &str) -> Result<Vec<Row>> {
    let invalid = |reason: &str| Error::invalid(format!("{name}: {reason}"));
    let damaged = || invalid("a NumPy file with a damaged header");
    let wide = bytes.get(6).ok_or_else(damaged)? >= &2;
    let start = if wide { 12 } else { 10 };
    let size =
        bytes.get(8..start).ok_or_else(damaged)?.iter().rev().fold(0_usize, |sum, byte| sum << 8 | usize::from(*byte));
    let end = start.checked_add(size).ok_or_else(damaged)?;
    let header = bytes.get(start..end).and_then(|header| std::str::from_utf8(header).ok()).ok_or_else(damaged)?;
    let data = &bytes[end..];
    let width = if header.contains("'<f4'") {
        4
    } else if header.contains("'<f8'") {
        8
    } else {
        return Err(invalid("numbers other than little-endian f32 or f64: save it as float32"));
    };
    if header.contains("'fortran_order': True") {
        return Err(invalid("columns first: save numpy.ascontiguousarray of it"));
    }
    let shape = header.split_once('(').and_then(|(_, rest)| rest.split_once(')')).map_or("", |(shape, _)| shape);
    let sizes: Vec<usize> = shape.split(',').filter_map(|size| size.trim().parse().ok()).collect();
    let &[rows, dim] = sizes.as_slice() else {
        return Err(invalid("not two-dimensional: rows are movies, columns are numbers"));
    };
    if rows.checked_mul(dim).and_then(|n| n.checked_mul(width)) != Some(data.len()) || dim == 0 {
        return Err(invalid("the file does not have the size that its header states"));
    }
    let ids: Vec<&str> = ids.lines().map(str::trim).filter(|id| !id.is_empty()).collect();
    if ids.len() != rows {
        return Err(invalid(&format!("{rows} rows, and {} ids", ids.len())));
    }
    let number = |bytes: &[u8]| match *bytes {
        [a, b, c, d] => f64::from(f32::from_le_bytes([a, b, c, d])),
        [a, b, c, d, e, f, g, h] => f64::from_le_bytes([a, b, c, d, e, f, g, h]),
        _ => f64::NAN,
    };
    let vectors = data.chunks_exact(dim * width).map(|row| row.chunks_exact(width).map(number).collect());
    Ok(ids.into_iter().map(whole).zip(vectors).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact::table_file::TableWriter;
    use crate::settings::TablePrecision;

    fn given(name: &str, contents: &[u8]) -> Result<Given> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join(name);
        std::fs::write(&path, contents).expect("a new file");
        std::fs::write(folder.path().join("a.ids.txt"), "1\n2.0\n").expect("a new file");
        read(&path)
    }

    fn npy(kind: &str, shape: &str, data: &[u8]) -> Vec<u8> {
        let header = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}\n");
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend(u16::try_from(header.len()).expect("short").to_le_bytes());
        bytes.extend(header.as_bytes());
        bytes.extend(data);
        bytes
    }

    #[test]
    fn every_form_gives_the_same_rows() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("t");
        let mut writer = TableWriter::create(&path, 2, TablePrecision::Float32).expect("a new file");
        writer.push("1", &[1.5, -2.0]).expect("two numbers");
        writer.push("2", &[0.0, 3.0]).expect("two numbers");
        writer.finish().expect("room on disk");
        let parquet = std::fs::read(path).expect("just written");
        let floats: Vec<u8> = [1.5f32, -2.0, 0.0, 3.0].iter().flat_map(|x| x.to_le_bytes()).collect();
        let doubles: Vec<u8> = [1.5f64, -2.0, 0.0, 3.0].iter().flat_map(|x| x.to_le_bytes()).collect();
        for (name, contents) in [
            ("a.csv", "movie_id,v0,v1\n1,1.5,-2\n2,0,3\n".into()),
            ("a.csv", "\u{feff}v0;itemID;v1\n1.5;1;-2\n0;2.0;3\n".into()),
            ("a.csv", ",film_id,v0,v1\n0,1,1.5,-2\n1,2,0,3\n".into()),
            ("a.csv", "Unnamed: 0,id,x,y\n0,1,1.5,-2\n1,2,0,3\n".into()),
            ("a.tsv", "id\tvector\n1\t[1.5 -2.0]\n2\t[0, 3]\n".into()),
            ("a.parquet", parquet),
            ("a.npy", npy("<f4", "(2, 2)", &floats)),
            ("a.npy", npy("<f8", "(2, 2)", &doubles)),
        ] {
            let found = given(name, &contents).unwrap_or_else(|e| panic!("{name}: {e}"));
            assert_eq!((found.table.dim, found.left_out), (2, 0), "{name}");
            assert_eq!(found.table.rows["1"], [1.5, -2.0], "{name}");
            assert_eq!(found.table.rows["2"], [0.0, 3.0], "{name}");
        }
    }

    #[test]
    fn rows_without_a_vector_are_counted_and_other_faults_refused() {
        let found = given("a.csv", b"id,v0,v1\n1,1,2\n2,nan,1\n3,1e35,0\n4,5,6\n5,0,0\n6,1,1\n").expect("readable");
        assert_eq!((found.left_out, found.first_left_out.as_deref(), found.table.rows.len()), (3, Some("2"), 3));
        for (name, contents, told) in [
            ("a.csv", &b"id,v0,v1\n1,1,2\n1,3,4\n"[..], "occurs twice"),
            ("a.csv", b"id,v0,v1\n1,1,2\n2,3\n", "row 2 (id 2) has 1 numbers"),
            ("a.csv", b"id,v0,title\n1,1,Alien\n", "not a number"),
            ("a.csv", b",film_name,v0\n0,7,1\n", "name it movie_id"),
            ("a.csv", b"movie_id,item_id,v0\n1,0,1\n", "keep one"),
            ("a.csv", b"id,v0,v1,duration\n1,1,2,90\n", "`duration` may be no part"),
            ("a.csv", b"id,a,b\n1,[1 2],[3 4]\n", "whole vector"),
            ("a.csv", b"1,1,2\n2,3,4\n", "add a header"),
            ("a.csv", b"id,v0\n1,nan\n2,\n3,1\n", "2 of 3 rows"),
            ("a.csv", b"id,v0\n", "no rows"),
            ("a.csv", b"\xff\xfe", "UTF-8"),
            ("a.parquet", b"PAR1 no table", "not a Parquet file"),
            ("a.npy", b"\x93NUMPY\x01", "damaged"),
            ("b.npy", &npy("<f4", "(2, 2)", &[0; 16]), "one per line"),
            ("a.npy", &npy("<f4", "(3, 2)", &[0; 24]), "2 ids"),
            ("a.npy", &npy("<f4", "(2, 2)", &[0; 15]), "size"),
            ("a.npy", &npy("<i4", "(2, 2)", &[0; 16]), "float32"),
            ("a.npy", &npy("<f4", "(4,)", &[0; 16]), "two-dimensional"),
        ] {
            let error = given(name, contents).expect_err(told).to_string();
            assert!(error.contains(told), "{told}: {error}");
        }
    }
}
