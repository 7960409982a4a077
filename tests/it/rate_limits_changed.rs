//! Limits that only observe, and limits that change while the gateway runs.

use super::support::fixture::{key, key_id, request};
use super::support::limits::{ask, left, over, reload, routes, told};
use super::support::records::{Books, id_of, recorded};
use super::support::setup::Setup;
use super::support::{Gateway, Upstream};

const TARGET: &str = "/v1/appointments/1";

fn with(upstream: &Upstream, limits: &str) -> Setup {
    Gateway::over(upstream).routes(&routes()).top(&format!("limits: {{ {limits} }}"))
}

#[test]
fn what_only_observes_refuses_nothing_and_tells_only_those_who_run_it() {
    let upstream = Upstream::ok();
    let gateway = with(
        &upstream,
        "mode: observe, key: { rate: 2/d }, failed_auth_per_ip: { rate: 1/d }, daily_quota: { requests: 4 }",
    )
    .start();
    let bytes = request("GET", TARGET, "key-all");
    for n in 0..6 {
        let (answer, record) = recorded(&gateway, &bytes);
        assert_eq!((answer.status, told(&answer)), (200, None), "{}", answer.text());
        assert!(!answer.head.has("retry-after"));
        // What would have been refused takes nothing: the quota of four is never reached.
        let (decision, code) = if n < 2 { ("allow", "") } else { ("observe", "rate_limited") };
        record.assert(&[("decision", decision), ("code", code), ("status", "200")]);
        record.assert(&[("key", key_id("key-all")), ("route", "/v1/appointments/{id:int}")]);
    }
    for _ in 0..3 {
        let answer = gateway.request("GET", TARGET, "nobody");
        assert_eq!((answer.status, &*answer.code()), (401, "invalid_credentials"));
        assert!(answer.head.has("www-authenticate"));
    }
    for _ in 0..3 {
        assert_eq!(gateway.get("/v1/status").status, 200);
    }
    let open = gateway.get("/v1/status");
    let record = Books::of(&gateway).record_of(&id_of(&open));
    record.assert(&[("decision", "observe"), ("code", "rate_limited"), ("status", "200")]);
    assert_eq!(upstream.count(), 10);
}

#[test]
fn an_upstream_that_fails_is_recorded_as_that_and_as_observed() {
    let upstream = Upstream::ok();
    let gateway = with(&upstream, "mode: observe, key: { rate: 1/d }").start();
    assert_eq!(gateway.get(TARGET).status, 200);
    upstream.close();
    let (answer, record) = recorded(&gateway, &request("GET", TARGET, "key-all"));
    assert_eq!(answer.status, 502);
    record.assert(&[("decision", "observe"), ("code", "upstream_unreachable")]);
}

#[test]
fn a_limit_that_begins_to_be_enforced_begins_with_what_was_counted() {
    let upstream = Upstream::ok();
    let limits = "key: { rate: 3/d }";
    let gateway = with(&upstream, &format!("mode: observe, {limits}")).start();
    for _ in 0..5 {
        assert_eq!(gateway.get(TARGET).status, 200);
    }
    reload(&gateway, &with(&upstream, limits));
    over(&gateway.get(TARGET), "rate_limited", "key");
    reload(&gateway, &with(&upstream, &format!("mode: observe, {limits}")));
    assert_eq!(gateway.get(TARGET).status, 200);
}

#[test]
fn unchanged_limits_keep_what_was_counted_through_a_reload() {
    let upstream = Upstream::ok();
    let limits = "key: { rate: 6/d }, vendor: { rate: 50/d }, category: { appointment: { rate: 9/d } }, \
                  daily_quota: { requests: 30 }, failed_auth_per_ip: { rate: 1/d }";
    let gateway = with(&upstream, limits).start();
    let bytes = request("GET", TARGET, "key-all");
    let mut wire = gateway.wire();
    assert_eq!(gateway.request("GET", TARGET, "nobody").status, 401);
    for n in (0..6).rev() {
        // Everything else of the configuration is another at each of them.
        let proxy = format!("max_body: {}KiB", 100 + n);
        reload(&gateway, &with(&upstream, limits).proxy(&proxy));
        let answer = ask(&mut wire, &bytes);
        assert_eq!(left(&answer, "key"), n);
        assert_eq!(left(&answer, "category:appointment"), n + 3);
        assert_eq!((left(&answer, "vendor"), left(&answer, "daily_requests")), (n + 44, n + 24));
        assert_eq!(gateway.request("GET", TARGET, "nobody").status, 429);
    }
    reload(&gateway, &with(&upstream, limits));
    over(&ask(&mut wire, &bytes), "rate_limited", "key");
    assert_eq!(upstream.count(), 6);
}

