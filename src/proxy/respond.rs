//! The answers that are the gateway's own, and the only file of the data plane that knows status codes.

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Response, StatusCode};
use http_body_util::Full;
use serde::Serialize;

use crate::config::{Config, ErrorShape, error_template::Shown};
use crate::model::{Refusal, RequestId};
use crate::proxy::body::ResponseBody;

const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const PROBLEM: HeaderValue = HeaderValue::from_static("application/problem+json");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const CLOSE: HeaderValue = HeaderValue::from_static("close");
/// The scheme of keys in headers has no registered name; a realm would tell a stranger something.
const CHALLENGE: HeaderValue = HeaderValue::from_static("ApiKey");

/// RFC 9457, with what this gateway adds.
#[derive(Serialize)]
struct Problem<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    code: &'a str,
    request_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    category: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    needed: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    granted: Option<&'a str>,
}

/// What is said of one kind of refusal.
struct Wording {
    status: StatusCode,
    title: &'static str,
}

/// The answer to a refused request.
pub(crate) fn refuse(config: &Config, refusal: &Refusal, id: RequestId) -> Response<ResponseBody> {
    let wording = wording(refusal);
    let digits = id.digits();
    let request_id = std::str::from_utf8(&digits).unwrap_or_default();
    let (body, kind) = body_of(config, refusal, &wording, request_id);
    let mut response = bare(wording.status, body, id);
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    if wording.status == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, CHALLENGE);
    }
    response
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
    let mut response = bare(StatusCode::NO_CONTENT, Bytes::new(), id);
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
    let mut response = bare(StatusCode::OK, Bytes::from(json), id);
    response.headers_mut().insert(header::CONTENT_TYPE, JSON);
    response
}

/// Whether the connection speaks another protocol after this answer.
pub(crate) fn is_upgrade<B>(response: &Response<B>) -> bool {
    response.status() == StatusCode::SWITCHING_PROTOCOLS
}

fn bare(status: StatusCode, body: Bytes, id: RequestId) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::Own(Full::new(body)));
    *response.status_mut() = status;
    let fields = response.headers_mut();
    fields.insert(header::CACHE_CONTROL, NO_STORE);
    if let Ok(id) = HeaderValue::from_bytes(&id.digits()) {
        fields.insert("x-request-id", id);
    }
    response
}

fn body_of(
    config: &Config,
    refusal: &Refusal,
    wording: &Wording,
    request_id: &str,
) -> (Bytes, HeaderValue) {
    let code = refusal.code();
    let detail = detail(refusal, config);
    let (status, title) = (wording.status.as_u16(), wording.title);
    if let ErrorShape::Template(template) = &config.errors {
        let shown = Shown { status, code, title, detail: &detail, request_id };
        return (Bytes::from(template.render(shown)), JSON);
    }
    let lack = match refusal {
        Refusal::PermissionDenied(lack) => Some(lack),
        _ => None,
    };
    let problem = Problem {
        r#type: format!("urn:postern:error:{code}"),
        title,
        status,
        detail: &detail,
        code,
        request_id,
        category: lack.map(|lack| &*lack.category),
        needed: lack.map(|lack| lack.needed.need()),
        granted: lack.map(|lack| lack.granted.permission()),
    };
    let mut json = serde_json::to_vec(&problem).unwrap_or_default();
    json.push(b'\n');
    (Bytes::from(json), PROBLEM)
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
        Refusal::PermissionDenied(_) => (StatusCode::FORBIDDEN, "Permission denied"),
        Refusal::RouteUnmapped => (StatusCode::FORBIDDEN, "Route not mapped"),
        Refusal::RouteDenied => (StatusCode::FORBIDDEN, "Route denied"),
        Refusal::WrongApi => (StatusCode::FORBIDDEN, "Key is for another API"),
        Refusal::VendorMismatch => (StatusCode::FORBIDDEN, "Key is for another vendor"),
        Refusal::UpgradeNotAllowed => (StatusCode::FORBIDDEN, "Upgrade not allowed"),
        Refusal::BodyTooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "Body too large"),
        Refusal::TargetTooLong { .. } => (StatusCode::URI_TOO_LONG, "Target too long"),
        Refusal::HeadersTooLarge => {
            (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "Headers too large")
        }
        Refusal::RequestTimeout => (StatusCode::REQUEST_TIMEOUT, "Request too slow"),
        Refusal::Overloaded => (StatusCode::SERVICE_UNAVAILABLE, "Overloaded"),
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
            return format!("Send the practice's key in {}.", keys.spelling.subscriber).into();
        }
        Refusal::VendorKeyMissing => {
            return format!("Send your vendor key in {}.", keys.spelling.vendor).into();
        }
        Refusal::PermissionDenied(lack) => {
            let (category, needed) = (&lack.category, lack.needed.need());
            let granted = lack.granted.permission();
            return format!(
                "This request needs `{needed}` on `{category}`; the key has `{granted}`. Ask the practice for it."
            )
            .into();
        }
        Refusal::BodyTooLarge { limit } => {
            return format!("The body may have {limit} bytes at most.").into();
        }
        Refusal::TargetTooLong { limit } => {
            return format!("The target may have {limit} bytes at most.").into();
        }
        Refusal::MethodOverride => "Use the method itself; overrides of it are not taken.",
        Refusal::DuplicateCredentials => "Send each key once, in one place.",
        Refusal::CredentialsInQuery => {
            "Keys do not belong in a query, where they are written to logs. Send them in their headers, and replace this one."
        }
        Refusal::ExpectationFailed => "`100-continue` is the only expectation that can be met.",
        Refusal::InvalidCredentials => "The keys are not valid. Check both of them.",
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

#[cfg(test)]
mod tests;
