//! One worker: a thread, its runtime, its listeners, its connections, its pools.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinError;
use tokio::time::MissedTickBehavior;

use crate::auth::verifier::{Remembered, Verifier};
use crate::config::Config;
use crate::journal::Lane;
use crate::proxy::limiting::{Limiting, LimitsOfNode};
use crate::proxy::listener;
use crate::proxy::open::{LOOK, Openings};
use crate::proxy::precedence::Precedence;
use crate::proxy::recording::Recorder;
use crate::proxy::seats::Seats;
use crate::proxy::snapshot::Snapshot;
use crate::proxy::upstream::Pools;
use crate::registry::Registry;
use crate::telemetry::clock::Clock;
use crate::telemetry::metrics::WorkerCells;

/// How many connections may wait to be accepted; the kernel cuts it at `somaxconn`.
const BACKLOG: i32 = 4096;
/// How many connections beyond the cap are told so at once; a flood of them is closed without a word.
const FAREWELLS: usize = 64;

/// What the system may hold of an answer before it is on its way, on every connection that is accepted. Without a bound
/// it takes megabytes, and says that there is room again only when a third of them went: a caller who reads steadily
/// but slowly then looks like one who does not read.
#[cfg(any(target_os = "android", target_os = "linux"))]
const UNSENT: u32 = 128 << 10;

/// How long a worker that begins looks for those whom it counts with, before it serves anybody.
const SHARING: Duration = Duration::from_secs(1);

/// A snapshot as a worker lends it to its requests: the inner count is shared by all workers, the outer is its own.
pub(crate) type Lent = Rc<Arc<Snapshot>>;

/// What all workers share to know who is calling.
#[derive(Clone, Debug)]
pub struct Keys {
    pub registry: Arc<Registry>,
    pub verifier: Arc<Verifier>,
}

/// What every task of a worker's thread may reach, behind an `Rc`.
#[derive(Debug)]
pub struct Worker {
    /// What every request is judged by; replaced at a reload and at every change of the registry.
    pub snapshot: Arc<ArcSwap<Snapshot>>,
    latest: RefCell<Lent>,
    pub(crate) keys: Keys,
    /// Of keys that were verified.
    pub(crate) remembered: Remembered,
    pub(crate) clock: Clock,
    /// Where its records go.
    pub(crate) recorder: Recorder,
    /// What requests may take, and have taken.
    pub(crate) limiting: Limiting,
    /// Who is served before whom.
    pub(crate) precedence: Rc<Precedence>,
    /// What is still running is cut off now.
    pub(crate) is_ending: Cell<bool>,
    /// What was admitted and goes on.
    pub(crate) openings: Rc<Openings>,
    /// What this worker counts.
    pub cells: Arc<WorkerCells>,
    /// Its connections to the upstreams.
    pub pools: Pools,
    /// For request ids and trace ids; seeded from the operating system.
    pub rng: RefCell<fastrand::Rng>,
    pub(crate) seats: Rc<Seats>,
    /// Room for those who have no seat and are told so.
    pub(crate) farewells: Arc<Semaphore>,
    /// Limits of the whole gateway are divided among so many.
    pub(crate) workers: usize,
}

impl Worker {
    /// The snapshot of now, lent by this worker: its own count of references is written by all of them.
    pub(crate) fn current(&self) -> Lent {
        let now = self.snapshot.load();
        let mut latest = self.latest.borrow_mut();
        if !Arc::ptr_eq(&now, &latest) {
            *latest = Rc::new(Arc::clone(&now));
        }
        Rc::clone(&latest)
    }
}

/// The listening sockets, one set a worker (SO_REUSEPORT), bound before anything is served.
#[derive(Debug)]
pub struct Sockets {
    pub(crate) listeners: Vec<Bound>,
    workers: usize,
}

/// One listening socket and the address that the configuration has for it.
#[derive(Debug)]
pub(crate) struct Bound {
    pub(crate) configured: SocketAddr,
    pub(crate) socket: TcpListener,
}

/// An address of the configuration that could not be taken.
#[derive(Debug, thiserror::Error)]
#[error("the gateway cannot listen on {address}")]
pub struct BindError {
    pub(crate) address: SocketAddr,
    pub(crate) source: io::Error,
}

