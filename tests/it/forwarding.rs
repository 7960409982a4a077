//! Forwarding that goes well: streams, sizes, connections kept, requests balanced (UP).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::support::fixture::{credentials, request_with};
use super::support::setup::Setup;
use super::support::upstream::ok;
use super::support::{Gateway, Then, Upstream, eventually, request, say};

#[test]
fn the_first_byte_passes_while_the_upstream_is_still_sending() {
    let release = Arc::new(AtomicBool::new(false));
    let held = Arc::clone(&release);
    let upstream = Upstream::start(move |exchange| {
        exchange.body()?;
        exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")?;
        while !held.load(Ordering::SeqCst) {
            thread::sleep(Duration::from_millis(2));
        }
        exchange.send(b"4\r\nlast\r\n0\r\n\r\n")?;
        Ok(Then::Keep)
    });
    let gateway = Gateway::over(&upstream).start();
    let mut wire = gateway.wire();
    wire.send(&request("GET", "/v1/appointments", "key-all"));
    while !wire.feed.rest().windows(5).any(|five| five == b"first") {
        assert_ne!(wire.feed.fill().unwrap(), 0);
    }
    release.store(true, Ordering::SeqCst);
    assert_eq!(wire.answer().text(), "firstlast");
}

#[test]
fn the_first_byte_of_an_upload_passes_while_the_caller_is_still_sending() {
    let upstream = Upstream::start(|exchange| {
        let first = exchange.read()?;
        assert!(first.windows(5).any(|five| five == b"first"));
        exchange.send(&ok("", "early"))?;
        Ok(Then::Close)
    });
    let gateway = Gateway::over(&upstream).start();
    let mut wire = gateway.wire();
    let head = format!(
        "POST /v1/appointments HTTP/1.1\r\n{}Transfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n",
        credentials("key-all")
    );
    wire.send(head.as_bytes());
    let answer = wire.answer();
    assert_eq!((answer.status, answer.text().as_str()), (200, "early"));
    // The rest of the body was never read: nothing that follows may be taken for a request.
    wire.send(&request("GET", "/v1/appointments/smuggled", "key-all"));
    assert!(wire.closes_after_anything());
    assert!(upstream.take().iter().all(|seen| !seen.line().contains("smuggled")));
}

#[test]
fn a_big_answer_passes_in_constant_memory() {
    big_answer(64);
}

/// A GiB takes a debug build half a minute, so only on demand: `POSTERN_BIG=1`.
#[test]
fn a_gibibyte_passes_in_constant_memory() {
    if std::env::var_os("POSTERN_BIG").is_some() {
        big_answer(1024);
    }
}

fn big_answer(mebibytes: usize) {
    let upstream = Upstream::start(move |exchange| {
        exchange.body()?;
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", mebibytes << 20);
        exchange.send(head.as_bytes())?;
        let piece = vec![b'x'; 1 << 20];
        for _ in 0..mebibytes {
            exchange.send(&piece)?;
        }
        Ok(Then::Keep)
    });
    let gateway = Gateway::over(&upstream).start();
    let before = gateway.memory();
    let mut wire = gateway.wire();
    wire.send(&request("GET", "/v1/files/big", "key-all"));
    let (mut count, mut most) = (0, 0);
    let head = wire.feed.head().unwrap().unwrap();
    assert_eq!(head.word(1), "200");
    let framing = super::support::message::Framing::Length((mebibytes as u64) << 20);
    let mut asked = 0;
    wire.feed
        .body(framing, |piece| {
            count += piece.len();
            asked += 1;
            if asked % 512 == 0 {
                most = most.max(gateway.memory());
            }
        })
        .unwrap();
    assert_eq!(count, mebibytes << 20);
    let growth = most.saturating_sub(before);
    say(&format!("{mebibytes} MiB passed, {growth} KiB more resident than the {before} before"));
    assert!(growth < 20 << 10, "{growth} KiB more");
}

