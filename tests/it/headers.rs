//! What callers may not say, what the gateway says itself, and what it makes of an answer (HD).

use super::support::fixture::{credentials, key_id, request_with};
use super::support::upstream::ok;
use super::support::{Gateway, Upstream};

/// The headers that only the gateway writes, and what it writes for `key-all` on an appointment.
fn identity() -> [(&'static str, &'static str); 5] {
    [
        ("X-Postern-Practice", "north"),
        ("X-Postern-Key-Id", key_id("key-all")),
        ("X-Postern-Key-Owner", "dr-lee"),
        ("X-Postern-Vendor", "acme"),
        ("X-Postern-Scopes", "appointment:read"),
    ]
}

#[test]
fn identity_headers_are_written_by_the_gateway_alone() {
    let upstream = Upstream::ok();
    let gateway = Gateway::over(&upstream).start();
    for (name, value) in identity() {
        for spelling in [name.to_owned(), name.to_lowercase(), name.to_uppercase()] {
            for extra in [
                format!("{spelling}: forged\r\n"),
                format!("{spelling}: forged\r\n{spelling}: twice\r\n"),
                format!("{spelling}:\r\n"),
                format!("Connection: close, {spelling}\r\n"),
                format!("Connection: {spelling}\r\n{spelling}: forged\r\n"),
            ] {
                let seen = gateway.forwards(&upstream, &extra);
                assert_eq!(seen.head.one(name), Some(value), "{extra:?}");
                assert!(!seen.head.text().contains("forged"), "{}", seen.head.text());
            }
        }
    }
    let seen =
        gateway.forwards(&upstream, "X-Postern-Anything: forged\r\nX-Request-Id: forged\r\n");
    assert!(!seen.head.text().contains("forged"), "{}", seen.head.text());
    assert_eq!(seen.head.all("x-request-id").len(), 1);
}

/// Names that some upstream folds to one that the gateway writes or reads.
pub(crate) const FOLDED: &[&str] = &[
    "X_Postern_Key_Id",
    "X.Postern.Key.Id",
    "X~Postern~Key~Id",
    "X-Postern_Practice",
    "x_subscriber_key",
    "X_Forwarded_For",
    "X!Postern!Scopes",
    "X*Postern*Scopes",
    "X^Forwarded^Host",
    "X`Postern`Vendor",
    "X|Postern|Vendor",
    "X'Postern'Vendor",
    "X+Postern+Vendor",
    "X%Postern%Vendor",
    "X&Postern&Vendor",
    "X#Postern#Vendor",
    "X$Postern$Vendor",
    "Content_Length",
    "any_name",
];

#[test]
fn a_name_of_anything_but_letters_digits_and_hyphens_is_refused() {
    let upstream = Upstream::ok();
    let gateway = Gateway::over(&upstream).start();
    for name in FOLDED {
        let bytes =
            request_with("GET", "/v1/appointments", "key-all", &format!("{name}: x\r\n"), "");
        gateway.refuses(&upstream, &bytes, 400, "");
    }
    gateway.assert_alive(&upstream);
}

#[test]
fn what_belongs_to_one_connection_is_not_passed_on() {
    let upstream = Upstream::ok();
    let gateway = Gateway::over(&upstream).start();
    let dropped = [
        "Keep-Alive: timeout=5",
        "TE: trailers",
        "TE: gzip",
        "Proxy-Connection: keep-alive",
        "Proxy-Authorization: Basic eA==",
        "Proxy-Authenticate: x",
        "HTTP2-Settings: AAMAAABkAAQAAP__",
        "Trailer: X-T",
        "Proxy: http://evil.test",
        "X-Original-URL: /v1/internal",
        "X-Rewrite-URL: /v1/internal",
        "X-Forwarded-Uri: /healthz",
        "X-Forwarded-Prefix: /x",
        "X-Forwarded-Server: evil",
        "X-Forwarded-Port: 1",
        "Forwarded: for=6.6.6.6;host=evil.test",
        "Connection: X-Secret\r\nX-Secret: named",
        "Connection: close, x-a, x-b\r\nX-A: named\r\nX-B: named",
        "Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQAAP__",
        "Upgrade: foo",
    ];
    for lines in dropped {
        let seen = gateway.forwards(&upstream, &format!("{lines}\r\n"));
        for line in lines.split("\r\n") {
            let (name, value) = line.split_once(':').unwrap();
            let said = seen.head.all(name);
            assert!(!said.contains(&value.trim()), "{lines:?} passed on:\n{}", seen.head.text());
        }
        for (name, value) in identity() {
            assert_eq!(seen.head.one(name), Some(value), "{lines:?}");
        }
    }
}

