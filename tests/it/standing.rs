//! What is open when its keys lose their standing is ended, whichever way it is open, and never so that a part of an
//! answer could be taken for the whole.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use serde_json::json;

use super::support::admin::Client;
use super::support::fixture::{key, key_id, operator, request, request_with, vendor_key};
use super::support::http2::{
    self, DATA, END_HEADERS, END_STREAM, PING, RST_STREAM, RawHttp2, SETTINGS, block_on, frame,
    good_fields, headers_frame, prior_knowledge,
};
use super::support::message::Framing;
use super::support::tunnel::{ACCEPT, UPGRADE, switching};
use super::support::wire::connect;
use super::support::{Gateway, Then, Upstream, Wire, eventually};

const CHUNKED: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

fn admin(gateway: &Gateway) -> Client {
    Client::bearer(gateway.admin, operator())
}

fn revoke(gateway: &Gateway, name: &str) {
    let answer = admin(gateway).delete(&format!("/keys/{}", key_id(name)));
    assert_eq!(answer.status, 200, "{}", answer.text());
}

fn change(gateway: &Gateway, path: &str, wanted: &serde_json::Value) {
    let answer = admin(gateway).patch(path, wanted);
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
}

/// Begins an answer that never ends by itself.
fn endless() -> Upstream {
    Upstream::start(|exchange| {
        if exchange.head.has("upgrade") {
            exchange.send(switching(ACCEPT).as_bytes())?;
        } else {
            exchange.send(CHUNKED)?;
            exchange.send(b"5\r\nhello\r\n")?;
        }
        exchange.hang()
    })
}

fn tunnel(gateway: &Gateway, name: &str) -> Wire {
    let mut wire = gateway.wire();
    wire.send(&request_with("GET", "/v1/live", name, UPGRADE, ""));
    assert_eq!(wire.answer().status, 101);
    wire
}

/// The head of a stream whose first piece has come.
fn stream(gateway: &Gateway, name: &str) -> Wire {
    let mut wire = gateway.wire();
    wire.send(&request("GET", "/v1/appointments/1/stream", name));
    let head = wire.feed.head().unwrap().unwrap();
    assert_eq!(head.word(1), "200", "{}", head.text());
    wire
}

/// The rest of a chunked body is no proper end.
fn assert_cut(wire: &mut Wire, what: &str) {
    let mut body = Vec::new();
    let ended = wire.feed.body(Framing::Chunked, |piece| body.extend_from_slice(piece));
    assert!(ended.is_err(), "{what}: the answer looks whole: {body:?}");
    assert!(wire.closes_after_anything(), "{what}");
}

type Loss = fn(&Gateway);

const LOSSES: [(&str, Loss); 6] = [
    ("key revoked", |gateway| revoke(gateway, "key-all")),
    ("key disabled", |gateway| {
        change(gateway, &format!("/keys/{}", key_id("key-all")), &json!({ "enabled": false }));
    }),
    ("key expired", |gateway| {
        let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_millis(1500);
        let wanted = json!({ "expires_at": soon.to_string() });
        change(gateway, &format!("/keys/{}", key_id("key-all")), &wanted);
    }),
    ("vendor suspended", |gateway| {
        change(gateway, "/vendors/acme", &json!({ "status": "suspended" }));
    }),
    ("vendor key revoked", |gateway| {
        let keys = admin(gateway).see("/vendors/acme/keys");
        let id = keys["items"][0]["id"].as_str().unwrap();
        let answer = admin(gateway).delete(&format!("/vendors/acme/keys/{id}"));
        assert!((200..300).contains(&answer.status), "{}", answer.text());
    }),
    ("practice switched off", |gateway| {
        change(gateway, "/practices/north", &json!({ "api_access": false }));
    }),
];

#[test]
fn whatever_ends_the_standing_ends_tunnels_and_streams() {
    for (what, lose) in LOSSES {
        let upstream = endless();
        let gateway = Gateway::over(&upstream).start();
        let (mut tunnel, mut stream) = (tunnel(&gateway, "key-all"), stream(&gateway, "key-all"));
        eventually("both to be open", || upstream.open() == 2);
        lose(&gateway);
        assert!(tunnel.closes_after_anything(), "{what}");
        assert_cut(&mut stream, what);
        eventually("the upstream's sides to end", || upstream.open() == 0);
    }
}

