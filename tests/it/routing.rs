//! What each key may reach: the policy table, enumerated through the real gateway (ME-13).

use super::support::fixture::{KEYS, ROUTES, key_id, request_with};
use super::support::{Gateway, Upstream, key, request, vendor_key};

const UUID: &str = "/v1/files/0b8f3a9e-8c1d-4f60-9d1c-2b7c5a4e9f01";

/// Target, methods that are taken, and what each kind of method needs: `category:access` separated by spaces.
/// READ stands for GET and HEAD, WRITE for the other four.
struct Row {
    target: &'static str,
    methods: &'static [&'static str],
    read: &'static str,
    write: &'static str,
}

const ALL: &[&str] = &["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];
const READS: &[&str] = &["GET", "HEAD"];

const fn row(
    target: &'static str,
    methods: &'static [&'static str],
    read: &'static str,
    write: &'static str,
) -> Row {
    Row { target, methods, read, write }
}

const TABLE: &[Row] = &[
    row("/v1/appointments", ALL, "appointment:read", "appointment:write"),
    row("/v1/appointments/", ALL, "appointment:read", "appointment:write"),
    row("/v1/appointments/x/y", ALL, "appointment:read", "appointment:write"),
    row("/v1/appointments/7", &["GET", "PUT"], "appointment:read", "appointment:write"),
    row("/v1/appointments/7x", ALL, "appointment:read", "appointment:write"),
    row("/v1/appointments/7/y", ALL, "appointment:read", "appointment:write"),
    row("/v1/patients", ALL, "patient:read", "patient:write"),
    row("/v1/patients?include=note", ALL, "patient:read", "patient:write"),
    row(
        "/v1/patients?include=notes",
        ALL,
        "patient:read clinical:read",
        "patient:write clinical:read",
    ),
    row(
        "/v1/patients?x=1&include=a,notes,b",
        ALL,
        "patient:read clinical:read",
        "patient:write clinical:read",
    ),
    row(
        "/v1/patients?include=a&include=notes",
        ALL,
        "patient:read clinical:read",
        "patient:write clinical:read",
    ),
    row(
        "/v1/patients?include=n%6ftes",
        ALL,
        "patient:read clinical:read",
        "patient:write clinical:read",
    ),
    row(
        "/v1/patients?includ%65=notes",
        ALL,
        "patient:read clinical:read",
        "patient:write clinical:read",
    ),
    row(
        "/v1/patients?include=a%2Cnotes",
        ALL,
        "patient:read clinical:read",
        "patient:write clinical:read",
    ),
    row("/v1/patients/7", ALL, "patient:read", "patient:write"),
    row("/v1/patients/7/notes", ALL, "clinical:read", "clinical:write"),
    row("/v1/patients/search/notes", ALL, "clinical:read", "clinical:write"),
    row("/v1/patients/7/summary", READS, "patient:read clinical:read", ""),
    row("/v1/internal/open", ALL, "system:read", "system:write"),
    row("/v1/invoices", ALL, "billing.invoices:read", "billing.invoices:write"),
    row("/v1/claims", ALL, "billing.claims:read", "billing.claims:write"),
    row("/v1/billing/x", ALL, "billing:read", "billing:write"),
    row("/v1/files/x", ALL, "files:read", "files:write"),
    row(UUID, ALL, "contact:read", "contact:write"),
    row("/v1/files/0b8f3a9e", ALL, "files:read", "files:write"),
];

/// Refused whatever the key: `route_unmapped`, but for what is denied.
const NOWHERE: &[&str] = &[
    "/v1",
    "/v1/",
    "/v1/nothing",
    "/v1/patients/",
    "/v1/patients/7/",
    "/v1/patients/1/2/notes",
    "/v1/patient",
    "/v1/patientss",
    "/v1/Patients",
    "/V1/patients",
    "/v2/patients",
    "/patients",
    "/",
    "/v1/patients.",
    "/v1/patients~1",
    "/v1/invoices/1",
    "/healthz",
    "/metrics",
    "/api/v1/keys",
];

