//! The caller's side: raw bytes out, answers read strictly, every wait with a deadline.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use super::PATIENCE;
use super::message::{Feed, Framing, Head};

/// One answer, whole.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: Head,
    pub(crate) body: Vec<u8>,
    /// False where the connection broke before the body's end.
    pub(crate) complete: bool,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|_| panic!("not JSON: {}{}", self.head.text(), self.text()))
    }

    /// The `code` of a problem; empty where there is none.
    pub(crate) fn code(&self) -> String {
        let value: Option<serde_json::Value> = serde_json::from_slice(&self.body).ok();
        value.and_then(|value| value["code"].as_str().map(str::to_owned)).unwrap_or_default()
    }

    pub(crate) fn closes(&self) -> bool {
        self.head.all("connection").iter().any(|value| value.eq_ignore_ascii_case("close"))
    }
}

/// A connection of raw bytes.
pub(crate) struct Wire<S = TcpStream> {
    pub(crate) feed: Feed<S>,
}

pub(crate) fn connect(to: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&to, PATIENCE).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

impl Wire<TcpStream> {
    pub(crate) fn to(address: SocketAddr) -> Self {
        Self::over(connect(address))
    }

    pub(crate) fn half_close(&mut self) {
        self.feed.stream.shutdown(Shutdown::Write).unwrap();
    }

    pub(crate) fn patience(&mut self, time: Duration) {
        self.feed.stream.set_read_timeout(Some(time)).unwrap();
    }
}

impl<S: Read + Write> Wire<S> {
    pub(crate) fn over(stream: S) -> Self {
        Self { feed: Feed::new(stream) }
    }

    /// Sends what the other side will take; a closed connection is no failure, for it may have refused already.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> bool {
        self.feed.stream.write_all(bytes).and_then(|()| self.feed.stream.flush()).is_ok()
    }

    /// The next final answer, interim ones skipped. None: the connection ended without one.
    pub(crate) fn answer_to(&mut self, method: &str) -> Option<Answer> {
        loop {
            let answer = self.any_answer_to(method)?;
            if answer.status >= 200 || answer.status == 101 {
                return Some(answer);
            }
        }
    }

    /// The next answer, interim ones too.
    pub(crate) fn any_answer_to(&mut self, method: &str) -> Option<Answer> {
        let head = match self.feed.head() {
            Ok(head) => head?,
            Err(error) if timed_out(&error) => panic!("no answer within {PATIENCE:?}"),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                panic!("{error}: {:?}", String::from_utf8_lossy(self.feed.rest()))
            }
            Err(_) => return None,
        };
        let status: u16 = head.word(1).parse().unwrap_or_else(|_| panic!("{}", head.text()));
        let bare = method == "HEAD" || status < 200 || status == 204 || status == 304;
        let framing = if bare {
            Framing::Length(0)
        } else if head.one("transfer-encoding") == Some("chunked") {
            Framing::Chunked
        } else if let Some(length) = head.one("content-length") {
            Framing::Length(length.parse().unwrap())
        } else {
            Framing::UntilClose
        };
        let mut body = Vec::new();
        let complete = match self.feed.body(framing, |piece| body.extend_from_slice(piece)) {
            Ok(()) => true,
            Err(error) if timed_out(&error) => panic!("the body stopped: {}", head.text()),
            Err(_) => false,
        };
        Some(Answer { status, head, body, complete })
    }

    pub(crate) fn answer(&mut self) -> Answer {
        self.answer_to("GET").expect("an answer, not the end of the connection")
    }

    /// Whether the other side closes, with nothing more said; waits as long as the stream's own patience.
    pub(crate) fn closes(&mut self) -> bool {
        loop {
            match self.feed.fill() {
                Ok(0) => return self.feed.rest().is_empty(),
                Ok(_) => {}
                // A reset is a close too: bytes of ours were on their way.
                Err(error) => return !timed_out(&error) && self.feed.rest().is_empty(),
            }
        }
    }

    /// Whether the other side closes, whatever it says before.
    pub(crate) fn closes_after_anything(&mut self) -> bool {
        loop {
            match self.feed.fill() {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) => return !timed_out(&error),
            }
        }
    }

    /// All bytes until the other side closes.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        while matches!(self.feed.fill(), Ok(1..)) {
            // Bounded by the sender: tests only call this where the connection closes.
            if self.feed.rest().len() > 64 << 20 {
                break;
            }
        }
        self.feed.rest().to_vec()
    }
}

pub(crate) fn timed_out(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}
