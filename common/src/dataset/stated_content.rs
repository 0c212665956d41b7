//! The content that a catalogue states for a trailer. A run refuses another content.

use serde::{Deserialize, Serialize};

use crate::hash::Hash;

/// The content that the catalogue states for a trailer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatedContent {
    /// Bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// The object store's tag (ETag), without quotes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// SHA-256 of the bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Hash>,
}

impl StatedContent {
    /// Whether nothing is stated.
    pub fn is_empty(&self) -> bool {
        *self == StatedContent::default()
    }

    /// Returns how an object of this size and tag differs from what is stated.
    pub fn difference(&self, size: u64, tag: Option<&str>) -> Option<String> {
        if let Some(stated) = self.size.filter(|stated| *stated != size) {
            return Some(format!("it has {size} bytes, and the catalogue states {stated}: is it another file?"));
        }
        let stated = self.tag.as_ref()?;
        match tag {
            None => Some(
                "the catalogue states a tag, which only objects in a store have: state the SHA-256 instead".to_owned(),
            ),
            Some(tag) if tag.trim_matches('"') == stated => None,
            Some(_) => Some("its tag is not the one that the catalogue states: it was replaced".to_owned()),
        }
    }
}
