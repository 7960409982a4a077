//! The ways of presenting keys: each takes its own form and no other, and none of it reaches the upstream.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::support::{Answer, Gateway, Upstream, key, vendor_key};

fn gateway(upstream: &Upstream, credentials: &str) -> Gateway {
    Gateway::over(upstream).top(&format!("credentials: {{ {credentials} }}")).log("trace").start()
}

/// A request with the vendor key of `acme` and these lines.
fn with(lines: &str) -> Vec<u8> {
    bare(&format!("X-Vendor-Key: {}\r\n{lines}", vendor_key("acme")))
}

fn bare(lines: &str) -> Vec<u8> {
    format!("GET /v1/appointments HTTP/1.1\r\nHost: gw.test\r\n{lines}\r\n").into_bytes()
}

fn bearer(text: &str) -> String {
    format!("Authorization: Bearer {text}\r\n")
}

fn basic(username: &str, key: &str) -> String {
    format!("Authorization: Basic {}\r\n", BASE64.encode(format!("{username}:{key}")))
}

fn in_header(key: &str) -> String {
    format!("X-Subscriber-Key: {key}\r\n")
}

/// The request passes, and the upstream sees whose it is and nothing of how that was shown.
#[track_caller]
fn passes(gateway: &Gateway, upstream: &Upstream, bytes: &[u8]) {
    let answer = gateway.send(bytes);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let seen = upstream.only();
    assert_eq!(seen.head.one("x-postern-key-owner"), Some("dr-lee"));
    for name in ["authorization", "x-subscriber-key", "x-username", "x-vendor-key"] {
        assert!(!seen.head.has(name), "{}", seen.head.text());
    }
}

/// An answer without its request's id and time.
fn face(answer: &Answer) -> String {
    let id = answer.head.one("x-request-id").unwrap_or("no id").to_owned();
    let head = answer.head.text();
    let lines = head.lines().filter(|line| !line.to_lowercase().starts_with("date:"));
    (lines.collect::<Vec<_>>().join("\n") + &answer.text()).replace(&id, "ID")
}

#[test]
fn a_bearer_key_passes_in_its_one_form() {
    let upstream = Upstream::ok();
    let gateway = gateway(&upstream, "schemes: [bearer]");
    let good = key("key-all");
    passes(&gateway, &upstream, &with(&bearer(&good)));
    passes(&gateway, &upstream, &with(&format!("authorization: bEARER {good}\r\n")));
    for wrong in [
        format!("Authorization: Bearer  {good}\r\n"),
        format!("Authorization: Bearer\t{good}\r\n"),
        format!("Authorization: Bearer {good}, Bearer {good}\r\n"),
        format!("Authorization: Bearer {good} x\r\n"),
        "Authorization: Bearer\r\n".to_owned(),
        bearer("wrong"),
        bearer(&vendor_key("acme")),
    ] {
        gateway.refuses(&upstream, &with(&wrong), 401, "invalid_credentials");
    }
    for missing in [in_header(&good), basic("dr-lee", &good), "Authorization: Digest x\r\n".into()]
    {
        gateway.refuses(&upstream, &with(&missing), 401, "subscriber_key_missing");
    }
    gateway.refuses(&upstream, &bare(&bearer(&good)), 401, "vendor_key_missing");
    let twice = bearer(&good) + &bearer(&good);
    gateway.refuses(&upstream, &with(&twice), 400, "duplicate_credentials");
}

#[test]
fn basic_takes_the_owner_and_the_key() {
    let upstream = Upstream::ok();
    let gateway = gateway(&upstream, "schemes: [basic]");
    let good = key("key-all");
    passes(&gateway, &upstream, &with(&basic("dr-lee", &good)));
    let wrong = [
        basic("dr-who", &good),
        basic("", &good),
        basic("DR-LEE", &good),
        basic("dr-lee", "wrong"),
        basic("dr-lee", ""),
        basic("dr-lee", &vendor_key("acme")),
        "Authorization: Basic !!!\r\n".to_owned(),
        "Authorization: Basic\r\n".to_owned(),
        format!("Authorization: Basic {}\r\n", BASE64.encode(&good)),
    ];
    let answers = wrong.iter().map(|lines| gateway.send(&with(lines)));
    let mut faces: Vec<String> = answers.map(|answer| face(&answer)).collect();
    assert!(faces[0].contains(" 401 ") && faces[0].contains("invalid_credentials"), "{}", faces[0]);
    faces.dedup();
    assert_eq!(faces.len(), 1, "{faces:#?}");
    upstream.assert_untouched("wrong keys");
    gateway.refuses(&upstream, &with(&bearer(&good)), 401, "subscriber_key_missing");
}

#[test]
fn the_username_header_stands_beside_the_key() {
    let upstream = Upstream::ok();
    let gateway = gateway(&upstream, "schemes: [username_header]");
    let good = in_header(&key("key-all"));
    let named = |name: &str| format!("X-Username: {name}\r\n");
    passes(&gateway, &upstream, &with(&(good.clone() + &named("dr-lee"))));
    for wrong in [
        good.clone(),
        good.clone() + &named("dr-who"),
        good.clone() + &named(""),
        in_header("wrong") + &named("dr-lee"),
    ] {
        gateway.refuses(&upstream, &with(&wrong), 401, "invalid_credentials");
    }
    gateway.refuses(&upstream, &with(&named("dr-lee")), 401, "subscriber_key_missing");
    let twice = good + &named("dr-lee") + &named("dr-lee");
    gateway.refuses(&upstream, &with(&twice), 400, "duplicate_credentials");
}

#[test]
fn of_several_schemes_a_request_uses_one() {
    let upstream = Upstream::ok();
    let gateway = gateway(&upstream, "schemes: [headers, bearer, basic]");
    let good = key("key-all");
    for one in [in_header(&good), bearer(&good), basic("dr-lee", &good)] {
        passes(&gateway, &upstream, &with(&one));
    }
    for two in [
        in_header(&good) + &bearer(&good),
        in_header(&good) + &basic("dr-lee", &good),
        in_header("wrong") + &bearer(&good),
        bearer(&good) + &basic("dr-lee", &good),
    ] {
        gateway.refuses(&upstream, &with(&two), 400, "duplicate_credentials");
    }
    let challenges = gateway.send(&bare(""));
    assert!(challenges.head.all("www-authenticate").len() == 3, "{}", challenges.head.text());
}

#[test]
fn an_optional_vendor_key_is_genuine_where_it_is_sent() {
    let upstream = Upstream::ok();
    let gateway = gateway(&upstream, "vendor_key: optional");
    let good = in_header(&key("key-all"));
    passes(&gateway, &upstream, &bare(&good));
    passes(&gateway, &upstream, &with(&good));
    let wrong = good + "X-Vendor-Key: wrong\r\n";
    gateway.refuses(&upstream, &bare(&wrong), 401, "invalid_credentials");
    // Bound to a vendor, it cannot do without one.
    let bound = in_header(&key("key-bound"));
    gateway.refuses(&upstream, &bare(&bound), 401, "vendor_key_missing");
}

#[test]
fn without_vendor_keys_their_header_means_nothing_and_stays_here() {
    let upstream = Upstream::ok();
    let gateway = gateway(&upstream, "vendor_key: off");
    let good = in_header(&key("key-all"));
    passes(&gateway, &upstream, &bare(&good));
    passes(&gateway, &upstream, &bare(&(good + "X-Vendor-Key: wrong\r\nX-Vendor-Key: two\r\n")));
}
