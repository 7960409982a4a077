//! What is sent to the caller: bytes of our own, or an upstream's body as it comes.
//!
//! Nothing is buffered: the caller's pace is the upstream's pace. An answer that breaks off, or is silent for longer than
//! `response_timeout`, ends in an error, so that the caller's connection is aborted and a part is never taken for the whole.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use hyper::body::Incoming;

use crate::model::Refusal;
use crate::proxy::upstream::http1::Broken;
use crate::proxy::upstream::outgoing::Progress;
use crate::proxy::upstream::pool::{Carrier, Lane};

/// Trailers are dropped. While an upstream's body is running it holds its connection; at its end the connection goes
/// back to the pool; dropped before its end, the connection is closed.
#[derive(Debug)]
pub enum ResponseBody {
    Own(Full<Bytes>),
    /// In a box, because answers are moved often and short ones are whole already.
    Upstream(Box<UpstreamBody>),
}

#[derive(Debug)]
pub struct UpstreamBody {
    /// Where hyper has the connection; else it comes from there itself.
    incoming: Option<Incoming>,
    /// Taken from the upstream, and not yet by the caller.
    ahead: Option<Bytes>,
    lease: Option<Lease>,
    patience: Duration,
}

/// A connection in use, and where it came from.
#[derive(Debug)]
pub(crate) struct Lease {
    pub(crate) lane: Rc<Lane>,
    pub(crate) endpoint: usize,
    pub(crate) carrier: Carrier,
    /// Of the upload, which may be going on while the answer comes.
    pub(crate) progress: Option<Rc<Progress>>,
}

/// Why an upstream's body ended before its end: the caller's connection is aborted then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BrokenOff {
    #[error("the upstream's answer broke off")]
    Broken,
    #[error("the upstream's answer fell silent")]
    Silent,
}

impl BrokenOff {
    /// What it would have been, had it come before the answer began.
    pub fn refusal(self) -> Refusal {
        match self {
            Self::Broken => Refusal::UpstreamProtocolError,
            Self::Silent => Refusal::UpstreamTimeout,
        }
    }
}

impl ResponseBody {
    pub fn empty() -> Self {
        Self::Own(Full::default())
    }
}

impl Lease {
    pub(crate) fn end(self) {
        self.lane.take_back(self.endpoint, self.carrier);
    }
}

impl UpstreamBody {
    pub(crate) fn new(incoming: Option<Incoming>, lease: Lease, patience: Duration) -> Self {
        Self { incoming, ahead: None, lease: Some(lease), patience }
    }

    /// The silence is counted anew: a first byte has come, and more are waited for.
    pub(crate) fn heard(&mut self) {
        if let Some(lease) = &mut self.lease {
            lease.carrier.deadline().after(self.patience);
        }
    }

