//! A body that is still coming when its head is sent. It goes on while the answer comes, and whether or not that is read: an
//! upstream may answer as it reads, and who sends need not read before he has sent.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Waker};

use bytes::{Bytes, BytesMut};
use http_body::Body as _;
use tokio::task::{AbortHandle, spawn_local};

use super::Wire;
use crate::proxy::upstream::outgoing::Outgoing;

/// Ends when it is dropped.
#[derive(Debug)]
pub(super) struct Upload {
    state: Rc<State>,
    task: Option<AbortHandle>,
}

#[derive(Debug, Default)]
struct State {
    stage: Cell<Stage>,
    /// Whoever waits for the answer.
    reader: RefCell<Option<Waker>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Running,
    Over,
    /// The upstream takes no more of it. It may answer all the same.
    Refused,
    /// It ended before its end: nothing may come of it.
    Lost,
}

/// Why a body did not reach the upstream.
enum Failure {
    Wire(io::Error),
    Body,
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Wire(error)
    }
}

impl Upload {
    /// One whose head could not be sent.
    pub(super) fn broken() -> Self {
        let state = State { stage: Cell::new(Stage::Refused), ..State::default() };
        Self { state: Rc::new(state), task: None }
    }

    pub(super) fn begin(wire: Rc<Wire>, body: Outgoing) -> Self {
        let state = Rc::new(State::default());
        let told = Rc::clone(&state);
        let task = spawn_local(async move {
            let stage = match send(&wire, body).await {
                Ok(()) => Stage::Over,
                Err(Failure::Body) => Stage::Lost,
                Err(Failure::Wire(error)) => {
                    tracing::debug!(%error, "upstream takes no more of a request");
                    Stage::Refused
                }
            };
            told.stage.set(stage);
            if let Some(reader) = told.reader.take() {
                reader.wake();
            }
        });
        Self { state, task: Some(task.abort_handle()) }
    }

    pub(super) fn is_over(&self) -> bool {
        self.state.stage.get() == Stage::Over
    }

    /// Asks to be woken when that changes.
    pub(super) fn has_lost_its_source(&self, cx: &Context<'_>) -> bool {
        match self.state.stage.get() {
            Stage::Lost => true,
            Stage::Over | Stage::Refused => false,
            Stage::Running => {
                self.state.reader.replace(Some(cx.waker().clone()));
                false
            }
        }
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

/// In chunks, where its length is not known; else exactly so many bytes.
async fn send(wire: &Wire, mut body: Outgoing) -> Result<(), Failure> {
    let mut left = body.content_length();
    while let Some(data) = next(&mut body).await? {
        let length = data.len() as u64;
        match &mut left {
            Some(left) => {
                *left = left.checked_sub(length).ok_or(Failure::Body)?;
                write(wire, data).await?;
            }
            // An empty chunk would be the last one.
            None if length == 0 => {}
            None => {
                // In one piece: three small writes would be three packets.
                let mut chunk = BytesMut::with_capacity(data.len() + 20);
                chunk.extend_from_slice(format!("{length:x}\r\n").as_bytes());
                chunk.extend_from_slice(&data);
                chunk.extend_from_slice(b"\r\n");
                write(wire, chunk.freeze()).await?;
            }
        }
        if left == Some(0) {
            // Let go at its last byte, so that who waits knows that all of it was sent.
            return Ok(());
        }
    }
    match left {
        None => Ok(write(wire, Bytes::from_static(b"0\r\n\r\n")).await?),
        Some(0) => Ok(()),
        Some(_) => Err(Failure::Body),
    }
}

async fn next(body: &mut Outgoing) -> Result<Option<Bytes>, Failure> {
    loop {
        match poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await {
            None => return Ok(None),
            Some(Err(_)) => return Err(Failure::Body),
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
        }
    }
}

async fn write(wire: &Wire, mut bytes: Bytes) -> io::Result<()> {
    poll_fn(|cx| wire.poll_write_all(cx, &mut bytes)).await
}
