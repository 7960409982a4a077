//! What lies behind the end of a segment, or where there should be nothing at all: looked at piece by piece, holes left out, for
//! a damaged file may claim to be of any length.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use rustix::fs::SeekFrom;
use rustix::io::Errno;

use crate::journal::format::{ALIGNMENT, Kind, MAX_FRAME, Parsed, parse};

const PIECE: usize = 256 << 10;

/// Behind the last byte that is not zero; none where there is none from a place on.
pub(super) fn written_up_to(file: &File, from: u64) -> io::Result<Option<u64>> {
    let mut written = None;
    each_piece(file, from, |at, piece| {
        if let Some(last) = piece.iter().rposition(|byte| *byte != 0) {
            written = Some(at + last as u64 + 1);
        }
        Ok(())
    })?;
    Ok(written)
}

/// Frames that can be read, and how many of them finish a record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Frames {
    pub(super) all: u64,
    pub(super) finished: u64,
}

pub(super) fn frames(file: &File, from: u64) -> io::Result<Frames> {
    let mut found = Frames::default();
    let mut next = from;
    let mut window = Vec::new();
    each_piece(file, from, |at, piece| {
        let end = at + piece.len() as u64;
        window.clear();
        window.extend_from_slice(piece);
        // The last one may end behind the piece; its padding, where the file was cut, is zeros.
        window.resize(piece.len() + MAX_FRAME, 0);
        let behind = window.get_mut(piece.len()..).unwrap_or_default();
        read_what_there_is(file, behind, end)?;
        next = next.max(at.next_multiple_of(ALIGNMENT as u64));
        while next < end {
            let place = usize::try_from(next - at).map_err(io::Error::other)?;
            next += match parse(window.get(place..).unwrap_or_default()) {
                Parsed::Frame(frame) => {
                    found.all += 1;
                    found.finished += u64::from(matches!(frame.kind, Kind::Complete | Kind::Whole));
                    frame.size as u64
                }
                _ => ALIGNMENT as u64,
            };
        }
        Ok(())
    })?;
    Ok(found)
}

/// Writes zeros over what is not zero.
pub(super) fn erase(file: &File, from: u64) -> io::Result<()> {
    let zeros = vec![0; PIECE];
    each_piece(file, from, |at, piece| match piece.iter().all(|byte| *byte == 0) {
        true => Ok(()),
        false => file.write_all_at(zeros.get(..piece.len()).unwrap_or_default(), at),
    })
}

fn each_piece(
    file: &File,
    from: u64,
    mut each: impl FnMut(u64, &[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let mut piece = vec![0; PIECE];
    let mut at = from;
    loop {
        at = match rustix::fs::seek(file, SeekFrom::Data(at)) {
            // It may be before the place, in the same block of a file system that knows no holes.
            Ok(data) => data.max(at),
            Err(Errno::NXIO) => return Ok(()),
            Err(Errno::INVAL | Errno::OPNOTSUPP | Errno::NOSYS) => at,
            Err(error) => return Err(error.into()),
        };
        let read = read_what_there_is(file, &mut piece, at)?;
        if read == 0 {
            return Ok(());
        }
        each(at, piece.get(..read).unwrap_or_default())?;
        at += read as u64;
    }
}

/// Less than was wanted only at the end of the file.
pub(super) fn read_what_there_is(file: &File, into: &mut [u8], at: u64) -> io::Result<usize> {
    let mut read = 0;
    while let Some(rest) = into.get_mut(read..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, at + read as u64) {
            Ok(0) => break,
            Ok(more) => read += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(read)
}
