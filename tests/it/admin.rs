//! The admin listener: health, readiness, metrics, and nothing of them on the gateway.

use super::support::{Gateway, Upstream, Wire};

#[test]
fn health_and_readiness_are_said() {
    let upstream = Upstream::ok();
    let gateway = Gateway::over(&upstream).start();
    assert_eq!(gateway.admin_get("/healthz").status, 200);
    let ready = gateway.admin_get("/readyz");
    assert_eq!(ready.status, 200, "{}", ready.text());
    assert!(ready.text().ends_with("}\n"), "{}", ready.text());
    assert_ne!(gateway.config_status(), "rejected");
    assert_eq!(gateway.admin_get("/nothing").status, 404);
}

fn counted(gateway: &Gateway) -> f64 {
    let text = gateway.admin_get("/metrics").text();
    let lines = text.lines().filter(|line| line.starts_with("postern_requests_total"));
    lines.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
}

#[test]
fn every_request_is_counted_once() {
    let upstream = Upstream::ok();
    let gateway = Gateway::over(&upstream).start();
    let before = counted(&gateway);
    for n in 0..30 {
        let target = if n % 3 == 0 { "/v1/nothing" } else { "/v1/appointments" };
        gateway.get(target);
    }
    super::support::eventually("thirty more", || (counted(&gateway) - before - 30.0).abs() < 0.5);
    let metrics = gateway.admin_get("/metrics");
    let kind = metrics.head.one("content-type").unwrap();
    assert!(
        kind.starts_with("text/plain") || kind.starts_with("application/openmetrics-text"),
        "{kind}"
    );
    for line in metrics.text().lines().filter(|line| !line.starts_with('#')) {
        assert!(line.starts_with("postern_"), "{line}");
    }
}

#[test]
fn refusals_of_limits_are_counted_by_limit_and_would_be_ones_apart() {
    let upstream = Upstream::ok();
    let limits = "limits: { key: { rate: 24/d, burst: 2 }, category: { files: { rate: 1/d } } }";
    let has = |gateway: &Gateway, line: &str| {
        gateway.admin_get("/metrics").text().lines().any(|found| found == line)
    };
    let gateway = Gateway::over(&upstream).top(limits).start();
    assert!(has(&gateway, r#"postern_limit_refusals_total{limit="key"} 0"#));
    let ask = |gateway: &Gateway| {
        for (key, target) in [("key-all", "/v1/appointments"), ("key-mixed", "/v1/patients")] {
            (0..5).for_each(|_| drop(gateway.request("GET", target, key)));
        }
    };
    ask(&gateway);
    assert!(has(&gateway, r#"postern_limit_refusals_total{limit="key"} 6"#));
    assert!(has(&gateway, r#"postern_limit_refusals_total{limit="category"} 0"#));
    assert!(has(&gateway, r#"postern_limit_observed_total{limit="key"} 0"#));
    assert!(has(&gateway, "postern_limits_shared 0"), "an embedded store is nobody else's");
    assert!(has(&gateway, "postern_limits_decided_alone_total 0"));
    assert_eq!(gateway.admin_get("/readyz").json().get("limits"), None);

    let observing = limits.replace("{ key", "{ mode: observe, key");
    let gateway = Gateway::over(&upstream).top(&observing).start();
    ask(&gateway);
    assert!(has(&gateway, r#"postern_limit_observed_total{limit="key"} 6"#));
    assert!(has(&gateway, r#"postern_limit_refusals_total{limit="key"} 0"#));
}

#[test]
fn the_gateway_listener_serves_nothing_of_the_admin_one() {
    let upstream = Upstream::ok();
    let gateway = Gateway::over(&upstream).start();
    for path in ["/healthz", "/readyz", "/metrics", "/api/v1/keys", "/login", "/"] {
        for host in ["gw.test".to_owned(), gateway.admin.to_string(), "localhost".to_owned()] {
            let answer =
                gateway.send(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes());
            assert_eq!(answer.status, 401, "{path}");
        }
    }
    upstream.assert_untouched("admin paths on the gateway");
}

#[test]
fn the_admin_listener_forwards_nothing() {
    let upstream = Upstream::ok();
    let gateway = Gateway::over(&upstream).start();
    let mut wire = Wire::to(gateway.admin);
    wire.send(&super::support::request("GET", "/v1/appointments", "key-all"));
    assert_eq!(wire.answer().status, 404);
    for garbage in [
        "GET //x HTTP/1.1\r\nHost: a\r\n\r\n",
        "nonsense\r\n\r\n",
        "POST /healthz HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        let mut wire = Wire::to(gateway.admin);
        wire.send(garbage.as_bytes());
        let status = wire.answer().status;
        assert!((400..500).contains(&status), "{garbage}: {status}");
    }
    upstream.assert_untouched("a request to the admin listener");
    assert_eq!(gateway.admin_get("/healthz").status, 200);
}

#[test]
fn a_slow_caller_of_the_admin_listener_does_not_hold_up_readiness() {
    let upstream = Upstream::ok();
    let gateway = Gateway::over(&upstream).start();
    let slow: Vec<Wire> = (0..50)
        .map(|_| {
            let mut wire = Wire::to(gateway.admin);
            wire.send(b"GET /rea");
            wire
        })
        .collect();
    assert_eq!(gateway.admin_get("/readyz").status, 200);
    drop(slow);
}
