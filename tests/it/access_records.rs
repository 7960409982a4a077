//! What is recorded of each kind of request, field by field.

use bytes::Bytes;
use serde_json::json;

use super::support::fixture::{has_secret, key, key_id, request, request_with, vendor_key};
use super::support::http2::{block_on, exchange, good, prior_knowledge};
use super::support::records::{Books, id_of, recorded};
use super::support::tunnel::UPGRADE;
use super::support::{Gateway, Upstream};

fn stranger(method: &str, target: &str, lines: &str) -> Vec<u8> {
    format!("{method} {target} HTTP/1.1\r\nHost: gw.test\r\n{lines}\r\n").into_bytes()
}

#[test]
fn an_allowed_request_is_recorded_field_by_field() {
    let upstream = Upstream::ok();
    let gateway = Gateway::over(&upstream).start();
    let before = jiff::Timestamp::now();
    let agent = "User-Agent: Zapier/1.0\r\n";
    let bytes = request_with("GET", "/v1/patients/17?name=Miller", "key-all", agent, "");
    let (answer, record) = recorded(&gateway, &bytes);
    assert_eq!(answer.status, 200);
    record.assert(&[
        ("practice", "north"),
        ("key", key_id("key-all")),
        ("vendor", "acme"),
        ("owner", "dr-lee"),
        ("api", "standard"),
        ("method", "GET"),
        ("route", "/v1/patients/{id}"),
        ("path", "/v1/patients/{id}"),
        ("category", "patient"),
        ("access", "read"),
        ("decision", "allow"),
        ("code", ""),
        ("status", "200"),
        ("bytes_in", "0"),
        ("bytes_out", "2"),
        ("ip", "127.0.0.1"),
        ("user_agent", "Zapier/1.0"),
    ]);
    assert!(record.number("upstream_us") > 0 && record.number("duration_us") > 0, "{record:#?}");
    let ts: jiff::Timestamp = record.get("ts").parse().unwrap();
    // Microseconds are cut.
    let earliest = before - jiff::SignedDuration::from_micros(1);
    assert!(ts >= earliest && ts <= jiff::Timestamp::now(), "{ts}");
    assert!(!format!("{record:?}").contains("Miller"), "{record:#?}");
    let seen = upstream.only();
    assert_eq!(seen.head.one("x-request-id"), Some(record.get("request_id")));
}

#[test]
fn what_a_request_needed_is_in_its_record() {
    let upstream = Upstream::ok();
    let gateway = Gateway::over(&upstream).start();
    for (method, target, scopes, access) in [
        ("GET", "/v1/patients?include=notes", &["clinical", "patient"][..], "read"),
        ("POST", "/v1/patients/9/transfer", &["clinical", "patient"], "read write"),
        ("POST", "/v1/patients/search", &["patient"], "read"),
        ("DELETE", "/v1/appointments/3", &["appointment"], "write"),
        ("GET", "/v1/invoices", &["billing.invoices"], "read"),
    ] {
        let (_, record) = recorded(&gateway, &request(method, target, "key-all"));
        let mut needed: Vec<_> = record.get("category").split(' ').collect();
        needed.sort_unstable();
        assert_eq!((needed.as_slice(), record.get("access")), (scopes, access), "{target}");
    }
}

#[test]
fn every_refusal_of_a_known_key_is_recorded() {
    let upstream = Upstream::ok();
    let gateway = Gateway::over(&upstream).start();
    let large = "Content-Length: 999999999\r\n";
    let cases = [
        (
            "GET",
            "/v1/patients",
            "key-none",
            "",
            403,
            "permission_denied",
            "/v1/patients",
            "patient",
        ),
        (
            "PUT",
            "/v1/appointments/7",
            "key-read",
            "",
            403,
            "permission_denied",
            "/v1/appointments/{id:int}",
            "appointment",
        ),
        ("GET", "/v1/nowhere/x", "key-all", "", 403, "route_unmapped", "", ""),
        ("GET", "/v1/internal/x", "key-all", "", 403, "route_denied", "/v1/internal/**", ""),
        ("GET", "/v1/patients", "key-other", "", 403, "wrong_api", "/v1/patients", "patient"),
        ("GET", "/v1/patients", "key-bound", "", 403, "vendor_mismatch", "/v1/patients", "patient"),
        (
            "GET",
            "/v1/patients",
            "key-all",
            UPGRADE,
            403,
            "upgrade_not_allowed",
            "/v1/patients",
            "patient",
        ),
        (
            "POST",
            "/v1/patients",
            "key-all",
            large,
            413,
            "body_too_large",
            "/v1/patients",
            "patient",
        ),
    ];
    for (method, target, name, lines, status, code, route, category) in cases {
        let (answer, record) = recorded(&gateway, &request_with(method, target, name, lines, ""));
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{}", answer.text());
        record.assert(&[
            ("practice", "north"),
            ("key", key_id(name)),
            ("vendor", "acme"),
            ("owner", "dr-lee"),
            ("method", method),
            ("route", route),
            ("path", route),
            ("category", category),
            ("decision", "deny"),
            ("code", code),
            ("status", &status.to_string()),
            ("bytes_in", "0"),
            ("bytes_out", &answer.body.len().to_string()),
            ("upstream_us", ""),
        ]);
    }
    upstream.assert_untouched("refused");
}

