//! What the gateway says of itself to strangers, and of a key to whoever holds it.

use serde_json::{Value, json};

use super::support::admin::Client;
use super::support::fixture::{key, key_id, operator, request, vendor_key};
use super::support::{Answer, Gateway, Upstream, eventually};

const WHO_AM_I: &str = "/.well-known/postern/whoami";

fn admin(gateway: &Gateway) -> Client {
    Client::bearer(gateway.admin, operator())
}

fn list(values: &Value) -> Vec<&str> {
    values.as_array().unwrap().iter().map(|value| value.as_str().unwrap()).collect()
}

#[test]
fn a_key_is_told_what_it_may() {
    let upstream = Upstream::ok();
    let gateway = Gateway::over(&upstream).start();
    let answer = gateway.request("GET", WHO_AM_I, "key-mixed");
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.head.one("cache-control"), Some("no-store"));
    let told = answer.json();
    assert_eq!((&told["practice"], &told["vendor"]), (&json!("north"), &json!("acme")));
    assert_eq!((&told["key"], &told["name"]), (&json!(key_id("key-mixed")), &json!("key-mixed")));
    assert_eq!((&told["api"], &told["owner"]), (&json!("standard"), &json!("dr-lee")));
    assert_eq!(list(&told["scopes"]), ["appointment:read", "files:write-only", "patient:write"]);
    assert_eq!((&told["limits"], &told["limits_mode"]), (&json!([]), &json!("enforce")));
    assert_eq!(told["expires_at"], Value::Null);
    let path = format!("/keys/{}", key_id("key-mixed"));
    let limits = json!({ "rate": "600/min", "burst": 100 });
    let ends = "2099-01-01T00:00:00.000000Z";
    let wanted = json!({ "limits": limits, "expires_at": ends, "permissions": {} });
    assert_eq!(admin(&gateway).patch(&path, &wanted).status, 200);
    let told = gateway.request("GET", WHO_AM_I, "key-mixed").json();
    let left = json!([{ "limit": "key", "allowed": "600/min", "burst": 100, "remaining": 100, "full_in_s": 0 }]);
    assert_eq!((&told["limits"], &told["expires_at"]), (&left, &json!(ends)));
    assert_eq!(list(&told["scopes"]), [""; 0]);
    upstream.assert_untouched("the gateway answers itself");
}

#[test]
fn it_is_refused_as_any_request_would_be() {
    let gateway = Gateway::over(&Upstream::ok()).start();
    let refusal = |bytes: &[u8]| {
        let answer = gateway.send(bytes);
        (answer.status, answer.code())
    };
    let stranger = format!("GET {WHO_AM_I} HTTP/1.1\r\nHost: gw.test\r\n\r\n");
    assert_eq!(refusal(stranger.as_bytes()), (401, "subscriber_key_missing".to_owned()));
    let with = |id: &str| request("GET", WHO_AM_I, id);
    assert_eq!(refusal(&with("nobody")), (401, "invalid_credentials".to_owned()));
    assert_eq!(refusal(&with("key-bound")), (403, "vendor_mismatch".to_owned()));
    // Only GET and HEAD are answered here; the rest is a path that no rule speaks of.
    let posted = request("POST", WHO_AM_I, "key-all");
    assert_eq!(refusal(&posted), (403, "route_unmapped".to_owned()));
    assert_eq!(gateway.request("HEAD", WHO_AM_I, "key-all").status, 200);
    assert_eq!(admin(&gateway).delete(&format!("/keys/{}", key_id("key-all"))).status, 200);
    assert_eq!(refusal(&with("key-all")), (401, "key_revoked".to_owned()));
    let off = json!({ "api_access": false });
    assert_eq!(admin(&gateway).patch("/practices/north", &off).status, 200);
    assert_eq!(refusal(&with("key-read")), (403, "api_access_disabled".to_owned()));
}

#[test]
fn strangers_learn_how_to_call_and_401s_name_the_schemes() {
    let upstream = Upstream::ok();
    let schemes = "credentials: { schemes: [bearer, basic, oauth2], vendor_key: optional }";
    let gateway = Gateway::over(&upstream).top(schemes).start();
    let ask = |target: &str| -> Answer {
        gateway.send(format!("GET {target} HTTP/1.1\r\nHost: gw.test\r\n\r\n").as_bytes())
    };
    let told = ask("/.well-known/postern").json();
    assert_eq!(list(&told["schemes"]), ["bearer", "basic", "oauth2"]);
    assert_eq!(told["headers"], json!({ "vendor": "X-Vendor-Key" }));
    assert_eq!(told["token_endpoint"], "/oauth2/token");
    assert_eq!(told["revocation_endpoint"], "/oauth2/revoke");
    let refused = ask("/v1/appointments");
    assert_eq!(refused.code(), "subscriber_key_missing");
    let challenges = refused.head.all("www-authenticate");
    assert_eq!(challenges, ["Bearer", "Basic realm=\"postern\""]);
    let usual = Gateway::over(&upstream).start();
    let refused = usual.send(b"GET /v1/x HTTP/1.1\r\nHost: gw.test\r\n\r\n");
    assert_eq!(refused.head.all("www-authenticate"), ["ApiKey"]);
}

