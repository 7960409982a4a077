//! A caller's body on its way to the upstream: counted, bounded, timed; trailers dropped.
//!
//! Time counts only while we wait for the caller: a body that the upstream does not take yet is nobody's fault here.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::config::Proxy;
use crate::model::Refusal;
use crate::proxy::pulse::Wire;

/// Over how long the rate of a body is averaged.
const RATE_WINDOW: Duration = Duration::from_secs(10);

/// Why a caller's body ended before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyFault {
    TooLarge {
        limit: u64,
    },
    TooSlow,
    /// The connection broke or the framing was wrong.
    Broken,
}

/// What became of a body, shared with those who do not have it: `forward`, which looks here when sending failed, and
/// `handle`, which closes the connection under an upload that is still coming.
#[derive(Debug, Default)]
pub struct Fate {
    fault: Cell<Option<BodyFault>>,
    ended: Cell<bool>,
    bytes: Cell<u64>,
}

impl Fate {
    /// The fate of a body that has no bytes.
    pub fn sealed() -> Self {
        Self { ended: Cell::new(true), ..Self::default() }
    }

    /// Why it ended before its end.
    pub fn get(&self) -> Option<BodyFault> {
        self.fault.get()
    }

    pub(crate) fn set(&self, fault: Option<BodyFault>) {
        self.fault.set(fault);
    }

    /// How many bytes of it came.
    pub fn bytes(&self) -> u64 {
        self.bytes.get()
    }

    /// Whether its last byte came.
    pub fn has_ended(&self) -> bool {
        self.ended.get()
    }
}

/// How fast a body has to come.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// No byte for so long is too slow.
    pub silence: Duration,
    /// Bytes a second, averaged over ten.
    pub min_rate: u64,
}

impl Pace {
    pub fn of(proxy: &Proxy) -> Self {
        Self { silence: proxy.body_timeout, min_rate: proxy.min_body_rate }
    }
}

#[derive(Debug)]
pub struct RequestBody<B = Incoming> {
    inner: B,
    left: u64,
    limit: u64,
    wait: Wait,
    wire: Wire,
    fate: Rc<Fate>,
}

impl<B: Body> RequestBody<B> {
    /// `fate` is where its end will stand; bodies that are known to be empty may share one.
    pub(crate) fn new(inner: B, limit: u64, pace: Pace, wire: Wire, fate: Rc<Fate>) -> Self {
        Self { inner, left: limit, limit, wait: Wait::new(pace), wire, fate }
    }

    /// Where its end will stand.
    pub fn fault(&self) -> Rc<Fate> {
        Rc::clone(&self.fate)
    }

    /// A body with no bytes at all (known before the first poll).
    pub fn is_empty(&self) -> bool {
        self.inner.is_end_stream()
    }

    pub fn content_length(&self) -> Option<u64> {
        self.inner.size_hint().exact()
    }

    fn fail(&self, fault: BodyFault) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        self.fate.set(Some(fault));
        Poll::Ready(Some(Err(fault)))
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for RequestBody<B> {
    type Data = Bytes;
    type Error = BodyFault;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        loop {
            let Poll::Ready(frame) = Pin::new(&mut self.inner).poll_frame(cx) else {
                ready!(self.wait.poll_too_slow(cx));
                return self.fail(BodyFault::TooSlow);
            };
            let data = match frame {
                // Under HTTP/2 hyper takes a reset without an error for an end; only the stream's state tells them apart.
                None if self.wire == Wire::Http2 && !self.inner.is_end_stream() => {
                    return self.fail(BodyFault::Broken);
                }
                None => {
                    self.fate.ended.set(true);
                    return Poll::Ready(None);
                }
                Some(Err(_)) => return self.fail(BodyFault::Broken),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => data,
                    // Trailers: whatever they say, nobody behind us is to believe it.
                    Err(_) => continue,
                },
            };
            let length = u64::try_from(data.len()).unwrap_or(u64::MAX);
            let Some(left) = self.left.checked_sub(length) else {
                let limit = self.limit;
                return self.fail(BodyFault::TooLarge { limit });
            };
            self.left = left;
            self.fate.bytes.set(self.fate.bytes.get().saturating_add(length));
            if self.wait.arrived(length) {
                return self.fail(BodyFault::TooSlow);
            }
            self.fate.ended.set(self.inner.is_end_stream());
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// The time spent waiting for the caller. There is no clock to read for a body that came with its head.
#[derive(Debug)]
struct Wait {
    pace: Pace,
    since: Option<Instant>,
    /// Waited in the current window, and what came in it.
    waited: Duration,
    bytes: u64,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Wait {
    fn new(pace: Pace) -> Self {
        Self { pace, since: None, waited: Duration::ZERO, bytes: 0, timer: None }
    }

    /// Bytes came. True if they came too slowly.
    fn arrived(&mut self, bytes: u64) -> bool {
        self.bytes = self.bytes.saturating_add(bytes);
        if let Some(since) = self.since.take() {
            self.waited += since.elapsed();
        }
        if self.waited < RATE_WINDOW {
            return false;
        }
        let owed = u128::from(self.pace.min_rate) * self.waited.as_millis() / 1000;
        let slow = u128::from(self.bytes) < owed;
        self.waited = Duration::ZERO;
        self.bytes = 0;
        slow
    }

    /// Nothing came; ready once the caller is too slow.
    fn poll_too_slow(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let since = *self.since.get_or_insert_with(Instant::now);
        loop {
            let window = RATE_WINDOW.saturating_sub(self.waited);
            let owed = u128::from(self.pace.min_rate) * RATE_WINDOW.as_millis() / 1000;
            let behind = u128::from(self.bytes) < owed;
            let patience = if behind { window.min(self.pace.silence) } else { self.pace.silence };
            let deadline = since + patience;
            let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
            // Re-armed only when it fires: a body of many frames moves the deadline with each.
            ready!(timer.as_mut().poll(cx));
            if Instant::now() >= deadline {
                return Poll::Ready(());
            }
            timer.as_mut().reset(deadline);
        }
    }
}

impl BodyFault {
    pub fn refusal(&self) -> Refusal {
        match self {
            Self::TooLarge { limit } => Refusal::BodyTooLarge { limit: *limit },
            Self::TooSlow => Refusal::RequestTimeout,
            Self::Broken => Refusal::MalformedRequest("the body ended before its end"),
        }
    }
}

impl std::fmt::Display for BodyFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.refusal().code())
    }
}

impl std::error::Error for BodyFault {}

#[cfg(test)]
mod tests;
