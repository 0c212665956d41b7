//! The memory of a picture's pixels: owned, or shared with another process.

use memmap2::MmapMut;
use std::fs::File;
use std::io;
use std::ops::{Deref, DerefMut};

/// The bytes of a picture; dereferences to a slice.
pub struct Pixels(Memory);

enum Memory {
    Owned(Vec<u8>),
    /// The first `used` bytes of a file in memory that another process also maps.
    Shared {
        map: MmapMut,
        used: usize,
    },
}

impl Pixels {
    /// Maps the first `bytes` bytes of `file`, a file in memory of at least that size that cannot
    /// shrink.
    #[expect(unsafe_code, reason = "mapping a file is unsafe: others may write to it")]
    pub fn shared(file: &File, bytes: usize) -> io::Result<Self> {
        // SAFETY: the file is sealed and cannot shrink, so no access can fail. The processes
        // alternate: the child writes, calls, and writes again only after the reply; the parent
        // reads only before the reply. A compromised child that breaks this rule changes bytes that
        // readers treat as numbers, never an address or a length.
        let map = unsafe { memmap2::MmapOptions::new().len(bytes).map_mut(file)? };
        Ok(Self(Memory::Shared { map, used: bytes }))
    }

    /// Whether another process sees these bytes.
    #[inline]
    pub fn is_shared(&self) -> bool {
        matches!(self.0, Memory::Shared { .. })
    }

    /// Changes the number of bytes. Replaces shared memory that is too small by owned memory.
    #[inline]
    pub fn resize(&mut self, bytes: usize) {
        match &mut self.0 {
            Memory::Owned(own) => own.resize(bytes, 0),
            Memory::Shared { map, used } if bytes <= map.len() => *used = bytes,
            Memory::Shared { .. } => self.0 = Memory::Owned(vec![0; bytes]),
        }
    }
}

impl Deref for Pixels {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match &self.0 {
            Memory::Owned(own) => own,
            Memory::Shared { map, used } => &map[..*used],
        }
    }
}

impl DerefMut for Pixels {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        match &mut self.0 {
            Memory::Owned(own) => own,
            Memory::Shared { map, used } => &mut map[..*used],
        }
    }
}

impl From<Vec<u8>> for Pixels {
    #[inline]
    fn from(own: Vec<u8>) -> Self {
        Self(Memory::Owned(own))
    }
}

impl Default for Pixels {
    #[inline]
    fn default() -> Self {
        Vec::new().into()
    }
}

impl Clone for Pixels {
    /// Copies into owned memory.
    fn clone(&self) -> Self {
        self.to_vec().into()
    }
}

impl PartialEq for Pixels {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Pixels {}

impl std::fmt::Debug for Pixels {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.len())
    }
}
