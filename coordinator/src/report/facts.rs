//! Facts in two columns: settings, seeds and parameters, flattened to dotted names.

use serde_json::Value;

/// Flattens a JSON object into rows of a dotted name and a JSON value, in the order of the object.
/// Any other value is one row.
pub(super) fn flatten(value: &Value) -> Vec<(String, String)> {
    let mut rows = Vec::new();
    collect("", value, &mut rows);
    rows
}

fn collect(name: &str, value: &Value, rows: &mut Vec<(String, String)>) {
    match value {
        Value::Object(object) if !object.is_empty() => {
            for (key, inner) in object {
                let dotted = if name.is_empty() { key.clone() } else { format!("{name}.{key}") };
                collect(&dotted, inner, rows);
            }
        }
        Value::String(text) => rows.push((name.to_owned(), text.clone())),
        other => rows.push((name.to_owned(), other.to_string())),
    }
}

/// Formats the same rows in one line: `size=224, mean=0.45`.
pub(super) fn in_a_line(value: &Value) -> String {
    let rows: Vec<String> = flatten(value)
        .into_iter()
        .map(|(name, value)| if name.is_empty() { value } else { format!("{name}={value}") })
        .collect();
    rows.join(", ")
}
