//! Every refusal has its status, and says what to do.

use std::time::Duration;

use http_body_util::BodyExt;
use serde_json::json;

use crate::config::tests::{MAIN, given};
use crate::model::refusal::{Lack, Short};
use crate::model::{Access, LimitKind};

use super::*;

fn lack() -> Refusal {
    Refusal::PermissionDenied(Lack {
        category: "billing.invoices".into(),
        needed: Access::WRITE_ONLY,
        granted: Access::READ,
        short: Short::Key,
    })
}

#[test]
fn a_lack_names_what_is_short() {
    let Refusal::PermissionDenied(lack) = lack() else { panic!() };
    let said = |short| lacking(&Lack { short, ..lack.clone() });
    let needs = "This request needs `write` on `billing.invoices`; ";
    assert_eq!(said(Short::Key), format!("{needs}the key has `read`. Ask the practice for it."));
    assert!(said(Short::Token).contains("this token was made for `read`"));
    assert!(!said(Short::Token).contains("Ask the practice"));
    assert!(said(Short::Both).contains("its key does not have it either"));
}

#[test]
fn statuses_are_those_of_the_contract() {
    let table = [
        (Refusal::AmbiguousPath("x"), 400),
        (Refusal::MethodOverride, 400),
        (Refusal::MalformedRequest("x"), 400),
        (Refusal::DuplicateCredentials, 400),
        (Refusal::CredentialsInQuery, 400),
        (Refusal::ExpectationFailed, 417),
        (Refusal::SubscriberKeyMissing, 401),
        (Refusal::VendorKeyMissing, 401),
        (Refusal::InvalidCredentials, 401),
        (lack(), 403),
        (Refusal::RouteUnmapped, 403),
        (Refusal::RouteDenied, 403),
        (Refusal::WrongApi, 403),
        (Refusal::VendorMismatch, 403),
        (Refusal::UpgradeNotAllowed, 403),
        (Refusal::BodyTooLarge { limit: 1 }, 413),
        (Refusal::TargetTooLong { limit: 1 }, 414),
        (Refusal::HeadersTooLarge, 431),
        (Refusal::RequestTimeout, 408),
        (Refusal::Overloaded, 503),
        (Refusal::UpstreamUnreachable, 502),
        (Refusal::UpstreamProtocolError, 502),
        (Refusal::LogUnavailable, 503),
        (Refusal::UpstreamTimeout, 504),
    ];
    for (refusal, status) in table {
        let said = wording(&refusal);
        assert_eq!(said.status.as_u16(), status, "{refusal:?}");
    }
}

/// A refusal by a limit: its headers, and its body as text.
fn refused(refusal: &Refusal, errors: &str) -> (HeaderMap, String) {
    let template = r#"{"why": "{{code}}"}"#;
    let given = given(&format!("{MAIN}{errors}")).file("p/e.json", template);
    let config = given.load().unwrap();
    let response = compose(&config, refusal, RequestId::new(7));
    assert_eq!(response.status(), 429);
    let (head, body) = response.into_parts();
    (head.headers, String::from_utf8(body.to_vec()).unwrap())
}

fn overrun(kind: LimitKind, limit: &str, allowed: &str, wait: Option<Duration>) -> Box<Overrun> {
    let burst = matches!(kind, LimitKind::Category(_)).then_some(9);
    Box::new(Overrun { kind, limit: limit.into(), allowed: allowed.into(), burst, cost: 1, wait })
}

