//! Methods are known, case-sensitive and never folded (ME).

use super::support::fixture::credentials;
use super::support::{Gateway, Upstream, request};

#[test]
fn an_unknown_method_is_refused_and_never_taken_for_another() {
    let upstream = Upstream::ok();
    let gateway = Gateway::over(&upstream).start();
    let long = "A".repeat(300);
    let methods = [
        "get",
        "Get",
        "gET",
        "GETT",
        "GE",
        "FOO",
        "FOO!#$%",
        "TRACE",
        "PROPFIND",
        "QUERY",
        "PURGE",
        "LINK",
        "M-SEARCH",
        "GET\u{7f}",
        "delete",
        "Post",
        &long,
    ];
    for method in methods {
        let bytes = request(method, "/v1/appointments", "key-all");
        let mut wire = gateway.wire();
        wire.send(&bytes);
        let answer = wire.answer_to("GET").unwrap();
        assert!(matches!(answer.status, 400 | 403), "{method}: {}", answer.head.text());
        upstream.assert_untouched(method);
    }
    gateway.assert_alive(&upstream);
}

#[test]
fn connect_opens_no_tunnel() {
    let upstream = Upstream::ok();
    let gateway = Gateway::over(&upstream).start();
    let own = gateway.address.to_string();
    for target in ["evil.test:443", "/v1/appointments", "gw.test:80", &own, "gw.test"] {
        let bytes = format!("CONNECT {target} HTTP/1.1\r\n{}\r\n", credentials("key-all"));
        let mut wire = gateway.wire();
        wire.send(bytes.as_bytes());
        let answer = wire.answer_to("GET").unwrap();
        assert!(matches!(answer.status, 400 | 403), "{target}: {}", answer.head.text());
        wire.send(&request("GET", "/v1/appointments", "key-all"));
        upstream.assert_untouched(target);
    }
    gateway.assert_alive(&upstream);
}

fn preflight(target: &str, origin: &str, extra: &str) -> Vec<u8> {
    format!(
        "OPTIONS {target} HTTP/1.1\r\nHost: gw.test\r\nOrigin: {origin}\r\n\
         Access-Control-Request-Method: DELETE\r\n{extra}\r\n"
    )
    .into_bytes()
}

#[test]
fn a_preflight_is_answered_here_for_the_configured_origins_alone() {
    let upstream = Upstream::ok();
    let cors = "cors: { origins: [\"https://app.test\", \"https://two.test\"] }";
    let gateway = Gateway::over(&upstream).proxy(cors).start();
    let asks = "Access-Control-Request-Headers: x-subscriber-key, content-type\r\n";
    let answers: Vec<_> = ["/v1/appointments", "/v1/nothing", "/v1/internal/x"]
        .iter()
        .map(|target| gateway.send(&preflight(target, "https://app.test", asks)))
        .collect();
    for answer in &answers {
        assert_eq!(answer.status, 204, "{}", answer.head.text());
        assert_eq!(answer.head.one("access-control-allow-origin"), Some("https://app.test"));
        assert!(answer.head.one("access-control-allow-methods").unwrap().contains("DELETE"));
        assert!(answer.head.one("vary").unwrap().to_lowercase().contains("origin"));
        let same = answer.head.one("access-control-allow-methods");
        assert_eq!(
            same,
            answers[0].head.one("access-control-allow-methods"),
            "routes are told apart"
        );
    }
    for origin in [
        "https://evil.test",
        "null",
        "https://app.test.evil.test",
        "http://app.test",
        "https://APP.test:1",
    ] {
        let answer = gateway.send(&preflight("/v1/appointments", origin, ""));
        assert_eq!(answer.status, 403, "{origin}: {}", answer.head.text());
        assert!(!answer.head.has("access-control-allow-origin"), "{origin}");
    }
    upstream.assert_untouched("preflights");
    for target in ["/v1/appointments", "/v1/nothing", "/.well-known/postern"] {
        let answer = gateway.get(target);
        assert_eq!(answer.head.all("vary"), ["Origin"], "{target}: {}", answer.head.text());
    }
}

#[test]
fn options_is_never_forwarded() {
    let upstream = Upstream::ok();
    let gateway = Gateway::over(&upstream).start();
    gateway.refuses(&upstream, &preflight("/v1/appointments", "https://app.test", ""), 403, "");
    gateway.refuses(&upstream, &request("OPTIONS", "/v1/appointments", "key-all"), 403, "");
    gateway.refuses(&upstream, &request("OPTIONS", "/v1/status", "key-all"), 403, "");
    gateway.refuses(&upstream, &request("OPTIONS", "//v1", "key-all"), 400, "ambiguous_path");
    gateway.assert_alive(&upstream);
}

#[test]
fn an_answer_to_another_origin_carries_no_permission() {
    let upstream = Upstream::ok();
    let gateway =
        Gateway::over(&upstream).proxy("cors: { origins: [\"https://app.test\"] }").start();
    let send = |origin: &str| {
        let line = format!("Origin: {origin}\r\n");
        gateway.send(&super::support::fixture::request_with(
            "GET",
            "/v1/appointments",
            "key-all",
            &line,
            "",
        ))
    };
    let own = send("https://app.test");
    assert_eq!(own.head.one("access-control-allow-origin"), Some("https://app.test"));
    let other = send("https://evil.test");
    assert_eq!(other.status, 200);
    assert!(!other.head.has("access-control-allow-origin"), "{}", other.head.text());
}

#[test]
fn head_is_answered_without_a_body() {
    let upstream = Upstream::start(|exchange| {
        exchange.body()?;
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")?;
        Ok(super::support::Then::Keep)
    });
    let gateway = Gateway::over(&upstream).start();
    let mut wire = gateway.wire();
    for _ in 0..2 {
        wire.send(&request("HEAD", "/v1/appointments", "key-all"));
        let answer = wire.answer_to("HEAD").unwrap();
        assert_eq!(answer.status, 200);
        assert_eq!(answer.head.one("content-length"), Some("5"));
    }
    wire.send(&request("HEAD", "/v1/nothing", "key-all"));
    assert_eq!(wire.answer_to("HEAD").unwrap().status, 403);
    wire.send(&request("HEAD", "/v1/appointments", "key-all"));
    assert_eq!(wire.answer_to("HEAD").unwrap().status, 200);
}
