//! Every path of the admin API, by every method, as every role, with the ids of its own practice and of another's; all
//! generated from the OpenAPI document, and the document held against what is answered.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::support::admin::{Client, Office};
use super::support::wire::Answer;

const METHODS: [&str; 5] = ["GET", "POST", "PUT", "PATCH", "DELETE"];

/// A path with ids of things that are there: those of a practice are new ones, since a DELETE that is allowed takes its
/// object away.
fn filled(office: &Office, practice: &str, path: &str) -> String {
    let operator = &office.operator;
    let new = |at: &str, body: &Value, secret: &str| {
        let made = operator.make(at, body);
        office.keep(&made[secret]);
        made["id"].as_str().unwrap().to_owned()
    };
    let username = if path.contains("/users/") { "lee" } else { "spare" };
    let mut filled = path.replace("{practice}", practice).replace("{username}", username);
    if path.contains("{key}") {
        filled = filled.replace("{key}", office.key(practice)["id"].as_str().unwrap());
    }
    if path.contains("{alert}") {
        // One that is there: of a key that ends soon.
        let end = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(48);
        let key = office.key(practice)["id"].as_str().unwrap().to_owned();
        operator.patch(&format!("/keys/{key}"), &json!({ "expires_at": end.to_string() }));
        let day: String = end.to_string().chars().take(10).collect();
        filled = filled.replace("{alert}", &format!("expiry_near:{key}:{day}:warning"));
    }
    if path.contains("{kid}") {
        filled = filled.replace("{kid}", &new("/vendors/acme/keys", &json!({}), "key"));
    }
    if path.contains("{token}") {
        let tokens = "/admins/spare/tokens";
        filled = filled.replace("{token}", &new(tokens, &json!({ "name": "t" }), "token"));
    }
    filled.replace("{vendor}", "acme")
}

/// A request that changes as little as it can; where it makes something, its content is refused, which comes after
/// every question of rights.
fn ask(client: &Client, method: &str, path: &str) -> Answer {
    let (kind, body): (&str, &[u8]) = match method {
        "GET" | "DELETE" => ("", b""),
        _ if path.ends_with("/import") => {
            ("Content-Type: application/jsonl\r\n", b"{\"kind\":\"x\"}\n")
        }
        _ => ("Content-Type: application/json\r\n", b"{\"no_such_field\":1}"),
    };
    client.raw(method, path, kind, body)
}

fn is_of_a_practice(path: &str) -> bool {
    path.contains("{practice}") || path.contains("{key}")
}

#[test]
fn every_path_by_every_method_as_every_role() {
    let office = Office::furnished();
    office.hired("spare", "auditor", None);
    let document = Client::stranger(office.address).see("/openapi.json");
    let roles = [
        ("operator", office.admin("ned", "operator", None)),
        ("auditor", office.admin("alex", "auditor", None)),
        ("practice-admin", office.admin("nora", "practice-admin", Some("north"))),
    ];
    let mut tried = 0;
    for (path, operations) in document["paths"].as_object().unwrap() {
        for method in METHODS {
            let operation = &operations[method.to_lowercase()];
            for (role, client) in &roles {
                for practice in ["north", "south"] {
                    let filled = filled(&office, practice, path);
                    let answer = ask(client, method, &filled);
                    tried += 1;
                    let shown =
                        format!("{role} {method} {filled}: {} {}", answer.status, answer.text());
                    assert_ne!(answer.status, 500, "{shown}");
                    if operation.is_null() {
                        assert_eq!(answer.status, 405, "{shown}");
                        continue;
                    }
                    let allowed = operation["x-postern-roles"].as_array().unwrap();
                    let is_public = allowed.is_empty();
                    let is_foreign =
                        *role == "practice-admin" && practice == "south" && is_of_a_practice(path);
                    if !is_public && !allowed.contains(&json!(role)) {
                        assert_eq!(
                            (answer.status, answer.code().as_str()),
                            (403, "forbidden"),
                            "{shown}"
                        );
                    } else if is_foreign {
                        assert_eq!(
                            (answer.status, answer.code().as_str()),
                            (404, "not_found"),
                            "{shown}"
                        );
                    } else {
                        assert!(![401, 403, 404].contains(&answer.status), "{shown}");
                        let documented = &operation["responses"][answer.status.to_string()];
                        assert!(documented.is_object(), "not in the document: {shown}");
                    }
                    restore(&office, path, method, &filled, answer.status);
                }
            }
        }
    }
    assert!(tried > 500, "{tried}");
}

/// Puts back what an allowed DELETE took away and the next rows need.
fn restore(office: &Office, path: &str, method: &str, filled: &str, status: u16) {
    if method != "DELETE" || status != 204 {
        return;
    }
    match path {
        "/api/v1/admins/{username}" => {
            office.hired("spare", "auditor", None);
        }
        "/api/v1/practices/{practice}/users/{username}" => {
            let users = filled.strip_suffix("/lee").unwrap().strip_prefix("/api/v1").unwrap();
            office.operator.make(users, &json!({ "username": "lee", "name": "Lee" }));
        }
        _ => {}
    }
}

