//! The head of an answer, read as hyper reads it: by `httparse`, and then for where the body ends (RFC 9112, section 6.3).
//!
//! Stricter than the RFC allows: a length beside `Transfer-Encoding`, a coding that is not `chunked` alone, lengths that differ
//! or are no numbers are all no answer.

use std::mem::MaybeUninit;

use bytes::Bytes;
use http::response::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Response, Version, header};
use httparse::{ParserConfig, Status};

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
    let headers = headers(come, response.headers, names)?;
    let framing = Framing { code, is_http11, is_head, headers: &headers };
    let left = framing.left()?;
    let keeps_alive = framing.keeps_alive() && !left.ends_with_the_connection();
    let (mut parts, ()) = Response::new(()).into_parts();
    parts.status = code.try_into().map_err(|_| Broken)?;
    parts.version = if is_http11 { Version::HTTP_11 } else { Version::HTTP_10 };
    parts.headers = headers;
    Ok(Some(Head { parts, length, left, keeps_alive }))
}

/// Values share the bytes that came.
fn headers(
    come: &Bytes,
    lines: &[httparse::Header<'_>],
    names: &mut Names,
) -> Result<HeaderMap, Broken> {
    // What the gateway adds has room, too.
    let mut headers = HeaderMap::with_capacity(lines.len() + 6);
    for (place, line) in lines.iter().enumerate() {
        let name = names.at(place, line.name)?;
        let value = HeaderValue::from_maybe_shared(come.slice_ref(line.value));
        headers.append(name, value.map_err(|_| Broken)?);
    }
    Ok(headers)
}

struct Framing<'h> {
    code: u16,
    is_http11: bool,
    is_head: bool,
    headers: &'h HeaderMap,
}

impl Framing<'_> {
    fn left(&self) -> Result<Left, Broken> {
        let length = self.length()?;
        let chunks = self.chunks()?;
        let is_bodiless = self.is_head || matches!(self.code, 100..=199 | 204 | 304);
        match (chunks, length) {
            (Some(_), Some(_)) => Err(Broken),
            _ if is_bodiless => Ok(Left::Nothing),
            (Some(chunks), None) => Ok(Left::Chunks(chunks)),
            (None, Some(0)) => Ok(Left::Nothing),
            (None, Some(length)) => Ok(Left::Length(length)),
            (None, None) => Ok(Left::UntilTheEnd),
        }
    }

    fn chunks(&self) -> Result<Option<Chunks>, Broken> {
        let mut codings = self.headers.get_all(header::TRANSFER_ENCODING).iter();
        let Some(coding) = codings.next() else { return Ok(None) };
        let is_chunked = coding.as_bytes().eq_ignore_ascii_case(b"chunked");
        let is_plain = is_chunked && codings.next().is_none() && self.is_http11;
        if is_plain { Ok(Some(Chunks::default())) } else { Err(Broken) }
    }

    /// In several lines or in one, it is the same number each time.
    fn length(&self) -> Result<Option<u64>, Broken> {
        let mut length = None;
        for line in self.headers.get_all(header::CONTENT_LENGTH) {
            for text in line.to_str().map_err(|_| Broken)?.split(',') {
                let digits = text.trim_matches([' ', '\t']);
                // A sign, which `parse` would take, is none.
                let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
                let number = digits.parse().ok().filter(|_| is_number).ok_or(Broken)?;
                if length.is_some_and(|known| known != number) {
                    return Err(Broken);
                }
                length = Some(number);
            }
        }
        Ok(length)
    }

    fn keeps_alive(&self) -> bool {
        let says = |wanted: &str| {
            let lines = self.headers.get_all(header::CONNECTION).iter();
            let mut options =
                lines.filter_map(|line| line.to_str().ok()).flat_map(|line| line.split(','));
            options.any(|option| option.trim_matches([' ', '\t']).eq_ignore_ascii_case(wanted))
        };
        self.code != UPGRADED && !says("close") && (self.is_http11 || says("keep-alive"))
    }
}
