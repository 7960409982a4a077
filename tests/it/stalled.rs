//! Callers who do not read, or read slowly: what they hold is let go, and what they were sent stays whole.

use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::support::fixture::request_with;
use super::support::http2::{
    END_HEADERS, END_STREAM, RawHttp2, SETTINGS, frame, good_fields, headers_frame,
};
use super::support::{Gateway, PATIENCE, Then, Upstream, eventually, request};

const WHOLE: u8 = END_STREAM | END_HEADERS;

/// An HTTP/2 caller who lets no byte of any body come.
fn without_window(address: SocketAddr) -> RawHttp2 {
    let mut raw = RawHttp2::to(address);
    // SETTINGS_INITIAL_WINDOW_SIZE is 0.
    raw.send(&frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]));
    raw
}

/// A request without keys.
fn strange(stream: u32) -> Vec<u8> {
    let mut fields = good_fields("/v1/appointments");
    fields.truncate(4);
    headers_frame(stream, WHOLE, &fields)
}

fn ends(raw: &mut RawHttp2) {
    while raw.frame().is_some() {}
}

/// Answers every request with so many bytes, however the caller reads them.
fn sending(bytes: usize) -> Upstream {
    Upstream::start(move |exchange| {
        exchange.body()?;
        exchange.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {bytes}\r\n\r\n").as_bytes())?;
        exchange.send(&vec![b'.'; bytes])?;
        Ok(Then::Keep)
    })
}

#[test]
fn a_stranger_who_opens_no_window_is_cut() {
    let upstream = Upstream::ok();
    let gateway = Gateway::over(&upstream).proxy("write_timeout: 300ms").start();
    let mut raw = without_window(gateway.address);
    for stream in [1, 3, 5] {
        raw.send(&strange(stream));
    }
    ends(&mut raw);
    upstream.assert_untouched("a stranger");
}

