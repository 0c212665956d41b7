//! Collections for catalogues of millions of movies and trailers, where a `Vec` or a `BTreeMap` of
//! texts takes several times the bytes of the texts.

pub mod fields;
mod packed;
mod text_map;
mod texts;

pub use packed::{BLOCK, PACK_FROM, Packed, Row};
pub use text_map::TextMap;
pub use texts::Texts;
