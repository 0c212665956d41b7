//! Rejects: items that a reading leaves out, with reasons.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::hash;

/// The maximum number of listed rejects, which bounds memory for bad files of any size. All rejects
/// are counted.
pub const MAX_LISTED: usize = 10_000;

/// One item in the files that was left out.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Reject {
    /// The file's name relative to the dataset's folder.
    pub file: String,
    /// The line on which the item starts, from 1, if the file has lines; the row in Parquet.
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
            let what = if self.file.ends_with(".parquet") { "row" } else { "line" };
            write!(f, " {what} {line}")?;
        }
        write!(f, ": {}: {}", self.subject, self.reason)
    }
}

/// The reason of a reject. Too many of one kind in one file refuse the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::dataset) enum Kind {
    /// A row that cannot be read.
    Row,
    /// An id that is not valid.
    Id,
    /// A rating that is not on the scale.
    Value,
    /// A rating of a movie that is not in the catalogue.
    UnknownMovie,
    /// A second, different rating of a pair.
    Contradiction,
    /// A cell of this column that cannot be read.
    Cell(&'static str),
    /// Anything else: any number of them is left out.
    Other,
}

impl Kind {
    fn describe(self) -> String {
        match self {
            Kind::Row => "cannot be read".to_owned(),
            Kind::Id => "have an id that is not valid".to_owned(),
            Kind::Value => "have a rating that is not on the scale".to_owned(),
            Kind::UnknownMovie => "rate a movie that is not in the catalogue".to_owned(),
            Kind::Contradiction => "rate a movie a second time, differently".to_owned(),
            Kind::Cell(column) => format!("have a cell {column} that cannot be read"),
            Kind::Other => "are left out".to_owned(),
        }
    }
}

/// The rejects of one kind in one file.
#[derive(Debug)]
struct Group {
    file: String,
    kind: Kind,
    count: u64,
    first: Reject,
}

/// The rejects of a reading so far.
#[derive(Debug, Default)]
pub(in crate::dataset) struct Rejects {
    pub listed: Vec<Reject>,
    pub count: u64,
    groups: Vec<Group>,
    /// The rows of each file, good and bad.
    rows: Vec<(String, u64)>,
}

impl Rejects {
    /// Continues the rejects of a reading.
    pub fn after(listed: Vec<Reject>, count: u64) -> Rejects {
        Rejects { listed, count, ..Rejects::default() }
    }

    /// Counts a row of a file.
    pub fn count_row(&mut self, file: &str) {
        match self.rows.iter_mut().find(|(known, _)| known == file) {
            Some((_, rows)) => *rows += 1,
            None => self.rows.push((file.to_owned(), 1)),
        }
    }

    pub fn add(
        &mut self,
        kind: Kind,
        file: &str,
        line: Option<u64>,
        subject: impl Into<String>,
        reason: impl Into<String>,
    ) {
        let make = || Reject { file: file.to_owned(), line, subject: subject.into(), reason: reason.into() };
        self.count += 1;
        let group = self.groups.iter_mut().find(|group| group.kind == kind && group.file == file);
        match group {
            Some(group) => {
                group.count += 1;
                if self.listed.len() < MAX_LISTED {
                    self.listed.push(make());
                }
            }
            None => {
                let first = make();
                if self.listed.len() < MAX_LISTED {
                    self.listed.push(first.clone());
                }
                self.groups.push(Group { file: file.to_owned(), kind, count: 1, first });
            }
        }
    }

    /// Refuses the file with the largest share of rejects of one kind, if it is above
    /// `max_percent`. Up to nine rejects are accepted if they are not more than half of the rows.
    ///
    /// # Errors
    /// Invalid input with the share, the first reject and the way out.
    pub fn refuse_a_remainder(&self, max_percent: f64) -> Result<()> {
        /// Rejects that are accepted in files of any size.
        const FEW: u64 = 9;
        let rows = |file: &str| self.rows.iter().find(|(known, _)| known == file).map_or(0, |(_, rows)| *rows);
        let share = |group: &Group| group.count as f64 / (rows(&group.file).max(group.count)) as f64;
        let too_many = |group: &&Group| {
            group.kind != Kind::Other && 100.0 * share(group) > max_percent && (group.count > FEW || share(group) > 0.5)
        };
        let worst = self.groups.iter().filter(too_many).max_by(|a, b| share(a).total_cmp(&share(b)));
        let Some(group) = worst else { return Ok(()) };
        let Group { file, kind, count, first } = group;
        let (what, rows, percent) = (kind.describe(), rows(file).max(*count), (100.0 * share(group)).round());
        Err(Error::invalid(format!(
            "{file}: {count} of {rows} rows ({percent} %) {what}, the first: {first}. Correct the file, or set \
             dataset.max_rejected_percent above {max_percent} to leave them out"
        )))
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

/// The rule of [`is_movie_id`], for messages.
pub(in crate::dataset) const MOVIE_ID_RULE: &str = "the movie id is not valid as a file name: use 1 to 180 bytes of \
     letters and digits of any script, blanks and . _ - ( ) , ' & + !, beginning with a letter, a digit or _";

/// Whether an id is valid as a file name and in an object key.
///
/// Keys put `@` after an id and folders around it, and file systems allow 255 bytes for a name.
/// Characters that are not seen, or turn the reading direction, would make two ids look the same.
pub fn is_movie_id(id: &str) -> bool {
    id.len() <= MAX_ID && id.chars().next().is_some_and(may_begin) && id.chars().all(is_of_ids) && !id.ends_with(' ')
}

/// The longest id, in bytes.
const MAX_ID: usize = 180;

/// Whether a character may be in an id.
fn is_of_ids(c: char) -> bool {
    let unseen = c.is_control()
        || matches!(c, '\u{00AD}' | '\u{200B}' | '\u{200E}' | '\u{200F}' | '\u{2028}'..='\u{202E}')
        || matches!(c, '\u{2060}'..='\u{206F}' | '\u{FEFF}' | '\u{FFF0}'..='\u{FFFF}')
        || (c.is_whitespace() && c != ' ');
    match c.is_ascii() {
        true => c.is_ascii_alphanumeric() || " ._-(),'&+!".contains(c),
        false => !unseen,
    }
}

fn may_begin(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || (!c.is_ascii() && is_of_ids(c))
}

/// Returns an id for a file of this name: `_` stands for what ids cannot hold, and the end of a
/// name that is too long is replaced by its hash. Names that are valid ids stay.
pub fn id_of_file_name(name: &str) -> String {
    let mut id: String = name.trim().chars().map(|c| if is_of_ids(c) { c } else { '_' }).collect();
    if !id.chars().next().is_some_and(may_begin) {
        id.insert(0, '_');
    }
    if id.len() > MAX_ID {
        let hash = hash::of_bytes(name.as_bytes()).to_string();
        let end = format!("-{}", &hash[..16]);
        id.truncate((0..=MAX_ID - end.len()).rev().find(|&at| id.is_char_boundary(at)).unwrap_or(0));
        id.push_str(&end);
    }
    id
}

/// Whether an id is valid for a user: short text without control characters.
pub(in crate::dataset) fn is_user_id(id: &str) -> bool {
    // Written by data frames in place of a missing user.
    let is_missing = ["nan", "none", "null", "undefined", "<na>", "\\n"].contains(&id.to_lowercase().as_str());
    !id.is_empty() && !is_missing && id.len() <= 256 && !id.chars().any(char::is_control)
}
