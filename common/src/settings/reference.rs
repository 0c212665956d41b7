//! Describes every setting: its meaning, unit, default and value, and where the value came from.
//! The texts are the doc comments of the sections, which the derived JSON Schema carries.

use std::collections::BTreeSet;
use std::path::Path;

use serde::Serialize;
use serde_json::{Map, Value};

use super::{ENVIRONMENT_PREFIX, Settings};
use crate::error::{Error, Result};

/// The source of a setting's value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "from", content = "name")]
pub enum Origin {
    /// Nobody has set it.
    Default,
    /// The configuration file.
    File(String),
    /// A variable of the environment.
    Environment(String),
    /// An option of the command line.
    Option,
}

impl Origin {
    /// Returns the origin in words.
    pub fn shown(&self) -> String {
        match self {
            Origin::Default => "default".to_owned(),
            Origin::File(file) => format!("file {file}"),
            Origin::Environment(variable) => format!("environment {variable}"),
            Origin::Option => "command line".to_owned(),
        }
    }
}

/// One setting.
#[derive(Debug, Clone, Serialize)]
pub struct Entry {
    /// `section.key`.
    pub key: String,
    /// Its meaning.
    pub about: String,
    /// Its type, or its values.
    #[serde(rename = "type")]
    pub kind: String,
    /// The unit that its name states.
    pub unit: Option<&'static str>,
    /// The built-in value; null if there is none.
    pub default: Value,
    /// The value in force, without passwords.
    pub value: Value,
    /// The source of the value.
    #[serde(flatten)]
    pub origin: Origin,
}

impl Entry {
    /// Returns the variable of the environment that sets it.
    pub fn variable(&self) -> String {
        format!("{ENVIRONMENT_PREFIX}__{}", self.key.replace('.', "__").to_uppercase())
    }
}

/// Describes the settings that were loaded from `file`, the environment and the options `set`, in
/// order of key.
///
/// # Errors
/// InvalidInput if the file cannot be read.
pub fn describe(settings: &Settings, file: Option<&Path>, set: &[(String, String)]) -> Result<Vec<Entry>> {
    let in_file = match file {
        None => Value::Null,
        Some(path) => {
            let text = std::fs::read_to_string(path).map_err(|e| Error::from(e).context(path.display().to_string()))?;
            let table: toml::Table = toml::from_str(&text).map_err(|e| {
                Error::invalid(format!("{}: {}", path.display(), crate::redact::redact_text(&e.to_string())))
            })?;
            serde_json::to_value(table).unwrap_or_default()
        }
    };
    let flags: BTreeSet<&str> = set.iter().map(|(key, _)| key.as_str()).collect();
    let variables: BTreeSet<String> =
        std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()).map(|name| name.to_uppercase()).collect();
    let schema = serde_json::to_value(schemars::schema_for!(Settings)).unwrap_or_default();
    let defaults = Settings::default().shown();
    let values = settings.shown();
    let mut entries = Vec::new();
    for (key, property) in leaves(&schema) {
        let pointer = format!("/{}", key.replace('.', "/"));
        let at = |of: &Value| of.pointer(&pointer).cloned().unwrap_or_default();
        let mut entry = Entry {
            about: in_one_line(property["description"].as_str().unwrap_or_default()),
            kind: kind(&schema, &property),
            unit: unit(&key),
            default: at(&defaults),
            value: at(&values),
            origin: Origin::Default,
            key,
        };
        entry.origin = if flags.contains(entry.key.as_str()) {
            Origin::Option
        } else if variables.contains(&entry.variable()) {
            Origin::Environment(entry.variable())
        } else if in_file.pointer(&pointer).is_some() {
            Origin::File(file.map(|path| path.display().to_string()).unwrap_or_default())
        } else {
            Origin::Default
        };
        entries.push(entry);
    }
    Ok(entries)
}

/// Returns the JSON Schema of a configuration file, for editors.
pub fn schema() -> Value {
    serde_json::to_value(schemars::schema_for!(Settings)).unwrap_or_default()
}

/// The settings of a schema with their properties, in order of key.
pub(super) fn leaves(schema: &Value) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    collect(schema, schema, "", &mut found);
    found.sort_by(|a, b| (a.0.contains('.'), &a.0).cmp(&(b.0.contains('.'), &b.0)));
    found
}

fn collect(schema: &Value, section: &Value, prefix: &str, found: &mut Vec<(String, Value)>) {
    let properties = section["properties"].as_object().cloned().unwrap_or_else(Map::new);
    for (name, property) in properties {
        let key = if prefix.is_empty() { name } else { format!("{prefix}.{name}") };
        match target(schema, &property) {
            Some(inner) if inner["properties"].is_object() => collect(schema, inner, &key, found),
            _ => found.push((key, property)),
        }
    }
}

