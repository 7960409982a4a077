//! Who has a seat when there are no more: tunnels keep theirs, and nobody holds them all by saying nothing.

use std::net::SocketAddr;
use std::time::Duration;

use super::support::fixture::request_with;
use super::support::setup::Setup;
use super::support::{Gateway, PATIENCE, Then, Upstream, Wire, eventually, request};

const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
const SWITCHING: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// Sends back all that comes through a tunnel.
fn echo() -> Upstream {
    Upstream::start(|exchange| {
        if !exchange.head.has("upgrade") {
            exchange.body()?;
            exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")?;
            return Ok(Then::Keep);
        }
        exchange.send(SWITCHING)?;
        loop {
            let bytes = exchange.read()?;
            exchange.send(&bytes)?;
        }
    })
}

fn small(upstream: &Upstream, seats: usize) -> Setup {
    let seats = format!("max_connections: {seats}");
    Gateway::over(upstream).proxy("workers: 1").proxy(&seats).proxy("header_timeout: 60s")
}

fn tunnel(gateway: &Gateway) -> Wire {
    let mut wire = gateway.wire();
    wire.send(&request_with("GET", "/v1/live", "key-all", UPGRADE, ""));
    assert_eq!(wire.answer().status, 101);
    wire
}

fn echoes(wire: &mut Wire, text: &[u8]) {
    assert!(wire.send(text));
    while wire.feed.rest().len() < text.len() {
        assert_ne!(wire.feed.fill().unwrap(), 0, "the tunnel ended");
    }
    assert_eq!(wire.feed.rest(), text);
    wire.feed.forget();
}

/// Whether a request on a new connection is answered as it should be.
fn is_served(mut wire: Wire) -> bool {
    wire.send(&request("GET", "/v1/appointments", "key-all"));
    wire.answer_to("GET").is_some_and(|answer| answer.status == 200)
}

/// A connection from another address of this machine.
fn from(source: &str, to: SocketAddr) -> Wire {
    use socket2::{Domain, Socket, Type};
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let source: SocketAddr = format!("{source}:0").parse().unwrap();
    socket.bind(&source.into()).unwrap();
    socket.connect(&to.into()).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    Wire::over(socket.into())
}

#[test]
fn a_tunnel_keeps_its_seat_and_makes_room_for_nobody() {
    let upstream = echo();
    let gateway = small(&upstream, 3).start();
    let mut tunnels: Vec<_> = (0..3).map(|_| tunnel(&gateway)).collect();
    for _ in 0..5 {
        assert!(!is_served(gateway.wire()), "more connections than there are seats");
    }
    for wire in &mut tunnels {
        echoes(wire, b"still there");
    }
    tunnels.pop();
    eventually("the seat of the tunnel that ended", || is_served(gateway.wire()));
    for wire in &mut tunnels {
        echoes(wire, b"and still");
    }
}

#[test]
fn a_tunnel_may_go_on_while_the_gateway_drains_and_is_cut_then() {
    let upstream = echo();
    let mut gateway = Gateway::over(&upstream).proxy("drain: 2s").start();
    let mut wire = tunnel(&gateway);
    gateway.signal("TERM");
    eventually("the listener to close", || std::net::TcpStream::connect(gateway.address).is_err());
    echoes(&mut wire, b"still there");
    assert!(wire.closes_after_anything());
    gateway.end();
    eventually("the upstream side to end", || upstream.open() == 0);
}

#[test]
fn one_address_does_not_hold_every_seat_by_saying_nothing() {
    for begun in [&b""[..], b"GET /v1/app", b"PRI * HTTP/2.0\r\n\r\n"] {
        let upstream = Upstream::ok();
        let gateway = small(&upstream, 10).start();
        let silent = || {
            let mut wire = from("127.0.0.2", gateway.address);
            wire.send(begun);
            wire
        };
        let mut held: Vec<_> = (0..10).map(|_| silent()).collect();
        assert!(is_served(gateway.wire()), "{}", begun.escape_ascii());
        let waits = gateway.wire();
        held.extend((0..30).map(|_| silent()));
        // The one who came while others say nothing keeps its seat.
        assert!(is_served(waits), "{}", begun.escape_ascii());
    }
}

#[test]
fn a_request_that_is_answered_makes_room_for_no_silence() {
    let upstream = Upstream::start(|exchange| {
        exchange.body()?;
        std::thread::sleep(Duration::from_secs(1));
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")?;
        Ok(Then::Keep)
    });
    let gateway = small(&upstream, 4).start();
    let mut works: Vec<_> = (0..4)
        .map(|_| {
            let mut wire = gateway.wire();
            wire.send(&request("GET", "/v1/appointments", "key-all"));
            wire
        })
        .collect();
    eventually("four requests upstream", || upstream.count() == 4);
    let silent: Vec<_> = (0..20).map(|_| from("127.0.0.2", gateway.address)).collect();
    for wire in &mut works {
        assert_eq!(wire.answer().status, 200);
    }
    drop(silent);
}
