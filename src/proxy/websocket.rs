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

use crate::model::Refusal;
use crate::proxy::body::ResponseBody;
use crate::proxy::body::response::Lease;
use crate::proxy::forward::order::Order;
use crate::proxy::forward::{Passage, addressee, answer, place_order};
use crate::proxy::open::Open;
use crate::proxy::snapshot::Snapshot;
use crate::proxy::upstream::connect::{Offer, connect};
use crate::proxy::upstream::connection::{Connection, Unanswered};
use crate::proxy::upstream::outgoing::Outgoing;
use crate::proxy::upstream::pool::{Carrier, bit};
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
    open_tunnel(&worker.pools, shared, &order, parts, upgrade, term).await
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
) -> Result<Response<ResponseBody>, Refusal> {
    let expected = read_handshake(parts)?;
    let (response, lease) = shake_hands(pools, shared, order, parts).await?;
    if !response.status().is_informational() {
        let (mut head, incoming) = response.into_parts();
        answer::tidy(&mut head, order.public(shared), order.request_id)?;
        let body = answer::settle(incoming, lease, shared.spec.response_timeout).await?;
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
    spawn_local(async move {
        if let Err(error) = tunnel(caller, upstream, lease, term).await {
            tracing::debug!(%error, "websocket ended");
        }
    });
    Ok(Response::from_parts(head, ResponseBody::empty()))
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
            Ok(transport) => Connection::open_for_upgrade(transport, berth).await,
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
        let carrier = Carrier::Whole(Box::new(connection));
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
) -> io::Result<()> {
    let upstream = upstream.await.map_err(io::Error::other)?;
    let caller = tokio::time::timeout(idle, caller).await?.map_err(io::Error::other)?;
    let last_move = Rc::new(Cell::new(Instant::now()));
    let mut upstream = Watched { inner: TokioIo::new(upstream), last_move: Rc::clone(&last_move) };
    let mut caller = TokioIo::new(caller);
    tokio::select! {
        ended = copy_bidirectional(&mut caller, &mut upstream) => ended.map(|_| ()),
        () = falls_idle(&last_move, idle) => Err(io::ErrorKind::TimedOut.into()),
        () = loses_standing(open.as_ref()) => Err(io::Error::other("its keys lost their standing")),
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
    last_move: Rc<Cell<Instant>>,
}

impl<T: AsyncRead + Unpin> AsyncRead for Watched<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.inner).poll_read(cx, buffer);
        if polled.is_ready() {
            this.last_move.set(Instant::now());
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
        if polled.is_ready() {
            this.last_move.set(Instant::now());
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
