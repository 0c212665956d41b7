//! Memory that child and parent share, so that pictures for the detector bypass the pipe.

use crate::picture::MAX_PIXELS;
use crate::picture::pixels::Pixels;
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;

/// Bytes of the largest picture, plus what vector code may write beyond its rows and its end.
const BYTES: u64 = MAX_PIXELS * 3 + (1 << 20);

/// A file in memory that holds one picture. It occupies only the pages that were written.
pub struct SharedMemory(File);

impl SharedMemory {
    /// Creates the file, in the parent. It is sealed: the child can neither shrink nor grow it.
    pub fn create() -> io::Result<Self> {
        let file = memfd_create("jhalak-picture", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        ftruncate(&file, BYTES)?;
        fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
        Ok(Self(file.into()))
    }

    /// Returns the path under which another process of the same user opens it, as long as this
    /// process lives.
    pub fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd())
    }

    /// Opens the parent's file, in the child.
    pub fn open(path: &str) -> io::Result<Self> {
        OpenOptions::new().read(true).write(true).open(path).map(Self)
    }

    /// Maps the first `bytes` bytes.
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
    fn each_side_sees_what_the_other_writes_and_neither_can_shrink_it() {
        let parent = SharedMemory::create().expect("memory");
        let child = SharedMemory::open(&parent.path()).expect("the same file");
        let mut written = child.pixels(10_000).expect("a map");
        written[9_999] = 7;
        assert_eq!(parent.pixels(10_000).expect("a map")[9_999], 7);
        assert!(child.0.set_len(0).is_err());
        assert!(parent.pixels(BYTES as usize + 1).is_err());
        written.resize(20_000);
        assert!(!written.is_shared() && written.len() == 20_000, "too small: replaced by memory of its own");
    }
}
