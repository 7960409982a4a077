//! Who is calling: missing, wrong, doubled and misplaced keys (AU).

use super::support::fixture::{SECRET, request_with};
use super::support::{Answer, Gateway, Upstream, key, vendor_key};

fn with(lines: &str) -> Vec<u8> {
    at("/v1/appointments", lines)
}

fn at(target: &str, lines: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nHost: gw.test\r\n{lines}\r\n").into_bytes()
}

fn both() -> String {
    format!("X-Subscriber-Key: {}\r\nX-Vendor-Key: {}\r\n", key("key-all"), vendor_key("acme"))
}

#[test]
fn without_a_key_nothing_passes() {
    let upstream = Upstream::ok();
    let gateway = Gateway::over(&upstream).log("trace").start();
    let subscriber = format!("X-Subscriber-Key: {}\r\n", key("key-all"));
    let vendor = format!("X-Vendor-Key: {}\r\n", vendor_key("acme"));
    gateway.refuses(&upstream, &with(""), 401, "subscriber_key_missing");
    gateway.refuses(&upstream, &with(&vendor), 401, "subscriber_key_missing");
    gateway.refuses(&upstream, &with(&subscriber), 401, "vendor_key_missing");
    let authorization = format!("Authorization: Bearer {}\r\n", key("key-all"));
    gateway.refuses(&upstream, &with(&(authorization + &vendor)), 401, "subscriber_key_missing");
    let cookie = format!("Cookie: X-Subscriber-Key={}\r\n", key("key-all"));
    gateway.refuses(&upstream, &with(&(cookie + &vendor)), 401, "subscriber_key_missing");
    gateway.assert_alive(&upstream);
}

/// An answer without what differs from request to request.
fn face(answer: &Answer) -> String {
    let id = answer.head.one("x-request-id").unwrap_or("no id").to_owned();
    let head: String = answer
        .head
        .text()
        .lines()
        .filter(|line| !line.to_lowercase().starts_with("date:"))
        .collect::<Vec<_>>()
        .join("\n");
    (head + "\n" + &answer.text()).replace(&id, "ID")
}

#[test]
fn every_wrong_key_gets_the_same_answer() {
    let upstream = Upstream::ok();
    let gateway = Gateway::over(&upstream).log("trace").start();
    let (good, vendor) = (key("key-all"), vendor_key("acme"));
    let mut last = good.clone();
    last.pop();
    let pairs: Vec<(String, String)> = vec![
        ("wrong".into(), vendor.clone()),
        (good.clone(), "wrong".into()),
        ("wrong".into(), "wrong".into()),
        (vendor.clone(), good.clone()),
        (vendor.clone(), vendor.clone()),
        (good.clone(), good.clone()),
        (good.to_uppercase(), vendor.clone()),
        (last.clone(), vendor.clone()),
        (last + "X", vendor.clone()),
        (good.clone() + "x", vendor.clone()),
        (format!("{good},{good}"), vendor.clone()),
        (format!("Bearer {good}"), vendor.clone()),
        ("x".repeat(3000), vendor.clone()),
        ("pst_sub_000000000000_0_000000".into(), vendor.clone()),
        ("'; DROP TABLE keys; --".into(), vendor),
        (key("key-bound"), "wrong".into()),
    ];
    let mut faces = Vec::new();
    for (subscriber, vendor) in &pairs {
        let bytes = with(&format!("X-Subscriber-Key: {subscriber}\r\nX-Vendor-Key: {vendor}\r\n"));
        let answer = gateway.send(&bytes);
        assert_eq!(answer.status, 401, "{subscriber} {vendor}");
        assert_eq!(answer.code(), "invalid_credentials", "{subscriber} {vendor}");
        assert!(answer.head.one("www-authenticate").is_some(), "{}", answer.head.text());
        faces.push(face(&answer));
        upstream.assert_untouched(subscriber);
    }
    faces.dedup();
    assert_eq!(faces.len(), 1, "{faces:#?}");
    gateway.assert_alive(&upstream);
}

#[test]
fn a_stranger_learns_nothing_of_the_routes() {
    let upstream = Upstream::ok();
    let gateway = Gateway::over(&upstream).log("trace").start();
    let targets = [
        "/v1/appointments",
        "/v1/nothing",
        "/v1/internal/x",
        "/",
        "/other/x",
        "/v1/live",
        "/v1/patients/7/summary",
        "/v1/patients?include=notes",
        "/healthz",
        "/.well-known/postern/whoami",
    ];
    for lines in ["", "X-Subscriber-Key: wrong\r\nX-Vendor-Key: wrong\r\n"] {
        let mut faces: Vec<String> =
            targets.iter().map(|target| face(&gateway.send(&at(target, lines)))).collect();
        let stranger = faces[0].clone();
        assert!(stranger.contains(" 401 "), "{stranger}");
        faces.retain(|face| *face != stranger);
        assert!(faces.is_empty(), "{stranger}\n{faces:#?}");
        for method in ["POST", "PUT", "PATCH", "DELETE"] {
            let bytes =
                format!("{method} /v1/patients/7/summary HTTP/1.1\r\nHost: gw.test\r\n{lines}\r\n");
            assert_eq!(face(&gateway.send(bytes.as_bytes())), stranger, "{method}");
        }
    }
    upstream.assert_untouched("strangers");
}

