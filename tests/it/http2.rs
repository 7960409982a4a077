//! HTTP/2: the same judgement, and none of its own ways around it (H2).

use bytes::Bytes;
use std::time::{Duration, Instant};

use super::support::fixture::key_id;
use super::support::http2::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, PRIORITY, RST_STREAM,
    RawHttp2, SETTINGS, WINDOW_UPDATE, block, block_on, exchange, frame, good, good_fields,
    half_a_preface, headers_frame, prior_knowledge,
};
use super::support::{Gateway, Upstream, key};

const WHOLE: u8 = END_STREAM | END_HEADERS;

type Fields = Vec<(String, String)>;

fn without(name: &str) -> Fields {
    good_fields("/v1/appointments").into_iter().filter(|field| field.0 != name).collect()
}

fn set(name: &str, value: &str) -> Fields {
    let mut fields = good_fields("/v1/appointments");
    fields.iter_mut().find(|field| field.0 == name).unwrap().1 = value.to_owned();
    fields
}

fn plus(name: &str, value: &str) -> Fields {
    let mut fields = good_fields("/v1/appointments");
    fields.push((name.to_owned(), value.to_owned()));
    fields
}

#[test]
fn requests_and_bodies_pass_with_prior_knowledge() {
    let upstream = Upstream::ok();
    let gateway = Gateway::over(&upstream).start();
    block_on(async {
        let mut sender = prior_knowledge(gateway.address).await;
        let get = good("GET", "/v1/patients?a=%20b").body(Bytes::new()).unwrap();
        let answer = exchange(&mut sender, get).await.unwrap();
        assert_eq!((answer.status().as_u16(), &answer.body()[..]), (200, &b"ok"[..]));
        assert!(answer.headers().contains_key("x-request-id"));
        let post = good("POST", "/v1/patients").body(Bytes::from_static(b"hello")).unwrap();
        assert_eq!(exchange(&mut sender, post).await.unwrap().status().as_u16(), 200);
        let denied = good("GET", "/v1/nothing").body(Bytes::new()).unwrap();
        assert_eq!(exchange(&mut sender, denied).await.unwrap().status().as_u16(), 403);
    });
    let seen = upstream.take();
    assert_eq!(seen.len(), 2);
    assert_eq!(seen[0].line(), "GET /v1/patients?a=%20b HTTP/1.1");
    assert_eq!(seen[1].body, b"hello");
    assert_eq!(seen[1].head.one("x-forwarded-host"), Some("gw.test"));
    assert!(!seen[1].head.text().contains(&key("key-all")));
}

