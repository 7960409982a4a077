//! The differential oracle: whatever bytes are sent, all that an upstream sees was judged, and was allowed.
//!
//! Requests are written by a grammar and then spoiled byte by byte, from a corpus of every payload of these suites.
//! The only verdict is on what the upstream recorded: `judge` says from the route list, in its own few lines, what
//! that method and path need and whether the key named by the gateway may do it; `bodies`, whether a body that came to
//! its end is the one that was sent. `tests/fuzz-wire.sh SECONDS` runs
//! it for long; a failing input is written to a file and shown.

mod bodies;
mod generate;
mod judge;

use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::support::fixture::request_with;
use super::support::wire::connect;
use super::support::{Gateway, Then, Upstream, say};

const THREADS: u64 = 12;

/// How long, and how many inputs, where nobody asks for more.
const SECONDS: u64 = 10;
const INPUTS: u64 = 30_000;

/// What one connection carries: a few requests, good and bad, in one write.
fn inputs(rng: &mut fastrand::Rng) -> Vec<u8> {
    if rng.u8(..4) == 0 {
        return generate::http2(rng);
    }
    let mut bytes = Vec::new();
    for _ in 0..rng.usize(1..5) {
        bytes.extend(generate::request(rng));
    }
    // The gateway closes after it, unless something before it swallowed it.
    bytes.extend(request_with("GET", "/v1/appointments", "key-all", "Connection: close\r\n", ""));
    bytes
}

/// Sends the bytes, then reads until the other side closes or says nothing more for a moment.
fn deliver(gateway: &Gateway, bytes: &[u8], half_close: bool) {
    let mut stream = connect(gateway.address);
    drop(stream.write_all(bytes));
    if half_close {
        drop(stream.shutdown(std::net::Shutdown::Write));
    }
    stream.set_read_timeout(Some(Duration::from_millis(30))).unwrap();
    let mut sink = [0; 16 * 1024];
    while matches!(stream.read(&mut sink), Ok(1..)) {}
}

fn upstream(verdict: Arc<judge::Verdict>) -> Upstream {
    Upstream::start(move |exchange| {
        let whole = exchange.whole_body();
        verdict.consider(&exchange.head);
        verdict.compare(&exchange.head, &whole?);
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")?;
        Ok(Then::Keep)
    })
}

#[test]
fn all_that_the_upstream_sees_was_judged_and_allowed() {
    let asked =
        std::env::var("POSTERN_FUZZ_SECONDS").ok().and_then(|text| text.parse::<u64>().ok());
    let (seconds, most) = asked.map_or((SECONDS, INPUTS), |seconds| (seconds, u64::MAX));
    let seed = std::env::var("POSTERN_FUZZ_SEED").ok().and_then(|text| text.parse().ok());
    let seed = seed.unwrap_or_else(|| if asked.is_some() { fastrand::u64(..) } else { 1 });
    let verdict = Arc::new(judge::Verdict::default());
    let upstream = upstream(Arc::clone(&verdict));
    let gateway = Gateway::over(&upstream).proxy("max_body: 64KiB").start();
    let (count, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let deadline = Instant::now() + Duration::from_secs(seconds);
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (gateway, verdict, count, stop) = (&gateway, &verdict, &count, &stop);
            scope.spawn(move || {
                let mut rng = fastrand::Rng::with_seed(seed.wrapping_add(thread));
                while Instant::now() < deadline && !stop.load(Ordering::Relaxed) {
                    let bytes = inputs(&mut rng);
                    if count.fetch_add(1, Ordering::Relaxed) > most {
                        return;
                    }
                    verdict.remember(thread, &bytes);
                    deliver(gateway, &bytes, rng.u8(..4) == 0);
                    if verdict.failed() {
                        stop.store(true, Ordering::Relaxed);
                    }
                }
            });
        }
        scope.spawn(|| {
            // The recorder keeps every request; nobody reads them here.
            while Instant::now() < deadline && !stop.load(Ordering::Relaxed) {
                upstream.take();
                thread::sleep(Duration::from_millis(50));
                if count.load(Ordering::Relaxed) > most {
                    return;
                }
            }
        });
    });
    upstream.assert_readable();
    verdict.report(seed);
    let (sent, passed) = (count.load(Ordering::Relaxed), verdict.allowed());
    let same = verdict.same_bodies();
    assert!(passed > 0, "nothing passed: the generator writes no good requests");
    assert!(same > 0, "no body was compared: the generator's tags do not pass");
    say(&format!(
        "oracle: seed {seed}, {sent} connections, {passed} requests upstream, all allowed; {same} bodies, all as sent"
    ));
}
