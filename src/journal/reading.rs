//! Reads a segment frame by frame, whoever writes it meanwhile, and trusts nothing of what it finds.

use std::fs::File;
use std::io;
use std::path::Path;

use crate::journal::format::{
    Frame, Header, Kind, MAX_FRAME, NoHeader, Parsed, is_opening, is_record, is_short, parse,
    read_complete, read_start,
};
use crate::journal::remains::read_what_there_is;

/// How much is read at once.
const CHUNK: usize = 256 << 10;
/// So much before it is read again: the Begins of what completes at its front, mostly.
const AGAIN: u64 = 32 << 10;

/// A file that is read from its front to its end; it may be removed meanwhile.
#[derive(Debug)]
pub(super) struct Reader {
    file: File,
    /// Of the file.
    length: u64,
    /// Bytes from here on are in the window.
    window_at: u64,
    window: Vec<u8>,
    /// So much of the window was read; what is behind that is of an earlier one.
    filled: usize,
    /// What a Begin says is looked at with its Complete, and not before.
    defers: bool,
}

/// What is at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Start {
        first: u64,
        carried: u32,
        size: u64,
    },
    Begin {
        size: u64,
    },
    /// A finished record; where its Begin is, if that is a frame of its own.
    Record {
        size: u64,
        begin: Option<u64>,
    },
    /// Nothing was written here yet.
    End,
    /// Something that is no frame.
    Torn,
}

/// Why a file cannot be read as a segment.
#[derive(Debug)]
pub(super) enum Unreadable {
    Io(io::Error),
    Header(NoHeader),
}

impl From<io::Error> for Unreadable {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Reader {
    pub(super) fn open(path: &Path) -> Result<(Self, Header), Unreadable> {
        Self::of(File::open(path)?)
    }

    pub(super) fn of(file: File) -> Result<(Self, Header), Unreadable> {
        let length = file.metadata()?.len();
        let (window_at, window) = (u64::MAX, Vec::new());
        let mut reader = Self { file, length, window_at, window, filled: 0, defers: false };
        reader.fill(0, Header::MAX as u64)?;
        let beginning = reader.window.get(..reader.filled).unwrap_or_default();
        let header = Header::read(beginning).map_err(Unreadable::Header)?;
        // What is behind the header may have been read before it was written.
        reader.filled = 0;
        Ok((reader, header))
    }

    /// For who wants records alone: what a Begin says is read once, with its Complete. A Begin that is damaged is met all
    /// the same.
    pub(super) fn of_records(mut self) -> Self {
        self.defers = true;
        self
    }

    /// Of the file, with what was not written yet.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// The frame at a place, of what was written before `limit`. A record is appended to `out`: its opening, its outcome.
    pub(super) fn step(&mut self, at: u64, limit: u64, out: &mut Vec<u8>) -> io::Result<Found> {
        let defers = self.defers;
        let frame = match self.frame(at, limit)? {
            Parsed::Frame(frame) => frame,
            Parsed::End => return Ok(Found::End),
            // Where a file was cut, it may end with less than a frame's head.
            Parsed::Short => {
                let is_blank = self.is_blank(at, limit);
                return Ok(if is_blank { Found::End } else { Found::Torn });
            }
            Parsed::Torn => return Ok(Found::Torn),
        };
        let Frame { kind, payload, size } = frame;
        let size = size as u64;
        let before = out.len();
        let begin = match kind {
            Kind::Start => {
                return Ok(read_start(payload).map_or(Found::Torn, |(first, carried)| {
                    Found::Start { first, carried, size }
                }));
            }
            // What cannot be completed is not open.
            Kind::Begin if !defers && !is_opening(payload) => return Ok(Found::Torn),
            Kind::Begin => return Ok(Found::Begin { size }),
            Kind::Whole => {
                out.extend_from_slice(payload);
                None
            }
            Kind::Complete => {
                let Some((begin, outcome)) = read_complete(payload) else { return Ok(Found::Torn) };
                let begin = u64::from(begin);
                // The window may have to move to get at the Begin.
                let outcome = smallvec::SmallVec::<[u8; 128]>::from_slice(outcome);
                if begin >= at || !self.opening(begin, at, out)? {
                    return Ok(Found::Torn);
                }
                out.extend_from_slice(&outcome);
                Some(begin)
            }
        };
        if !out.get(before..).is_some_and(is_record) {
            out.truncate(before);
            return Ok(Found::Torn);
        }
        Ok(Found::Record { size, begin })
    }

    /// Appends what a Begin says; false where there is none.
    pub(super) fn opening(&mut self, at: u64, limit: u64, out: &mut Vec<u8>) -> io::Result<bool> {
        let near = self.slice(at, limit).filter(|bytes| !is_short(bytes));
        if let Some(bytes) = near {
            return Ok(append_begin(parse(bytes), out));
        }
        // The window stays where the next frames are.
        let mut far = vec![0; usize::try_from(limit - at).unwrap_or(MAX_FRAME).min(MAX_FRAME)];
        let read = read_what_there_is(&self.file, &mut far, at)?;
        Ok(append_begin(parse(far.get(..read).unwrap_or_default()), out))
    }

    fn is_blank(&self, at: u64, limit: u64) -> bool {
        self.slice(at, limit.min(self.length)).is_none_or(|rest| rest.iter().all(|byte| *byte == 0))
    }

    /// The window from a place on, up to the limit; none where it is not in the window.
    fn slice(&self, at: u64, limit: u64) -> Option<&[u8]> {
        let from = usize::try_from(at.checked_sub(self.window_at)?).ok()?;
        let to = usize::try_from(limit.checked_sub(self.window_at)?).ok()?;
        self.window.get(from..to.min(self.filled))
    }

    fn frame(&mut self, at: u64, limit: u64) -> io::Result<Parsed<'_>> {
        let limit = limit.min(self.length);
        if at >= limit {
            return Ok(Parsed::End);
        }
        if self.slice(at, limit).is_none_or(is_short) {
            self.fill(at, limit)?;
        }
        Ok(parse(self.slice(at, limit).unwrap_or_default()))
    }

    fn fill(&mut self, at: u64, limit: u64) -> io::Result<()> {
        let from = at.saturating_sub(AGAIN);
        let ahead = usize::try_from(limit.saturating_sub(at)).unwrap_or(CHUNK).min(CHUNK);
        let length = usize::try_from(at - from).unwrap_or_default() + ahead;
        self.window.resize(self.window.len().max(length), 0);
        (self.window_at, self.filled) = (from, 0);
        let into = self.window.get_mut(..length).unwrap_or_default();
        self.filled = read_what_there_is(&self.file, into, from)?;
        Ok(())
    }
}

fn append_begin(parsed: Parsed<'_>, out: &mut Vec<u8>) -> bool {
    match parsed {
        Parsed::Frame(Frame { kind: Kind::Begin, payload, .. }) => {
            out.extend_from_slice(payload);
            true
        }
        _ => false,
    }
}
