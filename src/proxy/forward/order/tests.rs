//! Header by header: what a forwarded request is made of.

use std::net::Ipv4Addr;
use std::sync::LazyLock;

use http::Request;

use crate::model::caller::Subscriber;
use crate::model::{ApiId, Catalogue, Grants};
use crate::proxy::upstream::outgoing::Scripted;

use super::*;

static CREDENTIALS: LazyLock<Credentials> = LazyLock::new(|| Credentials {
    subscriber_header: HeaderName::from_static("x-subscriber-key"),
    vendor_header: HeaderName::from_static("x-vendor-key"),
    ..Credentials::default()
});
const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

pub(crate) fn caller() -> Caller {
    let grants: Grants = Catalogue::default().grants(std::iter::empty()).unwrap();
    let subscriber = Subscriber {
        practice: "northside".into(),
        key_id: "k7".into(),
        owner: "zoë 5%".into(),
        api: ApiId(0),
        grants,
        limit: None,
    };
    Caller::new(subscriber.into(), Some("acme".into()))
}

pub(crate) fn order(
    method: Method,
    target: &str,
    caller: Option<&'static Caller>,
) -> Order<'static> {
    Order {
        method,
        target: PathAndQuery::try_from(target).unwrap(),
        stripped: None,
        caller,
        scopes: caller.map_or_else(SmallVec::new, |_| {
            SmallVec::from_slice(&[("patient", Access::READ), ("clinical", Access::WRITE_ONLY)])
        }),
        request_id: RequestId::new(7),
        trace: TraceParent::parse(TRACE.as_bytes()).unwrap(),
        client: Ipv4Addr::new(192, 0, 2, 9).into(),
        https: false,
        host: "gw.test",
        credentials: &CREDENTIALS,
        most_connections: 100,
    }
}

