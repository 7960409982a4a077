//! A request target that could be read in two ways is refused, and not a byte of it is sent on (PA).

use super::support::fixture::{credentials, request_with};
use super::support::{Gateway, Upstream, request};

/// Origin-form targets that the gateway must call ambiguous. `\xNN` are bytes, written as Latin-1 characters.
pub(crate) const AMBIGUOUS: &[&str] = &[
    "/v1/../v1/patients",
    "/v1/patients/..",
    "/v1/patients/../patients",
    "/v1/./patients",
    "/v1/patients/.",
    "/.",
    "/..",
    "/../v1/patients",
    "/v1/%2e%2e/patients",
    "/v1/%2E%2e/patients",
    "/v1/.%2e/patients",
    "/v1/%2e./patients",
    "/v1/%2e/patients",
    "/v1/x/%2e%2e/patients",
    "/v1%2e/patients",
    "/v1/x/..%2fpatients",
    "/v1/x%2f..%2fpatients",
    "//evil.test/v1/patients",
    "//v1/patients",
    "///v1/patients",
    "/v1//patients",
    "/v1/patients//",
    "//",
    "/v1\\patients",
    "/v1/..\\admin",
    "/v1/patients\\",
    "/v1%5cpatients",
    "/v1%5Cpatients",
    "/v1%2fpatients",
    "/v1%2Fpatients",
    "/v1/patients%2f",
    "/v1/patients%2F7",
    "/v1/patients;a=b",
    "/v1/;/patients",
    "/v1/x/..;/patients",
    "/v1/patients;",
    "/v1/patients%3bx",
    "/v1/patients%3Bx%2Fy",
    "/api/admin%3Bx%2Fy",
    "/v1/%c0%af..%c0%afadmin",
    "/v1/%C0%AFpatients",
    "/v1/%e0%80%afx",
    "/v1/%f0%80%80%af",
    "/v1/%c0%ae%c0%ae/admin",
    "/v1/%ed%a0%80",
    "/v1/%f4%90%80%80",
    "/v1/%ff",
    "/v1/%c3",
    "/v1/%c3/%a9",
    "/v1/%80",
    "/v1\u{ef}\u{bc}\u{8f}patients",
    "/v1/patients/\u{c3}\u{a9}",
    "/v1/patients%00",
    "/v1/patients%00.json",
    "/v1/%00/patients",
    "/v1/patients%0a",
    "/v1/patients%0d%0aX-Evil:%201",
    "/v1/patients%09",
    "/v1/patients%1f",
    "/v1/patients%7f",
    "/v1/patients%7F",
    "/v1/patients%c2%80",
    "/v1/patients%c2%85",
    "/v1/%252e%252e/patients",
    "/v1/%25",
    "/v1/a%252fb",
    "/v1/%70atients",
    "/%76%31/patients",
    "/v1/patients%31",
    "/v1/patient%73",
    "/v1/patients%2d",
    "/v1/patients%5f",
    "/v1/patients%7e",
    "/v1/patients/%41",
    "/v1/patients%3f",
    "/v1/patients%3Finclude=notes",
    "/v1/patients%23",
    "/v1/patients#/../public",
    "/v1/status#/v1/patients",
    "/v1/patients#",
    "/v1/patients?a=b#c",
    "/v1/patients?#",
    "/v1/%",
    "/v1/%2",
    "/v1/%zz",
    "/v1/%2g",
    "/v1/%u002f",
    "/v1/patients%",
    "/v1/a|b",
    "/v1/a^b",
    "/v1/a{b}",
    "/v1/a\"b",
    "/v1/a[b]",
    "/v1%ef%bc%8fpatients",
    "/v1/patients%EF%BC%8F7",
    "/v1/[::1]",
];

