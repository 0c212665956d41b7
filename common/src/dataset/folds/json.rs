//! Folds published as JSON: one document with all folds, or one per fold.

use serde_json::{Map, Value};

use super::rows::{MOVIE, Marks, Row, USER, is_test, is_validation};
use crate::dataset::readers::reject::excerpt;
use crate::error::{Error, Result};

/// The name of a fold and the rows that it tests.
type Fold = (String, Vec<Row>);

/// Names of the field with the tested part of a fold.
const TEST: [&str; 6] = ["test", "test_users", "test_ids", "test_movies", "test_pairs", "testing"];
/// Names of the field with the fold of a row.
const FOLD: [&str; 5] = ["fold", "fold_id", "fold_number", "test_fold", "split"];

/// Reads the rows that one fold tests: a list of ids, of `[user, movie]` pairs, or of objects in
/// Flickscore's format or with the fields `user` and `movie`; an object of users and their ratings;
/// or any of these under `test`.
///
/// # Errors
/// Invalid input with the value found instead.
pub(super) fn rows_of_fold(value: &Value, marks: &Marks) -> Result<Vec<Row>> {
    match value {
        Value::Array(items) => {
            let rows: Vec<Vec<Row>> = items.iter().map(|item| rows_of_item(item, marks)).collect::<Result<_>>()?;
            Ok(rows.concat())
        }
        Value::Object(fields) => match TEST.iter().find_map(|name| fields.get(*name)) {
            Some(test) => {
                fields.keys().filter(|name| is_validation(name)).for_each(|_| marks.count());
                rows_of_fold(test, marks)
            }
            None if named(fields, &USER).is_some() || named(fields, &MOVIE).is_some() => rows_of_object(fields, marks),
            None => Ok(fields.iter().flat_map(|(user, rated)| rows_of_user(user.clone(), Some(rated))).collect()),
        },
        other => Err(unexpected(other)),
    }
}

/// Reads a document with all folds: an object of folds by name, a list of folds, a list of rows
/// with a field `fold`, or an object that maps each id to its fold. None if the document is a
/// single fold.
///
/// # Errors
/// As [`rows_of_fold`].
pub(super) fn folds(value: &Value, marks: &Marks) -> Result<Option<Vec<Fold>>> {
    let fold = |name: String, value: &Value| rows_of_fold(value, marks).map(|rows| (name, rows));
    match value {
        Value::Object(fields) if TEST.iter().any(|name| fields.contains_key(*name)) => Ok(None),
        Value::Object(fields) if fields.values().all(|v| text(v).is_some()) && named(fields, &USER).is_none() => {
            let rows = fields.iter().map(|(id, fold)| (text(fold).unwrap_or_default(), Row::Id(id.clone())));
            Ok(Some(by_fold(rows)))
        }
        Value::Object(fields) => {
            let is_fold = |name: &String| {
                name.chars().any(|c| c.is_ascii_digit()) && name.to_lowercase().contains("fold")
                    || name.chars().all(|c| c.is_ascii_digit())
            };
            match fields.keys().all(is_fold) && !fields.is_empty() {
                true => fields.iter().map(|(name, value)| fold(name.clone(), value)).collect::<Result<_>>().map(Some),
                false => Ok(None),
            }
        }
        Value::Array(items) if items.iter().all(|item| item.as_object().is_some_and(|o| fold_of(o).is_some())) => {
            let mut rows = Vec::new();
            for fields in items.iter().filter_map(Value::as_object) {
                let name = fold_of(fields).unwrap_or_default();
                rows.extend(rows_of_object(fields, marks)?.into_iter().map(|row| (name.clone(), row)));
            }
            Ok((!rows.is_empty()).then(|| by_fold(rows)))
        }
        Value::Array(items) => {
            let holds_test = |v: &Value| v.as_object().is_some_and(|o| TEST.iter().any(|name| o.contains_key(*name)));
            // A list of pairs is one fold; a list of longer lists is a list of folds.
            let is_list = |v: &Value| v.as_array().is_some_and(|a| a.len() > 4 || a.iter().any(|i| text(i).is_none()));
            if items.is_empty() || !(items.iter().all(holds_test) || items.iter().all(is_list)) {
                return Ok(None);
            }
            items.iter().zip(1..).map(|(item, n)| fold(n.to_string(), item)).collect::<Result<_>>().map(Some)
        }
        _ => Ok(None),
    }
}

