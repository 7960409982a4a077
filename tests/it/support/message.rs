//! Reading HTTP/1.1 messages strictly: whatever the gateway writes must be canonical.

use std::io::{self, Read};

/// A start line and its header fields, exactly as they came.
#[derive(Clone, Debug, Default)]
pub(crate) struct Head {
    pub(crate) start: String,
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) raw: Vec<u8>,
}

impl Head {
    /// The bytes up to and including the empty line. None: not a strict head.
    fn parse(raw: &[u8]) -> Option<Self> {
        let text: String = raw.iter().map(|byte| char::from(*byte)).collect();
        let mut lines = text.strip_suffix("\r\n\r\n")?.split("\r\n");
        let start = lines.next()?.to_owned();
        let mut fields = Vec::new();
        for line in lines {
            if line.contains(['\r', '\n', '\0']) {
                return None;
            }
            let (name, value) = line.split_once(':')?;
            if name.is_empty() || name.contains([' ', '\t']) {
                return None;
            }
            fields.push((name.to_owned(), value.trim_matches([' ', '\t']).to_owned()));
        }
        Some(Self { start, fields, raw: raw.to_vec() })
    }

    /// Every value of a header, in order.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        let same = |field: &&(String, String)| field.0.eq_ignore_ascii_case(name);
        self.fields.iter().filter(same).map(|field| field.1.as_str()).collect()
    }

    /// The one value of a header. More than one is a failure.
    pub(crate) fn one(&self, name: &str) -> Option<&str> {
        let all = self.all(name);
        assert!(all.len() < 2, "{name} stands {} times in\n{}", all.len(), self.text());
        all.first().copied()
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        !self.all(name).is_empty()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.raw).into_owned()
    }

    /// The n-th word of the start line.
    pub(crate) fn word(&self, n: usize) -> &str {
        self.start.split(' ').nth(n).unwrap_or_default()
    }
}

/// How a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    Length(u64),
    Chunked,
    UntilClose,
}

/// A stream with what was read of it and not yet used.
pub(crate) struct Feed<S> {
    pub(crate) stream: S,
    ahead: Vec<u8>,
    used: usize,
}

fn broken(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.to_owned())
}

impl<S: Read> Feed<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, ahead: Vec::new(), used: 0 }
    }

    /// Reads once more. Ok(0) is the end.
    pub(crate) fn fill(&mut self) -> io::Result<usize> {
        if self.used > 0 {
            self.ahead.drain(..self.used);
            self.used = 0;
        }
        let mut buffer = [0; 16 * 1024];
        let count = self.stream.read(&mut buffer)?;
        self.ahead.extend_from_slice(&buffer[..count]);
        Ok(count)
    }

    /// Forgets what was read ahead.
    pub(crate) fn forget(&mut self) {
        self.ahead.clear();
        self.used = 0;
    }

    fn unused(&self) -> &[u8] {
        &self.ahead[self.used..]
    }

    /// Everything that came and was not part of a message.
    pub(crate) fn rest(&self) -> &[u8] {
        self.unused()
    }

    /// The next head; None at a clean end of the stream.
    pub(crate) fn head(&mut self) -> io::Result<Option<Head>> {
        let mut from = 0;
        loop {
            let unused = self.unused();
            let found = unused[from..].windows(4).position(|four| four == b"\r\n\r\n");
            if let Some(at) = found {
                let end = from + at + 4;
                let head = Head::parse(&unused[..end]).ok_or_else(|| broken("not a strict head"));
                self.used += end;
                return head.map(Some);
            }
            from = unused.len().saturating_sub(3);
            if self.fill()? == 0 {
                return if self.unused().is_empty() {
                    Ok(None)
                } else {
                    Err(broken("cut in the head"))
                };
            }
        }
    }

    /// Reads a body piece by piece. An error is a body that ended before its end or was not canonical.
    pub(crate) fn body(
        &mut self,
        framing: Framing,
        mut piece: impl FnMut(&[u8]),
    ) -> io::Result<()> {
        match framing {
            Framing::Length(length) => self.exactly(length, &mut piece),
            Framing::Chunked => loop {
                let line = self.line()?;
                let plain = !line.is_empty() && line.bytes().all(|byte| byte.is_ascii_hexdigit());
                if !plain {
                    return Err(broken(&format!("chunk line {line:?}")));
                }
                let size = u64::from_str_radix(&line, 16).map_err(|_| broken("chunk size"))?;
                self.exactly(size, &mut piece)?;
                let end = self.line()?;
                if !end.is_empty() {
                    return Err(broken(&format!("after a chunk: {end:?}")));
                }
                if size == 0 {
                    return Ok(());
                }
            },
            Framing::UntilClose => loop {
                piece(self.unused());
                self.used = self.ahead.len();
                if self.fill()? == 0 {
                    return Ok(());
                }
            },
        }
    }

    fn exactly(&mut self, mut length: u64, piece: &mut impl FnMut(&[u8])) -> io::Result<()> {
        while length > 0 {
            let ready = self.unused().len().min(usize::try_from(length).unwrap_or(usize::MAX));
            if ready == 0 {
                if self.fill()? == 0 {
                    return Err(broken("cut in the body"));
                }
                continue;
            }
            piece(&self.unused()[..ready]);
            self.used += ready;
            length -= ready as u64;
        }
        Ok(())
    }

    fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(at) = self.unused().windows(2).position(|two| two == b"\r\n") {
                let line = String::from_utf8_lossy(&self.unused()[..at]).into_owned();
                self.used += at + 2;
                return Ok(line);
            }
            if self.fill()? == 0 {
                return Err(broken("cut in a chunk line"));
            }
        }
    }
}
