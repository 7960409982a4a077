//! The shape of a refusal: a problem by RFC 9457, or the practice system's own.

use postern::model::Refusal;

use super::support::fixture::{credentials, key_id, request_with};
use super::support::upstream::ok;
use super::support::{Gateway, Then, Upstream, key, request, vendor_key};

#[test]
fn a_problem_says_what_why_and_which_request() {
    let upstream = Upstream::ok();
    let gateway = Gateway::over(&upstream).start();
    let cases = [
        ("/v1/nothing", "key-all", 403, "route_unmapped"),
        ("/v1/internal/x", "key-all", 403, "route_denied"),
        ("/v1/patients", "key-none", 403, "permission_denied"),
        ("/v1//x", "key-all", 400, "ambiguous_path"),
        ("/other/x", "key-all", 403, "wrong_api"),
    ];
    for (target, id, status, code) in cases {
        let answer = gateway.request("GET", target, id);
        assert_eq!(answer.status, status, "{target}");
        assert_eq!(answer.head.one("content-type"), Some("application/problem+json"));
        assert_eq!(answer.head.one("cache-control"), Some("no-store"));
        let problem = answer.json();
        assert_eq!(problem["status"], status);
        assert_eq!(problem["code"], code);
        for field in ["type", "title", "detail"] {
            assert!(
                problem[field].as_str().is_some_and(|text| !text.is_empty()),
                "{target}: {field}"
            );
        }
        assert_eq!(problem["request_id"].as_str(), answer.head.one("x-request-id"), "{target}");
    }
    upstream.assert_untouched("refusals");
}

/// Answers, is silent, or talks nonsense: as the target says.
fn moody() -> Upstream {
    Upstream::start(|exchange| {
        exchange.body()?;
        match exchange.head.word(1) {
            "/v1/appointments/silent" => return exchange.hang(),
            "/v1/appointments/nonsense" => exchange.send(b"nonsense\r\n\r\n")?,
            _ => exchange.send(&ok("", "ok"))?,
        }
        Ok(Then::Keep)
    })
}

/// Status, code, and what is refused with it: every line of the public table, as far as there are requests for it.
fn table() -> Vec<(u16, &'static str, Vec<u8>)> {
    let get = |target: &str, id: &str| request("GET", target, id);
    let with = |extra: &str| request_with("GET", "/v1/appointments", "key-all", extra, "");
    let (subscriber, vendor) = (key("key-all"), vendor_key("acme"));
    let keys = |lines: String| {
        format!("GET /v1/appointments HTTP/1.1\r\nHost: gw.test\r\n{lines}\r\n").into_bytes()
    };
    let post = |framing: &str| {
        let credentials = credentials("key-all");
        format!("POST /v1/appointments HTTP/1.1\r\n{credentials}{framing}\r\n").into_bytes()
    };
    let long = "x".repeat(2000);
    vec![
        (400, "ambiguous_path", get("/v1/%61ppointments", "key-all")),
        (400, "method_override", with("X-HTTP-Method-Override: DELETE\r\n")),
        (400, "malformed_request", with("Host: gw.test\r\n")),
        (400, "duplicate_credentials", with(&format!("X-Vendor-Key: {vendor}\r\n"))),
        (400, "credentials_in_query", get("/v1/appointments?api_key=x", "key-all")),
        (417, "expectation_failed", with("Expect: miracles\r\n")),
        (401, "subscriber_key_missing", keys(format!("X-Vendor-Key: {vendor}\r\n"))),
        (401, "vendor_key_missing", keys(format!("X-Subscriber-Key: {subscriber}\r\n"))),
        (
            401,
            "invalid_credentials",
            keys(format!("X-Subscriber-Key: wrong\r\nX-Vendor-Key: {vendor}\r\n")),
        ),
        (403, "permission_denied", get("/v1/patients", "key-none")),
        (403, "route_unmapped", get("/v1/nothing", "key-all")),
        (403, "route_denied", get("/v1/internal/x", "key-all")),
        (403, "wrong_api", get("/v1/appointments", "key-other")),
        (403, "vendor_mismatch", get("/v1/appointments", "key-bound")),
        (403, "upgrade_not_allowed", with("Connection: Upgrade\r\nUpgrade: websocket\r\n")),
        (413, "body_too_large", post("Content-Length: 2000\r\n")),
        (414, "target_too_long", get(&format!("/v1/appointments/{long}"), "key-all")),
        (431, "headers_too_large", with(&format!("X-Long: {long}{long}{long}\r\n"))),
        (408, "request_timeout", post("Content-Length: 5\r\n")),
        (504, "upstream_timeout", get("/v1/appointments/silent", "key-all")),
        (502, "upstream_protocol_error", get("/v1/appointments/nonsense", "key-all")),
    ]
}

/// What an administrator does, and what is refused from then on. The practice, whose switch stops everything, is the last.
fn standing() -> Vec<(u16, &'static str, Vec<&'static str>, Vec<u8>)> {
    let get = |id: &str| request("GET", "/v1/appointments", id);
    let bound = credentials("key-bound").replace(&vendor_key("acme"), &vendor_key("beta"));
    let bound = format!("GET /v1/appointments HTTP/1.1\r\n{bound}\r\n").into_bytes();
    vec![
        (
            401,
            "key_disabled",
            vec!["keys", "edit", key_id("key-mixed"), "--disable"],
            get("key-mixed"),
        ),
        (401, "key_revoked", vec!["keys", "revoke", key_id("key-wo")], get("key-wo")),
        (
            401,
            "key_expired",
            vec!["keys", "rotate", key_id("key-read"), "--overlap", "0s"],
            get("key-read"),
        ),
        (
            403,
            "ip_not_allowed",
            vec!["keys", "edit", key_id("key-scope"), "--allow-ip", "192.0.2.1"],
            get("key-scope"),
        ),
        (
            403,
            "vendor_not_approved",
            vec!["vendors", "edit", "beta", "--status", "suspended"],
            bound,
        ),
        (
            403,
            "api_access_disabled",
            vec!["practices", "edit", "north", "--api-access", "off"],
            get("key-none"),
        ),
    ]
}

