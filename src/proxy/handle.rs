//! The way of one request, in the contract's order. No step of it knows a status code.
//!
//! Deciding is a function without a wait: it reads one snapshot from its first step to its last. Where a key is new to
//! this process it is verified outside, and then everything is decided again by the snapshot of that later moment, so
//! that a revocation in between holds.

use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Instant;

use http::request::Parts;
use http::{Request, Response};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;

use crate::auth::Presented;
use crate::auth::verifier::Lookup;
use crate::config::Proxy;
use crate::model::{Caller, Method, Refusal, RequestId, Timestamp, TraceParent};
use crate::policy::judge::Found;
use crate::policy::{Admission, Target};
use crate::proxy::body::request::{Fate, Pace, RequestBody};
use crate::proxy::body::response::ResponseBody;
use crate::proxy::client_address::client_address;
use crate::proxy::facts::{Facts, Known};
use crate::proxy::forward::{Passage, forward, websocket};
use crate::proxy::head::{Framing, Head, Verb};
use crate::proxy::pulse::Wire;
use crate::proxy::session::{Answer, Session, Ticket};
use crate::proxy::token_endpoint::{self, TokenRequest};
use crate::proxy::well_known::Own;
use crate::proxy::worker::Lent;
use crate::proxy::{cors, region, respond, well_known};
use crate::registry::view::Identity;

mod charge;
mod conclusion;

/// How often one request is decided again because a key of it was new: each time another one could be.
const DECISIONS: usize = 4;

/// One request, as long as it is decided about.
#[derive(Clone, Copy)]
struct Exchange<'r, 'f> {
    session: &'r Rc<Session>,
    snapshot: &'r Lent,
    parts: &'r Parts,
    ticket: &'r Ticket,
    arrival: Arrival,
    /// When it is decided: later than it came where a key had to be verified.
    now: Timestamp,
    at: Instant,
    fate: &'r Rc<Fate>,
    /// What is found out on the way.
    facts: &'f Facts<'r>,
}

/// When a request came, and the name it was given.
#[derive(Clone, Copy)]
struct Arrival {
    id: RequestId,
    ts: Timestamp,
    at: Instant,
}

/// What is to be done about a request.
enum Step<'r> {
    Answer(Response<ResponseBody>),
    /// It asks for an access token, or gives one back.
    Token(Method, &'r Target<'r>, IpAddr),
    /// It asks what its keys are, and what is left of their limits.
    WhoAmI(&'r Caller, &'r Identity),
    Pass(Pass<'r>),
}

/// A request that may pass.
struct Pass<'r> {
    method: Method,
    head: Head<'r>,
    target: &'r Target<'r>,
    admission: Admission<'r>,
    known: Option<&'r Known>,
    client: IpAddr,
    upgrade: Option<OnUpgrade>,
}

type Verification = Pin<Box<dyn Future<Output = Result<(), Refusal>> + Send>>;

/// Why nothing is to be done yet, or at all.
enum Halt {
    Refused(Refusal),
    /// A key of it was never verified in this process.
    FirstUse(Verification),
}

impl From<Refusal> for Halt {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
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
    let mut snapshot = session.worker.current();
    let arrival = Arrival {
        id: RequestId::new(session.worker.rng.borrow_mut().u128(..)),
        ts: session.worker.clock.now(),
        at: Instant::now(),
    };
    let has_body = !body.is_end_stream();
    let fate = session.fate(!has_body);
    let (mut decisions, mut now, mut at) = (0, arrival.ts, arrival.at);
    let response = loop {
        let facts = Facts::default();
        let exchange = Exchange {
            session: &session,
            snapshot: &snapshot,
            parts: &parts,
            ticket: &ticket,
            arrival,
            now,
            at,
            fate: &fate,
            facts: &facts,
        };
        let outcome = match exchange.decide() {
            Ok(Step::Answer(response)) => Ok(response),
            Ok(Step::Token(method, target, client)) => {
                Box::pin(exchange.token(method, target, client, body)).await
            }
            Ok(Step::WhoAmI(caller, identity)) => {
                Ok(Box::pin(exchange.who_am_i(caller, identity)).await)
            }
            // In a box: it is most of what hyper would move for each request, refused ones too.
            Ok(Step::Pass(pass)) => Box::pin(exchange.pass(&pass, body)).await,
            Err(Halt::Refused(refusal)) => Err(refusal),
            Err(Halt::FirstUse(verified)) => {
                decisions += 1;
                match verified.await {
                    Err(refusal) => Err(refusal),
                    Ok(()) if decisions == DECISIONS => Err(Refusal::Overloaded),
                    Ok(()) => {
                        snapshot = session.worker.current();
                        (now, at) = (session.worker.clock.now(), Instant::now());
                        continue;
                    }
                }
            }
        };
        let outcome = exchange.hold_against_its_source(outcome);
        if let Some(turn) = exchange.turn_of_a_stranger(&outcome) {
            // In a box: few wait, and every request would carry it.
            Box::pin(turn.come()).await;
        }
        break exchange.conclude(outcome, has_body);
    };
    let is_head = respond::is_head(&parts.method, &response);
    Ok(response.map(|body| Answer::new(body, ticket, is_head)))
}