#[test]
fn many_streams_at_once_are_judged_one_by_one() {
    let upstream = Upstream::ok();
    let gateway = Gateway::over(&upstream).start();
    block_on(async {
        let sender = prior_knowledge(gateway.address).await;
        let tasks: Vec<_> = (0..60)
            .map(|n| {
                let mut sender = sender.clone();
                tokio::task::spawn_local(async move {
                    let path = if n % 3 == 0 { "/v1/nothing" } else { "/v1/appointments" };
                    let request = good("GET", path).body(Bytes::new()).unwrap();
                    let status = exchange(&mut sender, request).await.unwrap().status().as_u16();
                    assert_eq!(status, if n % 3 == 0 { 403 } else { 200 });
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
    assert_eq!(upstream.take().len(), 40);
}

#[test]
fn a_request_has_at_most_max_headers() {
    let upstream = Upstream::ok();
    let gateway = Gateway::over(&upstream).proxy("max_headers: 20").start();
    block_on(async {
        let mut sender = prior_knowledge(gateway.address).await;
        for (count, code) in
            [(19, ""), (20, ""), (21, "headers_too_large"), (500, "headers_too_large")]
        {
            let mut request = good("GET", "/v1/appointments").body(Bytes::new()).unwrap();
            while request.headers().len() < count {
                request.headers_mut().append("x-n", "v".parse().unwrap());
            }
            let answer = exchange(&mut sender, request).await.unwrap();
            assert_eq!(answer.status().as_u16(), if code.is_empty() { 200 } else { 431 });
            assert!(String::from_utf8_lossy(answer.body()).contains(code), "{count}");
        }
    });
    assert_eq!(upstream.take().len(), 2);
}

/// Sends one HEADERS frame and expects anything but 200, and nothing upstream.
fn refuses(gateway: &Gateway, upstream: &Upstream, fields: &Fields) {
    let mut raw = RawHttp2::to(gateway.address);
    raw.send(&headers_frame(1, WHOLE, fields));
    if let Some(end) = raw.outcome(1) {
        let fine = match end.kind {
            HEADERS => matches!(end.status(), 400 | 401 | 403 | 417 | 431),
            _ => true,
        };
        assert!(fine, "{fields:?}: {end:?}");
    }
    upstream.assert_untouched(&format!("{fields:?}"));
}

/// Fields that are added to a good head; none may pass.
const ADDED: &[(&str, &str)] = &[
    ("transfer-encoding", "chunked"),
    ("connection", "x"),
    ("connection", "close"),
    ("te", "gzip"),
    ("upgrade", "websocket"),
    ("keep-alive", "x"),
    ("proxy-connection", "x"),
    ("x_postern_key_id", "forged"),
    ("X-Upper", "x"),
    ("x:y", "z"),
    ("", "z"),
    ("x y", "z"),
    ("x-a", "b\r\nx-postern-key-id: forged"),
    ("x-a", "b\nc"),
    ("x-a", "b\0c"),
    (":path", "/v1/internal"),
    (":unknown", "x"),
    (":status", "200"),
    (":protocol", "websocket"),
    ("content-length", "3"),
    ("content-length", "+0"),
    ("expect", "foo"),
    ("x-http-method-override", "DELETE"),
    ("x-subscriber-key", "other"),
];

#[test]
fn a_head_with_two_readings_is_refused() {
    let upstream = Upstream::ok();
    let gateway = Gateway::over(&upstream).start();
    let mut late = good_fields("/v1/appointments");
    late.swap(3, 5);
    let mut two_hosts = without(":authority");
    two_hosts.extend([("host".into(), "a.test".into()), ("host".into(), "b.test".into())]);
    let mut cases = vec![
        late,
        two_hosts,
        without(":authority"),
        without(":path"),
        without(":method"),
        without(":scheme"),
    ];
    for value in ["evil.test", "gw.test:81", "", "gw.test, x"] {
        cases.push(plus("host", value));
    }
    for value in ["file", "https", "ftp", "", "h t"] {
        cases.push(set(":scheme", value));
    }
    for value in ["u:p@gw.test", "u@gw.test", "", "gw.test/x", "a b", "gw.test:99999", "[::1"] {
        cases.push(set(":authority", value));
    }
    let paths = [
        "",
        "*",
        "v1/appointments",
        "/v1//appointments",
        "/v1/../x",
        "/v1/%2e%2e/x",
        "?a",
        "/v1\\x",
        "/v1/%zz",
        "http://gw.test/v1/appointments",
        "/v1/a b",
        "/v1/a\r\nX: y",
        "/v1/\u{e9}",
        "/v1/;x",
        "//",
        "/v1/%70atients",
        "/v1/a\0",
        "/v1/appointments?\r\n",
    ];
    cases.extend(paths.map(|path| set(":path", path)));
    for value in
        ["get", "FOO", "GET /v1/internal HTTP/1.1", "CONNECT", "G\r\nET", "", "OPTIONS", "TRACE"]
    {
        cases.push(set(":method", value));
    }
    cases.extend(ADDED.iter().map(|(name, value)| plus(name, value)));
    for fields in &cases {
        refuses(&gateway, &upstream, fields);
    }
    gateway.assert_alive(&upstream);
}

#[test]
fn spoofed_identity_is_replaced() {
    let upstream = Upstream::ok();
    let gateway = Gateway::over(&upstream).start();
    let mut raw = RawHttp2::to(gateway.address);
    let mut fields = plus("x-postern-key-id", "forged");
    fields.push(("x-forwarded-for".into(), "6.6.6.6".into()));
    fields.push(("te".into(), "trailers".into()));
    fields.push(("cookie".into(), "a=1".into()));
    fields.push(("cookie".into(), "b=2".into()));
    raw.send(&headers_frame(1, WHOLE, &fields));
    assert_eq!(raw.outcome(1).unwrap().status(), 200);
    let seen = upstream.only();
    assert_eq!(seen.head.one("x-postern-key-id"), Some(key_id("key-all")));
    assert_eq!(seen.head.one("x-forwarded-for"), Some("127.0.0.1"));
    assert!(!seen.head.has("te"));
    let cookies = seen.head.all("cookie").join("; ");
    assert_eq!(cookies, "a=1; b=2");
}

#[test]
fn trailers_are_dropped_both_ways() {
    let upstream = Upstream::answering(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Trailer: t\r\n\r\n",
    );
    let gateway = Gateway::over(&upstream).start();
    let mut raw = RawHttp2::to(gateway.address);
    let fields = set(":method", "POST");
    raw.send(&headers_frame(1, END_HEADERS, &fields));
    raw.send(&frame(DATA, 0, 1, b"hello"));
    raw.send(&frame(
        HEADERS,
        WHOLE,
        1,
        &block(&[("x-postern-key-id", "forged"), ("x-t", "forged")]),
    ));
    assert_eq!(raw.outcome(1).unwrap().status(), 200);
    let mut ends = 0;
    while ends == 0 {
        let frame = raw.frame().unwrap();
        assert!(frame.kind != HEADERS, "a trailer came back");
        ends = usize::from(frame.stream == 1 && frame.flags & END_STREAM != 0);
    }
    let seen = upstream.only();
    assert_eq!(seen.body, b"hello");
    assert!(seen.complete && !seen.head.text().contains("forged"), "{}", seen.head.text());
}

#[test]
fn a_length_that_is_not_the_bodys_never_reaches_the_upstream_whole() {
    let upstream = Upstream::ok();
    let gateway = Gateway::over(&upstream).start();
    for (declared, sent) in [("10", "hello"), ("3", "hello"), ("0", "hello")] {
        let mut fields = set(":method", "POST");
        fields.push(("content-length".into(), declared.into()));
        let mut raw = RawHttp2::to(gateway.address);
        raw.send(&headers_frame(1, END_HEADERS, &fields));
        raw.send(&frame(DATA, END_STREAM, 1, sent.as_bytes()));
        let end = raw.outcome(1);
        assert!(end.is_none_or(|end| end.kind != HEADERS || end.status() != 200), "{declared}");
    }
    let whole = upstream.take().iter().any(|seen| seen.complete && seen.body_bytes > 0);
    assert!(!whole);
    gateway.assert_alive(&upstream);
}

/// Writes until the gateway closes or says GOAWAY, at most `limit` bytes; how many it took.
fn flood(gateway: &Gateway, piece: &[u8], limit: usize) -> Option<usize> {
    let mut raw = RawHttp2::to(gateway.address);
    let mut reader = raw.stream.try_clone().unwrap();
    reader.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
    let chunk = piece.repeat(16 * 1024 / piece.len() + 1);
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut sent = 0;
    while sent < limit && Instant::now() < deadline {
        if !raw.send(&chunk) {
            return Some(sent);
        }
        sent += chunk.len();
        let mut sink = [0; 64 * 1024];
        if let Ok(0) = std::io::Read::read(&mut reader, &mut sink) {
            return Some(sent);
        }
    }
    None
}

#[test]
fn a_flood_of_frames_without_a_request_is_cut() {
    let upstream = Upstream::ok();
    let gateway = Gateway::over(&upstream).start();
    let floods = [
        ("PING", frame(PING, 0, 0, b"12345678")),
        ("SETTINGS", frame(SETTINGS, 0, 0, &[])),
        ("SETTINGS with values", frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100])),
        ("WINDOW_UPDATE", frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])),
        ("PRIORITY", frame(PRIORITY, 0, 3, &[0, 0, 0, 1, 16])),
        ("unknown frames", frame(0x77, 0, 0, b"hello")),
    ];
    for (name, piece) in floods {
        let taken = flood(&gateway, &piece, 4 << 20);
        assert!(taken.is_some(), "{name}: 4 MiB and still open");
        gateway.assert_alive(&upstream);
    }
}

#[test]
fn rapid_reset_is_cut() {
    let upstream = Upstream::ok();
    let gateway = Gateway::over(&upstream).start();
    let mut raw = RawHttp2::to(gateway.address);
    let mut open = true;
    for n in 0..20_000_u32 {
        let stream = n * 2 + 1;
        let mut bytes = headers_frame(stream, WHOLE, &good_fields("/v1/appointments"));
        bytes.extend(frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]));
        if !raw.send(&bytes) {
            open = false;
            break;
        }
    }
    let ended = !open || raw.outcome(u32::MAX).is_none_or(|frame| frame.kind == GOAWAY);
    assert!(ended, "20,000 resets and still open");
    upstream.take();
    super::support::eventually("upstream connections to come to rest", || {
        upstream.take();
        gateway.get("/v1/appointments/rest").status == 200
    });
    assert_eq!(gateway.get("/v1/appointments/alive").status, 200);
}