/// Each with its seconds, what its body says of the limit, and the sentence.
fn limits_that_refuse() -> [(Refusal, Option<u32>, serde_json::Value, &'static str); 5] {
    let millis = |millis| Some(Duration::from_millis(millis));
    [
        (
            Refusal::RateLimited(overrun(
                LimitKind::Category(0),
                "category:files",
                "60/min",
                millis(1_200),
            )),
            Some(2),
            json!({ "limit": "category:files", "allowed": "60/min", "burst": 9, "retry_after": 2, "retry_after_ms": 1200,
                    "violated-policies": ["category:files"] }),
            "The limit of requests of this key within `files` is used up: 60/min, in bursts of 9. Try again in 2 seconds.",
        ),
        (
            Refusal::RateLimited(overrun(
                LimitKind::Vendor,
                "vendor",
                "1/s",
                Some(Duration::from_nanos(1)),
            )),
            Some(1),
            json!({ "limit": "vendor", "allowed": "1/s", "retry_after": 1, "retry_after_ms": 1,
                    "violated-policies": ["vendor"] }),
            "The limit of all requests of this vendor is used up: 1/s. Try again in a second.",
        ),
        (
            Refusal::QuotaExceeded(overrun(
                LimitKind::DailyBytes,
                "daily_bytes",
                "5 bytes/d",
                millis(3_600_000),
            )),
            Some(3600),
            json!({ "limit": "daily_bytes", "allowed": "5 bytes/d", "retry_after": 3600, "retry_after_ms": 3_600_000,
                    "violated-policies": ["daily_bytes"] }),
            "The limit of this key for today (UTC) is used up: 5 bytes/d. Try again in 3600 seconds.",
        ),
        (
            Refusal::TooManyFailures(overrun(
                LimitKind::FailedAuth,
                "failed_auth",
                "3/d",
                millis(999),
            )),
            Some(1),
            json!({ "limit": "failed_auth", "allowed": "3/d", "retry_after": 1, "retry_after_ms": 999,
                    "violated-policies": ["failed_auth"] }),
            "The limit of requests without valid keys from your address is used up: 3/d. Try again in a second.",
        ),
        (
            Refusal::TooManyConcurrent(overrun(
                LimitKind::Concurrent,
                "concurrent",
                "64 at once",
                None,
            )),
            None,
            json!({ "limit": "concurrent", "allowed": "64 at once", "violated-policies": ["concurrent"] }),
            "This key may have 64 at once, and has them. Try again when one of its requests is answered.",
        ),
    ]
}

#[test]
fn a_limit_that_refuses_says_which_it_is_and_when_it_does_no_more() {
    for (refusal, seconds, told, detail) in limits_that_refuse() {
        let (headers, body) = refused(&refusal, "");
        let header =
            headers.get(header::RETRY_AFTER).map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(header, seconds.map(|seconds| seconds.to_string()), "{body}");
        assert!(!headers.contains_key(header::WWW_AUTHENTICATE));
        let mut problem: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(problem["detail"], detail);
        assert_eq!(problem["code"], refusal.code());
        let fields = problem.as_object_mut().unwrap();
        fields.retain(|name, _| {
            !["type", "title", "status", "detail", "code", "request_id"].contains(&name.as_str())
        });
        assert_eq!(problem, told);
    }
}

/// Whatever shape errors have, the header is the same.
#[test]
fn a_template_of_errors_keeps_the_header() {
    let over = overrun(LimitKind::Key, "key", "1/min", Some(Duration::from_secs(60)));
    let template = "errors: e.json\n";
    let (headers, body) = refused(&Refusal::RateLimited(over), template);
    assert_eq!(headers[header::RETRY_AFTER], "60");
    assert!(body.contains("rate_limited"), "{body}");
}

/// Under our own shape of errors, and under one that shows the id twice, and under one that does not show it.
#[test]
fn a_prepared_answer_is_the_composed_one() {
    let id = RequestId::new(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);
    for (errors, template) in [
        ("", "{}"),
        ("errors: e.json\n", r#"{"a": "{{request_id}}{{request_id}}", "b": "{{detail}}"}"#),
        ("errors: e.json\n", r#"{"why": "{{code}}"}"#),
    ] {
        let given = given(&format!("{MAIN}{errors}")).file("p/e.json", template);
        let config = given.load().unwrap();
        let answers = Answers::of(&config);
        for refusal in &prepared::PREPARED {
            let (given, body) = answers.give(refusal, id).unwrap().into_parts();
            let (expected, text) = compose(&config, refusal, id).into_parts();
            assert_eq!((given.status, given.headers), (expected.status, expected.headers));
            assert_eq!(whole(body), text, "{refusal:?}");
        }
        assert!(answers.give(&lack(), id).is_none());
    }
}

fn whole(body: ResponseBody) -> Bytes {
    let ResponseBody::Own(body) = body else { panic!("its own") };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(body.collect()).unwrap().to_bytes()
}
