//! The head of an answer, waited for where hyper has the connection; and why a request may have none.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use pin_project_lite::pin_project;

use crate::proxy::upstream::deadline::Deadline;
use crate::proxy::upstream::outgoing::{Outgoing, Progress};

/// Why a request has no answer.
#[derive(Debug)]
pub(crate) enum Unanswered {
    /// No byte of it was written; here is its body again.
    Unsent(Outgoing),
    /// It was sent, wholly or in part, and the connection ended before a byte of an answer.
    Silent,
    /// What came is no HTTP answer.
    Garbled,
    Late,
}

pin_project! {
    /// The head of an answer, waited for until the upstream, and not the caller, was silent for too long.
    pub(crate) struct Awaited<'c, F> {
        #[pin]
        answer: F,
        deadline: &'c mut Deadline,
        progress: Option<Rc<Progress>>,
        patience: Duration,
    }
}

impl<'c, F> Awaited<'c, F> {
    /// From now on, to a request that has just been sent.
    pub(crate) fn begin(
        answer: F,
        deadline: &'c mut Deadline,
        progress: Option<Rc<Progress>>,
        patience: Duration,
    ) -> Self {
        deadline.after(patience);
        Self { answer, deadline, progress, patience }
    }
}

impl<F> Future for Awaited<'_, F>
where
    F: Future<Output = Result<Response<Incoming>, TrySendError<Request<Outgoing>>>>,
{
    type Output = Result<Response<Incoming>, Unanswered>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Poll::Ready(answer) = this.answer.poll(cx) {
            return Poll::Ready(answer.map_err(why_unanswered));
        }
        let upload = this.progress.as_deref();
        this.deadline.poll_turn(cx, upload, *this.patience).map(|()| Err(Unanswered::Late))
    }
}

/// hyper does not say whether a byte of an answer came.
fn why_unanswered(mut error: TrySendError<Request<Outgoing>>) -> Unanswered {
    let unsent = error.take_message();
    unsent.map_or(Unanswered::Silent, |request| Unanswered::Unsent(request.into_body()))
}
