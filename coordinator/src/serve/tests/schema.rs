//! Compares answers with the schemas of the description. A keyword that is not compared here fails
//! the test.

use serde_json::Value;

/// Keywords that say nothing about the value.
const NOTES: [&str; 4] = ["description", "format", "title", "default"];

/// Checks the answer to a GET of `path` against the description.
pub fn check(description: &Value, path: &str, answer: &Value) {
    let schema = description
        .pointer(&format!("/paths/{}/get/responses/200/content/application~1json/schema", path.replace('/', "~1")))
        .unwrap_or_else(|| panic!("{path} is not described"));
    if let Err(difference) = compare(description, schema, answer, "") {
        panic!("{path}: {difference}");
    }
}

fn compare(root: &Value, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
    let Some(schema) = schema.as_object() else { return Ok(()) };
    for (keyword, expected) in schema {
        let fail = |text: &str| Err(format!("{at} {text}: {value:.300} is not {expected}"));
        match keyword.as_str() {
            "$ref" => {
                let place = expected.as_str().and_then(|text| text.strip_prefix('#')).ok_or("a reference")?;
                let target = root.pointer(place).ok_or_else(|| format!("{place} is not in the description"))?;
                compare(root, target, value, at)?;
            }
            "type" => {
                let names: Vec<&str> = match expected {
                    Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
                    one => one.as_str().into_iter().collect(),
                };
                if !names.iter().any(|name| is_of_type(value, name)) {
                    return fail("has another type");
                }
            }
            "properties" => {
                for (name, schema) in expected.as_object().into_iter().flatten() {
                    if let Some(value) = value.get(name) {
                        compare(root, schema, value, &format!("{at}/{name}"))?;
                    }
                }
            }
            "required" => {
                let names = expected.as_array().into_iter().flatten().filter_map(Value::as_str);
                if let Some(name) = names.into_iter().find(|name| value.get(name).is_none()) {
                    return fail(&format!("lacks {name}"));
                }
            }
            "additionalProperties" if *expected == Value::Bool(false) => {
                let known = schema.get("properties").and_then(Value::as_object);
                let extra = value
                    .as_object()
                    .into_iter()
                    .flatten()
                    .find(|(name, _)| known.is_none_or(|k| !k.contains_key(*name)));
                if let Some((name, _)) = extra {
                    return fail(&format!("has the unknown {name}"));
                }
            }
            "additionalProperties" => {
                for (name, value) in value.as_object().into_iter().flatten() {
                    compare(root, expected, value, &format!("{at}/{name}"))?;
                }
            }
            "items" => {
                for (i, value) in value.as_array().into_iter().flatten().enumerate() {
                    compare(root, expected, value, &format!("{at}/{i}"))?;
                }
            }
            "anyOf" | "oneOf" => {
                let choices = expected.as_array().into_iter().flatten();
                if !choices.into_iter().any(|choice| compare(root, choice, value, at).is_ok()) {
                    return fail("fits no choice");
                }
            }
            "enum" if !expected.as_array().is_some_and(|names| names.contains(value)) => return fail("is no name"),
            "const" if expected != value => return fail("is another constant"),
            "minimum" if value.as_f64().is_some_and(|n| Some(n) < expected.as_f64()) => return fail("is too small"),
            "maximum" if value.as_f64() > expected.as_f64() => return fail("is too large"),
            "minItems" if value.as_array().map(Vec::len) < expected.as_u64().map(|n| n as usize) => {
                return fail("is too short");
            }
            "maxItems" if value.as_array().map(Vec::len) > expected.as_u64().map(|n| n as usize) => {
                return fail("is too long");
            }
            "enum" | "const" | "minimum" | "maximum" | "minItems" | "maxItems" => {}
            note if NOTES.contains(&note) => {}
            other => return Err(format!("{at}: the keyword {other} is not compared")),
        }
    }
    Ok(())
}

fn is_of_type(value: &Value, name: &str) -> bool {
    match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => false,
    }
}

#[test]
fn an_answer_that_differs_from_its_schema_is_found() {
    let root = serde_json::json!({ "s": { "type": "object", "properties": { "n": { "type": ["integer", "null"] } }, "required": ["n"], "additionalProperties": false } });
    let schema = serde_json::json!({ "$ref": "#/s" });
    let differs = |value: Value| compare(&root, &schema, &value, "").is_err();
    assert!(!differs(serde_json::json!({ "n": 1 })) && !differs(serde_json::json!({ "n": null })));
    for wrong in [
        serde_json::json!({}),
        serde_json::json!({ "n": "1" }),
        serde_json::json!({ "n": 1, "m": 2 }),
        serde_json::json!(1),
    ] {
        assert!(differs(wrong.clone()), "{wrong}");
    }
}
