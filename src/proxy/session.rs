//! What the requests of one connection have in common, and the token that each of them holds while it is answered.

use std::net::IpAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::proxy::body::request::Fate;
use crate::proxy::body::response::{BrokenOff, ResponseBody};
use crate::proxy::pulse::Pulse;
use crate::proxy::worker::Worker;

#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) worker: Rc<Worker>,
    pub(crate) pulse: Arc<Pulse>,
    pub(crate) peer: IpAddr,
    pub(crate) https: bool,
    /// The fate of all bodies that have no bytes.
    sealed: Rc<Fate>,
}

impl Session {
    pub(crate) fn new(worker: Rc<Worker>, pulse: &Arc<Pulse>, peer: IpAddr, https: bool) -> Self {
        Self { worker, pulse: Arc::clone(pulse), peer, https, sealed: Rc::new(Fate::sealed()) }
    }

    /// A request begins; it ends when the ticket is dropped.
    pub(crate) fn begin(&self) -> Ticket {
        Ticket { position: self.pulse.begin(), pulse: Arc::clone(&self.pulse) }
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
    pulse: Arc<Pulse>,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.pulse.end();
    }
}

/// An answer's body, which keeps the request counted as running until it has ended.
#[derive(Debug)]
pub(crate) struct Answer {
    body: ResponseBody,
    ticket: Ticket,
}

impl Answer {
    pub(crate) fn new(body: ResponseBody, ticket: Ticket) -> Self {
        Self { body, ticket }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if frame.is_ready() {
            self.ticket.pulse.advance();
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
