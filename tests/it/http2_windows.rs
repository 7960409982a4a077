//! A caller that opens no window: what waits for it waits at the upstream, not in the gateway's memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use super::support::http2::{
    DATA, END_HEADERS, END_STREAM, HEADERS, PREFACE, RawHttp2, SETTINGS, WINDOW_UPDATE, frame,
    good_fields, headers_frame,
};
use super::support::wire::connect;
use super::support::{Gateway, Then, Upstream, eventually, say};

const STREAMS: u32 = 100;
const MEBIBYTES: u64 = 64;

/// Far below what waits, far above what a hundred streams may hold in buffers.
const MOST_KIB: u64 = 64 << 10;

/// Answers without end, counting what was taken of them.
fn big(taken: &Arc<AtomicU64>) -> Upstream {
    let taken = Arc::clone(taken);
    Upstream::start(move |exchange| {
        exchange.body()?;
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", MEBIBYTES << 20);
        exchange.send(head.as_bytes())?;
        let piece = vec![b'x'; 16 << 10];
        for _ in 0..MEBIBYTES << 6 {
            exchange.send(&piece)?;
            taken.fetch_add(piece.len() as u64, Ordering::SeqCst);
        }
        Ok(Then::Close)
    })
}

/// Asks for as many answers as it may, with a window of nothing for each.
fn closed_windows(gateway: &Gateway) -> RawHttp2 {
    let mut raw = RawHttp2::over(connect(gateway.address));
    raw.send(PREFACE);
    raw.send(&frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]));
    for n in 0..STREAMS {
        let fields = good_fields("/v1/files/big");
        raw.send(&headers_frame(n * 2 + 1, END_HEADERS | END_STREAM, &fields));
    }
    raw
}

/// Once nothing more is taken for a while, how much it was.
fn settled(taken: &AtomicU64) -> u64 {
    let mut last = u64::MAX;
    eventually("the upstream to be paused", || {
        let now = taken.load(Ordering::SeqCst);
        thread::sleep(Duration::from_millis(300));
        std::mem::replace(&mut last, now) == now && now > 0
    });
    last
}

#[test]
fn answers_that_nobody_takes_wait_at_the_upstream() {
    let taken = Arc::new(AtomicU64::new(0));
    let upstream = big(&taken);
    let gateway = Gateway::over(&upstream).start();
    gateway.get("/v1/nothing");
    let before = gateway.memory();
    let mut raw = closed_windows(&gateway);
    let mut heads = 0;
    while heads < STREAMS {
        let frame = raw.frame().expect("the connection stays");
        assert!(frame.kind != DATA, "{} bytes without a window", frame.payload.len());
        heads += u32::from(frame.kind == HEADERS && frame.status() == 200);
    }
    let first = settled(&taken);
    // A byte for each stream, again and again: what is opened is sent, and no more than that is fetched for it.
    let mut sent = 0;
    for _ in 0..20 {
        for n in 0..STREAMS {
            raw.send(&frame(WINDOW_UPDATE, 0, n * 2 + 1, &[0, 0, 0, 1]));
        }
        let mut came = 0;
        while came < STREAMS {
            let frame = raw.frame().expect("the connection stays");
            if frame.kind == DATA {
                assert!(frame.payload.len() <= 1, "{} bytes", frame.payload.len());
                came += u32::try_from(frame.payload.len()).unwrap();
            }
        }
        sent += came;
    }
    assert_eq!(sent, STREAMS * 20);
    let second = settled(&taken);
    let growth = gateway.memory().saturating_sub(before);
    say(&format!("{growth} KiB more resident, {} MiB fetched for {sent} bytes", second >> 20));
    assert!(growth < MOST_KIB, "{growth} KiB more");
    let promised = u64::from(STREAMS) * (MEBIBYTES << 20);
    assert!(second < promised / 4, "{} MiB of {} were taken", second >> 20, promised >> 20);
    assert!(second - first < 16 << 20, "{} more bytes for 2,000", second - first);
}

#[test]
fn a_caller_that_never_opens_a_window_is_cut() {
    let taken = Arc::new(AtomicU64::new(0));
    let upstream = big(&taken);
    let gateway = Gateway::over(&upstream).proxy("write_timeout: 1s").start();
    let raw = closed_windows(&gateway);
    eventually("the requests upstream", || taken.load(Ordering::SeqCst) > 0);
    eventually("the upstream to be let go", || upstream.open() == 0);
    drop(raw);
}

#[test]
fn a_caller_that_opens_its_window_little_by_little_is_not_cut() {
    const STEP: u16 = 8 << 10;
    let taken = Arc::new(AtomicU64::new(0));
    let upstream = big(&taken);
    let gateway = Gateway::over(&upstream).proxy("write_timeout: 1s").start();
    let mut raw = RawHttp2::over(connect(gateway.address));
    raw.send(PREFACE);
    raw.send(&frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]));
    raw.send(&headers_frame(1, END_HEADERS | END_STREAM, &good_fields("/v1/files/big")));
    // 40 KiB a second for three times as long as a caller may take nothing.
    for _ in 0..15 {
        let [high, low] = STEP.to_be_bytes();
        raw.send(&frame(WINDOW_UPDATE, 0, 1, &[0, 0, high, low]));
        raw.send(&frame(WINDOW_UPDATE, 0, 0, &[0, 0, high, low]));
        let mut came = 0;
        while came < usize::from(STEP) {
            let frame = raw.frame().expect("the connection stays");
            came += if frame.kind == DATA { frame.payload.len() } else { 0 };
        }
        // The caller's own slowness, not a wait for anything.
        thread::sleep(Duration::from_millis(200));
    }
}
