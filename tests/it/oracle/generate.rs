//! Requests by a grammar, spoiled now and then.

use fastrand::Rng;

use super::bodies;
use crate::headers::FOLDED;
use crate::smuggling::{BAD_CHUNKS, DOUBTFUL};
use crate::support::fixture::{KEYS, key, vendor_key};
use crate::support::http2::{
    DATA, END_HEADERS, END_STREAM, HEADERS, PREFACE, SETTINGS, block, frame,
};
use crate::targets::{ABSOLUTE, AMBIGUOUS, UNREADABLE, latin};

const METHODS: &[&str] =
    &["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "get", "FOO", "CONNECT", "TRACE"];

const TARGETS: &[&str] = &[
    "/v1/appointments",
    "/v1/appointments/7",
    "/v1/appointments/x/y",
    "/v1/patients",
    "/v1/patients/7",
    "/v1/patients/search",
    "/v1/patients/7/notes",
    "/v1/patients/7/summary",
    "/v1/patients/7/transfer",
    "/v1/status",
    "/v1/internal/x",
    "/v1/internal/open",
    "/v1/live",
    "/v1/invoices",
    "/v1/claims",
    "/v1/billing/x",
    "/v1/files/x",
    "/v1/files/0b8f3a9e-8c1d-4f60-9d1c-2b7c5a4e9f01",
    "/v1/export",
    "/other/x",
    "/other",
    "/v1",
    "/",
    "/v1/nothing",
];

const QUERIES: &[&str] = &[
    "",
    "",
    "",
    "?",
    "?a=b",
    "?include=notes",
    "?include=a,notes",
    "?include=n%6ftes",
    "?inc%6cude=notes",
    "?include=a&include=notes",
    "?include=notes%00",
    "?include=%6eotes,b",
    "?include=a%2Cnotes",
    "?INCLUDE=notes",
    "?include[]=notes",
    "?include=notes;x",
    "?x;include=notes",
    "?include=+notes",
    "?a=b?include=notes",
    "?_method=DELETE",
    "?api_key=x",
    "?a=b#c",
    "?include=notes&&",
    "?&include=notes",
    "?include==notes",
    "?include=notes=",
];

const EXTRA: &[&str] = &[
    "",
    "",
    "",
    "X-Postern-Key-Id: forged\r\n",
    "x-postern-scopes: forged\r\n",
    "X-Postern-Practice: forged\r\n",
    "X-Forwarded-For: forged\r\n",
    "Connection: X-Postern-Key-Id\r\n",
    "Connection: close, X-Forwarded-For\r\n",
    "Connection: close\r\n",
    "Connection: Upgrade\r\nUpgrade: websocket\r\n",
    "Upgrade: h2c\r\n",
    "TE: trailers\r\n",
    "Expect: 100-continue\r\n",
    "X-HTTP-Method-Override: DELETE\r\n",
    "X-On-Behalf-Of: dr-who\r\n",
    "x-on-behalf-of:\r\n",
    "X-Original-URL: /v1/internal/forged\r\n",
    "Forwarded: for=forged\r\n",
    "X-Request-Id: forged\r\n",
    "Host: gw.test\r\n",
    "Host: forged\r\n",
    "Trailer: X-Postern-Key-Id\r\n",
    "Proxy: forged\r\n",
    "Keep-Alive: forged\r\n",
    "Accept: */*\r\n",
    "X-Custom: a\r\n folded: x\r\n",
    "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n",
];

fn pick<'a>(rng: &mut Rng, list: &[&'a str]) -> &'a str {
    list[rng.usize(..list.len())]
}

fn target(rng: &mut Rng) -> Vec<u8> {
    match rng.u8(..10) {
        0 => latin(pick(rng, AMBIGUOUS)),
        1 => latin(pick(rng, UNREADABLE)),
        4 => latin(pick(rng, ABSOLUTE)),
        2 => {
            let mut bytes = pick(rng, TARGETS).as_bytes().to_vec();
            let pieces: &[&str] = &[
                "/", "//", "/.", "/..", "%2f", "%2e", "%00", ";", "\\", "%20", "%C3%A9", "%c3%a9",
                "a", "7", "%25", "?", "#",
            ];
            for _ in 0..rng.usize(1..3) {
                let at = rng.usize(..=bytes.len());
                bytes.splice(at..at, pick(rng, pieces).bytes());
            }
            bytes
        }
        3 => {
            // One letter of a good target, encoded.
            let text = pick(rng, TARGETS);
            let at = rng.usize(..text.len());
            let mut out = text[..at].to_owned();
            out += &format!("%{:02x}", text.as_bytes()[at]);
            out += &text[at + 1..];
            out.into_bytes()
        }
        _ => (pick(rng, TARGETS).to_owned() + pick(rng, QUERIES)).into_bytes(),
    }
}

fn credentials(rng: &mut Rng) -> String {
    let id = if rng.bool() { "key-all" } else { KEYS[rng.usize(..KEYS.len())].0 };
    let vendor = if rng.u8(..4) > 0 { "acme" } else { "beta" };
    let (subscriber, vendor) = (key(id), vendor_key(vendor));
    match rng.u8(..12) {
        0 => String::new(),
        1 => format!("X-Subscriber-Key: {subscriber}\r\n"),
        2 => format!(
            "X-Subscriber-Key: {subscriber}\r\nX-Subscriber-Key: {subscriber}\r\nX-Vendor-Key: {vendor}\r\n"
        ),
        3 => format!("X_Subscriber_Key: {subscriber}\r\nX-Vendor-Key: {vendor}\r\n"),
        4 => format!("X-Subscriber-Key: {vendor}\r\nX-Vendor-Key: {subscriber}\r\n"),
        _ => format!("x-subscriber-key: {subscriber}\r\nX-Vendor-Key: {vendor}\r\n"),
    }
}