#[test]
fn what_belongs_to_other_keys_goes_on() {
    let goes_on = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&goes_on);
    let upstream = Upstream::start(move |exchange| {
        exchange.send(CHUNKED)?;
        exchange.send(b"5\r\nhello\r\n")?;
        eventually("the test to go on", || flag.load(Ordering::SeqCst));
        exchange.send(b"3\r\nbye\r\n0\r\n\r\n")?;
        Ok(Then::Keep)
    });
    let gateway = Gateway::over(&upstream).start();
    let (mut revoked, mut other) = (stream(&gateway, "key-all"), stream(&gateway, "key-read"));
    let mut public = gateway.wire();
    public.send(b"GET /v1/status HTTP/1.1\r\nHost: gw.test\r\n\r\n");
    assert_eq!(public.feed.head().unwrap().unwrap().word(1), "200");
    revoke(&gateway, "key-all");
    assert_cut(&mut revoked, "revoked");
    goes_on.store(true, Ordering::SeqCst);
    for wire in [&mut other, &mut public] {
        let mut body = Vec::new();
        wire.feed.body(Framing::Chunked, |piece| body.extend_from_slice(piece)).unwrap();
        assert_eq!(body, b"hellobye");
    }
}

#[test]
fn a_caller_that_does_not_read_is_cut_all_the_same() {
    let upstream = Upstream::start(|exchange| {
        exchange.send(CHUNKED)?;
        let piece = [b"10000\r\n".as_slice(), &[b'x'; 0x10000], b"\r\n"].concat();
        loop {
            exchange.send(&piece)?;
        }
    });
    let gateway = Gateway::over(&upstream).proxy("write_timeout: 1h").start();
    let wire = stream(&gateway, "key-all");
    revoke(&gateway, "key-all");
    eventually("the upstream's side to end", || upstream.open() == 0);
    drop(wire);
}

#[test]
fn an_answer_that_ends_with_its_connection_is_reset() {
    let upstream = endless();
    let gateway = Gateway::over(&upstream).start();
    let mut wire = Wire::over(connect(gateway.address));
    let bytes = String::from_utf8(request("GET", "/v1/appointments/1/stream", "key-all")).unwrap();
    wire.send(bytes.replace("HTTP/1.1", "HTTP/1.0").as_bytes());
    let head = wire.feed.head().unwrap().unwrap();
    assert_eq!(head.word(1), "200", "{}", head.text());
    assert!(!head.has("transfer-encoding") && !head.has("content-length"), "{}", head.text());
    revoke(&gateway, "key-all");
    let mut ended = wire.feed.fill();
    while matches!(ended, Ok(1..)) {
        ended = wire.feed.fill();
    }
    let error = ended.expect_err("an end without an error, which says that this was all");
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

#[test]
fn an_upload_is_answered_with_what_became_of_its_key() {
    let upstream = Upstream::start(|exchange| exchange.hang());
    let gateway = Gateway::over(&upstream).start();
    let mut wire = gateway.wire();
    let extra = "Content-Length: 100000\r\n";
    wire.send(&request_with("POST", "/v1/files/scan", "key-all", extra, ""));
    wire.send(&[b'x'; 1000]);
    eventually("the upload to begin", || upstream.count() == 1);
    revoke(&gateway, "key-all");
    let answer = wire.answer();
    assert_eq!((answer.status, answer.code().as_str()), (401, "key_revoked"));
    assert!(answer.closes());
    eventually("the upstream's side to end", || upstream.open() == 0);
}

#[test]
fn one_stream_of_http2_is_reset_and_the_others_live() {
    let goes_on = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&goes_on);
    let upstream = Upstream::start(move |exchange| {
        exchange.send(CHUNKED)?;
        exchange.send(b"5\r\nhello\r\n")?;
        eventually("the test to go on", || flag.load(Ordering::SeqCst));
        exchange.send(b"3\r\nbye\r\n0\r\n\r\n")?;
        Ok(Then::Keep)
    });
    let gateway = Gateway::over(&upstream).proxy("workers: 1").start();
    let asked = |name: &str| {
        Request::get("http://gw.test/v1/appointments/1/stream")
            .header("x-subscriber-key", key(name))
            .header("x-vendor-key", vendor_key("acme"))
            .body(())
            .unwrap()
    };
    block_on(async {
        let mut sender = prior_knowledge(gateway.address).await;
        let mut bodies = Vec::new();
        for name in ["key-all", "key-read"] {
            let (answer, _) = sender.send_request(asked(name), true).unwrap();
            let mut body = answer.await.unwrap().into_body();
            assert_eq!(body.data().await.unwrap().unwrap(), "hello");
            bodies.push(body);
        }
        revoke(&gateway, "key-all");
        let mut other = bodies.pop().unwrap();
        let error = bodies.pop().unwrap().data().await.unwrap().unwrap_err();
        assert!(error.is_reset() && error.is_remote(), "{error}");
        goes_on.store(true, Ordering::SeqCst);
        let mut rest = Vec::new();
        while let Some(piece) = other.data().await {
            rest.extend_from_slice(&piece.unwrap());
        }
        assert_eq!(rest, b"bye");
        let again = http2::good("GET", "/v1/appointments").body(Bytes::new()).unwrap();
        let answer = http2::exchange(&mut sender, again).await.unwrap();
        assert_eq!(answer.status(), 401);
    });
}

