//! What is left of an answer, as it comes.

use bytes::{Buf as _, Bytes};

use super::Broken;

/// Of one body: all lines with sizes beyond their digits, and all trailers. What they say is nobody's.
const MOST_BESIDES: usize = 16 * 1024;
/// Of a size: as many as a length can have.
const DIGITS: usize = 16;

#[derive(Debug)]
pub(super) enum Left {
    Nothing,
    /// Never 0.
    Length(u64),
    Chunks(Chunks),
    UntilTheEnd,
}

#[derive(Debug, Default)]
pub(super) struct Chunks {
    at: Place,
    /// Bytes of what is nobody's.
    besides: usize,
}

/// Where in a chunked body what comes next belongs.
#[derive(Clone, Copy, Debug, Default)]
enum Place {
    /// The line with the next one's size.
    #[default]
    Size,
    /// So much of a chunk is left; never 0.
    Data(u64),
    /// The end of its line.
    DataEnd,
    /// Behind the last chunk.
    Trailers,
}

pub(super) enum Piece {
    Data(Bytes),
    End,
    /// What came is not enough to say.
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
            Self::Chunks(chunks) => {
                let piece = chunks.take(come)?;
                if matches!(piece, Piece::End) {
                    *self = Self::Nothing;
                }
                Ok(piece)
            }
        }
    }
}

/// As much of `wanted` as came, and what is wanted then.
fn split(come: &mut Bytes, wanted: u64) -> (Bytes, u64) {
    let there = usize::try_from(wanted).map_or(come.len(), |wanted| wanted.min(come.len()));
    (come.split_to(there), wanted - there as u64)
}

impl Chunks {
    fn take(&mut self, come: &mut Bytes) -> Result<Piece, Broken> {
        loop {
            match self.at {
                Place::Size => {
                    let Some(line) = self.line(come, DIGITS + 2)? else { return Ok(Piece::Later) };
                    self.at = match size(&line)? {
                        0 => Place::Trailers,
                        size => Place::Data(size),
                    };
                }
                Place::Data(_) if come.is_empty() => return Ok(Piece::Later),
                Place::Data(wanted) => {
                    let (data, left) = split(come, wanted);
                    self.at = if left == 0 { Place::DataEnd } else { Place::Data(left) };
                    return Ok(Piece::Data(data));
                }
                Place::DataEnd => match come.get(..2) {
                    Some(b"\r\n") => {
                        come.advance(2);
                        self.at = Place::Size;
                    }
                    None if b"\r\n".starts_with(come) => return Ok(Piece::Later),
                    _ => return Err(Broken),
                },
                Place::Trailers => {
                    let Some(line) = self.line(come, 0)? else { return Ok(Piece::Later) };
                    if line.is_empty() {
                        return Ok(Piece::End);
                    }
                    if !line.contains(&b':') || line.starts_with(b":") {
                        return Err(Broken);
                    }
                }
            }
        }
    }

    /// A line, without its end; None while there is none whole. Where others might see its end, or none, it is no line.
    /// `free` bytes of it are not counted.
    fn line(&mut self, come: &mut Bytes, free: usize) -> Result<Option<Bytes>, Broken> {
        let end = come.windows(2).position(|two| two == b"\r\n");
        let seen = come.get(..end.unwrap_or(come.len())).unwrap_or_default();
        // What has come of its end is not within it.
        let seen = if end.is_none() { seen.strip_suffix(b"\r").unwrap_or(seen) } else { seen };
        let may_stand = |byte: &u8| *byte == b'\t' || (*byte >= b' ' && *byte != 0x7f);
        let besides = self.besides + (seen.len() + 2).saturating_sub(free);
        if !seen.iter().all(may_stand) || besides > MOST_BESIDES {
            return Err(Broken);
        }
        let Some(end) = end else { return Ok(None) };
        self.besides = besides;
        let line = come.split_to(end);
        come.advance(2);
        Ok(Some(line))
    }
}

/// Hexadecimal digits, and perhaps an extension behind them.
fn size(line: &[u8]) -> Result<u64, Broken> {
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let (digits, rest) = line.split_at_checked(digits).ok_or(Broken)?;
    let is_extended = matches!(rest.trim_ascii_start().first(), None | Some(b';'));
    if digits.is_empty() || digits.len() > DIGITS || !is_extended {
        return Err(Broken);
    }
    let text = std::str::from_utf8(digits).map_err(|_| Broken)?;
    u64::from_str_radix(text, 16).map_err(|_| Broken)
}
