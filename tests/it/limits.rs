//! Every size has its limit, tried one below, at, and one above.

use super::support::fixture::{credentials, request_with};
use super::support::upstream::{Recorded, ok};
use super::support::{Gateway, Then, Upstream, eventually, request};

fn target(length: usize) -> String {
    let start = "/v1/appointments/";
    start.to_owned() + &"a".repeat(length - start.len())
}

#[test]
fn a_target_is_at_most_max_target_long() {
    let upstream = Upstream::ok();
    let gateway = Gateway::over(&upstream).proxy("max_target: 1KiB").start();
    let limit = 1024;
    for length in [limit - 1, limit] {
        assert_eq!(gateway.get(&target(length)).status, 200, "{length}");
        assert_eq!(upstream.only().head.word(1).len(), length);
    }
    for length in [limit + 1, limit + 1000, 65_535, 70_000] {
        let bytes = request("GET", &target(length), "key-all");
        let mut wire = gateway.wire();
        wire.send(&bytes);
        let status = wire.answer().status;
        assert!(matches!(status, 414 | 431), "{length}: {status}");
        upstream.assert_untouched("a long target");
    }
    let query = format!("/v1/appointments?{}", "a".repeat(limit));
    gateway.refuses(&upstream, &request("GET", &query, "key-all"), 414, "target_too_long");
    gateway.assert_alive(&upstream);
}

#[test]
fn a_request_has_at_most_max_headers() {
    let upstream = Upstream::ok();
    let gateway = Gateway::over(&upstream).proxy("max_headers: 20").start();
    let with = |count: usize| {
        let extra = (3..count).map(|n| format!("X-N{n}: v\r\n")).collect::<String>();
        request_with("GET", "/v1/appointments", "key-all", &extra, "")
    };
    for count in [19, 20] {
        assert_eq!(gateway.send(&with(count)).status, 200, "{count}");
    }
    upstream.take();
    for count in [21, 22, 100, 1000] {
        gateway.refuses(&upstream, &with(count), 431, "headers_too_large");
    }
    let mut wire = gateway.wire();
    for piece in with(21).chunks(7) {
        wire.send(piece);
    }
    assert_eq!(wire.answer().code(), "headers_too_large");
    let metrics = gateway.admin_get("/metrics").text();
    assert!(metrics.contains("headers_too_large"), "{metrics}");
    upstream.assert_untouched("many headers");
    gateway.assert_alive(&upstream);
}

#[test]
fn a_head_has_at_most_max_header_bytes() {
    let upstream = Upstream::ok();
    let gateway = Gateway::over(&upstream).proxy("max_header_bytes: 8KiB").start();
    let whole = |size: usize| {
        let bare = request_with("GET", "/v1/appointments", "key-all", "X-Long: \r\n", "").len();
        let extra = format!("X-Long: {}\r\n", "x".repeat(size - bare));
        let bytes = request_with("GET", "/v1/appointments", "key-all", &extra, "");
        assert_eq!(bytes.len(), size);
        gateway.send(&bytes).status
    };
    assert_eq!(whole(8191), 200);
    assert_eq!(whole(8192), 200);
    upstream.take();
    for size in [8193, 8200, 20_000, 100_000, 500_000] {
        assert_eq!(whole(size), 431, "{size}");
    }
    upstream.assert_untouched("a big head");
    gateway.assert_alive(&upstream);
}

#[test]
fn a_declared_body_is_at_most_max_body_long() {
    let upstream = Upstream::ok();
    let gateway = Gateway::over(&upstream).proxy("max_body: 1KiB").start();
    for size in [1023, 1024] {
        let bytes = request_with("POST", "/v1/appointments", "key-all", "", &"x".repeat(size));
        assert_eq!(gateway.send(&bytes).status, 200, "{size}");
        assert_eq!(upstream.only().body_bytes, size as u64);
    }
    for size in ["1025", "1000000", "9223372036854775808", "18446744073709551615"] {
        let head = format!(
            "POST /v1/appointments HTTP/1.1\r\n{}Content-Length: {size}\r\n\r\n",
            credentials("key-all")
        );
        let mut wire = gateway.wire();
        wire.send(head.as_bytes());
        let answer = wire.answer();
        assert!(matches!(answer.status, 413 | 400 | 431), "{size}: {}", answer.head.text());
        assert!(answer.closes(), "{size}: {}", answer.head.text());
        assert!(wire.closes(), "{size}");
    }
    upstream.assert_untouched("a big body");
    gateway.assert_alive(&upstream);
}

