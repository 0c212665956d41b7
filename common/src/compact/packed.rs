//! A list whose rows are compressed in blocks where it is long.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::VecDeque;
use std::fmt;
use std::io::{Read, Write};
use std::ops::{Deref, DerefMut, Index, IndexMut, RangeFrom};
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Rows of one block.
pub const BLOCK: usize = 256;

/// The longest list that is kept as it is.
pub const PACK_FROM: usize = 40 * BLOCK;

/// Blocks that [`Packed::get`] and [`Packed::search`] keep unpacked.
const RECENT: usize = 64;

/// After this many times the number of blocks, blocks that are unpacked stay so: rows are asked for
/// in no order, and time would grow with the number of questions.
const MAX_UNPACKED: usize = 64;

/// A row of a packed list.
pub trait Row: Clone {
    /// Appends the row as bytes.
    fn pack(&self, to: &mut Vec<u8>);

    /// Takes a row from the start of the bytes; None if they are not of a row.
    fn unpack(from: &mut &[u8]) -> Option<Self>;
}

/// A list that takes a fraction of the memory of a `Vec` if it is long.
///
/// Up to [`PACK_FROM`] rows it is a `Vec`. A longer one consists of compressed blocks of [`BLOCK`]
/// rows: [`Packed::scan`] and [`Packed::get`] unpack a block at a time; an index
/// (`list[i]`) unpacks a block for good; as a slice, the whole list is unpacked for good, so code
/// over long lists does not use it.
pub struct Packed<T> {
    blocks: Vec<Block<T>>,
    /// The rows after the last block.
    rest: Vec<T>,
    /// Every row, once the list of blocks was used as a slice.
    whole: OnceLock<Vec<T>>,
    recent: Mutex<VecDeque<(usize, Arc<Vec<T>>)>>,
    /// How often a block was unpacked into `recent`.
    unpacked: AtomicUsize,
}

/// [`BLOCK`] rows.
#[derive(Clone)]
struct Block<T> {
    first: T,
    bytes: Box<[u8]>,
    rows: OnceLock<Vec<T>>,
}

impl<T: Row> Block<T> {
    fn pack(rows: &[T]) -> Block<T> {
        let mut plain = Vec::new();
        rows.iter().for_each(|row| row.pack(&mut plain));
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
        let packed = encoder.write_all(&plain).and_then(|()| encoder.finish());
        let bytes = packed.expect("writing to memory does not fail").into_boxed_slice();
        Block { first: rows[0].clone(), bytes, rows: OnceLock::new() }
    }

    fn unpack(&self) -> Vec<T> {
        let mut plain = Vec::new();
        let read = DeflateDecoder::new(&self.bytes[..]).read_to_end(&mut plain);
        read.expect("a block holds what was compressed into it");
        let mut bytes = &plain[..];
        let rows = (0..BLOCK).map(|_| T::unpack(&mut bytes));
        rows.collect::<Option<Vec<T>>>().expect("a block holds the rows that were packed into it")
    }
}

impl<T: Row> Packed<T> {
    /// Appends a row.
    pub fn push(&mut self, row: T) {
        self.whole = OnceLock::new();
        let limit = if self.blocks.is_empty() { PACK_FROM } else { BLOCK };
        if self.rest.len() >= limit {
            self.pack();
        }
        self.rest.push(row);
    }

    /// Packs every full block, also of a short list.
    pub fn pack(&mut self) {
        let full = self.rest.len() / BLOCK * BLOCK;
        self.blocks.extend(self.rest[..full].chunks(BLOCK).map(Block::pack));
        self.rest.drain(..full);
        if self.rest.is_empty() {
            self.rest = Vec::new();
        }
    }

    /// Appends the rows of another list.
    pub fn append(&mut self, other: Packed<T>) {
        if self.rest.is_empty() && !other.blocks.is_empty() {
            self.whole = OnceLock::new();
            self.blocks.extend(other.blocks);
            self.rest = other.rest;
        } else {
            other.scan().for_each(|row| self.push(row.into_owned()));
        }
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.blocks.len() * BLOCK + self.rest.len()
    }

