//! The objects below a prefix, in few bytes each.

use std::sync::Arc;

use crate::compact::fields::{put_number, put_text, take_number, take_text};
use crate::compact::{Packed, Row, Texts};
use crate::error::{Error, Result};

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
}

impl Row for Object {
    fn pack(&self, to: &mut Vec<u8>) {
        put_number(to, self.size);
        put_text(to, &self.tag);
    }

    fn unpack(from: &mut &[u8]) -> Option<Object> {
        Some(Object { size: take_number(from)?, tag: take_text(from)? })
    }
}

impl Listed {
    /// Adds an object, in any order of key.
    pub fn push(&mut self, key: &str, size: u64, tag: &str) {
        Arc::make_mut(&mut self.keys).push(key);
        self.objects.push(Object { size, tag: tag.to_owned() });
    }

    /// Returns the keys; in ascending order if they were added so, and from a manifest.
    pub fn keys(&self) -> &Arc<Texts> {
        &self.keys
    }

    /// Returns size and tag of an object.
    pub fn get(&self, key: &str) -> Option<(u64, String)> {
        self.objects.get(self.keys.position(key)?).map(|object| (object.size, object.tag))
    }

    /// Sorts the objects by key.
    ///
    /// # Errors
    /// InvalidInput for a key with different sizes or tags.
    pub(super) fn sorted(self) -> Result<Listed> {
        if self.keys.is_ascending() {
            return Ok(self);
        }
        let (mut sorted, mut last) = (Listed::default(), None);
        for index in self.keys.sorted_indices() {
            let (key, object) = (&self.keys[index as usize], self.objects.get(index as usize));
            let Some(Object { size, tag }) = object.clone() else { continue };
            if sorted.keys.last() != Some(key) {
                sorted.push(key, size, &tag);
                last = object;
            } else if last != object {
                return Err(Error::invalid(format!(
                    "{key} is listed twice, with different sizes or tags: keep the latest version alone"
                )));
            }
        }
        Ok(sorted)
    }
}
