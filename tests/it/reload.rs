//! A new configuration is taken whole or not at all, and no connection notices.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::support::fixture::ROUTES;
use super::support::setup::save;
use super::support::{Gateway, Upstream, Wire, eventually, request, say};

fn without_invoices() -> String {
    ROUTES.replace("  - path: /v1/invoices\n    category: billing.invoices\n", "")
}

fn code(gateway: &Gateway) -> String {
    gateway.get("/v1/invoices").code()
}

#[test]
fn a_hangup_signal_takes_the_new_configuration() {
    let upstream = Upstream::ok();
    let gateway = Gateway::over(&upstream).start();
    assert_eq!(code(&gateway), "");
    gateway.rewrite(&Gateway::over(&upstream).routes(&without_invoices()));
    gateway.signal("HUP");
    eventually("the new routes", || code(&gateway) == "route_unmapped");
}

#[test]
fn a_saved_file_takes_the_new_configuration() {
    let upstream = Upstream::ok();
    let gateway = Gateway::over(&upstream).start();
    // Both ways of saving: in place, and a new file put in the old one's place.
    let routes = gateway.directory.path().join("routes.yaml");
    std::fs::write(&routes, without_invoices()).unwrap();
    eventually("the new routes", || code(&gateway) == "route_unmapped");
    save(&routes, ROUTES.as_bytes());
    eventually("the old routes", || code(&gateway).is_empty());
}

#[test]
fn a_reload_every_100_ms_under_load_fails_no_request() {
    let upstream = Upstream::ok();
    let gateway = Gateway::over(&upstream).start();
    let (stop, served) = (AtomicBool::new(false), AtomicUsize::new(0));
    let seconds = if std::env::var_os("POSTERN_BIG").is_some() { 10 } else { 3 };
    thread::scope(|scope| {
        for worker in 0..4 {
            let (gateway, stop, served) = (&gateway, &stop, &served);
            scope.spawn(move || {
                let mut wire = gateway.wire();
                while !stop.load(Ordering::Relaxed) {
                    // Two keep one connection for ever, two open a new one each time.
                    if worker % 2 == 0 {
                        wire = gateway.wire();
                    }
                    wire.send(&request("GET", "/v1/appointments", "key-all"));
                    let answer = wire.answer_to("GET").expect("a reload dropped a connection");
                    assert_eq!(answer.status, 200, "{}", answer.text());
                    served.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let deadline = Instant::now() + Duration::from_secs(seconds);
        let mut turn = false;
        while Instant::now() < deadline {
            turn = !turn;
            let routes = if turn { without_invoices() } else { ROUTES.to_owned() };
            gateway.rewrite(&Gateway::over(&upstream).routes(&routes));
            gateway.signal("HUP");
            thread::sleep(Duration::from_millis(100));
        }
        stop.store(true, Ordering::Relaxed);
    });
    let served = served.load(Ordering::Relaxed);
    say(&format!("{served} requests in {seconds} s of reloads, none failed"));
    assert!(served > 50);
}

#[test]
fn a_faulty_configuration_changes_nothing_and_is_reported() {
    let upstream = Upstream::ok();
    let good = Gateway::over(&upstream);
    let gateway = good.start();
    let faulty = [
        good.clone().top("listen: 1"),
        good.clone().routes("version: 1\nroutes:\n  - path: /v1/x\n    category: pateint\n"),
        good.clone().routes("version: 1\nroutes:\n\t- path: /v1/x\n"),
        good.clone().routes("\0\0\0"),
        good.clone().routes(""),
        good.clone().proxy("max_body: lots"),
        good.clone()
            .routes(&(without_invoices() + "  - path: /elsewhere\n    category: patient\n")),
        good.clone().upstream("tls: { ca: missing.pem }"),
    ];
    for setup in faulty {
        gateway.rewrite(&setup);
        gateway.signal("HUP");
        eventually("the rejection", || gateway.config_status() == "rejected");
        let ready = gateway.admin_get("/readyz");
        assert_eq!(ready.status, 200, "{}", ready.text());
        let error = ready.json()["config"]["error"].to_string();
        assert!(error.contains("yaml:"), "{error}");
        assert_eq!(code(&gateway), "", "a faulty configuration was taken in part");
        upstream.take();
        gateway.assert_alive(&upstream);
        gateway.rewrite(&good);
        gateway.signal("HUP");
        eventually("recovery", || gateway.config_status() != "rejected");
    }
}

#[test]
fn an_open_connection_is_judged_by_the_new_configuration() {
    let upstream = Upstream::ok();
    let gateway = Gateway::over(&upstream).start();
    let mut wire = gateway.wire();
    let ask = |wire: &mut Wire| {
        wire.send(&request("GET", "/v1/invoices", "key-all"));
        wire.answer().status
    };
    assert_eq!(ask(&mut wire), 200);
    gateway.rewrite(&Gateway::over(&upstream).routes(&without_invoices()));
    gateway.signal("HUP");
    eventually("the new routes", || code(&gateway) == "route_unmapped");
    assert_eq!(ask(&mut wire), 403);
}

#[test]
fn a_new_upstream_is_used_after_a_reload() {
    let (old, new) = (Upstream::ok(), Upstream::ok());
    let gateway = Gateway::over(&old).start();
    gateway.assert_alive(&old);
    gateway.rewrite(&Gateway::over(&new));
    gateway.signal("HUP");
    eventually("the new upstream", || {
        gateway.get("/v1/appointments/which");
        new.count() > 0
    });
    old.take();
    gateway.get("/v1/appointments/which");
    old.assert_untouched("the old upstream");
}

#[test]
fn a_change_that_needs_a_restart_is_said_and_the_rest_is_not_lost() {
    let upstream = Upstream::ok();
    let gateway = Gateway::over(&upstream).start();
    let moved = Gateway::over(&upstream)
        .listen("gateway: 127.0.0.1:1\nadmin: 127.0.0.1:0")
        .routes(&without_invoices());
    gateway.rewrite(&moved);
    gateway.signal("HUP");
    eventually("a word on the restart", || {
        let ready = gateway.admin_get("/readyz").text();
        ready.contains("restart") || gateway.stderr().contains("restart")
    });
    assert!(matches!(gateway.get("/v1/appointments").status, 200));
}