/// Targets that the parser itself may refuse with a bare 400, or that are no origin-form.
pub(crate) const UNREADABLE: &[&str] = &[
    "v1/patients",
    "patients",
    "?a",
    "@evil.test",
    "gw.test:80",
    "gw.test",
    ":80",
    "evil.test:443",
    "javascript:1",
    "*",
    "\\v1\\patients",
    "%2fv1%2fpatients",
    "http:/v1/patients",
    "http:v1/patients",
    "http:///v1/patients",
    "http://",
    "/v1/a\u{1}b",
    "/v1/a\u{b}b",
    "/v1/a\u{c}b",
    "/v1/a\u{7f}b",
    "/v1/a\u{0}b",
    "/v1/a\tb",
    "/v1/a<b>",
    "/v1/a`b",
    "/v1/pat ients",
    " /v1/patients",
    "/v1/patients ",
    "/v1/patients\u{b}",
    "/v1/patients\u{a0}",
    "/v1/patients?a=\u{1}",
    "/v1/patients?a=\u{7f}",
    "/v1/patients?a=\u{0}",
    "/v1/patients?a b",
    "/v1/patients/\u{e9}",
];

/// Absolute-form: refused unless its authority is the Host, without user-info, over this scheme.
pub(crate) const ABSOLUTE: &[&str] = &[
    "http://evil.test/v1/patients",
    "HTTP://evil.test/v1/patients",
    "https://u:p@gw.test/v1/patients",
    "http://u:p@gw.test/v1/patients",
    "http://gw.test@evil.test/v1/patients",
    "http://evil.test@gw.test/v1/patients",
    "http://gw.test:81/v1/patients",
    "http://gw.test.evil.test/v1/patients",
    "ftp://gw.test/v1/patients",
    "file:///v1/patients",
    "http://gw.test/v1/../v1/patients",
    "http://gw.test//v1/patients",
    "http://gw.test/v1/patients#x",
    "http://gw.test/v1/%70atients",
    "http://evil.test?x",
    "http://evil.test",
];

pub(crate) fn latin(text: &str) -> Vec<u8> {
    text.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect()
}

/// A whole GET of a target of any bytes.
pub(crate) fn get(target: &str) -> Vec<u8> {
    let mut bytes = b"GET ".to_vec();
    bytes.extend(latin(target));
    bytes.extend(b" HTTP/1.1\r\n");
    bytes.extend(credentials("key-all").bytes());
    bytes.extend(b"\r\n");
    bytes
}

#[test]
fn a_target_of_two_readings_is_refused() {
    let upstream = Upstream::ok();
    let gateway = Gateway::over(&upstream).start();
    for target in AMBIGUOUS {
        gateway.refuses(&upstream, &get(target), 400, "ambiguous_path");
    }
    gateway.assert_alive(&upstream);
}

#[test]
fn the_refusal_does_not_depend_on_keys_or_method() {
    let upstream = Upstream::ok();
    let gateway = Gateway::over(&upstream).start();
    for target in AMBIGUOUS.iter().filter(|target| target.is_ascii()) {
        let stranger = format!("GET {target} HTTP/1.1\r\nHost: gw.test\r\n\r\n");
        gateway.refuses(&upstream, stranger.as_bytes(), 400, "ambiguous_path");
        let delete = request("DELETE", target, "key-all");
        gateway.refuses(&upstream, &delete, 400, "ambiguous_path");
    }
    gateway.assert_alive(&upstream);
}

#[test]
fn what_is_no_origin_form_is_refused() {
    let upstream = Upstream::ok();
    let gateway = Gateway::over(&upstream).start();
    for target in UNREADABLE {
        gateway.refuses(&upstream, &get(target), 400, "");
    }
    for line in ["OPTIONS *", "GET *", "CONNECT *", "OPTIONS gw.test:80"] {
        let bytes = format!("{line} HTTP/1.1\r\n{}\r\n", credentials("key-all"));
        gateway.refuses(&upstream, bytes.as_bytes(), 400, "");
    }
    gateway.assert_alive(&upstream);
}