#[test]
fn a_stream_of_http2_without_a_window_is_reset_all_the_same() {
    let upstream = Upstream::start(|exchange| {
        exchange.send(CHUNKED)?;
        let piece = [b"1000\r\n".as_slice(), &[b'x'; 0x1000], b"\r\n"].concat();
        loop {
            exchange.send(&piece)?;
        }
    });
    let gateway = Gateway::over(&upstream).proxy("write_timeout: 1h").start();
    let mut connection = RawHttp2::over(connect(gateway.address));
    connection.send(http2::PREFACE);
    // SETTINGS_INITIAL_WINDOW_SIZE: ten bytes of an answer.
    connection.send(&frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 10]));
    let fields = good_fields("/v1/appointments/1/stream");
    connection.send(&headers_frame(1, END_STREAM | END_HEADERS, &fields));
    assert_eq!(connection.outcome(1).unwrap().status(), 200);
    let mut frames = std::iter::from_fn(|| connection.frame());
    assert!(frames.any(|frame| frame.kind == DATA && frame.payload.len() == 10));
    revoke(&gateway, "key-all");
    assert_eq!(connection.outcome(1).unwrap().kind, RST_STREAM);
    eventually("the upstream's side to end", || upstream.open() == 0);
    connection.send(&frame(PING, 0, 0, b"alive?!?"));
    let mut frames = std::iter::from_fn(|| connection.frame());
    assert!(frames.any(|frame| frame.kind == PING && frame.payload == b"alive?!?"));
}

#[test]
fn a_request_that_waits_for_its_answer_is_refused() {
    let upstream = Upstream::start(|exchange| exchange.hang());
    let gateway = Gateway::over(&upstream).start();
    let mut wire = gateway.wire();
    wire.send(&request("GET", "/v1/appointments", "key-all"));
    eventually("the request to arrive", || upstream.count() == 1);
    change(&gateway, "/practices/north", &json!({ "api_access": false }));
    let answer = wire.answer();
    assert_eq!((answer.status, answer.code().as_str()), (403, "api_access_disabled"));
    // Nothing was wrong with the connection, and the practice may be back.
    change(&gateway, "/practices/north", &json!({ "api_access": true }));
    wire.patience(Duration::from_secs(5));
    wire.send(b"GET /.well-known/postern HTTP/1.1\r\nHost: gw.test\r\n\r\n");
    assert_eq!(wire.answer().status, 200);
}