    /// Takes the first bytes without waiting; true once they are all there are and the connection is free again.
    pub(crate) fn poll_ahead(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BrokenOff>> {
        if self.ahead.is_some() || self.lease.is_none() {
            return Poll::Ready(Ok(()));
        }
        self.poll_incoming(cx).map(|data| {
            self.ahead = data.transpose()?;
            Ok(())
        })
    }

    /// The whole body, if all of it has come already.
    pub(crate) fn into_whole(self) -> Result<Bytes, Self> {
        if self.lease.is_some() { Err(self) } else { Ok(self.ahead.unwrap_or_default()) }
    }

    /// What comes, until the upstream was silent for too long.
    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BrokenOff>>> {
        let data = self.poll_incoming(cx);
        if data.is_pending()
            && let Some(Lease { carrier, progress, .. }) = &mut self.lease
            && carrier.deadline().poll_turn(cx, progress.as_deref(), self.patience).is_ready()
        {
            tracing::debug!("upstream answer fell silent");
            return self.break_off(BrokenOff::Silent);
        }
        data
    }

    fn poll_incoming(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BrokenOff>>> {
        let Some(lease) = &mut self.lease else { return Poll::Ready(None) };
        match std::task::ready!(poll_carrier(lease, self.incoming.as_mut(), cx)) {
            Some(Ok(data)) => {
                if has_ended(lease, self.incoming.as_ref()) {
                    self.finish();
                } else {
                    lease.carrier.deadline().after(self.patience);
                }
                Poll::Ready(Some(Ok(data)))
            }
            Some(Err(why)) => self.break_off(why),
            None => {
                self.finish();
                Poll::Ready(None)
            }
        }
    }

    /// Nothing of it is still to come.
    pub(crate) fn has_ended(&self) -> bool {
        self.lease.as_ref().is_none_or(|lease| has_ended(lease, self.incoming.as_ref()))
    }

    /// Gives the connection back.
    pub(crate) fn finish(&mut self) {
        if let Some(lease) = self.lease.take() {
            lease.end();
        }
    }

    fn break_off(&mut self, why: BrokenOff) -> Poll<Option<Result<Bytes, BrokenOff>>> {
        self.lease = None;
        Poll::Ready(Some(Err(why)))
    }
}

fn has_ended(lease: &Lease, incoming: Option<&Incoming>) -> bool {
    match (&lease.carrier, incoming) {
        (Carrier::Whole(connection), _) => connection.has_answered(),
        (_, incoming) => incoming.is_none_or(Body::is_end_stream),
    }
}

/// What comes next, wherever it comes from.
fn poll_carrier(
    lease: &mut Lease,
    incoming: Option<&mut Incoming>,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Bytes, BrokenOff>>> {
    let Lease { lane, carrier, .. } = lease;
    let is_shared = carrier.is_shared();
    if let Carrier::Whole(connection) = carrier {
        let data = connection.poll_data(cx, &lane.heard);
        return data.map_err(|Broken| BrokenOff::Broken);
    }
    let Some(incoming) = incoming else { return Poll::Ready(None) };
    loop {
        match std::task::ready!(Pin::new(&mut *incoming).poll_frame(cx)) {
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    return Poll::Ready(Some(Ok(data)));
                }
            }
            Some(Err(error)) => {
                tracing::debug!(%error, "upstream answer broke off");
                return Poll::Ready(Some(Err(BrokenOff::Broken)));
            }
            // HTTP/2 can say that nothing more comes without saying that this was all.
            None if is_shared && !incoming.is_end_stream() => {
                tracing::debug!("upstream answer was reset before its end");
                return Poll::Ready(Some(Err(BrokenOff::Broken)));
            }
            None => return Poll::Ready(None),
        }
    }
}

impl Body for UpstreamBody {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        let this = self.get_mut();
        let data = match this.ahead.take() {
            Some(data) => Some(Ok(data)),
            None => std::task::ready!(this.poll_data(cx)),
        };
        Poll::Ready(data.map(|data| data.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.ahead.is_none() && self.lease.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let rest = match (&self.incoming, &self.lease) {
            (Some(incoming), _) => incoming.size_hint(),
            (None, Some(Lease { carrier: Carrier::Whole(connection), .. })) => {
                connection.size_hint()
            }
            (None, _) => SizeHint::with_exact(0),
        };
        with_more(&rest, self.ahead.as_ref().map_or(0, Bytes::len))
    }
}

/// A hint for a body of which `more` bytes were taken already, and are still to be handed over.
pub(crate) fn with_more(rest: &SizeHint, more: usize) -> SizeHint {
    let more = more as u64;
    let mut hint = SizeHint::new();
    hint.set_lower(rest.lower().saturating_add(more));
    if let Some(upper) = rest.upper() {
        hint.set_upper(upper.saturating_add(more));
    }
    hint
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        match self.get_mut() {
            Self::Own(body) => Pin::new(body).poll_frame(cx).map_err(|never| match never {}),
            Self::Upstream(body) => Pin::new(&mut **body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Own(body) => body.is_end_stream(),
            Self::Upstream(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Own(body) => body.size_hint(),
            Self::Upstream(body) => body.size_hint(),
        }
    }
}