#[test]
fn a_stranger_who_opens_no_window_does_not_hold_up_the_end() {
    let upstream = Upstream::ok();
    let mut gateway =
        Gateway::over(&upstream).proxy("write_timeout: 300ms").proxy("drain: 60s").start();
    let mut raw = without_window(gateway.address);
    raw.send(&strange(1));
    raw.outcome(1);
    let begun = Instant::now();
    gateway.signal("TERM");
    assert_eq!(gateway.end().code(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

#[test]
fn what_nobody_reads_over_http2_lets_the_upstream_go() {
    let upstream = sending(1 << 20);
    let gateway = Gateway::over(&upstream).proxy("write_timeout: 300ms").start();
    let mut raw = without_window(gateway.address);
    for stream in [1, 3, 5] {
        raw.send(&headers_frame(stream, WHOLE, &good_fields("/v1/appointments")));
    }
    eventually("three requests upstream", || upstream.count() == 3);
    eventually("the upstream to be let go", || upstream.open() == 0);
    ends(&mut raw);
}

#[test]
fn strangers_who_open_no_window_do_not_keep_others_out() {
    let upstream = Upstream::ok();
    let gateway = Gateway::over(&upstream)
        .proxy("workers: 1")
        .proxy("max_connections: 4")
        .proxy("write_timeout: 60s")
        .start();
    let held: Vec<_> = (0..4)
        .map(|_| {
            let mut raw = without_window(gateway.address);
            raw.send(&strange(1));
            raw.outcome(1);
            raw
        })
        .collect();
    eventually("a seat", || {
        let mut wire = gateway.wire();
        wire.send(&request("GET", "/v1/appointments", "key-all"));
        wire.answer_to("GET").is_some_and(|answer| answer.status == 200)
    });
    drop(held);
}

#[test]
fn an_http2_answer_that_waits_for_the_upstream_is_not_stalled() {
    let upstream = Upstream::start(|exchange| {
        exchange.body()?;
        std::thread::sleep(Duration::from_millis(700));
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n")?;
        for _ in 0..3 {
            std::thread::sleep(Duration::from_millis(700));
            exchange.send(b"x")?;
        }
        Ok(Then::Keep)
    });
    let gateway = Gateway::over(&upstream).proxy("write_timeout: 300ms").start();
    super::support::http2::block_on(async {
        let mut sender = super::support::http2::prior_knowledge(gateway.address).await;
        let get = super::support::http2::good("GET", "/v1/appointments");
        let get = get.body(bytes::Bytes::new()).unwrap();
        let answer = super::support::http2::exchange(&mut sender, get).await.unwrap();
        assert_eq!(&answer.body()[..], b"xxx");
    });
}

#[test]
fn a_head_that_waits_behind_an_unread_answer_puts_nothing_into_it() {
    // Some of these end in what the system holds, some in what the gateway holds.
    let small = (0..12).map(|n| 100_000 + n * 60_000);
    let sizes: Vec<usize> = small.chain((3..15).map(|n| n * 400_000)).collect();
    let upstream = Upstream::start(|exchange| {
        exchange.body()?;
        let bytes: usize = exchange.head.word(1).rsplit('/').next().unwrap().parse().unwrap();
        exchange.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {bytes}\r\n\r\n").as_bytes())?;
        exchange.send(&vec![b'.'; bytes])?;
        Ok(Then::Keep)
    });
    let gateway = Gateway::over(&upstream).proxy("header_timeout: 300ms").start();
    let mut wires: Vec<_> = sizes
        .iter()
        .map(|size| {
            let mut wire = gateway.wire();
            let target = format!("/v1/appointments/{size}");
            wire.send(&request("GET", &target, "key-all"));
            wire.send(b"GET /v1/app");
            wire
        })
        .collect();
    // The head must be late before the answer is read.
    std::thread::sleep(Duration::from_secs(2));
    for (wire, size) in wires.iter_mut().zip(sizes) {
        let answer = wire.answer();
        assert_eq!((answer.status, answer.complete, answer.body.len()), (200, true, size));
        assert!(answer.body.iter().all(|byte| *byte == b'.'), "{size}: something within the body");
        assert_eq!(wire.answer().status, 408, "{size}");
        assert!(wire.closes());
    }
}

#[test]
fn a_head_with_a_flaw_has_the_time_of_a_head() {
    let upstream = Upstream::ok();
    let gateway =
        Gateway::over(&upstream).proxy("header_timeout: 300ms").proxy("idle_timeout: 60s").start();
    for used in [false, true] {
        let mut wire = gateway.wire();
        if used {
            wire.send(&request("GET", "/v1/appointments", "key-all"));
            assert_eq!(wire.answer().status, 200);
            upstream.take();
        }
        wire.send(b"GET /v1/appointments HTTP/1.1\nHost: gw.test\r\n");
        let answer = wire.answer();
        assert_eq!((answer.status, answer.code().as_str()), (408, "request_timeout"), "{used}");
        assert!(wire.closes());
    }
    upstream.assert_untouched("a head that never ended");
}

#[test]
fn a_flawed_request_that_is_being_answered_is_no_late_head() {
    let upstream = Upstream::ok();
    let gateway = Gateway::over(&upstream).proxy("header_timeout: 300ms").start();
    let mut wire = gateway.wire();
    let bytes = request_with("GET", "/v1/appointments", "key-all", "X-A: b\n", "");
    wire.send(&bytes);
    assert_eq!(wire.answer().status, 400);
    assert!(wire.closes());
}

/// Reads so many bytes ten times a second; how many came in that time.
fn read_steadily(stream: &mut TcpStream, step: usize, time: Duration) -> usize {
    let begun = Instant::now();
    let mut piece = vec![0; step];
    let mut total = 0;
    while begun.elapsed() < time {
        match stream.read(&mut piece) {
            Ok(0) | Err(_) => return total,
            Ok(count) => total += count,
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    total
}

#[test]
fn a_caller_who_reads_slowly_but_steadily_is_not_cut() {
    let upstream = sending(100 << 20);
    let gateway = Gateway::over(&upstream).proxy("write_timeout: 2s").start();
    let mut wire = gateway.wire();
    wire.send(&request("GET", "/v1/files/big", "key-all"));
    assert!(read_steadily(&mut wire.feed.stream, 20_000, Duration::from_secs(7)) > 100_000);
    wire.patience(PATIENCE);
    let mut more = vec![0; 32 << 20];
    wire.feed.stream.read_exact(&mut more).expect("the answer goes on");
}
