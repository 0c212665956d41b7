//! A map that holds a bounded number of bytes: the entries used longest ago go first.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

/// Bytes by key, at most `limit` of them in total.
pub struct Cache<K> {
    limit: usize,
    held: Mutex<Held<K>>,
}

struct Held<K> {
    entries: HashMap<K, (Bytes, u64)>,
    bytes: usize,
    clock: u64,
}

impl<K: Hash + Eq + Clone> Cache<K> {
    /// Creates an empty cache for `limit` bytes.
    pub fn new(limit: usize) -> Cache<K> {
        Cache { limit, held: Mutex::new(Held { entries: HashMap::new(), bytes: 0, clock: 0 }) }
    }

    /// Returns the bytes of a key.
    pub fn get(&self, key: &K) -> Option<Bytes> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.clock += 1;
        let now = held.clock;
        let (bytes, used) = held.entries.get_mut(key)?;
        *used = now;
        Some(bytes.clone())
    }

    /// Holds the bytes of a key. More than a quarter of the limit is not held.
    pub fn put(&self, key: K, bytes: Bytes) {
        if bytes.len() > self.limit / 4 {
            return;
        }
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.clock += 1;
        let now = held.clock;
        held.bytes += bytes.len();
        if let Some((old, _)) = held.entries.insert(key, (bytes, now)) {
            held.bytes -= old.len();
        }
        while held.bytes > self.limit {
            let oldest = held.entries.iter().min_by_key(|(_, (_, used))| *used).map(|(key, _)| key.clone());
            let Some((bytes, _)) = oldest.and_then(|key| held.entries.remove(&key)) else { break };
            held.bytes -= bytes.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_entry_used_longest_ago_makes_room_and_the_limit_holds() {
        let cache = Cache::new(40);
        let ten = || Bytes::from_static(b"0123456789");
        (0..4).for_each(|key| cache.put(key, ten()));
        assert!(cache.get(&0).is_some());
        cache.put(4, ten());
        assert!(cache.get(&1).is_none() && cache.get(&0).is_some() && cache.get(&4).is_some());
        cache.put(5, Bytes::from(vec![0; 11]));
        assert!(cache.get(&5).is_none(), "too large to be held");
        assert_eq!(cache.held.lock().expect("not poisoned").bytes, 40);
    }
}
