//! Uploads that do not come to their end: none is taken for a whole one, and no answer to one is lost.

use std::time::Duration;

use super::support::fixture::credentials;
use super::support::http2::{
    DATA, END_HEADERS, END_STREAM, HEADERS, RST_STREAM, RawHttp2, block, frame, good_fields,
    headers_frame,
};
use super::support::upstream::ok;
use super::support::{Gateway, Then, Upstream, eventually};

fn begin_upload(gateway: &Gateway, upstream: &Upstream) -> RawHttp2 {
    let mut raw = RawHttp2::to(gateway.address);
    let mut fields = good_fields("/v1/appointments");
    fields[0].1 = "POST".to_owned();
    raw.send(&headers_frame(1, END_HEADERS, &fields));
    eventually("the request upstream", || upstream.count() == 1);
    raw
}

#[test]
fn an_http2_upload_that_was_reset_is_never_whole() {
    // NO_ERROR, INTERNAL_ERROR, CANCEL.
    for reason in [0, 2, 8] {
        let upstream = Upstream::ok();
        let gateway = Gateway::over(&upstream).start();
        let mut raw = begin_upload(&gateway, &upstream);
        let mut bytes = frame(DATA, 0, 1, &[b'x'; 500]);
        bytes.extend(frame(RST_STREAM, 0, 1, &[0, 0, 0, reason]));
        raw.send(&bytes);
        eventually("the upstream to be let go", || upstream.open() == 0);
        assert!(upstream.take().iter().all(|seen| !seen.complete), "reason {reason}");
    }
}

#[test]
fn an_http2_upload_of_unknown_length_is_whole_at_its_end() {
    let last = [frame(DATA, END_STREAM, 1, b""), {
        frame(HEADERS, END_STREAM | END_HEADERS, 1, &block(&[("x-sum", "1")]))
    }];
    for last in last {
        let upstream = Upstream::ok();
        let gateway = Gateway::over(&upstream).start();
        let mut raw = begin_upload(&gateway, &upstream);
        raw.send(&frame(DATA, 0, 1, &[b'x'; 500]));
        raw.send(&last);
        assert_eq!(raw.outcome(1).map(|frame| frame.status()), Some(200));
        let seen = upstream.only();
        assert_eq!((seen.complete, seen.body_bytes), (true, 500));
    }
}

fn post(framing: &str) -> Vec<u8> {
    let keys = credentials("key-all");
    format!("POST /v1/appointments HTTP/1.1\r\n{keys}{framing}\r\n").into_bytes()
}

#[test]
fn an_answer_that_comes_before_the_upload_ended_closes_the_connection() {
    let upstream = Upstream::start(|exchange| {
        exchange.send(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")?;
        exchange.hang()
    });
    let gateway = Gateway::over(&upstream).start();
    let cases = [
        ("Content-Length: 1000000\r\n", "some".to_owned()),
        ("Transfer-Encoding: chunked\r\n", format!("f4240\r\n{}", "x".repeat(100))),
    ];
    for (framing, begun) in cases {
        let mut wire = gateway.wire();
        wire.send(&post(framing));
        wire.send(begun.as_bytes());
        let answer = wire.answer();
        assert_eq!((answer.status, answer.text().as_str()), (403, "no"), "{framing}");
        assert!(answer.closes(), "{framing}: {}", answer.head.text());
        // The rest is read away: a reset would take the answer from whoever has not read it yet.
        assert!(wire.send(&[b'x'; 60_000]), "{framing}");
        wire.half_close();
        wire.patience(Duration::from_secs(5));
        assert!(matches!(wire.feed.fill(), Ok(0)), "{framing}: a reset");
    }
}

#[test]
fn a_whole_upload_leaves_the_connection_open() {
    let upstream = Upstream::start(|exchange| {
        exchange.body()?;
        exchange.send(&ok("", "ok"))?;
        Ok(Then::Keep)
    });
    let gateway = Gateway::over(&upstream).start();
    let mut wire = gateway.wire();
    let cases = [
        ("Content-Length: 4\r\n", "some"),
        ("Content-Length: 0\r\n", ""),
        ("Transfer-Encoding: chunked\r\n", "4\r\nsome\r\n0\r\n\r\n"),
    ];
    for (framing, body) in cases {
        wire.send(&post(framing));
        wire.send(body.as_bytes());
        let answer = wire.answer();
        assert_eq!((answer.status, answer.closes()), (200, false), "{framing}");
    }
}
