//! The answers that are the gateway's own, and the only file of the data plane that knows status codes.

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Response, StatusCode};
use http_body_util::Full;

use crate::auth::oauth::Fault;
use crate::config::{
    Config, Credentials, ErrorShape, Schemes, VendorKeyRule, error_template::Shown,
};
use crate::model::refusal::{Lack, Short};
use crate::model::{LimitKind, Overrun, Refusal, RequestId};
use crate::proxy::body::ResponseBody;
use crate::proxy::snapshot::Setup;
use crate::proxy::token_endpoint::TokenReply;
use crate::proxy::well_known::ways;

mod prepared;
mod problem;

pub use prepared::Answers;

use problem::Problem;

const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const PROBLEM: HeaderValue = HeaderValue::from_static("application/problem+json");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const CLOSE: HeaderValue = HeaderValue::from_static("close");
/// The scheme of keys in headers has no registered name.
const API_KEY: HeaderValue = HeaderValue::from_static("ApiKey");
const BEARER: HeaderValue = HeaderValue::from_static("Bearer");
/// Basic cannot do without a realm (RFC 7617); it says no more than any answer of ours.
const BASIC: HeaderValue = HeaderValue::from_static("Basic realm=\"postern\"");
/// As many as an answer of ours has, with those of limits: the map need not grow.
const FIELDS: usize = 6;
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What is said of one kind of refusal.
struct Wording {
    status: StatusCode,
    title: &'static str,
}

/// The answer to a refused request.
pub(crate) fn refuse(setup: &Setup, refusal: &Refusal, id: RequestId) -> Response<ResponseBody> {
    setup.answers.give(refusal, id).unwrap_or_else(|| {
        let (head, body) = compose(&setup.config, refusal, id).into_parts();
        Response::from_parts(head, ResponseBody::Own(Full::new(body)))
    })
}

fn compose(config: &Config, refusal: &Refusal, id: RequestId) -> Response<Bytes> {
    let wording = wording(refusal);
    let digits = id.digits();
    let request_id = std::str::from_utf8(&digits).unwrap_or_default();
    let (body, kind) = body_of(config, refusal, &wording, request_id);
    let mut response = bare(wording.status, body, &digits);
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    if wording.status == StatusCode::UNAUTHORIZED {
        challenge(config.credentials.schemes, response.headers_mut());
    }
    if let Some(seconds) = refusal.overrun().and_then(Overrun::retry_after) {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// How keys may be presented, and nothing of what was wrong with those that were.
fn challenge(schemes: Schemes, fields: &mut HeaderMap) {
    let Schemes { headers, bearer, basic, username_header, oauth2 } = schemes;
    let offered =
        [(headers || username_header, API_KEY), (bearer || oauth2, BEARER), (basic, BASIC)];
    for (_, challenge) in offered.into_iter().filter(|(is_taken, _)| *is_taken) {
        fields.append(header::WWW_AUTHENTICATE, challenge);
    }
}

/// Of the answer to a refused request, for who only counts it.
pub(crate) fn status(refusal: &Refusal) -> u16 {
    wording(refusal).status.as_u16()
}

/// Says that this connection is not to be used again.
pub(crate) fn close(response: &mut Response<ResponseBody>) {
    response.headers_mut().insert(header::CONNECTION, CLOSE);
}

/// The same as a status and bytes, for a caller whose head never ended, so that hyper has no request to answer.
pub(crate) fn refuse_on_the_wire(
    config: &Config,
    refusal: &Refusal,
    id: RequestId,
) -> (u16, Vec<u8>) {
    let wording = wording(refusal);
    let request_id = id.to_string();
    let (body, kind) = body_of(config, refusal, &wording, &request_id);
    let kind = kind.to_str().unwrap_or_default();
    let (status, length) = (wording.status, body.len());
    let mut bytes = format!(
        "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\ncache-control: no-store\r\n\
         x-request-id: {request_id}\r\nconnection: close\r\n\r\n"
    )
    .into_bytes();
    bytes.extend_from_slice(&body);
    (status.as_u16(), bytes)
}

/// The answer to a CORS preflight of a configured origin; who may do what is decided at the request itself.
pub(crate) fn preflight(
    methods: &'static str,
    headers: Option<HeaderValue>,
    id: RequestId,
) -> Response<ResponseBody> {
    let mut response = own(StatusCode::NO_CONTENT, Bytes::new(), id);
    let fields = response.headers_mut();
    fields.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(methods));
    if let Some(headers) = headers {
        fields.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, headers);
    }
    fields.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    response
}

