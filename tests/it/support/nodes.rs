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
use super::setup::save;
use super::upstream::Upstream;
use super::wire::{Answer, Wire};

/// How long anything may take that waits for Redis, a failover included.
const PATIENCE: Duration = Duration::from_secs(45);

/// The variable that names the journal of a process: nodes share their configuration, and each has its own.
const JOURNAL: &str = "POSTERN_TEST_JOURNAL";
/// Where the journals of the first two lie.
pub(crate) const FIRST: &str = "journal-1";
pub(crate) const SECOND: &str = "journal-2";

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
    plan: Plan,
}

/// What a [`Fleet`] is to be, where it is not the usual.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// As the configuration has it.
    pub(crate) store: String,
    /// More lines under `proxy:`.
    pub(crate) proxy: String,
    /// More top-level YAML.
    pub(crate) top: String,
    /// Of every process that is started here.
    pub(crate) variables: Vec<(&'static str, String)>,
    /// More fields of `log:`, each after a comma.
    pub(crate) log: String,
    /// How much is said on stderr.
    pub(crate) level: &'static str,
}

impl Plan {
    pub(crate) fn on(store: &str) -> Self {
        Self {
            store: store.to_owned(),
            proxy: String::new(),
            top: String::new(),
            variables: Vec::new(),
            log: String::new(),
            level: "debug",
        }
    }

    /// For gateways under load, which have much to say; with more fields of `log:`.
    pub(crate) fn quiet(store: &str, log: &str) -> Self {
        Self { log: log.to_owned(), level: "info", ..Self::on(store) }
    }
}

/// One running gateway of a [`Fleet`].
pub(crate) struct Node {
    child: Child,
    pub(crate) gateway: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) operator: Client,
    stderr: Arc<Mutex<String>>,
    ended: bool,
}

impl Fleet {
    pub(crate) fn on(store: &str) -> Self {
        Self::with(store, "", Vec::new())
    }

    /// With more lines under `proxy:`, and variables of the environment.
    pub(crate) fn with(store: &str, proxy: &str, variables: Vec<(&'static str, String)>) -> Self {
        let plan = Plan { proxy: proxy.to_owned(), variables, ..Plan::on(store) };
        Self::of(plan, Upstream::ok())
    }

    pub(crate) fn of(plan: Plan, upstream: Upstream) -> Self {
        Self::within(TempDir::new().unwrap(), plan, upstream)
    }

    /// In a directory that may have something already.
    pub(crate) fn within(directory: TempDir, plan: Plan, upstream: Upstream) -> Self {
        write(directory.path(), &plan, &upstream.url());
        fs::write(directory.path().join("import.jsonl"), fixture::import_lines()).unwrap();
        let mut fleet =
            Self { directory, upstream, token: String::new(), ids: HashMap::new(), plan };
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
        let variables = self.plan.variables.iter().map(|(name, value)| (*name, value.as_str()));
        let variables: Vec<_> = variables.chain([(JOURNAL, FIRST)]).collect();
        program::run(self.directory.path(), &variables, args)
    }

    /// A command of somebody who calls a node's admin listener as an operator.
    pub(crate) fn remote(&self, node: &Node, args: &[&str]) -> Said {
        let url = format!("http://{}", node.admin);
        let variables =
            [("POSTERN_ADMIN_URL", url.as_str()), ("POSTERN_ADMIN_TOKEN", self.token.as_str())];
        program::run(self.directory.path(), &variables, args)
    }

    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The ids of all keys, by name.
    pub(crate) fn ids(&self) -> &HashMap<String, String> {
        &self.ids
    }

    /// Points the configuration at another store.
    pub(crate) fn rewrite(&self, store: &str) {
        self.rewrite_as(&Plan { store: store.to_owned(), ..self.plan.clone() });
    }

    /// Another configuration, which what runs takes by itself.
    pub(crate) fn rewrite_as(&self, plan: &Plan) {
        write(self.directory.path(), plan, &self.upstream.url());
    }

    pub(crate) fn plan(&self) -> &Plan {
        &self.plan
    }

    pub(crate) fn key_id(&self, name: &str) -> &str {
        &self.ids[name]
    }

    /// `key/ID`'s path in the admin API.
    pub(crate) fn key_path(&self, name: &str) -> String {
        format!("/keys/{}", self.key_id(name))
    }

    /// `postern serve` with a journal in this directory, which may not serve yet.
    pub(crate) fn spawn(&self, journal: &str) -> Child {
        Command::new(BINARY)
            .args(["serve", "--config", "postern.yaml"])
            .current_dir(self.directory.path())
            .envs(self.plan.variables.iter().map(|(name, value)| (name, value)))
            .env("POSTERN_LOG", self.plan.level)
            .env(JOURNAL, journal)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    pub(crate) fn node(&self) -> Node {
        self.node_at(FIRST)
    }

    /// One whose records wait in a directory of its own.
    pub(crate) fn node_at(&self, journal: &str) -> Node {
        let mut child = self.spawn(journal);
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
        Node { child, gateway: gateways[0], admin, operator, stderr, ended: false }
    }

    /// Two that know of each other, so that a receipt names both.
    pub(crate) fn pair(&self) -> (Node, Node) {
        (self.node(), self.node_at(SECOND))
    }
}

fn write(directory: &Path, plan: &Plan, upstream: &str) {
    let Plan { store, proxy, top, log, .. } = plan;
    let yaml = format!(
        "listen: {{ gateway: 127.0.0.1:0, admin: 127.0.0.1:0 }}\nstore: \"{store}\"\n\
         upstreams: {{ practice: {{ url: \"{upstream}\" }} }}\napis:\n  \
         standard: {{ mount: /v1, upstream: practice, routes: routes.yaml }}\n  \
         other: {{ mount: /other, upstream: practice, routes: other.yaml }}\n\
         proxy:\n  workers: 1\n{proxy}log: {{ dir: \"${{env:{JOURNAL}}}\"{log} }}\n{top}"
    );
    save(&directory.join("routes.yaml"), ROUTES.as_bytes());
    save(&directory.join("other.yaml"), OTHER_ROUTES.as_bytes());
    save(&directory.join("postern.yaml"), yaml.as_bytes());
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

    /// SIGKILL: nothing of it gets to say anything more.
    pub(crate) fn kill(mut self) {
        self.ended = true;
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM: it drains, and ends well.
    pub(crate) fn end(mut self) {
        self.ended = true;
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        let mut status = None;
        at_last("the end of the process", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        assert!(status.unwrap().success(), "{status:?}: {}", self.said());
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
        assert!(alive || self.ended, "postern died:\n{said}");
        assert!(!said.contains("panicked at"), "a panic:\n{said}");
        assert!(!fixture::has_secret(&said), "a secret in the log:\n{said}");
    }
}
