//! Splits a delimited file into records. A record that cannot be read costs its first line, and
//! never the lines after it.

use std::io::{self, BufRead, BufReader, Read};

use crate::error::{Error, Result};

/// The longest record, in bytes.
const MAX_RECORD: usize = 8 << 20;

/// The most bytes that are split a second time because of quotes that span lines, in addition to
/// [`AGAIN`] times the bytes read: a file beyond both is not a table.
const MAX_AGAIN: u64 = 256 << 20;
const AGAIN: u64 = 16;

/// The separator of the cells of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::dataset) enum Delimiter {
    /// The most frequent of comma, tab, semicolon and bar in the first line.
    Found,
    /// This byte.
    Byte(u8),
    /// Two colons, as in the `.dat` files of MovieLens.
    Colons,
}

/// The encoding of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::dataset) enum Encoding {
    Utf8,
    Latin1,
    /// UTF-8, and ISO 8859-1 for records that are not valid UTF-8.
    Utf8OrLatin1,
}

/// One record: its cells, and the line on which it starts.
#[derive(Debug, Default)]
pub(super) struct Record {
    pub line: u64,
    text: String,
    ends: Vec<usize>,
}

impl Record {
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn get(&self, cell: usize) -> Option<&str> {
        let end = *self.ends.get(cell)?;
        let start = if cell == 0 { 0 } else { self.ends[cell - 1] };
        self.text.get(start..end)
    }
}

/// The next record of a file, or why there is none.
pub(super) enum Next {
    /// Read into the given [`Record`].
    Read,
    /// The line cannot be read, for this reason; reading can continue with the next one.
    Bad(u64, String),
    End,
}

/// The records of a file.
pub(super) struct Records<'a> {
    file: String,
    reader: BufReader<Box<dyn Read + 'a>>,
    /// Bytes to be read again, and how many of them have been.
    again: (Vec<u8>, usize),
    read: u64,
    read_again: u64,
    line: u64,
    delimiter: Delimiter,
    quotes: bool,
    encoding: Encoding,
    raw: Vec<u8>,
    cells: Vec<u8>,
    ends: Vec<usize>,
}

