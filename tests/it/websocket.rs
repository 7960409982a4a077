//! WebSockets: an upgrade is passed on where a route says so, and nowhere else.

use std::time::Duration;

use super::support::fixture::{key_id, request_with};
use super::support::tunnel::{ACCEPT, UPGRADE, switching};
use super::support::{Gateway, Then, Upstream, Wire, eventually};

/// Switches with this head, then sends back all it receives.
fn echo(head: String) -> Upstream {
    Upstream::start(move |exchange| {
        if !exchange.head.has("upgrade") {
            exchange.body()?;
            exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")?;
            return Ok(Then::Keep);
        }
        exchange.send(head.as_bytes())?;
        loop {
            let bytes = exchange.read()?;
            exchange.send(&bytes)?;
        }
    })
}

fn handshake(target: &str, id: &str, extra: &str) -> Vec<u8> {
    request_with("GET", target, id, extra, "")
}

fn expect_bytes(wire: &mut Wire, wanted: &[u8]) {
    while wire.feed.rest().len() < wanted.len() {
        assert_ne!(wire.feed.fill().unwrap(), 0, "the tunnel ended");
    }
    assert_eq!(wire.feed.rest(), wanted);
    wire.feed.forget();
}

#[test]
fn bytes_go_both_ways_after_both_sides_agreed() {
    let upstream = echo(switching(ACCEPT));
    let gateway = Gateway::over(&upstream).start();
    let mut wire = gateway.wire();
    let extra = UPGRADE.to_owned() + "Sec-WebSocket-Protocol: chat\r\nX-Postern-Key-Id: forged\r\n";
    wire.send(&handshake("/v1/live", "key-read", &extra));
    let answer = wire.answer();
    assert_eq!(answer.status, 101, "{}", answer.text());
    assert_eq!(answer.head.one("sec-websocket-accept"), Some(ACCEPT));
    for text in ["hello", "again", "\0\r\n\r\nGET / HTTP/1.1\r\n\r\n"] {
        wire.send(text.as_bytes());
        expect_bytes(&mut wire, text.as_bytes());
    }
    let seen = upstream.only();
    assert_eq!(seen.head.one("upgrade"), Some("websocket"));
    assert_eq!(seen.head.one("x-postern-key-id"), Some(key_id("key-read")));
    assert_eq!(seen.head.one("sec-websocket-protocol"), Some("chat"));
    assert_eq!(seen.head.all("sec-websocket-key").len(), 1);
    drop(wire);
    eventually("the upstream side to end", || upstream.open() == 0);
    gateway.assert_alive(&upstream);
}

#[test]
fn the_end_of_one_side_is_the_end_of_the_other() {
    let upstream = Upstream::start(|exchange| {
        exchange.send(switching(ACCEPT).as_bytes())?;
        exchange.send(b"bye")?;
        Ok(Then::Close)
    });
    let gateway = Gateway::over(&upstream).start();
    let mut wire = gateway.wire();
    wire.send(&handshake("/v1/live", "key-all", UPGRADE));
    assert_eq!(wire.answer().status, 101);
    expect_bytes(&mut wire, b"bye");
    assert!(wire.closes_after_anything());
}

#[test]
fn an_upgrade_where_no_route_takes_one_is_refused() {
    let upstream = Upstream::ok();
    let gateway = Gateway::over(&upstream).start();
    for target in ["/v1/appointments", "/v1/status", "/v1/patients"] {
        let bytes = handshake(target, "key-all", UPGRADE);
        gateway.refuses(&upstream, &bytes, 403, "upgrade_not_allowed");
    }
    gateway.refuses(
        &upstream,
        &handshake("/v1/live", "key-none", UPGRADE),
        403,
        "permission_denied",
    );
    gateway.assert_alive(&upstream);
}

#[test]
fn a_faulty_handshake_opens_no_tunnel() {
    let upstream = echo(switching(ACCEPT));
    let gateway = Gateway::over(&upstream).start();
    let faults = [
        UPGRADE.replace("Version: 13", "Version: 777"),
        UPGRADE.replace("Sec-WebSocket-Version: 13\r\n", ""),
        UPGRADE.replace("dGhlIHNhbXBsZSBub25jZQ==", "short"),
        UPGRADE.replace("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", ""),
        UPGRADE.to_owned() + "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
        UPGRADE.to_owned() + "Content-Length: 5\r\n",
    ];
    for extra in faults {
        let mut wire = gateway.wire();
        wire.send(&handshake("/v1/live", "key-all", &extra));
        wire.send(b"GET /v1/internal/x HTTP/1.1\r\n\r\n");
        let answer = wire.answer();
        assert_ne!(answer.status, 101, "{extra}");
    }
    let seen = upstream.take();
    assert!(seen.iter().all(|seen| !seen.line().contains("internal")));
}

#[test]
fn a_false_101_is_a_protocol_error() {
    for head in [
        switching("wrongwrongwrongwrongwrongwro="),
        switching(ACCEPT).replace("Upgrade: websocket\r\n", ""),
        switching(ACCEPT).replace("Upgrade: websocket", "Upgrade: h2c"),
        switching(ACCEPT).replace("Connection: Upgrade\r\n", ""),
    ] {
        let upstream = echo(head.clone());
        let gateway = Gateway::over(&upstream).start();
        let mut wire = gateway.wire();
        wire.send(&handshake("/v1/live", "key-all", UPGRADE));
        let answer = wire.answer();
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (502, "upstream_protocol_error"),
            "{head}"
        );
    }
}

#[test]
fn an_upstream_that_declines_answers_as_usual() {
    let upstream =
        Upstream::answering(b"HTTP/1.1 426 Upgrade Required\r\nContent-Length: 2\r\n\r\nno");
    let gateway = Gateway::over(&upstream).start();
    let mut wire = gateway.wire();
    wire.send(&handshake("/v1/live", "key-all", UPGRADE));
    let answer = wire.answer();
    assert_eq!((answer.status, answer.text().as_str()), (426, "no"));
}

#[test]
fn nothing_is_tunnelled_before_the_upstream_agreed() {
    let upstream = Upstream::start(|exchange| {
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno")?;
        Ok(Then::Keep)
    });
    let gateway = Gateway::over(&upstream).start();
    let mut wire = gateway.wire();
    let mut bytes = handshake("/v1/live", "key-all", UPGRADE);
    bytes.extend(b"GET /v1/internal/x HTTP/1.1\r\nHost: gw.test\r\n\r\n");
    wire.send(&bytes);
    wire.patience(Duration::from_secs(5));
    assert_eq!(wire.answer().status, 200);
    drop(wire);
    gateway.get("/v1/appointments/after");
    assert!(upstream.take().iter().all(|seen| !seen.line().contains("internal")));
}

#[test]
fn a_plain_request_on_a_websocket_route_is_a_plain_request() {
    let upstream = Upstream::ok();
    let gateway = Gateway::over(&upstream).start();
    assert_eq!(gateway.get("/v1/live").status, 200);
    assert!(!upstream.only().head.has("upgrade"));
}