    /// Whether the list is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the rows in their order, unpacking one block at a time.
    pub fn scan(&self) -> impl Iterator<Item = Cow<'_, T>> {
        let unpacked = self.blocks.iter().flat_map(|block| block.unpack().into_iter().map(Cow::Owned));
        unpacked.chain(self.rest.iter().map(Cow::Borrowed))
    }

    /// Returns the row at this index. The blocks that were used last stay unpacked.
    pub fn get(&self, at: usize) -> Option<T> {
        match at.checked_sub(self.blocks.len() * BLOCK) {
            Some(at) => self.rest.get(at).cloned(),
            None => self.with_block(at / BLOCK, |rows| rows.get(at % BLOCK).cloned()),
        }
    }

    /// Returns the index of the row of a list in ascending order for which `order` returns
    /// `Equal`. `order` compares the row with the one that is looked for.
    pub fn search(&self, order: impl Fn(&T) -> Ordering) -> Option<usize> {
        let after = self.blocks.partition_point(|block| order(&block.first) != Ordering::Greater);
        let in_rest = self.rest.first().is_some_and(|first| order(first) != Ordering::Greater);
        if in_rest {
            return self.rest.binary_search_by(order).ok().map(|at| self.blocks.len() * BLOCK + at);
        }
        let block = after.checked_sub(1)?;
        self.with_block(block, |rows| rows.binary_search_by(order)).ok().map(|at| block * BLOCK + at)
    }

    /// Gives the rows of a block to `read`.
    fn with_block<R>(&self, number: usize, read: impl FnOnce(&[T]) -> R) -> R {
        let stays = self.unpacked.load(Relaxed) > MAX_UNPACKED * self.blocks.len();
        match stays || self.blocks[number].rows.get().is_some() {
            true => read(self.rows_of(number)),
            false => read(&self.recent(number)),
        }
    }

    /// Returns the rows of a block, which stays unpacked for a while.
    fn recent(&self, number: usize) -> Arc<Vec<T>> {
        // No code that holds the lock can panic halfway through a change.
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let found = recent.iter().position(|(of, _)| *of == number).and_then(|at| recent.remove(at));
        let found = found.unwrap_or_else(|| {
            self.unpacked.fetch_add(1, Relaxed);
            (number, Arc::new(self.blocks[number].unpack()))
        });
        let rows = Arc::clone(&found.1);
        recent.push_front(found);
        recent.truncate(RECENT);
        rows
    }

    /// Returns every row.
    pub fn into_vec(self) -> Vec<T> {
        if self.blocks.is_empty() {
            return self.rest;
        }
        let unpacked = self.blocks.iter().flat_map(Block::unpack);
        unpacked.chain(self.rest).collect()
    }

    fn rows_of(&self, block: usize) -> &[T] {
        self.blocks[block].rows.get_or_init(|| self.blocks[block].unpack())
    }
}

impl<T> Default for Packed<T> {
    fn default() -> Packed<T> {
        Packed {
            blocks: Vec::new(),
            rest: Vec::new(),
            whole: OnceLock::new(),
            recent: Mutex::default(),
            unpacked: AtomicUsize::new(0),
        }
    }
}

impl<T: Row> Clone for Packed<T> {
    fn clone(&self) -> Packed<T> {
        let bare =
            |block: &Block<T>| Block { first: block.first.clone(), bytes: block.bytes.clone(), rows: OnceLock::new() };
        Packed { blocks: self.blocks.iter().map(bare).collect(), rest: self.rest.clone(), ..Packed::default() }
    }
}

impl<T: Row> Index<usize> for Packed<T> {
    type Output = T;

    fn index(&self, at: usize) -> &T {
        if let Some(whole) = self.whole.get() {
            return &whole[at];
        }
        match at.checked_sub(self.blocks.len() * BLOCK) {
            Some(at) => &self.rest[at],
            None => &self.rows_of(at / BLOCK)[at % BLOCK],
        }
    }
}

impl<T: Row> Index<RangeFrom<usize>> for Packed<T> {
    type Output = [T];

    fn index(&self, range: RangeFrom<usize>) -> &[T] {
        match range.start.checked_sub(self.blocks.len() * BLOCK) {
            Some(start) => &self.rest[start..],
            None => &self.deref()[range],
        }
    }
}

impl<T: Row> IndexMut<usize> for Packed<T> {
    fn index_mut(&mut self, at: usize) -> &mut T {
        &mut self.deref_mut()[at]
    }
}

impl<T: Row> Deref for Packed<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match self.blocks.is_empty() {
            true => &self.rest,
            false => self.whole.get_or_init(|| self.scan().map(Cow::into_owned).collect()),
        }
    }
}

impl<T: Row> DerefMut for Packed<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        if !self.blocks.is_empty() {
            self.rest = std::mem::take(self).into_vec();
        }
        &mut self.rest
    }
}

impl<T: Row> From<Vec<T>> for Packed<T> {
    fn from(rows: Vec<T>) -> Packed<T> {
        let is_long = rows.len() > PACK_FROM;
        let mut list = Packed { rest: rows, ..Packed::default() };
        if is_long {
            list.pack();
        }
        list
    }
}

impl<T: Row, const N: usize> From<[T; N]> for Packed<T> {
    fn from(rows: [T; N]) -> Packed<T> {
        Vec::from(rows).into()
    }
}