/// A document of the gateway itself.
pub(crate) fn document(json: String, id: RequestId) -> Response<ResponseBody> {
    let mut response = own(StatusCode::OK, Bytes::from(json), id);
    response.headers_mut().insert(header::CONTENT_TYPE, JSON);
    response
}

/// What an OAuth2 client is answered, as RFC 6749 wants it: 401 and a challenge where it is not known, else 400.
pub(crate) fn token(reply: TokenReply, id: RequestId) -> Response<ResponseBody> {
    let (status, json) = match reply {
        TokenReply::Granted(json) => (StatusCode::OK, json),
        TokenReply::Revoked => (StatusCode::OK, "{}".to_owned()),
        TokenReply::Refused(fault @ Fault::InvalidClient(_)) => {
            (StatusCode::UNAUTHORIZED, fault.document())
        }
        TokenReply::Refused(fault) => (StatusCode::BAD_REQUEST, fault.document()),
    };
    let mut response = own(status, Bytes::from(json), id);
    let fields = response.headers_mut();
    fields.insert(header::CONTENT_TYPE, JSON);
    fields.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
    if status == StatusCode::UNAUTHORIZED {
        let challenge = HeaderValue::from_static("Basic realm=\"postern\"");
        fields.insert(header::WWW_AUTHENTICATE, challenge);
    }
    response
}

/// Whether a head is all of an answer, whatever body it has.
pub(crate) fn is_head<B>(method: &Method, response: &Response<B>) -> bool {
    let bare = [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED];
    method == Method::HEAD || bare.contains(&response.status())
}

/// Whether the connection speaks another protocol after this answer.
pub(crate) fn is_upgrade<B>(response: &Response<B>) -> bool {
    response.status() == StatusCode::SWITCHING_PROTOCOLS
}

fn own(status: StatusCode, body: Bytes, id: RequestId) -> Response<ResponseBody> {
    bare(status, body, &id.digits()).map(|body| ResponseBody::Own(Full::new(body)))
}

fn bare(status: StatusCode, body: Bytes, id: &[u8]) -> Response<Bytes> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let fields = response.headers_mut();
    fields.reserve(FIELDS);
    fields.insert(header::CACHE_CONTROL, NO_STORE);
    if let Ok(id) = HeaderValue::from_bytes(id) {
        fields.insert(REQUEST_ID, id);
    }
    response
}

fn body_of(
    config: &Config,
    refusal: &Refusal,
    wording: &Wording,
    request_id: &str,
) -> (Bytes, HeaderValue) {
    let detail = detail(refusal, config);
    let (status, title) = (wording.status.as_u16(), wording.title);
    if let ErrorShape::Template(template) = &config.errors {
        let shown = Shown { status, code: refusal.code(), title, detail: &detail, request_id };
        return (Bytes::from(template.render(shown)), JSON);
    }
    let problem = Problem { status, title, detail: &detail, request_id };
    (Bytes::from(problem.document(refusal)), PROBLEM)
}

