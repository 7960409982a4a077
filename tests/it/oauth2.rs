//! OAuth2: client credentials (RFC 6749), tokens that die with their key, and revocation (RFC 7009).

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use super::support::admin::Client;
use super::support::fixture::{key_id, operator};
use super::support::{Answer, Gateway, Upstream, eventually, key, vendor_key};

fn gateway(upstream: &Upstream) -> Gateway {
    with(upstream, "schemes: [headers, oauth2]")
}

fn with(upstream: &Upstream, credentials: &str) -> Gateway {
    Gateway::over(upstream).top(&format!("credentials: {{ {credentials} }}")).log("trace").start()
}

const FORM: &str = "Content-Type: application/x-www-form-urlencoded\r\n";

/// Not by `Gateway::send`, which takes a token in an answer for a leak.
fn post(gateway: &Gateway, path: &str, lines: &str, body: &str) -> Answer {
    let length = body.len();
    let head =
        format!("POST {path} HTTP/1.1\r\nHost: gw.test\r\n{lines}Content-Length: {length}\r\n\r\n");
    let mut wire = gateway.wire();
    wire.send((head + body).as_bytes());
    let answer = wire.answer();
    assert_eq!(answer.head.all("cache-control"), ["no-store"], "{}", answer.head.text());
    answer
}

fn basic(id: &str, secret: &str) -> String {
    format!("{FORM}Authorization: Basic {}\r\n", BASE64.encode(format!("{id}:{secret}")))
}

fn client(name: &str) -> String {
    format!("client_id={}&client_secret={}", key_id(name), key(name))
}

fn ask(gateway: &Gateway, body: &str) -> Answer {
    post(gateway, "/oauth2/token", FORM, body)
}

/// A token of a key, for a scope or for all that the key may.
fn token(gateway: &Gateway, name: &str, scope: &str) -> String {
    let body = format!("grant_type=client_credentials&{}&scope={scope}", client(name));
    given(&ask(gateway, &body))["access_token"].as_str().unwrap().to_owned()
}

#[track_caller]
fn given(answer: &Answer) -> Value {
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.head.one("pragma"), Some("no-cache"));
    assert_eq!(answer.head.one("content-type"), Some("application/json"));
    let json = answer.json();
    assert_eq!(json["token_type"], "Bearer");
    json
}

#[track_caller]
fn refused(answer: &Answer, status: u16, error: &str) {
    assert_eq!(
        (answer.status, &answer.json()["error"]),
        (status, &json!(error)),
        "{}",
        answer.text()
    );
    assert_eq!(answer.head.one("pragma"), Some("no-cache"));
    let challenge = answer.head.one("www-authenticate").is_some_and(|it| it.starts_with("Basic "));
    assert_eq!(challenge, status == 401, "{}", answer.head.text());
}

fn call(target: &str, token: &str) -> Vec<u8> {
    let vendor = vendor_key("acme");
    format!(
        "GET {target} HTTP/1.1\r\nHost: gw.test\r\nAuthorization: Bearer {token}\r\nX-Vendor-Key: {vendor}\r\n\r\n"
    )
    .into_bytes()
}

#[test]
fn a_client_gets_a_token_by_the_body_or_by_basic_and_calls_with_it() {
    let upstream = Upstream::ok();
    let gateway = gateway(&upstream);
    let by_body = ask(&gateway, &format!("grant_type=client_credentials&{}", client("key-all")));
    let lines = basic(key_id("key-all"), &key("key-all"));
    let by_basic = post(&gateway, "/oauth2/token", &lines, "grant_type=client_credentials");
    for answer in [by_body, by_basic] {
        let json = given(&answer);
        assert_eq!(json["expires_in"], 3600);
        assert!(json["scope"].as_str().unwrap().contains("patient:write"), "{json}");
        let token = json["access_token"].as_str().unwrap();
        assert_eq!(gateway.send(&call("/v1/patients", token)).status, 200);
        let seen = upstream.only();
        assert_eq!(seen.head.one("x-postern-key-id"), Some(key_id("key-all")));
        assert!(!seen.head.has("authorization"), "{}", seen.head.text());
    }
}

