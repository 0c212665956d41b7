//! The objects below a prefix, in few bytes each.

use std::sync::Arc;

use crate::compact::fields::{put_number, put_text, take_number, take_text};
use crate::compact::{Packed, Row, Texts};
use crate::error::{Error, Result};
use crate::hash::Hash;

/// Size and tag of the objects below a prefix, by the rest of their keys.
#[derive(Debug, Default, PartialEq)]
pub struct Listed {
    keys: Arc<Texts>,
    objects: Packed<Object>,
}

/// A listed object.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Object {
    size: u64,
    tag: String,
    sha256: Option<Hash>,
}

impl Row for Object {
    fn pack(&self, to: &mut Vec<u8>) {
        put_number(to, self.size);
        put_text(to, &self.tag);
        put_text(to, &self.sha256.map(|hash| hash.to_string()).unwrap_or_default());
    }

    fn unpack(from: &mut &[u8]) -> Option<Object> {
        let (size, tag, sha256) = (take_number(from)?, take_text(from)?, take_text(from)?);
        Some(Object { size, tag, sha256: sha256.parse().ok() })
    }
}

impl Listed {
    /// Adds an object, in any order of key.
    pub fn push(&mut self, key: &str, size: u64, tag: &str) {
        self.push_hashed(key, size, tag, None);
    }

    /// Adds an object whose SHA-256 may be stated.
    pub fn push_hashed(&mut self, key: &str, size: u64, tag: &str, sha256: Option<Hash>) {
        Arc::make_mut(&mut self.keys).push(key);
        self.objects.push(Object { size, tag: tag.to_owned(), sha256 });
    }

    /// Returns the keys; in ascending order if they were added so, and from a manifest.
    pub fn keys(&self) -> &Arc<Texts> {
        &self.keys
    }

    /// Returns size and tag of an object.
    pub fn get(&self, key: &str) -> Option<(u64, String)> {
        self.objects.get(self.keys.position(key)?).map(|object| (object.size, object.tag))
    }

    /// Returns the SHA-256 that is stated for an object.
    pub fn sha256(&self, key: &str) -> Option<Hash> {
        self.objects.get(self.keys.position(key)?)?.sha256
    }

    /// Sorts the objects by key.
    ///
    /// # Errors
    /// InvalidInput for a key with different sizes, tags or SHA-256.
    pub(super) fn sorted(self) -> Result<Listed> {
        if self.keys.is_ascending() {
            return Ok(self);
        }
        let (mut sorted, mut last) = (Listed::default(), None);
        for index in self.keys.sorted_indices() {
            let (key, object) = (&self.keys[index as usize], self.objects.get(index as usize));
            let Some(Object { size, tag, sha256 }) = object.clone() else { continue };
            if sorted.keys.last() != Some(key) {
                sorted.push_hashed(key, size, &tag, sha256);
                last = object;
            } else if last != object {
                return Err(Error::invalid(format!(
                    "{key} is listed twice, with different sizes, tags or SHA-256: keep the latest version alone"
                )));
            }
        }
        Ok(sorted)
    }
}
