//! One HTTP/1.1 connection to an upstream, and one exchange at a time on it; dropped, it is closed at once.
//!
//! hyper's client gives each connection a task of its own, which a request and its answer pass through channels to reach. Here
//! whoever waits for the answer reads it himself, with hyper's own parser: no task, no channel, and a head that is written once,
//! as the bytes it becomes. Only a body that is still coming when its head is sent has a task ([`upload`]), since it must go on
//! whether or not the answer is being read.
//!
//! What an upstream says is believed as little as hyper believes it, or less ([`head`], [`body`]): an answer whose end could be
//! read in two ways is none. A connection is used again only where the answer has ended, the request was sent whole, nothing
//! came beyond, and its other end is still open.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use http::response::Parts;
use http_body::SizeHint;
use tokio::io::{AsyncRead as _, AsyncReadExt as _, AsyncWrite as _, ReadBuf};
use tokio::time::Instant;

use crate::proxy::upstream::awaited::Unanswered;
use crate::proxy::upstream::berth::Berth;
use crate::proxy::upstream::connect::Transport;
use crate::proxy::upstream::deadline::Deadline;
use crate::proxy::upstream::outgoing::Outgoing;

mod body;
mod head;
mod upload;
pub(crate) mod whole;

use body::{Left, Piece};
use head::{Head, Names};
use upload::Upload;

/// A block that the answers of many connections are read into, one after the other.
const BLOCK: usize = 64 * 1024;
/// What may be said before an answer: one of these would do.
const MOST_HINTS: usize = 16;
/// Where less of it is left, there is a new one.
const LEAST: usize = 8 * 1024;

#[derive(Debug)]
pub(crate) struct Connection {
    wire: Rc<Wire>,
    /// Come, and not yet handed over.
    come: Bytes,
    left: Left,
    names: Names,
    upload: Option<Upload>,
    /// Both sides mean to go on after this answer.
    keeps_alive: bool,
    /// A byte came since the last question.
    has_heard: bool,
    deadline: Deadline,
    _berth: Berth,
}

/// Borrowed only while something is read or written, never across a wait: an upload writes while the answer is read.
#[derive(Debug)]
struct Wire(RefCell<Transport>);

/// What is asked.
#[derive(Debug)]
pub(crate) struct Question<'q> {
    /// The head, and the body where it is there already.
    pub(crate) bytes: Bytes,
    pub(crate) is_head: bool,
    pub(crate) patience: Duration,
    /// Where answers are read into.
    pub(crate) block: &'q RefCell<BytesMut>,
}

/// The answer's body ended before its end, or cannot be read.
#[derive(Debug)]
pub(crate) struct Broken;

impl Wire {
    fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match ready!(Pin::new(&mut *self.0.borrow_mut()).poll_write(cx, bytes))? {
            0 => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            written => Poll::Ready(Ok(written)),
        }
    }

    /// All of it, to the socket.
    fn poll_write_all(&self, cx: &mut Context<'_>, bytes: &mut Bytes) -> Poll<io::Result<()>> {
        while !bytes.is_empty() {
            let written = ready!(self.poll_write(cx, bytes))?;
            bytes.advance(written);
        }
        Pin::new(&mut *self.0.borrow_mut()).poll_flush(cx)
    }
}

