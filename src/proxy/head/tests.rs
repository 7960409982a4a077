//! Heads with one reading, and all the others.

use http::Request;

use super::*;

const GOOD: &[(&str, &str)] = &[("host", "gw.test")];

fn parts(method: &str, target: &str, version: Version, headers: &[(&str, &str)]) -> Parts {
    let mut request = Request::builder().method(method).uri(target).version(version);
    for (name, value) in headers {
        request = request.header(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    request.body(()).unwrap().into_parts().0
}

fn code(method: &str, target: &str, version: Version, headers: &[(&str, &str)]) -> &'static str {
    let parts = parts(method, target, version, headers);
    Head::screen(&parts, false, 20, 4).err().map_or("", |refusal| refusal.code())
}

fn http1(headers: &[(&str, &str)]) -> &'static str {
    code("GET", "/a", Version::HTTP_11, headers)
}

fn http2(target: &str, headers: &[(&str, &str)]) -> &'static str {
    code("GET", target, Version::HTTP_2, headers)
}

#[test]
fn a_plain_head_passes_as_it_is() {
    let parts =
        parts("POST", "/a?b", Version::HTTP_11, &[("host", "gw.test:80"), ("content-length", "3")]);
    let head = Head::screen(&parts, false, 20, 4).unwrap();
    let expected = Head {
        verb: Verb::Forward(Method::Post),
        target: "/a?b",
        host: "gw.test:80",
        body: Framing::Length(3),
        websocket: false,
    };
    assert_eq!(head, expected);
}

#[test]
fn there_is_exactly_one_host_and_it_is_one() {
    for good in ["gw.test", "gw.test:8080", "127.0.0.1", "[::1]", "[::1]:80", "a_b-c~d", "GW.test"]
    {
        assert_eq!(http1(&[("host", good)]), "", "{good}");
    }
    for bad in [
        "",
        "a, b",
        "a b",
        "a/b",
        "u@gw.test",
        "gw.test:99999",
        "gw.test:",
        "gw.test:80:80",
        "[::1",
        "::1",
        "[::1]x",
        "[gw]",
        "gw.test:-1",
        "gw.test:+80",
        "a%2fb",
        "a\u{e9}",
        "a#b",
        "a?b",
        ":80",
        "[::1]:",
    ] {
        assert_eq!(http1(&[("host", bad)]), "malformed_request", "{bad}");
    }
    assert_eq!(http1(&[]), "malformed_request");
    assert_eq!(http1(&[("host", "a"), ("host", "a")]), "malformed_request");
    assert_eq!(code("GET", "/a", Version::HTTP_10, &[]), "malformed_request");
}

#[test]
fn only_one_form_of_target_is_taken() {
    let with = |target| code("GET", target, Version::HTTP_11, GOOD);
    for target in ["/", "/a?b", "http://gw.test/a", "HTTP://GW.test/a", "http://gw.test"] {
        assert_eq!(with(target), "", "{target}");
    }
    for target in [
        "*",
        "gw.test:80",
        "evil",
        "@evil",
        "http://evil/a",
        "http://u@gw.test/a",
        "https://gw.test/a",
        "ftp://gw.test/a",
        "http://gw.test:80/a",
    ] {
        assert_eq!(with(target), "ambiguous_path", "{target}");
    }
    assert_eq!(code("OPTIONS", "*", Version::HTTP_11, GOOD), "ambiguous_path");
}

#[test]
fn a_target_may_have_its_limit_and_no_more() {
    for (length, expected) in [(19, ""), (20, ""), (21, "target_too_long")] {
        let target = format!("/{}", "a".repeat(length - 1));
        assert_eq!(code("GET", &target, Version::HTTP_11, GOOD), expected, "{length}");
    }
}

#[test]
fn a_head_may_have_its_number_of_fields_and_no_more() {
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let fields = [GOOD[0], ("x-a", "1"), ("x-a", "2"), ("x-a", "3"), ("x-b", "4")];
        let code = |count: usize| code("GET", "/a", version, &fields[..count]);
        assert_eq!([code(3), code(4), code(5)], ["", "", "headers_too_large"], "{version:?}");
    }
}