impl<'r, 'f> Exchange<'r, 'f> {
    /// Everything that is judged before anything of the request is passed on.
    fn decide(self) -> Result<Step<'f>, Halt> {
        let Self { session, snapshot, parts, facts, .. } = self;
        let (config, headers) = (&snapshot.config, &parts.headers);
        let Proxy { max_target, max_headers, .. } = config.proxy;
        let client = client_address(session.peer, &config.proxy.trusted_proxies, headers);
        facts.client.set(Some(client));
        if let Some(flaw) = session.pulse.flaw(self.ticket.position) {
            return Err(flaw.refusal(max_target).into());
        }
        let head = Head::screen(parts, session.https, max_target, max_headers)?;
        let parsed = Target::parse(head.target)?;
        parsed.screen_query()?;
        let target = facts.target.get_or_init(|| parsed);
        let Verb::Forward(method) = head.verb else { return Ok(Step::Answer(self.options()?)) };
        facts.method.set(Some(method));
        let own = Own::asked(method, target);
        facts.own.set(own.map(Own::path));
        if own == Some(Own::Document) {
            let document = well_known::document(config);
            return Ok(Step::Answer(respond::document(document, self.arrival.id)));
        }
        if token_endpoint::answers(config, method, target.path()) {
            facts.own.set(Some(token_endpoint::path(config, target.path())));
            self.is_current()?;
            return Ok(Step::Token(method, target, client));
        }
        let presented = Presented::read(&config.credentials, headers, target)?;
        facts.is_screened.set(true);
        if own == Some(Own::WhoAmI) {
            return self.who_asks(&presented, head.host, client);
        }
        let found = config.policy.find(target, method);
        let known =
            if found.is_public() { None } else { Some(self.known(&presented, head.host, client)?) };
        // Only now: a stranger's record does not say what is mapped either.
        if let Found::Rule(rule) | Found::NoMethod(rule) = found {
            facts.rule.set(Some(rule));
        }
        let caller = known.map(|known| &known.caller);
        let admission = config.policy.judge(found, method, target, headers, caller)?;
        let upgrade = self.upgrade(&head, &admission)?;
        if let Some(key) = known.and_then(|known| Some(known.identity.as_ref()?.key)) {
            snapshot.view.used(key, self.arrival.ts);
        }
        Ok(Step::Pass(Pass { method, head, target, admission, known, client, upgrade }))
    }

    /// What was revoked elsewhere may not be known here after too long without the store.
    fn is_current(&self) -> Result<(), Refusal> {
        let staleness = self.session.worker.keys.registry.staleness();
        let is_stale = staleness > self.snapshot.config.proxy.max_staleness;
        if is_stale { Err(Refusal::RegistryStale) } else { Ok(()) }
    }

    /// Whose the keys are and what they are worth now. What is told only after the route stands in the caller.
    fn known(
        &self,
        presented: &Presented<'_>,
        host: &str,
        client: IpAddr,
    ) -> Result<&'f Known, Halt> {
        self.is_current()?;
        let (worker, snapshot) = (&self.session.worker, self.snapshot);
        let (view, now) = (&snapshot.view, self.now);
        let looked_up = worker.keys.verifier.look_up(&worker.remembered, view, presented, now);
        let identity = match looked_up {
            Lookup::Known(identity) => identity?,
            Lookup::FirstUse(verified) => return Err(Halt::FirstUse(verified)),
        };
        let mut caller = match view.caller(&identity, client, now) {
            Ok(caller) => caller,
            Err(refusal) => {
                self.facts.held_by(view.holder(&identity));
                return Err(refusal.into());
            }
        };
        self.session.has_valid_keys(self.arrival.at);
        region::place(&mut caller, view.region(identity.key), &snapshot.config.regions, host);
        Ok(self.facts.known.get_or_init(|| Known { caller, identity: Some(identity) }))
    }

    /// Whoever could call may ask what it is.
    fn who_asks(
        &self,
        presented: &Presented<'_>,
        host: &str,
        client: IpAddr,
    ) -> Result<Step<'f>, Halt> {
        let Known { caller, identity: Some(identity) } = self.known(presented, host, client)?
        else {
            return Err(Refusal::InvalidCredentials.into());
        };
        if let Some(objection) = &caller.objection {
            return Err(objection.clone().into());
        }
        self.snapshot.view.used(identity.key, self.arrival.ts);
        Ok(Step::WhoAmI(caller, identity))
    }

    async fn who_am_i(&self, caller: &Caller, identity: &Identity) -> Response<ResponseBody> {
        let limits = self.overview(caller, identity).await;
        let (config, view) = (&self.snapshot.config, &self.snapshot.view);
        let document = well_known::who_am_i(config, view, caller, identity, &limits);
        respond::document(document, self.arrival.id)
    }

    async fn token(
        self,
        method: Method,
        target: &Target<'_>,
        client: IpAddr,
        body: Incoming,
    ) -> Result<Response<ResponseBody>, Refusal> {
        let config = &self.snapshot.config;
        let (pace, wire) = (Pace::of(&config.proxy), self.ticket.wire);
        let body =
            RequestBody::new(body, token_endpoint::MAX_BODY, pace, wire, Rc::clone(self.fate));
        let request = TokenRequest {
            config,
            worker: &self.session.worker,
            method,
            target,
            headers: &self.parts.headers,
            client,
            id: self.arrival.id,
            known: &self.facts.known,
            fault: &self.facts.fault,
        };
        token_endpoint::answer(request, body).await
    }

    /// Passes it on, as long as its keys keep their standing.
    async fn pass(
        self,
        pass: &Pass<'_>,
        body: Incoming,
    ) -> Result<Response<ResponseBody>, Refusal> {
        let body = self.bounded(&pass.head, &pass.admission, body)?;
        let by_key = pass.known.and_then(|known| Some((known, known.identity.as_ref()?)));
        let Some((known, identity)) = by_key else {
            self.charge_source(pass)?;
            self.record(pass, None)?;
            return self.forward(pass, body).await;
        };
        let worker = &self.session.worker;
        let open = worker.openings.enter(identity.clone(), self.session.reach(self.ticket.wire));
        let open = self.ticket.open.get_or_init(|| open);
        let passed_on = async {
            if let Some(charged) = self.charge(pass, known, identity).await? {
                let recorded = self.record(pass, self.account(&charged));
                recorded.inspect_err(|_| self.give_back(&charged))?;
            } else {
                self.record(pass, None)?;
            }
            self.forward(pass, body).await
        };
        match open.until_ended(passed_on).await {
            Some(outcome) => outcome,
            None => Err(open.refusal(&worker.current().view, pass.client, worker.clock.now())),
        }
    }

    async fn forward(
        &self,
        pass: &Pass<'_>,
        body: RequestBody,
    ) -> Result<Response<ResponseBody>, Refusal> {
        let Self { session, snapshot, parts, .. } = *self;
        let passage = Passage {
            method: pass.method,
            target: pass.target,
            admission: &pass.admission,
            caller: pass.known.map(|known| &known.caller),
            identity: pass.known.and_then(|known| known.identity.as_ref()),
            request_id: self.arrival.id,
            recording: &self.ticket.recording,
            trace: self.trace(),
            client: pass.client,
            https: session.https,
            host: pass.head.host,
        };
        let Some(upgrade) = pass.upgrade.clone() else {
            let asked = Instant::now();
            let answered = forward(&session.worker, snapshot, &passage, parts, body).await;
            if answered.is_ok() {
                let after = asked.elapsed();
                self.ticket.recording.with(|recording| recording.heard_upstream(after));
            }
            return answered;
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
        Ok(respond::preflight(cors::METHODS, cors::requested_headers(headers), self.arrival.id))
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
        crate::proxy::websocket::check_handshake(self.parts)?;
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
