//! A judged request on its way to the upstream, and the answer on its way back.
//!
//! The request is rebuilt from what was judged; it goes to a healthy endpoint; it is tried a second time only where
//! nothing of it was sent, or where it may be done twice, has no body, and no byte of an answer came. Every wait has an
//! end, and whatever is dropped on the way closes the upstream connection that carried it.

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;
use http::{HeaderValue, Response, Version};
use hyper::body::Incoming;

use crate::config::Config;
use crate::model::{Caller, Method, Refusal, RequestId, TraceParent};
use crate::policy::{Admission, Target};
use crate::proxy::body::response::{Lease, UpstreamBody};
use crate::proxy::body::{BodyFault, RequestBody, ResponseBody};
use crate::proxy::recording::Slot;
use crate::proxy::snapshot::Snapshot;
use crate::proxy::upstream::awaited::Unanswered;
use crate::proxy::upstream::http1::Question;
use crate::proxy::upstream::outgoing::Outgoing;
use crate::proxy::upstream::pool::{Carrier, Freshness, Lane, NoCarrier, Room, bit};
use crate::proxy::upstream::{Peer, Pools, Shared};
use crate::proxy::worker::Worker;
use crate::registry::view::Identity;

pub(crate) mod answer;
pub(crate) mod names;
pub(crate) mod order;
pub(crate) mod rewrite;

use order::{Addressee, Order, forwarded_target};
use rewrite::Public;

pub use crate::proxy::websocket::websocket;

/// A body so short is waited for before an upstream is asked, and leaves with its head.
const SHORT: usize = 16 * 1024;

/// The facts of a request that may pass.
#[derive(Debug)]
pub struct Passage<'r> {
    pub method: Method,
    pub target: &'r Target<'r>,
    pub admission: &'r Admission<'r>,
    pub caller: Option<&'r Caller>,
    /// Whose it is, as long as it is open.
    pub identity: Option<&'r Identity>,
    pub request_id: RequestId,
    /// A tunnel takes it along.
    pub(crate) recording: &'r Slot,
    pub trace: TraceParent,
    /// The caller's address, X-Forwarded-For of trusted proxies followed.
    pub client: IpAddr,
    pub https: bool,
    /// The valid Host or :authority of the request.
    pub host: &'r str,
}

/// `parts` is only read: the upstream request is rebuilt header by header, so that a retry can be built again.
/// The answer carries X-Request-Id and Cache-Control already.
pub async fn forward(
    worker: &Worker,
    snapshot: &Arc<Snapshot>,
    passage: &Passage<'_>,
    parts: &Parts,
    body: RequestBody,
) -> Result<Response<ResponseBody>, Refusal> {
    let (shared, order) = place_order(worker, snapshot, passage, parts)?;
    deliver(&worker.pools, shared, &order, parts, Outgoing::from_caller(body)).await
}

/// What is asked of which upstream.
pub(crate) fn place_order<'r>(
    worker: &Worker,
    snapshot: &'r Snapshot,
    passage: &'r Passage<'r>,
    parts: &Parts,
) -> Result<(&'r Arc<Shared>, Order<'r>), Refusal> {
    let config: &Config = &snapshot.config;
    let api = config.apis.get(passage.admission.rule.api.0).ok_or(Refusal::RouteUnmapped)?;
    // A practice's data stays in its region, whatever API asks for it.
    let upstream = passage.caller.and_then(|caller| caller.upstream).unwrap_or(api.upstream);
    let shared = snapshot.upstreams.get(upstream.0).ok_or(Refusal::UpstreamUnreachable)?;
    let stripped = api.strip_mount.then_some(api.mount.as_str());
    let needs = passage.admission.needs.iter();
    let order = Order {
        method: passage.method,
        target: forwarded_target(passage.target.as_str(), &parts.uri, stripped)?,
        stripped,
        caller: passage.caller,
        scopes: needs.map(|need| (config.policy.catalogue.name(need.scope), need.access)).collect(),
        request_id: passage.request_id,
        trace: passage.trace,
        client: passage.client,
        https: passage.https,
        host: passage.host,
        credentials: &config.credentials,
        // Every caller that is let in can be served one thing at a time.
        most_connections: (config.proxy.max_connections / worker.workers.max(1)).max(1),
    };
    Ok((shared, order))
}

impl Order<'_> {
    pub(crate) fn public<'a>(&'a self, shared: &'a Shared) -> Public<'a> {
        Public {
            https: self.https,
            host: self.host,
            stripped: self.stripped,
            endpoints: &shared.spec.endpoints,
            preserve_host: shared.spec.preserve_host,
        }
    }
}

pub(crate) async fn deliver(
    pools: &Pools,
    shared: &Arc<Shared>,
    order: &Order<'_>,
    parts: &Parts,
    body: Outgoing,
) -> Result<Response<ResponseBody>, Refusal> {
    let lane = pools.lane(shared);
    let (mut head, body) = exchange(pools, &lane, shared, order, parts, body).await?;
    // An upgrade that nobody asked for: what follows on that connection is no answer.
    if head.status.is_informational() {
        return Err(Refusal::UpstreamProtocolError);
    }
    answer::tidy(&mut head, order.public(shared), order.request_id)?;
    let body = answer::settle(body).await?;
    Ok(Response::from_parts(head, body))
}

