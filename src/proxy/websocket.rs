//! WebSockets: a handshake that is checked on both sides, then bytes both ways until the tunnel ends or falls idle.
//!
//! Nothing after the caller's handshake reaches the upstream before its 101, and no tunnel is made without one whose
//! `Sec-WebSocket-Accept` answers the caller's key. Any other answer is passed as the ordinary answer that it is. The
//! upstream connection is made for the one handshake and never pooled.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, Version, header};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use sha1::{Digest, Sha1};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, copy_bidirectional};
use tokio::sync::Notify;
use tokio::task::spawn_local;
use tokio::time::{Instant, sleep_until};

use crate::model::{Outcome, Refusal};
use crate::proxy::body::ResponseBody;
use crate::proxy::body::response::{Lease, UpstreamBody};
use crate::proxy::forward::order::Order;
use crate::proxy::forward::{Passage, addressee, answer, place_order};
use crate::proxy::open::Open;
use crate::proxy::recording::Slot;
use crate::proxy::snapshot::Snapshot;
use crate::proxy::upstream::awaited::Unanswered;
use crate::proxy::upstream::connect::{Offer, connect};
use crate::proxy::upstream::outgoing::Outgoing;
use crate::proxy::upstream::pool::{Carrier, bit};
use crate::proxy::upstream::upgrade::Upgradeable;
use crate::proxy::upstream::{Pools, Shared};
use crate::proxy::worker::Worker;

const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const WEBSOCKET: HeaderValue = HeaderValue::from_static("websocket");
const UPGRADE: HeaderValue = HeaderValue::from_static("Upgrade");

/// What an upstream must answer to a caller's key.
type Accept = [u8; 28];

/// A WebSocket handshake on a route that takes it: 101 only if the upstream's is valid; then bytes both ways
/// (spawned locally) until either side ends. `upgrade` is hyper's handle on the caller's side.
pub async fn websocket(
    worker: &Worker,
    snapshot: &Arc<Snapshot>,
    passage: &Passage<'_>,
    parts: &Parts,
    upgrade: OnUpgrade,
) -> Result<Response<ResponseBody>, Refusal> {
    let (shared, order) = place_order(worker, snapshot, passage, parts)?;
    let term = Term {
        idle: snapshot.config.proxy.idle_timeout,
        open: passage.identity.map(|identity| worker.openings.tunnel(identity.clone())),
    };
    let recording = passage.recording;
    open_tunnel(&worker.pools, shared, &order, parts, upgrade, term, recording).await
}

/// How long a tunnel lasts.
#[derive(Debug)]
pub(crate) struct Term {
    /// No byte for so long is its end.
    pub(crate) idle: Duration,
    /// Says when its keys have lost their standing; none where no keys were asked.
    pub(crate) open: Option<(Open, Rc<Notify>)>,
}

pub(crate) async fn open_tunnel(
    pools: &Pools,
    shared: &Arc<Shared>,
    order: &Order<'_>,
    parts: &Parts,
    caller: OnUpgrade,
    term: Term,
    recording: &Slot,
) -> Result<Response<ResponseBody>, Refusal> {
    let expected = read_handshake(parts)?;
    let asked = Instant::now();
    let (response, lease) = shake_hands(pools, shared, order, parts).await?;
    recording.with(|recording| recording.heard_upstream(asked.elapsed()));
    if !response.status().is_informational() {
        let (mut head, incoming) = response.into_parts();
        answer::tidy(&mut head, order.public(shared), order.request_id)?;
        let patience = shared.spec.response_timeout;
        let body = UpstreamBody::new(Some(incoming), lease, patience);
        let body = answer::settle(body).await?;
        return Ok(Response::from_parts(head, body));
    }
    if !accepts(response.headers(), expected) {
        return Err(Refusal::UpstreamProtocolError);
    }
    let (mut head, _) = response.into_parts();
    let upstream = head.extensions.remove::<OnUpgrade>().ok_or(Refusal::UpstreamProtocolError)?;
    answer::tidy(&mut head, order.public(shared), order.request_id)?;
    head.headers.insert(header::CONNECTION, UPGRADE);
    head.headers.insert(header::UPGRADE, WEBSOCKET);
    let moves = Rc::new(Moves::default());
    let status = head.status.as_u16();
    // The request's answer is over with its head; its record is not before the tunnel is.
    let mut recording = recording.take();
    if let Some(recording) = &mut recording {
        recording.tunnelled(status, &moves);
    }
    spawn_local(async move {
        let ended = tunnel(caller, upstream, lease, term, moves).await;
        if let Some(recording) = &mut recording {
            recording.failed(ended.code());
            recording.complete();
        }
        tracing::debug!(?ended, "websocket ended");
    });
    Ok(Response::from_parts(head, ResponseBody::empty()))
}