fn body(rng: &mut Rng) -> (String, String) {
    let inner =
        format!("GET /v1/internal/open HTTP/1.1\r\nHost: gw.test\r\n{}\r\n", credentials(rng));
    match rng.u8(..12) {
        0 => (pick(rng, DOUBTFUL).to_owned(), format!("0\r\n\r\n{inner}")),
        1 => {
            ("Transfer-Encoding: chunked\r\n".to_owned(), pick(rng, BAD_CHUNKS).to_owned() + &inner)
        }
        2 => (format!("Content-Length: {}\r\n", rng.usize(..400)), inner),
        3 => (
            "Transfer-Encoding: chunked\r\n".to_owned(),
            format!("{:x}\r\n{inner}\r\n0\r\n\r\n", inner.len()),
        ),
        4 => (
            "Transfer-Encoding: chunked\r\n".to_owned(),
            "2;a=b\r\nhi\r\n0\r\nX-Postern-Key-Id: forged\r\n\r\n".to_owned(),
        ),
        5 => (format!("Content-Length: {}\r\n", inner.len()), inner),
        6 => (pick(rng, DOUBTFUL).to_owned(), inner),
        _ => (String::new(), String::new()),
    }
}

/// One request, good more often than not.
pub(crate) fn request(rng: &mut Rng) -> Vec<u8> {
    let good = rng.u8(..4) > 0;
    let method = if good { METHODS[rng.usize(..6)] } else { pick(rng, METHODS) };
    let mut bytes = method.as_bytes().to_vec();
    bytes.push(b' ');
    if good {
        bytes.extend(pick(rng, TARGETS).bytes());
        bytes.extend(pick(rng, QUERIES).bytes());
    } else {
        bytes.extend(target(rng));
    }
    bytes.extend(b" HTTP/1.1\r\nHost: gw.test\r\n");
    bytes.extend(bodies::tag(rng).bytes());
    bytes.extend(credentials(rng).bytes());
    bytes.extend(pick(rng, EXTRA).bytes());
    if rng.u8(..20) == 0 {
        bytes.extend(format!("{}: forged\r\n", pick(rng, FOLDED)).bytes());
    }
    let (framing, body) = body(rng);
    bytes.extend(framing.bytes());
    bytes.extend(b"\r\n");
    bytes.extend(body.bytes());
    if rng.u8(..4) == 0 {
        spoil(rng, &mut bytes);
    }
    bytes
}

/// A connection of HTTP/2 with some streams, good more often than not.
pub(crate) fn http2(rng: &mut Rng) -> Vec<u8> {
    let mut bytes = PREFACE.to_vec();
    bytes.extend(frame(SETTINGS, 0, 0, &[]));
    for n in 0..rng.u32(1..12) {
        let stream = n * 2 + 1;
        let fields = fields(rng);
        let fields: Vec<(&str, &str)> =
            fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let mut block = block(&fields);
        if rng.u8(..10) == 0 {
            spoil(rng, &mut block);
        }
        let body = rng.u8(..4) == 0;
        let flags = if body { END_HEADERS } else { END_HEADERS | END_STREAM };
        bytes.extend(frame(HEADERS, flags, stream, &block));
        if body {
            bytes.extend(frame(
                DATA,
                END_STREAM,
                stream,
                b"GET /v1/internal/open HTTP/1.1\r\n\r\n",
            ));
        }
    }
    if rng.u8(..10) == 0 {
        spoil(rng, &mut bytes);
    }
    bytes
}

fn fields(rng: &mut Rng) -> Vec<(String, String)> {
    let good = rng.u8(..4) > 0;
    let method = if good { METHODS[rng.usize(..6)] } else { pick(rng, METHODS) };
    let path =
        if good { pick(rng, TARGETS).to_owned() + pick(rng, QUERIES) } else { lossy(&target(rng)) };
    let mut fields = vec![
        (":method".to_owned(), method.to_owned()),
        (":scheme".to_owned(), "http".to_owned()),
        (":authority".to_owned(), "gw.test".to_owned()),
        (":path".to_owned(), path),
    ];
    for line in (bodies::tag(rng) + &credentials(rng) + pick(rng, EXTRA)).lines() {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let hop = matches!(name, "Connection" | "Keep-Alive" | "Upgrade" | "Proxy-Connection");
        if !hop || rng.u8(..10) == 0 {
            fields.push((name.to_lowercase(), value.trim().to_owned()));
        }
    }
    if rng.u8(..10) == 0 {
        let (from, to) = (rng.usize(..fields.len()), rng.usize(..fields.len()));
        fields.swap(from, to);
    }
    fields
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A few bytes changed, taken out, doubled or put in.
fn spoil(rng: &mut Rng, bytes: &mut Vec<u8>) {
    const ODD: &[u8] = b"\r\n\t \0/.\\%;:?#&=,_-+{}<>|\"'@*\x7f\x80\xc0\xff019aAzZ";
    for _ in 0..rng.usize(1..4) {
        if bytes.is_empty() {
            return;
        }
        let at = rng.usize(..bytes.len());
        let odd = ODD[rng.usize(..ODD.len())];
        match rng.u8(..5) {
            0 => bytes[at] = odd,
            1 => drop(bytes.remove(at)),
            2 => bytes.insert(at, odd),
            3 => bytes[at] ^= 1 << rng.u8(..8),
            _ => {
                let end = (at + rng.usize(1..20)).min(bytes.len());
                let piece = bytes[at..end].to_vec();
                bytes.splice(at..at, piece);
            }
        }
    }
}