/// Endpoints that cannot be reached are passed over, each once; what was sent is sent again once at most.
async fn exchange(
    pools: &Pools,
    lane: &Rc<Lane>,
    shared: &Arc<Shared>,
    order: &Order<'_>,
    parts: &Parts,
    mut body: Outgoing,
) -> Result<(http::response::Parts, UpstreamBody), Refusal> {
    let repeatable = order.method.is_idempotent() && body.is_empty();
    let fault = body.fault();
    if !body.gather(SHORT).await {
        return Err(fault.and_then(|cell| cell.get()).unwrap_or(BodyFault::Broken).refusal());
    }
    let patience = shared.spec.response_timeout;
    let (mut unreached, mut again) = (0, false);
    let mut freshness = Freshness::Any;
    while let Some(endpoint) = lane.choose(&shared.peers, unreached) {
        let Some((station, peer)) = lane.station(endpoint).zip(shared.peers.get(endpoint)) else {
            break;
        };
        let ready = if freshness == Freshness::Any { station.kept() } else { None };
        let (mut carrier, kept) = match ready {
            Some(carrier) => (carrier, true),
            None => {
                let room = Room { pools, most: order.most_connections };
                // In a box: connecting is rare and long, and what is not connecting should be small.
                match Box::pin(station.carrier(lane, shared, peer, freshness, room)).await {
                    Ok(made) => made,
                    Err(NoCarrier::Full) => return Err(Refusal::Overloaded),
                    Err(no_carrier) => {
                        if matches!(no_carrier, NoCarrier::Unreached) {
                            peer.failed();
                        }
                        unreached |= bit(endpoint);
                        continue;
                    }
                }
            }
        };
        let progress = body.progress();
        let host = station.host.as_ref().ok_or(Refusal::UpstreamUnreachable)?;
        let version = if carrier.is_shared() { Version::HTTP_2 } else { Version::HTTP_11 };
        let to = addressee(lane, shared, peer, host, version);
        let outcome = ask(order, &mut carrier, to, parts, body, patience).await?;
        let failure = match outcome {
            Ok((head, incoming)) => {
                peer.fared_well();
                let lease = Lease { lane: Rc::clone(lane), endpoint, carrier, progress };
                return Ok((head, UpstreamBody::new(incoming, lease, patience)));
            }
            Err(failure) => failure,
        };
        // A body that broke ends the exchange with the upstream, too: that is the caller's doing, and the caller's to know.
        if let Some(fault) = fault.as_ref().and_then(|cell| cell.get()) {
            return Err(fault.refusal());
        }
        // A kept connection may have been closing just then, which says nothing of the endpoint.
        if !kept || matches!(failure, Unanswered::Late) {
            peer.failed();
        }
        body = match failure {
            Unanswered::Unsent(body) if !again => body,
            Unanswered::Silent if repeatable && !again => Outgoing::empty(),
            Unanswered::Late => return Err(Refusal::UpstreamTimeout),
            Unanswered::Unsent(_) | Unanswered::Silent | Unanswered::Garbled => {
                return Err(Refusal::UpstreamProtocolError);
            }
        };
        again = true;
        freshness = Freshness::New;
    }
    Err(Refusal::UpstreamUnreachable)
}

type Answered = Result<(http::response::Parts, Option<Incoming>), Unanswered>;

async fn ask(
    order: &Order<'_>,
    carrier: &mut Carrier,
    to: Addressee<'_>,
    parts: &Parts,
    body: Outgoing,
    patience: Duration,
) -> Result<Answered, Refusal> {
    let unsayable = || Refusal::MalformedRequest("a header cannot be forwarded");
    let request = |body| order.request(parts, to, body).map_err(|_| unsayable());
    let answer = match carrier {
        Carrier::Whole(connection) => {
            let bytes = order.bytes(parts, to, &body).ok_or_else(unsayable)?;
            let is_head = order.method == Method::Head;
            let question = Question { bytes, is_head, patience, block: to.heard };
            return Ok(connection.exchange(question, body).await.map(|head| (head, None)));
        }
        Carrier::Shared(stream) => stream.exchange(request(body)?, patience).await,
        Carrier::Upgradeable(connection) => connection.exchange(request(body)?, patience).await,
    };
    Ok(answer.map(|answer| {
        let (head, incoming) = answer.into_parts();
        (head, Some(incoming))
    }))
}

pub(crate) fn addressee<'a>(
    lane: &'a Lane,
    shared: &'a Shared,
    peer: &'a Peer,
    host: &'a HeaderValue,
    version: Version,
) -> Addressee<'a> {
    Addressee {
        host,
        authority: &peer.authority,
        https: peer.endpoint.https,
        preserve_host: shared.spec.preserve_host,
        headers: &lane.headers,
        said: &lane.said,
        heard: &lane.heard,
        version,
    }
}

#[cfg(test)]
pub(crate) mod tests;