#[test]
fn a_big_upload_passes_in_constant_memory_and_is_held_back_by_a_slow_upstream() {
    let upstream = Upstream::start(|exchange| exchange.stall());
    let gateway = Gateway::over(&upstream).start();
    let before = gateway.memory();
    let mut wire = gateway.wire();
    let head = format!(
        "POST /v1/export HTTP/1.1\r\n{}Content-Length: {}\r\n\r\n",
        credentials("key-all"),
        150 << 20
    );
    wire.send(head.as_bytes());
    wire.feed.stream.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    let piece = vec![b'x'; 1 << 20];
    let mut sent = 0;
    while sent < 150 && wire.send(&piece) {
        sent += 1;
    }
    assert!(sent < 100, "{sent} MiB were taken for an upstream that reads nothing");
    let growth = gateway.memory().saturating_sub(before);
    assert!(growth < 20 << 10, "{growth} KiB more");
}

#[test]
fn an_upload_arrives_whole() {
    let upstream = Upstream::ok();
    let gateway = Gateway::over(&upstream).start();
    let mut wire = gateway.wire();
    let size = 64 << 20;
    let head = format!(
        "PUT /v1/export HTTP/1.1\r\n{}Content-Length: {size}\r\n\r\n",
        credentials("key-all")
    );
    wire.send(head.as_bytes());
    let piece = vec![b'x'; 1 << 20];
    for _ in 0..64 {
        assert!(wire.send(&piece));
    }
    assert_eq!(wire.answer().status, 200);
    let seen = upstream.only();
    assert_eq!((seen.body_bytes, seen.complete), (size, true));
    assert_eq!(seen.head.one("content-length"), Some(size.to_string().as_str()));
}

#[test]
fn connections_are_kept_on_both_sides() {
    let upstream = Upstream::ok();
    let gateway = Gateway::over(&upstream).proxy("workers: 1").start();
    let mut wire = gateway.wire();
    for n in 0..50 {
        let body = "x".repeat(n);
        wire.send(&request_with("POST", "/v1/appointments", "key-all", "", &body));
        assert_eq!(wire.answer().status, 200);
    }
    let seen = upstream.requests();
    assert_eq!(seen.len(), 50);
    assert!(seen.iter().all(|request| request.connection == 0));
    assert_eq!(upstream.connections(), 1);
}

#[test]
fn an_answer_without_a_body_and_one_without_a_length_both_end() {
    for (bytes, body) in [
        (&b"HTTP/1.1 204 No Content\r\n\r\n"[..], ""),
        (b"HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n", ""),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", ""),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", ""),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno", "no"),
        (b"HTTP/1.1 500 Oops\r\nContent-Length: 2\r\n\r\nno", "no"),
    ] {
        let upstream = Upstream::answering(bytes);
        let gateway = Gateway::over(&upstream).start();
        let mut wire = gateway.wire();
        for _ in 0..2 {
            wire.send(&request("GET", "/v1/appointments", "key-all"));
            let answer = wire.answer();
            assert_eq!(answer.text(), body, "{}", String::from_utf8_lossy(bytes));
            assert!(answer.complete);
        }
    }
    let upstream = Upstream::start(|exchange| {
        exchange.body()?;
        exchange.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nuntil the end")?;
        Ok(Then::Close)
    });
    let gateway = Gateway::over(&upstream).start();
    let answer = gateway.get("/v1/appointments");
    assert_eq!((answer.text().as_str(), answer.complete), ("until the end", true));
}

#[test]
fn several_urls_share_the_work_and_one_that_is_down_is_left_out() {
    let (one, two) = (Upstream::ok(), Upstream::ok());
    let gateway = Setup::to(&[one.url(), two.url()]).start();
    for _ in 0..40 {
        assert_eq!(gateway.get("/v1/appointments").status, 200);
    }
    assert!(one.count() > 5 && two.count() > 5, "{} and {}", one.count(), two.count());
    drop(gateway);
    one.take();
    let dead = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let gateway = Setup::to(&[one.url(), format!("http://{dead}")]).start();
    for _ in 0..20 {
        assert_eq!(gateway.get("/v1/appointments").status, 200);
    }
    assert_eq!(one.count(), 20);
}

