//! What a key may have in a UTC day, and at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::support::fixture::{request, request_with};
use super::support::http2::{block_on, good, prior_knowledge};
use super::support::limits::{ask, left, over, routes, told};
use super::support::records::recorded;
use super::support::tunnel::{ACCEPT, UPGRADE, switching};
use super::support::upstream::ok;
use super::support::{Gateway, Then, Upstream, eventually};

const TARGET: &str = "/v1/appointments/1";

fn limited(upstream: &Upstream, limits: &str) -> Gateway {
    Gateway::over(upstream).routes(&routes()).top(&format!("limits: {{ {limits} }}")).start()
}

/// Seconds until midnight in UTC, by the clock of the test.
fn until_midnight() -> u64 {
    let second = u64::try_from(jiff::Timestamp::now().as_second()).unwrap();
    86_400 - second % 86_400
}

#[test]
fn a_key_has_so_many_requests_a_day_whatever_they_cost() {
    let upstream = Upstream::ok();
    let gateway = limited(&upstream, "daily_quota: { requests: 5 }");
    for (n, target) in ["/v1/cost/7", TARGET, "/v1/cost/1000", TARGET, TARGET].iter().enumerate() {
        let answer = gateway.get(target);
        assert_eq!((answer.status, left(&answer, "daily_requests")), (200, 4 - n as u64));
    }
    let answer = gateway.get(TARGET);
    let problem = over(&answer, "quota_exceeded", "daily_requests");
    let midnight = until_midnight();
    let seconds = problem["retry_after"].as_u64().unwrap();
    assert!(seconds.abs_diff(midnight) < 60, "{seconds} s until a midnight in {midnight} s");
    assert_eq!(problem["allowed"], "5/d");
    let (policies, limits) = told(&answer).unwrap();
    assert_eq!((policies[0].number("q"), policies[0].number("w")), (5, 86_400));
    assert!(limits[0].number("t").abs_diff(midnight) < 60);
    // Each key has its own.
    assert_eq!(gateway.request("GET", TARGET, "key-read").status, 200);
    assert_eq!(upstream.count(), 6);
}

/// The rest of a quota is what it was, whatever ended the gateway, and whatever was asked that took nothing of it.
#[test]
fn a_quota_is_of_a_day_and_not_of_a_start() {
    let upstream = Upstream::answering(&ok("", "0123456789"));
    let limits =
        "limits: { key: { rate: 1/d, burst: 20 }, daily_quota: { requests: 500, bytes: 5000B } }";
    let setup = Gateway::over(&upstream).routes(&routes()).top(limits);
    let mut gateway = setup.start();
    let mut used = 0;
    for signal in ["TERM", "KILL"] {
        for _ in 0..10 {
            assert_eq!(gateway.get(TARGET).status, 200);
            used += 1;
            assert_eq!(gateway.get("/.well-known/postern/whoami").status, 200);
            assert_eq!(gateway.request("OPTIONS", TARGET, "key-all").status, 403);
            assert_eq!(gateway.request("GET", "/v1/unmapped", "key-all").status, 403);
        }
        while gateway.get(TARGET).status == 200 {
            used += 1;
        }
        for _ in 0..20 {
            over(&gateway.get(TARGET), "rate_limited", "key");
        }
        gateway = gateway.again(&setup, signal);
        let told = gateway.get("/.well-known/postern/whoami").json();
        let left = |name: &str| {
            let items = told["limits"].as_array().unwrap();
            items.iter().find(|item| item["limit"] == name).unwrap()["remaining"].as_u64().unwrap()
        };
        assert_eq!((left("daily_requests"), left("daily_bytes")), (500 - used, 5000 - 10 * used));
    }
}

#[test]
fn a_key_moves_so_many_bytes_a_day_both_ways() {
    let upstream = Upstream::answering(&ok("", &"a".repeat(300)));
    let gateway = limited(&upstream, "daily_quota: { bytes: 1000B }");
    let put = |size: usize| {
        recorded(&gateway, &request_with("PUT", TARGET, "key-all", "", &"x".repeat(size))).0
    };
    // A record is complete when what it moved has been counted.
    let answer = put(100);
    assert_eq!(left(&answer, "daily_bytes"), 1000, "told before anything has moved");
    let answer = put(200);
    assert_eq!((answer.status, left(&answer, "daily_bytes")), (200, 600));
    // 900 so far: this one is let through, and is over the quota when it has ended.
    let answer = put(4000);
    assert_eq!((answer.status, left(&answer, "daily_bytes")), (200, 100));
    let problem = over(&put(1), "quota_exceeded", "daily_bytes");
    assert_eq!(problem["allowed"], "1000 bytes/d");
    assert_eq!(upstream.count(), 3);
}

/// An upstream that answers when it may.
fn gated() -> (Upstream, Arc<AtomicBool>) {
    let open = Arc::new(AtomicBool::new(false));
    let may = Arc::clone(&open);
    let upstream = Upstream::start(move |exchange| {
        if exchange.head.has("upgrade") {
            exchange.send(switching(ACCEPT).as_bytes())?;
            loop {
                let bytes = exchange.read()?;
                exchange.send(&bytes)?;
            }
        }
        exchange.body()?;
        // The head is out, the body is not: the request has not ended.
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no")?;
        eventually("leave to answer", || may.load(Ordering::SeqCst));
        exchange.send(b"k")?;
        Ok(Then::Keep)
    });
    (upstream, open)
}