#[test]
fn the_secret_part_of_an_issued_key_is_enough() {
    let upstream = Upstream::ok();
    let gateway = gateway(&upstream);
    let admin = Client::bearer(gateway.admin, operator());
    let wanted = json!({ "name": "OAuth", "owner": "dr-lee", "api": "standard", "permissions": { "patient": "read" } });
    let made = admin.make("/practices/north/keys", &wanted);
    let (id, whole) = (made["id"].as_str().unwrap(), made["key"].as_str().unwrap());
    let part = whole.split('_').nth(3).unwrap();
    for secret in [whole, part] {
        let lines = basic(id, secret);
        let answer = post(&gateway, "/oauth2/token", &lines, "grant_type=client_credentials");
        assert_eq!(given(&answer)["scope"], "patient:read");
        let body = format!("grant_type=client_credentials&client_id={id}&client_secret={secret}");
        given(&ask(&gateway, &body));
    }
    let other = basic(key_id("key-all"), part);
    let answer = post(&gateway, "/oauth2/token", &other, "grant_type=client_credentials");
    refused(&answer, 401, "invalid_client");
}

#[test]
fn a_scope_narrows_a_token_and_never_widens_it() {
    let upstream = Upstream::ok();
    let gateway = gateway(&upstream);
    let narrow = token(&gateway, "key-all", "patient:read");
    assert_eq!(gateway.send(&call("/v1/patients", &narrow)).status, 200);
    upstream.only();
    gateway.refuses(&upstream, &call("/v1/appointments", &narrow), 403, "permission_denied");
    for more in
        ["clinical:read", "patient:write+clinical:read", "nobody:read", "patient", "patient:all"]
    {
        let body = format!("grant_type=client_credentials&{}&scope={more}", client("key-mixed"));
        refused(&ask(&gateway, &body), 400, "invalid_scope");
    }
    let invoices = token(&gateway, "key-scope", "billing.invoices:write");
    assert_eq!(gateway.send(&call("/v1/invoices", &invoices)).status, 200);
    upstream.only();
}

#[test]
fn what_is_no_request_for_a_token_is_refused_as_the_rfc_says() {
    let upstream = Upstream::ok();
    let gateway = gateway(&upstream);
    let good = client("key-all");
    let whole = format!("grant_type=client_credentials&{good}");
    refused(&ask(&gateway, &good), 400, "invalid_request");
    let password = format!("grant_type=password&{good}");
    refused(&ask(&gateway, &password), 400, "unsupported_grant_type");
    refused(&ask(&gateway, &format!("{whole}&grant_type=x")), 400, "invalid_request");
    refused(&ask(&gateway, &format!("{whole}&client_id=x")), 400, "invalid_request");
    let json = "Content-Type: application/json\r\n";
    refused(&post(&gateway, "/oauth2/token", json, "{}"), 400, "invalid_request");
    refused(&post(&gateway, "/oauth2/token", "", &whole), 400, "invalid_request");
    let both = basic(key_id("key-all"), &key("key-all"));
    refused(&post(&gateway, "/oauth2/token", &both, &whole), 400, "invalid_request");
    for (lines, body) in [(&*both, "grant_type=client_credentials"), (FORM, &*whole)] {
        let beside = format!("{lines}X-Subscriber-Key: {}\r\n", key("key-all"));
        refused(&post(&gateway, "/oauth2/token", &beside, body), 400, "invalid_request");
    }
    refused(&post(&gateway, "/oauth2/token?a=b", FORM, &whole), 400, "invalid_request");
    let get = gateway.send(b"GET /oauth2/token HTTP/1.1\r\nHost: gw.test\r\n\r\n");
    refused(&get, 400, "invalid_request");
    let queried = post(&gateway, "/oauth2/token?client_secret=x", FORM, &whole);
    assert_eq!((queried.status, queried.code().as_str()), (400, "credentials_in_query"));
    let large = post(&gateway, "/oauth2/token", FORM, &format!("{whole}&x={}", "x".repeat(8192)));
    assert_eq!((large.status, large.code().as_str()), (413, "body_too_large"));
    upstream.assert_untouched("tokens");
}

