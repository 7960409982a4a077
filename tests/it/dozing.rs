//! A caller who asks nothing for a while costs little, and finds everything as it was.

use std::time::Duration;

use super::support::fixture::credentials;
use super::support::upstream::ok;
use super::support::{Gateway, Then, Upstream, Wire, request};

/// Longer than a connection stays awake: that the time passes is what is tested.
fn doze() {
    std::thread::sleep(Duration::from_millis(2500));
}

fn asks(wire: &mut Wire, bytes: &[u8]) -> u16 {
    assert!(wire.send(bytes));
    wire.answer().status
}

#[test]
fn whoever_dozed_goes_on_as_before() {
    let upstream = Upstream::ok();
    let gateway = Gateway::over(&upstream).start();
    let get = request("GET", "/v1/appointments", "key-all");
    let mut wires: Vec<_> = (0..6).map(|_| gateway.wire()).collect();
    for wire in &mut wires {
        assert_eq!(asks(wire, &get), 200);
    }
    for _ in 0..2 {
        doze();
        assert_eq!(asks(&mut wires[0], &get), 200);
        // Two at once; one in pieces; one with a body; one that leaves an empty line behind.
        assert_eq!(asks(&mut wires[1], &[get.as_slice(), &get].concat()), 200);
        assert_eq!(wires[1].answer().status, 200);
        let (first, rest) = get.split_at(7);
        wires[2].send(first);
        assert_eq!(asks(&mut wires[2], rest), 200);
        let head = format!(
            "POST /v1/appointments HTTP/1.1\r\n{}Transfer-Encoding: chunked\r\n\r\n",
            credentials("key-all")
        );
        assert_eq!(asks(&mut wires[3], format!("{head}3\r\nabc\r\n0\r\n\r\n").as_bytes()), 200);
        assert_eq!(asks(&mut wires[4], &[b"\r\n".as_slice(), &get].concat()), 200);
        // An empty line too many is tolerated, and holds its connection awake.
        assert!(wires[4].send(b"\r\n"));
    }
    upstream.take();
    // Heads are counted on: what is wrong with the fourth is said of the fourth.
    assert_eq!(asks(&mut wires[5], &get), 200);
    doze();
    let flawed = request("GET", "/v1/appointments#a", "key-all");
    wires[5].send(&[get.as_slice(), &flawed].concat());
    assert_eq!(wires[5].answer().status, 200);
    let refusal = wires[5].answer();
    assert_eq!((refusal.status, refusal.code().as_str()), (400, "ambiguous_path"));
    assert_eq!(upstream.take().len(), 2);
}

#[test]
fn whoever_dozes_is_closed_when_its_time_is_over_or_the_gateway_ends() {
    let upstream = Upstream::ok();
    let mut gateway = Gateway::over(&upstream).proxy("idle_timeout: 4s").start();
    let get = request("GET", "/v1/appointments", "key-all");
    let mut idle = gateway.wire();
    assert_eq!(asks(&mut idle, &get), 200);
    doze();
    let mut drained = gateway.wire();
    assert_eq!(asks(&mut drained, &get), 200);
    assert!(idle.closes(), "at its time");
    gateway.signal("TERM");
    assert!(drained.closes(), "at the end");
    assert_eq!(gateway.end().code(), Some(0));
}

#[test]
fn the_rest_of_a_body_is_never_taken_for_a_request() {
    // Answers before it has read the body.
    let upstream = Upstream::start(|exchange| {
        exchange.send(&ok("", "early"))?;
        Ok(Then::Keep)
    });
    let gateway = Gateway::over(&upstream).start();
    let hidden = request("GET", "/v1/invoices", "key-all");
    let head = format!(
        "POST /v1/appointments HTTP/1.1\r\n{}Content-Length: {}\r\n\r\n",
        credentials("key-all"),
        20_000 + hidden.len(),
    );
    let mut wire = gateway.wire();
    assert_eq!(asks(&mut wire, head.as_bytes()), 200);
    assert!(wire.send(&[b'x'; 20_000]));
    doze();
    wire.send(&hidden);
    let rest = wire.rest();
    assert!(!rest.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&rest));
    assert!(upstream.take().iter().all(|seen| seen.line().starts_with("POST ")));
}
