//! A segment's file in memory: the only place with `unsafe`, behind two safe ways to write.
//!
//! What makes it sound:
//!
//! - Memory is reached through raw pointers alone; no reference into the mapping is ever made, so it is of no concern to the
//!   language that the kernel reads it, or that another process could change it.
//! - Every access is checked against the length of the mapping, and `&mut self` keeps other writers out.
//!
//! What makes it safe to touch, for a mapped page that the kernel cannot provide is a SIGBUS:
//!
//! - The file is ours: its directory is locked, its name is new (`O_EXCL`), its mode 0600; nothing in the gateway shortens it.
//! - All of its blocks were allocated before it was mapped, so a full disk is met by whoever prepares it, in a system call that
//!   says so, and never here.
//!
//! The last does not hold on file systems that write to another place what is written over (btrfs, ZFS): there a full disk can be
//! met here, and the SIGBUS ends the process as a kill would. The start warns of them.
//!
//! Others read the file with `read(2)`, which sees what is written here at once: both are the kernel's page cache.
#![expect(
    unsafe_code,
    reason = "a mapped file is written through raw pointers; each use says why it may"
)]

use std::fs::File;
use std::io;
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};

use memmap2::{MmapOptions, MmapRaw};

/// The length of a frame is written last, and alone.
const LENGTH: usize = size_of::<u32>();

#[derive(Debug)]
pub(super) struct Mapped {
    map: MmapRaw,
}

impl Mapped {
    /// The file must have all its blocks, and be open for reading and writing.
    pub(super) fn of(file: &File, length: usize) -> io::Result<Self> {
        let map = MmapOptions::new().len(length).map_raw(file)?;
        Ok(Self { map })
    }

    pub(super) fn len(&self) -> usize {
        self.map.len()
    }

    /// False, and nothing is written, where the bytes do not lie inside.
    #[must_use]
    pub(super) fn write_at(&mut self, at: usize, bytes: &[u8]) -> bool {
        let Some(place) = self.place(at, bytes.len()) else { return false };
        // SAFETY: `place` is valid for so many bytes, and `bytes`, being a reference, is not in the mapping, into which there
        // are none.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), place, bytes.len()) };
        true
    }

    /// Writes a frame so that it is there whole or, for its length is still zero, not at all, wherever the process is killed.
    #[must_use]
    pub(super) fn publish(&mut self, at: usize, frame: &[u8]) -> bool {
        let Some((length, rest)) = frame.split_first_chunk::<LENGTH>() else { return false };
        if !at.is_multiple_of(LENGTH) || !self.write_at(at + LENGTH, rest) {
            return false;
        }
        let Some(place) = self.place(at, LENGTH) else { return false };
        // SAFETY: `place` is valid for four bytes and aligned: a mapping begins at a page, and `at` was looked at. Nobody in
        // this process reaches these bytes otherwise while `self` is borrowed.
        let word = unsafe { AtomicU32::from_ptr(place.cast()) };
        word.store(u32::from_ne_bytes(*length), Ordering::Release);
        true
    }

    /// Appends bytes that were written here.
    #[must_use]
    pub(super) fn copy_out(&self, at: usize, length: usize, out: &mut Vec<u8>) -> bool {
        let Some(place) = self.place(at, length) else { return false };
        out.reserve(length);
        // SAFETY: `place` is valid for `length` bytes, and so is the room that was reserved, which is not in the mapping. The
        // length of the vector grows by what was just written.
        unsafe {
            ptr::copy_nonoverlapping(place.cast_const(), out.as_mut_ptr().add(out.len()), length);
            out.set_len(out.len() + length);
        }
        true
    }

    /// Valid for `length` bytes.
    fn place(&self, at: usize, length: usize) -> Option<*mut u8> {
        let end = at.checked_add(length)?;
        if end > self.map.len() {
            return None;
        }
        // SAFETY: `at` is inside of the mapping or just behind it.
        Some(unsafe { self.map.as_mut_ptr().add(at) })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn mapped(length: usize) -> (File, Mapped) {
        let file = tempfile::tempfile().unwrap();
        file.set_len(length as u64).unwrap();
        let map = Mapped::of(&file, length).unwrap();
        (file, map)
    }

    #[test]
    fn what_is_written_is_read_from_the_file() {
        let (mut file, mut map) = mapped(64);
        assert!(map.write_at(3, b"abc"));
        assert!(map.publish(16, &[5, 0, 0, 0, 1, 2, 3, 4, 9]));
        let mut copied = vec![7];
        assert!(map.copy_out(16, 9, &mut copied));
        assert_eq!(copied, [7, 5, 0, 0, 0, 1, 2, 3, 4, 9]);
        let mut read = Vec::new();
        file.read_to_end(&mut read).unwrap();
        assert_eq!(
            (&read[..7], &read[16..26]),
            (&b"\0\0\0abc\0"[..], &[5, 0, 0, 0, 1, 2, 3, 4, 9, 0][..])
        );
    }

    #[test]
    fn nothing_is_written_outside() {
        let (mut file, mut map) = mapped(64);
        for (at, length) in [(64, 1), (60, 5), (usize::MAX, 2), (0, 65)] {
            assert!(!map.write_at(at, &vec![1; length]), "{length} at {at}");
            assert!(!map.publish(at, &vec![1; length]), "{length} at {at}");
            assert!(!map.copy_out(at, length, &mut Vec::new()), "{length} at {at}");
        }
        assert!(!map.publish(1, &[1; 8]), "not aligned");
        let mut read = Vec::new();
        file.read_to_end(&mut read).unwrap();
        assert_eq!(read, [0; 64]);
    }
}
