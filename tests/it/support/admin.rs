//! A gateway with its administrators, and a client for its admin API: JSON over raw HTTP.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::eventually;
use super::fixture::{OTHER_ROUTES, ROUTES};
use super::gateway::{BINARY, listen_to, listening};
use super::wire::{Answer, Wire};

/// A running gateway of two practices, with somebody of every role.
pub(crate) struct Office {
    child: Child,
    /// Removed with it.
    directory: TempDir,
    pub(crate) address: SocketAddr,
    pub(crate) gateway: SocketAddr,
    stderr: Arc<Mutex<String>>,
    /// Everything an answer gave as a secret: none may be in the log.
    secrets: Mutex<Vec<String>>,
    pub(crate) operator: Client,
}

impl Drop for Office {
    fn drop(&mut self) {
        let alive = self.child.try_wait().is_ok_and(|status| status.is_none());
        drop(self.child.kill());
        drop(self.child.wait());
        let said = self.stderr.lock().unwrap().clone();
        if std::thread::panicking() {
            let tail: Vec<&str> = said.lines().rev().take(20).collect();
            super::say(&format!("--- what postern said, newest first:\n{}", tail.join("\n")));
            return;
        }
        assert!(alive, "postern died:\n{said}");
        assert!(!said.contains("panicked at"), "a panic:\n{said}");
        for secret in self.secrets.lock().unwrap().iter() {
            assert!(!said.contains(secret), "a secret in the log:\n{said}");
        }
    }
}

impl Office {
    pub(crate) fn open() -> Self {
        Self::with("")
    }

    /// With more top-level YAML.
    pub(crate) fn with(top: &str) -> Self {
        let directory = TempDir::new().unwrap();
        write(directory.path(), top);
        let made = create_operator(directory.path());
        let mut child = Command::new(BINARY)
            .args(["serve", "--config"])
            .arg(directory.path().join("postern.yaml"))
            .env("POSTERN_LOG", "trace")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = listen_to(child.stdout.take().unwrap());
        let stderr = listen_to(child.stderr.take().unwrap());
        let mut found = None;
        eventually("the line `listening gateway=…`", || {
            if let Some(status) = child.try_wait().unwrap() {
                panic!("postern ended with {status}:\n{}", stderr.lock().unwrap());
            }
            found = listening(&stdout.lock().unwrap());
            found.is_some()
        });
        let (gateways, address) = found.unwrap();
        let operator = Client::bearer(address, made["token"].as_str().unwrap());
        let secrets = ["token", "password"].map(|name| made[name].as_str().unwrap().to_owned());
        let secrets = Mutex::new(secrets.into());
        Self { child, directory, address, gateway: gateways[0], stderr, secrets, operator }
    }

    /// Practices `north` and `south`, each with a user `lee`; vendors `acme`, approved, and `beta`, pending.
    pub(crate) fn furnished() -> Self {
        Self::furnished_with("")
    }

    /// The same, with more top-level YAML.
    pub(crate) fn furnished_with(top: &str) -> Self {
        let office = Self::with(top);
        let operator = &office.operator;
        for practice in ["north", "south"] {
            operator.make("/practices", &json!({ "id": practice, "name": practice }));
            let users = format!("/practices/{practice}/users");
            operator.make(&users, &json!({ "username": "lee", "name": "Dr Lee" }));
        }
        operator.make("/vendors", &json!({ "id": "acme", "name": "Acme", "status": "approved" }));
        operator.make("/vendors", &json!({ "id": "beta", "name": "Beta" }));
        office
    }

    /// A new administrator, by a bearer token of its own.
    pub(crate) fn admin(&self, username: &str, role: &str, practice: Option<&str>) -> Client {
        self.hired(username, role, practice).0
    }

    /// The same, with its password.
    pub(crate) fn hired(
        &self,
        username: &str,
        role: &str,
        practice: Option<&str>,
    ) -> (Client, String) {
        let wanted = json!({ "username": username, "role": role, "practice": practice });
        let made = self.operator.make("/admins", &wanted);
        let password = self.keep(&made["password"]);
        let tokens = format!("/admins/{username}/tokens");
        let made = self.operator.make(&tokens, &json!({ "name": "test" }));
        (Client::bearer(self.address, &self.keep(&made["token"])), password)
    }

    /// A key of a practice's user `lee`.
    pub(crate) fn key(&self, practice: &str) -> Value {
        let wanted = json!({
            "name": "Intake", "owner": "lee", "api": "standard", "permissions": { "patient": "read" },
        });
        let made = self.operator.make(&format!("/practices/{practice}/keys"), &wanted);
        self.keep(&made["key"]);
        made
    }

    /// Everything that was kept, to look for.
    pub(crate) fn secrets(&self) -> Vec<String> {
        self.secrets.lock().unwrap().clone()
    }

    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Remembers a secret, which must never be in the log.
    pub(crate) fn keep(&self, secret: &Value) -> String {
        let secret = secret.as_str().expect("a secret").to_owned();
        assert!(secret.len() >= 12, "no secret: {secret}");
        self.secrets.lock().unwrap().push(secret.clone());
        secret
    }
}

