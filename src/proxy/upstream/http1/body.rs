//! What is left of an answer, as it comes.

use bytes::{Buf as _, Bytes};
use httparse::Status;

use super::Broken;

/// A line between chunks or behind the last one is no longer, all trailers together are not either; what they say is
/// nobody's.
const LONGEST_LINE: usize = 16 * 1024;

#[derive(Debug)]
pub(super) enum Left {
    Nothing,
    /// Never 0.
    Length(u64),
    Chunks(Chunks),
    UntilTheEnd,
}

/// Where in a chunked body what comes next belongs.
#[derive(Debug, Default)]
pub(super) enum Chunks {
    /// The line with the next one's size.
    #[default]
    Size,
    /// So much of a chunk is left; never 0.
    Data(u64),
    /// The end of its line.
    DataEnd,
    /// Behind the last chunk, after so many bytes of trailers.
    Trailers(usize),
}

pub(super) enum Piece {
    Data(Bytes),
    End,
    /// What came is not enough to say.
    Later,
}

/// What a chunked body's next step is.
enum Step {
    To(Chunks),
    Data(Bytes, Chunks),
    End,
    Later,
}

impl Left {
    pub(super) fn is_over(&self) -> bool {
        matches!(self, Self::Nothing)
    }

    pub(super) fn ends_with_the_connection(&self) -> bool {
        matches!(self, Self::UntilTheEnd)
    }

    /// Where it is known.
    pub(super) fn length(&self) -> Option<u64> {
        match self {
            Self::Nothing => Some(0),
            Self::Length(length) => Some(*length),
            Self::Chunks(_) | Self::UntilTheEnd => None,
        }
    }

    /// The next piece of what came.
    pub(super) fn take(&mut self, come: &mut Bytes) -> Result<Piece, Broken> {
        match self {
            Self::Nothing => Ok(Piece::End),
            _ if come.is_empty() => Ok(Piece::Later),
            Self::UntilTheEnd => Ok(Piece::Data(std::mem::take(come))),
            Self::Length(length) => {
                let (data, left) = split(come, *length);
                *self = if left == 0 { Self::Nothing } else { Self::Length(left) };
                Ok(Piece::Data(data))
            }
            Self::Chunks(chunks) => loop {
                match chunks.step(come)? {
                    Step::To(next) => *chunks = next,
                    Step::Later => return Ok(Piece::Later),
                    Step::End => {
                        *self = Self::Nothing;
                        return Ok(Piece::End);
                    }
                    Step::Data(data, next) => {
                        *chunks = next;
                        return Ok(Piece::Data(data));
                    }
                }
            },
        }
    }
}

/// As much of `wanted` as came, and what is wanted then.
fn split(come: &mut Bytes, wanted: u64) -> (Bytes, u64) {
    let there = usize::try_from(wanted).map_or(come.len(), |wanted| wanted.min(come.len()));
    (come.split_to(there), wanted - there as u64)
}

impl Chunks {
    fn step(&self, come: &mut Bytes) -> Result<Step, Broken> {
        match *self {
            Self::Size => size(come),
            Self::Data(_) if come.is_empty() => Ok(Step::Later),
            Self::Data(wanted) => {
                let (data, left) = split(come, wanted);
                Ok(Step::Data(data, if left == 0 { Self::DataEnd } else { Self::Data(left) }))
            }
            Self::DataEnd => match come.get(..2) {
                Some(b"\r\n") => {
                    come.advance(2);
                    Ok(Step::To(Self::Size))
                }
                None if b"\r\n".starts_with(come) => Ok(Step::Later),
                _ => Err(Broken),
            },
            Self::Trailers(before) => trailer(come, before),
        }
    }
}

fn size(come: &mut Bytes) -> Result<Step, Broken> {
    // The parser takes a line without a number for the last chunk.
    if come.first().is_some_and(|byte| !byte.is_ascii_hexdigit()) {
        return Err(Broken);
    }
    if come.is_empty() {
        return Ok(Step::Later);
    }
    match httparse::parse_chunk_size(come).map_err(|_| Broken)? {
        Status::Complete((line, _)) if line > LONGEST_LINE => Err(Broken),
        Status::Complete((line, size)) => {
            come.advance(line);
            Ok(Step::To(if size == 0 { Chunks::Trailers(0) } else { Chunks::Data(size) }))
        }
        Status::Partial if come.len() > LONGEST_LINE => Err(Broken),
        Status::Partial => Ok(Step::Later),
    }
}

fn trailer(come: &mut Bytes, before: usize) -> Result<Step, Broken> {
    let Some(end) = come.windows(2).position(|two| two == b"\r\n") else {
        return if before + come.len() > LONGEST_LINE { Err(Broken) } else { Ok(Step::Later) };
    };
    come.advance(end + 2);
    let sum = before + end + 2;
    match end {
        0 => Ok(Step::End),
        _ if sum > LONGEST_LINE => Err(Broken),
        _ => Ok(Step::To(Chunks::Trailers(sum))),
    }
}
