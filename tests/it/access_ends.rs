//! How the end of a request is recorded: by the upstream, by the caller, by the death of the gateway, and how much was sent.

use std::net::TcpListener;

use super::support::fixture::{key_id, request, request_with};
use super::support::load;
use super::support::nodes::{Fleet, Plan, at_last};
use super::support::records::{Books, id_of, recorded};
use super::support::setup::Setup;
use super::support::tunnel::UPGRADE;
use super::support::upstream::ok;
use super::support::wire::Wire;
use super::support::{Gateway, Then, Upstream};

#[test]
fn how_the_upstream_failed_is_recorded() {
    let upstream = load::upstream();
    let gateway = Gateway::over(&upstream).start();
    for (target, status) in [("/v1/patients/missing", "404"), ("/v1/patients/broken", "500")] {
        let (_, record) = recorded(&gateway, &request("GET", target, "key-all"));
        record.assert(&[
            ("decision", "allow"),
            ("code", ""),
            ("status", status),
            ("route", "/v1/patients/{id}"),
        ]);
    }
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let silent = Upstream::start(|exchange| {
        exchange.body()?;
        exchange.hang()
    });
    let nonsense = Upstream::answering(b"nonsense\r\n\r\n");
    let cases = [
        (Setup::to(&[format!("http://{closed}")]), "502", "upstream_unreachable"),
        (Gateway::over(&silent).upstream("response_timeout: 300ms"), "504", "upstream_timeout"),
        (Gateway::over(&nonsense), "502", "upstream_protocol_error"),
    ];
    for (setup, status, code) in cases {
        let gateway = setup.start();
        let (answer, record) = recorded(&gateway, &request("GET", "/v1/patients", "key-all"));
        assert_eq!(answer.code(), code);
        record.assert(&[
            ("decision", "allow"),
            ("code", code),
            ("status", status),
            ("key", key_id("key-all")),
            ("bytes_out", &answer.body.len().to_string()),
        ]);
    }
}

#[test]
fn bytes_of_bodies_are_counted_whatever_their_framing() {
    let upstream = Upstream::start(|exchange| {
        exchange.body()?;
        if exchange.head.word(1).ends_with("chunked") {
            exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\nagain!\r\n0\r\n\r\n")?;
        } else {
            exchange.send(&ok("", &"y".repeat(70_000)))?;
        }
        Ok(Then::Keep)
    });
    let gateway = Gateway::over(&upstream).start();
    let sized = request_with("POST", "/v1/patients/chunked", "key-all", "", &"x".repeat(100_000));
    let chunked =
        request_with("POST", "/v1/patients/sized", "key-all", "Transfer-Encoding: chunked\r\n", "");
    let chunked = [&chunked[..], b"4\r\nbody\r\n6\r\nchunks\r\n0\r\n\r\n"].concat();
    let head = request("HEAD", "/v1/patients/sized", "key-all");
    for (bytes, bytes_in, bytes_out) in
        [(sized, "100000", "11"), (chunked, "10", "70000"), (head, "0", "0")]
    {
        let (_, record) = recorded(&gateway, &bytes);
        record.assert(&[("status", "200"), ("bytes_in", bytes_in), ("bytes_out", bytes_out)]);
    }
}

#[test]
fn a_caller_who_goes_away_is_recorded_as_gone() {
    let upstream = Upstream::start(|exchange| {
        exchange.body()?;
        if exchange.head.word(1).ends_with("begun") {
            exchange
                .send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")?;
        }
        exchange.hang()
    });
    let gateway = Gateway::over(&upstream).start();
    for (target, status, bytes_out) in
        [("/v1/patients/begun", "200", "5"), ("/v1/patients/never", "0", "0")]
    {
        let mut wire = gateway.wire();
        wire.send(&request("GET", target, "key-all"));
        at_last("the upstream has it", || upstream.count() == 1);
        let seen = upstream.only();
        if status == "200" {
            assert_eq!(wire.feed.head().unwrap().unwrap().word(1), "200");
            while !wire.feed.rest().ends_with(b"hello\r\n") {
                assert_ne!(wire.feed.fill().unwrap(), 0, "the answer ended");
            }
        }
        drop(wire);
        let record = Books::of(&gateway).record_of(seen.head.one("x-request-id").unwrap());
        record.assert(&[
            ("decision", "allow"),
            ("code", "client_gone"),
            ("status", status),
            ("bytes_out", bytes_out),
        ]);
    }
}

#[test]
fn a_tunnel_is_recorded_when_it_ends() {
    let upstream = load::upstream();
    let gateway = Gateway::over(&upstream).start();
    let mut wire = gateway.wire();
    wire.send(&request_with("GET", "/v1/live", "key-read", UPGRADE, ""));
    let answer = wire.answer();
    assert_eq!(answer.status, 101);
    wire.send(b"hello");
    while wire.feed.rest().len() < 5 {
        assert_ne!(wire.feed.fill().unwrap(), 0, "the tunnel ended");
    }
    let books = Books::of(&gateway);
    assert_eq!(books.all(), Vec::new(), "it is open");
    drop(wire);
    let record = books.record_of(&id_of(&answer));
    record.assert(&[
        ("key", key_id("key-read")),
        ("route", "/v1/live"),
        ("category", "appointment"),
        ("decision", "allow"),
        ("status", "101"),
        ("code", ""),
        ("bytes_in", "5"),
        ("bytes_out", "5"),
    ]);
    assert!(record.number("upstream_us") > 0, "{record:?}");
}

/// The gateway dies while the upstream has the request and says nothing: the record was begun before the upstream had it.
#[test]
fn a_request_that_the_upstream_has_is_recorded_whatever_becomes_of_the_gateway() {
    let upstream = Upstream::start(|exchange| exchange.hang());
    let fleet = Fleet::of(Plan::quiet("embedded:./data", ""), upstream);
    let node = fleet.node();
    let mut wires: Vec<_> = (0..5).map(|_| Wire::to(node.gateway)).collect();
    for wire in &mut wires {
        wire.send(&request_with("POST", "/v1/patients", "key-all", "", "hello"));
    }
    at_last("the upstream has them", || fleet.upstream.count() == wires.len());
    node.kill();
    let node = fleet.node();
    let books = Books::of_node(&node);
    let records = books.exactly(wires.len());
    for seen in fleet.upstream.requests() {
        let id = seen.head.one("x-request-id").unwrap();
        let record = records.iter().find(|record| record.get("request_id") == id);
        record.unwrap_or_else(|| panic!("no {id} in {records:#?}")).assert(&[
            ("decision", "allow"),
            ("code", "interrupted"),
            ("status", "0"),
            ("method", "POST"),
            ("route", "/v1/patients"),
            ("key", fleet.key_id("key-all")),
        ]);
    }
    node.kill();
    // Once is enough.
    Books::of_node(&fleet.node()).exactly(wires.len());
}