#[test]
fn an_absolute_form_passes_only_where_it_says_the_same_as_host() {
    let upstream = Upstream::ok();
    let gateway = Gateway::over(&upstream).start();
    for target in ABSOLUTE {
        gateway.refuses(&upstream, &get(target), 400, "");
    }
    let same = gateway.send(&get("http://gw.test/v1/patients?a=b"));
    assert_eq!(same.status, 200, "{}", same.text());
    let seen = upstream.only();
    assert_eq!(seen.line(), "GET /v1/patients?a=b HTTP/1.1");
    assert_eq!(seen.head.one("host"), Some(upstream.address.to_string().as_str()));
}

#[test]
fn what_has_one_reading_is_forwarded_byte_for_byte() {
    let upstream = Upstream::ok();
    let gateway = Gateway::over(&upstream).start();
    let same = [
        "/v1/patients",
        "/v1/patients?",
        "/v1/patients??a",
        "/v1/patients?a=/../b;c=//d\\e",
        "/v1/patients?x=%2e%2e%2f&y=%00&z=%",
        "/v1/patients?a[]=1&b={c}|d^",
        "/v1/patients/%20",
        "/v1/patients/a%20b",
        "/v1/patients/%40",
        "/v1/patients/%2B",
        "/v1/patients/%C3%A9",
        "/v1/patients/%E2%82%AC",
        "/v1/patients/%F0%9F%98%80",
        "/v1/patients/a.b",
        "/v1/patients/.a",
        "/v1/patients/a..b",
        "/v1/patients/::$DATA",
        "/v1/patients/a@b:c!$&'()*+,=~_-",
        "/v1/appointments/**",
    ];
    for target in same {
        let answer = gateway.get(target);
        assert_eq!(answer.status, 200, "{target}: {}", answer.text());
        assert_eq!(upstream.only().line(), format!("GET {target} HTTP/1.1"));
    }
}

#[test]
fn a_triplet_in_lower_case_is_judged_and_sent_in_upper_case() {
    let upstream = Upstream::ok();
    let gateway = Gateway::over(&upstream).start();
    let answer = gateway.get("/v1/patients/%e2%82%ac?q=%e2");
    if answer.status == 200 {
        assert_eq!(upstream.only().line(), "GET /v1/patients/%E2%82%AC?q=%e2 HTTP/1.1");
    } else {
        assert_eq!(answer.code(), "ambiguous_path");
        upstream.assert_untouched("a lower-case triplet");
    }
}

#[test]
fn an_alias_of_another_system_is_another_path() {
    let upstream = Upstream::ok();
    let gateway = Gateway::over(&upstream).start();
    for target in ["/v1/patients%20", "/v1/patients::$DATA", "/v1/patientsx", "/v1/patients%C3%A9"]
    {
        gateway.refuses(&upstream, &get(target), 403, "route_unmapped");
    }
    gateway.assert_alive(&upstream);
}

#[test]
fn raw_bytes_in_a_query_are_refused_or_sent_as_they_are() {
    let upstream = Upstream::ok();
    let gateway = Gateway::over(&upstream).start();
    let answer = gateway.send(&get("/v1/patients?q=\u{c3}\u{a9}"));
    if answer.status == 200 {
        let head = upstream.only().head.raw;
        assert!(head.starts_with(b"GET /v1/patients?q=\xc3\xa9 HTTP/1.1\r\n"));
    } else {
        assert_eq!(answer.status, 400);
        upstream.assert_untouched("raw UTF-8 in a query");
    }
}

#[test]
fn the_body_of_a_refused_target_is_not_read_as_a_request() {
    let upstream = Upstream::ok();
    let gateway = Gateway::over(&upstream).start();
    let inner = String::from_utf8(request("GET", "/v1/appointments", "key-all")).unwrap();
    for target in ["/v1/../x", "//v1/patients", "/v1/%70atients"] {
        let bytes = request_with("POST", target, "key-all", "", &inner);
        gateway.refuses(&upstream, &bytes, 400, "ambiguous_path");
    }
    gateway.assert_alive(&upstream);
}