fn wording(refusal: &Refusal) -> Wording {
    let (status, title) = match refusal {
        Refusal::AmbiguousPath(_) => (StatusCode::BAD_REQUEST, "Ambiguous target"),
        Refusal::MethodOverride => (StatusCode::BAD_REQUEST, "Method override"),
        Refusal::MalformedRequest(_) => (StatusCode::BAD_REQUEST, "Malformed request"),
        Refusal::DuplicateCredentials => (StatusCode::BAD_REQUEST, "Duplicate credentials"),
        Refusal::CredentialsInQuery => (StatusCode::BAD_REQUEST, "Credentials in the query"),
        Refusal::ExpectationFailed => (StatusCode::EXPECTATION_FAILED, "Expectation failed"),
        Refusal::SubscriberKeyMissing => (StatusCode::UNAUTHORIZED, "Subscriber key missing"),
        Refusal::VendorKeyMissing => (StatusCode::UNAUTHORIZED, "Vendor key missing"),
        Refusal::InvalidCredentials => (StatusCode::UNAUTHORIZED, "Invalid credentials"),
        Refusal::KeyExpired => (StatusCode::UNAUTHORIZED, "Key expired"),
        Refusal::KeyDisabled => (StatusCode::UNAUTHORIZED, "Key disabled"),
        Refusal::KeyRevoked => (StatusCode::UNAUTHORIZED, "Key revoked"),
        Refusal::PermissionDenied(_) => (StatusCode::FORBIDDEN, "Permission denied"),
        Refusal::RouteUnmapped => (StatusCode::FORBIDDEN, "Route not mapped"),
        Refusal::RouteDenied => (StatusCode::FORBIDDEN, "Route denied"),
        Refusal::WrongApi => (StatusCode::FORBIDDEN, "Key is for another API"),
        Refusal::VendorMismatch => (StatusCode::FORBIDDEN, "Key is for another vendor"),
        Refusal::VendorNotApproved => (StatusCode::FORBIDDEN, "Vendor not approved"),
        Refusal::ApiAccessDisabled => (StatusCode::FORBIDDEN, "API access is off"),
        Refusal::IpNotAllowed => (StatusCode::FORBIDDEN, "Address not allowed"),
        Refusal::WrongRegion { .. } => (StatusCode::MISDIRECTED_REQUEST, "Wrong region"),
        Refusal::UpgradeNotAllowed => (StatusCode::FORBIDDEN, "Upgrade not allowed"),
        Refusal::BodyTooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "Body too large"),
        Refusal::TargetTooLong { .. } => (StatusCode::URI_TOO_LONG, "Target too long"),
        Refusal::HeadersTooLarge => {
            (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "Headers too large")
        }
        Refusal::RequestTimeout => (StatusCode::REQUEST_TIMEOUT, "Request too slow"),
        Refusal::Overloaded => (StatusCode::SERVICE_UNAVAILABLE, "Overloaded"),
        Refusal::RegistryStale => (StatusCode::SERVICE_UNAVAILABLE, "Key registry out of reach"),
        Refusal::LogUnavailable => (StatusCode::SERVICE_UNAVAILABLE, "Access log unavailable"),
        Refusal::RateLimited(_) => (StatusCode::TOO_MANY_REQUESTS, "Rate limited"),
        Refusal::QuotaExceeded(_) => (StatusCode::TOO_MANY_REQUESTS, "Quota of the day exceeded"),
        Refusal::TooManyFailures(_) => (StatusCode::TOO_MANY_REQUESTS, "Too many failures"),
        Refusal::TooManyConcurrent(_) => {
            (StatusCode::TOO_MANY_REQUESTS, "Too many requests at once")
        }
        Refusal::LimitsUnavailable => (StatusCode::SERVICE_UNAVAILABLE, "Limits unavailable"),
        Refusal::UpstreamUnreachable => (StatusCode::BAD_GATEWAY, "Practice system unreachable"),
        Refusal::UpstreamProtocolError => {
            (StatusCode::BAD_GATEWAY, "Practice system answered wrongly")
        }
        Refusal::UpstreamTimeout => (StatusCode::GATEWAY_TIMEOUT, "Practice system too slow"),
    };
    Wording { status, title }
}

