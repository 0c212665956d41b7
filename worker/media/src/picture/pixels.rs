//! Memory of a picture's pixels: its own, or shared with another process.

use memmap2::MmapMut;
use std::fs::File;
use std::io;
use std::ops::{Deref, DerefMut};

/// The bytes of a picture; a slice to whoever reads or paints them.
pub struct Pixels(Memory);

enum Memory {
    Own(Vec<u8>),
    /// The first `used` bytes of a file in memory that another process maps, too.
    Shared {
        map: MmapMut,
        used: usize,
    },
}

impl Pixels {
    /// The first `bytes` bytes of `file`, which must be a file in memory of at least that size that cannot shrink.
    #[expect(unsafe_code, reason = "mapping a file is unsafe: others may write to it")]
    pub fn shared(file: &File, bytes: usize) -> io::Result<Self> {
        // SAFETY: the file cannot shrink (it is sealed), so no access can fail. The two processes take turns: the child
        // paints, asks, and paints again only after the reply, before which alone the parent reads. A child that breaks this rule
        // has been taken over; it changes bytes that are numbers to whoever reads them, and never an address or a length.
        let map = unsafe { memmap2::MmapOptions::new().len(bytes).map_mut(file)? };
        Ok(Self(Memory::Shared { map, used: bytes }))
    }

    /// Whether another process sees these bytes.
    pub fn is_shared(&self) -> bool {
        matches!(self.0, Memory::Shared { .. })
    }

    /// Changes the number of bytes. Shared memory that is too small for it is left for memory of its own.
    pub fn resize(&mut self, bytes: usize) {
        match &mut self.0 {
            Memory::Own(own) => own.resize(bytes, 0),
            Memory::Shared { map, used } if bytes <= map.len() => *used = bytes,
            Memory::Shared { .. } => self.0 = Memory::Own(vec![0; bytes]),
        }
    }
}

impl Deref for Pixels {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Memory::Own(own) => own,
            Memory::Shared { map, used } => &map[..*used],
        }
    }
}

impl DerefMut for Pixels {
    fn deref_mut(&mut self) -> &mut [u8] {
        match &mut self.0 {
            Memory::Own(own) => own,
            Memory::Shared { map, used } => &mut map[..*used],
        }
    }
}

impl From<Vec<u8>> for Pixels {
    fn from(own: Vec<u8>) -> Self {
        Self(Memory::Own(own))
    }
}

impl Default for Pixels {
    fn default() -> Self {
        Vec::new().into()
    }
}

impl Clone for Pixels {
    /// Memory of its own.
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
