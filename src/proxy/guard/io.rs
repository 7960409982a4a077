//! A connection whose bytes are seen by a guard as they are read, and whose writes are timed.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;

use crate::proxy::guard::{h1, h2};
use crate::proxy::pulse::Pulse;
use crate::proxy::sniff::Opening;

#[derive(Debug)]
pub(crate) enum Guard {
    Http1(h1::Guard),
    Http2(h2::Guard),
}

#[derive(Debug)]
pub(crate) struct Guarded<S> {
    io: S,
    /// Bytes that were read before it was known which guard they need.
    opening: Opening,
    guard: Guard,
    /// The head was cut short, and this is left of the end that it was given instead.
    ending: Option<&'static [u8]>,
    pulse: Arc<Pulse>,
    /// Dropped with the connection, wherever it ends: a tunnel outlives its task.
    _alive: oneshot::Sender<()>,
}

impl<S> Guarded<S> {
    /// The receiver resolves when the connection is dropped.
    pub(crate) fn new(
        io: S,
        opening: Opening,
        guard: Guard,
        pulse: Arc<Pulse>,
    ) -> (Self, oneshot::Receiver<()>) {
        let (alive, gone) = oneshot::channel();
        (Self { io, opening, guard, ending: None, pulse, _alive: alive }, gone)
    }

    pub(crate) fn get_ref(&self) -> &S {
        &self.io
    }

    /// The connection itself, no longer guarded.
    pub(crate) fn into_inner(self) -> S {
        self.io
    }

    fn see(&mut self, bytes: &[u8]) -> io::Result<()> {
        if bytes.is_empty() || self.pulse.is_tunnel() {
            return Ok(());
        }
        let (outcome, arriving) = match &mut self.guard {
            Guard::Http1(guard) => {
                let outcome = guard.advance(bytes);
                if let Some((request, flaw)) = guard.flaw() {
                    self.pulse.set_flaw(request, flaw);
                }
                self.pulse.between_requests(guard.is_between_requests());
                (outcome, guard.is_within_head())
            }
            Guard::Http2(guard) => {
                (guard.advance(bytes, self.pulse.progress()), guard.is_within_head())
            }
        };
        self.pulse.head(arriving);
        outcome.map_err(|poisoned| io::Error::new(io::ErrorKind::InvalidData, poisoned))
    }

    /// Ends a head that was cut short. Nothing comes after it: the answer closes the connection.
    fn end(&mut self, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let left = self.ending.unwrap_or_default();
        let Some((now, later)) = left.split_at_checked(left.len().min(buf.remaining())) else {
            return Poll::Pending;
        };
        if now.is_empty() {
            return Poll::Pending;
        }
        buf.put_slice(now);
        self.ending = Some(later);
        Poll::Ready(Ok(()))
    }

    fn wrote<T>(&self, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        self.pulse.writing(outcome.is_pending());
        outcome
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.ending.is_some() {
            return self.end(buf);
        }
        let before = buf.filled().len();
        if !self.opening.replay(buf) {
            ready!(Pin::new(&mut self.io).poll_read(cx, buf))?;
        }
        self.see(buf.filled().get(before..).unwrap_or_default())?;
        let Guard::Http1(guard) = &self.guard else { return Poll::Ready(Ok(())) };
        let Some(surplus) = guard.surplus() else { return Poll::Ready(Ok(())) };
        buf.set_filled(buf.filled().len().saturating_sub(surplus));
        self.ending = Some(b"\r\n");
        self.end(buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.io).poll_write(cx, bytes);
        self.wrote(outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.io).poll_write_vectored(cx, bytes);
        self.wrote(outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.io).poll_flush(cx);
        self.wrote(outcome)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.io).poll_shutdown(cx);
        self.wrote(outcome)
    }
}