#[test]
fn connection_cannot_take_away_what_the_gateway_needs_or_adds() {
    let upstream = Upstream::ok();
    let gateway = Gateway::over(&upstream).start();
    for named in [
        "X-Forwarded-For",
        "Host",
        "Content-Length",
        "Transfer-Encoding",
        "X-Request-Id",
        "traceparent",
    ] {
        let extra = format!("Connection: {named}\r\n");
        let bytes = request_with("POST", "/v1/appointments", "key-all", &extra, "hello");
        assert_eq!(gateway.send(&bytes).status, 200, "{named}");
        let seen = upstream.only();
        assert_eq!(seen.body, b"hello", "{named}");
        for name in ["x-forwarded-for", "host", "x-request-id", "traceparent"] {
            assert!(seen.head.one(name).is_some(), "{named} took away {name}");
        }
        assert!(!seen.head.has("connection"), "{}", seen.head.text());
    }
    let seen = gateway.forwards(&upstream, "Connection: X-Subscriber-Key, X-Vendor-Key\r\n");
    assert_eq!(seen.head.one("x-postern-key-id"), Some(key_id("key-all")));
}

#[test]
fn other_headers_pass_as_they_are() {
    let upstream = Upstream::ok();
    let gateway = Gateway::over(&upstream).start();
    let lines = "Accept: text/html, */*;q=0.1\r\nAccept-Encoding: gzip\r\nAccept-Language: mi-NZ\r\n\
                 X-Custom: one\r\nX-Custom: two\r\nCookie: a=b; c=d\r\nIf-None-Match: \"x\"\r\n\
                 Range: bytes=0-1\r\nUser-Agent: suite/1\r\nUpgrade-Insecure-Requests: 1\r\n";
    let seen = gateway.forwards(&upstream, lines);
    for line in lines.lines() {
        let (name, value) = line.split_once(": ").unwrap();
        assert!(seen.head.all(name).contains(&value), "{line} is gone:\n{}", seen.head.text());
    }
    assert_eq!(seen.head.all("x-custom"), ["one", "two"]);
    assert!(!seen.head.has("via") || !seen.head.one("via").unwrap().contains("1.0"));
}

#[test]
fn exactly_one_valid_host() {
    let upstream = Upstream::ok();
    let gateway = Gateway::over(&upstream).start();
    let good =
        String::from_utf8(request_with("GET", "/v1/appointments", "key-all", "", "")).unwrap();
    let faulty = [
        "",
        "Host: gw.test\r\nHost: gw.test\r\n",
        "Host: gw.test\r\nHost: evil.test\r\n",
        "Host: gw.test\r\nhost: gw.test\r\n",
        "Host:\r\n",
        "Host: \r\n",
        "Host: a, b\r\n",
        "Host: a b\r\n",
        "Host: a/b\r\n",
        "Host: a?b\r\n",
        "Host: a#b\r\n",
        "Host: a\\b\r\n",
        "Host: u@gw.test\r\n",
        "Host: u:p@gw.test\r\n",
        "Host: gw.test:99999\r\n",
        "Host: gw.test:80:80\r\n",
        "Host: gw.test:x\r\n",
        "Host: gw.test:-1\r\n",
        "Host: :80\r\n",
        "Host: [::1\r\n",
        "Host: ::1\r\n",
        "Host: [::1]x\r\n",
        "Host: [zz]\r\n",
        "Host: http://gw.test\r\n",
        "Host: g\u{1}w\r\n",
    ];
    for host in faulty {
        let bytes = good.replacen("Host: gw.test\r\n", host, 1);
        gateway.refuses(&upstream, bytes.as_bytes(), 400, "");
    }
    for host in ["gw.test:80", "127.0.0.1", "[::1]:8080", "GW.test", "localhost"] {
        let bytes = good.replacen("gw.test", host, 1);
        assert_eq!(gateway.send(bytes.as_bytes()).status, 200, "{host}");
        let seen = upstream.only();
        assert_eq!(seen.head.one("host"), Some(upstream.address.to_string().as_str()));
        assert_eq!(seen.head.one("x-forwarded-host"), Some(host));
    }
}