#[test]
fn a_failing_health_check_takes_an_upstream_out_and_a_good_one_brings_it_back() {
    let sick = Arc::new(AtomicBool::new(true));
    let probes = Arc::new(AtomicUsize::new(0));
    let (is_sick, probed) = (Arc::clone(&sick), Arc::clone(&probes));
    let patient = Upstream::start(move |exchange| {
        exchange.body()?;
        let probe = exchange.head.word(1) == "/health";
        probed.fetch_add(usize::from(probe), Ordering::SeqCst);
        let fails = probe && is_sick.load(Ordering::SeqCst);
        let bad = b"HTTP/1.1 503 Sick\r\nContent-Length: 0\r\n\r\n".to_vec();
        exchange.send(&if fails { bad } else { ok("", "ok") })?;
        Ok(Then::Keep)
    });
    let well = Upstream::ok();
    let gateway = Setup::to(&[patient.url(), well.url()])
        .upstream("health: { path: /health, interval: 100ms }")
        .start();
    let served = || {
        patient.take();
        for _ in 0..10 {
            assert_eq!(gateway.get("/v1/appointments").status, 200);
        }
        patient.take().iter().filter(|seen| seen.head.word(1) != "/health").count()
    };
    eventually("probes", || probes.load(Ordering::SeqCst) > 5);
    assert_eq!(served(), 0);
    sick.store(false, Ordering::SeqCst);
    eventually("the recovered upstream to serve", || served() > 0);
}

#[test]
fn what_the_gateway_itself_presents_replaces_what_the_caller_sends() {
    let upstream = Upstream::ok();
    let gateway = Gateway::over(&upstream)
        .upstream("headers: { Authorization: \"Bearer of-the-gateway\", X-Site: north }")
        .start();
    let seen = gateway.forwards(&upstream, "Authorization: Bearer mine\r\nX-Site: mine\r\n");
    assert_eq!(seen.head.one("authorization"), Some("Bearer of-the-gateway"));
    assert_eq!(seen.head.one("x-site"), Some("north"));
}

#[test]
fn a_caller_that_goes_away_frees_the_upstream_at_once() {
    let upstream = Upstream::start(|exchange| {
        exchange.body()?;
        exchange.hang()
    });
    let gateway = Gateway::over(&upstream).start();
    let mut wire = gateway.wire();
    wire.send(&request("GET", "/v1/appointments", "key-all"));
    eventually("the request upstream", || upstream.count() == 1);
    let begun = Instant::now();
    drop(wire);
    eventually("the upstream connection to be closed", || upstream.open() == 0);
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_slow_reader_holds_the_upstream_back() {
    let sent = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&sent);
    let upstream = Upstream::start(move |exchange| {
        exchange.body()?;
        exchange
            .send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 200 << 20).as_bytes())?;
        let piece = vec![b'x'; 1 << 20];
        for _ in 0..200 {
            exchange.send(&piece)?;
            counter.fetch_add(1, Ordering::SeqCst);
        }
        Ok(Then::Close)
    });
    let gateway = Gateway::over(&upstream).start();
    let before = gateway.memory();
    let mut wire = gateway.wire();
    wire.send(&request("GET", "/v1/files/big", "key-all"));
    let mut last = usize::MAX;
    let mut still_since = Instant::now();
    eventually("the upstream to stand still", || {
        let now = sent.load(Ordering::SeqCst);
        if now != last {
            last = now;
            still_since = Instant::now();
        }
        upstream.count() == 1 && still_since.elapsed() > Duration::from_millis(500)
    });
    assert!(last < 100, "{last} MiB read for a caller that reads nothing");
    let growth = gateway.memory().saturating_sub(before);
    assert!(growth < 20 << 10, "{growth} KiB more");
}
