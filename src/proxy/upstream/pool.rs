//! The kept-alive connections of one worker: no locks, because nothing of it leaves the worker's thread.
//!
//! HTTP/1.1 connections are kept last in, first out, so that the busy few stay warm and the rest age out. One comes back
//! only when it is idle in both directions, and is taken only if it still is. HTTP/2 connections are shared.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::{Rc, Weak as LocalWeak};
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::BytesMut;
use http::{HeaderName, HeaderValue};
use tokio::sync::Semaphore;
use tokio::task::spawn_local;

use crate::proxy::upstream::berth::{Berth, Berths};
use crate::proxy::upstream::connect::{Offer, Unreached, connect};
use crate::proxy::upstream::deadline::Deadline;
use crate::proxy::upstream::http1::Connection;
use crate::proxy::upstream::multiplex::{Multiplexed, Stream};
use crate::proxy::upstream::upgrade::Upgradeable;
use crate::proxy::upstream::{Peer, Shared};

/// Shorter than what most servers keep a connection open for, so that a request seldom meets one that is just closing.
const IDLE_TIME: Duration = Duration::from_secs(30);
const MAX_IDLE: usize = 256;

/// The kept-alive connections of one worker, by upstream.
#[derive(Debug, Default)]
pub struct Pools {
    lanes: RefCell<Vec<Rc<Lane>>>,
    berths: Berths,
}

/// One upstream as one worker reaches it.
#[derive(Debug)]
pub(crate) struct Lane {
    shared: Weak<Shared>,
    turn: Cell<usize>,
    /// What the gateway itself presents, in copies of this worker's own.
    pub(crate) headers: Box<[(HeaderName, HeaderValue)]>,
    stations: Box<[Station]>,
    sweeping: Cell<bool>,
    /// Where heads are written: one block serves many requests.
    pub(crate) said: RefCell<BytesMut>,
    /// Where answers are read into, in the same way.
    pub(crate) heard: RefCell<BytesMut>,
}

/// One endpoint as one worker reaches it.
#[derive(Debug)]
pub(crate) struct Station {
    pub(crate) host: Option<HeaderValue>,
    idle: RefCell<VecDeque<Box<Connection>>>,
    multiplexed: RefCell<Vec<Multiplexed>>,
    /// One https connection at a time is made while the endpoint may speak HTTP/2, so that all can share it.
    gate: Semaphore,
    speaks_http1: Cell<bool>,
}

/// What carries one request and its answer, in a box, because it changes hands several times in a request.
#[derive(Debug)]
pub(crate) enum Carrier {
    Whole(Box<Connection>),
    Shared(Box<Stream>),
    /// Of a WebSocket handshake.
    Upgradeable(Box<Upgradeable>),
}

/// Why there is nothing to carry a request.
#[derive(Debug)]
pub(crate) enum NoCarrier {
    /// The endpoint could not be reached.
    Unreached,
    /// Another request's attempt to reach it took too long.
    Waited,
    /// The worker has as many connections in use as it may.
    Full,
}

impl From<Unreached> for NoCarrier {
    fn from(Unreached: Unreached) -> Self {
        Self::Unreached
    }
}

/// Where a place for one more connection is asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room<'p> {
    pub(crate) pools: &'p Pools,
    pub(crate) most: usize,
}

/// Whether a kept-alive connection may be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Freshness {
    Any,
    New,
}

impl Pools {
    /// The lane to an upstream; lanes to upstreams that no snapshot holds any more are let go.
    pub(crate) fn lane(&self, shared: &Arc<Shared>) -> Rc<Lane> {
        let wanted = Arc::as_ptr(shared);
        let known = self.lanes.borrow().iter().find(|lane| lane.shared.as_ptr() == wanted).cloned();
        known.unwrap_or_else(|| {
            let lane = Rc::new(Lane::new(shared));
            let mut lanes = self.lanes.borrow_mut();
            lanes.retain(|lane| lane.shared.strong_count() > 0);
            lanes.push(Rc::clone(&lane));
            lane
        })
    }

    /// A place for one more connection, if need be that of an idle one; None where `most` are in use.
    pub(crate) fn berth(&self, most: usize) -> Option<Berth> {
        self.berths.take(most).or_else(|| {
            let lanes = self.lanes.borrow();
            let closed = lanes.iter().flat_map(|lane| &lane.stations).any(Station::close_one_idle);
            closed.then(|| self.berths.take(most)).flatten()
        })
    }
}

impl Lane {
    fn new(shared: &Arc<Shared>) -> Self {
        let own_name = |name: &HeaderName| HeaderName::from_bytes(name.as_str().as_bytes()).ok();
        let own = |value: &HeaderValue| {
            let mut copy = HeaderValue::from_bytes(value.as_bytes()).ok()?;
            copy.set_sensitive(value.is_sensitive());
            Some(copy)
        };
        let headers = shared.spec.headers.iter();
        Self {
            shared: Arc::downgrade(shared),
            turn: Cell::new(fastrand::usize(..)),
            headers: headers
                .filter_map(|(name, value)| Some((own_name(name)?, own(value)?)))
                .collect(),
            stations: shared.peers.iter().map(Station::new).collect(),
            sweeping: Cell::new(false),
            said: RefCell::default(),
            heard: RefCell::default(),
        }
    }

    pub(crate) fn station(&self, index: usize) -> Option<&Station> {
        self.stations.get(index)
    }

