//! HTTP/2 connections to https endpoints that offer it: shared by the requests of one worker, a bounded number on each.

use std::cell::Cell;
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::task::{AbortHandle, spawn_local};
use tokio::time::Instant;

use crate::proxy::upstream::awaited::{Awaited, Unanswered};
use crate::proxy::upstream::berth::Berth;
use crate::proxy::upstream::connect::{Transport, Unreached};
use crate::proxy::upstream::deadline::Deadline;
use crate::proxy::upstream::outgoing::Outgoing;

const MAX_STREAMS: usize = 100;
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 4 * 1024 * 1024;
const PING_INTERVAL: Duration = Duration::from_secs(15);
const PING_PATIENCE: Duration = Duration::from_secs(10);

/// One connection, as its worker keeps it; closed when dropped.
#[derive(Debug)]
pub(crate) struct Multiplexed {
    sender: http2::SendRequest<Outgoing>,
    streams: Rc<Cell<usize>>,
    used: Cell<Instant>,
    task: Rc<Task>,
}

#[derive(Debug)]
struct Task(AbortHandle, #[expect(dead_code, reason = "held for its drop")] Berth);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A place on a connection, held from the request to the end of its answer.
#[derive(Debug)]
pub(crate) struct Stream {
    sender: http2::SendRequest<Outgoing>,
    streams: Rc<Cell<usize>>,
    deadline: Deadline,
    /// The connection lives as long as its last stream, even when the pool has let it go.
    _task: Rc<Task>,
}

/// Runs what hyper spawns on the worker's own thread.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OnThisThread;

impl<F: Future + 'static> hyper::rt::Executor<F> for OnThisThread {
    fn execute(&self, future: F) {
        spawn_local(async move {
            future.await;
        });
    }
}

impl Multiplexed {
    pub(crate) async fn open(transport: Transport, berth: Berth) -> Result<Self, Unreached> {
        let handshake = http2::Builder::new(OnThisThread)
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_PATIENCE)
            .handshake(TokioIo::new(transport));
        let (sender, driver) = handshake.await.map_err(|_| Unreached)?;
        let task = spawn_local(async move {
            if let Err(error) = driver.await {
                tracing::debug!(%error, "upstream connection ended");
            }
        });
        let task = Rc::new(Task(task.abort_handle(), berth));
        Ok(Self { sender, streams: Rc::default(), used: Cell::new(Instant::now()), task })
    }

    pub(crate) fn is_open(&self) -> bool {
        !self.sender.is_closed()
    }

    pub(crate) fn is_worth_keeping(&self, longest: Duration) -> bool {
        self.is_open() && (self.streams.get() > 0 || self.used.get().elapsed() < longest)
    }

    pub(crate) fn stream(&self) -> Option<Stream> {
        let taken = self.streams.get();
        (self.is_open() && taken < MAX_STREAMS).then(|| {
            self.streams.set(taken + 1);
            self.used.set(Instant::now());
            Stream {
                sender: self.sender.clone(),
                streams: Rc::clone(&self.streams),
                deadline: Deadline::default(),
                _task: Rc::clone(&self.task),
            }
        })
    }
}

impl Stream {
    pub(crate) fn exchange(
        &mut self,
        request: Request<Outgoing>,
        patience: Duration,
    ) -> impl Future<Output = Result<Response<Incoming>, Unanswered>> {
        let progress = request.body().progress();
        let answer = self.sender.try_send_request(request);
        Awaited::begin(answer, &mut self.deadline, progress, patience)
    }

    pub(crate) fn deadline(&mut self) -> &mut Deadline {
        &mut self.deadline
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.streams.set(self.streams.get().saturating_sub(1));
    }
}
