//! A strict reading of HTTP/1 requests as they arrive: where each head ends, how long its body is, and whether any byte of
//! it could be read in two ways.
//!
//! Names and values are left to hyper, which sees the same bytes afterwards. What is promised here: a head that passes
//! both has the same end and the same framing for both. The first flaw ends the reading, because the connection closes
//! with the answer to that request. A body whose chunks are not strict poisons the connection at once.

use std::mem;

use memchr::{memchr, memrchr};

use crate::proxy::guard::{Flaw, Poisoned};

/// Empty lines that a careless client may leave before a request (RFC 9112, 2.2).
const MAX_LEADING_LINES: u8 = 2;
/// Sixteen digits and an extension; nobody uses extensions.
const MAX_CHUNK_LINE: usize = 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before a request line; so many empty lines were skipped.
    Start(u8),
    Headers,
    Body(u64),
    ChunkSize,
    ChunkData(u64),
    ChunkEnd,
    Trailers,
    /// A flaw was found: nothing that follows is acted upon.
    Blind,
}

/// What the headers read so far say of the body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Framing {
    length: Option<u64>,
    chunked: bool,
    http10: bool,
}

#[derive(Debug)]
pub(crate) struct Guard {
    state: State,
    framing: Framing,
    /// The beginning of a line whose end has not arrived.
    held: Vec<u8>,
    heads: u64,
    flaw: Option<Flaw>,
    /// Bytes of the head being read, and its header fields.
    head_bytes: usize,
    fields: usize,
    surplus: Option<usize>,
    max_target: usize,
    max_head: usize,
    max_fields: usize,
}

impl Guard {
    /// `max_target` and `max_head` in bytes; hyper takes a little more than `max_head`, so that the answer can be ours.
    pub(crate) fn new(max_target: usize, max_head: usize, max_fields: usize) -> Self {
        Self {
            state: State::Start(0),
            framing: Framing::default(),
            held: Vec::new(),
            heads: 0,
            flaw: None,
            head_bytes: 0,
            fields: 0,
            surplus: None,
            max_target,
            max_head,
            max_fields,
        }
    }

    /// Whether a head has begun and not ended. Where a head with a flaw ends, nobody can say: it ends for hyper alone.
    pub(crate) fn is_within_head(&self) -> bool {
        match self.state {
            State::Headers | State::Blind => true,
            State::Start(_) => !self.held.is_empty(),
            _ => false,
        }
    }

    /// Whether all that was read belongs to messages that have ended.
    pub(crate) fn is_between_requests(&self) -> bool {
        self.state == State::Start(0) && self.held.is_empty() && self.flaw.is_none()
    }

    /// The position of the head that has a flaw, and the flaw.
    pub(crate) fn flaw(&self) -> Option<(u64, Flaw)> {
        self.flaw.map(|flaw| (self.heads, flaw))
    }

    /// How many of the bytes last seen begin a field more than a head may have: hyper, which counts too and would answer
    /// without a body, never sees them.
    pub(crate) fn surplus(&self) -> Option<usize> {
        self.surplus
    }

    /// Reads what has arrived.
    pub(crate) fn advance(&mut self, mut bytes: &[u8]) -> Result<(), Poisoned> {
        while !bytes.is_empty() {
            bytes = match self.state {
                State::Blind => return Ok(()),
                State::Body(left) => {
                    let (left, rest) = skip(left, bytes);
                    self.state = if left == 0 { State::Start(0) } else { State::Body(left) };
                    rest
                }
                State::ChunkData(left) => {
                    let (left, rest) = skip(left, bytes);
                    self.state = if left == 0 { State::ChunkEnd } else { State::ChunkData(left) };
                    rest
                }
                State::Headers if self.is_one_field_more(bytes) => {
                    self.fail(Flaw::HeadTooLarge);
                    self.surplus = Some(bytes.len());
                    return Ok(());
                }
                _ => self.line_of(bytes)?,
            };
        }
        Ok(())
    }

    /// Whether a header line begins here although the head has all that it may have.
    fn is_one_field_more(&self, bytes: &[u8]) -> bool {
        self.fields == self.max_fields && self.held.is_empty() && !bytes.starts_with(b"\r")
    }

