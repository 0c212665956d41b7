//! The Flickscore layout: `ratings.json` as mongoexport writes it.
//!
//! One object per line: `{"_id": "u1", "rated": {"tt0123456": ["1"], "submit": ["submitexit"]}}`.
//! The entry `submit` is the button of the form and never a rating. Two lines of one user are
//! merged.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

use super::assembly::Assembly;
use super::files::Files;
use super::json_lines::{Line, Lines, MAX_LINE};
use super::reject::{Kind, excerpt};
use super::scale::{Opinion, Scale};
use super::settings::ReadSettings;
use super::{movies, users};
use crate::error::Result;

/// The file with the feedback.
pub(super) const RATINGS: &str = "ratings.json";

/// Reads `movies.csv`, `users.csv` if there, `ratings.json`. Returns how the ratings were read.
pub(super) fn read(files: &dyn Files, settings: &ReadSettings, assembly: &mut Assembly) -> Result<String> {
    let scale = settings.scale.unwrap_or(Scale::Labels);
    let label = |value: &Value| label(value, scale, settings);
    movies::read(files, assembly, false)?;
    users::read(files, assembly)?;
    let mut lines = Lines::new(RATINGS, files.open(RATINGS)?);
    while let Some((number, line)) = lines.next()? {
        let text = match line {
            Line::TooLong => {
                let reason = format!("longer than {} MiB", MAX_LINE >> 20);
                assembly.rejects.count_row(RATINGS);
                assembly.rejects.add(Kind::Row, RATINGS, Some(number), "line", reason);
                continue;
            }
            Line::Text(text) if text.trim_ascii().is_empty() => continue,
            Line::Text(text) => text,
        };
        match serde_json::from_slice::<Viewer>(text) {
            Ok(viewer) => viewer.hand_over(number, assembly, &label)?,
            Err(error) => {
                let begin = excerpt(&String::from_utf8_lossy(&text[..text.len().min(240)]));
                let reason = format!("not a JSON object with _id and rated ({error}): {begin}");
                assembly.rejects.count_row(RATINGS);
                assembly.rejects.add(Kind::Row, RATINGS, Some(number), "line", reason);
            }
        }
    }
    Ok(format!("{RATINGS} read as {}", scale.describe(&settings.thresholds())))
}

/// A line of the file.
#[derive(Deserialize)]
struct Viewer {
    #[serde(rename = "_id")]
    id: Value,
    #[serde(default)]
    rated: Entries,
}

impl Viewer {
    fn hand_over(
        self,
        line: u64,
        assembly: &mut Assembly,
        label: &dyn Fn(&Value) -> Result<Opinion, String>,
    ) -> Result<()> {
        let Some(id) = plain_text(&self.id) else {
            let subject = format!("user {}", excerpt(&self.id.to_string()));
            assembly.rejects.count_row(RATINGS);
            assembly.rejects.add(Kind::Id, RATINGS, Some(line), subject, "the _id is neither a text nor a number");
            return Ok(());
        };
        let Some(user) = assembly.user(RATINGS, line, id.trim())? else { return Ok(()) };
        for (movie, value) in self.rated.0 {
            if movie != "submit" {
                assembly.rejects.count_row(RATINGS);
                assembly.rating((RATINGS, line), user, movie.trim(), label(&value), "");
            }
        }
        Ok(())
    }
}

/// Reads an id as mongoexport writes it: a text, a number, or an object with one of them such as
/// `{"$oid": "5b..."}`.
fn plain_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Object(object) if object.len() == 1 => {
            let (key, inner) = object.iter().next()?;
            if key.starts_with('$') && !inner.is_object() { plain_text(inner) } else { None }
        }
        _ => None,
    }
}

/// Reads the label in `["1"]`, `[1]`, `"1"` or `1`; the error is a reason.
fn label(value: &Value, scale: Scale, settings: &ReadSettings) -> Result<Opinion, String> {
    let inner = match value {
        Value::Array(list) => match list.as_slice() {
            [one] => one,
            _ => return Err(format!("{} labels instead of one", list.len())),
        },
        one => one,
    };
    let text = match inner {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    scale.opinion(&text, false, &settings.thresholds())
}

/// The entries of `rated` in file order. A map would silently drop the first of two ratings of a
/// movie.
#[derive(Default)]
struct Entries(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(EntriesVisitor)
    }
}

struct EntriesVisitor;

impl<'de> Visitor<'de> for EntriesVisitor {
    type Value = Entries;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of movie ids and labels")
    }

    /// `null`: a viewer who rated nothing.
    fn visit_unit<E>(self) -> Result<Entries, E> {
        Ok(Entries::default())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
        let mut entries = Vec::new();
        while let Some(movie) = map.next_key::<String>()? {
            if movie == "submit" {
                map.next_value::<IgnoredAny>()?;
            } else {
                entries.push((movie, map.next_value()?));
            }
        }
        Ok(Entries(entries))
    }
}