/// Refuses what is no handshake, before anything of it is recorded as let through.
pub(crate) fn check_handshake(parts: &Parts) -> Result<(), Refusal> {
    read_handshake(parts).map(drop)
}

/// Takes RFC 6455's opening handshake (4.2.1) and nothing that is only like it.
fn read_handshake(parts: &Parts) -> Result<Accept, Refusal> {
    let headers = &parts.headers;
    let malformed = |why| Err(Refusal::MalformedRequest(why));
    if parts.method != Method::GET || parts.version != Version::HTTP_11 {
        return malformed("a WebSocket handshake is a GET of HTTP/1.1");
    }
    if !only(headers, header::UPGRADE).is_some_and(|it| it.eq_ignore_ascii_case(b"websocket")) {
        return malformed("a WebSocket handshake has `Upgrade: websocket`");
    }
    if !has_upgrade_option(headers) {
        return malformed("a WebSocket handshake has `Connection: Upgrade`");
    }
    if only(headers, header::SEC_WEBSOCKET_VERSION) != Some(b"13") {
        return malformed("a WebSocket handshake has `Sec-WebSocket-Version: 13`");
    }
    let empty = only(headers, header::CONTENT_LENGTH).is_none_or(|length| length == b"0");
    if !empty || headers.contains_key(header::TRANSFER_ENCODING) {
        return malformed("a WebSocket handshake has no body");
    }
    match only(headers, header::SEC_WEBSOCKET_KEY) {
        Some(key) if BASE64.decode(key).is_ok_and(|bytes| bytes.len() == 16) => Ok(accept_of(key)),
        _ => malformed("`Sec-WebSocket-Key` is 16 bytes in base64"),
    }
}

pub(crate) fn accept_of(key: &[u8]) -> Accept {
    let digest = Sha1::new().chain_update(key).chain_update(GUID).finalize();
    let mut accept = [0; 28];
    // 20 bytes always make 28 characters; were it otherwise, no answer would match.
    BASE64.encode_slice(digest, &mut accept).map_or([0; 28], |_| accept)
}

/// Whether an upstream's 101 is one to this handshake.
fn accepts(headers: &HeaderMap, expected: Accept) -> bool {
    only(headers, header::SEC_WEBSOCKET_ACCEPT) == Some(&expected)
        && only(headers, header::UPGRADE).is_some_and(|it| it.eq_ignore_ascii_case(b"websocket"))
        && has_upgrade_option(headers)
}

/// The value of a header that stands there exactly once.
fn only(headers: &HeaderMap, name: HeaderName) -> Option<&[u8]> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    values.next().is_none().then_some(first.as_bytes())
}

fn has_upgrade_option(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(header::CONNECTION).iter();
    let mut options = lines.filter_map(|line| line.to_str().ok()).flat_map(|line| line.split(','));
    options.any(|option| option.trim_matches([' ', '\t']).eq_ignore_ascii_case("upgrade"))
}

/// Sends the handshake over a connection of its own; endpoints that cannot be reached are passed over.
async fn shake_hands(
    pools: &Pools,
    shared: &Arc<Shared>,
    order: &Order<'_>,
    parts: &Parts,
) -> Result<(Response<Incoming>, Lease), Refusal> {
    let lane = &pools.lane(shared);
    let mut unreached = 0;
    while let Some(endpoint) = lane.choose(&shared.peers, unreached) {
        let Some((station, peer)) = lane.station(endpoint).zip(shared.peers.get(endpoint)) else {
            break;
        };
        let berth = pools.berth(order.most_connections).ok_or(Refusal::Overloaded)?;
        let opened = match connect(shared, peer, Offer::Http1Only).await {
            Ok(transport) => Upgradeable::open(transport, berth).await,
            Err(unreached) => Err(unreached),
        };
        let Ok(mut connection) = opened else {
            peer.failed();
            unreached |= bit(endpoint);
            continue;
        };
        let host = station.host.as_ref().ok_or(Refusal::UpstreamUnreachable)?;
        let to = addressee(lane, shared, peer, host, Version::HTTP_11);
        let mut request = order
            .request(parts, to, Outgoing::empty())
            .map_err(|_| Refusal::MalformedRequest("a header cannot be forwarded"))?;
        request.headers_mut().insert(header::CONNECTION, UPGRADE);
        request.headers_mut().insert(header::UPGRADE, WEBSOCKET);
        let outcome = connection.exchange(request, shared.spec.response_timeout).await;
        let carrier = Carrier::Upgradeable(Box::new(connection));
        return match outcome {
            Ok(response) => {
                peer.fared_well();
                Ok((response, Lease { lane: Rc::clone(lane), endpoint, carrier, progress: None }))
            }
            Err(unanswered) => {
                peer.failed();
                let late = matches!(unanswered, Unanswered::Late);
                Err(if late { Refusal::UpstreamTimeout } else { Refusal::UpstreamProtocolError })
            }
        };
    }
    Err(Refusal::UpstreamUnreachable)
}

