//! Reads a delimited table row by row. A row that cannot be read is a reject.

use std::io::Read;

use super::records::{Next, Record, Records};
use super::reject::{Kind, Rejects, excerpt};
use crate::error::{Error, Result};

pub(in crate::dataset) use super::records::{Delimiter, Encoding};

/// The format of a table.
#[derive(Debug, Clone, Copy)]
pub(in crate::dataset) struct Format {
    pub delimiter: Delimiter,
    pub header: bool,
    /// Whether `"` quotes a cell.
    pub quotes: bool,
    pub encoding: Encoding,
}

impl Format {
    /// Separated by commas, tabs, semicolons or bars, with a header, UTF-8.
    pub const CSV: Format =
        Format { delimiter: Delimiter::Found, header: true, quotes: true, encoding: Encoding::Utf8 };
}

/// A table being read.
pub(in crate::dataset) struct Table<'a> {
    file: String,
    records: Records<'a>,
    header: Vec<String>,
    record: Record,
    /// The number of cells of a row: that of the first one.
    width: Option<usize>,
}

/// A row: its cells, and the line on which it starts.
#[derive(Clone, Copy)]
pub(in crate::dataset) struct Row<'a> {
    pub line: u64,
    record: &'a Record,
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
    ///
    /// # Errors
    /// Invalid input if the file is UTF-16, or has no header where the format has one.
    pub fn open(file: &str, contents: Box<dyn Read + 'a>, format: Format) -> Result<Table<'a>> {
        let records = Records::new(file, contents, format.delimiter, format.quotes, format.encoding)?;
        let mut table =
            Table { file: file.to_owned(), records, header: Vec::new(), record: Record::default(), width: None };
        if format.header {
            match table.records.next(&mut table.record)? {
                Next::Read => {}
                Next::End => return Err(Error::invalid(format!("{file}: empty, not even a header"))),
                Next::Bad(line, reason) => return Err(Error::invalid(format!("{file} line {line}: {reason}"))),
            }
            let cells = (0..table.record.len()).filter_map(|cell| table.record.get(cell));
            table.header = cells.map(|cell| cell.trim().to_lowercase()).collect();
            table.width = Some(table.header.len());
            let twice =
                table.header.iter().enumerate().find(|(i, name)| !name.is_empty() && table.header[..*i].contains(name));
            if let Some((_, name)) = twice {
                return Err(Error::invalid(format!(
                    "{file} line 1: two columns are named {}: rename or remove one",
                    excerpt(name)
                )));
            }
        }
        Ok(table)
    }

    /// Returns the first column with one of these names, in the order of `names`. Underscores,
    /// hyphens and blanks make no difference if no column has exactly such a name.
    pub fn column(&self, names: &[&str]) -> Option<usize> {
        let plain = |name: &str| name.replace(['_', '-', ' '], "");
        let exact = |name: &&str| self.header.iter().position(|cell| cell == name);
        let alike = |name: &&str| self.header.iter().position(|cell| plain(cell) == plain(name));
        names.iter().find_map(exact).or_else(|| names.iter().find_map(alike))
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

    /// Whether numbers may have a decimal comma: the table is not separated by commas.
    pub fn has_decimal_commas(&self) -> bool {
        self.records.delimiter() != Delimiter::Byte(b',')
    }

    /// Returns the next row that can be read; `None` at the end. Others are rejects.
    ///
    /// A row may have more cells than the header if these are empty, as spreadsheets write them.
    ///
    /// # Errors
    /// The error of the store; invalid input for a file full of open quotes.
    pub fn next(&mut self, rejects: &mut Rejects) -> Result<Option<Row<'_>>> {
        loop {
            let (line, reason) = match self.records.next(&mut self.record)? {
                Next::End => return Ok(None),
                Next::Bad(line, reason) => (line, reason),
                Next::Read => {
                    let cells = self.record.len();
                    let width = *self.width.get_or_insert(cells);
                    let blank = |cell: usize| self.record.get(cell).is_none_or(|text| text.trim().is_empty());
                    if cells == width || (cells > width && (width..cells).all(blank)) {
                        rejects.count_row(&self.file);
                        return Ok(Some(Row { line: self.record.line, record: &self.record }));
                    }
                    let line = self.record.line;
                    // A quote that is closed by the quote of a later row swallows the rows between.
                    let several = self.records.take_back(line)?;
                    let cause = if several { "a quote" } else { "a delimiter or a quote" };
                    (line, format!("{cells} cells where the first line has {width}: is {cause} out of place?"))
                }
            };
            rejects.count_row(&self.file);
            rejects.add(Kind::Row, &self.file, Some(line), "row", reason);
        }
    }
}
