//! Reads a delimited table row by row and reports faults with file and line.

use std::collections::VecDeque;
use std::io::{self, Read};

use csv::{ErrorKind as CsvFault, ReaderBuilder, StringRecord};

use super::reject::excerpt;
use crate::error::{Error, Result};

/// The longest record, in bytes. Without it, an unclosed quote would swallow the rest of a file.
const MAX_RECORD: u64 = 8 << 20;

/// The format of a table.
#[derive(Debug, Clone, Copy)]
pub(in crate::dataset) struct Format {
    pub delimiter: u8,
    pub header: bool,
    /// Whether `"` quotes a cell.
    pub quotes: bool,
    /// ISO 8859-1 instead of UTF-8.
    pub latin1: bool,
}

impl Format {
    /// Comma-separated, with a header, UTF-8.
    pub const CSV: Format = Format { delimiter: b',', header: true, quotes: true, latin1: false };
}

/// A table being read.
pub(in crate::dataset) struct Table<'a> {
    file: String,
    reader: csv::Reader<Watch<'a>>,
    header: Vec<String>,
    record: StringRecord,
}

/// A row: its cells, and the line on which it starts.
#[derive(Clone, Copy)]
pub(in crate::dataset) struct Row<'a> {
    pub line: u64,
    record: &'a StringRecord,
}

impl Row<'_> {
    /// Returns the number of cells.
    pub fn len(&self) -> usize {
        self.record.len()
    }

    /// Returns the cell in this column without surrounding white space; empty if the table has no
    /// such column.
    pub fn cell(&self, column: Option<usize>) -> &str {
        column.and_then(|column| self.record.get(column)).unwrap_or("").trim()
    }
}

impl<'a> Table<'a> {
    /// Opens a table and reads its header.
    pub fn open(file: &str, contents: Box<dyn Read + 'a>, format: Format) -> Result<Table<'a>> {
        let contents = if format.latin1 { Box::new(Latin1 { inner: contents, pending: None }) } else { contents };
        let watch = Watch {
            inner: contents,
            format,
            place: Place::Start,
            offset: 0,
            line: 1,
            opened: 1,
            between: true,
            starts: VecDeque::new(),
            in_record: 0,
        };
        let reader = ReaderBuilder::new()
            .delimiter(format.delimiter)
            .has_headers(false)
            .flexible(false)
            .quoting(format.quotes)
            .from_reader(watch);
        let mut table = Table { file: file.to_owned(), reader, header: Vec::new(), record: StringRecord::new() };
        if format.header {
            let Some(row) = table.next()? else {
                return Err(Error::invalid(format!("{file}: empty, not even a header")));
            };
            table.header = row.record.iter().map(|cell| cell.trim().to_lowercase()).collect();
        }
        Ok(table)
    }

    /// Returns the first column with one of these names, in the order of `names`.
    pub fn column(&self, names: &[&str]) -> Option<usize> {
        names.iter().find_map(|name| self.header.iter().position(|cell| cell == name))
    }

    /// Returns the first column with one of these names, or an error with the names.
    pub fn required(&self, names: &[&str]) -> Result<usize> {
        self.column(names).ok_or_else(|| {
            let found: Vec<String> = self.header.iter().take(20).map(|cell| excerpt(cell)).collect();
            let (file, wanted, found) = (&self.file, names.join(" or "), found.join(", "));
            Error::invalid(format!("{file} line 1: no column {wanted} in the header; it has {found}"))
        })
    }

    /// Returns the names of the columns, in lower case.
    pub fn header(&self) -> &[String] {
        &self.header
    }

    /// Returns the next row; `None` at the end.
    pub fn next(&mut self) -> Result<Option<Row<'_>>> {
        self.reader.get_mut().in_record = 0;
        let read = self.reader.read_record(&mut self.record);
        // The CSV reader reports where it stopped last: one line early after CRLF, more after empty
        // lines.
        let line = self.reader.get_mut().starts.pop_front().unwrap_or_else(|| self.reader.position().line());
        match read {
            Ok(true) => Ok(Some(Row { line, record: &self.record })),
            Ok(false) => Ok(None),
            Err(fault) => Err(self.fault(line, fault)),
        }
    }

