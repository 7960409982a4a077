//! What the gateway says of itself to strangers, and of a key to whoever holds it.

use serde_json::{Value, json};

use super::support::admin::Client;
use super::support::fixture::{key, key_id, operator, request, vendor_key};
use super::support::{Answer, Gateway, Upstream};

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
    assert_eq!((&told["limits"], &told["expires_at"]), (&Value::Null, &Value::Null));
    let path = format!("/keys/{}", key_id("key-mixed"));
    let limits = json!({ "rate": "600/min", "burst": 100 });
    let ends = "2099-01-01T00:00:00.000000Z";
    let wanted = json!({ "limits": limits, "expires_at": ends, "permissions": {} });
    assert_eq!(admin(&gateway).patch(&path, &wanted).status, 200);
    let told = gateway.request("GET", WHO_AM_I, "key-mixed").json();
    assert_eq!((&told["limits"], &told["expires_at"]), (&limits, &json!(ends)));
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
    assert_eq!(ask("/v1/appointments").code(), "permission_denied", "the key may, the token not");
    assert_eq!(admin(&gateway).delete(&format!("/keys/{id}")).status, 200);
    assert_eq!(ask("/v1/patients").code(), "key_revoked");
}
