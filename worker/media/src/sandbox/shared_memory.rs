//! Memory that a decoder and its parent share, so that pictures for the detector need not go through a pipe.

use crate::picture::MAX_PIXELS;
use crate::picture::pixels::Pixels;
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;

/// Bytes of the largest picture, and of what vector code may write beyond its rows and its end.
const BYTES: u64 = MAX_PIXELS * 3 + (1 << 20);

/// A file in memory that takes one picture. It takes up what was painted and no more.
pub struct Canvas(File);

impl Canvas {
    /// The parent's side. The file can neither shrink nor grow, whatever the child does.
    pub fn create() -> io::Result<Self> {
        let file = memfd_create("jhalak-picture", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        ftruncate(&file, BYTES)?;
        fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
        Ok(Self(file.into()))
    }

    /// Where another process of the same user finds it, as long as this one lives.
    pub fn address(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd())
    }

    /// The child's side.
    pub fn open(address: &str) -> io::Result<Self> {
        OpenOptions::new().read(true).write(true).open(address).map(Self)
    }

    /// Its first `bytes` bytes.
    pub fn pixels(&self, bytes: usize) -> io::Result<Pixels> {
        if bytes as u64 > BYTES {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        Pixels::shared(&self.0, bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_side_paints_the_other_sees_and_neither_can_shrink_it() {
        let parent = Canvas::create().expect("memory");
        let child = Canvas::open(&parent.address()).expect("the same file");
        let mut painted = child.pixels(10_000).expect("a map");
        painted[9_999] = 7;
        assert_eq!(parent.pixels(10_000).expect("a map")[9_999], 7);
        assert!(child.0.set_len(0).is_err());
        assert!(parent.pixels(BYTES as usize + 1).is_err());
        painted.resize(20_000);
        assert!(!painted.is_shared() && painted.len() == 20_000, "too small: left for memory of its own");
    }
}
