//! Upstreams that are missing, slow, resetting or talking nonsense: the table's codes, never a hang (UP).

use std::net::{TcpListener, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::support::fixture::request_with;
use super::support::setup::Setup;
use super::support::upstream::ok;
use super::support::{Gateway, Then, Upstream, eventually, request};

fn expect(setup: &Setup, status: u16, code: &str, what: &str) {
    let gateway = setup.start();
    let answer = gateway.get("/v1/appointments");
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (status, code),
        "{what}: {}",
        answer.text()
    );
}

#[test]
fn an_upstream_that_is_not_there_is_unreachable() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    expect(&Setup::to(&[format!("http://{closed}")]), 502, "upstream_unreachable", "refused");
    let unknown = Setup::to(&["http://no-such-host.invalid".to_owned()]);
    expect(&unknown, 502, "upstream_unreachable", "an unknown name");
}

#[test]
fn an_upstream_that_does_not_take_the_connection_is_unreachable_after_the_connect_timeout() {
    // A listener whose queue is full takes no more connections, and says nothing.
    let full = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    full.bind(&"127.0.0.1:0".parse::<std::net::SocketAddr>().unwrap().into()).unwrap();
    full.listen(0).unwrap();
    let address = full.local_addr().unwrap().as_socket().unwrap();
    let _queued: Vec<_> = (0..4)
        .map(|_| {
            let socket =
                socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
            socket.set_nonblocking(true).unwrap();
            drop(socket.connect(&address.into()));
            socket
        })
        .collect();
    let setup = Setup::to(&[format!("http://{address}")]).upstream("connect_timeout: 300ms");
    expect(&setup, 502, "upstream_unreachable", "a connection that never comes up");
}

#[test]
fn an_upstream_that_says_nothing_is_a_timeout() {
    let upstream = Upstream::start(|exchange| {
        exchange.body()?;
        exchange.hang()
    });
    let setup = Gateway::over(&upstream).upstream("response_timeout: 300ms");
    expect(&setup, 504, "upstream_timeout", "silence");
    let upstream = Upstream::start(|exchange| {
        exchange.body()?;
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Le")?;
        exchange.hang()
    });
    let setup = Gateway::over(&upstream).upstream("response_timeout: 300ms");
    expect(&setup, 504, "upstream_timeout", "half a head");
}

#[test]
fn nonsense_is_a_protocol_error() {
    let long = format!("HTTP/1.1 200 OK\r\n{}\r\n", "X-A: b\r\n".repeat(2000));
    let cases: Vec<&[u8]> = vec![
        b"garbage\r\n\r\n",
        b"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/3.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX A: b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-A: b\0c\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\nraw",
        long.as_bytes(),
        b"\x15\x03\x03\x00\x02\x02\x28",
    ];
    for bytes in cases {
        let bytes = bytes.to_vec();
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(80)]).into_owned();
        let upstream = Upstream::start(move |exchange| {
            exchange.body()?;
            exchange.send(&bytes)?;
            Ok(Then::Close)
        });
        expect(&Gateway::over(&upstream), 502, "upstream_protocol_error", &shown);
    }
}

#[test]
fn a_connection_that_ends_without_an_answer_is_tried_once_more_only_where_that_is_safe() {
    for reset in [false, true] {
        let upstream = Upstream::start(move |exchange| {
            exchange.body()?;
            if reset { exchange.reset() } else { Ok(Then::Close) }
        });
        let gateway = Gateway::over(&upstream).start();
        for (method, tries) in
            [("GET", 2), ("HEAD", 2), ("PUT", 2), ("DELETE", 2), ("POST", 1), ("PATCH", 1)]
        {
            let answer = gateway.request(method, "/v1/appointments", "key-all");
            assert_eq!(answer.status, 502, "{method}: {}", answer.text());
            assert_eq!(upstream.take().len(), tries, "{method}, reset {reset}");
        }
        let body = request_with("POST", "/v1/appointments", "key-all", "", "hello");
        assert_eq!(gateway.send(&body).status, 502);
        assert_eq!(upstream.take().len(), 1, "a POST with a body, reset {reset}");
    }
}

#[test]
fn a_retry_that_succeeds_is_not_noticed() {
    let count = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&count);
    let upstream = Upstream::start(move |exchange| {
        exchange.body()?;
        if counter.fetch_add(1, Ordering::SeqCst) == 0 {
            return Ok(Then::Close);
        }
        exchange.send(&ok("", "second"))?;
        Ok(Then::Keep)
    });
    let gateway = Gateway::over(&upstream).start();
    let answer = gateway.get("/v1/appointments");
    assert_eq!((answer.status, answer.text().as_str()), (200, "second"));
    assert_eq!(count.load(Ordering::SeqCst), 2);
}

#[test]
fn a_kept_connection_that_died_meanwhile_is_not_noticed_by_a_get() {
    let upstream = Upstream::start(|exchange| {
        exchange.body()?;
        exchange.send(&ok("", "ok"))?;
        Ok(Then::Close)
    });
    let gateway = Gateway::over(&upstream).start();
    for n in 0..30 {
        assert_eq!(gateway.get(&format!("/v1/appointments/k{n}")).status, 200, "{n}");
    }
}

#[test]
fn a_body_that_breaks_off_is_never_made_to_look_whole() {
    for bytes in [
        &b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello"[..],
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\nhello",
    ] {
        let bytes = bytes.to_vec();
        let shown = String::from_utf8_lossy(&bytes).into_owned();
        let upstream = Upstream::start(move |exchange| {
            exchange.body()?;
            exchange.send(&bytes)?;
            Ok(Then::Close)
        });
        let gateway = Gateway::over(&upstream).start();
        let mut wire = gateway.wire();
        wire.send(&request("GET", "/v1/appointments", "key-all"));
        if let Some(answer) = wire.answer_to("GET") {
            assert!(answer.status == 502 || !answer.complete, "{shown}: {}", answer.head.text());
        }
        assert!(wire.closes_after_anything(), "{shown}");
        assert_eq!(upstream.take().len(), 1, "{shown}: a half answer was asked for again");
    }
}

