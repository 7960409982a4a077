//! The practice that every suite talks to: its route map, its keys, and requests with them.

/// Id and permissions of each subscriber key. All belong to practice `north`, all but one to the API `standard`.
pub(crate) const KEYS: [(&str, &str, &str); 8] = [
    ("key-all", "standard", WRITE),
    ("key-none", "standard", "{ patient: none, files: none }"),
    ("key-read", "standard", READ),
    ("key-wo", "standard", WRITE_ONLY),
    ("key-mixed", "standard", "{ appointment: read, patient: write, files: write-only }"),
    ("key-scope", "standard", "{ billing.invoices: write }"),
    ("key-bound", "standard", WRITE),
    ("key-other", "other", WRITE),
];

const WRITE: &str = "{ appointment: write, clinical: write, contact: write, files: write, \
                     financial: write, patient: write, system: write, billing: write }";
const READ: &str = "{ appointment: read, clinical: read, contact: read, files: read, \
                    financial: read, patient: read, system: read, billing: read }";
const WRITE_ONLY: &str = "{ appointment: write-only, clinical: write-only, contact: write-only, \
                          files: write-only, financial: write-only, patient: write-only, \
                          system: write-only, billing: write-only }";

pub(crate) const VENDORS: [&str; 2] = ["acme", "beta"];

/// What every secret in this suite contains: found in any output, it is a leak.
pub(crate) const SECRET: &str = "0f1e2d3c4b5a69788796a5b4";

pub(crate) fn key(id: &str) -> String {
    format!("sk-{id}-{SECRET}c3d2e1f00f1e2d3c")
}

pub(crate) fn vendor_key(vendor: &str) -> String {
    format!("vk-{vendor}-{SECRET}c3d2e1f00f1e2d3c")
}

/// The `static_keys:` list.
pub(crate) fn static_keys() -> String {
    let mut yaml = "static_keys:\n".to_owned();
    for vendor in VENDORS {
        let secret = vendor_key(vendor);
        yaml += &format!("  - {{ kind: vendor, vendor: {vendor}, key: {secret} }}\n");
    }
    for (id, api, permissions) in KEYS {
        let bound = if id == "key-bound" { ", vendor: beta" } else { "" };
        let secret = key(id);
        yaml += &format!(
            "  - {{ kind: subscriber, id: {id}, practice: north, owner: dr-lee, api: {api}, \
             permissions: {permissions}{bound}, key: {secret} }}\n"
        );
    }
    yaml
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
