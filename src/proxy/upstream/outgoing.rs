//! A request's body on its way to the upstream, telling how far it has come.
//!
//! Whoever waits for the answer must know whose turn it is: while the caller is still sending, its own timers hold;
//! once bytes were there and the upstream did not take them, or all were sent, the upstream's time runs.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use tokio::time::Instant;

use crate::proxy::body::request::Fate;
use crate::proxy::body::{BodyFault, RequestBody};

#[derive(Debug)]
pub(crate) struct Outgoing {
    source: Source,
    progress: Option<Rc<Progress>>,
}

#[derive(Debug)]
enum Source {
    Empty,
    /// All of it is here.
    Whole(Bytes),
    /// In a box, because requests are moved often and most have no body.
    Caller(Box<RequestBody>),
    #[cfg(test)]
    Scripted(Scripted),
}

/// Where the upload stands.
#[derive(Debug)]
pub(crate) struct Progress {
    /// The caller's next bytes are waited for.
    waiting: Cell<bool>,
    moved: Cell<Instant>,
}

impl Progress {
    /// Since when it has been the upstream's turn; None while it is the caller's.
    pub(crate) fn upstreams_turn_since(&self) -> Option<Instant> {
        (!self.waiting.get()).then(|| self.moved.get())
    }

    fn note(&self, waiting: bool) {
        self.waiting.set(waiting);
        self.moved.set(Instant::now());
    }
}

impl Outgoing {
    pub(crate) fn empty() -> Self {
        Self { source: Source::Empty, progress: None }
    }

    pub(crate) fn from_caller(body: RequestBody) -> Self {
        if body.is_empty() { Self::empty() } else { Self::tracked(Source::Caller(Box::new(body))) }
    }

    fn tracked(source: Source) -> Self {
        let progress = Progress { waiting: Cell::new(false), moved: Cell::new(Instant::now()) };
        Self { source, progress: Some(Rc::new(progress)) }
    }

    pub(crate) fn is_empty(&self) -> bool {
        matches!(self.source, Source::Empty)
    }

    /// Nothing of it is still to come.
    pub(crate) fn is_whole(&self) -> bool {
        matches!(self.source, Source::Empty | Source::Whole(_))
    }

    /// What is here of it, without taking it.
    pub(crate) fn whole(&self) -> &[u8] {
        if let Source::Whole(bytes) = &self.source { bytes } else { &[] }
    }

    /// Waits for a body of at most so many bytes to be here whole, so that it needs no upstream before, and leaves with its head.
    /// What cannot be that short is left to come later. False: it ended before its end, and its fate says why.
    pub(crate) async fn gather(&mut self, most: usize) -> bool {
        let length = self.content_length().and_then(|length| usize::try_from(length).ok());
        let Some(length) = length.filter(|length| *length <= most && !self.is_whole()) else {
            return true;
        };
        let mut gathered = BytesMut::new();
        while let Some(frame) = poll_fn(|cx| Pin::new(&mut *self).poll_frame(cx)).await {
            let Ok(data) = frame.map(|frame| frame.into_data().unwrap_or_default()) else {
                return false;
            };
            if data.len() == length {
                gathered = data.into();
                break;
            }
            gathered.extend_from_slice(&data);
            if gathered.len() >= length {
                break;
            }
        }
        let is_whole = gathered.len() == length;
        *self = Self { source: Source::Whole(gathered.freeze()), progress: None };
        is_whole
    }

    pub(crate) fn content_length(&self) -> Option<u64> {
        match &self.source {
            Source::Empty => Some(0),
            Source::Whole(bytes) => Some(bytes.len() as u64),
            Source::Caller(body) => body.content_length(),
            #[cfg(test)]
            Source::Scripted(script) => script.length,
        }
    }

    /// Where a fault of the caller's will stand.
    pub(crate) fn fault(&self) -> Option<Rc<Fate>> {
        match &self.source {
            Source::Empty | Source::Whole(_) => None,
            Source::Caller(body) => Some(body.fault()),
            #[cfg(test)]
            Source::Scripted(script) => Some(script.fault.clone()),
        }
    }

    /// None where there is nothing to upload.
    pub(crate) fn progress(&self) -> Option<Rc<Progress>> {
        self.progress.clone()
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = BodyFault;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        let this = self.get_mut();
        let polled = match &mut this.source {
            Source::Empty => return Poll::Ready(None),
            Source::Whole(bytes) => {
                let bytes = std::mem::take(bytes);
                this.source = Source::Empty;
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
            Source::Caller(body) => Pin::new(&mut **body).poll_frame(cx),
            #[cfg(test)]
            Source::Scripted(script) => script.frames.poll_recv(cx),
        };
        if let Some(progress) = &this.progress {
            progress.note(polled.is_pending());
        }
        match ready!(polled) {
            // Trailers end the body: they are never passed on.
            Some(Ok(frame)) if frame.is_trailers() => Poll::Ready(None),
            other => Poll::Ready(other),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Empty => true,
            Source::Whole(bytes) => bytes.is_empty(),
            Source::Caller(body) => body.is_end_stream(),
            #[cfg(test)]
            Source::Scripted(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Empty => SizeHint::with_exact(0),
            Source::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Source::Caller(body) => body.size_hint(),
            #[cfg(test)]
            Source::Scripted(script) => {
                script.length.map_or_else(SizeHint::default, SizeHint::with_exact)
            }
        }
    }
}

impl Drop for Outgoing {
    /// Bodies of a known length are let go at their last byte, without being asked for the end.
    fn drop(&mut self) {
        if let Some(progress) = &self.progress {
            progress.note(false);
        }
    }
}

/// What a test plays the caller with.
#[cfg(test)]
#[derive(Debug)]
pub(crate) struct Scripted {
    pub(crate) frames: tokio::sync::mpsc::Receiver<Result<Frame<Bytes>, BodyFault>>,
    pub(crate) length: Option<u64>,
    pub(crate) fault: Rc<Fate>,
}

#[cfg(test)]
impl From<Scripted> for Outgoing {
    fn from(script: Scripted) -> Self {
        Self::tracked(Source::Scripted(script))
    }
}
