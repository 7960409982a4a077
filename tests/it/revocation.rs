//! What an administrator takes away is gone when the answer comes: under load from many connections, and for what is
//! open already.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::support::admin::Client;
use super::support::fixture::{self, key_id, request_with};
use super::support::{Answer, Gateway, Upstream, Wire, eventually, request, say};

const CONNECTIONS: usize = 64;
/// Requests that each connection sends after the answer.
const AFTERWARDS: usize = 10;

fn operator(gateway: &Gateway) -> Client {
    Client::bearer(gateway.admin, fixture::operator())
}

#[track_caller]
fn done(answer: &Answer) -> Value {
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

/// What the connections saw, all together.
#[derive(Debug, Default)]
struct Seen {
    /// The change was answered.
    answered: AtomicBool,
    passed_before: AtomicUsize,
    /// Passed although it was sent after the answer.
    passed_after: AtomicUsize,
    /// Refused as it must be, sent after the answer.
    refused_after: AtomicUsize,
}

/// One connection, kept as long as the gateway keeps it; sends until it has sent enough after the answer.
fn load(address: SocketAddr, id: &str, code: &str, seen: &Seen) {
    let request = request("GET", "/v1/patients", id);
    let mut wire = Wire::to(address);
    let mut afterwards = 0;
    while afterwards < AFTERWARDS {
        let is_after = seen.answered.load(Ordering::SeqCst);
        wire.send(&request);
        let Some(answer) = wire.answer_to("GET") else {
            wire = Wire::to(address);
            continue;
        };
        afterwards += usize::from(is_after);
        match (answer.status, is_after) {
            (200, false) => seen.passed_before.fetch_add(1, Ordering::SeqCst),
            (200, true) => seen.passed_after.fetch_add(1, Ordering::SeqCst),
            (_, true) => {
                assert_eq!(answer.code(), code, "{}", answer.text());
                seen.refused_after.fetch_add(1, Ordering::SeqCst)
            }
            // Between the change and its answer both are right.
            (_, false) => {
                assert_eq!(answer.code(), code, "{}", answer.text());
                0
            }
        };
        if answer.closes() {
            wire = Wire::to(address);
        }
    }
}

/// Takes something away from `id` while it is used by all connections: none gets through once that was answered.
fn holds_under_load(id: &str, code: &str, change: impl FnOnce(&Client) -> Answer) {
    let upstream = Upstream::ok();
    let gateway = Gateway::over(&upstream).start();
    let admin = operator(&gateway);
    let seen = Seen::default();
    thread::scope(|scope| {
        for _ in 0..CONNECTIONS {
            scope.spawn(|| load(gateway.address, id, code, &seen));
        }
        let all_at_work = || seen.passed_before.load(Ordering::SeqCst) > 4 * CONNECTIONS;
        eventually("requests that pass", all_at_work);
        let answer = change(&admin);
        seen.answered.store(true, Ordering::SeqCst);
        done(&answer);
    });
    assert_eq!(seen.passed_after.load(Ordering::SeqCst), 0, "{seen:?}");
    assert_eq!(seen.refused_after.load(Ordering::SeqCst), CONNECTIONS * AFTERWARDS, "{seen:?}");
}

#[test]
fn a_revoked_key_is_refused_on_the_next_request() {
    holds_under_load("key-all", "key_revoked", |admin| {
        admin.delete(&format!("/keys/{}", key_id("key-all")))
    });
}

#[test]
fn a_disabled_key_is_refused_on_the_next_request() {
    holds_under_load("key-all", "key_disabled", |admin| {
        admin.patch(&format!("/keys/{}", key_id("key-all")), &json!({ "enabled": false }))
    });
}

#[test]
fn a_permission_that_was_taken_is_refused_on_the_next_request() {
    holds_under_load("key-all", "permission_denied", |admin| {
        let permissions = json!({ "permissions": { "appointment": "read" } });
        admin.patch(&format!("/keys/{}", key_id("key-all")), &permissions)
    });
}

#[test]
fn keys_of_a_suspended_vendor_are_refused_on_the_next_request() {
    holds_under_load("key-all", "vendor_not_approved", |admin| {
        admin.patch("/vendors/acme", &json!({ "status": "suspended" }))
    });
}

#[test]
fn keys_of_a_practice_that_was_switched_off_are_refused_on_the_next_request() {
    holds_under_load("key-all", "api_access_disabled", |admin| {
        admin.patch("/practices/north", &json!({ "api_access": false }))
    });
}

#[test]
fn a_key_that_was_bound_to_another_vendor_is_refused_on_the_next_request() {
    holds_under_load("key-all", "vendor_mismatch", |admin| {
        admin.patch(&format!("/keys/{}", key_id("key-all")), &json!({ "vendor": "beta" }))
    });
}

#[test]
fn what_is_switched_on_again_passes_on_the_next_request() {
    let upstream = Upstream::ok();
    let gateway = Gateway::over(&upstream).start();
    let admin = operator(&gateway);
    for _ in 0..20 {
        for (on, expected) in [(false, 403), (true, 200)] {
            done(&admin.patch("/practices/north", &json!({ "api_access": on })));
            assert_eq!(gateway.get("/v1/patients").status, expected);
        }
    }
}

#[test]
fn revoking_again_gives_the_same_receipt_and_touches_no_other_key() {
    let upstream = Upstream::ok();
    let gateway = Gateway::over(&upstream).start();
    let admin = operator(&gateway);
    let path = format!("/keys/{}", key_id("key-read"));
    let receipt = done(&admin.delete(&path));
    assert!(receipt["revoked_at"].is_string(), "{receipt}");
    let nodes = receipt["nodes"].as_array().unwrap();
    assert_eq!(nodes.len(), 1, "{receipt}");
    assert!(nodes[0]["node"].is_string() && nodes[0]["applied_at"].is_string(), "{receipt}");
    assert_eq!(done(&admin.delete(&path)), receipt);
    let refused = gateway.request("GET", "/v1/patients", "key-read");
    assert_eq!((refused.status, refused.code().as_str()), (401, "key_revoked"));
    upstream.assert_untouched("a revoked key");
    gateway.assert_alive(&upstream);
}

const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
const SWITCHING: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
                           Connection: Upgrade\r\n\
                           Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// Echoes in a tunnel; answers anything else with a body that has no end.
fn endless() -> Upstream {
    Upstream::start(|exchange| {
        if exchange.head.has("upgrade") {
            exchange.send(SWITCHING)?;
            loop {
                let bytes = exchange.read()?;
                exchange.send(&bytes)?;
            }
        }
        exchange.body()?;
        exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
        loop {
            exchange.send(b"5\r\nmore\n\r\n")?;
            thread::sleep(Duration::from_millis(20));
        }
    })
}

/// A WebSocket of a key, which has echoed once.
fn tunnel(gateway: &Gateway, id: &str) -> Wire {
    let mut wire = gateway.wire();
    wire.send(&request_with("GET", "/v1/live", id, UPGRADE, ""));
    let answer = wire.answer();
    assert_eq!(answer.status, 101, "{}", answer.text());
    echo(&mut wire);
    wire
}

fn echo(wire: &mut Wire) {
    wire.send(b"hello");
    while wire.feed.rest().len() < 5 {
        assert_ne!(wire.feed.fill().unwrap(), 0, "the tunnel ended");
    }
    assert_eq!(wire.feed.rest(), b"hello");
    wire.feed.forget();
}

/// A stream of a key, whose body has begun.
fn stream(gateway: &Gateway, id: &str) -> Wire {
    let mut wire = gateway.wire();
    wire.send(&request("GET", "/v1/patients", id));
    let head = wire.feed.head().unwrap().unwrap();
    assert_eq!(head.word(1), "200", "{}", head.text());
    assert_ne!(wire.feed.fill().unwrap(), 0, "the stream ended");
    wire
}

/// What is open of `key-all` ends; what is open of another key goes on.
fn ends_what_is_open(change: impl FnOnce(&Client) -> Answer) {
    let upstream = endless();
    let gateway = Gateway::over(&upstream).start();
    let mut tunnel_of_it = tunnel(&gateway, "key-all");
    let mut stream_of_it = stream(&gateway, "key-all");
    let mut tunnel_of_another = tunnel(&gateway, "key-read");
    done(&change(&operator(&gateway)));
    let answered = Instant::now();
    assert!(tunnel_of_it.closes_after_anything(), "the WebSocket stays open");
    let of_tunnel = answered.elapsed();
    assert!(stream_of_it.closes_after_anything(), "the stream goes on");
    // The promise is a second; a busy machine is no reason to fail.
    say(&format!("after the answer: tunnel {of_tunnel:?}, stream {:?}", answered.elapsed()));
    let body = String::from_utf8_lossy(stream_of_it.feed.rest()).into_owned();
    assert!(!body.ends_with("0\r\n\r\n"), "what was cut off looks whole");
    echo(&mut tunnel_of_another);
}

#[test]
fn what_is_open_of_a_revoked_key_ends() {
    ends_what_is_open(|admin| admin.delete(&format!("/keys/{}", key_id("key-all"))));
}

#[test]
fn what_is_open_of_a_disabled_key_ends() {
    ends_what_is_open(|admin| {
        admin.patch(&format!("/keys/{}", key_id("key-all")), &json!({ "enabled": false }))
    });
}

#[test]
fn what_is_open_under_a_suspended_vendor_ends() {
    let upstream = endless();
    let gateway = Gateway::over(&upstream).start();
    let mut wires = [tunnel(&gateway, "key-all"), stream(&gateway, "key-read")];
    done(&operator(&gateway).patch("/vendors/acme", &json!({ "status": "suspended" })));
    assert!(wires.iter_mut().all(Wire::closes_after_anything), "something stays open");
}
