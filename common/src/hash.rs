//! SHA-256 hashes of bytes, files and JSON.

use std::fmt;
use std::io::Write;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};

/// A SHA-256 hash, written as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Hash([u8; 32]);

impl Hash {
    /// Returns the first 16 digits: enough for a location in the store, where the record holds the
    /// whole hash.
    pub fn short(&self) -> String {
        hex::encode(&self.0[..8])
    }

    /// Returns the 32 bytes.
    pub fn bytes(&self) -> [u8; 32] {
        self.0
    }

    /// Returns the hash of these bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Hash {
        Hash(bytes)
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<Hash> for String {
    fn from(hash: Hash) -> String {
        hash.to_string()
    }
}

impl TryFrom<String> for Hash {
    type Error = Error;
    fn try_from(text: String) -> Result<Hash> {
        text.parse()
    }
}

impl FromStr for Hash {
    type Err = Error;
    fn from_str(text: &str) -> Result<Hash> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes)
            .map_err(|_| Error::invalid(format!("`{text}` is not a SHA-256 hash of 64 hexadecimal digits")))?;
        Ok(Hash(bytes))
    }
}

/// Hashes `bytes`.
pub fn of_bytes(bytes: &[u8]) -> Hash {
    Hash(Sha256::digest(bytes).into())
}

/// Returns the hash and the length of a file, read in bounded memory on a blocking thread.
pub async fn of_file(path: PathBuf) -> Result<(Hash, u64)> {
    let named = path.display().to_string();
    tokio::task::spawn_blocking(move || -> std::io::Result<(Hash, u64)> {
        let mut file = std::fs::File::open(path)?;
        let mut hasher = Sha256::new();
        let mut buffer = vec![0; 1 << 18];
        let mut length = 0;
        loop {
            let n = std::io::Read::read(&mut file, &mut buffer)?;
            if n == 0 {
                break;
            }
            hasher.update(&buffer[..n]);
            length += n as u64;
        }
        Ok((Hash(hasher.finalize().into()), length))
    })
    .await
    .map_err(|e| Error::bug("hashing a file panicked").with_source(e))?
    .map_err(|e| Error::from(e).context(named))
}

/// Hashes the canonical form of a JSON value.
pub fn of_json(value: &Value) -> Hash {
    of_bytes(canonical_json(value).as_bytes())
}

/// Returns JSON with sorted keys and without spaces: equal values give equal bytes.
pub fn canonical_json(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(key, _)| key.as_str());
            let inner: Vec<String> = entries
                .into_iter()
                .map(|(k, v)| format!("{}:{}", Value::from(k.as_str()), canonical_json(v)))
                .collect();
            format!("{{{}}}", inner.join(","))
        }
        Value::Array(items) => {
            let inner: Vec<String> = items.iter().map(canonical_json).collect();
            format!("[{}]", inner.join(","))
        }
        scalar => scalar.to_string(),
    }
}

/// Returns the canonical JSON of an array. Only one row at a time is held as a JSON value, however
/// many there are.
pub fn canonical_rows<T: Serialize>(rows: impl IntoIterator<Item = T>) -> Result<String> {
    let mut text = Vec::new();
    Hashing::new(&mut text).rows(rows)?;
    String::from_utf8(text).map_err(|e| Error::bug("JSON is not UTF-8").with_source(e))
}

/// Returns the hash of the canonical JSON of an array, which is not held.
pub fn of_rows<T: Serialize>(rows: impl IntoIterator<Item = T>) -> Result<Hash> {
    let mut hashing = Hashing::new(std::io::sink());
    hashing.rows(rows)?;
    Ok(hashing.finish())
}

/// Writes texts and canonical JSON, and hashes what is written.
pub(crate) struct Hashing<W> {
    to: W,
    hash: Sha256,
}

impl<W: Write> Hashing<W> {
    pub(crate) fn new(to: W) -> Hashing<W> {
        Hashing { to, hash: Sha256::new() }
    }

    pub(crate) fn text(&mut self, text: &str) -> Result<()> {
        self.hash.update(text.as_bytes());
        self.to.write_all(text.as_bytes()).map_err(Error::from)
    }

    /// Writes the canonical JSON of an array, row by row.
    pub(crate) fn rows<T: Serialize>(&mut self, rows: impl IntoIterator<Item = T>) -> Result<()> {
        let mut before = "[";
        for row in rows {
            let value = serde_json::to_value(row).map_err(|e| Error::bug("a row does not serialise").with_source(e))?;
            self.text(before)?;
            self.text(&canonical_json(&value))?;
            before = ",";
        }
        self.text(if before == "[" { "[]" } else { "]" })
    }

    pub(crate) fn finish(self) -> Hash {
        Hash(self.hash.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn canonical_json_does_not_depend_on_the_order_of_keys() {
        let one: Value = serde_json::from_str(r#"{"b": [1, {"y": null, "x": "ü\n"}], "a": 0.1}"#).expect("valid");
        assert_eq!(canonical_json(&one), r#"{"a":0.1,"b":[1,{"x":"ü\n","y":null}]}"#);
        assert_eq!(of_json(&one), of_json(&json!({"a": 0.1, "b": [1, {"x": "ü\n", "y": null}]})));
    }

    #[test]
    fn canonical_rows_equal_the_canonical_json_of_the_array() {
        for rows in [json!([]), json!([1]), json!([{"b": 1, "a": [2]}, "x", null])] {
            let items = rows.as_array().expect("an array");
            assert_eq!(canonical_rows(items).expect("it serialises"), canonical_json(&rows));
            assert_eq!(of_rows(items).expect("it serialises"), of_json(&rows));
        }
    }

    #[test]
    fn a_hash_parses_from_its_text_and_refuses_other_text() {
        let hash = of_bytes(b"abc");
        assert_eq!(hash.to_string(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(hash.to_string().parse::<Hash>().expect("its own text"), hash);
        assert_eq!(hash.short().len(), 16);
        assert!("ba78".parse::<Hash>().is_err());
    }
}
