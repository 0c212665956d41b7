//! Stores numbers as little-endian bytes, which take a fraction of the size and time of lists; for
//! `#[serde(with)]`.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_bytes::{ByteBuf, Bytes};

/// Writes the numbers.
pub fn serialize<S: Serializer>(numbers: &[f32], serializer: S) -> Result<S::Ok, S::Error> {
    let bytes: Vec<u8> = numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
    Bytes::new(&bytes).serialize(serializer)
}

/// Reads the numbers; refuses a part of one, and what is not finite.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<f32>, D::Error> {
    let bytes = ByteBuf::deserialize(deserializer)?;
    let (numbers, rest) = bytes.as_chunks::<4>();
    let numbers: Vec<f32> = numbers.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    if !rest.is_empty() || numbers.iter().any(|x| !x.is_finite()) {
        return Err(D::Error::custom("the factors are damaged"));
    }
    Ok(numbers)
}
