//! The way of one request, in the contract's order. No step of it knows a status code.

use std::convert::Infallible;
use std::rc::Rc;
use std::sync::Arc;

use http::request::Parts;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;

use crate::auth::Presented;
use crate::config::Proxy;
use crate::model::{Method, Refusal, RequestId, TraceParent};
use crate::policy::{Admission, Target};
use crate::proxy::body::request::{Fate, Pace, RequestBody};
use crate::proxy::body::response::ResponseBody;
use crate::proxy::client_address::client_address;
use crate::proxy::forward::{Passage, forward, websocket};
use crate::proxy::head::{Framing, Head, Verb};
use crate::proxy::pulse::Wire;
use crate::proxy::session::{Answer, Session, Ticket};
use crate::proxy::snapshot::Snapshot;
use crate::proxy::{cors, respond, well_known};

/// One request, as long as it is decided about.
struct Exchange<'r> {
    session: &'r Session,
    snapshot: &'r Arc<Snapshot>,
    parts: &'r Parts,
    ticket: &'r Ticket,
    id: RequestId,
    fate: &'r Rc<Fate>,
}

/// Answers one request. Every refusal is an answer, so nothing fails here. The request is taken apart outside, or the
/// future, which hyper moves for each request, would hold it whole and in parts.
pub(crate) fn answer(
    session: Rc<Session>,
    request: Request<Incoming>,
) -> impl Future<Output = Result<Response<Answer>, Infallible>> {
    let (parts, body) = request.into_parts();
    answer_to(session, parts, body)
}

async fn answer_to(
    session: Rc<Session>,
    parts: Parts,
    body: Incoming,
) -> Result<Response<Answer>, Infallible> {
    let http2 = parts.version == http::Version::HTTP_2;
    let ticket = session.begin(if http2 { Wire::Http2 } else { Wire::Http1 });
    let snapshot = session.worker.current();
    let config = &snapshot.config;
    let id = RequestId::new(session.worker.rng.borrow_mut().u128(..));
    let has_body = !http_body::Body::is_end_stream(&body);
    let fate = session.fate(!has_body);
    let exchange = Exchange {
        session: &session,
        snapshot: &snapshot,
        parts: &parts,
        ticket: &ticket,
        id,
        fate: &fate,
    };
    let (mut response, code, close) = match exchange.serve(body).await {
        // What is left of an upload is not for the upstream any more, and no request either.
        Ok(response) => (response, "", !fate.has_ended()),
        Err(refusal) => {
            let close = has_body || ends_the_connection(&refusal);
            (respond::refuse(config, &refusal, id), refusal.code(), close)
        }
    };
    if close {
        session.pulse.set_linger();
    }
    // HTTP/2 has no such header: a stream that ends leaves the others alone.
    if close && ticket.wire == Wire::Http1 {
        respond::close(&mut response);
    }
    cors::permit(&config.proxy.cors_origins, &parts.headers, response.headers_mut());
    session.worker.cells.request(response.status().as_u16(), code);
    Ok(response.map(|body| Answer::new(body, ticket)))
}

