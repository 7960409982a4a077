//! The practice that every suite talks to: its route map, its keys, and requests with them.

use serde_json::{Value, json};

use super::template::Template;

/// Name, API and permissions of each subscriber key. All belong to practice `north`. Their ids are the registry's choice:
/// [`key_id`] tells them.
pub(crate) const KEYS: [(&str, &str, &str); 8] = [
    ("key-all", "standard", WRITE),
    ("key-none", "standard", r#"{"patient":"none","files":"none"}"#),
    ("key-read", "standard", READ),
    ("key-wo", "standard", WRITE_ONLY),
    ("key-mixed", "standard", r#"{"appointment":"read","patient":"write","files":"write-only"}"#),
    ("key-scope", "standard", r#"{"billing.invoices":"write"}"#),
    ("key-bound", "standard", WRITE),
    ("key-other", "other", WRITE),
];

const WRITE: &str = r#"{"appointment":"write","clinical":"write","contact":"write","files":"write",
    "financial":"write","patient":"write","system":"write","billing":"write"}"#;
const READ: &str = r#"{"appointment":"read","clinical":"read","contact":"read","files":"read",
    "financial":"read","patient":"read","system":"read","billing":"read"}"#;
const WRITE_ONLY: &str = r#"{"appointment":"write-only","clinical":"write-only","contact":"write-only",
    "files":"write-only","financial":"write-only","patient":"write-only","system":"write-only",
    "billing":"write-only"}"#;

pub(crate) const VENDORS: [&str; 2] = ["acme", "beta"];

/// What every secret in this suite contains: found in any output, it is a leak.
pub(crate) const SECRET: &str = "0f1e2d3c4b5a69788796a5b4";

pub(crate) fn key(id: &str) -> String {
    format!("sk-{id}-{SECRET}c3d2e1f00f1e2d3c")
}

pub(crate) fn vendor_key(vendor: &str) -> String {
    format!("vk-{vendor}-{SECRET}c3d2e1f00f1e2d3c")
}

/// The practice, its user, the vendors and all keys, as `postern import` takes them.
pub(crate) fn import_lines() -> String {
    let mut lines = vec![
        json!({ "kind": "practice", "id": "north", "name": "North Clinic", "api_access": true }),
        json!({ "kind": "user", "practice": "north", "username": "dr-lee", "name": "Dr Lee" }),
    ];
    for vendor in VENDORS {
        lines.push(json!({ "kind": "vendor", "id": vendor, "name": vendor, "status": "approved" }));
        let key = vendor_key(vendor);
        lines.push(json!({ "kind": "vendor_key", "vendor": vendor, "key": key, "random": true }));
    }
    for (name, api, permissions) in KEYS {
        let permissions: Value = serde_json::from_str(permissions).unwrap();
        let mut line = json!({ "kind": "key", "practice": "north", "name": name, "owner": "dr-lee", "api": api,
                               "permissions": permissions, "key": key(name), "random": true });
        if name == "key-bound" {
            line["vendor"] = "beta".into();
        }
        lines.push(line);
    }
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// The id of a key, by its name.
pub(crate) fn key_id(name: &str) -> &'static str {
    Template::get().key_id(name)
}

/// The name of a key, by its id.
pub(crate) fn key_name(id: &str) -> Option<&'static str> {
    Template::get().key_name(id)
}

/// The token of an operator of every gateway's store.
pub(crate) fn operator() -> &'static str {
    Template::get().operator()
}

/// Whether a text has a secret in it: one of the fixture's, or anything with the form of what the gateway makes.
pub(crate) fn has_secret(text: &str) -> bool {
    let is_long = |rest: &str| {
        rest.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_').count() > 30
    };
    text.contains(SECRET) || text.split("pst_").skip(1).any(is_long)
}

/// Both credential headers of a key, with vendor `acme`, and a Host.
pub(crate) fn credentials(id: &str) -> String {
    format!(
        "Host: gw.test\r\nX-Subscriber-Key: {}\r\nX-Vendor-Key: {}\r\n",
        key(id),
        vendor_key("acme")
    )
}

/// A whole request without a body.
pub(crate) fn request(method: &str, target: &str, id: &str) -> Vec<u8> {
    request_with(method, target, id, "", "")
}

/// A whole request; `extra` lines end in CRLF; a body brings its Content-Length.
pub(crate) fn request_with(
    method: &str,
    target: &str,
    id: &str,
    extra: &str,
    body: &str,
) -> Vec<u8> {
    let length =
        if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    let credentials = credentials(id);
    format!("{method} {target} HTTP/1.1\r\n{credentials}{extra}{length}\r\n{body}").into_bytes()
}

pub(crate) const ROUTES: &str = r#"version: 1
categories:
  billing: { title: Billing, scopes: { invoices: Invoices, claims: Claims } }
routes:
  - path: /v1/appointments/**
    category: appointment
  - path: /v1/appointments/{id:int}
    category: appointment
    methods: [GET, PUT]
  - path: /v1/patients
    category: patient
    when:
      - { query: include, contains: notes, requires: { clinical: read } }
      - { header: X-On-Behalf-Of, requires: { system: write } }
  - path: /v1/patients/search
    category: patient
    methods: { POST: read }
  - path: /v1/patients/{id}
    category: patient
  - path: /v1/patients/{id}/notes
    category: clinical
  - path: /v1/patients/{id}/summary
    requires: { patient: read, clinical: read }
  - path: /v1/patients/{id}/transfer
    requires: { patient: read, clinical: write }
    methods: [POST]
  - path: /v1/status
    public: true
  - path: /v1/internal/**
    deny: true
  - path: /v1/internal/open
    category: system
  - path: /v1/live
    category: appointment
    websocket: true
  - path: /v1/invoices
    category: billing.invoices
  - path: /v1/claims
    category: billing.claims
  - path: /v1/billing/**
    category: billing
  - path: /v1/files/**
    category: files
  - path: /v1/files/{id:uuid}
    category: contact
  - path: /v1/export
    category: files
    max_body: 200MiB
"#;

pub(crate) const OTHER_ROUTES: &str = "version: 1
routes:
  - path: /other/**
    category: patient
";