/// Lets everything else that is ready run first. So the requests of one turn are all read before the first of them is written,
/// and an upstream on the same machine is woken once for all of them, not once for each: waking it is what writing costs most
/// (docs/measurements.md, "Faster per core"). tokio's `yield_now` would wait for the next look at the sockets, too.
async fn behind_the_others() {
    let mut has_waited = false;
    poll_fn(|cx| {
        if has_waited {
            return Poll::Ready(());
        }
        has_waited = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

impl Connection {
    pub(crate) fn new(transport: Transport, berth: Berth) -> Self {
        Self {
            wire: Rc::new(Wire(RefCell::new(transport))),
            come: Bytes::new(),
            left: Left::Nothing,
            names: Names::default(),
            upload: None,
            keeps_alive: true,
            has_heard: false,
            deadline: Deadline::default(),
            _berth: berth,
        }
    }

    /// Nothing is in flight in either direction.
    pub(crate) fn is_done(&self) -> bool {
        self.keeps_alive
            && self.left.is_over()
            && self.come.is_empty()
            && self.upload.as_ref().is_none_or(Upload::is_over)
    }

    /// It is done, and the upstream has neither closed it nor said anything unasked.
    pub(crate) fn is_idle(&mut self) -> bool {
        let mut byte = [0];
        let mut unasked = ReadBuf::new(&mut byte);
        let mut nobody = Context::from_waker(Waker::noop());
        let mut transport = self.wire.0.borrow_mut();
        self.is_done()
            && Pin::new(&mut *transport).poll_read(&mut nobody, &mut unasked).is_pending()
    }

    /// When something was last sent or heard.
    pub(crate) fn last_used(&self) -> Instant {
        self.deadline.counted_from()
    }

    pub(crate) fn deadline(&mut self) -> &mut Deadline {
        &mut self.deadline
    }

    /// `body` is what the bytes of the question do not have; once one of those was sent, it is sent after them.
    pub(crate) async fn exchange(
        &mut self,
        question: Question<'_>,
        body: Outgoing,
    ) -> Result<Parts, Unanswered> {
        let progress = body.progress();
        let patience = question.patience;
        self.deadline.after(patience);
        (self.keeps_alive, self.has_heard, self.upload) = (false, false, None);
        let Question { mut bytes, is_head, block, .. } = question;
        let length = bytes.len();
        behind_the_others().await;
        let sent = poll_fn(|cx| {
            if let Poll::Ready(sent) = self.wire.poll_write_all(cx, &mut bytes) {
                return Poll::Ready(Some(sent));
            }
            self.deadline.poll_turn(cx, progress.as_deref(), patience).map(|()| None)
        });
        match sent.await {
            None => return Err(Unanswered::Late),
            // Under TLS records may have left before it failed.
            Some(Err(_)) if bytes.len() == length && !self.wire.0.borrow().is_tls() => {
                return Err(Unanswered::Unsent(body));
            }
            // It may have answered without having read all of it.
            Some(Err(_)) => self.upload = Some(Upload::broken()),
            Some(Ok(())) if body.is_whole() => drop((bytes, body)),
            Some(Ok(())) => self.upload = Some(Upload::begin(Rc::clone(&self.wire), body)),
        }
        let mut hints = 0;
        let answer = poll_fn(|cx| match self.poll_head(cx, is_head, block, &mut hints) {
            Poll::Pending => {
                let late = self.deadline.poll_turn(cx, progress.as_deref(), patience);
                late.map(|()| Err(Unanswered::Late))
            }
            answered @ Poll::Ready(_) => answered,
        });
        answer.await
    }

    fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        is_head: bool,
        block: &RefCell<BytesMut>,
        hints: &mut usize,
    ) -> Poll<Result<Parts, Unanswered>> {
        loop {
            match self.take_head(is_head, hints) {
                Ok(Some(parts)) => return Poll::Ready(Ok(parts)),
                Ok(None) => {}
                Err(Broken) => return Poll::Ready(Err(Unanswered::Garbled)),
            }
            match self.poll_more(cx, block) {
                Poll::Ready(Ok(true)) => {}
                Poll::Ready(Ok(false) | Err(_)) if self.has_heard => {
                    return Poll::Ready(Err(Unanswered::Garbled));
                }
                Poll::Ready(Ok(false) | Err(_)) => return Poll::Ready(Err(Unanswered::Silent)),
                Poll::Pending if self.has_lost_its_body(cx) => {
                    return Poll::Ready(Err(Unanswered::Silent));
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// None: there is more of it to come. What is said before the answer (100, 103) is nobody's; without end, it is none.
    fn take_head(&mut self, is_head: bool, hints: &mut usize) -> Result<Option<Parts>, Broken> {
        while !self.come.is_empty() {
            let read = head::read(&self.come, is_head, &mut self.names)?;
            let Some(Head { parts, length, left, keeps_alive }) = read else { return Ok(None) };
            self.come.advance(length);
            let status = parts.status;
            if status.is_informational() && status != head::UPGRADED {
                *hints += 1;
                if *hints > MOST_HINTS {
                    return Err(Broken);
                }
                continue;
            }
            (self.left, self.keeps_alive) = (left, keeps_alive);
            return Ok(Some(parts));
        }
        Ok(None)
    }

    /// What comes next of the answer's body; None at its end.
    pub(crate) fn poll_data(
        &mut self,
        cx: &mut Context<'_>,
        block: &RefCell<BytesMut>,
    ) -> Poll<Option<Result<Bytes, Broken>>> {
        loop {
            match self.left.take(&mut self.come) {
                Ok(Piece::Data(data)) => return Poll::Ready(Some(Ok(data))),
                Ok(Piece::End) => return Poll::Ready(None),
                Ok(Piece::Later) => {}
                Err(broken) => return Poll::Ready(Some(Err(broken))),
            }
            match self.poll_more(cx, block) {
                Poll::Ready(Ok(true)) => {}
                Poll::Ready(Ok(false)) if self.left.ends_with_the_connection() => {
                    self.left = Left::Nothing;
                    return Poll::Ready(None);
                }
                Poll::Ready(Ok(false) | Err(_)) => return Poll::Ready(Some(Err(Broken))),
                Poll::Pending if self.has_lost_its_body(cx) => {
                    return Poll::Ready(Some(Err(Broken)));
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// The answer has ended.
    pub(crate) fn has_answered(&self) -> bool {
        self.left.is_over()
    }

    /// Of what is left of the answer.
    pub(crate) fn size_hint(&self) -> SizeHint {
        self.left.length().map_or_else(SizeHint::default, SizeHint::with_exact)
    }

    /// False at the end of the connection.
    fn poll_more(
        &mut self,
        cx: &mut Context<'_>,
        block: &RefCell<BytesMut>,
    ) -> Poll<io::Result<bool>> {
        let mut block = block.borrow_mut();
        if block.capacity() < LEAST {
            block.reserve(BLOCK);
        }
        let mut transport = self.wire.0.borrow_mut();
        let read = ready!(pin!(transport.read_buf(&mut *block)).poll(cx))?;
        self.has_heard |= read > 0;
        let came = block.split().freeze();
        self.come = if self.come.is_empty() {
            came
        } else {
            let mut both = BytesMut::with_capacity(self.come.len() + came.len());
            both.extend_from_slice(&self.come);
            both.extend_from_slice(&came);
            both.freeze()
        };
        Poll::Ready(Ok(read > 0))
    }

    fn has_lost_its_body(&self, cx: &Context<'_>) -> bool {
        self.upload.as_ref().is_some_and(|upload| upload.has_lost_its_source(cx))
    }
}

#[cfg(test)]
mod tests;