    /// Takes one line, or holds what there is of it; what follows it is given back.
    fn line_of<'b>(&mut self, bytes: &'b [u8]) -> Result<&'b [u8], Poisoned> {
        let Some((line, rest)) =
            memchr(b'\n', bytes).and_then(|end| bytes.split_at_checked(end + 1))
        else {
            self.hold(bytes)?;
            return Ok(&[]);
        };
        if self.held.is_empty() {
            self.line(line)?;
        } else {
            let mut held = mem::take(&mut self.held);
            held.extend_from_slice(line);
            self.line(&held)?;
            held.clear();
            self.held = held;
        }
        Ok(rest)
    }

    fn hold(&mut self, bytes: &[u8]) -> Result<(), Poisoned> {
        let in_chunks = matches!(self.state, State::ChunkSize | State::ChunkEnd);
        let limit = if in_chunks { MAX_CHUNK_LINE } else { self.max_head };
        if self.held.len() + bytes.len() <= limit {
            self.held.extend_from_slice(bytes);
            return Ok(());
        }
        if self.state == State::Trailers || in_chunks {
            return Err(Poisoned("a line of a chunked body is too long"));
        }
        self.fail(Flaw::HeadTooLarge);
        Ok(())
    }

    fn fail(&mut self, flaw: Flaw) {
        self.flaw = Some(flaw);
        self.state = State::Blind;
        self.held = Vec::new();
    }

    /// One whole line with its line feed.
    fn line(&mut self, line: &[u8]) -> Result<(), Poisoned> {
        let text = strict_line(line);
        if matches!(self.state, State::Start(_) | State::Headers) {
            self.head_bytes += line.len();
            if self.head_bytes > self.max_head {
                self.fail(Flaw::HeadTooLarge);
                return Ok(());
            }
        }
        let outcome = match (self.state, text) {
            (State::ChunkSize, Ok(text)) => return self.chunk_size(text),
            (State::ChunkEnd, Ok([])) => {
                self.state = State::ChunkSize;
                return Ok(());
            }
            (State::ChunkEnd, Ok(_)) => return Err(Poisoned("a chunk is longer than its size")),
            (State::Trailers, Ok(text)) => {
                if text.is_empty() {
                    self.state = State::Start(0);
                }
                return Ok(());
            }
            (State::ChunkSize | State::ChunkEnd | State::Trailers, Err(_)) => {
                return Err(Poisoned("a line of a chunked body does not end in CR LF"));
            }
            (_, Err(flaw)) => Err(flaw),
            (State::Start(skipped), Ok([])) => self.empty_line(skipped),
            (State::Start(_), Ok(text)) => self.request_line(text),
            (_, Ok([])) => self.end_of_head(),
            (_, Ok(text)) => {
                self.fields += 1;
                self.framing.header(text)
            }
        };
        if let Err(flaw) = outcome {
            self.fail(flaw);
        }
        Ok(())
    }

    fn empty_line(&mut self, skipped: u8) -> Result<(), Flaw> {
        if skipped == MAX_LEADING_LINES {
            return Err(Flaw::Malformed("too many empty lines come before the request line"));
        }
        self.state = State::Start(skipped + 1);
        Ok(())
    }

    fn request_line(&mut self, line: &[u8]) -> Result<(), Flaw> {
        let parts =
            memchr(b' ', line).zip(memrchr(b' ', line)).filter(|(first, last)| first < last);
        let (target, version) = parts
            .and_then(|(first, last)| Some((line.get(first + 1..last)?, line.get(last + 1..)?)))
            .ok_or(Flaw::Malformed("the request line is not a method, a target and a version"))?;
        if target.len() > self.max_target {
            return Err(Flaw::TargetTooLong);
        }
        if memchr(b'#', target).is_some() {
            return Err(Flaw::Fragment);
        }
        let http10 = match version {
            b"HTTP/1.1" => false,
            b"HTTP/1.0" => true,
            _ => return Err(Flaw::Malformed("the version is not HTTP/1.1")),
        };
        self.framing = Framing { http10, ..Framing::default() };
        self.state = State::Headers;
        Ok(())
    }

    fn end_of_head(&mut self) -> Result<(), Flaw> {
        let Framing { length, chunked, http10 } = self.framing;
        self.state = match (chunked, length) {
            (true, _) if http10 => {
                return Err(Flaw::Malformed("Transfer-Encoding has no meaning in HTTP/1.0"));
            }
            (true, Some(_)) => {
                return Err(Flaw::Malformed(
                    "Transfer-Encoding and Content-Length contradict each other",
                ));
            }
            (true, None) => State::ChunkSize,
            (false, None | Some(0)) => State::Start(0),
            (false, Some(length)) => State::Body(length),
        };
        self.heads += 1;
        self.head_bytes = 0;
        self.fields = 0;
        Ok(())
    }

    fn chunk_size(&mut self, line: &[u8]) -> Result<(), Poisoned> {
        const BAD: Poisoned = Poisoned("the size of a chunk is not a hexadecimal number");
        let digits = line.iter().position(|byte| !byte.is_ascii_hexdigit()).unwrap_or(line.len());
        let (digits, extension) = line.split_at_checked(digits).ok_or(BAD)?;
        let text = std::str::from_utf8(digits).map_err(|_| BAD)?;
        let size = u64::from_str_radix(text, 16).map_err(|_| BAD)?;
        let extended = match extension {
            [] => true,
            [b';', rest @ ..] => rest.iter().all(|byte| matches!(byte, b'\t' | b' '..=b'~')),
            _ => false,
        };
        if !extended || digits.len() > 16 {
            return Err(BAD);
        }
        self.state = if size == 0 { State::Trailers } else { State::ChunkData(size) };
        Ok(())
    }
}