pub(crate) fn parts(lines: &[(&str, &str)]) -> Parts {
    let mut request = Request::get("/v1/patients");
    for (name, value) in lines {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

/// The head towards an upstream, a line each, in the order of names.
fn head(order: &Order<'_>, parts: &Parts, version: Version, body: &Outgoing) -> Vec<String> {
    let own = [(header::AUTHORIZATION, HeaderValue::from_static("Bearer ours"))];
    let to = Addressee {
        host: &HeaderValue::from_static("up:9000"),
        authority: &Authority::from_static("up:9000"),
        https: version == Version::HTTP_2,
        preserve_host: false,
        headers: &own,
        said: &RefCell::default(),
        heard: &RefCell::default(),
        version,
    };
    let headers = order.headers(parts, to, body).unwrap();
    let line = |(name, value): (&HeaderName, &HeaderValue)| {
        format!("{name}: {}", value.to_str().unwrap_or("(bytes)"))
    };
    let mut lines: Vec<_> = headers.iter().map(line).collect();
    lines.sort();
    if version == Version::HTTP_11 {
        assert_eq!(on_wire(order, parts, to, body), lines);
    }
    lines
}

/// The same as it is written.
fn on_wire(order: &Order<'_>, parts: &Parts, to: Addressee<'_>, body: &Outgoing) -> Vec<String> {
    let bytes = order.bytes(parts, to, body).unwrap();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let mut lines: Vec<_> = text.strip_suffix("\r\n\r\n").unwrap().split("\r\n").collect();
    let first = format!("{} {} HTTP/1.1", order.http_method(), order.target);
    assert_eq!(lines.remove(0), first);
    assert!(lines[0].starts_with("host: "), "{lines:?}");
    lines.sort_unstable();
    lines.into_iter().map(str::to_owned).collect()
}

fn identified() -> Order<'static> {
    order(Method::Get, "/v1/patients", Some(Box::leak(Box::new(caller()))))
}

const OURS: [&str; 12] = [
    "authorization: Bearer ours",
    "host: up:9000",
    "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    "x-forwarded-for: 192.0.2.9",
    "x-forwarded-host: gw.test",
    "x-forwarded-proto: http",
    "x-postern-key-id: k7",
    "x-postern-key-owner: zo%C3%AB 5%25",
    "x-postern-practice: northside",
    "x-postern-scopes: patient:read clinical:write",
    "x-postern-vendor: acme",
    "x-request-id: 00000000000000000000000000000007",
];

#[test]
fn a_bare_request_gets_what_the_gateway_says_and_nothing_else() {
    let bare = parts(&[("host", "gw.test")]);
    assert_eq!(head(&identified(), &bare, Version::HTTP_11, &Outgoing::empty()), OURS);
}

#[test]
fn a_caller_who_says_all_of_it_changes_nothing() {
    let forged = [
        ("Host", "gw.test"),
        ("Connection", "close, X-Postern-Practice, x-forwarded-for, Host, X-Request-Id, X-Hop"),
        ("X-Hop", "1"),
        ("X-Postern-Practice", "other"),
        ("X_Postern_Practice", "other"),
        ("X.Postern.Vendor", "other"),
        ("X-Forwarded-For", "1.2.3.4"),
        ("X-Forwarded-Host", "evil"),
        ("Forwarded", "for=1.2.3.4"),
        ("X-Request-Id", "mine"),
        ("Authorization", "Bearer theirs"),
        ("X-Subscriber-Key", "secret"),
        ("X-Vendor-Key", "secret"),
        ("Traceparent", "00-00000000000000000000000000000000-00f067aa0ba902b7-01"),
        ("Tracestate", "a=b"),
        ("Content-Length", "01"),
        ("Transfer-Encoding", "gzip, chunked"),
        ("Expect", "100-continue"),
        ("TE", "trailers"),
        ("Trailer", "X-Postern-Practice"),
        ("Upgrade", "h2c"),
        ("HTTP2-Settings", "AAMAAABkAARAAAAAAAIAAAAA"),
        ("X-Original-URL", "/v1/admin"),
    ];
    assert_eq!(head(&identified(), &parts(&forged), Version::HTTP_11, &Outgoing::empty()), OURS);
}

#[test]
fn what_may_pass_passes_with_every_repeat() {
    let sent = [("Accept", "a"), ("Accept", "b"), ("Cookie", "c=1"), ("Cookie", "d=2")];
    let lines = head(&identified(), &parts(&sent), Version::HTTP_11, &Outgoing::empty());
    let passed: Vec<_> = lines.iter().filter(|line| !OURS.contains(&line.as_str())).collect();
    assert_eq!(passed, ["accept: a", "accept: b", "cookie: c=1; d=2"]);
}

#[test]
fn a_trace_state_belongs_to_the_trace_that_is_continued() {
    let sent = [("traceparent", TRACE), ("tracestate", "a=b")];
    let lines = head(&identified(), &parts(&sent), Version::HTTP_11, &Outgoing::empty());
    assert!(lines.contains(&"tracestate: a=b".to_owned()));
}

#[test]
fn a_public_route_says_who_nobody_is() {
    let public = order(Method::Get, "/v1/status", None);
    let lines = head(&public, &parts(&[]), Version::HTTP_11, &Outgoing::empty());
    assert!(!lines.iter().any(|line| line.starts_with("x-postern-")), "{lines:?}");
}

#[test]
fn framing_comes_from_the_body_alone() {
    let body = |length| {
        let (_, frames) = tokio::sync::mpsc::channel(1);
        Outgoing::from(Scripted { frames, length, fault: std::rc::Rc::default() })
    };
    let table = [
        (Method::Get, Version::HTTP_11, Outgoing::empty(), None),
        (Method::Post, Version::HTTP_11, Outgoing::empty(), Some("content-length: 0")),
        (Method::Delete, Version::HTTP_11, body(Some(3)), Some("content-length: 3")),
        (Method::Get, Version::HTTP_11, body(None), Some("transfer-encoding: chunked")),
        (Method::Post, Version::HTTP_2, body(None), None),
    ];
    for (method, version, body, expected) in table {
        let order = order(method, "/v1/patients", None);
        let lines = head(&order, &parts(&[("content-length", "9")]), version, &body);
        let framing: Vec<_> = lines
            .iter()
            .filter(|line| line.starts_with("content-length") || line.starts_with("transfer-"))
            .collect();
        assert_eq!(framing, Vec::from_iter(expected), "{method} {version:?}");
    }
}

#[test]
fn http2_names_the_endpoint_in_the_target() {
    let lines = head(&identified(), &parts(&[]), Version::HTTP_2, &Outgoing::empty());
    assert!(!lines.iter().any(|line| line.starts_with("host:")));
    let to = Addressee {
        host: &HeaderValue::from_static("up"),
        authority: &Authority::from_static("up"),
        https: true,
        preserve_host: true,
        headers: &[],
        said: &RefCell::default(),
        heard: &RefCell::default(),
        version: Version::HTTP_2,
    };
    let request = identified().request(&parts(&[]), to, Outgoing::empty()).unwrap();
    assert_eq!(request.uri(), "https://gw.test/v1/patients");
}

#[test]
fn the_target_is_the_judged_one_without_its_mount_where_stripped() {
    let table = [
        ("/v1/a%20b?c=d&e", None, Some("/v1/a%20b?c=d&e")),
        ("/v1/a?", None, Some("/v1/a?")),
        ("/v1/a??b", Some("/"), Some("/v1/a??b")),
        ("/v1/a?b", Some("/v1"), Some("/a?b")),
        ("/v1/", Some("/v1"), Some("/")),
        ("/v1", Some("/v1"), Some("/")),
        ("/v1?b", Some("/v1"), Some("/?b")),
        ("/v10/a", Some("/v1"), None),
        ("/v2", Some("/v1"), None),
        ("/v1/a#b", None, None),
    ];
    for (judged, strip, expected) in table {
        for raw in ["/v1/a?b", "/other", "*"] {
            let raw = raw.parse().unwrap();
            let target = forwarded_target(judged, &raw, strip).ok();
            assert_eq!(target.as_ref().map(PathAndQuery::as_str), expected, "{judged}");
        }
    }
}

#[test]
fn the_callers_address_is_written_as_people_write_it() {
    for address in ["0.0.0.0", "9.10.99.100", "127.0.0.1", "255.254.199.200", "2001:db8::1"] {
        let mut order = identified();
        order.client = address.parse().unwrap();
        let lines = head(&order, &parts(&[]), Version::HTTP_11, &Outgoing::empty());
        assert!(lines.contains(&format!("x-forwarded-for: {address}")), "{lines:?}");
    }
}
