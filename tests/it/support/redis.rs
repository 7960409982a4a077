//! Redis servers of a test's own: each on a free port, in a directory that goes with it, ended when it is dropped.
//!
//! One server with any options, killed, stopped and started again with the same data; a replica; a primary that three
//! Sentinels watch; a cluster of three; TLS. The unit tests of `store::redis` use this file, too, so it stands alone.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long a server may take for anything before a test calls it a hang. The machine may be busy.
const PATIENCE: Duration = Duration::from_secs(20);

/// A `redis-server` (or a Sentinel, which is one in another mode).
pub(crate) struct Redis {
    child: Child,
    directory: TempDir,
    pub(crate) port: u16,
    pub(crate) tls_port: u16,
    options: Vec<String>,
    password: Option<String>,
}

fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "Redis: never happened: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Free at the moment of asking: whoever uses it must be ready to ask again.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

impl Redis {
    /// As it should be run: every write is on the disk's way before it is answered. `options` come after and win.
    pub(crate) fn start(options: &[&str]) -> Self {
        let durable = ["--appendonly", "yes", "--appendfsync", "everysec", "--save", ""];
        Self::start_plain(&[&durable, options].concat())
    }

    /// With these options alone.
    pub(crate) fn start_plain(options: &[&str]) -> Self {
        Self::launch(options, |_, _| Vec::new())
    }

    /// Serves TLS at `tls_port`, with files of these contents, and plain connections at `port` for the test's own use.
    pub(crate) fn start_tls(certificate: &str, key: &str) -> Self {
        let directory = TempDir::new().unwrap();
        let file = |name: &str, text: &str| {
            let path = directory.path().join(name);
            fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        let (certificate, key) = (file("server.crt", certificate), file("server.key", key));
        let mut redis =
            Self::launch(&["--tls-cert-file", &certificate, "--tls-key-file", &key], |_, other| {
                let port = other.to_string();
                [
                    "--tls-port",
                    &port,
                    "--tls-auth-clients",
                    "no",
                    "--tls-ca-cert-file",
                    &certificate,
                ]
                .map(str::to_owned)
                .into()
            });
        let at = redis.options.iter().position(|option| option == "--tls-port").unwrap();
        redis.tls_port = redis.options[at + 1].parse().unwrap();
        redis
    }

    /// A copy of this one, in step with it.
    pub(crate) fn replica(&self) -> Self {
        let port = self.port.to_string();
        let replica =
            Self::start(&["--replicaof", "127.0.0.1", &port, "--repl-diskless-sync-delay", "0"]);
        until("the replica is in step", || {
            replica.command(&["INFO", "replication"]).contains("master_link_status:up")
        });
        replica
    }

    /// `more` gets the port and another one, chosen anew each time a port turns out to be taken.
    fn launch(options: &[&str], more: impl Fn(u16, u16) -> Vec<String>) -> Self {
        for _ in 0..20 {
            let directory = TempDir::new().unwrap();
            let (port, other) = (free_port(), free_port());
            let mut options: Vec<String> =
                options.iter().map(|&option| option.to_owned()).collect();
            options.extend(more(port, other));
            let password = value_of(&options, "--requirepass");
            let child = spawn(&directory, port, &options);
            let mut redis = Self { child, directory, port, tls_port: 0, options, password };
            if redis.comes_up() {
                return redis;
            }
        }
        panic!("redis-server does not start: {}", options.join(" "));
    }

    /// False where it ended instead, as it does when somebody else has its port.
    fn comes_up(&mut self) -> bool {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if self.child.try_wait().unwrap().is_some() {
                return false;
            }
            if self.try_command(&["PING"]).is_some_and(|answer| answer == "PONG") {
                return true;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("redis-server does not answer at port {}", self.port);
    }

    /// Where it keeps its files.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// As `store:` in a configuration.
    pub(crate) fn url(&self) -> String {
        match &self.password {
            Some(password) => format!("redis://:{password}@{}/0", self.address()),
            None => format!("redis://{}/0", self.address()),
        }
    }

    fn signal(&self, name: &str) {
        let status =
            Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap();
        assert!(status.success(), "kill {name}");
    }

    /// Hangs: connections stay open and are taken, and nothing answers.
    pub(crate) fn stop(&self) {
        self.signal("-STOP");
    }

    pub(crate) fn go_on(&self) {
        self.signal("-CONT");
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM: it writes down what it has, and ends.
    pub(crate) fn end(&mut self) {
        self.signal("-TERM");
        self.child.wait().unwrap();
    }

    /// No replica any more: a primary of its own, with what it has.
    pub(crate) fn promote(&self) {
        assert_eq!(self.command(&["REPLICAOF", "NO", "ONE"]), "OK");
    }

    /// Takes the place of one that was killed: whoever calls the old one's port gets this one.
    pub(crate) fn take_over(&mut self, killed: &Self) {
        self.promote();
        let port = killed.port.to_string();
        assert_eq!(self.command(&["CONFIG", "SET", "port", &port]), "OK");
        self.port = killed.port;
    }

    /// Again, after [`Redis::kill`] or [`Redis::end`], at the same port with the same data.
    pub(crate) fn restart(&mut self) {
        until("Redis starts again", || {
            self.child = spawn(&self.directory, self.port, &self.options);
            self.comes_up()
        });
    }

    /// What it answers, arrays line by line; an error with its `-`.
    pub(crate) fn command(&self, words: &[&str]) -> String {
        self.try_command(words).unwrap_or_else(|| panic!("Redis: no answer to {words:?}"))
    }

    fn try_command(&self, words: &[&str]) -> Option<String> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut reader = BufReader::new(stream.try_clone().ok()?);
        if let Some(password) = &self.password {
            stream.write_all(&resp(&["AUTH", password])).ok()?;
            answer(&mut reader)?;
        }
        stream.write_all(&resp(words)).ok()?;
        answer(&mut reader)
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn value_of(options: &[String], name: &str) -> Option<String> {
    let at = options.iter().position(|option| option == name)?;
    options.get(at + 1).cloned()
}

fn spawn(directory: &TempDir, port: u16, options: &[String]) -> Child {
    let sentinel = directory.path().join("sentinel.conf");
    let mut command = Command::new("redis-server");
    if let Some(text) = value_of(options, "--sentinel") {
        fs::write(&sentinel, text).unwrap();
        command.arg(&sentinel).arg("--sentinel");
    } else {
        command
            .args(["--dir".into(), directory.path().to_path_buf()] as [PathBuf; 2])
            .args(options);
    }
    command
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| {
            panic!("redis-server cannot be started ({error}): tests/run.sh installs it")
        })
}

fn resp(words: &[&str]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend(format!("${}\r\n{word}\r\n", word.len()).into_bytes());
    }
    bytes
}

fn answer(reader: &mut impl BufRead) -> Option<String> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let line = line.trim_end();
    let rest = line.get(1..)?;
    match line.as_bytes().first()? {
        b'+' | b':' => Some(rest.to_owned()),
        b'-' => Some(line.to_owned()),
        b'$' => {
            let Ok(length) = rest.parse::<usize>() else { return Some(String::new()) };
            let mut text = vec![0; length + 2];
            reader.read_exact(&mut text).ok()?;
            text.truncate(length);
            Some(String::from_utf8_lossy(&text).into_owned())
        }
        b'*' => {
            let count = rest.parse::<usize>().unwrap_or(0);
            let parts: Option<Vec<_>> = (0..count).map(|_| answer(reader)).collect();
            Some(parts?.join("\n"))
        }
        _ => None,
    }
}

/// A primary with a replica, and three Sentinels that watch them under the name `postern`.
pub(crate) struct Watched {
    pub(crate) servers: [Redis; 2],
    pub(crate) sentinels: [Redis; 3],
}

impl Watched {
    pub(crate) fn start() -> Self {
        let primary = Redis::start(&["--repl-diskless-sync-delay", "0"]);
        let replica = primary.replica();
        let watch = format!(
            "sentinel monitor postern 127.0.0.1 {} 2\nsentinel down-after-milliseconds postern 700\n\
             sentinel failover-timeout postern 3000\nsentinel parallel-syncs postern 1\n",
            primary.port
        );
        let sentinels = [(); 3].map(|()| Redis::launch(&["--sentinel", &watch], |_, _| Vec::new()));
        let watched = Self { servers: [primary, replica], sentinels };
        for sentinel in &watched.sentinels {
            until("the Sentinels know each other and the replica", || {
                let known = sentinel.command(&["SENTINEL", "MASTER", "postern"]);
                let is = |field: &str, value: &str| known.contains(&format!("{field}\n{value}\n"));
                is("num-other-sentinels", "2") && is("num-slaves", "1")
            });
        }
        watched
    }