#[test]
fn nobody_gets_in_without_credentials() {
    let office = Office::furnished();
    office.hired("spare", "auditor", None);
    let document = Client::stranger(office.address).see("/openapi.json");
    let nobody = Client::stranger(office.address);
    let clients = [
        nobody.clone(),
        nobody.with("Authorization: Bearer nonsense"),
        nobody.with("Cookie: postern_session=nonsense"),
    ];
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let is_public = operation["security"].as_array().is_some_and(Vec::is_empty);
            for client in &clients {
                let answer = ask(client, &method.to_uppercase(), &filled(&office, "north", path));
                let expected = if is_public { 200 } else { 401 };
                assert_eq!(answer.status, expected, "{method} {path}: {}", answer.text());
            }
        }
    }
}

/// The table of the contract, written out once more: the document cannot lose an endpoint or widen a right unseen.
#[test]
fn the_document_has_what_the_contract_promises() {
    let office = Office::open();
    let document = Client::stranger(office.address).see("/openapi.json");
    let validator = jsonschema::validator_for(&json!({
        "type": "object",
        "required": ["openapi", "info", "paths", "components"],
        "properties": { "openapi": { "const": "3.1.0" } },
    }));
    assert!(validator.unwrap().is_valid(&document));
    let (all, seers) = ("operator practice-admin auditor", "operator auditor");
    let (managers, operators) = ("operator practice-admin", "operator");
    let mut expected = HashSet::new();
    for (method, path, roles) in [
        ("get", "/practices", all),
        ("post", "/practices", operators),
        ("get", "/practices/{practice}", all),
        ("patch", "/practices/{practice}", managers),
        ("get", "/practices/{practice}/users", all),
        ("post", "/practices/{practice}/users", managers),
        ("get", "/practices/{practice}/users/{username}", all),
        ("patch", "/practices/{practice}/users/{username}", managers),
        ("delete", "/practices/{practice}/users/{username}", managers),
        ("get", "/practices/{practice}/keys", all),
        ("post", "/practices/{practice}/keys", managers),
        ("get", "/keys/{key}", all),
        ("patch", "/keys/{key}", managers),
        ("delete", "/keys/{key}", managers),
        ("post", "/keys/{key}/rotate", managers),
        ("post", "/keys/{key}/reveal", managers),
        ("get", "/vendors", all),
        ("post", "/vendors", operators),
        ("get", "/vendors/{vendor}", all),
        ("patch", "/vendors/{vendor}", operators),
        ("get", "/vendors/{vendor}/keys", seers),
        ("post", "/vendors/{vendor}/keys", operators),
        ("delete", "/vendors/{vendor}/keys/{kid}", operators),
        ("get", "/admins", seers),
        ("post", "/admins", operators),
        ("get", "/admins/{username}", seers),
        ("patch", "/admins/{username}", operators),
        ("delete", "/admins/{username}", operators),
        ("get", "/admins/{username}/tokens", seers),
        ("post", "/admins/{username}/tokens", operators),
        ("delete", "/admins/{username}/tokens/{token}", operators),
        ("get", "/keys/{key}/usage", all),
        ("get", "/keys/{key}/activity", all),
        ("get", "/keys/{key}/limits", all),
        ("get", "/practices/{practice}/limits", all),
        ("get", "/vendors/{vendor}/limits", seers),
        ("get", "/activity", seers),
        ("get", "/practices/{practice}/usage", all),
        ("get", "/practices/{practice}/alerts", all),
        ("post", "/practices/{practice}/alerts/{alert}/acknowledge", managers),
        ("get", "/audit", all),
        ("get", "/audit/verify", seers),
        ("get", "/routes", all),
        ("post", "/routes/explain", all),
        ("post", "/import", operators),
        ("get", "/export", seers),
        ("get", "/me", all),
        ("get", "/session", all),
        ("get", "/openapi.json", ""),
    ] {
        let mut roles: Vec<&str> = roles.split_whitespace().collect();
        roles.sort_unstable();
        expected.insert((method.to_owned(), format!("/api/v1{path}"), roles.join(" ")));
    }
    let found = promised(&document);
    let missing: Vec<_> = expected.difference(&found).collect();
    let more: Vec<_> = found.difference(&expected).collect();
    assert!(missing.is_empty() && more.is_empty(), "missing {missing:?}, more {more:?}");
}

/// Method, path and roles of every operation in the document.
fn promised(document: &Value) -> HashSet<(String, String, String)> {
    let mut found = HashSet::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let roles = operation["x-postern-roles"].as_array().unwrap();
            let mut roles: Vec<&str> = roles.iter().filter_map(Value::as_str).collect();
            roles.sort_unstable();
            found.insert((method.clone(), path.clone(), roles.join(" ")));
        }
    }
    found
}
