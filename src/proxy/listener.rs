//! The accept loop of one listening socket: it gives every connection a task and a seat, and never ends before the drain.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::rustls::ServerConfig;

use crate::proxy::connection;
use crate::proxy::snapshot::Snapshot;
use crate::proxy::worker::{BindError, Bound, Worker};

/// How long to wait where there is no file descriptor left.
const BACK_OFF: Duration = Duration::from_millis(50);

/// Which listener of the configuration a connection came through.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Door {
    pub(crate) position: usize,
    pub(crate) configured: SocketAddr,
}

/// How a door is passed.
#[derive(Debug)]
pub(crate) enum Entrance {
    Plain,
    Tls(Arc<ServerConfig>),
    /// The configuration no longer has this door.
    Gone,
}

impl Door {
    /// As the configuration of now has it.
    pub(crate) fn entrance(self, snapshot: &Snapshot) -> Entrance {
        let listeners = &snapshot.config.listen.gateway;
        let is_it = |position: &usize| {
            listeners.get(*position).is_some_and(|listener| listener.address == self.configured)
        };
        let position = Some(self.position).filter(is_it);
        let position = position.or_else(|| (0..listeners.len()).find(is_it));
        match position.and_then(|position| snapshot.tls.get(position)) {
            Some(Some(tls)) => Entrance::Tls(Arc::clone(tls)),
            Some(None) => Entrance::Plain,
            None => Entrance::Gone,
        }
    }
}

/// Accepts until `drain` turns true, then takes what is queued and closes the socket.
pub(crate) fn listen(
    worker: Rc<Worker>,
    position: usize,
    bound: Bound,
    mut drain: watch::Receiver<bool>,
) -> Result<impl Future<Output = ()>, BindError> {
    let door = Door { position, configured: bound.configured };
    let listener = TcpListener::from_std(bound.socket)
        .map_err(|source| BindError { address: bound.configured, source })?;
    Ok(async move {
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                // A sender that is gone means that nobody is left to stop us in order.
                _ = drain.wait_for(|stop| *stop) => break,
            };
            match accepted {
                Ok((stream, peer)) => admit(&worker, door, stream, peer),
                Err(error) if is_exhaustion(&error) => {
                    worker.seats.make_room();
                    tracing::warn!(%error, "connections cannot be accepted");
                    tokio::time::sleep(BACK_OFF).await;
                }
                // The connection was gone before it was accepted.
                Err(_) => tokio::task::yield_now().await,
            }
        }
        take_queued(&worker, door, listener);
    })
}

fn take_queued(worker: &Rc<Worker>, door: Door, listener: TcpListener) {
    let Ok(listener) = listener.into_std() else { return };
    while let Ok((stream, peer)) = listener.accept() {
        let stream = stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream));
        if let Ok(stream) = stream {
            admit(worker, door, stream, peer);
        }
    }
}

fn admit(worker: &Rc<Worker>, door: Door, stream: TcpStream, peer: SocketAddr) {
    let allowed = worker.snapshot.load().config.proxy.max_connections / worker.workers;
    let Some(seated) = worker.seats.take(allowed.max(1), peer.ip()) else {
        return turn_away(worker, door, stream);
    };
    let seat = Rc::clone(&seated.seat);
    let serving = connection::serve(Rc::clone(worker), seated, door, stream, peer);
    seat.abort_with(tokio::task::spawn_local(serving).abort_handle());
}

/// Says why there is no seat, where that costs little: not after a TLS handshake, the dearest part of a connection.
fn turn_away(worker: &Rc<Worker>, door: Door, stream: TcpStream) {
    let Ok(place) = Arc::clone(&worker.farewells).try_acquire_owned() else { return };
    if !matches!(door.entrance(&worker.snapshot.load()), Entrance::Plain) {
        return;
    }
    let worker = Rc::clone(worker);
    tokio::task::spawn_local(async move {
        connection::turn_away(&worker, stream).await;
        drop(place);
    });
}

/// No file descriptors, or no memory for one: the connection stays queued.
fn is_exhaustion(error: &io::Error) -> bool {
    const ENOMEM: i32 = 12;
    const ENFILE: i32 = 23;
    const EMFILE: i32 = 24;
    const ENOBUFS: i32 = 105;
    matches!(error.raw_os_error(), Some(ENOMEM | ENFILE | EMFILE | ENOBUFS))
}
