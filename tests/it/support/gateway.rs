//! A running `postern serve`: started from a configuration, watched, killed when the test ends.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use super::eventually;
use super::fixture;
use super::program::{self, Said};
use super::setup::Setup;
use super::upstream::{Recorded, Upstream};
use super::wire::{Answer, Wire};

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_postern");

pub(crate) struct Gateway {
    child: Child,
    pub(crate) directory: TempDir,
    pub(crate) addresses: Vec<SocketAddr>,
    pub(crate) address: SocketAddr,
    pub(crate) admin: SocketAddr,
    stderr: Arc<Mutex<String>>,
    ended: bool,
}

/// Collects what a process says, line by line.
pub(crate) fn listen_to(stream: impl std::io::Read + Send + 'static) -> Arc<Mutex<String>> {
    let text = Arc::new(Mutex::new(String::new()));
    let said = Arc::clone(&text);
    thread::spawn(move || {
        for line in BufReader::new(stream).split(b'\n') {
            let Ok(line) = line else { return };
            let line = String::from_utf8_lossy(&line).into_owned();
            *said.lock().unwrap() += &(line + "\n");
        }
    });
    text
}

/// The addresses of a `listening gateway=ADDR[,ADDR] admin=ADDR` line, if it was said.
pub(crate) fn listening(said: &str) -> Option<(Vec<SocketAddr>, SocketAddr)> {
    let line = said.lines().find_map(|line| line.strip_prefix("listening gateway="))?;
    let (gateway, admin) = line.split_once(" admin=")?;
    let addresses = gateway.split(',').map(|address| address.parse().unwrap()).collect();
    Some((addresses, admin.trim().parse().unwrap()))
}

impl Gateway {
    /// A configuration in front of one upstream.
    pub(crate) fn over(upstream: &Upstream) -> Setup {
        Setup::to(&[upstream.url()])
    }

    pub(crate) fn start(setup: &Setup) -> Self {
        Self::start_in(setup, TempDir::new().unwrap())
    }

    /// In a directory that may have a store already.
    pub(crate) fn start_in(setup: &Setup, directory: TempDir) -> Self {
        setup.write(directory.path());
        let mut child = Self::spawn(directory.path(), setup.log);
        let stdout = listen_to(child.stdout.take().unwrap());
        let stderr = listen_to(child.stderr.take().unwrap());
        let mut found = None;
        eventually("the line `listening gateway=…`", || {
            let said = stderr.lock().unwrap().clone();
            if let Some(status) = child.try_wait().unwrap() {
                panic!("postern ended with {status}:\n{said}\n{}", setup.yaml());
            }
            found = listening(&stdout.lock().unwrap());
            found.is_some()
        });
        let (addresses, admin) = found.unwrap();
        let address = addresses[0];
        Self { child, directory, addresses, address, admin, stderr, ended: false }
    }

    /// Ended by a signal, and started again on what it left.
    pub(crate) fn again(mut self, setup: &Setup, signal: &str) -> Self {
        self.ended = true;
        self.signal(signal);
        self.child.wait().unwrap();
        let left = std::mem::replace(&mut self.directory, TempDir::new().unwrap());
        Self::start_in(setup, left)
    }