impl Exchange<'_> {
    async fn serve(&self, body: Incoming) -> Result<Response<ResponseBody>, Refusal> {
        let Self { session, snapshot, parts, .. } = *self;
        let (config, headers) = (&snapshot.config, &parts.headers);
        let Proxy { max_target, max_headers, .. } = config.proxy;
        if let Some(flaw) = session.pulse.flaw(self.ticket.position) {
            return Err(flaw.refusal(max_target));
        }
        let head = Head::screen(parts, session.https, max_target, max_headers)?;
        let target = Target::parse(head.target)?;
        target.screen_query()?;
        let Verb::Forward(method) = head.verb else { return self.options() };
        if let Some(document) = self.own_endpoint(method, &target) {
            return Ok(document);
        }
        let presented = Presented::read(&config.credentials, headers, &target)?;
        let found = config.policy.find(&target, method);
        let caller =
            if found.is_public() { None } else { Some(snapshot.registry.identify(presented)?) };
        let caller = caller.as_ref();
        let admission = config.policy.judge(found, method, &target, headers, caller)?;
        let upgrade = self.upgrade(&head, &admission)?;
        let body = self.bounded(&head, &admission, body)?;
        let passage = Passage {
            method,
            target: &target,
            admission: &admission,
            caller,
            request_id: self.id,
            trace: self.trace(),
            client: client_address(session.peer, &config.proxy.trusted_proxies, headers),
            https: session.https,
            host: head.host,
        };
        let Some(upgrade) = upgrade else {
            return forward(&session.worker, snapshot, &passage, parts, body).await;
        };
        // In a box: handshakes are rare, and what every request moves should be small.
        let handshake = websocket(&session.worker, snapshot, &passage, parts, upgrade);
        let response = Box::pin(handshake).await?;
        if respond::is_upgrade(&response) {
            session.pulse.set_tunnel();
        }
        Ok(response)
    }

    /// A preflight of a configured origin is answered; no other OPTIONS is anybody's business.
    fn options(&self) -> Result<Response<ResponseBody>, Refusal> {
        let headers = &self.parts.headers;
        if !cors::is_allowed_preflight(&self.snapshot.config.proxy.cors_origins, headers) {
            return Err(Refusal::RouteDenied);
        }
        Ok(respond::preflight(cors::METHODS, cors::requested_headers(headers), self.id))
    }

    fn own_endpoint(&self, method: Method, target: &Target<'_>) -> Option<Response<ResponseBody>> {
        well_known::answers(method, target)
            .then(|| respond::document(well_known::document(&self.snapshot.config), self.id))
    }

    /// A WebSocket handshake on a route that takes one. Any other upgrade is ignored, a WebSocket elsewhere refused.
    fn upgrade(
        &self,
        head: &Head<'_>,
        admission: &Admission<'_>,
    ) -> Result<Option<OnUpgrade>, Refusal> {
        if !head.websocket {
            return Ok(None);
        }
        if !admission.rule.websocket {
            return Err(Refusal::UpgradeNotAllowed);
        }
        Ok(self.parts.extensions.get::<OnUpgrade>().cloned())
    }

    /// The body, not yet asked for: what is declared too large is refused before a byte of it was sent.
    fn bounded(
        &self,
        head: &Head<'_>,
        admission: &Admission<'_>,
        body: Incoming,
    ) -> Result<RequestBody, Refusal> {
        let proxy = &self.snapshot.config.proxy;
        let limit = admission.rule.max_body.unwrap_or(proxy.max_body);
        if matches!(head.body, Framing::Length(length) if length > limit) {
            return Err(Refusal::BodyTooLarge { limit });
        }
        let fate = Rc::clone(self.fate);
        Ok(RequestBody::new(body, limit, Pace::of(proxy), self.ticket.wire, fate))
    }

    /// The caller's trace if it has one, else a new one.
    fn trace(&self) -> TraceParent {
        let mut sent = self.parts.headers.get_all("traceparent").into_iter();
        let only = sent.next().filter(|_| sent.next().is_none());
        only.and_then(|value| TraceParent::parse(value.as_bytes())).unwrap_or_else(|| {
            let mut rng = self.session.worker.rng.borrow_mut();
            TraceParent::begin(rng.u128(..), rng.u64(..))
        })
    }
}

/// Whether nothing more is read from this connection: it is not sure what its next bytes are, or its head can be read
/// in two ways, and whoever stands before us may have read the other one.
fn ends_the_connection(refusal: &Refusal) -> bool {
    match refusal {
        Refusal::AmbiguousPath(_)
        | Refusal::MethodOverride
        | Refusal::MalformedRequest(_)
        | Refusal::ExpectationFailed
        | Refusal::TargetTooLong { .. }
        | Refusal::HeadersTooLarge
        | Refusal::BodyTooLarge { .. }
        | Refusal::RequestTimeout
        | Refusal::Overloaded => true,
        Refusal::DuplicateCredentials
        | Refusal::CredentialsInQuery
        | Refusal::SubscriberKeyMissing
        | Refusal::VendorKeyMissing
        | Refusal::InvalidCredentials
        | Refusal::PermissionDenied(_)
        | Refusal::RouteUnmapped
        | Refusal::RouteDenied
        | Refusal::WrongApi
        | Refusal::VendorMismatch
        | Refusal::UpgradeNotAllowed
        | Refusal::UpstreamUnreachable
        | Refusal::UpstreamProtocolError
        | Refusal::UpstreamTimeout => false,
    }
}