#[test]
fn every_wrong_client_gets_the_same_answer() {
    let upstream = Upstream::ok();
    let gateway = gateway(&upstream);
    let (id, good) = (key_id("key-all"), key("key-all"));
    let part = "0".repeat(43);
    let wrong = [
        (id, "wrong"),
        (id, &*part),
        ("000000000000", &*good),
        (key_id("key-read"), &*good),
        ("", &*good),
        ("x", "y"),
        (id, "pst_sub_000000000000_0_000000"),
    ];
    let mut bodies = Vec::new();
    for (id, secret) in wrong {
        let answer =
            post(&gateway, "/oauth2/token", &basic(id, secret), "grant_type=client_credentials");
        refused(&answer, 401, "invalid_client");
        bodies.push(answer.text());
    }
    let body = format!("grant_type=client_credentials&client_id={id}&client_secret=wrong");
    let answer = ask(&gateway, &body);
    refused(&answer, 401, "invalid_client");
    bodies.push(answer.text());
    bodies.dedup();
    assert_eq!(bodies.len(), 1, "{bodies:#?}");
    refused(&ask(&gateway, "grant_type=client_credentials"), 401, "invalid_client");
}

#[test]
fn a_token_that_nobody_issued_is_a_wrong_key() {
    let upstream = Upstream::ok();
    let gateway = gateway(&upstream);
    let good = token(&gateway, "key-all", "");
    let mut changed = good.clone();
    changed.replace_range(20..21, if &good[20..21] == "A" { "B" } else { "A" });
    for wrong in ["pst_tok_", "pst_tok_AAAA", "x", &changed, &format!("{good}A"), &key("key-all")] {
        gateway.refuses(&upstream, &call("/v1/patients", wrong), 401, "invalid_credentials");
    }
    // A token is for `Authorization` alone, and needs its vendor key like any other credential.
    let lines = format!("X-Subscriber-Key: {good}\r\nX-Vendor-Key: {}\r\n", vendor_key("acme"));
    let in_header = format!("GET /v1/patients HTTP/1.1\r\nHost: gw.test\r\n{lines}\r\n");
    gateway.refuses(&upstream, in_header.as_bytes(), 401, "invalid_credentials");
    let alone = format!(
        "GET /v1/patients HTTP/1.1\r\nHost: gw.test\r\nAuthorization: Bearer {good}\r\n\r\n"
    );
    gateway.refuses(&upstream, alone.as_bytes(), 401, "vendor_key_missing");
}

#[test]
fn a_revoked_token_is_dead_at_once_and_others_live() {
    let upstream = Upstream::ok();
    let gateway = gateway(&upstream);
    let (one, other) = (token(&gateway, "key-all", ""), token(&gateway, "key-all", ""));
    let of_another = token(&gateway, "key-read", "");
    assert_eq!(gateway.send(&call("/v1/patients", &one)).status, 200);
    upstream.only();
    let revoke = |token: &str| {
        post(&gateway, "/oauth2/revoke", FORM, &format!("{}&token={token}", client("key-all")))
    };
    for _ in 0..2 {
        assert_eq!(revoke(&one).status, 200);
        gateway.refuses(&upstream, &call("/v1/patients", &one), 401, "invalid_credentials");
    }
    assert_eq!(revoke("pst_tok_AAAA").status, 200);
    assert_eq!(revoke("unknown").status, 200);
    refused(&revoke(&of_another), 400, "unauthorized_client");
    refused(&revoke(""), 400, "invalid_request");
    let stranger = format!("client_id=x&client_secret=y&token={other}");
    refused(&post(&gateway, "/oauth2/revoke", FORM, &stranger), 401, "invalid_client");
    for alive in [&other, &of_another] {
        assert_eq!(gateway.send(&call("/v1/patients", alive)).status, 200);
        upstream.only();
    }
}

