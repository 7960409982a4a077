//! The head of an answer, read as hyper reads it: by `httparse`, and then for where the body ends (RFC 9112, section 6.3).
//!
//! Stricter than the RFC allows: a length beside `Transfer-Encoding`, a coding that is not `chunked` alone, lengths that differ
//! or are no numbers are all no answer.

use std::mem::MaybeUninit;

use bytes::Bytes;
use http::response::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Response, Version, header};
use httparse::{ParserConfig, Status};
use hyper::ext::ReasonPhrase;

use super::Broken;
use super::body::{Chunks, Left};

/// What hyper takes, both times.
const MOST_HEADERS: usize = 100;
const MOST_BYTES: usize = 400 * 1024;
/// More names are not kept for each connection.
const REMEMBERED: usize = 16;
/// What follows is no HTTP any more.
pub(super) const UPGRADED: u16 = 101;

pub(super) struct Head {
    pub(super) parts: Parts,
    /// In bytes.
    pub(super) length: usize,
    pub(super) left: Left,
    pub(super) keeps_alive: bool,
}

/// The names of the last answer, in its order and as they were written: most answers of a connection have the same.
#[derive(Debug, Default)]
pub(super) struct Names(Vec<(Box<str>, HeaderName)>);

impl Names {
    fn at(&mut self, place: usize, written: &str) -> Result<HeaderName, Broken> {
        let known = self.0.get_mut(place);
        if let Some((_, name)) = known.as_ref().filter(|(known, _)| **known == *written) {
            return Ok(name.clone());
        }
        let name = HeaderName::from_bytes(written.as_bytes()).map_err(|_| Broken)?;
        match known {
            Some(known) => *known = (written.into(), name.clone()),
            None if place < REMEMBERED => self.0.push((written.into(), name.clone())),
            None => {}
        }
        Ok(name)
    }
}

/// None: it is not there yet.
pub(super) fn read(come: &Bytes, is_head: bool, names: &mut Names) -> Result<Option<Head>, Broken> {
    let mut lines = [const { MaybeUninit::uninit() }; MOST_HEADERS];
    let mut response = httparse::Response::new(&mut []);
    let parsed = ParserConfig::default()
        .parse_response_with_uninit_headers(&mut response, come, &mut lines)
        .map_err(|_| Broken)?;
    let Status::Complete(length) = parsed else {
        return if come.len() < MOST_BYTES { Ok(None) } else { Err(Broken) };
    };
    let code = response.code.ok_or(Broken)?;
    let is_http11 = response.version == Some(1);
    let mut framing = Framing { code, is_http11, is_head, ..Framing::default() };
    let headers = headers(come, response.headers, names, &mut framing)?;
    let left = framing.left()?;
    let keeps_alive = framing.keeps_alive() && !left.ends_with_the_connection();
    let (mut parts, ()) = Response::new(()).into_parts();
    parts.status = code.try_into().map_err(|_| Broken)?;
    parts.version = if is_http11 { Version::HTTP_11 } else { Version::HTTP_10 };
    parts.headers = headers;
    // Another one than the status has by itself goes to the caller as it is.
    let reason = response.reason.filter(|reason| !reason.is_empty());
    if let Some(reason) = reason.filter(|reason| parts.status.canonical_reason() != Some(*reason))
        && let Ok(reason) = ReasonPhrase::try_from(reason.as_bytes())
    {
        parts.extensions.insert(reason);
    }
    Ok(Some(Head { parts, length, left, keeps_alive }))
}

/// Values share the bytes that came.
fn headers(
    come: &Bytes,
    lines: &[httparse::Header<'_>],
    names: &mut Names,
    framing: &mut Framing,
) -> Result<HeaderMap, Broken> {
    // What the gateway adds has room, too.
    let mut headers = HeaderMap::with_capacity(lines.len() + 6);
    for (place, line) in lines.iter().enumerate() {
        let name = names.at(place, line.name)?;
        framing.hear(&name, line.value)?;
        let value = HeaderValue::from_maybe_shared(come.slice_ref(line.value));
        headers.append(name, value.map_err(|_| Broken)?);
    }
    Ok(headers)
}

/// What a head says of what follows it.
#[derive(Debug, Default)]
struct Framing {
    code: u16,
    is_http11: bool,
    is_head: bool,
    length: Option<u64>,
    is_chunked: bool,
    closes: bool,
    keeps: bool,
}

impl Framing {
    fn hear(&mut self, name: &HeaderName, value: &[u8]) -> Result<(), Broken> {
        if *name == header::CONTENT_LENGTH {
            // In several lines or in one, it is the same number each time.
            for text in value.split(|byte| *byte == b',') {
                let length = number(text.trim_ascii()).ok_or(Broken)?;
                if self.length.is_some_and(|known| known != length) {
                    return Err(Broken);
                }
                self.length = Some(length);
            }
        } else if *name == header::TRANSFER_ENCODING {
            if self.is_chunked || !self.is_http11 || !value.eq_ignore_ascii_case(b"chunked") {
                return Err(Broken);
            }
            self.is_chunked = true;
        } else if *name == header::CONNECTION {
            for option in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
                self.closes |= option.eq_ignore_ascii_case(b"close");
                self.keeps |= option.eq_ignore_ascii_case(b"keep-alive");
            }
        }
        Ok(())
    }

    fn left(&self) -> Result<Left, Broken> {
        let is_bodiless = self.is_head || matches!(self.code, 100..=199 | 204 | 304);
        match (self.is_chunked, self.length) {
            (true, Some(_)) => Err(Broken),
            _ if is_bodiless => Ok(Left::Nothing),
            (true, None) => Ok(Left::Chunks(Chunks::default())),
            (false, Some(0)) => Ok(Left::Nothing),
            (false, Some(length)) => Ok(Left::Length(length)),
            (false, None) => Ok(Left::UntilTheEnd),
        }
    }

    fn keeps_alive(&self) -> bool {
        self.code != UPGRADED && !self.closes && (self.is_http11 || self.keeps)
    }
}

/// Digits alone: a sign, which the library would take, is no part of a length.
fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |number, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}