/// The definition that a property refers to, also if it may be null.
fn target<'a>(schema: &'a Value, property: &'a Value) -> Option<&'a Value> {
    let of_any = || property["anyOf"].as_array()?.iter().find_map(|one| one["$ref"].as_str());
    let reference = property["$ref"].as_str().or_else(of_any)?;
    schema.pointer(reference.strip_prefix('#')?)
}

pub(super) fn kind(schema: &Value, property: &Value) -> String {
    if let Some(inner) = target(schema, property) {
        let constants = inner["oneOf"].as_array().into_iter().flatten().filter_map(|one| one["const"].as_str());
        let listed = inner["enum"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let words: Vec<&str> = constants.chain(listed).collect();
        if !words.is_empty() {
            return words.join(", ");
        }
        return kind(schema, inner);
    }
    if property["items"].is_object() {
        return format!("list of {}", kind(schema, &property["items"]));
    }
    let name = match &property["type"] {
        Value::Array(names) => names.iter().filter_map(Value::as_str).find(|name| *name != "null").unwrap_or("value"),
        other => other.as_str().unwrap_or("value"),
    };
    match name {
        "string" => "text",
        "boolean" => "true or false",
        "integer" => "whole number",
        other => other,
    }
    .to_owned()
}

/// Returns the range of a number, for the end of a sentence.
pub(super) fn range(property: &Value) -> Option<String> {
    let [least, most] = ["minimum", "maximum"].map(|end| property[end].as_u64());
    Some(match (least?, most) {
        (least, Some(most)) => format!(" from {least} to {most}"),
        (least, None) => format!(" of {least} or more"),
    })
}

/// The unit in the name of a setting.
fn unit(key: &str) -> Option<&'static str> {
    const UNITS: [(&str, &str); 6] = [
        ("_ms", "milliseconds"),
        ("_s", "seconds"),
        ("_mb", "megabytes (2^20 bytes)"),
        ("_bytes", "bytes"),
        ("_percent", "per cent"),
        ("_scene_len", "frames"),
    ];
    UNITS.into_iter().find(|(end, _)| key.ends_with(end)).map(|(_, unit)| unit)
}

fn in_one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The keys of a JSON object down to the values, dotted.
    fn keys(value: &Value, prefix: &str, found: &mut Vec<String>) {
        for (name, inner) in value.as_object().into_iter().flatten() {
            let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
            match inner {
                Value::Object(_) => keys(inner, &key, found),
                _ => found.push(key),
            }
        }
    }

    #[test]
    fn every_setting_is_described_once_with_its_default() {
        let entries = describe(&Settings::default(), None, &[]).expect("no file");
        let mut expected = Vec::new();
        keys(&Settings::default().shown(), "", &mut expected);
        let mut found: Vec<String> = entries.iter().map(|entry| entry.key.clone()).collect();
        // Without a value by default, it is not part of the settings as they are shown.
        expected.push("dataset.scale".to_owned());
        expected.sort();
        found.sort();
        assert_eq!(found, expected);
        for entry in &entries {
            assert!(entry.about.len() > 10, "{}: no doc comment", entry.key);
            assert!(!entry.kind.is_empty() && entry.kind != "value", "{}: no type", entry.key);
        }
        let of = |key: &str| entries.iter().find(|entry| entry.key == key).expect(key);
        assert_eq!(of("extract.strategy").kind, "equal-interval, scene-middle, scene-object");
        assert_eq!(of("worker.grace_ms").unit, Some("milliseconds"));
        assert_eq!(of("worker.grace_ms").variable(), "JHALAK__WORKER__GRACE_MS");
        assert_eq!(of("worker.sources").kind, "list of text");
    }

    #[test]
    fn values_say_where_they_came_from() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("jhalak.toml");
        std::fs::write(&file, "[extract]\njpeg_quality = 80\nobject_stride = 3\n").expect("room on disk");
        let set = [("extract.jpeg_quality".to_owned(), "70".to_owned())];
        let settings = Settings::load(Some(&file), &set).expect("valid");
        let entries = describe(&settings, Some(&file), &set).expect("readable");
        let of = |key: &str| entries.iter().find(|entry| entry.key == key).expect(key);
        assert_eq!(
            (&of("extract.jpeg_quality").value, &of("extract.jpeg_quality").origin),
            (&70.into(), &Origin::Option)
        );
        assert!(matches!(of("extract.object_stride").origin, Origin::File(_)));
        assert_eq!(of("extract.scene_threshold").origin, Origin::Default);
    }
}
