//! Keys over the admin API: what they are, how they change, and where their secrets are.

use serde_json::json;

use crate::support::admin::{Office, assert_refused, faulty_fields};

const KEY_FIELDS: &str = "id practice name description owner created_by created_at api permissions \
    vendor preview status expires_at rotate_due last_used_at requests_today error_rate_today \
    replaces replaced_by allowed_ips limits";

#[test]
fn a_key_has_the_fields_of_the_contract_and_its_secret_once() {
    let office = Office::furnished();
    let made = office.key("north");
    let id = made["id"].as_str().unwrap();
    let seen = office.operator.see(&format!("/keys/{id}"));
    let fields: Vec<&str> = seen.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(fields, KEY_FIELDS.split_whitespace().collect::<Vec<_>>());
    assert_eq!(seen["status"], "active");
    assert_eq!(seen["created_by"], "root");
    assert_eq!(seen["permissions"]["patient"], "read");
    assert_eq!((&seen["requests_today"], &seen["error_rate_today"]), (&json!(0), &json!(0.0)));
    let secret = made["key"].as_str().unwrap();
    assert!(secret.starts_with("pst_sub_"), "the kind of the key is in its form");
    let list = office.operator.see("/practices/north/keys");
    assert_eq!(list["items"], json!([seen]));
    for text in [list.to_string(), office.operator.see("/audit").to_string()] {
        assert!(!text.contains(secret), "the secret again");
        for hidden in ["argon2", "digest", "sealed"] {
            assert!(!text.contains(hidden), "{hidden} in {text}");
        }
    }
}

#[test]
fn every_fault_of_a_body_is_named() {
    let office = Office::furnished();
    let operator = &office.operator;
    let body = json!({
        "nmae": "x", "owner": 7, "permissions": { "patient": "reed" }, "expires_at": "soon",
        "allowed_ips": ["10.0.0.0/8", "nowhere"], "limits": { "rate": "fast", "brust": 1 },
    });
    let fields = faulty_fields(&operator.post("/practices/north/keys", &body));
    for field in [
        "nmae",
        "owner",
        "permissions.patient",
        "expires_at",
        "allowed_ips[1]",
        "limits.rate",
        "name",
    ] {
        assert!(fields.iter().any(|named| named == field), "{field} is not in {fields:?}");
    }
    for (change, field) in [
        (json!({ "permissions": { "patients": "read" } }), "permissions.patients"),
        (json!({ "owner": "nobody" }), "owner"),
        (json!({ "api": "nope" }), "api"),
        (json!({ "vendor": "nope" }), "vendor"),
        (json!({ "expires_at": "2001-01-01T00:00:00Z" }), "expires_at"),
    ] {
        let mut body = json!({ "name": "x", "owner": "lee", "api": "standard" });
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let fields = faulty_fields(&operator.post("/practices/north/keys", &body));
        assert!(fields.iter().any(|named| named.starts_with(field)), "{field}: {fields:?}");
    }
}

#[test]
fn a_key_is_edited_but_never_its_api() {
    let office = Office::furnished();
    let operator = &office.operator;
    let path = format!("/keys/{}", office.key("north")["id"].as_str().unwrap());
    let change = json!({
        "description": "two\nlines", "vendor": "acme", "allowed_ips": ["192.0.2.7/24", "::1"],
        "limits": { "rate": "600/min", "burst": 100 }, "expires_at": "2099-01-01T01:00:00+01:00",
    });
    let changed = operator.patch(&path, &change).json();
    assert_eq!(changed["allowed_ips"], json!(["192.0.2.0/24", "::1"]));
    assert_eq!(changed["limits"], json!({ "rate": "600/min", "burst": 100 }));
    assert_eq!(changed["expires_at"], "2099-01-01T00:00:00.000000Z");
    assert_eq!(operator.patch(&path, &json!({ "enabled": false })).json()["status"], "disabled");
    let emptied = json!({ "vendor": null, "limits": null, "expires_at": null, "enabled": true });
    let emptied = operator.patch(&path, &emptied).json();
    assert_eq!((&emptied["vendor"], &emptied["status"]), (&json!(null), &json!("active")));
    let refused = operator.patch(&path, &json!({ "api": "other" }));
    assert_eq!(faulty_fields(&refused), ["api"]);
    assert!(refused.text().contains("is fixed when a key is made"), "{}", refused.text());
    assert_eq!(faulty_fields(&operator.patch(&path, &json!({ "name": null }))), ["name"]);
}

