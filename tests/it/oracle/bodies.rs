//! Whether a body that the upstream saw as complete is the one that was sent.
//!
//! Every request is written with a tag in a header that passes through. From the tag, what was sent is found again and
//! its body read in a few strict lines. An input that a spoiled byte made doubtful here is passed over: the gateway may
//! refuse it or not, which is for `judge` to say.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use fastrand::Rng;

use crate::support::http2::{DATA, END_STREAM};
use crate::support::message::Head;

/// Inputs that are remembered; a body that arrives after so many others is not checked.
const REMEMBERED: usize = 4096;
const TAG: &str = "x-oracle";

/// What the inputs held, by the tags in them.
#[derive(Default)]
pub(super) struct Sent {
    inputs: HashMap<String, Arc<Vec<u8>>>,
    order: VecDeque<String>,
}

/// A header line with a tag that nothing else has.
pub(super) fn tag(rng: &mut Rng) -> String {
    format!("{TAG}: {:032x}\r\n", rng.u128(..))
}

/// The tags in an input, HTTP/1 or HTTP/2: every run of digits as long as one, behind the name.
fn tags(input: &[u8]) -> Vec<String> {
    let name = TAG.as_bytes();
    let starts = input.windows(name.len()).enumerate().filter(|(_, window)| *window == name);
    let digits = starts.filter_map(|(at, _)| {
        let behind = &input[at + name.len()..];
        let skipped = behind.iter().position(u8::is_ascii_hexdigit)?;
        let text = std::str::from_utf8(behind.get(skipped..skipped + 32)?).ok()?;
        text.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| text.to_owned())
    });
    digits.collect()
}

impl Sent {
    pub(super) fn remember(&mut self, input: &[u8]) {
        let tags = tags(input);
        if tags.is_empty() {
            return;
        }
        let input = Arc::new(input.to_vec());
        for tag in tags {
            self.inputs.insert(tag.clone(), Arc::clone(&input));
            self.order.push_back(tag);
        }
        while self.order.len() > REMEMBERED {
            self.order.pop_front().and_then(|oldest| self.inputs.remove(&oldest));
        }
    }

    fn of(&self, head: &Head) -> Option<(String, Arc<Vec<u8>>)> {
        let [tag] = head.all(TAG)[..] else { return None };
        Some((tag.to_owned(), Arc::clone(self.inputs.get(tag)?)))
    }
}

/// Ok(true): a body was compared and is the same. Ok(false): there was nothing certain to compare with.
pub(super) fn same(sent: &Mutex<Sent>, head: &Head, body: &[u8]) -> Result<bool, String> {
    let found = sent.lock().unwrap().of(head);
    let Some((tag, input)) = found else { return Ok(false) };
    let Some(at) = only(&input, tag.as_bytes()) else { return Ok(false) };
    let expected = if input.starts_with(b"PRI ") {
        let Some(expected) = of_stream(&input, at) else { return Ok(false) };
        expected
    } else {
        of_message(&input[at..])
    };
    match expected {
        Some(expected) if expected == body => Ok(true),
        Some(expected) => Err(format!(
            "a body of {} bytes, sent were {}: {}",
            body.len(),
            expected.len(),
            body.escape_ascii()
        )),
        None => Err(format!("a body that never ended came to an end: {}", body.escape_ascii())),
    }
}

/// Where the needle stands, if it does so once.
fn only(hay: &[u8], needle: &[u8]) -> Option<usize> {
    let mut found = hay.windows(needle.len()).enumerate().filter(|(_, window)| *window == needle);
    let (at, _) = found.next()?;
    found.next().is_none().then_some(at)
}

/// The body behind the head that these bytes are in; None where it has no end.
fn of_message(bytes: &[u8]) -> Option<Vec<u8>> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let (head, rest) = (String::from_utf8_lossy(&bytes[..end]), &bytes[end + 4..]);
    let mut length = 0;
    for (name, value) in head.split("\r\n").filter_map(|line| line.split_once(':')) {
        if name.eq_ignore_ascii_case("transfer-encoding") {
            return chunks(rest);
        }
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().ok()?;
        }
    }
    rest.get(..length).map(<[u8]>::to_vec)
}

fn chunks(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|two| two == b"\r\n")?;
        let line = std::str::from_utf8(&rest[..end]).ok()?;
        let digits = line.split(';').next().unwrap_or_default();
        let size = usize::from_str_radix(digits, 16).ok()?;
        rest = &rest[end + 2..];
        if size == 0 {
            // Trailers may follow; the empty line behind them is the end.
            let ends = rest.starts_with(b"\r\n") || rest.windows(4).any(|four| four == b"\r\n\r\n");
            return ends.then_some(body);
        }
        body.extend_from_slice(rest.get(..size)?);
        rest = rest.get(size..)?.strip_prefix(b"\r\n")?;
    }
}

/// The DATA of the stream whose frame the position is in: None where there is no telling, Some(None) where it does not end.
fn of_stream(input: &[u8], at: usize) -> Option<Option<Vec<u8>>> {
    const PREFACE: usize = 24;
    const PADDED: u8 = 8;
    let (mut from, mut stream, mut body) = (PREFACE, None, Vec::new());
    while let Some(head) = input.get(from..from + 9) {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let (kind, flags, id) = (head[3], head[4], [head[5], head[6], head[7], head[8]]);
        let end = from + 9 + length;
        if (from..end).contains(&at) {
            stream = Some(id);
            if flags & END_STREAM != 0 {
                return Some(Some(body));
            }
        } else if kind == DATA && stream == Some(id) {
            if flags & PADDED != 0 {
                return None;
            }
            body.extend_from_slice(input.get(from + 9..end)?);
            if flags & END_STREAM != 0 {
                return Some(Some(body));
            }
        }
        from = end;
    }
    stream.map(|_| None)
}