    pub(crate) fn url(&self) -> String {
        let servers: Vec<_> = self.sentinels.iter().map(Redis::address).collect();
        format!("redis+sentinel://{}/postern", servers.join(","))
    }

    /// The port that the Sentinels name.
    pub(crate) fn primary(&self) -> u16 {
        let named = self.sentinels[0].command(&["SENTINEL", "get-master-addr-by-name", "postern"]);
        named.lines().nth(1).and_then(|port| port.parse().ok()).unwrap_or(0)
    }

    /// Kills the primary and waits until the other one is.
    pub(crate) fn fail_over(&mut self) {
        let old = self.primary();
        let at = self.servers.iter().position(|server| server.port == old).unwrap();
        self.servers[at].kill();
        let other = &self.servers[1 - at];
        until("the Sentinels promote the replica", || {
            self.primary() == other.port && other.command(&["ROLE"]).starts_with("master")
        });
    }
}

/// Three primaries that share the slots.
pub(crate) struct Cluster {
    pub(crate) nodes: [Redis; 3],
}

impl Cluster {
    pub(crate) fn start() -> Self {
        let options = ["--cluster-enabled", "yes", "--appendonly", "yes", "--save", ""];
        let nodes = [(); 3].map(|()| {
            Redis::launch(&options, |_, bus| vec!["--cluster-port".to_owned(), bus.to_string()])
        });
        for (number, node) in nodes.iter().enumerate() {
            let (from, to) = (number * 5_462, (number * 5_462 + 5_461).min(16_383));
            let done =
                node.command(&["CLUSTER", "ADDSLOTSRANGE", &from.to_string(), &to.to_string()]);
            assert_eq!(done, "OK");
            let bus = value_of(&nodes[0].options, "--cluster-port").unwrap();
            let port = nodes[0].port.to_string();
            assert_eq!(node.command(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus]), "OK");
        }
        for node in &nodes {
            until("the cluster is one", || {
                let info = node.command(&["CLUSTER", "INFO"]);
                info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:3")
            });
        }
        Self { nodes }
    }

    /// Names one node, which is not the one that has the registry.
    pub(crate) fn url(&self) -> String {
        format!("redis+cluster://{}", self.other().address())
    }

    fn owns(node: &Redis) -> bool {
        !node.command(&["HLEN", "{postern}:meta"]).starts_with('-')
    }

    pub(crate) fn other(&self) -> &Redis {
        self.nodes.iter().find(|node| !Self::owns(node)).unwrap()
    }

    pub(crate) fn owner(&mut self) -> &mut Redis {
        self.nodes.iter_mut().find(|node| Self::owns(node)).unwrap()
    }
}
