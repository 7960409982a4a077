//! One HTTP/1.1 connection to an upstream, held by whoever uses it; dropped, it is closed at once.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1};
use hyper_util::rt::TokioIo;
use tokio::task::{AbortHandle, spawn_local};

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
    pub(crate) async fn open(transport: Transport) -> Result<Self, Unreached> {
        let (metered, received) = Metered::new(transport);
        let handshake = http1::Builder::new().handshake(TokioIo::new(metered)).await;
        let (sender, driver) = handshake.map_err(|_| Unreached)?;
        let task = spawn_local(async move {
            if let Err(error) = driver.await {
                tracing::debug!(%error, "upstream connection ended");
            }
        });
        let task = task.abort_handle();
        Ok(Self { sender, received, deadline: Deadline::default(), task, single_use: false })
    }

    /// For a WebSocket handshake: whatever comes of it, it is the only request on this connection.
    pub(crate) async fn open_for_upgrade(transport: Transport) -> Result<Self, Unreached> {
        let handshake = http1::Builder::new().handshake(TokioIo::new(transport)).await;
        let (sender, driver) = handshake.map_err(|_| Unreached)?;
        let task = spawn_local(async move {
            if let Err(error) = driver.with_upgrades().await {
                tracing::debug!(%error, "upstream connection ended");
            }
        });
        let (received, task) = (Rc::default(), task.abort_handle());
        Ok(Self { sender, received, deadline: Deadline::default(), task, single_use: true })
    }

    /// Nothing is in flight in either direction, and the upstream has not closed it.
    pub(crate) fn is_idle(&self) -> bool {
        !self.single_use && self.sender.is_ready()
    }

    pub(crate) async fn exchange(
        &mut self,
        request: Request<Outgoing>,
        patience: Duration,
    ) -> Result<Response<Incoming>, Unanswered> {
        let progress = request.body().progress();
        let received_before = self.received.get();
        let answer = self.sender.try_send_request(request);
        self.deadline.after(patience);
        match in_time(answer, &mut self.deadline, progress.as_deref(), patience).await {
            None => Err(Unanswered::Late),
            Some(Ok(response)) => Ok(response),
            Some(Err(error)) => Err(why_unanswered(error, self.received.get() != received_before)),
        }
    }

    /// Begins to count the silence of an answer's body anew.
    pub(crate) fn heard(&mut self, patience: Duration) {
        self.deadline.after(patience);
    }

    /// Ready when the silence has been too long.
    pub(crate) fn poll_silence(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.deadline.poll(cx)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(crate) fn why_unanswered(
    mut error: TrySendError<Request<Outgoing>>,
    anything_came: bool,
) -> Unanswered {
    if let Some(request) = error.take_message() {
        return Unanswered::Unsent(request.into_body());
    }
    if anything_came { Unanswered::Garbled } else { Unanswered::Silent }
}

/// Waits for the answer's head; None when the upstream, and not the caller, was silent for too long.
pub(crate) async fn in_time<T>(
    answer: impl Future<Output = T>,
    deadline: &mut Deadline,
    progress: Option<&Progress>,
    patience: Duration,
) -> Option<T> {
    let mut answer = pin!(answer);
    poll_fn(|cx| {
        if let Poll::Ready(answer) = answer.as_mut().poll(cx) {
            return Poll::Ready(Some(answer));
        }
        while deadline.poll(cx).is_ready() {
            let Some(progress) = progress else { return Poll::Ready(None) };
            match progress.upstreams_turn_since() {
                Some(since) if since.elapsed() >= patience => return Poll::Ready(None),
                Some(since) => deadline.set(since + patience),
                None => deadline.after(patience),
            }
        }
        Poll::Pending
    })
    .await
}