    /// `postern serve` on a directory that has its files.
    fn spawn(directory: &Path, log: &str) -> Child {
        Command::new(BINARY)
            .args(["serve", "--config"])
            .arg(directory.join("postern.yaml"))
            .env("POSTERN_LOG", log)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    pub(crate) fn wire(&self) -> Wire {
        Wire::to(self.address)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn stderr(&self) -> String {
        self.stderr.lock().unwrap().clone()
    }

    /// Sends bytes on a connection of their own and reads the first final answer.
    pub(crate) fn send(&self, bytes: &[u8]) -> Answer {
        let mut wire = self.wire();
        wire.send(bytes);
        let head = bytes.starts_with(b"HEAD ");
        let method = if head { "HEAD" } else { "GET" };
        let answer = wire
            .answer_to(method)
            .unwrap_or_else(|| panic!("no answer to {:?}", String::from_utf8_lossy(bytes)));
        no_secret(&answer);
        answer
    }

    pub(crate) fn request(&self, method: &str, target: &str, id: &str) -> Answer {
        self.send(&fixture::request(method, target, id))
    }

    pub(crate) fn get(&self, target: &str) -> Answer {
        self.request("GET", target, "key-all")
    }

    /// What the upstream saw of an allowed request, extra header lines included.
    pub(crate) fn forwards(&self, upstream: &Upstream, extra: &str) -> Recorded {
        let answer =
            self.send(&fixture::request_with("GET", "/v1/appointments", "key-all", extra, ""));
        assert_eq!(answer.status, 200, "{extra:?}: {}{}", answer.head.text(), answer.text());
        upstream.only()
    }

    /// A control request passes: the gateway is alive and serves.
    pub(crate) fn assert_alive(&self, upstream: &Upstream) {
        let answer = self.get("/v1/appointments/alive");
        assert_eq!(answer.status, 200, "not alive: {}", answer.text());
        let seen = upstream.only();
        assert_eq!(seen.line(), "GET /v1/appointments/alive HTTP/1.1");
    }

    /// The bytes are answered with this status (and code, where it is not empty), the connection is closed where it
    /// is a 400, and not a byte of it reaches the upstream.
    pub(crate) fn refuses(&self, upstream: &Upstream, bytes: &[u8], status: u16, code: &str) {
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(600)]).into_owned();
        let mut wire = self.wire();
        wire.send(bytes);
        let Some(answer) = wire.answer_to("GET") else { panic!("{shown:?}: no answer") };
        assert_eq!(answer.status, status, "{shown:?}: {}{}", answer.head.text(), answer.text());
        if !code.is_empty() {
            assert_eq!(answer.code(), code, "{shown:?}: {}", answer.text());
        }
        // Framing and path: nothing after it may be read. The others are whole requests, merely refused.
        let whole = ["duplicate_credentials", "credentials_in_query", "method_override"];
        if status == 400 && !whole.contains(&code) {
            wire.patience(Duration::from_secs(5));
            assert!(wire.closes(), "{shown:?}: stays open after a 400");
        }
        no_secret(&answer);
        upstream.assert_untouched(&shown);
    }

    /// Not a byte of it reaches the upstream, and whatever is answered is a refusal; a bare close is one too.
    pub(crate) fn refuses_somehow(&self, upstream: &Upstream, bytes: &[u8]) {
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(600)]).into_owned();
        let mut wire = self.wire();
        wire.send(bytes);
        if let Some(answer) = wire.answer_to("GET") {
            let refused = (400..=431).contains(&answer.status) || answer.status == 501;
            assert!(refused, "{shown:?}: {}", answer.head.text());
            no_secret(&answer);
        }
        upstream.assert_untouched(&shown);
    }

    /// `postern` with the rights of an operator; it must do what it is asked.
    pub(crate) fn postern(&self, args: &[&str]) -> Said {
        let url = format!("http://{}", self.admin);
        let variables =
            [("POSTERN_ADMIN_URL", &*url), ("POSTERN_ADMIN_TOKEN", fixture::operator())];
        program::run(self.directory.path(), &variables, args).done()
    }

    pub(crate) fn admin_get(&self, path: &str) -> Answer {
        let mut wire = Wire::to(self.admin);
        wire.send(
            format!("GET {path} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n").as_bytes(),
        );
        wire.answer()
    }

    /// What `/readyz` says of the configuration.
    pub(crate) fn config_status(&self) -> String {
        let ready = self.admin_get("/readyz").json();
        ready["config"]["status"].as_str().unwrap_or_default().to_owned()
    }

    pub(crate) fn rewrite(&self, setup: &Setup) {
        setup.write(self.directory.path());
    }

    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &pid]).status().unwrap().success());
    }

    /// Waits for the process to end by itself.
    pub(crate) fn end(&mut self) -> ExitStatus {
        let mut status = None;
        eventually("the end of the process", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        self.ended = true;
        status.unwrap()
    }

    /// Resident memory in KiB.
    pub(crate) fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

/// No key is repeated to anybody.
pub(crate) fn no_secret(answer: &Answer) {
    let text = answer.head.text() + &answer.text();
    assert!(!fixture::has_secret(&text), "a key in the answer: {text}");
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let alive = self.child.try_wait().is_ok_and(|status| status.is_none());
        drop(self.child.kill());
        drop(self.child.wait());
        let said = self.stderr();
        if thread::panicking() {
            let tail: Vec<&str> = said.lines().rev().take(20).collect();
            drop(std::io::Write::write_all(
                &mut std::io::stderr(),
                format!("--- what postern said, newest first:\n{}\n", tail.join("\n")).as_bytes(),
            ));
            return;
        }
        assert!(alive || self.ended, "postern died:\n{said}");
        assert!(!fixture::has_secret(&said), "a secret in the log:\n{said}");
        assert!(!said.contains("panicked at"), "a panic:\n{said}");
    }
}
