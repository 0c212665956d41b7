//! Rejects: items that a reading leaves out, with reasons.

use serde::{Deserialize, Serialize};

/// The maximum number of listed rejects, which bounds memory for bad files of any size. All rejects
/// are counted.
pub const MAX_LISTED: usize = 10_000;

/// One item in the files that was left out.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Reject {
    /// The file's name relative to the dataset's folder.
    pub file: String,
    /// The line on which the item starts, from 1, if the file has lines.
    pub line: Option<u64>,
    /// The item: a movie id, `user u1, movie tt1`, a file name.
    pub subject: String,
    /// Why.
    pub reason: String,
}

impl std::fmt::Display for Reject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, " line {line}")?;
        }
        write!(f, ": {}: {}", self.subject, self.reason)
    }
}

/// The rejects of a reading so far.
#[derive(Debug, Default)]
pub(in crate::dataset) struct Rejects {
    pub listed: Vec<Reject>,
    pub count: u64,
}

impl Rejects {
    pub fn add(&mut self, file: &str, line: Option<u64>, subject: impl Into<String>, reason: impl Into<String>) {
        self.count += 1;
        if self.listed.len() < MAX_LISTED {
            self.listed.push(Reject { file: file.to_owned(), line, subject: subject.into(), reason: reason.into() });
        }
    }
}

/// Quotes the start of some input for a message: short and without control characters.
pub(in crate::dataset) fn excerpt(text: &str) -> String {
    const SHOWN: usize = 60;
    let mut out = String::from("\"");
    for (count, c) in text.chars().enumerate() {
        if count == SHOWN {
            out.push('…');
            break;
        }
        if c.is_control() { out.extend(c.escape_default()) } else { out.push(c) }
    }
    out.push('"');
    out
}

/// Whether an id is valid as a file name and in an object key.
pub(in crate::dataset) fn is_movie_id(id: &str) -> bool {
    let allowed = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'_' | b'-');
    let first = |c: u8| c.is_ascii_alphanumeric() || c == b'_';
    id.len() <= 128 && id.bytes().next().is_some_and(first) && id.bytes().all(allowed)
}

/// Whether an id is valid for a user: short text without control characters.
pub(in crate::dataset) fn is_user_id(id: &str) -> bool {
    !id.is_empty() && id.len() <= 256 && !id.chars().any(char::is_control)
}
