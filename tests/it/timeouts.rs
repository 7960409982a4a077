//! Whoever is too slow is cut, and in time (DO-01, DO-10).

use std::time::{Duration, Instant};

use super::support::fixture::credentials;
use super::support::upstream::ok;
use super::support::{Gateway, PATIENCE, Then, Upstream, Wire, request};

/// Sends a byte every few milliseconds until the other side closes or says something: long before the bytes run out.
fn drip(wire: &mut Wire, bytes: &[u8], every: Duration) -> Duration {
    let begun = Instant::now();
    wire.patience(every);
    for byte in bytes {
        let gone = !wire.send(&[*byte]);
        let spoke = match wire.feed.fill() {
            Ok(_) => true,
            Err(error) => !super::support::wire::timed_out(&error),
        };
        if gone || spoke {
            wire.patience(PATIENCE);
            return begun.elapsed();
        }
        assert!(begun.elapsed() < PATIENCE * 2, "still open");
    }
    panic!("still open after {} bytes", bytes.len());
}

fn short(upstream: &Upstream) -> Gateway {
    Gateway::over(upstream)
        .proxy("header_timeout: 300ms")
        .proxy("body_timeout: 300ms")
        .proxy("idle_timeout: 300ms")
        .proxy("write_timeout: 300ms")
        .start()
}

#[test]
fn a_head_has_one_deadline_for_the_whole_of_it() {
    let upstream = Upstream::ok();
    let gateway = short(&upstream);
    let mut wire = gateway.wire();
    let mut head = request("GET", "/v1/appointments", "key-all");
    head.truncate(head.len() - 2);
    head.extend(b"X-Slow: ");
    head.extend([b'x'; 2000]);
    let took = drip(&mut wire, &head, Duration::from_millis(20));
    assert!(took >= Duration::from_millis(250), "{took:?}");
    upstream.assert_untouched("a slow head");
    gateway.assert_alive(&upstream);
}

#[test]
fn a_silent_connection_and_an_idle_one_are_closed() {
    let upstream = Upstream::ok();
    let gateway = short(&upstream);
    let mut silent = gateway.wire();
    assert!(silent.closes_after_anything());
    let mut idle = gateway.wire();
    idle.send(&request("GET", "/v1/appointments", "key-all"));
    assert_eq!(idle.answer().status, 200);
    assert!(idle.closes());
}

fn post(extra: &str) -> Vec<u8> {
    format!("POST /v1/appointments HTTP/1.1\r\n{}{extra}\r\n", credentials("key-all")).into_bytes()
}

#[test]
fn a_body_that_never_comes_is_a_timeout() {
    let upstream = Upstream::ok();
    let gateway = short(&upstream);
    for framing in ["Content-Length: 10\r\n", "Transfer-Encoding: chunked\r\n"] {
        let mut wire = gateway.wire();
        wire.send(&post(framing));
        wire.send(b"1\r\nx");
        let answer = wire.answer();
        assert_eq!((answer.status, answer.code().as_str()), (408, "request_timeout"), "{framing}");
        assert!(wire.closes());
    }
    assert!(upstream.take().iter().all(|seen| !seen.complete));
}

#[test]
fn a_body_that_drips_is_too_slow_on_average() {
    let upstream = Upstream::ok();
    let gateway =
        Gateway::over(&upstream).proxy("body_timeout: 2s").proxy("min_body_rate: 10KiB/s").start();
    let mut wire = gateway.wire();
    wire.send(&post("Content-Length: 100000\r\n"));
    drip(&mut wire, &[b'x'; 2000], Duration::from_millis(50));
    let answer = wire.answer();
    assert_eq!((answer.status, answer.code().as_str()), (408, "request_timeout"));
    assert!(wire.closes());
    assert!(upstream.take().iter().all(|seen| !seen.complete));
}

#[test]
fn a_caller_that_does_not_read_is_cut() {
    let upstream = Upstream::start(|exchange| {
        exchange.body()?;
        exchange
            .send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 200 << 20).as_bytes())?;
        let piece = vec![b'x'; 1 << 20];
        for _ in 0..200 {
            exchange.send(&piece)?;
        }
        Ok(Then::Close)
    });
    let gateway = short(&upstream);
    let mut wire = gateway.wire();
    wire.send(&request("GET", "/v1/files/big", "key-all"));
    super::support::eventually("the request upstream", || upstream.count() == 1);
    super::support::eventually("the upstream to be let go", || upstream.open() == 0);
    drop(wire.rest());
}

#[test]
fn a_long_answer_and_a_long_upload_outlive_every_idle_timer() {
    let upstream = Upstream::start(|exchange| {
        exchange.body()?;
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n")?;
        for _ in 0..20 {
            exchange.send(b"x")?;
            std::thread::sleep(Duration::from_millis(60));
        }
        Ok(Then::Keep)
    });
    let gateway = short(&upstream);
    let answer = gateway.get("/v1/appointments");
    assert_eq!((answer.text().len(), answer.complete), (20, true));
    let upstream = Upstream::answering(&ok("", "ok"));
    let gateway = Gateway::over(&upstream)
        .proxy("body_timeout: 300ms")
        .proxy("header_timeout: 300ms")
        .start();
    let mut wire = gateway.wire();
    wire.send(&post("Content-Length: 20\r\n"));
    for _ in 0..20 {
        wire.send(b"x");
        std::thread::sleep(Duration::from_millis(60));
    }
    assert_eq!(wire.answer().status, 200);
    assert_eq!(upstream.only().body_bytes, 20);
}

#[test]
fn slow_callers_do_not_hold_up_the_others() {
    let upstream = Upstream::ok();
    let gateway = Gateway::over(&upstream).proxy("header_timeout: 60s").start();
    let slow: Vec<_> = (0..300)
        .map(|n| {
            let mut wire = gateway.wire();
            wire.send(if n % 2 == 0 { b"GET /v1/app" } else { b"" });
            wire
        })
        .collect();
    // An answer that waited for the slow ones would come after their `header_timeout`: later than anybody waits here.
    for _ in 0..20 {
        gateway.assert_alive(&upstream);
    }
    drop(slow);
}