#[test]
fn a_credential_twice_is_refused_whichever_is_good() {
    let upstream = Upstream::ok();
    let gateway = Gateway::over(&upstream).log("trace").start();
    let (good, vendor) = (key("key-all"), vendor_key("acme"));
    for twice in [
        format!("X-Subscriber-Key: {good}\r\nX-Subscriber-Key: bad\r\n"),
        format!("X-Subscriber-Key: bad\r\nX-Subscriber-Key: {good}\r\n"),
        format!("X-Subscriber-Key: {good}\r\nX-Subscriber-Key: {good}\r\n"),
        format!("X-Subscriber-Key: {good}\r\nx-subscriber-key: {good}\r\n"),
        format!("X-Subscriber-Key: {good}\r\nX-Subscriber-Key:\r\n"),
    ] {
        let bytes = with(&format!("{twice}X-Vendor-Key: {vendor}\r\n"));
        gateway.refuses(&upstream, &bytes, 400, "duplicate_credentials");
    }
    let bytes = with(&format!("{}X-Vendor-Key: {vendor}\r\n", both()));
    gateway.refuses(&upstream, &bytes, 400, "duplicate_credentials");
    let other = with(&format!("{}X_Subscriber_Key: {good}\r\n", both()));
    gateway.refuses(&upstream, &other, 400, "");
    gateway.assert_alive(&upstream);
}

#[test]
fn a_credential_in_the_query_is_refused_and_never_repeated() {
    let upstream = Upstream::ok();
    let gateway = Gateway::over(&upstream).log("trace").start();
    let good = key("key-all");
    let queries = [
        format!("api_key={good}"),
        format!("apikey={good}"),
        format!("access_token={good}"),
        format!("X-Subscriber-Key={good}"),
        format!("x-subscriber-key={good}"),
        format!("X-Vendor-Key={good}"),
        format!("a=b&api_key={good}"),
        "api_key=".to_owned(),
        "api_key".to_owned(),
        "API_KEY=x".to_owned(),
        "api%5Fkey=x".to_owned(),
        "%61pi_key=x".to_owned(),
        "q=pst_sub_abcdefghijkl_x_y".to_owned(),
        "q=pst_ven_abcdefghijkl_x_y".to_owned(),
        "q=%70st_sub_abcdefghijkl_x_y".to_owned(),
    ];
    for query in &queries {
        for lines in [both(), String::new()] {
            let bytes = at(&format!("/v1/appointments?{query}"), &lines);
            gateway.refuses(&upstream, &bytes, 400, "credentials_in_query");
        }
    }
    let fine = at("/v1/appointments?keyword=api_key&my_api_key=x", &both());
    assert_eq!(gateway.send(&fine).status, 200);
    upstream.take();
    gateway.assert_alive(&upstream);
}

#[test]
fn keys_never_reach_the_upstream() {
    let upstream = Upstream::ok();
    let gateway = Gateway::over(&upstream).log("trace").start();
    for extra in ["", "Connection: X-Subscriber-Key\r\n", "Trailer: X-Subscriber-Key\r\n"] {
        let bytes = request_with("POST", "/v1/appointments", "key-all", extra, "body");
        assert_eq!(gateway.send(&bytes).status, 200, "{extra:?}");
        let seen = upstream.only();
        assert!(!seen.head.text().contains(SECRET), "{}", seen.head.text());
        assert!(!seen.head.has("x-subscriber-key") && !seen.head.has("x-vendor-key"));
    }
    let chunked = format!(
        "POST /v1/appointments HTTP/1.1\r\nHost: gw.test\r\n{}Transfer-Encoding: chunked\r\n\r\n\
         1\r\nx\r\n0\r\nX-Subscriber-Key: {}\r\n\r\n",
        both(),
        key("key-all")
    );
    assert_eq!(gateway.send(chunked.as_bytes()).status, 200);
    assert!(!upstream.only().head.text().contains(SECRET));
}

#[test]
fn a_key_in_a_trailer_is_no_key() {
    let upstream = Upstream::ok();
    let gateway = Gateway::over(&upstream).log("trace").start();
    let bytes = format!(
        "POST /v1/appointments HTTP/1.1\r\nHost: gw.test\r\nX-Vendor-Key: {}\r\nTransfer-Encoding: chunked\r\n\r\n\
         1\r\nx\r\n0\r\nX-Subscriber-Key: {}\r\n\r\n",
        vendor_key("acme"),
        key("key-all")
    );
    gateway.refuses(&upstream, bytes.as_bytes(), 401, "subscriber_key_missing");
}

#[test]
fn a_key_put_into_the_path_by_mistake_is_nowhere_in_the_log_or_the_answer() {
    let upstream = Upstream::ok();
    let gateway = Gateway::over(&upstream).log("trace").start();
    // `send` and the end of `gateway` look for the secret in the answer and in all that was logged.
    for target in [format!("/v1/nothing/{}", key("key-all")), format!("/{}", vendor_key("acme"))] {
        assert_eq!(gateway.send(&at(&target, &both())).status, 403);
        assert_eq!(gateway.send(&at(&target, "")).status, 401);
        assert_eq!(gateway.send(&at(&(target + "/../x"), "")).status, 400);
    }
    assert!(!gateway.admin_get("/metrics").text().contains(SECRET));
}

#[test]
fn other_header_names_can_be_configured_and_the_usual_ones_are_then_ordinary() {
    let upstream = Upstream::ok();
    let names = "credentials: { subscriber_header: X-Api-Key, vendor_header: X-Partner }";
    let gateway = Gateway::over(&upstream).top(names).start();
    let lines = format!("X-Api-Key: {}\r\nX-Partner: {}\r\n", key("key-all"), vendor_key("acme"));
    assert_eq!(gateway.send(&with(&lines)).status, 200);
    let seen = upstream.only();
    assert!(!seen.head.has("x-api-key") && !seen.head.has("x-partner"), "{}", seen.head.text());
    gateway.refuses(&upstream, &with(&both()), 401, "subscriber_key_missing");
    let query = at("/v1/appointments?x-api-key=1", &lines);
    gateway.refuses(&upstream, &query, 400, "credentials_in_query");
}
