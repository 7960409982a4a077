//! Certificates: refused when they are of no use, replaced at a reload, the old one kept when the new one is faulty.

use std::process::Stdio;

use super::support::http2::{block_on, exchange, good};
use super::support::setup::{Setup, save};
use super::support::tls::{Authority, Identity, server};
use super::support::{Gateway, Upstream, Wire, eventually, request};

const LISTEN: &str = "gateway: 127.0.0.1:0\nadmin: 127.0.0.1:0\n\
                      tls: { certificate: gw.crt, private_key: gw.key }";

fn with(setup: Setup, identity: &Identity) -> Setup {
    setup
        .listen(LISTEN)
        .file("gw.crt", identity.certificate.as_bytes())
        .file("gw.key", identity.key.as_bytes())
}

#[test]
fn requests_pass_over_tls_and_the_upstream_is_told() {
    let (upstream, authority) = (Upstream::ok(), Authority::new());
    let gateway = with(Gateway::over(&upstream), &authority.issue("gw.test")).start();
    let mut wire = authority.handshake(gateway.address, "gw.test").unwrap();
    for _ in 0..3 {
        wire.send(&request("GET", "/v1/appointments", "key-all"));
        assert_eq!(wire.answer().status, 200);
        assert_eq!(upstream.only().head.one("x-forwarded-proto"), Some("https"));
    }
    let mut plain = gateway.wire();
    plain.send(&request("GET", "/v1/appointments", "key-all"));
    assert!(plain.closes_after_anything());
    upstream.assert_untouched("plain text on a TLS port");
}

#[test]
fn http2_is_chosen_by_alpn() {
    let (upstream, authority) = (Upstream::ok(), Authority::new());
    let gateway = with(Gateway::over(&upstream), &authority.issue("gw.test")).start();
    let h1 = authority
        .handshake_as(gateway.address, "gw.test", authority.client(&["http/1.1"]))
        .unwrap();
    assert_eq!(h1.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
    block_on(async {
        let connector =
            tokio_rustls::TlsConnector::from(std::sync::Arc::new(authority.client(&["h2"])));
        let socket = tokio::net::TcpStream::connect(gateway.address).await.unwrap();
        let stream = connector.connect("gw.test".try_into().unwrap(), socket).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let (mut sender, connection) = h2::client::handshake(stream).await.unwrap();
        tokio::task::spawn_local(connection);
        let mut request = good("GET", "/v1/appointments").body(bytes::Bytes::new()).unwrap();
        *request.uri_mut() = "https://gw.test/v1/appointments".parse().unwrap();
        assert_eq!(exchange(&mut sender, request).await.unwrap().status().as_u16(), 200);
        let mut plain = good("GET", "/v1/appointments").body(bytes::Bytes::new()).unwrap();
        *plain.uri_mut() = "http://gw.test/v1/appointments".parse().unwrap();
        let refused = exchange(&mut sender, plain).await;
        assert!(refused.is_err() || refused.is_ok_and(|answer| answer.status().as_u16() == 400));
    });
    assert_eq!(upstream.only().head.one("x-forwarded-proto"), Some("https"));
}

/// Starts postern where it should refuse to; what it says.
fn refused_start(setup: &Setup) -> String {
    let directory = tempfile::TempDir::new().unwrap();
    setup.write(directory.path());
    let output = std::process::Command::new(super::support::gateway::BINARY)
        .args(["serve", "--config"])
        .arg(directory.path().join("postern.yaml"))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "started: {said}");
    assert!(output.stdout.is_empty(), "it listened: {said}");
    said
}

/// Certificates that nobody should serve with.
fn faulty(authority: &Authority) -> Vec<(&'static str, Identity)> {
    let good = authority.issue("gw.test");
    let other = authority.issue("gw.test");
    let half = good.certificate[..good.certificate.len() / 2].to_owned();
    vec![
        ("a key of another certificate", Identity { key: other.key, ..good.clone() }),
        ("half a certificate", Identity { certificate: half, ..good.clone() }),
        ("no certificate", Identity { certificate: String::new(), ..good.clone() }),
        ("no key", Identity { key: "nonsense".into(), ..good.clone() }),
        (
            "key and certificate swapped",
            Identity { certificate: good.key.clone(), key: good.certificate },
        ),
        ("an expired certificate", authority.issue_expired("gw.test")),
    ]
}

#[test]
fn a_certificate_of_no_use_is_refused_at_the_start() {
    let (upstream, authority) = (Upstream::ok(), Authority::new());
    for (what, identity) in faulty(&authority) {
        let said = refused_start(&with(Gateway::over(&upstream), &identity));
        assert!(said.contains("postern.yaml:") || said.contains("gw."), "{what}: {said}");
        assert!(!said.contains("PRIVATE KEY"), "{what}: {said}");
    }
    let missing = Gateway::over(&upstream).listen(LISTEN);
    assert!(refused_start(&missing).contains("gw.crt"));
}

/// The serial bytes that a caller is shown: the whole leaf.
fn shown(gateway: &Gateway, authority: &Authority) -> Vec<u8> {
    let stream = authority
        .handshake_as(gateway.address, "gw.test", authority.client(&["http/1.1"]))
        .expect("a handshake");
    stream.conn.peer_certificates().unwrap()[0].to_vec()
}