    fn fault(&self, line: u64, fault: csv::Error) -> Error {
        let file = &self.file;
        match fault.into_kind() {
            CsvFault::Io(error) => Error::from(error).context(format!("read {file}")),
            CsvFault::Utf8 { err, .. } => {
                let cell = err.field() + 1;
                Error::invalid(format!("{file} line {line}: cell {cell} is not UTF-8: save the file as UTF-8"))
            }
            CsvFault::UnequalLengths { expected_len, len, .. } => Error::invalid(format!(
                "{file} line {line}: {len} cells where the first line has {expected_len}: \
                 is a delimiter or a quote out of place?"
            )),
            other => Error::invalid(format!("{file} line {line}: {other:?}")),
        }
    }
}

/// Passes bytes on, records the line of each record, and fails where the CSV reader would silently
/// continue: a record without end, an unclosed quote.
struct Watch<'a> {
    inner: Box<dyn Read + 'a>,
    format: Format,
    place: Place,
    offset: u64,
    line: u64,
    /// The line of the last opening quote.
    opened: u64,
    /// Whether the last record has ended and the next one has not started.
    between: bool,
    /// The first lines of the records that were passed on and not yet read: no more than fit into
    /// the reader's buffer.
    starts: VecDeque<u64>,
    /// Bytes read since the last record was complete.
    in_record: u64,
}

#[derive(Clone, Copy, PartialEq)]
enum Place {
    /// Before the first character of a cell.
    Start,
    Plain,
    Quoted,
    /// After a quote inside a quoted cell: the end of the cell, or the first half of a doubled
    /// quote.
    Closing,
}

impl Watch<'_> {
    fn follow(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            let in_mark = self.offset < 3 && matches!(byte, 0xEF | 0xBB | 0xBF);
            self.offset += 1;
            if in_mark {
                continue;
            }
            let ends_line = byte == b'\n' || byte == b'\r';
            if self.between && !ends_line {
                self.starts.push_back(self.line);
                self.between = false;
            }
            self.place = match (self.place, byte) {
                (Place::Start, b'"') if self.format.quotes => {
                    self.opened = self.line;
                    Place::Quoted
                }
                (Place::Quoted, b'"') => Place::Closing,
                (Place::Quoted, _) | (Place::Closing, b'"') => Place::Quoted,
                _ if ends_line || byte == self.format.delimiter => Place::Start,
                _ => Place::Plain,
            };
            self.between |= ends_line && self.place == Place::Start;
            self.line += u64::from(byte == b'\n');
        }
    }
}

impl Read for Watch<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.in_record += count as u64;
        self.follow(&buffer[..count]);
        let fault = if self.in_record > MAX_RECORD {
            let opened = if self.place == Place::Quoted {
                format!(" (open quote on line {})", self.opened)
            } else {
                String::new()
            };
            format!("a record above {} MiB near line {}{opened}", MAX_RECORD >> 20, self.line)
        } else if count == 0 && !buffer.is_empty() && self.place == Place::Quoted {
            format!("the quote opened on line {} is not closed", self.opened)
        } else {
            return Ok(count);
        };
        Err(io::Error::new(io::ErrorKind::InvalidData, fault))
    }
}

/// ISO 8859-1 as UTF-8: every byte is the code point of the same number.
struct Latin1<'a> {
    inner: Box<dyn Read + 'a>,
    /// The second byte of a character for which the last buffer had no room.
    pending: Option<u8>,
}

impl Read for Latin1<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        if let Some(byte) = self.pending.take() {
            buffer[0] = byte;
            return Ok(1);
        }
        let mut raw = [0; 4096];
        let wanted = (buffer.len() / 2).clamp(1, raw.len());
        let count = self.inner.read(&mut raw[..wanted])?;
        let mut written = 0;
        for &byte in &raw[..count] {
            if byte < 0x80 {
                buffer[written] = byte;
                written += 1;
                continue;
            }
            buffer[written] = 0xC0 | (byte >> 6);
            let second = 0x80 | (byte & 0x3F);
            // Only a buffer of one byte has no room: `wanted` is half of it otherwise.
            match buffer.get_mut(written + 1) {
                Some(place) => *place = second,
                None => self.pending = Some(second),
            }
            written = (written + 2).min(buffer.len());
        }
        Ok(written)
    }
}
