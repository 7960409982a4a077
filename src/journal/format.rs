//! How the journal lies on disk: enough for a reader written without this program.
//!
//! A journal is a directory. Its files are segments, `<lane, 16 hex digits>-<number, 10 digits>.journal`: a lane is one worker
//! of one start of the gateway, its segments have growing numbers, not all of them used. All numbers are little-endian.
//!
//! ```text
//! segment = header, frame, frame, …, zeros        the file has its full size from the beginning
//!
//! header    0  magic        8  "PSTNJRNL"
//!           8  version      4  1
//!          12  length       4  of the header, a multiple of 8: the first frame is there
//!          16  lane         8
//!          24  created      8  microseconds since 1970
//!          32  number       4  of the segment in its lane
//!          36  crc          4  CRC-32 (IEEE) of the other bytes of the header
//!          40  node         a text: the name of the node; then zeros to the length
//!
//!           Magic, version, length and crc are the same in every version.
//!
//! frame     0  length       4  of kind and payload, not 0, at most 8 KiB; a zero ends what was written
//!           4  crc          4  CRC-32 (IEEE) of kind and payload
//!           8  kind         1
//!           9  payload      then zeros to a multiple of 8
//!
//! kind 1 Start      first (8), carried (4)        the first frame of a segment in use, and only that
//! kind 2 Begin      opening
//! kind 3 Complete   begin (4), outcome            `begin`: where in this segment the frame of its Begin is
//! kind 4 Whole      opening, outcome
//!
//! opening = flags 1 (1: IPv6; 2: the path is the route), ts 8, request id 16, address 4 or 16,
//!           practice, key, vendor, owner, api, method, route, path (unless it is the route), category, access, user agent
//! outcome = flags 1 (bits 0-1: 0 allow, 1 deny, 2 observe; 4: has upstream_us), status 2,
//!           count, bytes in, bytes out, duration in µs, upstream in µs (if it has): numbers; code: a text
//! number  = LEB128: seven bits a byte, the lowest first, the high bit set on all but the last
//! text    = its length in bytes, a number; then UTF-8
//! ```
//!
//! **Records have numbers**: those that are finished (Complete, Whole), in the order in which they finished, from `first` of the
//! Start on. With the lane, that is a record's id for good. What was begun alone has no number yet.
//!
//! **Writing.** The payload goes first, then the length in one aligned store, so whoever kills the process at any point leaves
//! whole frames and a zero after them. A frame is in the page cache from then on, which outlives the process.
//!
//! **Reservation.** A Begin is written only where its Complete and those of all that is open would still fit; so completing
//! never needs room that is not there.
//!
//! **Rotation.** The next segment lies ready: preallocated, with its header, without a Start. The Begins of all that is open are
//! copied behind the place of the Start, then the Start is written, which says how many they are, and that is the moment. So a
//! segment refers to nothing outside itself; a Begin without its Complete is open only in the last segment of its lane; and a last
//! segment without a Start, or with fewer than `carried` Begins behind it, was never in use: its predecessor still is the last.
//!
//! **After a power cut** any page since the last sync may be missing. What is before the first frame that is not whole counts.
//!
//! Texts have a greatest length each ([`Opening`] is cut, never refused), so that a frame has one, too.

use std::net::IpAddr;

use crate::model::{Decision, LaneId, Opening, Outcome, RequestId, Timestamp};

mod texts;

use texts::Texts;

pub(super) const MAGIC: [u8; 8] = *b"PSTNJRNL";
pub(super) const VERSION: u32 = 1;
/// Before kind and payload.
pub(super) const FRAME_HEAD: usize = 8;
/// Frames begin at multiples of it.
pub(super) const ALIGNMENT: usize = 8;
/// Of kind and payload. The greatest record has 7 KiB.
pub(super) const MAX_LENGTH: usize = 8 << 10;
/// A frame with all that belongs to it.
pub(super) const MAX_FRAME: usize = FRAME_HEAD + MAX_LENGTH;
/// The greatest frame of kind [`Kind::Complete`]: what is reserved for a record that is open.
pub(super) const MAX_COMPLETE: usize = 128;
pub(super) const START_FRAME: usize = 24;
const HEADER_FIXED: usize = 40;

const LONG_TEXT: usize = 2 << 10;
const SHORT_TEXT: usize = 255;
const CODE: usize = 64;
const USER_AGENT_CHARS: usize = 256;
/// Of an opening whose path is not the route.
const TEXTS: usize = 11;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Start = 1,
    Begin = 2,
    Complete = 3,
    Whole = 4,
}

