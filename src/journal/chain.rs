//! The segments of a lane as they lie on disk after anything: which of them count, and what is in the last one.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use crate::journal::format::{Header, NoHeader, START_FRAME};
use crate::journal::reading::{Found, Reader, Unreadable};
use crate::journal::{JournalError, remains};
use crate::model::LaneId;

/// A segment that was taken into use.
#[derive(Debug)]
pub(super) struct Used {
    pub(super) path: PathBuf,
    pub(super) header: Header,
    /// Of the file.
    pub(super) length: u64,
    /// The number of its first record.
    pub(super) first: u64,
    pub(super) carried: u32,
    /// Behind its Start.
    pub(super) frames_at: u64,
}

/// Why a file does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unused {
    /// It lay ready, or was being made.
    Spare,
    /// A power cut took what was carried into it: its predecessor has all that counts.
    Halfway,
    /// Its beginning cannot be read, or there are records where none should be.
    Damaged,
    /// It is a directory, or on a bad place of the disk.
    Unreadable,
}

#[derive(Debug, Default)]
pub(super) struct Chain {
    pub(super) used: Vec<Used>,
    /// What is in the last one.
    pub(super) tail: Scan,
    pub(super) unused: Vec<(PathBuf, Unused)>,
}

/// What is in a segment up to where it can be read.
#[derive(Debug, Default)]
pub(super) struct Scan {
    pub(super) end: u64,
    pub(super) records: u64,
    /// Begins without a Complete.
    pub(super) open: BTreeSet<u64>,
    /// Begins that stand before all else.
    leading: u32,
    /// It ends at something that is no frame, not where nothing was written.
    pub(super) is_torn: bool,
}

impl Chain {
    /// Of all the files of one lane, in the order of their numbers.
    pub(super) fn examine(lane: LaneId, files: &[(u32, PathBuf)]) -> Result<Self, JournalError> {
        let mut chain = Self::default();
        for (number, path) in files {
            match examine_one(lane, *number, path)? {
                Ok(used) => chain.used.push(used),
                Err(None) => {}
                Err(Some(unused)) => chain.unused.push((path.clone(), unused)),
            }
        }
        while let Some(last) = chain.used.last() {
            let why = match last.scan() {
                Ok(tail) => {
                    let is_whole = tail.leading >= last.carried || chain.used.len() < 2;
                    chain.tail = tail;
                    if is_whole {
                        break;
                    }
                    Unused::Halfway
                }
                Err(error) if is_damage(&error) => Unused::Unreadable,
                Err(error) => return Err(cannot_read(&last.path, error)),
            };
            chain.unused.extend(chain.used.pop().map(|last| (last.path, why)));
        }
        Ok(chain)
    }
}

/// A file that has gone meanwhile is none.
fn examine_one(
    lane: LaneId,
    number: u32,
    path: &Path,
) -> Result<Result<Used, Option<Unused>>, JournalError> {
    match examine_readable(lane, number, path) {
        Ok(examined) => Ok(examined.map_err(Some)),
        Err(Unreadable::Header(NoHeader::Later(version))) => {
            Err(JournalError::Later { path: path.to_owned(), version })
        }
        Err(Unreadable::Header(_)) => Ok(Err(Some(Unused::Damaged))),
        Err(Unreadable::Io(error)) if error.kind() == io::ErrorKind::NotFound => Ok(Err(None)),
        Err(Unreadable::Io(error)) if is_damage(&error) => Ok(Err(Some(Unused::Unreadable))),
        Err(Unreadable::Io(error)) => Err(cannot_read(path, error)),
    }
}

fn examine_readable(
    lane: LaneId,
    number: u32,
    path: &Path,
) -> Result<Result<Used, Unused>, Unreadable> {
    let file = File::open(path)?;
    let (mut reader, header) = match Reader::of(file.try_clone()?) {
        Ok(opened) => opened,
        Err(Unreadable::Header(NoHeader::Unfinished)) => {
            let is_blank = remains::written_up_to(&file, Header::SHORTEST)?.is_none();
            return Ok(Err(if is_blank { Unused::Spare } else { Unused::Damaged }));
        }
        Err(error) => return Err(error),
    };
    if (header.lane, header.number) != (lane, number) {
        return Ok(Err(Unused::Damaged));
    }
    let start = header.length as u64;
    Ok(match reader.step(start, start + START_FRAME as u64, &mut Vec::new())? {
        Found::Start { first, carried, size } => {
            let (path, length) = (path.to_owned(), reader.length());
            Ok(Used { path, header, length, first, carried, frames_at: start + size })
        }
        // Begins were copied into it, perhaps, but nothing was finished there.
        Found::End if remains::frames(&file, start)?.finished == 0 => Err(Unused::Spare),
        _ => Err(Unused::Damaged),
    })
}

/// Whether it is this file, and not what all of them have in common, that cannot be read.
pub(super) fn is_damage(error: &io::Error) -> bool {
    let known = [Errno::ISDIR, Errno::IO, Errno::NXIO, Errno::LOOP].map(Errno::raw_os_error);
    error.raw_os_error().is_some_and(|number| known.contains(&number))
}

pub(super) fn cannot_read(path: &Path, source: io::Error) -> JournalError {
    JournalError::Io { dir: path.to_owned(), source }
}

impl Used {
    /// Reads it from its front: it is not held open, for there may be thousands.
    pub(super) fn open(&self) -> io::Result<Reader> {
        match Reader::open(&self.path) {
            Ok((reader, _)) => Ok(reader),
            Err(Unreadable::Io(error)) => Err(error),
            Err(Unreadable::Header(what)) => {
                Err(io::Error::other(format!("its beginning has changed: {what:?}")))
            }
        }
    }

    fn scan(&self) -> io::Result<Scan> {
        let mut reader = self.open()?;
        let mut scan = Scan { end: self.frames_at, ..Scan::default() };
        let mut record = Vec::new();
        let mut leads = true;
        loop {
            record.clear();
            let size = match reader.step(scan.end, u64::MAX, &mut record)? {
                Found::Begin { size } => {
                    scan.open.insert(scan.end);
                    scan.leading += u32::from(leads);
                    size
                }
                Found::Record { size, begin } => {
                    leads = false;
                    begin.map(|begin| scan.open.remove(&begin));
                    scan.records += 1;
                    size
                }
                Found::Start { .. } | Found::Torn => {
                    scan.is_torn = true;
                    return Ok(scan);
                }
                Found::End => return Ok(scan),
            };
            scan.end += size;
        }
    }
}
