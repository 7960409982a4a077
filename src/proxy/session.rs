//! What the requests of one connection have in common, and the token that each of them holds while it is answered.

use std::cell::OnceCell;
use std::net::IpAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::proxy::body::request::Fate;
use crate::proxy::body::response::{BrokenOff, ResponseBody, with_more};
use crate::proxy::open::{Open, Reach, Streams};
use crate::proxy::pulse::{Pulse, Wire};
use crate::proxy::seats::Seat;
use crate::proxy::worker::Worker;

#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) worker: Rc<Worker>,
    pub(crate) pulse: Arc<Pulse>,
    pub(crate) seat: Rc<Seat>,
    /// Of HTTP/2.
    pub(crate) streams: Streams,
    pub(crate) peer: IpAddr,
    pub(crate) https: bool,
    /// The fate of all bodies that have no bytes.
    sealed: Rc<Fate>,
}

impl Session {
    pub(crate) fn new(worker: Rc<Worker>, seat: &Rc<Seat>, peer: IpAddr, https: bool) -> Self {
        Self {
            worker,
            pulse: Arc::clone(&seat.pulse),
            seat: Rc::clone(seat),
            streams: Streams::default(),
            peer,
            https,
            sealed: Rc::new(Fate::sealed()),
        }
    }

    /// A request begins; it ends when the ticket is dropped.
    pub(crate) fn begin(&self, wire: Wire) -> Ticket {
        let position = self.pulse.begin();
        if position == 0 {
            self.worker.seats.settle(&self.seat);
        }
        Ticket { position, wire, pulse: Arc::clone(&self.pulse), held: None, open: OnceCell::new() }
    }

    /// How the request that is asking can be ended.
    pub(crate) fn reach(&self, wire: Wire) -> Reach {
        let stream = if wire == Wire::Http2 { self.streams.current() } else { None };
        stream.map_or_else(|| Reach::Connection(Rc::clone(&self.seat)), Reach::Stream)
    }

    /// Where it will stand what became of a body.
    pub(crate) fn fate(&self, empty: bool) -> Rc<Fate> {
        if empty { Rc::clone(&self.sealed) } else { Rc::default() }
    }
}

#[derive(Debug)]
pub(crate) struct Ticket {
    /// Among the requests of the connection.
    pub(crate) position: u64,
    pub(crate) wire: Wire,
    pulse: Arc<Pulse>,
    /// Since when the stream has a part of the answer.
    held: Option<u64>,
    /// Of a request that was admitted by its keys.
    pub(crate) open: OnceCell<Open>,
}

impl Ticket {
    /// The stream comes for the next part of its answer. HTTP/1 has no streams: there the write that waits says so.
    fn come_back(&mut self) {
        if let Some(since) = self.held.take() {
            self.pulse.let_go(self.position, since);
        }
    }

    /// The stream has a part of its answer.
    fn hold(&mut self) {
        if self.wire == Wire::Http2 {
            self.held = Some(self.pulse.hold(self.position));
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.come_back();
        self.pulse.end();
    }
}

/// An answer's body, which keeps the request counted as running until it has ended.
#[derive(Debug)]
pub(crate) struct Answer {
    body: ResponseBody,
    ticket: Ticket,
    /// Of a part that was too long to hand over at once.
    rest: Bytes,
}

/// HTTP/2 takes an answer as its window opens, and whether it is being taken shows only when the next piece is asked for:
/// pieces this small show it for readers of a few KiB a second.
const PIECE: usize = 16 * 1024;

impl Answer {
    pub(crate) fn new(body: ResponseBody, ticket: Ticket) -> Self {
        if let Some(open) = ticket.open.get() {
            open.begin();
        }
        Self { body, ticket, rest: Bytes::new() }
    }

    fn next_part(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        let part = if self.rest.is_empty() {
            match std::task::ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) if self.ticket.wire == Wire::Http2 => frame.into_data(),
                other => return Poll::Ready(other),
            }
        } else {
            Ok(std::mem::take(&mut self.rest))
        };
        Poll::Ready(Some(Ok(part.map_or_else(
            |trailers| trailers,
            |mut part| {
                if part.len() > PIECE {
                    self.rest = part.split_off(PIECE);
                }
                Frame::data(part)
            },
        ))))
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        self.ticket.come_back();
        let frame = self.next_part(cx);
        if frame.is_ready() {
            self.ticket.pulse.advance();
            self.ticket.hold();
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        with_more(&self.body.size_hint(), self.rest.len())
    }
}
