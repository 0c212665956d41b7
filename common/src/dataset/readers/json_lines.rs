//! Text lines of bounded length, streamed.

use std::io::{BufRead, BufReader, Read};

use crate::error::{Error, Result};

/// The longest line, in bytes: about a user with half a million ratings.
pub(in crate::dataset) const MAX_LINE: usize = 16 << 20;

/// The lines of a file.
pub(in crate::dataset) struct Lines<'a> {
    file: String,
    reader: BufReader<Box<dyn Read + 'a>>,
    number: u64,
    text: Vec<u8>,
}

/// One line without its line break (LF or CRLF) and, on the first line, without the byte order
/// mark.
pub(in crate::dataset) enum Line<'a> {
    Text(&'a [u8]),
    /// Longer than [`MAX_LINE`]; its bytes were dropped.
    TooLong,
}

impl<'a> Lines<'a> {
    pub fn new(file: &str, contents: Box<dyn Read + 'a>) -> Lines<'a> {
        Lines {
            file: file.to_owned(),
            reader: BufReader::with_capacity(1 << 16, contents),
            number: 0,
            text: Vec::new(),
        }
    }

    /// Returns the next line with its number, from 1; `None` at the end.
    pub fn next(&mut self) -> Result<Option<(u64, Line<'_>)>> {
        self.text.clear();
        self.number += 1;
        let (mut any, mut too_long) = (false, false);
        loop {
            let chunk = match self.reader.fill_buf() {
                Ok(chunk) => chunk,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    return Err(Error::from(error).context(format!("read {} line {}", self.file, self.number)));
                }
            };
            if chunk.is_empty() {
                break;
            }
            any = true;
            let end = chunk.iter().position(|&byte| byte == b'\n');
            let part = &chunk[..end.unwrap_or(chunk.len())];
            too_long |= self.text.len() + part.len() > MAX_LINE;
            if too_long {
                self.text = Vec::new();
            } else {
                self.text.extend_from_slice(part);
            }
            let used = end.map_or(chunk.len(), |end| end + 1);
            self.reader.consume(used);
            if end.is_some() {
                break;
            }
        }
        if !any {
            return Ok(None);
        }
        if too_long {
            return Ok(Some((self.number, Line::TooLong)));
        }
        let mut text = self.text.as_slice();
        text = text.strip_suffix(b"\r").unwrap_or(text);
        if self.number == 1 {
            text = text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(text);
        }
        Ok(Some((self.number, Line::Text(text))))
    }
}