#[test]
fn a_key_runs_so_many_at_once_until_their_answers_have_ended() {
    let (upstream, open) = gated();
    let gateway = limited(&upstream, "max_concurrent_per_key: 3");
    let bytes = request("GET", TARGET, "key-all");
    let mut wires: Vec<_> = (0..3).map(|_| gateway.wire()).collect();
    for (n, wire) in wires.iter_mut().enumerate() {
        assert!(wire.send(&bytes));
        eventually("it to arrive", || upstream.count() == n + 1);
    }
    let answer = gateway.send(&bytes);
    let problem = over(&answer, "too_many_concurrent", "concurrent");
    assert_eq!((problem["allowed"].as_str(), left(&answer, "concurrent")), (Some("3 at once"), 0));
    let own = gateway.request("GET", "/v1/patients", "key-none");
    assert_eq!(own.code(), "permission_denied", "what is refused before runs nowhere");
    assert_eq!(upstream.count(), 3);
    open.store(true, Ordering::SeqCst);
    for wire in &mut wires {
        assert_eq!(wire.answer().text(), "ok");
    }
    eventually("room for three", || left(&gateway.send(&bytes), "concurrent") == 2);
}

#[test]
fn a_caller_that_goes_away_leaves_its_place() {
    let (upstream, open) = gated();
    let gateway = limited(&upstream, "max_concurrent_per_key: 1");
    let bytes = request("GET", TARGET, "key-all");
    let mut wire = gateway.wire();
    assert!(wire.send(&bytes));
    eventually("it to arrive", || upstream.count() == 1);
    over(&gateway.send(&bytes), "too_many_concurrent", "concurrent");
    drop(wire);
    // Of an answer that never ends, the head.
    let asked = || {
        let mut wire = gateway.wire();
        assert!(wire.send(&bytes));
        let head = wire.feed.head().unwrap().unwrap();
        (head.word(1).to_owned(), wire)
    };
    eventually("its place to be free", || asked().0 == "200");
    // And the one that came then has gone, too.
    let mut last = None;
    eventually("its place to be free again", || {
        let (status, wire) = asked();
        last = Some(wire);
        status == "200"
    });
    over(&gateway.send(&bytes), "too_many_concurrent", "concurrent");
    open.store(true, Ordering::SeqCst);
}

#[test]
fn a_stream_that_is_reset_leaves_its_place() {
    let (upstream, open) = gated();
    let gateway = limited(&upstream, "max_concurrent_per_key: 1");
    block_on(async {
        let mut sender = prior_knowledge(gateway.address).await;
        let asked = || good("GET", TARGET).body(()).unwrap();
        let (first, mut stream) = sender.send_request(asked(), true).unwrap();
        let answer = first.await.unwrap();
        assert_eq!(answer.status(), 200);
        let (second, _) = sender.send_request(asked(), true).unwrap();
        assert_eq!(second.await.unwrap().status(), 429);
        stream.send_reset(h2::Reason::CANCEL);
        drop(answer);
        let deadline = tokio::time::Instant::now() + super::support::PATIENCE;
        loop {
            let (next, _) = sender.send_request(asked(), true).unwrap();
            if next.await.unwrap().status() == 200 {
                break;
            }
            assert!(tokio::time::Instant::now() < deadline, "its place is never free");
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    });
    open.store(true, Ordering::SeqCst);
}

#[test]
fn a_tunnel_runs_until_it_is_closed() {
    let (upstream, open) = gated();
    open.store(true, Ordering::SeqCst);
    let gateway = limited(&upstream, "max_concurrent_per_key: 1, daily_quota: { bytes: 20B }");
    let mut tunnel = gateway.wire();
    tunnel.send(&request_with("GET", "/v1/live", "key-all", UPGRADE, ""));
    let answer = tunnel.answer();
    assert_eq!((answer.status, left(&answer, "concurrent")), (101, 0));
    over(&gateway.get(TARGET), "too_many_concurrent", "concurrent");
    tunnel.send(b"0123456789");
    while tunnel.feed.rest().len() < 10 {
        assert_ne!(tunnel.feed.fill().unwrap(), 0);
    }
    over(&gateway.get(TARGET), "too_many_concurrent", "concurrent");
    drop(tunnel);
    // Ten bytes there and ten back are all of the day's.
    let mut code = String::new();
    eventually("the end of the tunnel", || {
        code = gateway.get(TARGET).code();
        code != "too_many_concurrent"
    });
    assert_eq!(code, "quota_exceeded");
}

/// What has ended in any other way than well has ended, too.
#[test]
fn failures_of_the_upstream_leave_no_place_taken() {
    let upstream = Upstream::start(|exchange| exchange.reset());
    let gateway = limited(&upstream, "max_concurrent_per_key: 2");
    let mut wire = gateway.wire();
    for _ in 0..10 {
        let answer = ask(&mut wire, &request("PUT", TARGET, "key-all"));
        assert_eq!(answer.status, 502, "{}", answer.text());
    }
    upstream.close();
    for _ in 0..10 {
        let answer = ask(&mut wire, &request("GET", TARGET, "key-all"));
        assert_eq!(answer.status, 502, "{}", answer.text());
    }
}
