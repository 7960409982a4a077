//! Gateways that share a store in Redis, and their secrets with it: one configuration directory, any number of nodes.

use std::collections::HashMap;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use super::admin::Client;
use super::fixture::{self, OTHER_ROUTES, ROUTES};
use super::gateway::{BINARY, listen_to, listening};
use super::program::{self, Said};
use super::upstream::Upstream;
use super::wire::{Answer, Wire};

/// How long anything may take that waits for Redis, a failover included.
const PATIENCE: Duration = Duration::from_secs(45);

/// Polls until the condition holds; panics with its name when it never does.
pub(crate) fn at_last(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "never happened: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A configuration directory on a store that has the fixture's practice, vendors and keys, and an operator.
pub(crate) struct Fleet {
    directory: TempDir,
    pub(crate) upstream: Upstream,
    token: String,
    ids: HashMap<String, String>,
    /// Of every process that is started here.
    variables: Vec<(&'static str, String)>,
}

/// One running gateway of a [`Fleet`].
pub(crate) struct Node {
    child: Child,
    gateway: SocketAddr,
    admin: SocketAddr,
    pub(crate) operator: Client,
    stderr: Arc<Mutex<String>>,
}

impl Fleet {
    pub(crate) fn on(store: &str) -> Self {
        Self::with(store, "", Vec::new())
    }

    /// With more lines under `proxy:`, and variables of the environment.
    pub(crate) fn with(store: &str, proxy: &str, variables: Vec<(&'static str, String)>) -> Self {
        let upstream = Upstream::ok();
        let directory = TempDir::new().unwrap();
        write(directory.path(), store, &upstream.url(), proxy);
        fs::write(directory.path().join("import.jsonl"), fixture::import_lines()).unwrap();
        let mut fleet =
            Self { directory, upstream, token: String::new(), ids: HashMap::new(), variables };
        let import = ["import", "--config", "postern.yaml", "--from", "import.jsonl", "--json"];
        let text = |line: &Value, field: &str| line[field].as_str().unwrap().to_owned();
        for line in fleet.postern(&import).done().lines() {
            if line["kind"] == "key" {
                fleet.ids.insert(text(&line, "name"), text(&line, "id"));
            }
        }
        let create = ["admins", "create", "--config", "postern.yaml", "--username", "root"];
        let made = fleet.postern(&[&create[..], &["--role", "operator"]].concat()).done().json();
        fleet.token = text(&made, "token");
        fleet
    }

    pub(crate) fn postern(&self, args: &[&str]) -> Said {
        let variables: Vec<_> =
            self.variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
        program::run(self.directory.path(), &variables, args)
    }

    /// Points the configuration at another store.
    pub(crate) fn rewrite(&self, store: &str) {
        write(self.directory.path(), store, &self.upstream.url(), "");
    }

    pub(crate) fn key_id(&self, name: &str) -> &str {
        &self.ids[name]
    }

    /// `key/ID`'s path in the admin API.
    pub(crate) fn key_path(&self, name: &str) -> String {
        format!("/keys/{}", self.key_id(name))
    }

    pub(crate) fn node(&self) -> Node {
        let mut child = Command::new(BINARY)
            .args(["serve", "--config", "postern.yaml"])
            .current_dir(self.directory.path())
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .env("POSTERN_LOG", "debug")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = listen_to(child.stdout.take().unwrap());
        let stderr = listen_to(child.stderr.take().unwrap());
        let mut found = None;
        at_last("the line `listening gateway=…`", || {
            if let Some(status) = child.try_wait().unwrap() {
                panic!("postern ended with {status}:\n{}", stderr.lock().unwrap());
            }
            found = listening(&stdout.lock().unwrap());
            found.is_some()
        });
        let (gateways, admin) = found.unwrap();
        let operator = Client::bearer(admin, &self.token);
        Node { child, gateway: gateways[0], admin, operator, stderr }
    }

    /// Two that know of each other, so that a receipt names both.
    pub(crate) fn pair(&self) -> (Node, Node) {
        (self.node(), self.node())
    }
}

fn write(directory: &Path, store: &str, upstream: &str, proxy: &str) {
    let yaml = format!(
        "listen: {{ gateway: 127.0.0.1:0, admin: 127.0.0.1:0 }}\nstore: \"{store}\"\n\
         upstreams: {{ practice: {{ url: \"{upstream}\" }} }}\napis:\n  \
         standard: {{ mount: /v1, upstream: practice, routes: routes.yaml }}\n  \
         other: {{ mount: /other, upstream: practice, routes: other.yaml }}\n\
         proxy:\n  workers: 1\n{proxy}"
    );
    fs::write(directory.join("routes.yaml"), ROUTES).unwrap();
    fs::write(directory.join("other.yaml"), OTHER_ROUTES).unwrap();
    fs::write(directory.join("postern.yaml"), yaml).unwrap();
}

impl Node {
    /// What a key of the fixture is answered at a route that needs to read patients.
    pub(crate) fn try_key(&self, name: &str) -> (u16, String) {
        let mut wire = Wire::to(self.gateway);
        wire.send(&fixture::request("GET", "/v1/patients", name));
        let answer = wire.answer();
        (answer.status, answer.code())
    }

    /// Until the key gets that code; empty where it passes.
    #[track_caller]
    pub(crate) fn comes_to(&self, key: &str, code: &str) {
        at_last(&format!("{key} gets `{code}`"), || self.try_key(key).1 == code);
    }

    pub(crate) fn ready(&self) -> Answer {
        let mut wire = Wire::to(self.admin);
        wire.send(b"GET /readyz HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n");
        wire.answer()
    }

    pub(crate) fn said(&self) -> String {
        self.stderr.lock().unwrap().clone()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let alive = self.child.try_wait().is_ok_and(|status| status.is_none());
        drop(self.child.kill());
        drop(self.child.wait());
        let said = self.said();
        if std::thread::panicking() {
            let tail: Vec<&str> = said.lines().rev().take(20).collect();
            super::say(&format!("--- what postern said, newest first:\n{}", tail.join("\n")));
            return;
        }
        assert!(alive, "postern died:\n{said}");
        assert!(!said.contains("panicked at"), "a panic:\n{said}");
        assert!(!fixture::has_secret(&said), "a secret in the log:\n{said}");
    }
}
