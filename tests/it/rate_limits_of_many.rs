//! Limits that several keys share, limits within categories, and limits of strangers.

use serde_json::json;
use tempfile::TempDir;

use super::support::disk::SmallDisk;
use super::support::fixture::{key, key_id, request, request_with, vendor_key};
use super::support::limits::{Made, admin, ask, left, over, routes, told};
use super::support::nodes::{Fleet, Plan, at_last};
use super::support::{Answer, Gateway, Upstream, Wire};

const TARGET: &str = "/v1/appointments/1";

fn limited(upstream: &Upstream, limits: &str) -> Gateway {
    let setup = Gateway::over(upstream).routes(&routes());
    setup.proxy("trusted_proxies: [127.0.0.1]").top(&format!("limits: {{ {limits} }}")).start()
}

/// With another vendor's key.
fn of_vendor(vendor: &str, id: &str) -> Vec<u8> {
    let text = String::from_utf8(request("GET", TARGET, id)).unwrap();
    text.replace(&vendor_key("acme"), &vendor_key(vendor)).into_bytes()
}

#[test]
fn a_vendor_has_so_much_for_all_its_keys() {
    let upstream = Upstream::ok();
    let gateway = limited(&upstream, "vendor: { rate: 6/d }, key: { rate: 4/d }");
    for _ in 0..3 {
        assert_eq!(gateway.request("GET", TARGET, "key-all").status, 200);
        assert_eq!(gateway.request("GET", TARGET, "key-read").status, 200);
    }
    for id in ["key-all", "key-read", "key-mixed"] {
        let answer = gateway.request("GET", TARGET, id);
        let problem = over(&answer, "rate_limited", "vendor");
        assert!(problem["detail"].as_str().unwrap().contains("all requests of this vendor"));
        let expected = if id == "key-mixed" { 4 } else { 1 };
        assert_eq!(left(&answer, "key"), expected, "{id}: nothing was taken for nothing");
    }
    // Another vendor is another bucket; the key is the same one.
    let answer = gateway.send(&of_vendor("beta", "key-all"));
    assert_eq!((answer.status, left(&answer, "vendor"), left(&answer, "key")), (200, 5, 0));
    over(&gateway.send(&of_vendor("beta", "key-all")), "rate_limited", "key");
    assert_eq!(upstream.count(), 7);
}

#[test]
fn a_practice_has_so_much_for_all_its_keys_and_vendors() {
    let upstream = Upstream::ok();
    let gateway = limited(&upstream, "practice: { rate: 5/d }");
    let made: Vec<Made> = (0..3).map(|_| Made::by(&gateway, &json!({ "rate": "100/d" }))).collect();
    for key in &made {
        assert_eq!(gateway.send(&key.request(TARGET)).status, 200);
    }
    assert_eq!(gateway.send(&of_vendor("beta", "key-bound")).status, 200);
    assert_eq!(gateway.get(TARGET).status, 200);
    for key in &made {
        let answer = gateway.send(&key.request(TARGET));
        over(&answer, "rate_limited", "practice");
        assert_eq!(left(&answer, "key"), 99);
    }
    over(&gateway.send(&of_vendor("beta", "key-bound")), "rate_limited", "practice");
    assert_eq!(upstream.count(), 5);
}

#[test]
fn each_category_that_a_request_touches_is_counted() {
    let upstream = Upstream::ok();
    let gateway = limited(
        &upstream,
        "category: { patient: { rate: 5/d }, clinical: { rate: 2/d }, billing: { rate: 3/d }, billing.invoices: { rate: 2/d } }",
    );
    let get = |target: &str| gateway.get(target);
    // Two needs at once, from a rule and from what a request includes.
    let answer = get("/v1/patients/7/summary");
    assert_eq!((left(&answer, "category:patient"), left(&answer, "category:clinical")), (4, 1));
    let answer = get("/v1/patients?include=notes");
    assert_eq!((left(&answer, "category:patient"), left(&answer, "category:clinical")), (3, 0));
    let answer = get("/v1/patients/7/summary");
    let problem = over(&answer, "rate_limited", "category:clinical");
    assert!(problem["detail"].as_str().unwrap().contains("within `clinical`"), "{problem}");
    assert_eq!(left(&answer, "category:patient"), 3, "all or none");
    assert_eq!(left(&get("/v1/patients/7"), "category:patient"), 2);
    // A scope is part of its category, and the category is not part of a scope.
    assert_eq!(left(&get("/v1/claims"), "category:billing"), 2);
    let answer = get("/v1/invoices");
    assert_eq!(
        (left(&answer, "category:billing"), left(&answer, "category:billing.invoices")),
        (1, 1)
    );
    assert_eq!(left(&get("/v1/invoices"), "category:billing"), 0);
    over(&get("/v1/claims"), "rate_limited", "category:billing");
    // Of each key, and of nothing else.
    assert_eq!(gateway.request("GET", "/v1/patients/7/summary", "key-read").status, 200);
    assert!(told(&get(TARGET)).is_none(), "no limit holds for appointments");
    assert_eq!(upstream.count(), 8);
}