#[test]
fn a_token_is_told_what_it_was_narrowed_to() {
    let upstream = Upstream::ok();
    let schemes = "credentials: { schemes: [headers, oauth2] }";
    let gateway = Gateway::over(&upstream).top(schemes).start();
    let (id, secret) = (key_id("key-mixed"), key("key-mixed"));
    let form = format!(
        "grant_type=client_credentials&client_id={id}&client_secret={secret}&scope=patient:read"
    );
    let post = format!(
        "POST /oauth2/token HTTP/1.1\r\nHost: gw.test\r\nContent-Length: {}\r\n\
         Content-Type: application/x-www-form-urlencoded\r\n\r\n{form}",
        form.len()
    );
    let mut wire = gateway.wire();
    wire.send(post.as_bytes());
    let granted = wire.answer();
    assert_eq!(granted.status, 200, "{}", granted.text());
    let token = granted.json()["access_token"].as_str().unwrap().to_owned();
    let ask = |target: &str| {
        let vendor = vendor_key("acme");
        let bytes = format!(
            "GET {target} HTTP/1.1\r\nHost: gw.test\r\nAuthorization: Bearer {token}\r\n\
             X-Vendor-Key: {vendor}\r\n\r\n"
        );
        gateway.send(bytes.as_bytes())
    };
    let told = ask(WHO_AM_I).json();
    assert_eq!(list(&told["scopes"]), ["patient:read"]);
    assert_eq!(told["key"], id);
    assert!(told["token_expires_at"].is_string(), "{told}");
    assert_eq!(ask("/v1/patients").status, 200);
    let seen = upstream.only();
    assert!(!seen.head.has("authorization") && !seen.head.has("x-vendor-key"));
    let refused = ask("/v1/appointments");
    assert_eq!(refused.code(), "permission_denied", "the key may, the token not");
    assert!(refused.text().contains("this token was made for `none`"), "{}", refused.text());
    assert_eq!(admin(&gateway).delete(&format!("/keys/{id}")).status, 200);
    assert_eq!(ask("/v1/patients").code(), "key_revoked");
}

/// Slow enough that nothing comes back while a test runs.
const LIMITS: &str = "limits:\n  key: { rate: 24/d, burst: 20 }\n  vendor: { rate: 48/d }\n  \
    practice: { rate: 96/d }\n  category: { files: { rate: 10/d }, patient: { rate: 30/d } }\n  \
    daily_quota: { requests: 1000, bytes: 1MiB }\n  max_concurrent_per_key: 8";

/// By name: what is left.
fn left(told: &Value) -> Vec<(&str, u64)> {
    let one = |item: &'_ Value| item["remaining"].as_u64().unwrap();
    let items = told["limits"].as_array().unwrap();
    items.iter().map(|item| (item["limit"].as_str().unwrap(), one(item))).collect()
}

#[test]
fn it_tells_what_is_left_of_every_limit_and_takes_nothing() {
    let upstream = Upstream::ok();
    let gateway = Gateway::over(&upstream).top(LIMITS).start();
    for _ in 0..3 {
        assert_eq!(gateway.get("/v1/appointments").status, 200);
    }
    assert_eq!(gateway.get("/v1/files/1").status, 200);
    let ask = || gateway.request("GET", WHO_AM_I, "key-all");
    let mut wanted = vec![
        ("key", 16),
        ("category:files", 9),
        ("category:patient", 30),
        ("vendor", 44),
        ("practice", 92),
        ("daily_requests", 996),
        ("daily_bytes", 1_048_576 - 4 * 2),
        ("concurrent", 8),
    ];
    wanted.sort_unstable();
    let mut told = Value::Null;
    // Requests are over a moment after their answers.
    eventually("all that was taken to be told", || {
        told = ask().json();
        let mut found = left(&told);
        found.sort_unstable();
        found == wanted
    });
    assert_eq!(told["limits_mode"], "enforce");
    assert_eq!(left(&told)[0], ("key", 16), "the tightest first: {told}");
    let item = |name: &str| {
        let items = told["limits"].as_array().unwrap();
        items.iter().find(|item| item["limit"] == name).unwrap().clone()
    };
    assert_eq!((&item("key")["allowed"], &item("key")["burst"]), (&json!("24/d"), &json!(20)));
    let full = item("key")["full_in_s"].as_u64().unwrap();
    assert!((3 * 3600..=4 * 3600).contains(&full), "four of them, an hour each: {full}");
    assert!((1..=86_400).contains(&item("daily_requests")["resets_in_s"].as_u64().unwrap()));
    assert_eq!(
        item("concurrent"),
        json!({ "limit": "concurrent", "allowed": "8 at once", "remaining": 8 })
    );
    for _ in 0..30 {
        let again = ask();
        assert_eq!((again.status, again.head.has("ratelimit")), (200, false), "{}", again.text());
    }
    assert_eq!(left(&ask().json()), left(&told), "looking takes nothing");
    // Somebody else's key, of the same vendor and practice.
    let told = gateway.request("GET", WHO_AM_I, "key-read").json();
    let of = |name: &str| left(&told).iter().find(|(known, _)| *known == name).unwrap().1;
    assert_eq!((of("key"), of("vendor"), of("practice"), of("daily_requests")), (20, 44, 92, 1000));
}

#[test]
fn where_limits_only_observe_what_is_left_is_told_all_the_same() {
    let upstream = Upstream::ok();
    let limits = "limits: { mode: observe, key: { rate: 24/d, burst: 2 } }";
    let gateway = Gateway::over(&upstream).top(limits).start();
    for _ in 0..5 {
        let answer = gateway.get("/v1/appointments");
        assert_eq!((answer.status, answer.head.has("ratelimit")), (200, false));
    }
    let told = gateway.request("GET", WHO_AM_I, "key-all").json();
    assert_eq!(told["limits_mode"], "observe");
    assert_eq!(left(&told), [("key", 0)]);
}
