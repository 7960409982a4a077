//! The request target with one reading only: path and query.
//!
//! What is judged here is byte for byte what is forwarded. A path that two servers could read in two ways is refused,
//! never repaired; the one thing that is changed is the case of hexadecimal digits in percent triplets, which RFC 3986
//! (6.2.2.1) calls equivalent, so that one resource has one spelling. A target that needs no such change is borrowed
//! from the request and costs one pass and no allocation. No input makes this panic.

use std::borrow::Cow;
use std::str::Split;

use crate::model::{Refusal, hex};
use crate::policy::{lookalike, query};

/// A canonical target. Judged, logged, explained and forwarded from this value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target<'a> {
    /// Path and query. Owned only where a triplet had to be upper-cased.
    text: Cow<'a, str>,
    /// Where the path ends in `text`.
    path_len: usize,
}

impl<'a> Target<'a> {
    /// Reads an origin-form target: it begins with `/` and may have a query. Refuses with
    /// [`Refusal::AmbiguousPath`], whose text says why.
    pub fn parse(raw: &'a str) -> Result<Self, Refusal> {
        let path = read_path(raw.as_bytes()).map_err(Refusal::AmbiguousPath)?;
        let query = raw.as_bytes().get(path.len..).unwrap_or_default();
        if let Some(byte) = query.iter().find(|byte| !is_query_byte(**byte)) {
            return Err(Refusal::AmbiguousPath(why_not_in_query(*byte)));
        }
        let text = if path.lower_hex {
            Cow::Owned(with_upper_hex(raw, path.len))
        } else {
            Cow::Borrowed(raw)
        };
        Ok(Self { text, path_len: path.len })
    }

    pub fn path(&self) -> &str {
        self.text.get(..self.path_len).unwrap_or_default()
    }

    /// Without the `?`; `Some("")` for `/a?`.
    pub fn query(&self) -> Option<&str> {
        self.text.get(self.path_len..)?.strip_prefix('?')
    }

    /// Path and query as they are forwarded.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether `as_str` is the very `raw` that was parsed (then the caller may reuse its own shared buffer).
    pub fn is_verbatim(&self) -> bool {
        matches!(self.text, Cow::Borrowed(_))
    }

    /// The segments between slashes: `/v1/patients/` has `v1`, `patients` and an empty one; `/` has one empty segment.
    pub fn segments(&self) -> Split<'_, char> {
        self.path().strip_prefix('/').unwrap_or_default().split('/')
    }

    /// Refuses a query that asks the upstream to take the request for one of another method.
    pub fn screen_query(&self) -> Result<(), Refusal> {
        match self.query() {
            Some(query) if query::has_method_override(query) => Err(Refusal::MethodOverride),
            _ => Ok(()),
        }
    }
}

/// What one pass over a path has found.
struct Path {
    len: usize,
    lower_hex: bool,
}

fn read_path(bytes: &[u8]) -> Result<Path, &'static str> {
    if bytes.first() != Some(&b'/') {
        return Err("the target does not begin with a slash");
    }
    let mut path = Path { len: 1, lower_hex: false };
    let mut segment_start = 1;
    while let Some(&byte) = bytes.get(path.len) {
        match CLASSES[usize::from(byte)] {
            Class::Plain => path.len += 1,
            Class::Slash => {
                let segment = bytes.get(segment_start..path.len).unwrap_or_default();
                if segment.is_empty() {
                    return Err("the path has two slashes in a row");
                }
                refuse_dots(segment)?;
                path.len += 1;
                segment_start = path.len;
            }
            Class::Percent => {
                let encoded = read_encoded(bytes.get(path.len..).unwrap_or_default())?;
                path.len += encoded.len;
                path.lower_hex |= encoded.lower_hex;
            }
            Class::QueryMark => break,
            Class::Refused => return Err(why_not_in_path(byte)),
        }
    }
    refuse_dots(bytes.get(segment_start..path.len).unwrap_or_default())?;
    Ok(path)
}

/// Refuses `.` and `..`, and longer runs too, which some file systems climb by.
fn refuse_dots(segment: &[u8]) -> Result<(), &'static str> {
    if segment.first() == Some(&b'.') && segment.iter().all(|byte| *byte == b'.') {
        return Err("the path has a segment of dots alone");
    }
    Ok(())
}

#[derive(Clone, Copy)]
enum Class {
    /// `pchar` of RFC 3986 without `;` and `%`.
    Plain,
    Slash,
    Percent,
    QueryMark,
    Refused,
}

const CLASSES: [Class; 256] = {
    let mut classes = [Class::Refused; 256];
    let mut byte = 0_u8;
    while byte.is_ascii() {
        if is_unreserved(byte) || is_delimiter(byte) {
            classes[byte as usize] = Class::Plain;
        }
        byte += 1;
    }
    classes[b'/' as usize] = Class::Slash;
    classes[b'%' as usize] = Class::Percent;
    classes[b'?' as usize] = Class::QueryMark;
    classes
};