/// Bytes both ways, until both sides have ended, one breaks, none has moved a byte for `idle`, or its keys have lost
/// their standing.
async fn tunnel(
    caller: OnUpgrade,
    upstream: OnUpgrade,
    _counted_until_the_end: Lease,
    Term { idle, open }: Term,
    moves: Rc<Moves>,
) -> Ended {
    let Ok(upstream) = upstream.await else { return Ended::UpstreamBroke };
    let Ok(Ok(caller)) = tokio::time::timeout(idle, caller).await else { return Ended::CallerLeft };
    moves.last.set(Instant::now());
    let mut upstream = Watched { inner: TokioIo::new(upstream), moves: Rc::clone(&moves) };
    let mut caller = TokioIo::new(caller);
    tokio::select! {
        ended = copy_bidirectional(&mut caller, &mut upstream) => match ended {
            Ok(_) => Ended::Closed,
            Err(_) if moves.upstream_broke.get() => Ended::UpstreamBroke,
            Err(_) => Ended::CallerLeft,
        },
        () = falls_idle(&moves.last, idle) => Ended::Idle,
        () = loses_standing(open.as_ref()) => Ended::StandingLost,
    }
}

/// How a tunnel ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    Closed,
    Idle,
    CallerLeft,
    UpstreamBroke,
    /// Its keys may not go on.
    StandingLost,
}

impl Ended {
    /// As its record says it.
    fn code(self) -> &'static str {
        match self {
            Self::Closed | Self::Idle => "",
            Self::CallerLeft => Outcome::CLIENT_GONE,
            Self::UpstreamBroke => Refusal::UpstreamProtocolError.code(),
            Self::StandingLost => Outcome::STANDING_LOST,
        }
    }
}

async fn loses_standing(open: Option<&(Open, Rc<Notify>)>) {
    match open {
        Some((_, ends)) => ends.notified().await,
        None => std::future::pending().await,
    }
}

async fn falls_idle(last_move: &Cell<Instant>, idle: Duration) {
    while last_move.get().elapsed() < idle {
        sleep_until(last_move.get() + idle).await;
    }
}

/// One side of a tunnel, noting when a byte last moved. Both directions pass it, so one watched side is enough.
#[derive(Debug)]
struct Watched<T> {
    inner: T,
    moves: Rc<Moves>,
}

/// What went through a tunnel so far.
#[derive(Debug)]
pub(crate) struct Moves {
    last: Cell<Instant>,
    pub(crate) to_upstream: Cell<u64>,
    pub(crate) to_caller: Cell<u64>,
    upstream_broke: Cell<bool>,
}

impl Default for Moves {
    fn default() -> Self {
        Self {
            last: Cell::new(Instant::now()),
            to_upstream: Cell::new(0),
            to_caller: Cell::new(0),
            upstream_broke: Cell::new(false),
        }
    }
}

impl Moves {
    fn note(&self, direction: &Cell<u64>, bytes: usize) {
        self.last.set(Instant::now());
        direction.set(direction.get().saturating_add(bytes as u64));
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Watched<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let polled = Pin::new(&mut this.inner).poll_read(cx, buffer);
        if let Poll::Ready(read) = &polled {
            this.moves.upstream_broke.set(read.is_err());
            let bytes = buffer.filled().len().saturating_sub(before);
            this.moves.note(&this.moves.to_caller, bytes);
        }
        polled
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Watched<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.inner).poll_write(cx, bytes);
        if let Poll::Ready(written) = &polled {
            this.moves.upstream_broke.set(written.is_err());
            let bytes = written.as_ref().map_or(0, |bytes| *bytes);
            this.moves.note(&this.moves.to_upstream, bytes);
        }
        polled
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