/// What the fixture grants, written out a second time: read, write.
fn may(id: &str, need: &str) -> bool {
    let (category, access) = need.split_once(':').unwrap();
    let whole = category.split('.').next().unwrap();
    match (id, whole) {
        ("key-all", _) => true,
        ("key-read", _) | ("key-mixed", "appointment") => access == "read",
        ("key-wo", _) | ("key-mixed", "files") => access == "write",
        ("key-mixed", "patient") => true,
        ("key-scope", _) => category == "billing.invoices",
        _ => false,
    }
}

#[test]
fn every_method_on_every_route_for_every_kind_of_key_is_decided_as_the_table_says() {
    let upstream = Upstream::ok();
    let gateway = Gateway::over(&upstream).start();
    for row in TABLE {
        for method in ALL {
            for (id, api, _) in KEYS.iter().filter(|(id, ..)| *id != "key-bound") {
                let needs = if READS.contains(method) { row.read } else { row.write };
                let taken = row.methods.contains(method);
                let missing = needs.split_whitespace().find(|need| !may(id, need));
                let expected = match (taken, *api, missing) {
                    (false, ..) => "route_unmapped",
                    (true, "other", _) => "wrong_api",
                    (true, _, Some(_)) => "permission_denied",
                    (true, _, None) => "",
                };
                let what = format!("{method} {} as {id}", row.target);
                let answer = gateway.request(method, row.target, id);
                if !expected.is_empty() {
                    assert_eq!(answer.status, 403, "{what}: {}", answer.text());
                    if *method != "HEAD" && (taken || *api == "standard") {
                        assert_eq!(answer.code(), expected, "{what}");
                    }
                    upstream.assert_untouched(&what);
                    continue;
                }
                assert_eq!(answer.status, 200, "{what}: {}", answer.text());
                let seen = upstream.only();
                assert_eq!(seen.line(), format!("{method} {} HTTP/1.1", row.target));
                assert_eq!(seen.head.one("x-postern-scopes"), Some(needs), "{what}");
                assert_eq!(seen.head.one("x-postern-key-id"), Some(key_id(id)), "{what}");
            }
        }
    }
}

#[test]
fn a_map_of_methods_says_what_each_needs_and_the_others_stay_as_usual() {
    let upstream = Upstream::ok();
    let gateway = Gateway::over(&upstream).start();
    let cases = [
        ("POST", "/v1/patients/search", "key-read", "patient:read"),
        ("POST", "/v1/patients/search", "key-wo", ""),
        ("PUT", "/v1/patients/search", "key-wo", "patient:write"),
        ("PUT", "/v1/patients/search", "key-read", ""),
        ("GET", "/v1/patients/search", "key-read", "patient:read"),
        ("POST", "/v1/patients/7/transfer", "key-all", "patient:read clinical:write"),
        ("POST", "/v1/patients/7/transfer", "key-read", ""),
    ];
    for (method, target, id, scopes) in cases {
        let answer = gateway.request(method, target, id);
        if scopes.is_empty() {
            assert_eq!(answer.code(), "permission_denied", "{method} {target} {id}");
            upstream.assert_untouched(target);
        } else {
            assert_eq!(answer.status, 200, "{method} {target} {id}: {}", answer.text());
            let seen = upstream.only();
            let mut words: Vec<&str> =
                seen.head.one("x-postern-scopes").unwrap().split(' ').collect();
            let mut wanted: Vec<&str> = scopes.split(' ').collect();
            words.sort_unstable();
            wanted.sort_unstable();
            assert_eq!(words, wanted, "{method} {target} {id}");
        }
    }
    for method in ["GET", "PUT", "DELETE"] {
        let answer = gateway.request(method, "/v1/patients/7/transfer", "key-all");
        assert_eq!(answer.code(), "route_unmapped", "{method}");
    }
    upstream.assert_untouched("methods that the route does not take");
}

#[test]
fn what_no_rule_matches_is_refused() {
    let upstream = Upstream::ok();
    let gateway = Gateway::over(&upstream).start();
    for target in NOWHERE {
        gateway.refuses(&upstream, &request("GET", target, "key-all"), 403, "route_unmapped");
    }
    for target in ["/v1/internal", "/v1/internal/x", "/v1/internal/open/x"] {
        for method in ALL.iter().filter(|method| **method != "HEAD") {
            gateway.refuses(&upstream, &request(method, target, "key-all"), 403, "route_denied");
        }
    }
    gateway.assert_alive(&upstream);
}