#[test]
fn rotating_links_two_keys_and_ends_the_old_one() {
    let office = Office::furnished();
    let operator = &office.operator;
    let old = office.key("north");
    let path = format!("/keys/{}", old["id"].as_str().unwrap());
    let new = operator.make(&format!("{path}/rotate"), &json!({ "overlap": "24h" }));
    assert_ne!(office.keep(&new["key"]), old["key"].as_str().unwrap());
    assert_eq!(new["replaces"], old["id"]);
    let seen = operator.see(&path);
    assert_eq!((&seen["replaced_by"], &seen["status"]), (&new["id"], &json!("active")));
    assert!(seen["expires_at"].is_string(), "the end of the overlap");
    let again = operator.post(&format!("{path}/rotate"), &json!({ "overlap": "1h" }));
    assert_eq!(again.status, 409, "{}", again.text());
    let bad = operator.post(
        &format!("/keys/{}/rotate", new["id"].as_str().unwrap()),
        &json!({ "overlap": "long" }),
    );
    assert_eq!(faulty_fields(&bad), ["overlap"]);
}

#[test]
fn revoking_again_gives_the_same_receipt() {
    let office = Office::furnished();
    let operator = &office.operator;
    let path = format!("/keys/{}", office.key("north")["id"].as_str().unwrap());
    let first = operator.delete(&path);
    assert_eq!(first.status, 200, "{}", first.text());
    let receipt = first.json();
    assert!(receipt["revoked_at"].is_string(), "{receipt}");
    let nodes = receipt["nodes"].as_array().unwrap();
    assert_eq!(nodes.len(), 1, "{receipt}");
    assert!(nodes[0]["node"].is_string() && nodes[0]["applied_at"].is_string(), "{receipt}");
    assert_eq!(operator.delete(&path).json(), receipt);
    assert_eq!(operator.see(&path)["status"], "revoked");
    let reveal = operator.post(&format!("{path}/reveal"), &json!({}));
    assert_eq!(reveal.status, 409, "{}", reveal.text());
}

#[test]
fn a_secret_is_shown_again_only_where_the_configuration_says_so() {
    let office = Office::furnished();
    let path = format!("/keys/{}/reveal", office.key("north")["id"].as_str().unwrap());
    assert_refused(&office.operator.post(&path, &json!({})), 409, "not_revealable");

    let office = Office::with("keys:\n  reveal: always");
    let operator = &office.operator;
    operator.make("/practices", &json!({ "id": "north", "name": "North" }));
    operator.make("/practices/north/users", &json!({ "username": "lee", "name": "Lee" }));
    let made = office.key("north");
    let path = format!("/keys/{}/reveal", made["id"].as_str().unwrap());
    let auditor = office.admin("alex", "auditor", None);
    assert_refused(&auditor.post(&path, &json!({})), 403, "forbidden");
    let shown = operator.post(&path, &json!({}));
    assert_eq!((shown.status, &shown.json()["key"]), (200, &made["key"]));
    let audit = operator.see("/audit?limit=1");
    assert_eq!(audit["items"][0]["username"], "root");
    assert!(audit["items"][0]["action"].as_str().unwrap().contains("reveal"), "{audit}");
    assert!(!audit.to_string().contains(made["key"].as_str().unwrap()));
}