#[test]
fn the_callers_host_is_preserved_where_the_configuration_says_so() {
    let upstream = Upstream::ok();
    let gateway = Gateway::over(&upstream).upstream("preserve_host: true").start();
    assert_eq!(gateway.forwards(&upstream, "").head.one("host"), Some("gw.test"));
}

#[test]
fn a_method_override_is_refused_in_every_spelling() {
    let upstream = Upstream::ok();
    let gateway = Gateway::over(&upstream).start();
    let names = ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"];
    for name in names {
        for spelling in [name.to_owned(), name.to_lowercase(), name.to_uppercase()] {
            for value in ["DELETE", "GET", "", "x"] {
                let extra = format!("{spelling}: {value}\r\n");
                let bytes = request_with("POST", "/v1/appointments", "key-all", &extra, "");
                gateway.refuses(&upstream, &bytes, 400, "method_override");
            }
        }
        let folded = format!("{}: DELETE\r\n", name.replace('-', "_"));
        let bytes = request_with("POST", "/v1/appointments", "key-all", &folded, "");
        gateway.refuses(&upstream, &bytes, 400, "");
    }
    for query in [
        "_method=DELETE",
        "a=b&_method=PUT",
        "_method",
        "_method=",
        "%5fmethod=DELETE",
        "_%6dethod=x",
    ] {
        let target = format!("/v1/appointments?{query}");
        let bytes = request_with("POST", &target, "key-all", "", "");
        gateway.refuses(&upstream, &bytes, 400, "method_override");
    }
    gateway.assert_alive(&upstream);
}

