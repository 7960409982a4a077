//! Framing with two readings is refused, the connection is closed, and nothing after it is acted on (FR).

use std::time::Duration;

use super::support::fixture::{credentials, request_with};
use super::support::upstream::Recorded;
use super::support::{Gateway, Upstream, request};

/// Headers that make the length of a body doubtful. Each stands in a POST, with a whole request after it.
pub(crate) const DOUBTFUL: &[&str] = &[
    "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n",
    "Transfer-Encoding: chunked\r\nContent-Length: 6\r\n",
    "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n",
    "Transfer-Encoding: chunked, chunked\r\n",
    "Transfer-Encoding: x, ,chunked\r\n",
    "Transfer-Encoding: ,chunked\r\n",
    "Transfer-Encoding: chunked,\r\n",
    "Transfer-Encoding: identity, chunked\r\n",
    "Transfer-Encoding: gzip, chunked\r\n",
    "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
    "Transfer-Encoding: identity\r\n",
    "Transfer-Encoding: xchunked\r\n",
    "Transfer-Encoding: \"chunked\"\r\n",
    "Transfer-Encoding: chunked;q=1\r\n",
    "Transfer-Encoding:\r\n",
    "Transfer-Encoding: \x0bchunked\r\n",
    "Transfer-Encoding : chunked\r\n",
    "Transfer-Encoding\t: chunked\r\n",
    " Transfer-Encoding: chunked\r\n",
    "X-A: a\r\n Transfer-Encoding: chunked\r\n",
    "Transfer-Encoding:\r\n chunked\r\n",
    "Transfer_Encoding: chunked\r\n",
    "Content_Length: 6\r\n",
    "Content-Length: 5, 5\r\n",
    "Content-Length: +5\r\n",
    "Content-Length: -1\r\n",
    "Content-Length: 0x5\r\n",
    "Content-Length: 5 5\r\n",
    "Content-Length: 5;a\r\n",
    "Content-Length: 5.0\r\n",
    "Content-Length: 1e1\r\n",
    "Content-Length: 1_0\r\n",
    "Content-Length:\r\n",
    "Content-Length: 18446744073709551616\r\n",
    "Content-Length: 5\r\nContent-Length: 6\r\n",
    "Content-Length : 5\r\n",
    "Content-Length: 5\r\n : x\r\n",
    ": x\r\nContent-Length: 5\r\n",
    "X-A: a\rContent-Length: 5\r\n",
    "X-A: a\x00b\r\n",
    "X-A: a\x0bb\r\n",
    "X-A: a\x01b\r\n",
    "X-A: a\x7fb\r\n",
    "X-A\r\n",
    "X A: b\r\n",
    "X-\x00A: b\r\n",
];

/// Chunked bodies that no strict reader accepts.
pub(crate) const BAD_CHUNKS: &[&str] = &[
    "1\nx\r\n0\r\n\r\n",
    "1\rx\r\n0\r\n\r\n",
    "1;\nx\r\n0\r\n\r\n",
    "1;a\nb\r\nx\r\n0\r\n\r\n",
    "1;a\rb\r\nx\r\n0\r\n\r\n",
    "0x1\r\nx\r\n0\r\n\r\n",
    "+1\r\nx\r\n0\r\n\r\n",
    "-1\r\nx\r\n0\r\n\r\n",
    " 1\r\nx\r\n0\r\n\r\n",
    "1_\r\nx\r\n0\r\n\r\n",
    "g\r\nx\r\n0\r\n\r\n",
    "\r\nx\r\n0\r\n\r\n",
    "10000000000000000\r\nx\r\n0\r\n\r\n",
    "1\r\nxX\r\n0\r\n\r\n",
    "1\r\nx0\r\n\r\n",
    "1\r\nx\n0\r\n\r\n",
    "1\r\nx\r\n0\r\nTrailer\r\n\r\n",
    "1\r\nx\r\n0\r\nX: a\r\n folded\r\n\r\n",
];

fn post(extra: &str, after: &str) -> String {
    format!("POST /v1/appointments HTTP/1.1\r\n{}{extra}\r\n{after}", credentials("key-all"))
}

fn smuggled() -> String {
    String::from_utf8(request("GET", "/v1/appointments/smuggled", "key-all")).unwrap()
}

