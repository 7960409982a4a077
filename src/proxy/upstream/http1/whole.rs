//! An answer from bytes that are all here, in the pieces in which they came: what tests and the fuzzer hold the reading to.

use bytes::BytesMut;
use http::HeaderMap;

use super::body::{Left, Piece};
use super::head::{self, Names};

/// An answer.
#[derive(Debug, PartialEq, Eq)]
pub struct Read {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    /// What came behind it.
    pub surplus: Vec<u8>,
    /// The connection may be used again.
    pub keeps_alive: bool,
}

/// None where it is no answer, or none that has ended.
pub fn read(pieces: &[&[u8]], is_head: bool) -> Option<Read> {
    let mut pieces = pieces.iter();
    let mut come = BytesMut::new();
    let head = loop {
        match head::read(&come.clone().freeze(), is_head, &mut Names::default()).ok()? {
            Some(head) => break head,
            None => come.extend_from_slice(pieces.next()?),
        }
    };
    let mut come = come.freeze().slice(head.length..);
    let (mut left, mut body) = (head.left, Vec::new());
    loop {
        match left.take(&mut come).ok()? {
            Piece::Data(data) => body.extend_from_slice(&data),
            Piece::End => break,
            Piece::Later => match pieces.next() {
                Some(piece) => come = [&come, *piece].concat().into(),
                None if left.ends_with_the_connection() => left = Left::Nothing,
                None => return None,
            },
        }
    }
    let rest = pieces.copied().collect::<Vec<_>>().concat();
    Some(Read {
        status: head.parts.status.as_u16(),
        headers: head.parts.headers,
        body,
        surplus: [&come, rest.as_slice()].concat(),
        keeps_alive: head.keeps_alive,
    })
}
