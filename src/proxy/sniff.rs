//! Which protocol a connection speaks, from its first bytes: HTTP/2 by prior knowledge begins with a preface that is no
//! HTTP/1 request, and anything else is HTTP/1's to judge.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};

use crate::proxy::pulse::Wire;

const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The first bytes of a connection, kept to be read again.
#[derive(Debug, Default)]
pub(crate) struct Opening {
    bytes: [u8; PREFACE.len()],
    filled: usize,
    replayed: usize,
}

impl Opening {
    /// Gives the bytes once more; false when there are none left.
    pub(crate) fn replay(&mut self, buf: &mut ReadBuf<'_>) -> bool {
        let Some(left) = self.bytes.get(self.replayed..self.filled).filter(|left| !left.is_empty())
        else {
            return false;
        };
        let taken = left.len().min(buf.remaining());
        buf.put_slice(left.get(..taken).unwrap_or_default());
        self.replayed += taken;
        true
    }

    /// None while the bytes could become either.
    fn wire(&self) -> Option<Wire> {
        let seen = self.bytes.get(..self.filled)?;
        if !PREFACE.starts_with(seen) {
            Some(Wire::Http1)
        } else if seen.len() == PREFACE.len() {
            Some(Wire::Http2)
        } else {
            None
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
        let free = opening.bytes.get_mut(opening.filled..).unwrap_or_default();
        let read = io.read(free).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        opening.filled += read;
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