#[test]
fn a_doubtful_length_is_refused_and_what_follows_is_never_a_request() {
    let upstream = Upstream::ok();
    let gateway = Gateway::over(&upstream).start();
    for extra in DOUBTFUL {
        for after in [format!("0\r\n\r\n{}", smuggled()), smuggled()] {
            let bytes = post(extra, &after);
            let mut wire = gateway.wire();
            wire.send(bytes.as_bytes());
            if let Some(answer) = wire.answer_to("POST") {
                assert!(matches!(answer.status, 400 | 413), "{extra:?}: {}", answer.head.text());
            }
            wire.patience(Duration::from_secs(5));
            assert!(wire.closes(), "{extra:?}: stays open");
            upstream.assert_untouched(extra);
        }
    }
    gateway.assert_alive(&upstream);
}

#[test]
fn chunked_in_http_1_0_is_refused() {
    let upstream = Upstream::ok();
    let gateway = Gateway::over(&upstream).start();
    let bytes = post("Transfer-Encoding: chunked\r\n", "0\r\n\r\n").replace("HTTP/1.1", "HTTP/1.0");
    gateway.refuses(&upstream, bytes.as_bytes(), 400, "");
    gateway.assert_alive(&upstream);
}

#[test]
fn a_broken_chunk_ends_the_request_unfinished() {
    let upstream = Upstream::ok();
    let gateway = Gateway::over(&upstream).start();
    for chunks in BAD_CHUNKS {
        let bytes = post("Transfer-Encoding: chunked\r\n", &format!("{chunks}{}", smuggled()));
        let mut wire = gateway.wire();
        wire.send(bytes.as_bytes());
        if let Some(answer) = wire.answer_to("POST") {
            assert!((400..500).contains(&answer.status), "{chunks:?}: {}", answer.head.text());
        }
        wire.patience(Duration::from_secs(5));
        assert!(wire.closes(), "{chunks:?}: stays open");
    }
    gateway.get("/v1/appointments/after");
    let seen = upstream.take();
    for request in &seen {
        let whole = request.complete && request.line().starts_with("POST");
        assert!(!whole && !request.line().contains("smuggled"), "{}", request.head.text());
    }
    let after = |request: &Recorded| request.line() == "GET /v1/appointments/after HTTP/1.1";
    assert!(seen.iter().any(after));
}

#[test]
fn a_body_is_framed_anew() {
    let upstream = Upstream::ok();
    let gateway = Gateway::over(&upstream).start();
    let cases = [
        ("Transfer-Encoding: chunked\r\n", "1;a=b\r\nx\r\n2\r\nyz\r\n0\r\n\r\n", "xyz"),
        ("Transfer-Encoding: Chunked\r\n", "0003\r\nxyz\r\n00\r\n\r\n", "xyz"),
        (
            "Transfer-Encoding: chunked\r\nTrailer: X-T\r\n",
            "3\r\nxyz\r\n0\r\nX-T: v\r\n\r\n",
            "xyz",
        ),
        ("Transfer-Encoding: chunked\r\n", "3\r\nxyz\r\n0\r\nContent-Length: 9\r\n\r\n", "xyz"),
        ("Transfer-Encoding: chunked\r\n", "3\r\nxyz\r\n0\r\nX-Postern-Key-Id: k\r\n\r\n", "xyz"),
        ("Transfer-Encoding: chunked\r\n", "0\r\n\r\n", ""),
        ("Content-Length: 03\r\n", "xyz", "xyz"),
        ("Content-Length: 3\r\nContent-Length: 3\r\n", "xyz", "xyz"),
        ("Content-Length: 0\r\n", "", ""),
        ("", "", ""),
    ];
    for (framing, body, received) in cases {
        let answer = gateway.send(post(framing, body).as_bytes());
        if answer.status == 400 {
            // Refusing is as good as framing anew; what counts is that nothing odd is passed on.
            upstream.assert_untouched(framing);
            continue;
        }
        assert_eq!(answer.status, 200, "{framing:?} {body:?}: {}", answer.text());
        let seen = upstream.only();
        assert!(seen.complete, "{framing:?}: {}", seen.head.text());
        assert_eq!(String::from_utf8_lossy(&seen.body), received, "{framing:?}");
        assert_canonical(&seen.head);
    }
}

fn assert_canonical(head: &super::support::message::Head) {
    let (lengths, codings) = (head.all("content-length"), head.all("transfer-encoding"));
    assert!(lengths.len() + codings.len() < 2, "{}", head.text());
    assert!(codings.iter().all(|coding| *coding == "chunked"), "{}", head.text());
    assert!(lengths.iter().all(|n| n.parse::<u64>().is_ok_and(|v| v.to_string() == *n)));
    assert!(!head.has("trailer"), "{}", head.text());
}

