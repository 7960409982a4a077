//! SIGTERM and SIGINT: stop accepting, finish what is in flight, end with 0.

use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::support::upstream::ok;
use super::support::{Gateway, Then, Upstream, eventually, request};

fn held() -> (Upstream, Arc<AtomicBool>) {
    let release = Arc::new(AtomicBool::new(false));
    let waits = Arc::clone(&release);
    let upstream = Upstream::start(move |exchange| {
        exchange.body()?;
        while !waits.load(Ordering::SeqCst) {
            thread::sleep(Duration::from_millis(2));
        }
        exchange.send(&ok("", "finished"))?;
        Ok(Then::Keep)
    });
    (upstream, release)
}

#[test]
fn what_is_in_flight_is_finished_and_nothing_new_is_taken() {
    for signal in ["TERM", "INT"] {
        let (upstream, release) = held();
        let mut gateway = Gateway::over(&upstream).start();
        let mut wire = gateway.wire();
        wire.send(&request("GET", "/v1/appointments", "key-all"));
        eventually("the request upstream", || upstream.count() == 1);
        gateway.signal(signal);
        eventually("the listener to close", || TcpStream::connect(gateway.address).is_err());
        release.store(true, Ordering::SeqCst);
        let answer = wire.answer();
        assert_eq!((answer.status, answer.text().as_str()), (200, "finished"), "{signal}");
        assert!(wire.closes());
        assert_eq!(gateway.end().code(), Some(0), "{signal}");
    }
}

#[test]
fn an_idle_connection_does_not_hold_up_the_end() {
    let upstream = Upstream::ok();
    let mut gateway = Gateway::over(&upstream).start();
    let mut idle = gateway.wire();
    idle.send(&request("GET", "/v1/appointments", "key-all"));
    assert_eq!(idle.answer().status, 200);
    let silent = gateway.wire();
    let begun = Instant::now();
    gateway.signal("TERM");
    assert_eq!(gateway.end().code(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert!(idle.closes());
    drop(silent);
}

#[test]
fn what_does_not_finish_is_cut_when_the_time_is_up() {
    let (upstream, release) = held();
    let mut gateway = Gateway::over(&upstream).proxy("drain: 500ms").start();
    let mut wire = gateway.wire();
    wire.send(&request("GET", "/v1/appointments", "key-all"));
    eventually("the request upstream", || upstream.count() == 1);
    let begun = Instant::now();
    gateway.signal("TERM");
    assert_eq!(gateway.end().code(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    release.store(true, Ordering::SeqCst);
}

#[test]
fn readiness_is_gone_while_the_gateway_drains() {
    let (upstream, release) = held();
    let mut gateway = Gateway::over(&upstream).start();
    let mut wire = gateway.wire();
    wire.send(&request("GET", "/v1/appointments", "key-all"));
    eventually("the request upstream", || upstream.count() == 1);
    gateway.signal("TERM");
    eventually("503 from /readyz", || gateway.admin_get("/readyz").status == 503);
    assert_eq!(gateway.admin_get("/healthz").status, 200);
    release.store(true, Ordering::SeqCst);
    assert_eq!(wire.answer().status, 200);
    assert_eq!(gateway.end().code(), Some(0));
}