/// What to do about it, in a sentence.
fn detail(refusal: &Refusal, config: &Config) -> std::borrow::Cow<'static, str> {
    let keys = &config.credentials;
    match refusal {
        Refusal::AmbiguousPath(why) => {
            return format!("The target of the request could be read in two ways: {why}.").into();
        }
        Refusal::MalformedRequest(why) => {
            return format!("The request is not strictly HTTP: {why}.").into();
        }
        Refusal::SubscriberKeyMissing => {
            return format!("Send the practice's key {}.", ways(keys)).into();
        }
        Refusal::VendorKeyMissing => return vendor_key_wanted(keys).into(),
        Refusal::PermissionDenied(lack) => return lacking(lack).into(),
        Refusal::BodyTooLarge { limit } => {
            return format!("The body may have {limit} bytes at most.").into();
        }
        Refusal::TargetTooLong { limit } => {
            return format!("The target may have {limit} bytes at most.").into();
        }
        Refusal::RateLimited(over)
        | Refusal::QuotaExceeded(over)
        | Refusal::TooManyFailures(over)
        | Refusal::TooManyConcurrent(over) => return over_the_limit(refusal, over).into(),
        Refusal::WrongRegion { host: Some(host) } => {
            return format!("The practice of this key is served at {host}. Send the request there.").into();
        }
        Refusal::WrongRegion { host: None } => {
            "The practice of this key is served in a region that this gateway does not know."
        }
        Refusal::KeyExpired => "This key has expired, was rotated, or was not used for too long. Ask the practice for a new one.",
        Refusal::KeyDisabled => "The practice has switched this key off. Ask the practice to switch it on.",
        Refusal::KeyRevoked => "The practice has revoked this key for good. Ask the practice for a new one.",
        Refusal::VendorNotApproved => "The vendor is not approved, or its agreement has ended. Ask whoever runs this gateway.",
        Refusal::ApiAccessDisabled => "The practice has switched its API access off. Ask the practice to switch it on.",
        Refusal::IpNotAllowed => "This key may be used from certain addresses alone, and this is none of them.",
        Refusal::RegistryStale => "The gateway has lost contact with its store of keys. Try again in a moment.",
        Refusal::LogUnavailable => "The gateway cannot keep a record of the request, so it was not passed on. Try again in a moment.",
        Refusal::LimitsUnavailable => "The gateway cannot count this request together with its other nodes, so it was not passed on. Try again in a moment.",
        Refusal::MethodOverride => "Use the method itself; overrides of it are not taken.",
        Refusal::DuplicateCredentials => "Send each key once, in one place.",
        Refusal::CredentialsInQuery => {
            "Keys do not belong in a query, where they are written to logs. Send them in headers, and replace this one."
        }
        Refusal::ExpectationFailed => "`100-continue` is the only expectation that can be met.",
        Refusal::InvalidCredentials => "The credentials are not valid. Check every one of them.",
        Refusal::RouteUnmapped => "No rule of this gateway speaks of this method and path.",
        Refusal::RouteDenied => "This is not open to callers.",
        Refusal::WrongApi => "This key was made for another API of the practice system.",
        Refusal::VendorMismatch => "This key may be used by the vendor it was made for alone.",
        Refusal::UpgradeNotAllowed => "WebSockets are not open on this path.",
        Refusal::HeadersTooLarge => "The head of the request is too large. Send fewer or shorter headers.",
        Refusal::RequestTimeout => "The request did not arrive in time. Send it again, faster.",
        Refusal::Overloaded => "The gateway has too much to do. Try again in a moment.",
        Refusal::UpstreamUnreachable => "The practice system cannot be reached. Try again later.",
        Refusal::UpstreamProtocolError => "The practice system gave an answer that is not HTTP.",
        Refusal::UpstreamTimeout => "The practice system did not answer in time.",
    }
    .into()
}

fn vendor_key_wanted(keys: &Credentials) -> String {
    let header = &keys.spelling.vendor;
    if keys.vendor_key == VendorKeyRule::Required {
        return format!("Send your vendor key in {header}.");
    }
    format!("This key may be used by one vendor alone: send its vendor key in {header}.")
}

fn lacking(lack: &Lack) -> String {
    let (category, needed) = (&lack.category, lack.needed.need());
    let granted = lack.granted.permission();
    let has = match lack.short {
        Short::Key => format!("the key has `{granted}`. Ask the practice for it."),
        Short::Token => {
            format!(
                "the key has it, and this token was made for `{granted}`. Ask for a token with a wider scope."
            )
        }
        Short::Both => {
            format!(
                "this token has `{granted}`, and its key does not have it either. Ask the practice for it."
            )
        }
    };
    format!("This request needs `{needed}` on `{category}`; {has}")
}

/// Whose limit it is, how much it allows, and what to do.
fn over_the_limit(refusal: &Refusal, over: &Overrun) -> String {
    if over.kind == LimitKind::Concurrent {
        let most = &over.allowed;
        return format!(
            "This key may have {most}, and has them. Try again when one of its requests is answered."
        );
    }
    // In one piece, not put together from many: floods end here.
    let mut text = String::with_capacity(192);
    text.push_str("The limit of ");
    match (refusal, over.limit.split_once(':')) {
        (Refusal::TooManyFailures(_), _) => {
            text.push_str("requests without valid keys from your address");
        }
        (_, Some((_, category))) => text.extend(["requests of this key within `", category, "`"]),
        (Refusal::QuotaExceeded(_), None) => text.push_str("this key for today (UTC)"),
        (_, None) => text.push_str(match &*over.limit {
            "vendor" => "all requests of this vendor",
            "practice" => "all keys of this practice together",
            "source" => "requests from your address to public paths",
            _ => "this key",
        }),
    }
    text.extend([" is used up: ", &over.allowed]);
    if let Some(burst) = over.burst {
        text.extend([", in bursts of ", itoa::Buffer::new().format(burst)]);
    }
    text.push('.');
    if over.cost > 1 {
        text.extend([" This request takes ", itoa::Buffer::new().format(over.cost), " of it."]);
    }
    match over.retry_after() {
        Some(1) => text.push_str(" Try again in a second."),
        Some(seconds) => {
            text.extend([" Try again in ", itoa::Buffer::new().format(seconds), " seconds."]);
        }
        None => text.push(' '),
    }
    text
}

#[cfg(test)]
mod tests;