fn write(directory: &Path, top: &str) {
    let yaml = format!(
        "listen:\n  gateway: 127.0.0.1:0\n  admin: 127.0.0.1:0\nupstreams:\n  practice:\n    url: http://127.0.0.1:9\n\
         apis:\n  standard:\n    mount: /v1\n    upstream: practice\n    routes: routes.yaml\n  other:\n    \
         mount: /other\n    upstream: practice\n    routes: other.yaml\nproxy:\n  workers: 1\n{top}\n"
    );
    for (name, text) in
        [("routes.yaml", ROUTES), ("other.yaml", OTHER_ROUTES), ("postern.yaml", yaml.as_str())]
    {
        std::fs::write(directory.join(name), text).unwrap();
    }
}

/// On the store that nobody serves yet.
fn create_operator(directory: &Path) -> Value {
    let made = Command::new(BINARY)
        .args(["admins", "create", "--username", "root", "--role", "operator", "--config"])
        .arg(directory.join("postern.yaml"))
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    serde_json::from_slice(&made.stdout).unwrap()
}

/// Somebody who calls the admin listener.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    address: SocketAddr,
    /// Header lines of every request.
    headers: String,
}

impl Client {
    pub(crate) fn stranger(address: SocketAddr) -> Self {
        Self { address, headers: String::new() }
    }

    pub(crate) fn bearer(address: SocketAddr, token: &str) -> Self {
        Self::stranger(address).with(&format!("Authorization: Bearer {token}"))
    }

    /// With one more header line.
    pub(crate) fn with(&self, line: &str) -> Self {
        Self { headers: format!("{}{line}\r\n", self.headers), ..self.clone() }
    }

    /// A request to any path of the listener, its body as it is.
    pub(crate) fn raw(&self, method: &str, path: &str, headers: &str, body: &[u8]) -> Answer {
        let length = if body.is_empty() && method != "POST" {
            String::new()
        } else {
            format!("Content-Length: {}\r\n", body.len())
        };
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n{}{headers}{length}\r\n",
            self.headers
        );
        let mut wire = Wire::to(self.address);
        wire.send(&[head.as_bytes(), body].concat());
        let answer = wire.answer_to(method);
        let answer = answer.unwrap_or_else(|| panic!("no answer to {method} {path}"));
        assert!(answer.complete, "{method} {path}: cut off");
        assert!(!answer.head.has("access-control-allow-origin"), "{method} {path}: CORS");
        assert_eq!(answer.head.one("cache-control"), Some("no-store"), "{method} {path}");
        answer
    }

    /// A GET with the same headers to another listener.
    pub(crate) fn elsewhere(&self, address: SocketAddr, path: &str) -> Answer {
        let head = format!(
            "GET {path} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n{}\r\n",
            self.headers
        );
        let mut wire = Wire::to(address);
        wire.send(head.as_bytes());
        wire.answer()
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.raw("GET", &format!("/api/v1{path}"), "", b"")
    }

    pub(crate) fn send(&self, method: &str, path: &str, body: &Value) -> Answer {
        let body = body.to_string();
        let json = "Content-Type: application/json\r\n";
        self.raw(method, &format!("/api/v1{path}"), json, body.as_bytes())
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Answer {
        self.send("POST", path, body)
    }

    pub(crate) fn patch(&self, path: &str, body: &Value) -> Answer {
        self.send("PATCH", path, body)
    }

    pub(crate) fn delete(&self, path: &str) -> Answer {
        self.raw("DELETE", &format!("/api/v1{path}"), "", b"")
    }

    /// A GET that is answered with 200.
    pub(crate) fn see(&self, path: &str) -> Value {
        let answer = self.get(path);
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.json()
    }

    /// A POST that makes something, which is where `Location` says.
    pub(crate) fn make(&self, path: &str, body: &Value) -> Value {
        let answer = self.post(path, body);
        assert_eq!(answer.status, 201, "{path}: {}", answer.text());
        let location = answer.head.one("location").unwrap();
        assert!(location.starts_with("/api/v1/"), "{location}");
        answer.json()
    }
}

/// The status is that, and so is the code.
#[track_caller]
pub(crate) fn assert_refused(answer: &Answer, status: u16, code: &str) {
    assert_eq!((answer.status, answer.code().as_str()), (status, code), "{}", answer.text());
    let kind = answer.head.one("content-type");
    assert_eq!(kind, Some("application/problem+json"), "{}", answer.text());
}

/// The fields that a 422 names.
#[track_caller]
pub(crate) fn faulty_fields(answer: &Answer) -> Vec<String> {
    assert_refused(answer, 422, "invalid");
    let errors = answer.json()["errors"].as_array().cloned().unwrap_or_default();
    let field = |error: &Value| error["field"].as_str().unwrap_or_default().to_owned();
    errors.iter().map(field).collect()
}
