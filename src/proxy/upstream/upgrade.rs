//! A connection for a WebSocket handshake, which hyper hands over if the upstream agrees; dropped, it is closed at once.

use std::future::Future;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::task::{AbortHandle, spawn_local};

use crate::proxy::upstream::awaited::{Awaited, Unanswered};
use crate::proxy::upstream::berth::Berth;
use crate::proxy::upstream::connect::{Transport, Unreached};
use crate::proxy::upstream::deadline::Deadline;
use crate::proxy::upstream::outgoing::Outgoing;

/// Whatever comes of the handshake, it is the only request on it.
#[derive(Debug)]
pub(crate) struct Upgradeable {
    sender: http1::SendRequest<Outgoing>,
    deadline: Deadline,
    task: AbortHandle,
    _berth: Berth,
}

impl Upgradeable {
    pub(crate) async fn open(transport: Transport, berth: Berth) -> Result<Self, Unreached> {
        let handshake = http1::Builder::new().handshake(TokioIo::new(transport)).await;
        let (sender, driver) = handshake.map_err(|_| Unreached)?;
        let task = spawn_local(async move {
            if let Err(error) = driver.with_upgrades().await {
                tracing::debug!(%error, "upstream connection ended");
            }
        });
        let deadline = Deadline::default();
        Ok(Self { sender, deadline, task: task.abort_handle(), _berth: berth })
    }

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

impl Drop for Upgradeable {
    fn drop(&mut self) {
        self.task.abort();
    }
}