#[test]
fn a_key_of_its_own_limit_has_it_at_once_and_no_longer_when_it_is_taken_away() {
    let upstream = Upstream::ok();
    let gateway = limited(&upstream, "key: { rate: 10/d }");
    let (admin, path) = (admin(&gateway), format!("/keys/{}", key_id("key-all")));
    let set = |limits: serde_json::Value| {
        let changed = admin.patch(&path, &json!({ "limits": limits }));
        assert_eq!(changed.status, 200, "{}", changed.text());
    };
    let mut wire = gateway.wire();
    let bytes = request("GET", TARGET, "key-all");
    for n in (6..10).rev() {
        assert_eq!(left(&ask(&mut wire, &bytes), "key"), n);
    }
    // Fewer: what is left is no more than the new bucket holds.
    set(json!({ "rate": "3/d" }));
    assert_eq!(left(&ask(&mut wire, &bytes), "key"), 2);
    // More: what was left stays left, and nothing comes as a present.
    set(json!({ "rate": "1000/d", "burst": 100 }));
    assert_eq!(left(&ask(&mut wire, &bytes), "key"), 1);
    assert_eq!(left(&ask(&mut wire, &bytes), "key"), 0);
    let problem = over(&ask(&mut wire, &bytes), "rate_limited", "key");
    assert_eq!((&problem["allowed"], &problem["burst"]), (&json!("1000/d"), &json!(100)));
    // The configuration's again, and as empty as it was.
    set(json!(null));
    let problem = over(&ask(&mut wire, &bytes), "rate_limited", "key");
    assert_eq!((&problem["allowed"], &problem["burst"]), (&json!("10/d"), &json!(10)));
    assert_eq!(upstream.count(), 7);
    // A key that never called has all of what it is given.
    let made = Made::by(&gateway, &json!({ "rate": "2/d" }));
    assert_eq!(left(&gateway.send(&made.request(TARGET)), "key"), 1);
}

#[test]
fn who_is_refused_for_another_reason_pays_nothing() {
    let upstream = Upstream::ok();
    let gateway = limited(
        &upstream,
        "key: { rate: 2/d }, daily_quota: { requests: 2 }, practice: { rate: 2/d }",
    );
    let large = "Content-Length: 999999999999\r\n";
    let refusals = [
        (request("DELETE", "/v1/nowhere", "key-all"), 403, "route_unmapped"),
        (request("GET", "/v1/internal/x", "key-all"), 403, "route_denied"),
        (of_vendor("beta", "key-other"), 403, "wrong_api"),
        (request("PUT", TARGET, "key-read"), 403, "permission_denied"),
        (request("GET", TARGET, "key-bound"), 403, "vendor_mismatch"),
        (request_with("PUT", TARGET, "key-all", large, ""), 413, "body_too_large"),
        (request("GET", TARGET, "nobody"), 401, "invalid_credentials"),
        (request("GET", "/v1//appointments", "key-all"), 400, "ambiguous_path"),
    ];
    for (bytes, status, code) in refusals.iter().cycle().take(24) {
        let answer = gateway.send(bytes);
        assert_eq!((answer.status, &*answer.code()), (*status, *code), "{}", answer.text());
        assert!(told(&answer).is_none(), "{code}");
    }
    upstream.assert_untouched("all of them were refused");
    let answer = gateway.get(TARGET);
    let all = ["key", "daily_requests", "practice"].map(|limit| left(&answer, limit));
    assert_eq!((answer.status, all), (200, [1, 1, 1]));
}

/// What was taken before it turned out that there is no room for a record is given back.
#[test]
fn who_cannot_be_recorded_pays_nothing() {
    let directory = TempDir::new().unwrap();
    let Some(disk) = SmallDisk::mount(&directory.path().join("disk"), 24) else { return };
    let limits = "limits: { key: { rate: 1/h, burst: 80000 }, practice: { rate: 1/h, burst: 80000 }, \
                  daily_quota: { requests: 80000 }, max_concurrent_per_key: 3 }\n";
    let log = ", sync: 20ms, path: full, max_disk: 64MiB";
    let plan = Plan { top: limits.to_owned(), ..Plan::quiet("embedded:./disk/data", log) };
    let fleet = Fleet::within(directory, plan, Upstream::ok());
    let node = fleet.node_at("disk/journal");
    let bytes = request("GET", &format!("/v1/appointments/{}", "x".repeat(1_900)), "key-all");
    let ask = || ask(&mut Wire::to(node.gateway), &bytes);
    let until_refused = || {
        at_last("no room for a record", || (0..50).any(|_| ask().code() == "log_unavailable"));
    };
    disk.fill();
    until_refused();
    // What was freed a moment ago could still be taken.
    disk.fill();
    until_refused();
    assert!((0..50).all(|_| ask().code() == "log_unavailable"));
    disk.free();
    at_last("requests pass again", || ask().status == 200);
    let answer = ask();
    let passed = fleet.upstream.count() as u64;
    let all = ["key", "practice", "daily_requests"].map(|limit| left(&answer, limit));
    assert_eq!((all, left(&answer, "concurrent")), ([80_000 - passed; 3], 2));
}