#[test]
fn a_post_without_a_length_has_no_body_and_the_next_request_is_judged_by_itself() {
    let upstream = Upstream::ok();
    let gateway = Gateway::over(&upstream).start();
    let mut wire = gateway.wire();
    wire.send((post("", "") + &smuggled()).as_bytes());
    assert_eq!(wire.answer().status, 200);
    assert_eq!(wire.answer().status, 200);
    let seen = upstream.take();
    assert_eq!(seen[0].body_bytes, 0);
    assert_eq!(seen[1].line(), "GET /v1/appointments/smuggled HTTP/1.1");
    let stranger = "GET /v1/appointments/smuggled HTTP/1.1\r\nHost: gw.test\r\n\r\n";
    let mut wire = gateway.wire();
    wire.send((post("", "") + stranger).as_bytes());
    assert_eq!(wire.answer().status, 200);
    assert_eq!(wire.answer().status, 401);
    assert_eq!(upstream.take().len(), 1);
}

#[test]
fn pipelined_requests_are_judged_one_by_one_and_answered_in_order() {
    let upstream = Upstream::ok();
    let gateway = Gateway::over(&upstream).start();
    let mut bytes = Vec::new();
    for n in 0..20 {
        let id = if n % 2 == 0 { "key-all" } else { "key-none" };
        bytes.extend(request("GET", &format!("/v1/appointments/p{n}"), id));
    }
    let mut wire = gateway.wire();
    wire.send(&bytes);
    for n in 0..20 {
        assert_eq!(wire.answer().status, if n % 2 == 0 { 200 } else { 403 }, "{n}");
    }
    let lines: Vec<String> =
        upstream.take().iter().map(|seen| seen.head.word(1).to_owned()).collect();
    let wanted: Vec<String> =
        (0..20).step_by(2).map(|n| format!("/v1/appointments/p{n}")).collect();
    assert_eq!(lines, wanted);
}

#[test]
fn a_refused_request_with_a_body_closes_so_that_its_body_is_never_a_request() {
    let upstream = Upstream::ok();
    let gateway = Gateway::over(&upstream).start();
    let inner = smuggled();
    let stranger = format!(
        "POST /v1/appointments HTTP/1.1\r\nHost: gw.test\r\nContent-Length: {}\r\n\r\n",
        inner.len()
    );
    let mut wire = gateway.wire();
    wire.send(stranger.as_bytes());
    let answer = wire.answer();
    assert_eq!(answer.status, 401);
    assert!(answer.closes(), "{}", answer.head.text());
    wire.send(inner.as_bytes());
    assert!(wire.closes());
    upstream.assert_untouched("the body of a refused request");
    let mut wire = gateway.wire();
    wire.send((stranger + &inner + &smuggled()).as_bytes());
    assert_eq!(wire.answer().status, 401);
    assert!(wire.closes());
    upstream.assert_untouched("pipelined behind a refused body");
    gateway.assert_alive(&upstream);
}

#[test]
fn expect_is_answered_here_and_only_as_100_continue() {
    let upstream = Upstream::ok();
    let gateway = Gateway::over(&upstream).start();
    for value in ["foo", "y 100-continue", "100-continue, x", "200-ok", ""] {
        let bytes = post(&format!("Expect: {value}\r\nContent-Length: 2\r\n"), "hi");
        gateway.refuses(&upstream, bytes.as_bytes(), 417, "expectation_failed");
    }
    let mut wire = gateway.wire();
    wire.send(post("Expect: 100-continue\r\nContent-Length: 2\r\n", "").as_bytes());
    assert_eq!(wire.any_answer_to("POST").unwrap().status, 100);
    wire.send(b"hi");
    assert_eq!(wire.answer().status, 200);
    let seen = upstream.only();
    assert!(!seen.head.has("expect"), "{}", seen.head.text());
    assert_eq!(seen.body, b"hi");
}