impl Framing {
    fn header(&mut self, line: &[u8]) -> Result<(), Flaw> {
        let colon = memchr(b':', line).ok_or(Flaw::Malformed("a header has no colon"))?;
        let (name, value) =
            line.split_at_checked(colon).ok_or(Flaw::Malformed("a header has no colon"))?;
        match name {
            [] | [b' ' | b'\t', ..] | [.., b' ' | b'\t'] => {
                return Err(Flaw::Malformed("a header is folded, or has no name"));
            }
            _ if name.eq_ignore_ascii_case(b"content-length") => {
                self.content_length(trimmed(value))?
            }
            _ if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                self.transfer_encoding(trimmed(value))?;
            }
            _ => {}
        }
        Ok(())
    }

    fn content_length(&mut self, value: &[u8]) -> Result<(), Flaw> {
        const BAD: Flaw = Flaw::Malformed("Content-Length is not one number");
        if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
            return Err(BAD);
        }
        let text = std::str::from_utf8(value).map_err(|_| BAD)?;
        let length = text.parse().map_err(|_| BAD)?;
        // The same length said twice is harmless, and hyper takes it for one.
        if self.length.is_some_and(|before| before != length) {
            return Err(BAD);
        }
        self.length = Some(length);
        Ok(())
    }

    fn transfer_encoding(&mut self, value: &[u8]) -> Result<(), Flaw> {
        if self.chunked || !value.eq_ignore_ascii_case(b"chunked") {
            return Err(Flaw::Malformed("Transfer-Encoding is not exactly `chunked`"));
        }
        self.chunked = true;
        Ok(())
    }
}

/// A line without its CR LF, if that is how it ends and there is no other CR.
fn strict_line(line: &[u8]) -> Result<&[u8], Flaw> {
    let Some(text) = line.strip_suffix(b"\r\n") else {
        return Err(Flaw::Malformed("a line does not end in CR LF"));
    };
    if memchr(b'\r', text).is_some() {
        return Err(Flaw::Malformed("a CR stands within a line"));
    }
    Ok(text)
}

/// The value behind the colon, without the white space that may surround it.
fn trimmed(value: &[u8]) -> &[u8] {
    value.strip_prefix(b":").unwrap_or(value).trim_ascii()
}

fn skip(left: u64, bytes: &[u8]) -> (u64, &[u8]) {
    let available = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    if left >= available {
        return (left - available, &[]);
    }
    let rest = usize::try_from(left).ok().and_then(|left| bytes.get(left..)).unwrap_or_default();
    (0, rest)
}

#[cfg(test)]
mod tests;
