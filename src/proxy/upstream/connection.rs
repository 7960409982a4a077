//! One HTTP/1.1 connection to an upstream, held by whoever uses it; dropped, it is closed at once.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1};
use hyper_util::rt::TokioIo;
use pin_project_lite::pin_project;
use tokio::task::{AbortHandle, spawn_local};
use tokio::time::Instant;

use crate::proxy::upstream::berth::Berth;
use crate::proxy::upstream::connect::{Metered, Transport, Unreached};
use crate::proxy::upstream::deadline::Deadline;
use crate::proxy::upstream::outgoing::{Outgoing, Progress};

#[derive(Debug)]
pub(crate) struct Connection {
    sender: http1::SendRequest<Outgoing>,
    received: Rc<Cell<u64>>,
    deadline: Deadline,
    task: AbortHandle,
    /// Made for an upgrade, and never used for a second request.
    single_use: bool,
    _berth: Berth,
}

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

impl Connection {
    pub(crate) async fn open(transport: Transport, berth: Berth) -> Result<Self, Unreached> {
        let (metered, received) = Metered::new(transport);
        let handshake = http1::Builder::new().handshake(TokioIo::new(metered)).await;
        let (sender, driver) = handshake.map_err(|_| Unreached)?;
        let task = spawn_local(async move {
            if let Err(error) = driver.await {
                tracing::debug!(%error, "upstream connection ended");
            }
        });
        let (deadline, task) = (Deadline::default(), task.abort_handle());
        Ok(Self { sender, received, deadline, task, single_use: false, _berth: berth })
    }

    /// For a WebSocket handshake: whatever comes of it, it is the only request on this connection.
    pub(crate) async fn open_for_upgrade(
        transport: Transport,
        berth: Berth,
    ) -> Result<Self, Unreached> {
        let handshake = http1::Builder::new().handshake(TokioIo::new(transport)).await;
        let (sender, driver) = handshake.map_err(|_| Unreached)?;
        let task = spawn_local(async move {
            if let Err(error) = driver.with_upgrades().await {
                tracing::debug!(%error, "upstream connection ended");
            }
        });
        let (received, task) = (Rc::default(), task.abort_handle());
        let deadline = Deadline::default();
        Ok(Self { sender, received, deadline, task, single_use: true, _berth: berth })
    }

    /// Nothing is in flight in either direction, and the upstream has not closed it.
    pub(crate) fn is_idle(&self) -> bool {
        !self.single_use && self.sender.is_ready()
    }

    /// When something was last sent or heard.
    pub(crate) fn last_used(&self) -> Instant {
        self.deadline.counted_from()
    }

    /// No `async fn`, which would keep the request in a future that is moved with every request.
    pub(crate) fn exchange(
        &mut self,
        request: Request<Outgoing>,
        patience: Duration,
    ) -> impl Future<Output = Result<Response<Incoming>, Unanswered>> {
        let progress = request.body().progress();
        let answer = self.sender.try_send_request(request);
        self.deadline.after(patience);
        let received = Some((&*self.received, self.received.get()));
        Awaited { answer, deadline: &mut self.deadline, progress, patience, received }
    }

    pub(crate) fn deadline(&mut self) -> &mut Deadline {
        &mut self.deadline
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pin_project! {
    /// The head of an answer, waited for until the upstream, and not the caller, was silent for too long.
    pub(crate) struct Awaited<'c, F> {
        #[pin]
        pub(crate) answer: F,
        pub(crate) deadline: &'c mut Deadline,
        pub(crate) progress: Option<Rc<Progress>>,
        pub(crate) patience: Duration,
        // Bytes received, and how many there were before the request was sent; known where a connection is not shared.
        pub(crate) received: Option<(&'c Cell<u64>, u64)>,
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
            let anything_came = this.received.is_some_and(|(now, before)| now.get() != before);
            return Poll::Ready(answer.map_err(|error| why_unanswered(error, anything_came)));
        }
        let upload = this.progress.as_deref();
        this.deadline.poll_turn(cx, upload, *this.patience).map(|()| Err(Unanswered::Late))
    }
}

fn why_unanswered(mut error: TrySendError<Request<Outgoing>>, anything_came: bool) -> Unanswered {
    if let Some(request) = error.take_message() {
        return Unanswered::Unsent(request.into_body());
    }
    if anything_came { Unanswered::Garbled } else { Unanswered::Silent }
}