impl<T: Row> FromIterator<T> for Packed<T> {
    fn from_iter<I: IntoIterator<Item = T>>(rows: I) -> Packed<T> {
        let mut list = Packed::default();
        rows.into_iter().for_each(|row| list.push(row));
        list
    }
}

impl<'a, T: Row> IntoIterator for &'a Packed<T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<'a, T: Row> IntoIterator for &'a mut Packed<T> {
    type Item = &'a mut T;
    type IntoIter = std::slice::IterMut<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter_mut()
    }
}

impl<T: Row + PartialEq> PartialEq for Packed<T> {
    fn eq(&self, other: &Packed<T>) -> bool {
        self.len() == other.len() && self.scan().eq(other.scan())
    }
}

impl<T: Row + fmt::Debug> fmt::Debug for Packed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.scan()).finish()
    }
}

impl<T: Row + Serialize> Serialize for Packed<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.scan())
    }
}

impl<'de, T: Row + Deserialize<'de>> Deserialize<'de> for Packed<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Packed<T>, D::Error> {
        struct Rows<T>(Packed<T>);
        impl<'de, T: Row + Deserialize<'de>> Visitor<'de> for Rows<T> {
            type Value = Packed<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(mut self, mut rows: A) -> Result<Packed<T>, A::Error> {
                while let Some(row) = rows.next_element()? {
                    self.0.push(row);
                }
                Ok(self.0)
            }
        }
        deserializer.deserialize_seq(Rows(Packed::default()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::fields::{put_text, take_text};
    use super::*;

    impl Row for String {
        fn pack(&self, to: &mut Vec<u8>) {
            put_text(to, self);
        }

        fn unpack(from: &mut &[u8]) -> Option<String> {
            take_text(from)
        }
    }

    fn rows(count: usize) -> Vec<String> {
        (0..count).map(|i| format!("row {i:06}")).collect()
    }

    #[test]
    fn a_list_holds_the_rows_that_were_put_in_whatever_its_length() {
        for count in [0, 1, BLOCK, PACK_FROM, PACK_FROM + 1, PACK_FROM + BLOCK + 3] {
            let (list, plain) = (rows(count).into_iter().collect::<Packed<String>>(), rows(count));
            assert_eq!((list.len(), list.blocks.is_empty()), (count, count <= PACK_FROM));
            assert!(list.scan().map(Cow::into_owned).eq(plain.iter().cloned()), "{count}");
            for at in [0, 1, BLOCK - 1, BLOCK, count / 2, count.saturating_sub(1), count, count + BLOCK] {
                assert_eq!(list.get(at), plain.get(at).cloned(), "{count}: {at}");
                assert!(at >= count || list[at] == plain[at], "{count}: {at}");
                assert_eq!(list.search(|row| row.cmp(&format!("row {at:06}"))), (at < count).then_some(at));
            }
            assert_eq!(list, Packed::from(plain.clone()));
            let read: Packed<String> = serde_json::from_value(serde_json::json!(list)).expect("JSON");
            assert_eq!((&read, serde_json::json!(read)), (&list, serde_json::json!(plain)));
            assert!(list.whole.get().is_none(), "nothing so far needs every row at once");
            assert_eq!(*list, plain[..]);
            assert_eq!(list.clone().into_vec(), plain);
        }
    }

    #[test]
    fn blocks_stay_unpacked_once_rows_are_asked_for_in_no_order() {
        let list = Packed::from(rows(80 * BLOCK));
        let all_stay = |list: &Packed<String>| list.blocks.iter().all(|block| block.rows.get().is_some());
        (0..list.len()).for_each(|at| assert!(list.get(at).is_some()));
        assert!(!all_stay(&list), "in order, each block is unpacked once");
        for round in 0..=MAX_UNPACKED + 1 {
            for block in 0..80 {
                let at = block * BLOCK + round;
                assert_eq!(list.search(|row| row.cmp(&format!("row {at:06}"))), Some(at));
            }
        }
        assert!(all_stay(&list) && list.get(7).as_deref() == Some("row 000007"));
    }

    #[test]
    fn lists_are_changed_and_joined() {
        let mut list = Packed::from(rows(PACK_FROM + 5));
        list[3] = "other".to_owned();
        list.push("last".to_owned());
        assert_eq!((list.len(), list[3].as_str(), list[PACK_FROM + 5].as_str()), (PACK_FROM + 6, "other", "last"));
        let mut joined = Packed::default();
        for part in rows(3 * BLOCK + 7).chunks(BLOCK) {
            let mut part = Packed::from(part.to_vec());
            part.pack();
            joined.append(part);
        }
        assert_eq!((joined.blocks.len(), joined.clone().into_vec()), (3, rows(3 * BLOCK + 7)));
        joined.append(Packed::from(rows(2)));
        assert_eq!(joined.len(), 3 * BLOCK + 9);
    }
}