/// Whose key it was is what its practice wants to know when it is still used.
#[test]
fn a_key_that_has_ended_is_named_in_what_it_is_refused() {
    let upstream = Upstream::ok();
    let gateway = Gateway::over(&upstream).start();
    let operator = Books::of(&gateway).operator;
    let path = |name: &str| format!("/keys/{}", key_id(name));
    let disabled = operator.patch(&path("key-read"), &json!({ "enabled": false }));
    assert_eq!((disabled.status, operator.delete(&path("key-wo")).status), (200, 200));
    for (name, code) in [("key-read", "key_disabled"), ("key-wo", "key_revoked")] {
        let (answer, record) = recorded(&gateway, &request("GET", "/v1/patients", name));
        assert_eq!(answer.code(), code);
        record.assert(&[
            ("key", key_id(name)),
            ("practice", "north"),
            ("decision", "deny"),
            ("code", code),
        ]);
    }
    upstream.assert_untouched("refused");
}

#[test]
fn a_vendor_or_practice_without_standing_is_recorded_as_such() {
    let upstream = Upstream::ok();
    let gateway = Gateway::over(&upstream).start();
    let operator = Books::of(&gateway).operator;
    let cases = [
        (
            "/vendors/acme",
            json!({ "status": "suspended" }),
            json!({ "status": "approved" }),
            "vendor_not_approved",
        ),
        (
            "/practices/north",
            json!({ "api_access": false }),
            json!({ "api_access": true }),
            "api_access_disabled",
        ),
    ];
    for (path, change, back, code) in cases {
        assert_eq!(operator.patch(path, &change).status, 200);
        let (_, record) = recorded(&gateway, &request("GET", "/v1/patients", "key-all"));
        record.assert(&[
            ("key", key_id("key-all")),
            ("decision", "deny"),
            ("code", code),
            ("status", "403"),
        ]);
        assert_eq!(operator.patch(path, &back).status, 200);
    }
}

#[test]
fn strangers_are_recorded_without_a_name() {
    let upstream = Upstream::ok();
    let gateway = Gateway::over(&upstream).start();
    let wrong = key("wrong");
    let good = (key("key-all"), vendor_key("acme"));
    let cases = [
        (stranger("GET", "/v1/patients", ""), 401, "subscriber_key_missing"),
        (
            stranger("GET", "/v1/patients", &format!("X-Subscriber-Key: {}\r\n", good.0)),
            401,
            "vendor_key_missing",
        ),
        (
            stranger(
                "GET",
                "/v1/patients",
                &format!("X-Subscriber-Key: {wrong}\r\nX-Vendor-Key: {}\r\n", good.1),
            ),
            401,
            "invalid_credentials",
        ),
        (stranger("GET", "//patients", ""), 400, "ambiguous_path"),
        (
            stranger("GET", "/v1/patients", "X-HTTP-Method-Override: PUT\r\n"),
            400,
            "method_override",
        ),
        (
            stranger(
                "GET",
                "/v1/patients",
                &format!("X-Subscriber-Key: {}\r\nx-subscriber-key: {wrong}\r\n", good.0),
            ),
            400,
            "duplicate_credentials",
        ),
        (
            stranger("GET", &format!("/v1/patients?api_key={}", good.0), ""),
            400,
            "credentials_in_query",
        ),
        (stranger("OPTIONS", "/v1/patients", ""), 403, "route_denied"),
    ];
    for (bytes, status, code) in cases {
        let (answer, record) = recorded(&gateway, &bytes);
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{}", answer.text());
        let method = if code == "route_denied" { "OPTIONS" } else { "GET" };
        record.assert(&[
            ("practice", ""),
            ("key", ""),
            ("owner", ""),
            ("method", method),
            ("decision", "deny"),
            ("code", code),
            ("status", &status.to_string()),
            ("ip", "127.0.0.1"),
        ]);
        assert_eq!(record.get("path"), record.get("route"), "{record:#?}");
    }
    upstream.assert_untouched("strangers");
}

