//! HTTP/2 callers: the `h2` crate for what is proper, frames by hand for what is not.

use std::future::Future;
use std::io::Write;
use std::net::SocketAddr;

use bytes::Bytes;
use h2::client::SendRequest;
use http::{Request, Response};

use super::fixture::{key, vendor_key};
use super::wire::{Wire, connect};

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// Fields as HPACK literals without indexing and without Huffman: any bytes can be written.
pub(crate) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in fields {
        bytes.push(0);
        for text in [name, value] {
            integer(&mut bytes, text.len());
            bytes.extend(text.bytes());
        }
    }
    bytes
}

fn integer(bytes: &mut Vec<u8>, mut value: usize) {
    if value < 127 {
        return bytes.push(u8::try_from(value).unwrap());
    }
    bytes.push(127);
    value -= 127;
    while value >= 128 {
        bytes.push(u8::try_from(value % 128 + 128).unwrap());
        value /= 128;
    }
    bytes.push(u8::try_from(value).unwrap());
}

/// The fields of a good GET, for tests to spoil.
pub(crate) fn good_fields(path: &str) -> Vec<(String, String)> {
    [
        (":method", "GET"),
        (":scheme", "http"),
        (":authority", "gw.test"),
        (":path", path),
        ("x-subscriber-key", &key("key-all")),
        ("x-vendor-key", &vendor_key("acme")),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec()
}

pub(crate) fn headers_frame(stream: u32, flags: u8, fields: &[(String, String)]) -> Vec<u8> {
    let fields: Vec<(&str, &str)> =
        fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    frame(HEADERS, flags, stream, &block(&fields))
}

/// A frame as received.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

/// A connection whose frames are written by hand.
pub(crate) struct RawHttp2 {
    pub(crate) stream: std::net::TcpStream,
    ahead: Vec<u8>,
}

impl RawHttp2 {
    /// Connects and sends the preface with empty SETTINGS.
    pub(crate) fn to(address: SocketAddr) -> Self {
        let mut connection = Self::over(connect(address));
        connection.send(PREFACE);
        connection.send(&frame(SETTINGS, 0, 0, &[]));
        connection
    }

    /// Nothing sent yet.
    pub(crate) fn over(stream: std::net::TcpStream) -> Self {
        Self { stream, ahead: Vec::new() }
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// The next frame; None at the end of the connection.
    pub(crate) fn frame(&mut self) -> Option<Frame> {
        use std::io::Read;
        loop {
            if let Some(head) = self.ahead.first_chunk::<9>() {
                let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
                let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]) & 0x7fff_ffff;
                let (kind, flags) = (head[3], head[4]);
                if self.ahead.len() >= 9 + length {
                    let payload = self.ahead[9..9 + length].to_vec();
                    self.ahead.drain(..9 + length);
                    return Some(Frame { kind, flags, stream, payload });
                }
            }
            let mut buffer = [0; 16 * 1024];
            match self.stream.read(&mut buffer) {
                Ok(0) => return None,
                Ok(count) => self.ahead.extend_from_slice(&buffer[..count]),
                Err(error) if super::wire::timed_out(&error) => panic!("HTTP/2: nothing came"),
                Err(_) => return None,
            }
        }
    }

    /// How a stream ended: its first HEADERS (as bytes), RST_STREAM, GOAWAY, or None for a closed connection.
    pub(crate) fn outcome(&mut self, stream: u32) -> Option<Frame> {
        loop {
            let frame = self.frame()?;
            let of_stream = frame.stream == stream && matches!(frame.kind, HEADERS | RST_STREAM);
            if of_stream || frame.kind == GOAWAY {
                return Some(frame);
            }
        }
    }
}

impl Frame {
    /// The status of a HEADERS frame, where it stands as an index or a plain literal (it always does at first).
    pub(crate) fn status(&self) -> u16 {
        match self.payload.first() {
            Some(0x88) => 200,
            Some(0x89) => 204,
            Some(0x8c) => 400,
            Some(0x8d) => 404,
            Some(0x8e) => 500,
            Some(0x48 | 0x08) => decode_status(&self.payload[1..]),
            _ => 0,
        }
    }
}

fn decode_status(bytes: &[u8]) -> u16 {
    let huffman = bytes[0] & 0x80 != 0;
    let length = usize::from(bytes[0] & 0x7f);
    let text = &bytes[1..=length];
    if !huffman {
        return String::from_utf8_lossy(text).parse().unwrap_or(0);
    }
    // Digits in HPACK's code: 0, 1 and 2 have five bits, 3 to 9 six from 011001 on.
    let bits: String = text.iter().map(|byte| format!("{byte:08b}")).collect();
    let (mut at, mut status) = (0, 0);
    for _ in 0..3 {
        let five = u16::from_str_radix(&bits[at..at + 5], 2).unwrap();
        let digit = if five < 3 {
            at += 5;
            five
        } else {
            at += 6;
            u16::from_str_radix(&bits[at - 6..at], 2).unwrap() - 0b01_1001 + 3
        };
        status = status * 10 + digit;
    }
    status
}

/// Runs a piece of asynchronous test on a runtime of its own.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        tokio::time::timeout(super::PATIENCE * 2, future).await.expect("HTTP/2: a hang")
    })
}

/// A proper HTTP/2 connection without TLS.
pub(crate) async fn prior_knowledge(to: SocketAddr) -> SendRequest<Bytes> {
    let stream = tokio::net::TcpStream::connect(to).await.unwrap();
    let (sender, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::task::spawn_local(connection);
    sender.ready().await.unwrap()
}

pub(crate) fn good(method: &str, path: &str) -> http::request::Builder {
    Request::builder()
        .method(method)
        .uri(format!("http://gw.test{path}"))
        .header("x-subscriber-key", key("key-all"))
        .header("x-vendor-key", vendor_key("acme"))
}

/// Sends a request with a whole body and reads the whole answer.
pub(crate) async fn exchange(
    sender: &mut SendRequest<Bytes>,
    request: Request<Bytes>,
) -> Result<Response<Bytes>, h2::Error> {
    let (head, body) = request.into_parts();
    let empty = body.is_empty();
    let (answer, mut stream) = sender.send_request(Request::from_parts(head, ()), empty)?;
    if !empty {
        stream.send_data(body, true)?;
    }
    let (head, mut body) = answer.await?.into_parts();
    let mut bytes = Vec::new();
    while let Some(piece) = body.data().await {
        let piece = piece?;
        body.flow_control().release_capacity(piece.len())?;
        bytes.extend_from_slice(&piece);
    }
    Ok(Response::from_parts(head, bytes.into()))
}

/// An HTTP/1.1 wire that must never become HTTP/2.
pub(crate) fn half_a_preface(to: SocketAddr) -> Wire {
    let mut wire = Wire::to(to);
    wire.send(&PREFACE[..10]);
    wire
}