#[test]
fn a_head_that_never_ends_is_cut() {
    let upstream = Upstream::ok();
    let gateway = Gateway::over(&upstream).start();
    let mut start = headers_frame(1, END_STREAM, &good_fields("/v1/appointments"));
    start.extend(frame(CONTINUATION, 0, 1, &[]).repeat(20_000));
    let mut raw = RawHttp2::to(gateway.address);
    raw.send(&start);
    let ended = raw.outcome(1).is_none_or(|frame| frame.kind != HEADERS);
    assert!(ended);
    let mut raw = RawHttp2::to(gateway.address);
    raw.send(&headers_frame(1, END_STREAM, &good_fields("/v1/appointments")));
    let long = "x".repeat(8000);
    for _ in 0..200 {
        raw.send(&frame(CONTINUATION, 0, 1, &block(&[("x-long", &long)])));
    }
    assert!(raw.outcome(1).is_none_or(|frame| frame.kind != HEADERS || frame.status() == 431));
    upstream.assert_untouched("heads without an end");
    gateway.assert_alive(&upstream);
}

#[test]
fn frames_against_the_protocol_end_the_connection_and_nothing_else() {
    let upstream = Upstream::ok();
    let gateway = Gateway::over(&upstream).start();
    let good = good_fields("/v1/appointments");
    let cases: Vec<Vec<u8>> = vec![
        headers_frame(2, WHOLE, &good),
        headers_frame(0, WHOLE, &good),
        frame(DATA, END_STREAM, 1, b"x"),
        frame(RST_STREAM, 0, 5, &[0, 0, 0, 8]),
        frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 0]),
        frame(PING, 0, 0, b"1234567"),
        frame(SETTINGS, 0, 1, &[]),
        frame(SETTINGS, 0, 0, &[0; 5]),
        frame(CONTINUATION, END_HEADERS, 1, &[]),
        frame(HEADERS, WHOLE, 1, &[0xff; 40]),
        frame(DATA, 0, 1, &vec![0; 20_000]),
        frame(5, 0, 1, &[0, 0, 0, 2]),
    ];
    for bytes in cases {
        let mut raw = RawHttp2::to(gateway.address);
        raw.send(&bytes);
        let answered = raw.outcome(1).is_some_and(|frame| frame.kind == HEADERS);
        assert!(!answered, "{bytes:?}");
        upstream.assert_untouched("a broken frame");
    }
    gateway.assert_alive(&upstream);
}

#[test]
fn half_a_preface_and_a_silent_connection_are_cut() {
    let upstream = Upstream::ok();
    let gateway = Gateway::over(&upstream)
        .proxy("header_timeout: 300ms")
        .proxy("idle_timeout: 300ms")
        .start();
    assert!(half_a_preface(gateway.address).closes_after_anything());
    let mut raw = RawHttp2::to(gateway.address);
    let mut opened = good_fields("/v1/appointments");
    opened.truncate(4);
    raw.send(&headers_frame(1, END_STREAM, &opened));
    while raw.frame().is_some() {}
    let mut silent = RawHttp2::to(gateway.address);
    while silent.frame().is_some() {}
    let mut spoiled = gateway.wire();
    spoiled.send(b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n");
    assert!(spoiled.closes_after_anything());
    gateway.assert_alive(&upstream);
}