impl Kind {
    fn of(byte: u8) -> Option<Self> {
        [Self::Start, Self::Begin, Self::Complete, Self::Whole]
            .into_iter()
            .find(|kind| *kind as u8 == byte)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) lane: LaneId,
    pub(super) number: u32,
    pub(super) created: Timestamp,
    pub(super) node: String,
    /// Where the first frame is.
    pub(super) length: usize,
}

/// Why a file's beginning is not that of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoHeader {
    /// It was being made.
    Unfinished,
    Damaged,
    /// Of a later version of the format.
    Later(u32),
}

impl Header {
    /// The greatest there is.
    pub(super) const MAX: usize = 512;
    /// What is shorter was being made.
    pub(super) const SHORTEST: u64 = 16;

    pub(super) fn encode(lane: LaneId, number: u32, created: Timestamp, node: &str) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(Self::MAX);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&lane.0.to_le_bytes());
        bytes.extend_from_slice(&created.as_micros().to_le_bytes());
        bytes.extend_from_slice(&number.to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        put_text(&mut bytes, node, SHORT_TEXT);
        bytes.resize(bytes.len().next_multiple_of(ALIGNMENT), 0);
        let length = u32::try_from(bytes.len()).unwrap_or_default();
        put_at(&mut bytes, 12, length);
        let crc = Self::crc(&bytes);
        put_at(&mut bytes, 36, crc);
        bytes
    }

    pub(super) fn read(bytes: &[u8]) -> Result<Self, NoHeader> {
        if bytes.iter().take(Self::MAX).all(|byte| *byte == 0) {
            return Err(NoHeader::Unfinished);
        }
        let mut cursor = Bytes(bytes);
        let is_ours = cursor.array::<8>().ok_or(NoHeader::Unfinished)? == MAGIC;
        let version = cursor.u32().ok_or(NoHeader::Unfinished)?;
        let length = cursor.u32().ok_or(NoHeader::Unfinished)?;
        let header = usize::try_from(length).ok().filter(|_| is_ours);
        let header = header.filter(|length| length.is_multiple_of(ALIGNMENT));
        let header = header.filter(|length| (HEADER_FIXED..=Self::MAX).contains(length));
        let header = header.and_then(|length| bytes.get(..length)).ok_or(NoHeader::Damaged)?;
        let crc = header.get(36..).and_then(|rest| Bytes(rest).u32());
        match version {
            _ if crc != Some(Self::crc(header)) => Err(NoHeader::Damaged),
            VERSION => Self::read_rest(header, cursor).ok_or(NoHeader::Damaged),
            later => Err(NoHeader::Later(later)),
        }
    }

    fn read_rest(header: &[u8], mut cursor: Bytes<'_>) -> Option<Self> {
        let lane = LaneId(u64::from_le_bytes(cursor.array()?));
        let created = Timestamp::from_micros(i64::from_le_bytes(cursor.array()?));
        let number = cursor.u32()?;
        let _crc = cursor.u32()?;
        let node = cursor.text()?.to_owned();
        Some(Self { lane, number, created, node, length: header.len() })
    }

    /// Of all but the CRC.
    fn crc(header: &[u8]) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(header.get(..36).unwrap_or_default());
        hasher.update(header.get(HEADER_FIXED..).unwrap_or_default());
        hasher.finalize()
    }
}

fn put_at(bytes: &mut [u8], at: usize, number: u32) {
    if let Some(place) = bytes.get_mut(at..at + 4) {
        place.copy_from_slice(&number.to_le_bytes());
    }
}

/// Makes a frame of what `payload` appends, in a buffer that is used again and again.
pub(super) fn frame(buffer: &mut Vec<u8>, kind: Kind, payload: impl FnOnce(&mut Vec<u8>)) {
    buffer.clear();
    buffer.extend_from_slice(&[0; FRAME_HEAD]);
    buffer.push(kind as u8);
    payload(buffer);
    let length = u32::try_from(buffer.len() - FRAME_HEAD).unwrap_or_default();
    let crc = crc32fast::hash(buffer.get(FRAME_HEAD..).unwrap_or_default());
    put_at(buffer, 0, length);
    put_at(buffer, 4, crc);
    buffer.resize(buffer.len().next_multiple_of(ALIGNMENT), 0);
}

/// A frame in bytes that begin with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame<'a> {
    pub(super) kind: Kind,
    pub(super) payload: &'a [u8],
    /// With head and padding.
    pub(super) size: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Parsed<'a> {
    Frame(Frame<'a>),
    /// Nothing was written here.
    End,
    /// It goes on where these bytes end.
    Short,
    Torn,
}

/// Where the frame that begins here ends; none where it is too short to say, or cannot be one.
fn size_of_frame(bytes: &[u8]) -> Option<(usize, usize)> {
    let length = usize::try_from(Bytes(bytes).u32()?).unwrap_or(usize::MAX);
    let size = (1..=MAX_LENGTH).contains(&length);
    size.then(|| (length, (FRAME_HEAD + length).next_multiple_of(ALIGNMENT)))
}