#[test]
fn a_public_route_asks_no_keys_and_tells_the_upstream_nobody() {
    let upstream = Upstream::ok();
    let gateway = Gateway::over(&upstream).start();
    let bare = b"GET /v1/status HTTP/1.1\r\nHost: gw.test\r\nX-Postern-Key-Id: key-all\r\n\r\n";
    assert_eq!(gateway.send(bare).status, 200);
    let seen = upstream.only();
    for name in ["key-id", "practice", "key-owner", "vendor", "scopes"] {
        assert!(!seen.head.has(&format!("x-postern-{name}")), "{}", seen.head.text());
    }
    assert_eq!(gateway.request("GET", "/v1/status", "key-none").status, 200);
    let seen = upstream.only();
    assert!(!seen.head.text().contains(&key("key-none")), "{}", seen.head.text());
}

#[test]
fn a_condition_on_a_header_needs_more() {
    let upstream = Upstream::ok();
    let gateway = Gateway::over(&upstream).start();
    let send = |id: &str, extra: &str| {
        gateway.send(&request_with("GET", "/v1/patients", id, extra, "")).code()
    };
    assert_eq!(send("key-mixed", ""), "");
    assert_eq!(send("key-mixed", "x-on-behalf-of: dr-who\r\n"), "permission_denied");
    assert_eq!(send("key-mixed", "X-On-Behalf-Of:\r\n"), "permission_denied");
    assert_eq!(send("key-all", "X-On-Behalf-Of: dr-who\r\n"), "");
    upstream.take();
    gateway.assert_alive(&upstream);
}

#[test]
fn a_refusal_for_want_of_permission_says_what_is_missing() {
    let upstream = Upstream::ok();
    let gateway = Gateway::over(&upstream).start();
    let problem = gateway.request("DELETE", "/v1/patients/7", "key-read").json();
    assert_eq!(problem["code"], "permission_denied");
    assert_eq!(problem["category"], "patient");
    assert_eq!(problem["needed"], "write");
    assert_eq!(problem["granted"], "read");
}

#[test]
fn a_key_is_for_one_api_and_for_its_own_vendor() {
    let upstream = Upstream::ok();
    let gateway = Gateway::over(&upstream).start();
    assert_eq!(gateway.request("GET", "/other/x", "key-other").status, 200);
    assert_eq!(upstream.only().head.one("x-postern-key-id"), Some(key_id("key-other")));
    gateway.refuses(&upstream, &request("GET", "/other/x", "key-all"), 403, "wrong_api");
    gateway.refuses(
        &upstream,
        &request("GET", "/v1/patients", "key-bound"),
        403,
        "vendor_mismatch",
    );
    let own = format!(
        "GET /v1/patients HTTP/1.1\r\nHost: gw.test\r\nX-Subscriber-Key: {}\r\nX-Vendor-Key: {}\r\n\r\n",
        key("key-bound"),
        vendor_key("beta")
    );
    assert_eq!(gateway.send(own.as_bytes()).status, 200);
    assert_eq!(upstream.only().head.one("x-postern-vendor"), Some("beta"));
}

#[test]
fn a_trailing_slash_counts_unless_the_map_says_otherwise() {
    let upstream = Upstream::ok();
    let routes = ROUTES.replacen("version: 1", "version: 1\ntrailing_slash: optional", 1);
    let gateway = Gateway::over(&upstream).routes(&routes).start();
    assert_eq!(gateway.get("/v1/patients/").status, 200);
    assert_eq!(upstream.only().line(), "GET /v1/patients/ HTTP/1.1");
    gateway.refuses(&upstream, &request("GET", "/v1/patients//", "key-all"), 400, "ambiguous_path");
    gateway.assert_alive(&upstream);
}

#[test]
fn a_mount_is_stripped_only_where_the_configuration_says_so() {
    let upstream = Upstream::ok();
    let gateway = Gateway::over(&upstream).api("strip_mount: true").start();
    assert_eq!(gateway.get("/v1/patients?a=%20b&c").status, 200);
    assert_eq!(upstream.only().line(), "GET /patients?a=%20b&c HTTP/1.1");
}