#[test]
fn a_new_certificate_is_served_after_a_reload_and_open_connections_stay() {
    let (upstream, authority) = (Upstream::ok(), Authority::new());
    let gateway = with(Gateway::over(&upstream), &authority.issue("gw.test")).start();
    let first = shown(&gateway, &authority);
    let mut open = authority.handshake(gateway.address, "gw.test").unwrap();
    open.send(&request("GET", "/v1/appointments", "key-all"));
    assert_eq!(open.answer().status, 200);
    gateway.rewrite(&with(Gateway::over(&upstream), &authority.issue("gw.test")));
    gateway.signal("HUP");
    eventually("the new certificate", || shown(&gateway, &authority) != first);
    open.send(&request("GET", "/v1/appointments", "key-all"));
    assert_eq!(open.answer().status, 200, "a reload dropped a connection");
}

#[test]
fn a_faulty_certificate_at_a_reload_changes_nothing() {
    let (upstream, authority) = (Upstream::ok(), Authority::new());
    let good = authority.issue("gw.test");
    let gateway = with(Gateway::over(&upstream), &good).start();
    let first = shown(&gateway, &authority);
    for (what, identity) in faulty(&authority) {
        save(&gateway.directory.path().join("gw.crt"), identity.certificate.as_bytes());
        save(&gateway.directory.path().join("gw.key"), identity.key.as_bytes());
        gateway.signal("HUP");
        eventually(what, || gateway.config_status() == "rejected");
        assert_eq!(shown(&gateway, &authority), first, "{what}");
        gateway.rewrite(&with(Gateway::over(&upstream), &good));
        gateway.signal("HUP");
        eventually("recovery", || gateway.config_status() != "rejected");
    }
}

#[test]
fn a_handshake_that_stands_still_is_cut() {
    let (upstream, authority) = (Upstream::ok(), Authority::new());
    let gateway = with(Gateway::over(&upstream), &authority.issue("gw.test"))
        .proxy("handshake_timeout: 300ms")
        .start();
    let mut silent = gateway.wire();
    let mut half = gateway.wire();
    half.send(b"\x16\x03\x01\x02\x00\x01\x00");
    assert!(silent.closes_after_anything());
    assert!(half.closes_after_anything());
    let mut wire = authority.handshake(gateway.address, "gw.test").unwrap();
    wire.send(&request("GET", "/v1/appointments", "key-all"));
    assert_eq!(wire.answer().status, 200);
}

#[test]
fn an_upstreams_certificate_must_be_its_own() {
    let authority = Authority::new();
    let cases = [
        (authority.issue("127.0.0.1"), true),
        (authority.issue("else.test"), false),
        (authority.issue_expired("127.0.0.1"), false),
        (Authority::new().issue("127.0.0.1"), false),
    ];
    for (identity, trusted) in cases {
        let upstream = Upstream::tls(server(&identity));
        let gateway = Gateway::over(&upstream)
            .upstream("tls: { ca: ca.pem }")
            .file("ca.pem", authority.pem().as_bytes())
            .start();
        let answer = gateway.get("/v1/appointments");
        if trusted {
            assert_eq!(answer.status, 200, "{}", answer.text());
            assert_eq!(upstream.only().line(), "GET /v1/appointments HTTP/1.1");
        } else {
            assert_eq!(answer.status, 502, "{}", answer.text());
            upstream.assert_untouched("an upstream nobody vouches for");
        }
    }
}

#[test]
fn listeners_each_have_their_own_certificate_or_none() {
    let (upstream, authority) = (Upstream::ok(), Authority::new());
    let identity = authority.issue("gw.test");
    let gateway = Gateway::over(&upstream)
        .listen(
            "gateway:\n  - 127.0.0.1:0\n  - { address: \"127.0.0.1:0\", tls: { certificate: gw.crt, private_key: gw.key } }\n\
             admin: 127.0.0.1:0",
        )
        .file("gw.crt", identity.certificate.as_bytes())
        .file("gw.key", identity.key.as_bytes())
        .start();
    assert_eq!(gateway.addresses.len(), 2);
    let mut plain = Wire::to(gateway.addresses[0]);
    plain.send(&request("GET", "/v1/appointments", "key-all"));
    assert_eq!(plain.answer().status, 200);
    let mut secure = authority.handshake(gateway.addresses[1], "gw.test").unwrap();
    secure.send(&request("GET", "/v1/appointments", "key-all"));
    assert_eq!(secure.answer().status, 200);
}

#[test]
fn the_admin_listener_takes_a_new_certificate_with_the_rest() {
    let (upstream, authority) = (Upstream::ok(), Authority::new());
    let with = |identity: &Identity| {
        Gateway::over(&upstream)
            .listen(
                "gateway: 127.0.0.1:0\nadmin: 127.0.0.1:0\n\
                 admin_tls: { certificate: admin.crt, private_key: admin.key }",
            )
            .file("admin.crt", identity.certificate.as_bytes())
            .file("admin.key", identity.key.as_bytes())
    };
    let gateway = with(&authority.issue("admin.test")).start();
    let shown = || {
        let client = authority.client(&["h2", "http/1.1"]);
        let stream = authority.handshake_as(gateway.admin, "admin.test", client).unwrap();
        assert_eq!(stream.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
        stream.conn.peer_certificates().unwrap()[0].to_vec()
    };
    let first = shown();
    let url = format!("https://{}/healthz", gateway.admin);
    let health = std::process::Command::new(super::support::gateway::BINARY)
        .args(["health", "--url", &url])
        .status();
    assert!(health.unwrap().success(), "the container's own check asks by TLS too");
    gateway.rewrite(&with(&authority.issue("admin.test")));
    gateway.signal("HUP");
    eventually("the new certificate", || shown() != first);
}