#[test]
fn a_token_dies_with_its_key_and_its_practice() {
    let upstream = Upstream::ok();
    let gateway = gateway(&upstream);
    let admin = Client::bearer(gateway.admin, operator());
    let text = token(&gateway, "key-read", "");
    let switch = |on: bool| {
        let answer = admin.patch("/practices/north", &json!({ "api_access": on }));
        assert_eq!(answer.status, 200, "{}", answer.text());
    };
    switch(false);
    gateway.refuses(&upstream, &call("/v1/patients", &text), 403, "api_access_disabled");
    let body = format!("grant_type=client_credentials&{}", client("key-read"));
    refused(&ask(&gateway, &body), 400, "unauthorized_client");
    switch(true);
    assert_eq!(gateway.send(&call("/v1/patients", &text)).status, 200);
    upstream.only();
    assert_eq!(admin.delete(&format!("/keys/{}", key_id("key-read"))).status, 200);
    gateway.refuses(&upstream, &call("/v1/patients", &text), 401, "key_revoked");
    refused(&ask(&gateway, &body), 401, "invalid_client");
}

#[test]
fn a_key_of_a_vendor_gets_its_token_at_its_addresses_and_while_its_practice_is_on() {
    let upstream = Upstream::ok();
    let gateway = gateway(&upstream);
    let admin = Client::bearer(gateway.admin, operator());
    let patch = |path: &str, change: Value| {
        let answer = admin.patch(path, &change);
        assert_eq!(answer.status, 200, "{}", answer.text());
    };
    let body = format!("grant_type=client_credentials&{}", client("key-bound"));
    let path = format!("/keys/{}", key_id("key-bound"));
    given(&ask(&gateway, &body));
    patch(&path, json!({ "allowed_ips": ["192.0.2.0/24"] }));
    refused(&ask(&gateway, &body), 400, "unauthorized_client");
    patch(&path, json!({ "allowed_ips": ["127.0.0.0/8", "::1"] }));
    given(&ask(&gateway, &body));
    patch("/practices/north", json!({ "api_access": false }));
    refused(&ask(&gateway, &body), 400, "unauthorized_client");
}

#[test]
fn a_key_that_is_revoked_while_its_body_is_on_the_way_gets_no_token() {
    let upstream = Upstream::ok();
    let gateway = gateway(&upstream);
    let admin = Client::bearer(gateway.admin, operator());
    let body = format!("grant_type=client_credentials&{}", client("key-read"));
    given(&ask(&gateway, &body));
    let length = body.len();
    let head = format!(
        "POST /oauth2/token HTTP/1.1\r\nHost: gw.test\r\n{FORM}Content-Length: {length}\r\n\r\n"
    );
    let (first, rest) = body.as_bytes().split_at(10);
    let mut wire = gateway.wire();
    wire.send(&[head.as_bytes(), first].concat());
    // Long enough for the gateway to have begun with it.
    std::thread::sleep(std::time::Duration::from_millis(200));
    assert_eq!(admin.delete(&format!("/keys/{}", key_id("key-read"))).status, 200);
    wire.send(rest);
    refused(&wire.answer(), 401, "invalid_client");
}

#[test]
fn a_token_ends_after_its_time() {
    let upstream = Upstream::ok();
    let gateway = with(&upstream, "schemes: [oauth2], token_ttl: 1s");
    let body = format!("grant_type=client_credentials&{}", client("key-all"));
    let json = given(&ask(&gateway, &body));
    assert_eq!(json["expires_in"], 1);
    let token = json["access_token"].as_str().unwrap();
    eventually("the end of the token", || {
        let answer = gateway.send(&call("/v1/patients", token));
        upstream.take();
        answer.status == 401 && answer.code() == "invalid_credentials"
    });
}

#[test]
fn the_endpoints_are_where_the_configuration_says_and_only_where_oauth2_is_on() {
    let upstream = Upstream::ok();
    let off = with(&upstream, "schemes: [headers, bearer]");
    let body = format!("grant_type=client_credentials&{}", client("key-all"));
    for path in ["/oauth2/token", "/oauth2/revoke"] {
        let answer = post(&off, path, FORM, &body);
        assert_eq!((answer.status, answer.code().as_str()), (401, "subscriber_key_missing"));
    }
    let moved = with(&upstream, "schemes: [oauth2], token_path: /auth/t");
    given(&post(&moved, "/auth/t", FORM, &body));
    let revoked = format!("{}&token=x", client("key-all"));
    assert_eq!(post(&moved, "/auth/revoke", FORM, &revoked).status, 200);
    let usual = post(&moved, "/oauth2/token", FORM, &body);
    assert_eq!((usual.status, usual.code().as_str()), (401, "subscriber_key_missing"));
}