/// Whether [`parse`] would need more bytes, without the cost of parsing.
pub(super) fn is_short(bytes: &[u8]) -> bool {
    let needed = size_of_frame(bytes).map_or(FRAME_HEAD, |(_, size)| size);
    bytes.len() < needed
}

pub(super) fn parse(bytes: &[u8]) -> Parsed<'_> {
    if is_short(bytes) {
        return Parsed::Short;
    }
    let Some((length, size)) = size_of_frame(bytes) else {
        let is_end = bytes.starts_with(&[0; 4]);
        return if is_end { Parsed::End } else { Parsed::Torn };
    };
    let mut cursor = Bytes(bytes.get(4..).unwrap_or_default());
    let crc = cursor.u32();
    let Some(body) = cursor.0.get(..length) else { return Parsed::Short };
    let Some((kind, payload)) = body.split_first() else { return Parsed::Torn };
    match Kind::of(*kind) {
        Some(kind) if Some(crc32fast::hash(body)) == crc => {
            Parsed::Frame(Frame { kind, payload, size })
        }
        _ => Parsed::Torn,
    }
}

pub(super) fn put_start(out: &mut Vec<u8>, first: u64, carried: u32) {
    out.extend_from_slice(&first.to_le_bytes());
    out.extend_from_slice(&carried.to_le_bytes());
}

/// The number of the first record, and how many Begins follow that were open before.
pub(super) fn read_start(payload: &[u8]) -> Option<(u64, u32)> {
    let mut cursor = Bytes(payload);
    let first = u64::from_le_bytes(cursor.array()?);
    let carried = cursor.u32()?;
    (first > 0 && cursor.0.is_empty()).then_some((first, carried))
}

const IS_IPV6: u8 = 1;
const PATH_IS_ROUTE: u8 = 2;
const DECISION: u8 = 3;
const HAS_UPSTREAM: u8 = 4;

pub(super) fn put_opening(out: &mut Vec<u8>, opening: &Opening<'_>) {
    let path_is_route = opening.path == opening.route;
    let is_ipv6 = opening.ip.is_ipv6();
    let flag = |holds: bool, flag: u8| if holds { flag } else { 0 };
    out.push(flag(is_ipv6, IS_IPV6) | flag(path_is_route, PATH_IS_ROUTE));
    out.extend_from_slice(&opening.ts.as_micros().to_le_bytes());
    out.extend_from_slice(&opening.request_id.bits().to_le_bytes());
    match opening.ip {
        IpAddr::V4(ip) => out.extend_from_slice(&ip.octets()),
        IpAddr::V6(ip) => out.extend_from_slice(&ip.octets()),
    }
    for text in [&opening.practice, &opening.key, &opening.vendor, &opening.owner] {
        put_text(out, text, SHORT_TEXT);
    }
    put_text(out, &opening.api, SHORT_TEXT);
    put_text(out, &opening.method, SHORT_TEXT);
    put_text(out, &opening.route, LONG_TEXT);
    if !path_is_route {
        put_text(out, &opening.path, LONG_TEXT);
    }
    put_text(out, &opening.category, SHORT_TEXT);
    put_text(out, &opening.access, SHORT_TEXT);
    let agent = &opening.user_agent;
    let most = match agent.len() {
        0..=USER_AGENT_CHARS => agent.len(),
        long => agent.char_indices().nth(USER_AGENT_CHARS).map_or(long, |(at, _)| at),
    };
    put_text(out, agent, most);
}

pub(super) fn put_outcome(out: &mut Vec<u8>, outcome: &Outcome<'_>) {
    let decision = match outcome.decision {
        Decision::Allow => 0,
        Decision::Deny => 1,
        Decision::Observe => 2,
    };
    let has_upstream = if outcome.upstream_us.is_some() { HAS_UPSTREAM } else { 0 };
    out.push(decision | has_upstream);
    out.extend_from_slice(&outcome.status.to_le_bytes());
    put_number(out, u64::from(outcome.count));
    put_number(out, outcome.bytes_in);
    put_number(out, outcome.bytes_out);
    put_number(out, outcome.duration_us);
    if let Some(micros) = outcome.upstream_us {
        put_number(out, micros);
    }
    put_text(out, &outcome.code, CODE);
}

/// Of a record that was begun and never completed.
pub(super) const INTERRUPTED: Outcome<'static> = Outcome {
    decision: Decision::Allow,
    code: std::borrow::Cow::Borrowed(Outcome::INTERRUPTED),
    status: 0,
    bytes_in: 0,
    bytes_out: 0,
    duration_us: 0,
    upstream_us: None,
    count: 1,
};

