//! What the requests of one connection have in common, and the token that each of them holds while it is answered.

use std::borrow::Cow;
use std::cell::{Cell, OnceCell, RefCell};
use std::net::IpAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, header};
use http_body::{Body, Frame, SizeHint};

use crate::model::Outcome;
use crate::proxy::body::request::Fate;
use crate::proxy::body::response::{BrokenOff, ResponseBody, with_more};
use crate::proxy::discretion::{self, Issued};
use crate::proxy::open::{Open, Reach, Streams};
use crate::proxy::precedence::{Precedence, Turn};
use crate::proxy::pulse::{Pulse, Wire};
use crate::proxy::recording::{Recording, Slot};
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
    /// Somebody with valid keys calls on this connection, perhaps among others.
    has_valid_keys: Cell<bool>,
    /// The last `User-Agent` that could be kept as it is: all requests of a connection have the same.
    clean_agent: RefCell<Option<HeaderValue>>,
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
            has_valid_keys: Cell::new(false),
            clean_agent: RefCell::default(),
        }
    }

    /// A request with valid keys came.
    pub(crate) fn has_valid_keys(&self, at: Instant) {
        self.has_valid_keys.set(true);
        self.worker.precedence.serves(at);
    }

    /// When a wrong key may be answered; None for at once. On a connection that carries valid keys, too, nobody is held up.
    pub(crate) fn turn_of_a_stranger(&self, at: Instant) -> Option<Turn> {
        if self.has_valid_keys.get() {
            return None;
        }
        Precedence::turn(&self.worker.precedence, at)
    }

    /// A request begins; it ends when the ticket is dropped.
    pub(crate) fn begin(&self, wire: Wire) -> Ticket {
        let position = self.pulse.begin();
        if position == 0 {
            self.worker.seats.settle(&self.seat);
        }
        Ticket {
            position,
            wire,
            pulse: Arc::clone(&self.pulse),
            held: None,
            recording: Slot::default(),
            open: OnceCell::new(),
        }
    }

    /// How the request that is asking can be ended.
    pub(crate) fn reach(&self, wire: Wire) -> Reach {
        let stream = if wire == Wire::Http2 { self.streams.current() } else { None };
        stream.map_or_else(|| Reach::Connection(Rc::clone(&self.seat)), Reach::Stream)
    }

    /// What the caller says it is, as a record keeps it.
    pub(crate) fn user_agent<'a>(&self, parts: &'a Parts, issued: &Issued<'_>) -> Cow<'a, str> {
        let Some(value) = parts.headers.get(header::USER_AGENT) else { return Cow::Borrowed("") };
        if self.clean_agent.borrow().as_ref() == Some(value)
            && let Ok(text) = value.to_str()
        {
            return Cow::Borrowed(text);
        }
        let kept = discretion::clean(value.as_bytes(), issued);
        if matches!(&kept, Cow::Borrowed(_)) {
            self.clean_agent.replace(Some(value.clone()));
        }
        kept
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
    /// Of a request that was let through. Dropped before what is open: it asks that how it ended.
    pub(crate) recording: Slot,
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
        if self.open.get().is_some_and(Open::has_ended) {
            self.recording.with(|recording| recording.failed(Outcome::STANDING_LOST));
        }
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
    /// `is_head`: nothing of the body is sent, whatever there is of it.
    pub(crate) fn new(body: ResponseBody, ticket: Ticket, is_head: bool) -> Self {
        if let Some(open) = ticket.open.get() {
            open.begin();
        }
        let answer = Self { body, ticket, rest: Bytes::new() };
        if is_head || answer.is_whole() {
            answer.ticket.recording.with(Recording::complete);
        }
        answer
    }

    /// Whether all of it was handed over. An upstream of HTTP/2 may say so later than its last byte, and nobody asks again for
    /// the end of an answer whose length was told.
    fn is_whole(&self) -> bool {
        self.is_end_stream() || self.size_hint().exact() == Some(0)
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

impl Answer {
    /// Before the last part is handed over, the record is complete.
    fn record(&self, part: Option<&Result<Frame<Bytes>, BrokenOff>>) {
        self.ticket.recording.with(|recording| match part {
            Some(Ok(frame)) => {
                recording.handed_over(frame.data_ref().map_or(0, Bytes::len));
                if self.is_whole() {
                    recording.complete();
                }
            }
            Some(Err(broken)) => {
                recording.failed(broken.refusal().code());
                recording.complete();
            }
            None => recording.complete(),
        });
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
        if let Poll::Ready(part) = &frame {
            self.ticket.pulse.advance();
            self.ticket.hold();
            self.record(part.as_ref());
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
