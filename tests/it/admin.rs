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