/// Why a worker could not begin, or did not go on.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    #[error("a worker's runtime cannot be made")]
    Runtime(#[source] io::Error),
    #[error("the operating system gives no randomness")]
    Randomness(#[source] getrandom::Error),
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error("a listener of the gateway broke off")]
    Listener(#[source] JoinError),
}

impl Sockets {
    /// Binds every gateway listener once for each of `workers`. Port 0 is chosen once and shared.
    pub fn bind(config: &Config, workers: usize) -> Result<Vec<Self>, BindError> {
        let workers = workers.max(1);
        let mut sets: Vec<Self> =
            (0..workers).map(|_| Self { listeners: Vec::new(), workers }).collect();
        for listener in &config.listen.gateway {
            let configured = listener.address;
            let cannot = |source| BindError { address: configured, source };
            probe(configured).map_err(cannot)?;
            let mut address = configured;
            for set in &mut sets {
                let socket = bind(address).map_err(cannot)?;
                address = socket.local_addr().map_err(cannot)?;
                set.listeners.push(Bound { configured, socket });
            }
        }
        Ok(sets)
    }

    /// The addresses as bound, in the order of the configuration.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners.iter().filter_map(|bound| bound.socket.local_addr().ok()).collect()
    }
}

/// Sharing a port would hide that another process has it: that is found out by asking for it alone.
fn probe(address: SocketAddr) -> io::Result<()> {
    if address.port() == 0 {
        return Ok(());
    }
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    // For the connections, which have it of their listener. What is said is written whole; waiting for more would only delay it.
    socket.set_tcp_nodelay(true)?;
    #[cfg(any(target_os = "android", target_os = "linux"))]
    socket.set_tcp_notsent_lowat(UNSENT)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Runs one worker on the calling thread until `drain` says stop and its requests are finished or `drain`'s time is up.
/// `drain` turning true means: stop accepting, finish what is in flight. Without a `lane` nothing is recorded, which is for
/// benches alone.
pub fn run(
    sockets: Sockets,
    snapshot: Arc<ArcSwap<Snapshot>>,
    keys: Keys,
    cells: Arc<WorkerCells>,
    lane: Option<Lane>,
    limits: LimitsOfNode,
    drain: watch::Receiver<bool>,
) -> Result<(), WorkerError> {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())
        .map_err(WorkerError::Runtime)?;
    let mut seed = [0; 8];
    getrandom::fill(&mut seed).map_err(WorkerError::Randomness)?;
    let worker = Rc::new(Worker {
        latest: RefCell::new(Rc::new(snapshot.load_full())),
        snapshot,
        keys,
        remembered: Remembered::default(),
        clock: Clock::default(),
        is_ending: Cell::new(false),
        recorder: Recorder::new(lane, Arc::clone(&cells)),
        limiting: Limiting::new(limits, Arc::clone(&cells)),
        cells,
        openings: Rc::default(),
        pools: Pools::default(),
        precedence: Rc::default(),
        rng: RefCell::new(fastrand::Rng::with_seed(u64::from_ne_bytes(seed))),
        seats: Rc::default(),
        farewells: Arc::new(Semaphore::new(FAREWELLS)),
        workers: sockets.workers,
    });
    runtime.block_on(serve(worker, sockets, drain))
}

async fn serve(
    worker: Rc<Worker>,
    sockets: Sockets,
    drain: watch::Receiver<bool>,
) -> Result<(), WorkerError> {
    let sharing = worker.limiting.sharing().map(|shared| tokio::task::spawn_local(shared.run()));
    if let Some(shared) = worker.limiting.sharing() {
        shared.looked(SHARING).await;
    }
    let mut listeners = Vec::with_capacity(sockets.listeners.len());
    for (position, bound) in sockets.listeners.into_iter().enumerate() {
        let listening = listener::listen(Rc::clone(&worker), position, bound, drain.clone())?;
        listeners.push(tokio::task::spawn_local(listening));
    }
    let looking = tokio::task::spawn_local(look_after(Rc::clone(&worker)));
    for listener in listeners {
        listener.await.map_err(WorkerError::Listener)?;
    }
    worker.seats.drain();
    let patience = worker.snapshot.load().config.proxy.drain;
    if tokio::time::timeout(patience, worker.seats.empty()).await.is_err() {
        tracing::warn!("requests that were still running were cut off at the end of the drain");
    }
    looking.abort();
    if let Some(sharing) = sharing {
        sharing.abort();
    }
    worker.is_ending.set(true);
    let on_failure = worker.snapshot.load().config.log.on_failure;
    worker.recorder.write_sums(None, on_failure);
    Ok(())
}

/// Ends what is open and lost its standing, by a change of the registry or by the time; endless.
async fn look_after(worker: Rc<Worker>) {
    let mut looks = tokio::time::interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        let now = worker.clock.now();
        worker.openings.look(&worker.snapshot.load().view, now);
        let on_failure = worker.snapshot.load().config.log.on_failure;
        worker.recorder.write_sums(Some(now), on_failure);
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    #[test]
    fn connections_have_it_of_their_listener_that_small_answers_leave_at_once() {
        let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        listener.set_nonblocking(false).unwrap();
        let _caller = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        assert!(accepted.nodelay().unwrap());
    }
}