    /// The next endpoint in turn that is healthy and not among `tried`; if none is, the next that was not tried.
    pub(crate) fn choose(&self, peers: &[Peer], tried: u64) -> Option<usize> {
        if peers.len() <= 1 {
            return (tried == 0 && !peers.is_empty()).then_some(0);
        }
        let turn = self.turn.get();
        self.turn.set(turn.wrapping_add(1));
        let untried = || {
            (0..peers.len())
                .map(move |step| turn.wrapping_add(step) % peers.len())
                .filter(move |index| tried & bit(*index) == 0)
        };
        let healthy = |index: &usize| peers.get(*index).is_some_and(|peer| peer.health.admits());
        untried().find(healthy).or_else(|| untried().next())
    }

    /// Gives a connection back after its answer has ended; one that is not idle is closed instead.
    pub(crate) fn take_back(self: &Rc<Self>, index: usize, carrier: Carrier) {
        let (Carrier::Whole(connection), Some(station)) = (carrier, self.station(index)) else {
            return;
        };
        if !connection.is_done() {
            return;
        }
        let mut idle = station.idle.borrow_mut();
        if idle.len() < MAX_IDLE {
            idle.push_back(connection);
        }
        drop(idle);
        self.sweep_later();
    }

    fn sweep_later(self: &Rc<Self>) {
        if !self.sweeping.replace(true) {
            spawn_local(sweep(Rc::downgrade(self)));
        }
    }
}

/// The bit of an endpoint in a set of those tried; beyond 64 endpoints, two may share one.
pub(crate) fn bit(index: usize) -> u64 {
    1 << (index % 64)
}

impl Station {
    fn new(peer: &Peer) -> Self {
        Self {
            host: peer.host(),
            idle: RefCell::default(),
            multiplexed: RefCell::default(),
            gate: Semaphore::new(1),
            speaks_http1: Cell::new(!peer.endpoint.https),
        }
    }

    /// A new connection, or one that another request has made meanwhile: then true.
    pub(crate) async fn carrier(
        &self,
        lane: &Rc<Lane>,
        shared: &Shared,
        peer: &Peer,
        freshness: Freshness,
        room: Room<'_>,
    ) -> Result<(Carrier, bool), NoCarrier> {
        if self.speaks_http1.get() {
            return Ok((self.open(lane, shared, peer, room).await?, false));
        }
        // Whoever waits for another request's attempt does not wait for a second one, and blames nobody.
        let turn = tokio::time::timeout(shared.spec.connect_timeout, self.gate.acquire());
        let _one_at_a_time = turn.await.ok().and_then(Result::ok).ok_or(NoCarrier::Waited)?;
        if freshness == Freshness::Any
            && let Some(carrier) = self.kept()
        {
            return Ok((carrier, true));
        }
        Ok((self.open(lane, shared, peer, room).await?, false))
    }

    /// A connection that is ready for a request now.
    pub(crate) fn kept(&self) -> Option<Carrier> {
        let mut idle = self.idle.borrow_mut();
        while let Some(mut connection) = idle.pop_back() {
            if connection.is_idle() {
                return Some(Carrier::Whole(connection));
            }
        }
        drop(idle);
        self.multiplexed
            .borrow()
            .iter()
            .find_map(Multiplexed::stream)
            .map(|stream| Carrier::Shared(Box::new(stream)))
    }

    async fn open(
        &self,
        lane: &Rc<Lane>,
        shared: &Shared,
        peer: &Peer,
        room: Room<'_>,
    ) -> Result<Carrier, NoCarrier> {
        let berth = room.pools.berth(room.most).ok_or(NoCarrier::Full)?;
        let transport = connect(shared, peer, Offer::Http2Too).await?;
        let http2 = transport.speaks_http2();
        self.speaks_http1.set(!http2);
        if !http2 {
            return Ok(Carrier::Whole(Box::new(Connection::new(transport, berth))));
        }
        let opened = Multiplexed::open(transport, berth).await?;
        let stream = opened.stream().ok_or(NoCarrier::Unreached)?;
        self.multiplexed.borrow_mut().push(opened);
        lane.sweep_later();
        Ok(Carrier::Shared(Box::new(stream)))
    }

    /// True if there was one; the longest unused goes first.
    fn close_one_idle(&self) -> bool {
        self.idle.borrow_mut().pop_front().is_some()
    }

    /// Drops what has been idle for too long or was closed by the upstream; true while anything is left.
    fn sweep(&self, longest: Duration) -> bool {
        let mut idle = self.idle.borrow_mut();
        idle.retain_mut(|kept| kept.is_idle() && kept.last_used().elapsed() < longest);
        let mut multiplexed = self.multiplexed.borrow_mut();
        multiplexed.retain(|connection| connection.is_worth_keeping(longest));
        !idle.is_empty() || !multiplexed.is_empty()
    }
}

/// Ends when nothing is left to sweep.
async fn sweep(lane: LocalWeak<Lane>) {
    loop {
        tokio::time::sleep(IDLE_TIME / 4).await;
        let Some(lane) = lane.upgrade() else { return };
        let left = lane.stations.iter().filter(|station| station.sweep(IDLE_TIME)).count();
        if left == 0 {
            lane.sweeping.set(false);
            return;
        }
    }
}

impl Carrier {
    pub(crate) fn is_shared(&self) -> bool {
        matches!(self, Self::Shared(_))
    }

    /// What the silence of an answer is counted by.
    pub(crate) fn deadline(&mut self) -> &mut Deadline {
        match self {
            Self::Whole(connection) => connection.deadline(),
            Self::Shared(stream) => stream.deadline(),
            Self::Upgradeable(connection) => connection.deadline(),
        }
    }
}