const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// The reserved characters that may stand plainly in a segment, without `;`, which begins matrix parameters.
const fn is_delimiter(byte: u8) -> bool {
    matches!(
        byte,
        b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b'=' | b':' | b'@'
    )
}

fn why_not_in_path(byte: u8) -> &'static str {
    match byte {
        b';' => "the path has a semicolon",
        b'#' => "the target has a fragment",
        b'\\' => "the path has a backslash",
        0..=0x1f | 0x7f => "the path has a control character",
        0x80.. => "the path has a character that must be percent-encoded",
        _ => "the path has a character that RFC 3986 does not allow there",
    }
}

fn is_query_byte(byte: u8) -> bool {
    byte.is_ascii_graphic() && byte != b'#'
}

fn why_not_in_query(byte: u8) -> &'static str {
    match byte {
        b'#' => "the target has a fragment",
        0..=0x1f | 0x7f => "the query has a control character",
        _ => "the query has a character that must be percent-encoded",
    }
}

/// One encoded character: a triplet, or several that are one character of UTF-8.
struct Encoded {
    len: usize,
    lower_hex: bool,
}

/// Reads the encoded character that `bytes` begins with.
fn read_encoded(bytes: &[u8]) -> Result<Encoded, &'static str> {
    let (first, mut lower_hex) = read_triplet(bytes)?;
    let count = match first {
        0..=0x7f => {
            refuse_encoded(first)?;
            return Ok(Encoded { len: 3, lower_hex });
        }
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf4 => 4,
        _ => return Err(NOT_UTF8),
    };
    let mut character = [first; 4];
    for (index, slot) in character.iter_mut().enumerate().take(count).skip(1) {
        let (byte, lower) =
            read_triplet(bytes.get(index * 3..).unwrap_or_default()).map_err(|_| NOT_UTF8)?;
        *slot = byte;
        lower_hex |= lower;
    }
    // `from_utf8` knows of overlong forms and surrogates, and the first byte has said how long one character is.
    let text = str::from_utf8(character.get(..count).unwrap_or_default()).map_err(|_| NOT_UTF8)?;
    for character in text.chars() {
        lookalike::refuse(character)?;
    }
    Ok(Encoded { len: count * 3, lower_hex })
}

const NOT_UTF8: &str = "the path is not UTF-8 once decoded";

/// The byte that a percent triplet stands for, and whether it has a lower-case digit.
fn read_triplet(bytes: &[u8]) -> Result<(u8, bool), &'static str> {
    let [b'%', high, low, ..] = *bytes else {
        return Err("the path has an incomplete percent-encoding");
    };
    let byte = hex::byte(high, low).ok_or("the path has an invalid percent-encoding")?;
    Ok((byte, high.is_ascii_lowercase() || low.is_ascii_lowercase()))
}

/// Refuses ASCII that has no business being encoded: it would be a second spelling, or structure in disguise.
fn refuse_encoded(byte: u8) -> Result<(), &'static str> {
    match byte {
        b'/' => Err("the path has an encoded slash"),
        b'\\' => Err("the path has an encoded backslash"),
        b'.' => Err("the path has an encoded dot"),
        b';' => Err("the path has an encoded semicolon"),
        b'%' => Err("the path has an encoded percent sign"),
        b'?' => Err("the path has an encoded question mark"),
        b'#' => Err("the path has an encoded number sign"),
        0..=0x1f | 0x7f => Err("the path has an encoded control character"),
        _ if is_unreserved(byte) => {
            Err("the path encodes a letter, digit or sign that needs no encoding")
        }
        _ => Ok(()),
    }
}

/// `raw` with the triplets of its path in upper case.
fn with_upper_hex(raw: &str, path_len: usize) -> String {
    let mut text = String::with_capacity(raw.len());
    let mut digits_due = 0;
    for (index, character) in raw.char_indices() {
        match character {
            '%' if index < path_len => digits_due = 2,
            _ if digits_due > 0 => {
                digits_due -= 1;
                text.push(character.to_ascii_uppercase());
                continue;
            }
            _ => {}
        }
        text.push(character);
    }
    text
}

/// A segment with its encoded delimiters decoded.
pub(crate) fn with_plain_delimiters(segment: &str) -> String {
    let mut text = String::with_capacity(segment.len());
    let mut rest = segment;
    while let Some((before, after)) = rest.split_once('%') {
        text.push_str(before);
        let triplet = rest.as_bytes().get(before.len()..).unwrap_or_default();
        match (encoded_delimiter(triplet), after.get(2..)) {
            (Some(byte), Some(following)) => {
                text.push(char::from(byte));
                rest = following;
            }
            _ => {
                text.push('%');
                rest = after;
            }
        }
    }
    text.push_str(rest);
    text
}

/// The delimiter that `bytes` begins with, if it is encoded.
pub(crate) fn encoded_delimiter(bytes: &[u8]) -> Option<u8> {
    read_triplet(bytes).ok().map(|(byte, _)| byte).filter(|byte| is_delimiter(*byte))
}

#[cfg(test)]
mod tests;
