//! How a request ends up on record, and how its answer leaves.
//!
//! A request that is let through has its record begun here, before anything of it is passed on. One that is answered here has
//! its record written before the answer leaves; where it cannot be kept, the answer is that it cannot.

use http::Response;
use http_body::Body as _;

use crate::model::{Decision, Method, Outcome, Refusal};
use crate::proxy::body::response::ResponseBody;
use crate::proxy::discretion::Issued;
use crate::proxy::facts::{Subject, Wanted};
use crate::proxy::handle::{Exchange, Pass};
use crate::proxy::limiting::{self, Account};
use crate::proxy::pulse::Wire;
use crate::proxy::recording::{Recording, micros};
use crate::proxy::strangers::Refused;
use crate::proxy::{cors, respond};

impl<'r> Exchange<'r, '_> {
    /// Nothing goes upstream before this. What was taken from limits is accounted for when it is complete.
    pub(super) fn record(&self, pass: &Pass<'_>, account: Option<Account>) -> Result<(), Refusal> {
        let Self { session, snapshot, arrival, .. } = *self;
        let worker = &session.worker;
        if !worker.recorder.is_on() && account.is_none() {
            return Ok(());
        }
        let is_issued = |text: &[u8]| worker.keys.verifier.is_issued(text);
        let wanted = Wanted::Judged(&pass.admission.needs);
        let opening = self.facts.opening(&self.subject(), wanted, &Issued(&is_issued));
        let on_failure = snapshot.config.log.on_failure;
        let mut recording = Recording::begin(worker, &opening, arrival.at, self.fate, on_failure)?;
        recording.owes(account, self.facts.observed.get());
        self.ticket.recording.put(recording);
        Ok(())
    }

    fn subject(&self) -> Subject<'r> {
        Subject {
            id: self.arrival.id,
            ts: self.arrival.ts,
            parts: self.parts,
            config: &self.snapshot.config,
            session: self.session,
        }
    }

    /// The answer as it goes out, and the record of a request that went nowhere.
    pub(super) fn conclude(
        &self,
        mut outcome: Result<Response<ResponseBody>, Refusal>,
        has_body: bool,
    ) -> Response<ResponseBody> {
        let Self { session, snapshot, ticket, arrival, .. } = *self;
        let config = &snapshot.config;
        let (mut response, code, close) = loop {
            let wanted = match &outcome {
                Err(Refusal::PermissionDenied(lack)) => Some((lack.category.clone(), lack.needed)),
                _ => None,
            };
            let concluded = match outcome {
                // What is left of an upload is not for the upstream any more, and no request either.
                Ok(response) => (response, self.facts.fault.get(), !self.fate.has_ended()),
                Err(refusal) => {
                    let close = has_body || ends_the_connection(&refusal);
                    (respond::refuse(snapshot, &refusal, arrival.id), refusal.code(), close)
                }
            };
            let (response, code, _) = &concluded;
            let wanted = wanted.as_ref();
            let wanted =
                wanted.map_or(Wanted::Unjudged, |(scope, access)| Wanted::Lacking(scope, *access));
            match self.note(response, code, wanted) {
                Ok(()) => break concluded,
                Err(unkept) => outcome = Err(unkept),
            }
        };
        if close {
            session.pulse.set_linger();
        }
        // HTTP/2 has no such header: a stream that ends leaves the others alone.
        if close && ticket.wire == Wire::Http1 {
            respond::close(&mut response);
        }
        // Where it could not be recorded, what it took was given back since they were looked at.
        if let Some(standings) = self.facts.standings.get()
            && code != Refusal::LogUnavailable.code()
        {
            limiting::tell(&snapshot.limits, standings, response.headers_mut());
        }
        cors::permit(&config.proxy.cors_origins, &self.parts.headers, response.headers_mut());
        session.worker.cells.request(response.status().as_u16(), code);
        response
    }

    /// Tells a begun record its answer, or writes that of a request that was answered here.
    fn note(
        &self,
        response: &Response<ResponseBody>,
        code: &'static str,
        wanted: Wanted<'_>,
    ) -> Result<(), Refusal> {
        let Self { session, facts, .. } = *self;
        let status = response.status().as_u16();
        let recorder = &session.worker.recorder;
        let is_begun = self.ticket.recording.with(|recording| recording.answered(status, code));
        // There is no record of there being no records: that is a metric.
        if is_begun || !recorder.is_on() || code == Refusal::LogUnavailable.code() {
            return Ok(());
        }
        let is_issued = |text: &[u8]| session.worker.keys.verifier.is_issued(text);
        let subject = self.subject();
        let opening = || facts.opening(&subject, wanted, &Issued(&is_issued));
        let is_head = facts.method.get() == Some(Method::Head);
        let length = if is_head { None } else { response.body().size_hint().exact() };
        let refused = !code.is_empty();
        let outcome = Outcome {
            decision: if refused { Decision::Deny } else { Decision::Allow },
            code: code.into(),
            status,
            bytes_in: self.fate.bytes(),
            bytes_out: length.unwrap_or_default(),
            duration_us: micros(self.arrival.at.elapsed()),
            upstream_us: None,
            count: 1,
        };
        let on_failure = self.snapshot.config.log.on_failure;
        if refused && facts.is_of_a_stranger() {
            let refused = Refused { ip: facts.ip(&subject), ts: subject.ts, outcome: &outcome };
            recorder.write_of_stranger(refused, opening, on_failure)
        } else {
            recorder.write(&opening(), &outcome, on_failure)
        }
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
        | Refusal::KeyExpired
        | Refusal::KeyDisabled
        | Refusal::KeyRevoked
        | Refusal::PermissionDenied(_)
        | Refusal::RouteUnmapped
        | Refusal::RouteDenied
        | Refusal::WrongApi
        | Refusal::VendorMismatch
        | Refusal::VendorNotApproved
        | Refusal::ApiAccessDisabled
        | Refusal::IpNotAllowed
        | Refusal::WrongRegion { .. }
        | Refusal::LogUnavailable
        | Refusal::RateLimited(_)
        | Refusal::QuotaExceeded(_)
        | Refusal::TooManyFailures(_)
        | Refusal::TooManyConcurrent(_)
        | Refusal::LimitsUnavailable
        | Refusal::RegistryStale
        | Refusal::UpgradeNotAllowed
        | Refusal::UpstreamUnreachable
        | Refusal::UpstreamProtocolError
        | Refusal::UpstreamTimeout => false,
    }
}