#[test]
fn a_refused_request_is_never_asked_for_its_body() {
    let upstream = Upstream::ok();
    let gateway = Gateway::over(&upstream).proxy("max_body: 1KiB").start();
    let expecting = "Expect: 100-continue\r\nContent-Length: 5000\r\n";
    let mut wire = gateway.wire();
    wire.send(post(expecting, "").as_bytes());
    assert_eq!(wire.any_answer_to("POST").unwrap().status, 413);
    let denied =
        post("Expect: 100-continue\r\nContent-Length: 5\r\n", "").replace("key-all", "key-none");
    let mut wire = gateway.wire();
    wire.send(denied.as_bytes());
    assert_eq!(wire.any_answer_to("POST").unwrap().status, 403);
    upstream.assert_untouched("refused before the body");
}

#[test]
fn line_ends_are_cr_lf() {
    let upstream = Upstream::ok();
    let gateway = Gateway::over(&upstream).start();
    let good = String::from_utf8(request("GET", "/v1/appointments", "key-all")).unwrap();
    let single = good.replacen("gw.test\r\n", "gw.test\n", 1);
    let first = good.replacen("HTTP/1.1\r\n", "HTTP/1.1\n", 1);
    let last = good.replace("\r\n\r\n", "\r\n\n");
    let bare = good.replace('\r', "");
    for bytes in
        [&good.replace("\r\n", "\n"), &single, &first, &last, &bare, &good.replace('\n', "")]
    {
        let mut wire = gateway.wire();
        wire.send(bytes.as_bytes());
        wire.half_close();
        if let Some(answer) = wire.answer_to("GET") {
            assert_eq!(answer.status, 400, "{bytes:?}");
        }
        upstream.assert_untouched(bytes);
    }
    gateway.assert_alive(&upstream);
}

#[test]
fn empty_lines_before_a_request_are_few() {
    let upstream = Upstream::ok();
    let gateway = Gateway::over(&upstream).start();
    let good = String::from_utf8(request("GET", "/v1/appointments", "key-all")).unwrap();
    let mut wire = gateway.wire();
    wire.send(("\r\n".repeat(1 << 17) + &good).as_bytes());
    if let Some(answer) = wire.answer_to("GET") {
        assert!(matches!(answer.status, 400 | 431), "{}", answer.head.text());
    }
    upstream.assert_untouched("256 KiB of empty lines");
    gateway.assert_alive(&upstream);
}

#[test]
fn other_protocols_and_versions_are_refused() {
    let upstream = Upstream::ok();
    let gateway = Gateway::over(&upstream).start();
    let good = String::from_utf8(request("GET", "/v1/appointments", "key-all")).unwrap();
    for version in
        ["HTTP/1.2", "HTTP/0.9", "HTTP/2.0", "http/1.1", "HTTP/1.1 ", "HTTP/11", "HTTP/3"]
    {
        gateway.refuses_somehow(&upstream, good.replace("HTTP/1.1", version).as_bytes());
    }
    let tls = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 and so on\r\n\r\n";
    gateway.refuses_somehow(&upstream, tls);
    gateway
        .refuses_somehow(&upstream, format!("PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n{good}").as_bytes());
    let two = [
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x01\x02\x03\x04\x05\x06\x07\x08\0\x50\0\x51",
        good.as_bytes(),
    ];
    gateway.refuses_somehow(&upstream, &two.concat());
    gateway.refuses_somehow(&upstream, format!(" {good}").as_bytes());
    gateway.refuses_somehow(&upstream, good.replacen("GET ", "GET  ", 1).as_bytes());
    gateway.assert_alive(&upstream);
}

#[test]
fn a_caller_that_half_closes_still_gets_its_answer_or_a_clean_close() {
    let upstream = Upstream::ok();
    let gateway = Gateway::over(&upstream).start();
    let mut wire = gateway.wire();
    wire.send(&request("GET", "/v1/appointments", "key-all"));
    wire.half_close();
    if let Some(answer) = wire.answer_to("GET") {
        assert_eq!(answer.status, 200);
    }
    assert!(wire.closes());
    upstream.take();
    gateway.assert_alive(&upstream);
}

#[test]
fn a_get_with_a_body_is_framed_like_any_other() {
    let upstream = Upstream::ok();
    let gateway = Gateway::over(&upstream).start();
    let answer = gateway.send(&request_with("GET", "/v1/appointments", "key-all", "", "hello"));
    if answer.status == 200 {
        let seen = upstream.only();
        assert_eq!(seen.body, b"hello");
        assert_canonical(&seen.head);
    } else {
        assert_eq!(answer.status, 400);
        upstream.assert_untouched("a GET with a body");
    }
}
