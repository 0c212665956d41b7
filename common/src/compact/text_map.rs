//! A map from texts to texts in two allocations.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Index;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::texts::Texts;

/// A map from texts to texts, in ascending order of key. It is built once; changes are few, and
/// kept apart.
#[derive(Clone, Default)]
pub struct TextMap {
    keys: Texts,
    values: Texts,
    /// Keys with another value than the built one; None for removed keys.
    changed: BTreeMap<String, Option<String>>,
}

impl TextMap {
    /// Appends a key that is greater than all others, as when a map is built. Other keys are
    /// inserted.
    pub fn push(&mut self, key: &str, value: &str) {
        if self.changed.is_empty() && self.keys.last().is_none_or(|last| last < key) {
            self.keys.push(key);
            self.values.push(value);
        } else {
            self.insert(key.to_owned(), value.to_owned());
        }
    }

    /// Returns the value of a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        match self.changed.get(key) {
            Some(changed) => changed.as_deref(),
            None => self.values.get(self.keys.position(key)?),
        }
    }

    /// Whether the map has this key.
    pub fn contains_key(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// Sets the value of a key, and returns the earlier one.
    pub fn insert(&mut self, key: String, value: String) -> Option<String> {
        let earlier = self.get(&key).map(str::to_owned);
        self.changed.insert(key, Some(value));
        earlier
    }

    /// Removes a key, and returns its value.
    pub fn remove(&mut self, key: &str) -> Option<String> {
        let earlier = self.get(key)?.to_owned();
        self.changed.insert(key.to_owned(), None);
        Some(earlier)
    }

    /// Keeps the keys that `keep` accepts.
    pub fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        *self = self.iter().filter(|(key, _)| keep(key)).collect();
    }

    /// The number of keys.
    pub fn len(&self) -> usize {
        let is_new = |key: &str| self.keys.position(key).is_none();
        self.changed.iter().fold(self.keys.len(), |count, (key, value)| match (is_new(key), value) {
            (true, Some(_)) => count + 1,
            (false, None) => count - 1,
            _ => count,
        })
    }

    /// Whether the map is empty.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// Returns the keys and values, in ascending order of key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut built = self.keys.iter().zip(self.values.iter()).peekable();
        let mut changed = self.changed.iter().peekable();
        std::iter::from_fn(move || {
            loop {
                let Some((key, _)) = changed.peek() else { return built.next() };
                match built.peek() {
                    Some((other, _)) if *other < key.as_str() => return built.next(),
                    // Its value has changed.
                    Some((other, _)) if *other == key.as_str() => drop(built.next()),
                    _ => {
                        if let Some((key, Some(value))) = changed.next() {
                            return Some((key.as_str(), value.as_str()));
                        }
                    }
                }
            }
        })
    }

    /// Returns the keys in ascending order.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.iter().map(|(key, _)| key)
    }

    /// Returns the values in the order of their keys.
    pub fn values(&self) -> impl Iterator<Item = &str> {
        self.iter().map(|(_, value)| value)
    }
}

impl Index<&str> for TextMap {
    type Output = str;

    fn index(&self, key: &str) -> &str {
        self.get(key).unwrap_or_else(|| panic!("no key {key}"))
    }
}

impl<K: AsRef<str>, V: AsRef<str>> FromIterator<(K, V)> for TextMap {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> TextMap {
        let mut map = TextMap::default();
        pairs.into_iter().for_each(|(key, value)| map.push(key.as_ref(), value.as_ref()));
        map
    }
}

impl PartialEq for TextMap {
    fn eq(&self, other: &TextMap) -> bool {
        self.iter().eq(other.iter())
    }
}

impl fmt::Debug for TextMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl Serialize for TextMap {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for TextMap {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<TextMap, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = TextMap;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of texts")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut pairs: A) -> Result<TextMap, A::Error> {
                let mut map = TextMap::default();
                while let Some((key, value)) = pairs.next_entry::<String, String>()? {
                    map.push(&key, &value);
                }
                Ok(map)
            }
        }
        deserializer.deserialize_map(Pairs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_map_equals_the_standard_one_after_any_changes(
            built in proptest::collection::vec(("[a-d]{1,2}", "[x-z]{0,2}"), 0..12),
            changes in proptest::collection::vec(("[a-d]{1,2}", proptest::option::of("[x-z]{0,2}")), 0..12),
        ) {
            let mut standard: BTreeMap<String, String> = BTreeMap::new();
            let mut map = TextMap::default();
            for (key, value) in built {
                map.push(&key, &value);
                standard.insert(key, value);
            }
            for (key, value) in changes {
                match value {
                    Some(value) => prop_assert_eq!(map.insert(key.clone(), value.clone()), standard.insert(key, value)),
                    None => prop_assert_eq!(map.remove(&key), standard.remove(&key)),
                }
            }
            let same = |map: &TextMap, standard: &BTreeMap<String, String>| {
                map.iter().eq(standard.iter().map(|(key, value)| (key.as_str(), value.as_str())))
            };
            prop_assert!(same(&map, &standard));
            prop_assert_eq!((map.len(), map.is_empty()), (standard.len(), standard.is_empty()));
            let read: TextMap = serde_json::from_value(serde_json::to_value(&map).expect("JSON")).expect("a map");
            prop_assert_eq!(&read, &map);
            map.retain(|key| key.starts_with('a'));
            standard.retain(|key, _| key.starts_with('a'));
            prop_assert!(same(&map, &standard));
        }
    }
}
