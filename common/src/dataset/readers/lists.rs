//! Lists in one cell: JSON, Python literals, NumPy arrays, or texts with a separator.

use serde_json::{Map, Value};

/// The deepest nesting of a literal.
const DEEPEST: usize = 8;

/// Reads a list of texts. Objects count as their `name`, as in the tables of TMDB:
/// `[{'id': 28, 'name': 'Action'}]`. `None` if the cell begins as a literal and is not one.
pub(super) fn list(cell: &str) -> Option<Vec<String>> {
    if !cell.starts_with(['[', '{', '(']) {
        return Some(split(cell));
    }
    if let Some(items) = literal(cell).and_then(texts) {
        return Some(items);
    }
    if !cell.starts_with('[') {
        return Some(split(cell));
    }
    // `[Action, Comedy]`, without quotes.
    let inner = cell.strip_prefix('[')?.strip_suffix(']')?;
    if inner.contains(['\'', '"', '[', ']', '{', '}', ':']) {
        return None;
    }
    Some(split(inner))
}

/// Splits at `|` if there is one, else at `;`, else at `,`.
fn split(cell: &str) -> Vec<String> {
    let mark = ['|', ';'].into_iter().find(|&mark| cell.contains(mark)).unwrap_or(',');
    cell.split(mark).map(str::to_owned).collect()
}

fn texts(value: Value) -> Option<Vec<String>> {
    match value {
        Value::Array(items) => items.into_iter().map(text).collect(),
        one => text(one).map(|text| vec![text]),
    }
}

fn text(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        Value::Number(number) => Some(number.to_string()),
        Value::Null => Some(String::new()),
        Value::Object(mut object) => match object.remove("name") {
            Some(Value::String(name)) => Some(name),
            _ => None,
        },
        Value::Bool(_) | Value::Array(_) => None,
    }
}

/// Parses JSON or a Python literal.
fn literal(cell: &str) -> Option<Value> {
    if let Ok(value) = serde_json::from_str(cell) {
        return Some(value);
    }
    let mut python = Python { rest: cell };
    let value = python.value(0)?;
    python.skip_blanks();
    python.rest.is_empty().then_some(value)
}

/// A parser of Python literals: lists, tuples, sets, dictionaries, texts, numbers, None, True and
/// False. Items of a list may be separated by blanks alone, as NumPy prints them.
struct Python<'a> {
    rest: &'a str,
}

impl Python<'_> {
    fn skip_blanks(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn take(&mut self, c: char) -> bool {
        self.skip_blanks();
        match self.rest.strip_prefix(c) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn value(&mut self, depth: usize) -> Option<Value> {
        if depth > DEEPEST {
            return None;
        }
        self.skip_blanks();
        match self.rest.chars().next()? {
            '[' => self.items('[', ']', depth),
            '(' => self.items('(', ')', depth),
            '{' => self.braces(depth),
            '\'' | '"' => self.text().map(Value::String),
            _ => self.word(),
        }
    }

    fn items(&mut self, open: char, close: char, depth: usize) -> Option<Value> {
        self.take(open).then_some(())?;
        let mut items = Vec::new();
        while !self.take(close) {
            items.push(self.value(depth + 1)?);
            self.take(',');
        }
        Some(Value::Array(items))
    }

    /// A dictionary with texts or numbers as keys, or a set.
    fn braces(&mut self, depth: usize) -> Option<Value> {
        self.take('{').then_some(())?;
        let (mut object, mut set) = (Map::new(), Vec::new());
        while !self.take('}') {
            let item = self.value(depth + 1)?;
            if self.take(':') {
                let key = text(item)?;
                object.insert(key, self.value(depth + 1)?);
            } else {
                set.push(item);
            }
            self.take(',');
        }
        match (object.is_empty(), set.is_empty()) {
            (false, true) => Some(Value::Object(object)),
            (true, _) => Some(Value::Array(set)),
            _ => None,
        }
    }

    fn text(&mut self) -> Option<String> {
        let quote = self.rest.chars().next()?;
        let mut chars = self.rest[1..].char_indices();
        let mut out = String::new();
        while let Some((at, c)) = chars.next() {
            match c {
                c if c == quote => {
                    self.rest = &self.rest[1 + at + 1..];
                    return Some(out);
                }
                '\\' => match chars.next()?.1 {
                    'n' => out.push('\n'),
                    't' => out.push('\t'),
                    'r' => out.push('\r'),
                    mark @ ('x' | 'u' | 'U') => {
                        let digits = match mark {
                            'x' => 2,
                            'u' => 4,
                            _ => 8,
                        };
                        let hex: String = chars.by_ref().take(digits).map(|(_, c)| c).collect();
                        out.push(u32::from_str_radix(&hex, 16).ok().and_then(char::from_u32)?);
                    }
                    other => out.push(other),
                },
                other => out.push(other),
            }
        }
        None
    }

    fn word(&mut self) -> Option<Value> {
        let end = self.rest.find(|c: char| c.is_whitespace() || ",:]})".contains(c)).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        match word {
            "None" | "nan" | "NaN" => Some(Value::Null),
            "True" => Some(Value::Bool(true)),
            "False" => Some(Value::Bool(false)),
            number => number.parse::<f64>().ok().and_then(|_| serde_json::from_str(number).ok()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lists_are_read_as_people_write_them() {
        let two = Some(vec!["Action".to_owned(), "Comedy".to_owned()]);
        for cell in [
            "Action|Comedy",
            "Action;Comedy",
            "Action,Comedy",
            "[\"Action\", \"Comedy\"]",
            "['Action', 'Comedy']",
            "['Action' 'Comedy']",
            "('Action', 'Comedy')",
            "{'Action', 'Comedy'}",
            "[Action,Comedy]",
            "[{'id': 0, 'name': 'Action'}, {'id': 1, 'name': 'Comedy'}]",
            "[{\"id\": 0, \"name\": \"Action\"}, {\"id\": 1, \"name\": \"Comedy\"}]",
            "[{'name': 'Action', 'x': None, 'y': [1, (2,)]}, {'name': \"Comedy\", 'adult': False}]",
        ] {
            assert_eq!(list(cell), two, "{cell}");
        }
        assert_eq!(list("['It\\'s', \"d'Or\", 'caf\\xe9']"), Some(vec!["It's".into(), "d'Or".into(), "café".into()]));
        assert_eq!(list("[]"), Some(Vec::new()));
        for broken in ["[Drama,'x", "[{'id': 1}]", "['a'", "[[1]]", "['a\\u12']"] {
            assert_eq!(list(broken), None, "{broken}");
        }
    }

    proptest! {
        #[test]
        fn no_cell_panics(cell in "[\\[\\](){}'\",:\\\\xu0-9a-zé -]{0,40}") {
            let _ = list(&cell);
        }
    }
}
