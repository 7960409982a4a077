//! One file of a lane: what the worker, the keeper and the reader know of it together, and how it is made.
//!
//! It is prepared (a spare), then in use, then closed; a worker alone moves it from one to the next. Its numbers are published
//! in an order that a reader may rely on: `end` after the bytes, `first` of a segment after all of its beginning, and `closed`
//! after the last `end` and after the `first` of its successor.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rustix::fs::FallocateFlags;
use rustix::io::Errno;

use crate::journal::format::Header;
use crate::journal::mapped::Mapped;
use crate::model::{LaneId, Timestamp};

const ENDING: &str = ".journal";
const NUMBER_DIGITS: usize = 10;

#[derive(Debug)]
pub(super) struct Segment {
    pub(super) path: PathBuf,
    pub(super) number: u32,
    /// What it takes of the disk.
    pub(super) size: AtomicU64,
    /// The number of its first record; 0 as long as it is a spare.
    pub(super) first: AtomicU64,
    /// Behind the last frame that was written.
    pub(super) end: AtomicU64,
    /// Nothing more is written to it.
    pub(super) closed: AtomicBool,
    /// Up to here it was forced to disk since it is in use.
    pub(super) synced: AtomicU64,
    /// Forcing it to disk failed: what the kernel says of it later is not believed.
    pub(super) failed: AtomicBool,
    /// That it is not whole was told.
    pub(super) told: AtomicBool,
    /// It is being deleted.
    pub(super) leaves: AtomicBool,
}

impl Segment {
    /// One that was found.
    pub(super) fn of_earlier_start(path: PathBuf, number: u32, size: u64, first: u64) -> Self {
        Self {
            path,
            number,
            size: size.into(),
            first: first.into(),
            end: size.into(),
            closed: true.into(),
            synced: size.into(),
            failed: false.into(),
            told: false.into(),
            leaves: false.into(),
        }
    }

    pub(super) fn first(&self) -> u64 {
        self.first.load(Ordering::Acquire)
    }

    pub(super) fn is_spare(&self) -> bool {
        self.first() == 0
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    pub(super) fn end(&self) -> u64 {
        self.end.load(Ordering::Acquire)
    }

    /// Up to here it may be shipped: what a power cut could take would have its numbers given out again. Where forcing it
    /// failed, nobody knows what is on the disk, and the store is the safer place.
    pub(super) fn readable(&self) -> u64 {
        let end = self.end();
        if self.has_failed() { end } else { end.min(self.synced.load(Ordering::Acquire)) }
    }

    pub(super) fn size(&self) -> u64 {
        self.size.load(Ordering::Relaxed)
    }

    pub(super) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }
}

/// A segment that lies ready.
#[derive(Debug)]
pub(super) struct Spare {
    pub(super) segment: Arc<Segment>,
    pub(super) map: Mapped,
    /// Where its first frame goes.
    pub(super) start: usize,
}

pub(super) fn file_name(lane: LaneId, number: u32) -> String {
    format!("{lane}-{number:010}{ENDING}")
}

/// The lane and number in a file's name; none where it is no segment's.
pub(super) fn read_name(name: &str) -> Option<(LaneId, u32)> {
    let (lane, number) = name.strip_suffix(ENDING)?.split_once('-')?;
    let is_number = number.len() == NUMBER_DIGITS && number.bytes().all(|b| b.is_ascii_digit());
    let number = number.parse().ok().filter(|_| is_number)?;
    Some((LaneId::parse(lane)?, number))
}

/// Makes a file with all its blocks and its header, forced to disk. What could not be finished is taken away again.
pub(super) fn prepare(
    directory: &Path,
    lane: LaneId,
    number: u32,
    node: &str,
    created: Timestamp,
    size: u64,
) -> io::Result<(Spare, File)> {
    let path = directory.join(file_name(lane, number));
    let header = Header::encode(lane, number, created, node);
    let made = make(&path, &header, size).and_then(|file| {
        sync_directory(directory)?;
        let length = usize::try_from(size).map_err(io::Error::other)?;
        Ok((Mapped::of(&file, length)?, file))
    });
    let (map, file) = made.inspect_err(|error| {
        // A file that was there before is not ours to take away.
        if error.kind() != io::ErrorKind::AlreadyExists {
            drop(std::fs::remove_file(&path));
        }
    })?;
    let segment = Segment {
        path,
        number,
        size: size.into(),
        first: 0.into(),
        end: (header.len() as u64).into(),
        closed: false.into(),
        synced: 0.into(),
        failed: false.into(),
        told: false.into(),
        leaves: false.into(),
    };
    Ok((Spare { segment: segment.into(), map, start: header.len() }, file))
}

fn make(path: &Path, header: &[u8], size: u64) -> io::Result<File> {
    let file = new_file(path)?;
    match rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, size) {
        Ok(()) => {}
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => fill(&file, size)?,
        Err(error) => return Err(error.into()),
    }
    file.write_all_at(header, 0)?;
    file.sync_all()?;
    Ok(file)
}

pub(super) fn new_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)
}

/// Writes zeros, where blocks cannot be had otherwise.
fn fill(file: &File, size: u64) -> io::Result<()> {
    let zeros = vec![0; 64 << 10];
    let mut at = 0;
    while at < size {
        let length = usize::try_from(size - at).unwrap_or(usize::MAX).min(zeros.len());
        file.write_all_at(zeros.get(..length).unwrap_or_default(), at)?;
        at += length as u64;
    }
    Ok(())
}

/// So that a file that was made, renamed or removed is so after a power cut, too.
pub(super) fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// Whether room is what lacks.
pub(super) fn is_no_room(error: &io::Error) -> bool {
    use io::ErrorKind::{QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        let name = file_name(LaneId(0xc0ffee), 17);
        assert_eq!(name, "0000000000c0ffee-0000000017.journal");
        assert_eq!(read_name(&name), Some((LaneId(0xc0ffee), 17)));
        for other in ["lock", "0000000000c0ffee-17.journal", "c0ffee-0000000017.journal"] {
            assert_eq!(read_name(other), None, "{other}");
        }
        assert_eq!(read_name("0000000000c0ffee-0000000017.journal.tmp"), None);
    }

    #[test]
    fn a_spare_has_all_its_blocks_and_is_private() {
        use std::os::unix::fs::MetadataExt;

        let home = tempfile::tempdir().unwrap();
        let make = || prepare(home.path(), LaneId(1), 2, "n", Timestamp::default(), 256 << 10);
        let (spare, _file) = make().unwrap();
        let found = std::fs::metadata(&spare.segment.path).unwrap();
        assert_eq!((found.len(), found.mode() & 0o777), (256 << 10, 0o600));
        assert!(found.blocks() * 512 >= 256 << 10);
        let again = make().unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
        assert!(spare.segment.path.exists(), "taken away by who did not make it");
    }

    #[test]
    fn zeros_are_written_where_blocks_cannot_be_had() {
        let file = tempfile::tempfile().unwrap();
        fill(&file, 100_001).unwrap();
        assert_eq!(file.metadata().unwrap().len(), 100_001);
    }
}