#[test]
fn a_chunked_body_is_counted_on_its_way() {
    let upstream = Upstream::ok();
    let gateway = Gateway::over(&upstream).proxy("workers: 1").proxy("max_body: 1KiB").start();
    let chunked = |size: usize| {
        let mut text = format!(
            "POST /v1/appointments HTTP/1.1\r\n{}Transfer-Encoding: chunked\r\n\r\n",
            credentials("key-all")
        );
        for _ in 0..size / 100 {
            text += &format!("64\r\n{}\r\n", "x".repeat(100));
        }
        let rest = size % 100;
        if rest > 0 {
            text += &format!("{rest:x}\r\n{}\r\n", "x".repeat(rest));
        }
        gateway.send((text + "0\r\n\r\n").as_bytes()).status
    };
    assert_eq!(chunked(1023), 200);
    assert_eq!(chunked(1024), 200);
    assert_eq!(
        upstream.take().iter().map(|seen| seen.body_bytes).collect::<Vec<_>>(),
        [1023, 1024]
    );
    assert_eq!(chunked(1025), 413);
    assert_eq!(chunked(50_000), 413);
    assert_eq!(gateway.get("/v1/appointments").status, 200);
    eventually("the aborted requests to end", || upstream.open() <= 1);
    let whole = |seen: &Recorded| seen.complete && seen.line().starts_with("POST");
    assert!(!upstream.take().iter().any(whole), "a cut body looked whole");
}

#[test]
fn a_body_that_grows_too_long_after_the_answer_began_is_cut_and_never_looks_whole() {
    // Answers at once, and reads on.
    let upstream = Upstream::start(|exchange| {
        exchange.send(&ok("", "early"))?;
        exchange.body()?;
        Ok(Then::Keep)
    });
    let gateway = Gateway::over(&upstream).proxy("max_body: 1KiB").start();
    let mut wire = gateway.wire();
    let head = format!(
        "POST /v1/appointments HTTP/1.1\r\n{}Transfer-Encoding: chunked\r\n\r\n",
        credentials("key-all")
    );
    wire.send((head + "64\r\n" + &"x".repeat(100) + "\r\n").as_bytes());
    let answer = wire.answer();
    assert_eq!((answer.status, answer.text().as_str()), (200, "early"));
    // Taken or not, the rest is more than the limit.
    for _ in 0..20 {
        wire.send(format!("64\r\n{}\r\n", "x".repeat(100)).as_bytes());
    }
    wire.send(b"0\r\n\r\nGET /v1/appointments/next HTTP/1.1\r\nHost: gw.test\r\n\r\n");
    assert!(wire.closes(), "the connection stays open after a body that was cut");
    eventually("the upstream to be let go", || upstream.open() == 0);
    let seen = upstream.only();
    assert!(!seen.complete, "a cut body looked whole");
    assert!(seen.body_bytes <= 1024, "{} bytes", seen.body_bytes);
}

#[test]
fn a_route_may_set_its_own_body_limit() {
    let upstream = Upstream::ok();
    let gateway = Gateway::over(&upstream).proxy("max_body: 1KiB").start();
    let body = "x".repeat(5000);
    let own = request_with("POST", "/v1/export", "key-all", "", &body);
    assert_eq!(gateway.send(&own).status, 200);
    upstream.take();
    let other = request_with("POST", "/v1/files/x", "key-all", "", &body);
    gateway.refuses(&upstream, &other, 413, "body_too_large");
}

#[test]
fn one_busy_connection_more_than_max_connections_is_told_and_not_served() {
    let upstream = Upstream::start(|exchange| {
        exchange.body()?;
        exchange.hang()
    });
    let gateway = Gateway::over(&upstream).proxy("workers: 1").proxy("max_connections: 10").start();
    let begin = || {
        let mut wire = gateway.wire();
        wire.send(&request("GET", "/v1/appointments", "key-all"));
        wire
    };
    let open: Vec<_> = (0..10).map(|_| begin()).collect();
    eventually("ten requests in flight", || upstream.count() == 10);
    for _ in 0..100 {
        let mut more = begin();
        let answer = more.answer();
        assert_eq!((answer.status, answer.code().as_str()), (503, "overloaded"));
        assert!(answer.closes() && more.closes(), "{}", answer.head.text());
    }
    let mut preface = gateway.wire();
    preface.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    assert!(preface.closes(), "HTTP/2 was answered in HTTP/1");
    assert_eq!(upstream.count(), 10, "an eleventh connection was served");
    drop(open);
    let mut again = Vec::new();
    eventually("room again", || {
        again.push(begin());
        upstream.count() > 10
    });
}
