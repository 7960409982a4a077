//! Which protocol a connection speaks, from its first bytes: HTTP/2 by prior knowledge begins with a preface that is no
//! HTTP/1 request, and anything else is HTTP/1's to judge.

use std::io;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};

use crate::proxy::pulse::Wire;

const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Most heads fit, so that a short connection is read once.
const ROOM: usize = 2048;

/// The first bytes of a connection, kept to be read again.
#[derive(Debug, Default)]
pub(crate) struct Opening(BytesMut);

impl Opening {
    /// Gives the bytes once more; false when there are none left.
    pub(crate) fn replay(&mut self, buf: &mut ReadBuf<'_>) -> bool {
        if self.0.is_empty() {
            return false;
        }
        buf.put_slice(&self.0.split_to(self.0.len().min(buf.remaining())));
        if self.0.is_empty() {
            self.0 = BytesMut::new();
        }
        true
    }

    /// None while the bytes could become either.
    fn wire(&self) -> Option<Wire> {
        if self.0.starts_with(PREFACE) {
            Some(Wire::Http2)
        } else if PREFACE.starts_with(&self.0) {
            None
        } else {
            Some(Wire::Http1)
        }
    }
}

/// Reads until the protocol is known. An end before that is an error. Cancelling loses the bytes read so far.
pub(crate) async fn sniff<S: AsyncRead + Unpin>(io: &mut S) -> io::Result<(Wire, Opening)> {
    let mut opening = Opening::default();
    loop {
        if let Some(wire) = opening.wire() {
            return Ok((wire, opening));
        }
        opening.0.reserve(ROOM - opening.0.len());
        if io.read_buf(&mut opening.0).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn wire_of(bytes: &[u8]) -> Option<Wire> {
        let mut io = bytes;
        sniff(&mut io).await.ok().map(|(wire, _)| wire)
    }

    #[tokio::test]
    async fn the_preface_is_http2_and_all_else_is_http1() {
        let mut longer = PREFACE.to_vec();
        longer.extend_from_slice(b"frames");
        let mut wrong = *PREFACE;
        wrong[23] = b'x';
        let table: [(&[u8], Option<Wire>); 8] = [
            (PREFACE, Some(Wire::Http2)),
            (&longer, Some(Wire::Http2)),
            (&wrong, Some(Wire::Http1)),
            (b"GET / HTTP/1.1\r\n", Some(Wire::Http1)),
            (b"POST / HTTP/1.1\r\n", Some(Wire::Http1)),
            (b"\r\n", Some(Wire::Http1)),
            (b"PRI * HTTP/2.0\r\n", None),
            (b"", None),
        ];
        for (bytes, expected) in table {
            assert_eq!(wire_of(bytes).await, expected, "{:?}", bytes.escape_ascii().to_string());
        }
    }

    #[tokio::test]
    async fn what_was_sniffed_is_read_again() {
        let mut io: &[u8] = b"PUT / HTTP/1.1\r\nHost: a\r\n\r\n";
        let (_, mut opening) = sniff(&mut io).await.unwrap();
        let mut again = Vec::new();
        loop {
            let mut space = [0; 5];
            let mut buf = ReadBuf::new(&mut space);
            if !opening.replay(&mut buf) {
                break;
            }
            again.extend_from_slice(buf.filled());
        }
        again.extend_from_slice(io);
        assert_eq!(again, b"PUT / HTTP/1.1\r\nHost: a\r\n\r\n");
    }
}