impl<'a> Records<'a> {
    /// Reads `contents`; finds the delimiter if that is asked for.
    ///
    /// # Errors
    /// Invalid input if the file is UTF-16; the error of the store.
    pub fn new(
        file: &str,
        contents: Box<dyn Read + 'a>,
        delimiter: Delimiter,
        quotes: bool,
        encoding: Encoding,
    ) -> Result<Records<'a>> {
        let mut records = Records {
            file: file.to_owned(),
            reader: BufReader::with_capacity(1 << 16, contents),
            again: (Vec::new(), 0),
            read: 0,
            read_again: 0,
            line: 1,
            delimiter,
            quotes,
            encoding,
            raw: Vec::new(),
            cells: Vec::new(),
            ends: Vec::new(),
        };
        records.start()?;
        Ok(records)
    }

    /// Returns the delimiter.
    pub fn delimiter(&self) -> Delimiter {
        self.delimiter
    }

    /// Skips the byte order mark and the line `sep=;` that spreadsheets write, and finds the
    /// delimiter.
    fn start(&mut self) -> Result<()> {
        let mut first = Vec::new();
        loop {
            let start = first.len();
            if !self.read_line(&mut first)? || !first[start..].trim_ascii().is_empty() {
                break;
            }
        }
        if first.starts_with(&[0xFF, 0xFE]) || first.starts_with(&[0xFE, 0xFF]) || first.contains(&0) {
            let problem =
                if first.len() > 1 && first[0].max(first[1]) == 0xFF { "is UTF-16" } else { "holds NUL bytes" };
            return Err(Error::invalid(format!("{} line 1: the file {problem}: save the file as UTF-8", self.file)));
        }
        if first.starts_with(b"\xEF\xBB\xBF") {
            first.drain(..3);
        }
        let line = first.trim_ascii();
        let stated = line.strip_prefix(b"sep=").filter(|rest| rest.len() == 1).map(|rest| rest[0]);
        if self.delimiter == Delimiter::Found {
            self.delimiter = Delimiter::Byte(stated.unwrap_or_else(|| most_frequent(line)));
        }
        if stated.is_some() {
            return Ok(());
        }
        self.line = 1;
        self.again = (first, 0);
        Ok(())
    }

    /// Reads the next record that is not empty.
    pub fn next(&mut self, record: &mut Record) -> Result<Next> {
        let line = loop {
            self.raw.clear();
            let line = self.line;
            if !self.line_of_record()? {
                return Ok(Next::End);
            }
            if self.raw.len() > MAX_RECORD {
                return Ok(Next::Bad(line, format!("a line larger than {} MiB", MAX_RECORD >> 20)));
            }
            if !self.raw.trim_ascii().is_empty() {
                break line;
            }
        };
        let first = self.raw.len();
        loop {
            let state = split(&self.raw, self.delimiter, self.quotes, &mut self.cells, &mut self.ends);
            let more = match state {
                State::Whole => break,
                State::Open => self.until_a_quote_closes()?,
                State::TextAfterQuote => false,
            };
            if !more {
                return self.give_up(line, first);
            }
        }
        record.line = line;
        match self.decode(record) {
            Some(cell) => Ok(Next::Bad(line, format!("cell {cell} is not UTF-8: save the file as UTF-8"))),
            None => Ok(Next::Read),
        }
    }

    /// Gives up a record of several lines after the caller found that it does not fit: its first
    /// line is bad, the others are read again. Returns false for a record of one line.
    pub fn take_back(&mut self, line: u64) -> Result<bool> {
        let end = self.raw.iter().position(|byte| matches!(byte, b'\n' | b'\r')).unwrap_or(self.raw.len());
        let first = end + if self.raw[end..].starts_with(b"\r\n") { 2 } else { usize::from(end < self.raw.len()) };
        if first == self.raw.len() {
            return Ok(false);
        }
        self.give_up(line, first).map(|_| true)
    }

    /// Returns the lines after the first one, of `first` bytes, to the input.
    fn give_up(&mut self, line: u64, first: usize) -> Result<Next> {
        let mut again = self.raw.split_off(first);
        self.count_again(again.len())?;
        again.extend_from_slice(&self.again.0[self.again.1..]);
        self.again = (again, 0);
        self.line = line + 1;
        Ok(Next::Bad(line, "a quote on this line does not close where a cell ends".to_owned()))
    }

    /// Appends lines to an open record until one may close its quote. Returns false if none does.
    fn until_a_quote_closes(&mut self) -> Result<bool> {
        loop {
            let start = self.raw.len();
            if start > MAX_RECORD || !self.line_of_record()? {
                return Ok(false);
            }
            let runs = self.raw[start..].chunk_by(|a, b| (*a == b'"') == (*b == b'"'));
            if runs.into_iter().any(|run| run[0] == b'"' && run.len() % 2 == 1) {
                self.count_again(self.raw.len())?;
                return Ok(true);
            }
        }
    }

    fn count_again(&mut self, bytes: usize) -> Result<()> {
        self.read_again += bytes as u64;
        if self.read_again > MAX_AGAIN + AGAIN * self.read {
            let file = &self.file;
            return Err(Error::invalid(format!("{file}: too many quotes span lines: is this a table?")));
        }
        Ok(())
    }

    fn line_of_record(&mut self) -> Result<bool> {
        let mut raw = std::mem::take(&mut self.raw);
        let any = self.read_line(&mut raw);
        self.raw = raw;
        any
    }

    /// Appends the next line with its line break (LF, CRLF or CR), except for the bytes of a line
    /// beyond [`MAX_RECORD`]. Returns false at the end.
    fn read_line(&mut self, out: &mut Vec<u8>) -> Result<bool> {
        let (start, mut carriage) = (out.len(), false);
        let mut any = false;
        loop {
            let from_again = self.again.1 < self.again.0.len();
            let chunk = if from_again {
                &self.again.0[self.again.1..]
            } else {
                match self.reader.fill_buf() {
                    Ok(chunk) => chunk,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(error) => {
                        return Err(Error::from(error).context(format!("read {} line {}", self.file, self.line)));
                    }
                }
            };
            if chunk.is_empty() {
                break;
            }
            any = true;
            let (used, ended) = match chunk.iter().position(|&byte| carriage || matches!(byte, b'\n' | b'\r')) {
                // The byte after a carriage return: part of the line break or the next line.
                Some(0) if carriage => (usize::from(chunk[0] == b'\n'), true),
                Some(end) if chunk[end] == b'\n' => (end + 1, true),
                Some(end) => (end + 1, false),
                None => (chunk.len(), false),
            };
            if out.len() - start <= MAX_RECORD {
                out.extend_from_slice(&chunk[..used]);
            }
            carriage = !ended && chunk[..used].last() == Some(&b'\r');
            if from_again {
                self.again.1 += used;
            } else {
                self.reader.consume(used);
                self.read += used as u64;
            }
            if ended {
                break;
            }
        }
        self.line += u64::from(any);
        Ok(any)
    }

    /// Decodes the cells into `record`. Returns the number of the first cell, from 1, that is not
    /// valid.
    fn decode(&self, record: &mut Record) -> Option<usize> {
        record.text.clear();
        record.ends.clear();
        let cells = || {
            let starts = std::iter::once(0).chain(self.ends.iter().copied());
            starts.zip(&self.ends).map(|(start, &end)| &self.cells[start..end])
        };
        let bad = cells().position(|cell| std::str::from_utf8(cell).is_err());
        let latin1 = match self.encoding {
            Encoding::Utf8 => false,
            Encoding::Latin1 => true,
            Encoding::Utf8OrLatin1 => bad.is_some(),
        };
        if let (Some(bad), false) = (bad, latin1) {
            return Some(bad + 1);
        }
        for cell in cells() {
            match std::str::from_utf8(cell) {
                Ok(text) if !latin1 => record.text.push_str(text),
                // ISO 8859-1: every byte is the code point of the same number.
                _ => record.text.extend(cell.iter().map(|&byte| char::from(byte))),
            }
            record.ends.push(record.text.len());
        }
        None
    }
}