#[test]
fn what_the_gateway_answers_itself_is_recorded_too() {
    let upstream = Upstream::ok();
    let cors = "cors: { origins: [\"https://app.test\"] }";
    let gateway = Gateway::over(&upstream)
        .proxy(cors)
        .top("credentials: { schemes: [headers, oauth2] }")
        .start();
    let books = Books::of(&gateway);

    let (_, record) =
        recorded(&gateway, &request("GET", "/.well-known/postern/whoami", "key-read"));
    record.assert(&[
        ("key", key_id("key-read")),
        ("decision", "allow"),
        ("status", "200"),
        ("upstream_us", ""),
    ]);
    assert!(record.get("route").contains("whoami"), "{record:#?}");

    let (_, record) = recorded(&gateway, &stranger("GET", "/.well-known/postern", ""));
    record.assert(&[("key", ""), ("decision", "allow"), ("status", "200"), ("upstream_us", "")]);

    let lines = "Origin: https://app.test\r\nAccess-Control-Request-Method: GET\r\n";
    let (answer, record) = recorded(&gateway, &stranger("OPTIONS", "/v1/patients", lines));
    assert!(answer.status < 300, "{}", answer.head.text());
    record.assert(&[("method", "OPTIONS"), ("decision", "allow"), ("upstream_us", "")]);

    for (secret, status, decision) in
        [(key("key-all"), "200", "allow"), (key("wrong"), "401", "deny")]
    {
        let id = key_id("key-all");
        let body = format!("grant_type=client_credentials&client_id={id}&client_secret={secret}");
        let lines = format!(
            "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n",
            body.len()
        );
        let mut wire = gateway.wire();
        wire.send(&[&stranger("POST", "/oauth2/token", &lines)[..], body.as_bytes()].concat());
        let answer = wire.answer();
        let record = books.record_of(&id_of(&answer));
        record.assert(&[
            ("method", "POST"),
            ("status", status),
            ("decision", decision),
            ("upstream_us", ""),
        ]);
        assert!(record.get("route").contains("token"), "{record:#?}");
        assert_eq!(record.get("key") == id, decision == "allow", "{record:#?}");
        assert!(!has_secret(&format!("{record:?}")), "{record:#?}");
    }
    upstream.assert_untouched("the gateway's own");

    let (_, record) = recorded(&gateway, &stranger("GET", "/v1/status", ""));
    record.assert(&[
        ("key", ""),
        ("route", "/v1/status"),
        ("category", ""),
        ("decision", "allow"),
        ("status", "200"),
    ]);
    assert_eq!(upstream.count(), 1);
}

#[test]
fn http2_is_recorded_alike() {
    let upstream = Upstream::ok();
    let gateway = Gateway::over(&upstream).start();
    let (allowed, refused) = block_on(async {
        let mut sender = prior_knowledge(gateway.address).await;
        let post = good("POST", "/v1/patients").body(Bytes::from_static(b"hello")).unwrap();
        let allowed = exchange(&mut sender, post).await.unwrap();
        let unmapped = good("GET", "/v1/nowhere").body(Bytes::new()).unwrap();
        (allowed, exchange(&mut sender, unmapped).await.unwrap())
    });
    let id = |answer: &http::Response<Bytes>| {
        answer.headers()["x-request-id"].to_str().unwrap().to_owned()
    };
    let books = Books::of(&gateway);
    books.record_of(&id(&allowed)).assert(&[
        ("method", "POST"),
        ("route", "/v1/patients"),
        ("access", "write"),
        ("decision", "allow"),
        ("status", "200"),
        ("bytes_in", "5"),
        ("bytes_out", "2"),
        ("key", key_id("key-all")),
    ]);
    books.record_of(&id(&refused)).assert(&[
        ("decision", "deny"),
        ("code", "route_unmapped"),
        ("status", "403"),
    ]);
}

#[test]
fn the_address_is_the_callers_own_where_a_proxy_is_trusted() {
    let upstream = Upstream::ok();
    let gateway = Gateway::over(&upstream).proxy("trusted_proxies: [127.0.0.1]").start();
    let lines = "X-Forwarded-For: 203.0.113.9\r\n";
    let (_, record) =
        recorded(&gateway, &request_with("GET", "/v1/patients", "key-all", lines, ""));
    record.assert(&[("ip", "203.0.113.9")]);
}