#[test]
fn a_body_that_stands_still_is_cut() {
    let upstream = Upstream::start(|exchange| {
        exchange.body()?;
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")?;
        exchange.hang()
    });
    let gateway = Gateway::over(&upstream)
        .upstream("response_timeout: 300ms")
        .proxy("body_timeout: 300ms")
        .start();
    let mut wire = gateway.wire();
    wire.send(&request("GET", "/v1/appointments", "key-all"));
    if let Some(answer) = wire.answer_to("GET") {
        assert!(!answer.complete);
    }
    assert!(wire.closes_after_anything());
}

#[test]
fn bytes_after_an_answer_are_never_given_to_the_next_caller() {
    let extra = "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\npoisoned";
    let bytes = [&ok("", "fine")[..], extra.as_bytes()].concat();
    let upstream = Upstream::answering(&bytes);
    let gateway = Gateway::over(&upstream).proxy("workers: 1").start();
    let mut wire = gateway.wire();
    for n in 0..20 {
        wire.send(&request("GET", &format!("/v1/appointments/n{n}"), "key-all"));
        let answer = wire.answer();
        // A refusal is as good; what must not come is the second answer.
        assert!(!answer.text().contains("poisoned"), "{n}: {}", answer.text());
    }
    let head = Upstream::answering(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\npoisoned");
    let gateway = Gateway::over(&head).proxy("workers: 1").start();
    let mut wire = gateway.wire();
    for _ in 0..5 {
        wire.send(&request("HEAD", "/v1/appointments", "key-all"));
        wire.answer_to("HEAD").unwrap();
        wire.send(&request("GET", "/v1/appointments", "key-all"));
        let answer = wire.answer();
        assert!(answer.status == 502 || answer.text() == "poisoned", "{}", answer.text());
    }
}

#[test]
fn interim_answers_are_few_and_never_the_answer() {
    let early = "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n";
    let upstream = Upstream::answering(&[early.as_bytes(), &ok("", "final")].concat());
    let gateway = Gateway::over(&upstream).start();
    let answer = gateway.get("/v1/appointments");
    assert_eq!((answer.status, answer.text().as_str()), (200, "final"));
    drop(gateway);
    let storm = Upstream::start(move |exchange| {
        exchange.body()?;
        for _ in 0..200_000 {
            exchange.send(early.repeat(50).as_bytes())?;
        }
        Ok(Then::Close)
    });
    expect(&Gateway::over(&storm), 502, "upstream_protocol_error", "interim answers without end");
}

#[test]
fn an_answer_before_the_body_was_read_passes_and_the_connection_is_not_used_again() {
    let upstream = Upstream::start(|exchange| {
        exchange
            .send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig")?;
        exchange.hang()
    });
    let gateway = Gateway::over(&upstream).start();
    let body = "x".repeat(4 << 20);
    let answer = gateway.send(&request_with("POST", "/v1/appointments", "key-all", "", &body));
    assert_eq!((answer.status, answer.text().as_str()), (413, "big"));
}

#[test]
fn a_flapping_upstream_serves_whenever_it_is_up() {
    let count = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&count);
    let upstream = Upstream::start(move |exchange| {
        exchange.body()?;
        if counter.fetch_add(1, Ordering::SeqCst).is_multiple_of(3) {
            return exchange.reset();
        }
        exchange.send(&ok("", "ok"))?;
        Ok(Then::Keep)
    });
    let gateway = Gateway::over(&upstream).start();
    for n in 0..30 {
        assert_eq!(gateway.get(&format!("/v1/appointments/f{n}")).status, 200, "{n}");
    }
}

#[test]
fn a_name_is_reached_at_whichever_of_its_addresses_listens() {
    // One address on some machines, two on others; a port is free on one of them at a time.
    let addresses: Vec<_> = ("localhost", 0).to_socket_addrs().unwrap().collect();
    for address in addresses {
        let upstream = Upstream::at(address);
        let name = format!("localhost:{}", upstream.address.port());
        let gateway = Setup::to(&[format!("http://{name}")]).start();
        for method in ["GET", "POST"] {
            let answer = gateway.request(method, "/v1/appointments", "key-all");
            assert_eq!(answer.status, 200, "{method} {address}: {}", answer.text());
            assert_eq!(upstream.only().head.one("host"), Some(name.as_str()));
        }
    }
}

#[test]
fn an_upstream_that_comes_and_goes_is_served_again_without_a_rush_of_connections() {
    let first = Upstream::ok();
    let address = first.address;
    let gateway = Gateway::over(&first).proxy("workers: 1").start();
    gateway.assert_alive(&first);
    first.close();
    for round in 0..3 {
        for _ in 0..5 {
            let answer = gateway.get("/v1/appointments");
            let told = (answer.status, answer.code());
            assert_eq!(told, (502, "upstream_unreachable".to_owned()), "{round}");
        }
        let upstream = Upstream::at(address);
        eventually("the upstream to be served again", || {
            gateway.get("/v1/appointments").status == 200
        });
        for _ in 0..20 {
            assert_eq!(gateway.get("/v1/appointments").status, 200, "{round}");
        }
        let connections = upstream.connections();
        assert!(connections <= 2, "{connections} connections for callers one after the other");
        upstream.close();
    }
}