/// Returns the most frequent delimiter outside quotes; the comma in a tie.
fn most_frequent(line: &[u8]) -> u8 {
    let mut quoted = false;
    let mut counts = [0usize; 4];
    const KNOWN: [u8; 4] = [b',', b'\t', b';', b'|'];
    for byte in line {
        quoted ^= *byte == b'"';
        if let (false, Some(place)) = (quoted, KNOWN.iter().position(|known| known == byte)) {
            counts[place] += 1;
        }
    }
    let most = counts.iter().copied().max().unwrap_or(0);
    KNOWN[counts.iter().position(|&count| count == most).unwrap_or(0)]
}

enum State {
    Whole,
    /// The record ends inside a quoted cell.
    Open,
    /// Text follows a quoted cell of several lines: most likely the quote of another row.
    TextAfterQuote,
}

/// Splits one record into cells, with the rules of the csv crate: a quote opens at the start of a
/// cell only, a doubled quote is one, and text after a closing quote belongs to the cell.
fn split(raw: &[u8], delimiter: Delimiter, quotes: bool, cells: &mut Vec<u8>, ends: &mut Vec<usize>) -> State {
    cells.clear();
    ends.clear();
    let body = raw.strip_suffix(b"\n").unwrap_or(raw);
    let body = body.strip_suffix(b"\r").unwrap_or(body);
    let width = |at: usize| match delimiter {
        Delimiter::Byte(byte) => usize::from(body[at] == byte),
        Delimiter::Found => usize::from(body[at] == b','),
        Delimiter::Colons => {
            if body[at..].starts_with(b"::") {
                2
            } else {
                0
            }
        }
    };
    let mut at = 0;
    loop {
        if quotes && body.get(at) == Some(&b'"') {
            at += 1;
            let mut lines = false;
            loop {
                match body.get(at) {
                    None => return State::Open,
                    Some(b'"') if body.get(at + 1) == Some(&b'"') => {
                        cells.push(b'"');
                        at += 2;
                    }
                    Some(b'"') => break,
                    Some(&byte) => {
                        lines |= byte == b'\n' || byte == b'\r';
                        cells.push(byte);
                        at += 1;
                    }
                }
            }
            at += 1;
            if lines && at < body.len() && width(at) == 0 && !body[at].is_ascii_whitespace() {
                return State::TextAfterQuote;
            }
        }
        while at < body.len() && width(at) == 0 {
            cells.push(body[at]);
            at += 1;
        }
        ends.push(cells.len());
        if at >= body.len() {
            return State::Whole;
        }
        at += width(at);
    }
}

#[cfg(test)]
#[path = "records_tests.rs"]
mod tests;