#[test]
fn every_code_comes_with_its_status() {
    let upstream = moody();
    let gateway = Gateway::over(&upstream)
        .proxy("max_body: 1KiB")
        .proxy("max_target: 1KiB")
        .proxy("max_header_bytes: 4KiB")
        .proxy("body_timeout: 300ms")
        .upstream("response_timeout: 300ms")
        .start();
    let check = |status: u16, code: &str, bytes: &[u8]| {
        let answer = gateway.send(bytes);
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{}", answer.text());
        assert_eq!(answer.head.one("content-type"), Some("application/problem+json"), "{code}");
        assert_eq!(answer.head.one("cache-control"), Some("no-store"), "{code}");
        assert_eq!(answer.head.has("www-authenticate"), status == 401, "{code}");
        let id = answer.head.one("x-request-id").unwrap_or_else(|| panic!("{code}: no id"));
        assert_eq!(answer.json()["request_id"], id, "{code}");
    };
    let table = table();
    for (status, code, bytes) in &table {
        check(*status, code, bytes);
    }
    let standing = standing();
    for (status, code, args, bytes) in &standing {
        gateway.postern(args);
        check(*status, code, bytes);
    }
    upstream.close();
    gateway.postern(&["practices", "edit", "north", "--api-access", "on"]);
    check(502, "upstream_unreachable", &request("POST", "/v1/appointments", "key-all"));
    let mut tried: Vec<&str> = table.iter().map(|(_, code, _)| *code).collect();
    tried.extend(standing.iter().map(|(_, code, ..)| *code));
    // A full house is tried where connections are counted, a region where there are regions, and a stale registry where
    // a shared store goes away, a record that cannot be kept where the disk is full.
    tried.extend(["upstream_unreachable", "overloaded", "wrong_region", "registry_stale"]);
    tried.push("log_unavailable");
    // Limits have tests of their own: rate_limits*.rs, shared_limits.rs.
    tried.extend(["rate_limited", "quota_exceeded", "too_many_failures", "too_many_concurrent"]);
    tried.push("limits_unavailable");
    tried.sort_unstable();
    let mut codes = Refusal::CODES.to_vec();
    codes.sort_unstable();
    assert_eq!(tried, codes);
}

#[test]
fn a_template_gives_the_practice_systems_own_shape() {
    let upstream = Upstream::ok();
    let template =
        br#"{"error": {"http": "{{status}}", "name": "{{code}}", "text": "{{title}}: {{detail}}",
        "ref": "id={{request_id}}", "fixed": [1, true, null]}}"#;
    let gateway =
        Gateway::over(&upstream).top("errors: error.json").file("error.json", template).start();
    let answer = gateway.send(&request("GET", "/v1/nothing", "key-all"));
    assert_eq!(answer.status, 403);
    assert_eq!(answer.head.one("content-type"), Some("application/json"));
    let error = &answer.json()["error"];
    assert_eq!(error["http"], 403);
    assert_eq!(error["name"], "route_unmapped");
    assert_eq!(error["fixed"], serde_json::json!([1, true, null]));
    let id = answer.head.one("x-request-id").unwrap();
    assert_eq!(error["ref"], format!("id={id}"));
    assert!(!answer.text().contains("{{"), "{}", answer.text());
}

#[test]
fn a_faulty_template_is_refused_at_a_reload() {
    let upstream = Upstream::ok();
    let setup = Gateway::over(&upstream).top("errors: error.json");
    let gateway = setup.clone().file("error.json", br#"{"code": "{{code}}"}"#).start();
    for faulty in [&b"{\"code\": "[..], b"{\"code\": \"{{unknown}}\"}", b""] {
        gateway.rewrite(&setup.clone().file("error.json", faulty));
        gateway.signal("HUP");
        super::support::eventually("the rejection", || gateway.config_status() == "rejected");
        assert_eq!(gateway.get("/v1/nothing").json()["code"], "route_unmapped");
        gateway.rewrite(&setup.clone().file("error.json", br#"{"code": "{{code}}"}"#));
        gateway.signal("HUP");
        super::support::eventually("recovery", || gateway.config_status() != "rejected");
    }
}

#[test]
fn well_known_says_who_answers_and_how_to_sign_in() {
    let upstream = Upstream::ok();
    let gateway = Gateway::over(&upstream).start();
    let answer = gateway.send(b"GET /.well-known/postern HTTP/1.1\r\nHost: gw.test\r\n\r\n");
    assert_eq!(answer.status, 200, "{}", answer.text());
    let document = answer.json();
    assert!(document["name"].is_string() && document["schemes"].is_array(), "{document}");
    let headers = serde_json::json!({ "subscriber": "X-Subscriber-Key", "vendor": "X-Vendor-Key" });
    assert_eq!(document["headers"], headers);
    assert!(answer.text().ends_with("}\n"), "{}", answer.text());
    let refused = gateway.send(b"GET /v1/x HTTP/1.1\r\nHost: gw.test\r\n\r\n");
    assert!(refused.text().ends_with("}\n"), "{}", refused.text());
    assert_eq!(refused.json()["detail"], "Send the practice's key in X-Subscriber-Key.");
    upstream.assert_untouched("a document of our own");
}