#[test]
fn forwarding_headers_tell_the_socket_unless_the_peer_is_trusted() {
    let upstream = Upstream::ok();
    let forged =
        "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil.test\r\n";
    let gateway = Gateway::over(&upstream).start();
    let seen = gateway.forwards(&upstream, forged);
    assert_eq!(seen.head.one("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(seen.head.one("x-forwarded-proto"), Some("http"));
    assert_eq!(seen.head.one("x-forwarded-host"), Some("gw.test"));
    drop(gateway);
    let trusting =
        Gateway::over(&upstream).proxy("trusted_proxies: [127.0.0.0/8, 10.0.0.0/8]").start();
    let cases = [
        ("6.6.6.6", "6.6.6.6"),
        ("6.6.6.6, 7.7.7.7", "7.7.7.7"),
        ("6.6.6.6, 7.7.7.7, 10.1.2.3", "7.7.7.7"),
        ("2001:db8::1", "2001:db8::1"),
    ];
    for (said, believed) in cases {
        let seen = trusting.forwards(&upstream, &format!("X-Forwarded-For: {said}\r\n"));
        let value = seen.head.one("x-forwarded-for").unwrap();
        assert!(value.contains(believed), "{said}: {value}");
        let untrusted = said.contains("6.6.6.6, 7.7.7.7") && value.starts_with("6.6.6.6");
        assert!(!untrusted, "{said}: {value} begins with what nobody vouches for");
    }
    for garbage in ["nonsense", "6.6.6.6, nonsense", "", "1.2.3.4:99999", "<script>"] {
        let seen = trusting.forwards(&upstream, &format!("X-Forwarded-For: {garbage}\r\n"));
        assert_eq!(seen.head.one("x-forwarded-for"), Some("127.0.0.1"), "{garbage}");
    }
}

#[test]
fn every_request_gets_an_id_and_a_trace() {
    let upstream = Upstream::ok();
    let gateway = Gateway::over(&upstream).start();
    let answer = gateway.send(&request_with(
        "GET",
        "/v1/appointments",
        "key-all",
        "X-Request-Id: mine\r\n",
        "",
    ));
    let seen = upstream.only();
    let id = answer.head.one("x-request-id").unwrap();
    assert_eq!(seen.head.one("x-request-id"), Some(id));
    assert_ne!(id, "mine");
    let again = gateway.get("/v1/appointments");
    assert_ne!(again.head.one("x-request-id"), Some(id));
    upstream.take();

    let made = gateway.forwards(&upstream, "").head.one("traceparent").unwrap().to_owned();
    assert!(made.len() == 55 && made.starts_with("00-"), "{made}");
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let valid = format!("traceparent: 00-{trace}-00f067aa0ba902b7-01\r\ntracestate: a=b\r\n");
    let seen = gateway.forwards(&upstream, &valid);
    assert!(seen.head.one("traceparent").unwrap().contains(trace), "{}", seen.head.text());
    assert_eq!(seen.head.one("tracestate"), Some("a=b"));
    for invalid in [
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "nonsense",
        "",
    ] {
        let seen = gateway.forwards(&upstream, &format!("traceparent: {invalid}\r\n"));
        let value = seen.head.one("traceparent").unwrap();
        assert!(value != invalid && value.len() == 55, "{invalid}: {value}");
    }
}

#[test]
fn an_answer_passes_as_it_is_but_for_what_belongs_to_the_connection() {
    let lines = "Content-Type: text/x-odd\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nETag: \"x\"\r\n\
                 Cache-Control: max-age=5\r\nX-Powered-By: old\r\n";
    let hop = "Connection: X-Inner\r\nX-Inner: y\r\nKeep-Alive: timeout=5\r\nProxy-Authenticate: z\r\n\
               X-Request-Id: theirs\r\n";
    let upstream = Upstream::answering(&ok(&format!("{lines}{hop}"), "hello"));
    let gateway = Gateway::over(&upstream).start();
    let answer = gateway.get("/v1/appointments");
    assert_eq!((answer.status, answer.text().as_str()), (200, "hello"));
    for line in lines.lines() {
        let (name, value) = line.split_once(": ").unwrap();
        assert!(answer.head.all(name).contains(&value), "{line} is gone:\n{}", answer.head.text());
    }
    for name in ["x-inner", "keep-alive", "proxy-authenticate"] {
        assert!(!answer.head.has(name), "{}", answer.head.text());
    }
    assert_ne!(answer.head.one("x-request-id"), Some("theirs"));
}

#[test]
fn an_answer_is_not_stored_unless_the_upstream_says_so() {
    let upstream = Upstream::ok();
    let gateway = Gateway::over(&upstream).start();
    assert_eq!(gateway.get("/v1/appointments").head.one("cache-control"), Some("no-store"));
    let own = gateway.get("/v1/nothing");
    assert_eq!(own.head.one("cache-control"), Some("no-store"));
}

#[test]
fn addresses_in_an_answer_are_turned_to_the_public_one() {
    let upstream = Upstream::start(|exchange| {
        exchange.body()?;
        let host = exchange.head.one("host").unwrap().to_owned();
        let lines = format!(
            "Location: http://{host}/v1/patients/7?a=b\r\n\
             Content-Location: http://{host}/v1/patients/7\r\n\
             Link: <http://{host}/v1/patients?page=2>; rel=\"next\", <https://else.test/x>; rel=\"help\"\r\n"
        );
        exchange.send(&ok(&lines, ""))?;
        Ok(super::support::Then::Keep)
    });
    let gateway = Gateway::over(&upstream).start();
    let answer = gateway.get("/v1/patients");
    assert_eq!(answer.head.one("location"), Some("http://gw.test/v1/patients/7?a=b"));
    assert_eq!(answer.head.one("content-location"), Some("http://gw.test/v1/patients/7"));
    let link = answer.head.one("link").unwrap();
    assert!(link.contains("<http://gw.test/v1/patients?page=2>; rel=\"next\""), "{link}");
    assert!(link.contains("<https://else.test/x>; rel=\"help\""), "{link}");
}

#[test]
fn a_redirect_is_passed_and_never_followed() {
    for location in ["/v1/elsewhere", "http://169.254.169.254/latest", "//evil.test/x"] {
        let head =
            format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n");
        let upstream = Upstream::answering(head.as_bytes());
        let gateway = Gateway::over(&upstream).start();
        let answer = gateway.get("/v1/appointments");
        assert_eq!(answer.status, 302);
        assert_eq!(answer.head.one("location"), Some(location));
        assert_eq!(upstream.only().head.word(0), "GET");
    }
}

#[test]
fn eight_bit_values_pass_or_are_refused_but_never_change() {
    let upstream = Upstream::ok();
    let gateway = Gateway::over(&upstream).start();
    let mut bytes = b"GET /v1/appointments HTTP/1.1\r\nX-Name: Zo\xeb\r\n".to_vec();
    bytes.extend(credentials("key-all").bytes());
    bytes.extend(b"\r\n");
    let answer = gateway.send(&bytes);
    if answer.status == 200 {
        assert_eq!(upstream.only().head.one("x-name"), Some("Zo\u{eb}"));
    } else {
        assert_eq!(answer.status, 400);
    }
}