/// An opening and an outcome that follow each other, and nothing after them.
pub(super) fn read_record(bytes: &[u8]) -> Option<(Opening<'_>, Outcome<'_>)> {
    let mut cursor = Bytes(bytes);
    let opening = cursor.opening()?;
    let outcome = cursor.outcome()?;
    cursor.0.is_empty().then_some((opening, outcome))
}

/// Whether [`read_record`] would find a record, without the cost of making it.
pub(super) fn is_record(bytes: &[u8]) -> bool {
    let mut cursor = Bytes(bytes);
    cursor.pass_opening().and_then(|()| cursor.outcome()).is_some() && cursor.0.is_empty()
}

/// An opening, and nothing after it.
pub(super) fn is_opening(bytes: &[u8]) -> bool {
    let mut cursor = Bytes(bytes);
    cursor.pass_opening().is_some() && cursor.0.is_empty()
}

/// Where in its segment the Begin of this Complete is, and its outcome.
pub(super) fn read_complete(payload: &[u8]) -> Option<(u32, &[u8])> {
    let mut cursor = Bytes(payload);
    let begin = cursor.u32()?;
    Some((begin, cursor.0))
}

fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    out.push(number.to_le_bytes()[0]);
}

/// Cut after `most` bytes, or before the character that would be cut in two.
fn put_text(out: &mut Vec<u8>, text: &str, most: usize) {
    let kept = text.get(..text.floor_char_boundary(most)).unwrap_or_default();
    put_number(out, kept.len() as u64);
    out.extend_from_slice(kept.as_bytes());
}

/// Bytes that nobody vouches for, read from the front.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*array)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn number(&mut self) -> Option<u64> {
        if let Some((&byte, rest)) = self.0.split_first().filter(|(byte, _)| **byte < 0x80) {
            self.0 = rest;
            return Some(u64::from(byte));
        }
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let [byte] = self.array()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && byte > 1 {
                return None;
            }
            number |= bits << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    fn text(&mut self) -> Option<&'a str> {
        let length = usize::try_from(self.number()?).ok()?;
        let (text, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        str::from_utf8(text).ok()
    }

    fn opening(&mut self) -> Option<Opening<'a>> {
        let [flags] = self.array()?;
        let ts = Timestamp::from_micros(i64::from_le_bytes(self.array()?));
        let request_id = RequestId::new(u128::from_le_bytes(self.array()?));
        let ip = match flags & IS_IPV6 {
            0 => IpAddr::from(self.array::<4>()?),
            _ => IpAddr::from(self.array::<16>()?),
        };
        let mut texts = Texts::of(self.0);
        let practice = texts.next()?.into();
        let key = texts.next()?.into();
        let vendor = texts.next()?.into();
        let owner = texts.next()?.into();
        let api = texts.next()?.into();
        let method = texts.next()?.into();
        let route = texts.next()?;
        let path = if flags & PATH_IS_ROUTE == 0 { texts.next()? } else { route };
        let (route, path) = (route.into(), path.into());
        let category = texts.next()?.into();
        let access = texts.next()?.into();
        let user_agent = texts.next()?.into();
        self.0 = texts.rest();
        Some(Opening {
            ts,
            request_id,
            practice,
            key,
            vendor,
            owner,
            api,
            method,
            route,
            path,
            category,
            access,
            ip,
            user_agent,
        })
    }

    /// Looks at all that [`Self::opening`] looks at.
    fn pass_opening(&mut self) -> Option<()> {
        let [flags] = self.array()?;
        let address = if flags & IS_IPV6 == 0 { 4 } else { 16 };
        let texts = TEXTS - usize::from(flags & PATH_IS_ROUTE != 0);
        self.0 = Texts::of(self.0.get(8 + 16 + address..)?).behind(texts)?;
        Some(())
    }

    fn outcome(&mut self) -> Option<Outcome<'a>> {
        let [flags] = self.array()?;
        let decision = match flags & DECISION {
            0 => Decision::Allow,
            1 => Decision::Deny,
            2 => Decision::Observe,
            _ => return None,
        };
        let status = u16::from_le_bytes(self.array()?);
        let count = u32::try_from(self.number()?).ok()?;
        let bytes_in = self.number()?;
        let bytes_out = self.number()?;
        let duration_us = self.number()?;
        let upstream_us = if flags & HAS_UPSTREAM == 0 { None } else { Some(self.number()?) };
        let code = self.text()?.into();
        Some(Outcome {
            decision,
            code,
            status,
            bytes_in,
            bytes_out,
            duration_us,
            upstream_us,
            count,
        })
    }
}

#[cfg(test)]
mod tests;