/// Reads the rows of one JSON line, and its fold if the line names one.
pub(super) fn rows_of_line(value: &Value, marks: &Marks) -> Result<(Option<String>, Vec<Row>)> {
    match value {
        Value::Object(fields) => Ok((fold_of(fields), rows_of_object(fields, marks)?)),
        other => Ok((None, rows_of_item(other, marks)?)),
    }
}

fn rows_of_item(item: &Value, marks: &Marks) -> Result<Vec<Row>> {
    match (item, text(item)) {
        (_, Some(id)) => Ok(vec![Row::Id(id)]),
        (Value::Object(fields), _) => rows_of_object(fields, marks),
        (Value::Array(pair), _) => match pair.iter().map(text).collect::<Option<Vec<_>>>().as_deref() {
            Some([user, movie, ..]) => Ok(vec![Row::Pair(user.clone(), movie.clone())]),
            _ => Err(unexpected(item)),
        },
        _ => Err(unexpected(item)),
    }
}

/// Reads a viewer in Flickscore's format, or a row with named fields. Rows marked as train are not
/// tested.
fn rows_of_object(fields: &Map<String, Value>, marks: &Marks) -> Result<Vec<Row>> {
    let part = ["set", "part", "subset", "split"].iter().find_map(|name| fields.get(*name)).and_then(Value::as_str);
    if part.is_some_and(|part| marks.trains(part)) {
        return Ok(Vec::new());
    }
    match (named(fields, &USER), named(fields, &MOVIE)) {
        (Some(user), None) => Ok(rows_of_user(user, fields.get("rated").or_else(|| fields.get("ratings")))),
        (Some(user), Some(movie)) => Ok(vec![Row::Pair(user, movie)]),
        (None, Some(movie)) => Ok(vec![Row::Movie(movie)]),
        (None, None) => Err(unexpected(&Value::Object(fields.clone()))),
    }
}

fn rows_of_user(user: String, rated: Option<&Value>) -> Vec<Row> {
    let movies: Vec<String> = match rated {
        Some(Value::Object(rated)) => rated.keys().filter(|movie| *movie != "submit").cloned().collect(),
        Some(Value::Array(rated)) => rated.iter().filter_map(text).collect(),
        _ => return vec![Row::User(user)],
    };
    movies.into_iter().map(|movie| Row::Pair(user.clone(), movie)).collect()
}

/// Returns the fold that an object names, unless the word is train or test.
fn fold_of(fields: &Map<String, Value>) -> Option<String> {
    named(fields, &FOLD).filter(|fold| is_test(fold).is_none())
}

/// Returns the first of these fields that is present.
fn named(fields: &Map<String, Value>, names: &[&str]) -> Option<String> {
    names
        .iter()
        .find_map(|name| fields.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).and_then(|(_, v)| text(v)))
}

/// Reads an id: text, or an integer.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.trim().to_owned()).filter(|text| !text.is_empty()),
        Value::Number(number) => number.as_i64().map(|n| n.to_string()),
        // MongoDB's own ids: {"$oid": "..."}.
        Value::Object(fields) if fields.len() == 1 => fields.get("$oid").and_then(text),
        _ => None,
    }
}

fn by_fold(rows: impl IntoIterator<Item = (String, Row)>) -> Vec<Fold> {
    let mut folds: std::collections::BTreeMap<String, Vec<Row>> = std::collections::BTreeMap::new();
    rows.into_iter().for_each(|(fold, row)| folds.entry(fold).or_default().push(row));
    let mut folds: Vec<_> = folds.into_iter().collect();
    folds.sort_by(|a, b| super::natural_order::order(&a.0, &b.0));
    folds
}

fn unexpected(value: &Value) -> Error {
    Error::invalid(format!("expected a user or a movie, found {}", excerpt(&value.to_string())))
}