#[test]
fn methods_are_known_and_case_sensitive() {
    for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
        assert_eq!(code(method, "/a", Version::HTTP_11, GOOD), "", "{method}");
    }
    for method in ["get", "Get", "GETT", "TRACE", "FOO!#$%", "CONNECT", "PROPFIND"] {
        assert_eq!(code(method, "/a", Version::HTTP_11, GOOD), "malformed_request", "{method}");
    }
}

#[test]
fn method_overrides_are_found_in_every_spelling() {
    for name in [
        "X-HTTP-Method-Override",
        "x_http_method_override",
        "X.HTTP-Method",
        "x-method~override",
        "X-Method-Override",
    ] {
        assert_eq!(http1(&[GOOD[0], (name, "PUT")]), "method_override", "{name}");
    }
    assert_eq!(http1(&[GOOD[0], ("x-http-methods", "PUT")]), "");
}

#[test]
fn names_have_letters_digits_and_dashes() {
    for name in ["x_a", "x.a", "x!a", "x~a", "x|a", "x^a", "x'a", "x*a"] {
        assert_eq!(http1(&[GOOD[0], (name, "v")]), "malformed_request", "{name}");
    }
    assert_eq!(http1(&[GOOD[0], ("X-Trace-2", "v")]), "");
}

#[test]
fn one_length_or_one_coding() {
    let post =
        |headers: &[(&str, &str)]| code("POST", "/a", Version::HTTP_11, &[GOOD, headers].concat());
    for good in [
        [].as_slice(),
        &[("content-length", "0")],
        &[("content-length", "01")],
        &[("transfer-encoding", "Chunked")],
        &[("content-length", "5"), ("content-length", "5")],
    ] {
        assert_eq!(post(good), "", "{good:?}");
    }
    for bad in [
        [("content-length", "5"), ("content-length", "6")].as_slice(),
        &[("content-length", "")],
        &[("content-length", "5, 5")],
        &[("content-length", "-1")],
        &[("content-length", "18446744073709551616")],
        &[("transfer-encoding", "gzip, chunked")],
        &[("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")],
        &[("transfer-encoding", "identity"), ("transfer-encoding", "chunked")],
        &[("transfer-encoding", "chunked"), ("content-length", "5")],
    ] {
        assert_eq!(post(bad), "malformed_request", "{bad:?}");
    }
}

#[test]
fn there_is_one_expectation_that_can_be_met() {
    assert_eq!(http1(&[GOOD[0], ("expect", "100-Continue")]), "");
    for bad in ["foo", "y 100-continue", "100-continue, x", ""] {
        assert_eq!(http1(&[GOOD[0], ("expect", bad)]), "expectation_failed", "{bad}");
    }
    let twice = [GOOD[0], ("expect", "100-continue"), ("expect", "100-continue")];
    assert_eq!(http1(&twice), "expectation_failed");
}

#[test]
fn under_http2_the_authority_is_the_host() {
    assert_eq!(http2("http://gw.test/a", &[]), "");
    assert_eq!(http2("http://gw.test/a", &[("host", "GW.test")]), "");
    assert_eq!(http2("/a", &[("host", "gw.test")]), "");
    for (target, headers) in [
        ("http://gw.test/a", [("host", "evil.test")].as_slice()),
        ("http://gw.test/a", &[("host", "gw.test"), ("host", "gw.test")]),
        ("http://u:p@gw.test/a", &[]),
        ("https://gw.test/a", &[]),
        ("file://gw.test/a", &[]),
        ("/a", &[]),
    ] {
        assert_eq!(http2(target, headers), "malformed_request", "{target} {headers:?}");
    }
    assert_eq!(http2("*", &[("host", "gw.test")]), "ambiguous_path");
}

#[test]
fn under_http2_values_have_no_white_space_around_them() {
    for value in [" a", "a ", "\ta", "a\t"] {
        assert_eq!(http2("http://gw.test/a", &[("x-a", value)]), "malformed_request", "{value:?}");
    }
}

#[test]
fn a_websocket_is_seen_whatever_stands_beside_it() {
    for (value, seen) in
        [("websocket", true), ("h2c, WebSocket", true), ("h2c", false), ("websocket/13x", false)]
    {
        let parts = parts("GET", "/a", Version::HTTP_11, &[GOOD[0], ("upgrade", value)]);
        assert_eq!(Head::screen(&parts, false, 20, 4).unwrap().websocket, seen, "{value}");
    }
}
