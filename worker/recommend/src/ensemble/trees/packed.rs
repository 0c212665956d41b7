//! Trees as bytes, for storing: a fraction of the room and of the time that lists of numbers with names take.
//!
//! A node is a tag (0 split, 1 leaf), and what it holds in little-endian order.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_bytes::{ByteBuf, Bytes};

/// A node of a tree that knows its bytes.
pub trait Packed: Sized {
    /// Appends its bytes.
    fn write(&self, to: &mut Vec<u8>);

    /// Takes its bytes from the front; `None` where they are none of a node.
    fn read(from: &mut &[u8]) -> Option<Self>;

    /// The first of its two children's places, if it has any.
    fn children(&self) -> Option<u32>;
}

/// The first `N` bytes, taken away.
pub fn take<const N: usize>(from: &mut &[u8]) -> Option<[u8; N]> {
    let (head, rest) = from.split_first_chunk()?;
    *from = rest;
    Some(*head)
}

/// Writes the nodes of one tree; for `#[serde(with)]`.
pub fn serialize<N: Packed, S: Serializer>(nodes: &[N], serializer: S) -> Result<S::Ok, S::Error> {
    let mut bytes = Vec::new();
    nodes.iter().for_each(|node| node.write(&mut bytes));
    Bytes::new(&bytes).serialize(serializer)
}

/// Reads the nodes of one tree. Children come after their parents, so that every walk ends.
pub fn deserialize<'de, N: Packed, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<N>, D::Error> {
    let bytes = ByteBuf::deserialize(deserializer)?;
    let (mut rest, mut nodes) = (bytes.as_slice(), Vec::new());
    while !rest.is_empty() {
        nodes.push(N::read(&mut rest).ok_or_else(|| D::Error::custom("a tree with a damaged node"))?);
    }
    let count = nodes.len();
    let leads_on = |(place, node): (usize, &N)| {
        node.children().is_none_or(|first| (place + 1..count.saturating_sub(1)).contains(&(first as usize)))
    };
    if nodes.is_empty() || !nodes.iter().enumerate().all(leads_on) {
        return Err(D::Error::custom("a tree whose nodes lead nowhere"));
    }
    Ok(nodes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A node whose children are where it says; 0 for a leaf.
    #[derive(Debug, PartialEq)]
    struct Place(u8);

    impl Packed for Place {
        fn write(&self, to: &mut Vec<u8>) {
            to.push(self.0);
        }

        fn read(from: &mut &[u8]) -> Option<Self> {
            take(from).map(|[place]| Place(place)).filter(|place| place.0 < 200)
        }

        fn children(&self) -> Option<u32> {
            (self.0 > 0).then_some(self.0.into())
        }
    }

    #[derive(Serialize, Deserialize)]
    struct Stored(#[serde(with = "super")] Vec<Place>);

    #[test]
    fn trees_come_back_and_those_without_an_end_are_refused() {
        let there_and_back = |places: &[u8]| {
            let bytes = rmp_serde::to_vec(&Stored(places.iter().map(|&place| Place(place)).collect())).expect("bytes");
            rmp_serde::from_slice::<Stored>(&bytes).map(|stored| stored.0.iter().map(|p| p.0).collect::<Vec<_>>())
        };
        for whole in [&[0][..], &[1, 0, 0], &[1, 3, 0, 0, 0]] {
            assert_eq!(there_and_back(whole).expect("whole"), whole);
        }
        for broken in [&[][..], &[1], &[2, 0, 0], &[1, 1, 0], &[0, 0, 1], &[255]] {
            assert!(there_and_back(broken).is_err(), "{broken:?}");
        }
    }
}