#[test]
fn a_changed_rate_gives_no_burst_and_limits_go_off_and_on() {
    let upstream = Upstream::ok();
    let gateway = with(&upstream, "key: { rate: 5/d }").start();
    let bytes = request("GET", TARGET, "key-all");
    let mut wire = gateway.wire();
    for _ in 0..5 {
        assert_eq!(ask(&mut wire, &bytes).status, 200);
    }
    // More at once, and still nothing is left; who never came has all of it.
    reload(&gateway, &with(&upstream, "key: { rate: 50/d }"));
    let problem = over(&ask(&mut wire, &bytes), "rate_limited", "key");
    assert!((1_700..=1_728).contains(&problem["retry_after"].as_u64().unwrap()), "{problem}");
    assert_eq!(left(&gateway.request("GET", TARGET, "key-read"), "key"), 49);
    // Off: everything passes, and nobody is told of limits. On again: as it was left.
    reload(&gateway, &with(&upstream, "vendor: { rate: 1000000/d }"));
    for _ in 0..20 {
        let answer = ask(&mut wire, &bytes);
        let limits = told(&answer).unwrap().0;
        assert_eq!((answer.status, limits.len()), (200, 1));
    }
    reload(&gateway, &Gateway::over(&upstream).routes(&routes()));
    assert!(told(&ask(&mut wire, &bytes)).is_none());
    reload(&gateway, &with(&upstream, "key: { rate: 50/d }"));
    over(&ask(&mut wire, &bytes), "rate_limited", "key");
    assert_eq!(left(&gateway.request("GET", TARGET, "key-read"), "key"), 48);
    // Less at once: no more than that is left.
    reload(&gateway, &with(&upstream, "key: { rate: 2/d }"));
    assert_eq!(left(&gateway.request("GET", TARGET, "key-read"), "key"), 1);
    // A faster rate is one from the first refusal on: this one is over in a blink.
    reload(&gateway, &with(&upstream, "key: { rate: 1000/s, burst: 1 }"));
    super::support::eventually("the new rate", || ask(&mut wire, &bytes).status == 200);
}

/// RL-13: what cannot be counted is refused before anything runs, and by a running gateway's reload.
#[test]
fn limits_that_cannot_be_counted_are_refused_where_they_stand() {
    let upstream = Upstream::ok();
    let good = with(&upstream, "key: { rate: 2/d }");
    let gateway = good.start();
    let bytes = request("GET", TARGET, "key-all");
    assert_eq!(gateway.send(&bytes).status, 200);
    let wrong = [
        "key: { rate: 0/s }",
        "key: { rate: -1/s }",
        "key: { rate: NaN/s }",
        "key: { rate: 4294967296/s }",
        "key: { rate: 10/s, burst: 0 }",
        "key: { rate: 10/s, burst: -1 }",
        "key: { rate: 10/s, burst: 4294967296 }",
        "max_concurrent_per_key: 0",
        "daily_quota: { requests: NaN }",
    ];
    for limits in wrong {
        gateway.rewrite(&with(&upstream, limits));
        gateway.signal("HUP");
        super::support::eventually("the rejection", || gateway.config_status() == "rejected");
        let error = gateway.admin_get("/readyz").json()["config"]["error"].to_string();
        // FILE:LINE:COLUMN of the line that the limits are on.
        let line = with(&upstream, limits)
            .yaml()
            .lines()
            .position(|line| line.starts_with("limits:"))
            .unwrap()
            + 1;
        assert!(error.contains(&format!("postern.yaml:{line}:")), "{limits}: {error}");
        gateway.rewrite(&good);
        gateway.signal("HUP");
        super::support::eventually("recovery", || gateway.config_status() != "rejected");
    }
    assert_eq!(left(&gateway.send(&bytes), "key"), 0, "through all of it the count went on");
    over(&gateway.send(&bytes), "rate_limited", "key");
}

#[test]
fn refusals_are_on_record_with_their_codes() {
    let upstream = Upstream::ok();
    let gateway = with(&upstream, "key: { rate: 1/d }, failed_auth_per_ip: { rate: 1/d }").start();
    assert_eq!(gateway.get(TARGET).status, 200);
    let (answer, record) = recorded(&gateway, &request("GET", TARGET, "key-all"));
    over(&answer, "rate_limited", "key");
    record.assert(&[("decision", "deny"), ("code", "rate_limited"), ("status", "429")]);
    record.assert(&[("key", key_id("key-all")), ("category", "appointment"), ("upstream_us", "")]);
    assert_eq!(gateway.request("GET", TARGET, "nobody").status, 401);
    let (answer, record) = recorded(&gateway, &request("GET", TARGET, "nobody"));
    over(&answer, "too_many_failures", "failed_auth");
    record.assert(&[
        ("decision", "deny"),
        ("code", "too_many_failures"),
        ("key", ""),
        ("route", ""),
    ]);
    assert!(!answer.text().contains(&key("nobody")));
    let metrics = gateway.admin_get("/metrics").text();
    for code in ["rate_limited", "too_many_failures"] {
        assert!(metrics.contains(code), "{code}");
    }
    assert_eq!(upstream.count(), 1);
}