/// Somebody without a valid key, from an address that a trusted proxy tells.
fn stranger(gateway: &Gateway, source: &str) -> Answer {
    let forwarded = format!("X-Forwarded-For: {source}\r\n");
    gateway.send(&request_with("GET", TARGET, "nobody", &forwarded, ""))
}

#[test]
fn failures_are_counted_by_source_and_valid_keys_behind_it_are_not_touched() {
    let upstream = Upstream::ok();
    let gateway = limited(&upstream, "failed_auth_per_ip: { rate: 3/d }");
    let of_key = |id: &str| {
        gateway
            .send(&request_with("GET", TARGET, id, "X-Forwarded-For: 198.51.100.7\r\n", ""))
            .status
    };
    for _ in 0..3 {
        assert_eq!(stranger(&gateway, "198.51.100.7").code(), "invalid_credentials");
        assert_eq!(of_key("key-all"), 200);
    }
    for _ in 0..20 {
        let answer = stranger(&gateway, "198.51.100.7");
        let problem = over(&answer, "too_many_failures", "failed_auth");
        assert_eq!((&problem["allowed"], told(&answer)), (&json!("3/d"), None));
        assert!(!answer.head.has("www-authenticate"), "nothing is asked for any more");
        assert_eq!(of_key("key-all"), 200);
        // A key that was never seen here is verified as everywhere.
        assert_eq!(of_key("key-read"), 200);
    }
    // A key without a vendor's is no valid one; a known key that may not is no stranger.
    let no_vendor = format!(
        "GET {TARGET} HTTP/1.1\r\nHost: gw.test\r\nX-Forwarded-For: 198.51.100.7\r\nX-Subscriber-Key: {}\r\n\r\n",
        key("nobody")
    );
    assert_eq!(gateway.send(no_vendor.as_bytes()).status, 429);
    assert_eq!(of_key("key-none"), 403);
    let nothing =
        format!("GET {TARGET} HTTP/1.1\r\nHost: gw.test\r\nX-Forwarded-For: 198.51.100.7\r\n\r\n");
    assert_eq!(gateway.send(nothing.as_bytes()).code(), "too_many_failures");
    // Other addresses are other sources, the connection's own as well.
    assert_eq!(stranger(&gateway, "198.51.100.8").code(), "invalid_credentials");
    assert_eq!(gateway.request("GET", TARGET, "nobody").code(), "invalid_credentials");
}

/// RL-07: whoever has a /64 has one bucket, however many addresses it tries.
#[test]
fn a_network_of_64_bits_is_one_source() {
    let upstream = Upstream::ok();
    let gateway = limited(&upstream, "failed_auth_per_ip: { rate: 5/d }");
    let before = gateway.memory();
    let mut wire = gateway.wire();
    let mut ask_from = |source: &str| {
        let forwarded = format!("X-Forwarded-For: {source}\r\n");
        ask(&mut wire, &request_with("GET", TARGET, "nobody", &forwarded, "")).code()
    };
    let mut allowed = 0;
    for n in 0..1500_u32 {
        let code = ask_from(&format!("2001:db8:1:2:{:x}:{n:x}:0:1", n % 7));
        allowed += u32::from(code == "invalid_credentials");
        assert!(code == "too_many_failures" || allowed <= 5, "{n}: {code}");
    }
    assert_eq!(allowed, 5);
    for network in 0..400_u32 {
        assert_eq!(ask_from(&format!("2001:db8:2:{network:x}::1")), "invalid_credentials");
    }
    assert_eq!(ask_from("2001:db8:1:2::"), "too_many_failures");
    let grown = gateway.memory().saturating_sub(before);
    assert!(grown < 64 << 10, "{grown} KiB more");
    upstream.assert_untouched("strangers");
}

#[test]
fn a_wrong_client_of_the_token_endpoint_is_a_failure_too() {
    let upstream = Upstream::ok();
    let setup = Gateway::over(&upstream).top("credentials: { schemes: [headers, oauth2] }");
    let gateway = setup.top("limits: { failed_auth_per_ip: { rate: 4/d } }").start();
    let token = |secret: &str| {
        let body = format!(
            "grant_type=client_credentials&client_id={}&client_secret={secret}",
            key_id("key-all")
        );
        let head = format!(
            "POST /oauth2/token HTTP/1.1\r\nHost: gw.test\r\nContent-Type: application/x-www-form-urlencoded\r\n\
             Content-Length: {}\r\n\r\n",
            body.len()
        );
        let mut wire = gateway.wire();
        wire.send((head + &body).as_bytes());
        wire.answer()
    };
    assert_eq!(token(&key("wrong")).json()["error"], "invalid_client");
    assert_eq!(gateway.request("GET", TARGET, "nobody").code(), "invalid_credentials");
    for _ in 0..2 {
        assert_eq!(token(&key("wrong")).status, 401);
    }
    over(&token(&key("wrong")), "too_many_failures", "failed_auth");
    over(&gateway.request("GET", TARGET, "nobody"), "too_many_failures", "failed_auth");
    assert_eq!(token(&key("key-all")).status, 200, "who has the right secret is no stranger");
    assert_eq!(gateway.get(TARGET).status, 200);
}
