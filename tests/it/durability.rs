//! The store as a whole, through the real binary: SIGKILL at random points, a second process, backups, and files and
//! directories that are not as they should be.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::support::gateway::{BINARY, listen_to, listening};
use super::support::redis::Redis;
use super::support::{PATIENCE, eventually, say};

const ROUTES: &str = "version: 1\nroutes:\n  - { path: /v1/**, category: patient }\n";

/// A directory with a configuration, and an operator in its store.
struct Site {
    directory: TempDir,
    token: String,
}

impl Site {
    /// `store` is as the configuration has it.
    fn new(store: &str) -> Self {
        let directory = TempDir::new().unwrap();
        write_config(directory.path(), store);
        let made = command(directory.path())
            .args(["admins", "create", "--username", "root", "--role", "operator"])
            .args(["--config", "postern.yaml"])
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let made: Value = serde_json::from_slice(&made.stdout).unwrap();
        let token = made["token"].as_str().unwrap().to_owned();
        Self { directory, token }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn database(&self) -> PathBuf {
        self.path().join("data/postern.db")
    }

    fn serve(&self) -> Serving {
        Serving::start(self.path(), &self.token)
    }

    /// Runs a command that must be refused, and gives what it said.
    fn refused(&self, args: &[&str]) -> String {
        refused(&command(self.path()).args(args).output().unwrap())
    }
}

fn refused(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(!said.contains("panicked at"), "{said}");
    said
}

fn write_config(directory: &Path, store: &str) {
    let yaml = format!(
        "listen: {{ gateway: 127.0.0.1:0, admin: 127.0.0.1:0 }}\nstore: {store}\n\
         upstreams: {{ practice: {{ url: http://127.0.0.1:9 }} }}\n\
         apis: {{ standard: {{ mount: /v1, upstream: practice, routes: routes.yaml }} }}\n\
         proxy: {{ workers: 1 }}\n"
    );
    fs::write(directory.join("routes.yaml"), ROUTES).unwrap();
    fs::write(directory.join("postern.yaml"), yaml).unwrap();
}

/// `postern` in a directory, with nothing of the tester's own gateway.
fn command(directory: &Path) -> Command {
    let mut command = Command::new(BINARY);
    for name in ["POSTERN_ADMIN_URL", "POSTERN_ADMIN_TOKEN", "POSTERN_ADMIN_CA"] {
        command.env_remove(name);
    }
    command.current_dir(directory).stdin(Stdio::null());
    command
}

/// A running gateway.
struct Serving {
    child: Child,
    admin: Admin,
    stderr: Arc<Mutex<String>>,
}

impl Serving {
    fn start(directory: &Path, token: &str) -> Self {
        let mut child = command(directory)
            .args(["serve", "--config", "postern.yaml"])
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
        let (_, address) = found.unwrap();
        Self { child, admin: Admin { address, token: token.to_owned() }, stderr }
    }

    /// SIGKILL: nothing of it gets to say anything more.
    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        let said = self.stderr.lock().unwrap();
        assert!(thread::panicking() || !said.contains("panicked at"), "{said}");
    }
}

/// An operator's client. An answer that was cut off is no answer.
#[derive(Clone)]
struct Admin {
    address: SocketAddr,
    token: String,
}

impl Admin {
    fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Option<(u16, Value)> {
        let body = body.map(ToString::to_string).unwrap_or_default();
        let mut stream = TcpStream::connect_timeout(&self.address, PATIENCE).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let request = format!(
            "{method} /api/v1{path} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\nAuthorization: Bearer {}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.token,
            body.len()
        );
        stream.write_all(request.as_bytes()).ok()?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).ok()?;
        let answer = String::from_utf8(answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n")?;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        // Cut off, it is not JSON.
        Some((status, serde_json::from_str(body).ok()?))
    }

    fn see(&self, path: &str) -> Value {
        let (status, value) = self.ask("GET", path, None).expect("an answer");
        assert_eq!(status, 200, "{path}: {value}");
        value
    }

    fn make(&self, path: &str, body: &Value) {
        let (status, value) = self.ask("POST", path, Some(body)).expect("an answer");
        assert_eq!(status, 201, "{path}: {value}");
    }

    /// Every item of a list.
    fn list(&self, path: &str) -> Vec<Value> {
        let mut items = Vec::new();
        let mut cursor = String::new();
        loop {
            let sign = if path.contains('?') { '&' } else { '?' };
            let page = self.see(&format!("{path}{sign}limit=200{cursor}"));
            items.extend(page["items"].as_array().unwrap().iter().cloned());
            let Some(next) = page["next"].as_str() else { return items };
            cursor = format!("&cursor={next}");
        }
    }

    /// The names of the staff of `north`, by username.
    fn staff(&self) -> BTreeMap<String, String> {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let users = self.list("/practices/north/users");
        users.iter().map(|user| (text(&user["username"]), text(&user["name"]))).collect()
    }

    fn hire(&self, username: &str) -> Option<u16> {
        let user = json!({ "username": username, "name": name_of(username) });
        self.ask("POST", "/practices/north/users", Some(&user)).map(|(status, _)| status)
    }
}

/// Long enough that half of it would be noticed.
fn name_of(username: &str) -> String {
    format!("Dr {username}{}", " of the north".repeat(12))
}

/// How many writes are answered in all, and how many at the most before each SIGKILL.
fn extent() -> (usize, usize) {
    if std::env::var_os("POSTERN_BIG").is_some() { (1_000, 40) } else { (60, 25) }
}

/// What writers tried, and what was answered.
#[derive(Default)]
struct Tally {
    tried: AtomicUsize,
    answered: Mutex<Vec<String>>,
    /// The last number that `plan` was set to with an answer.
    plan: AtomicUsize,
}

/// Four writers hire staff, a fifth counts up a field, until the gateway is gone.
fn write_until_killed(admin: &Admin, tally: &Arc<Tally>, killed: &Arc<AtomicBool>) {
    let writers: Vec<_> = (0..5)
        .map(|writer| {
            let (admin, tally, killed) = (admin.clone(), Arc::clone(tally), Arc::clone(killed));
            thread::spawn(move || {
                while !killed.load(Ordering::SeqCst) {
                    if writer == 0 {
                        let next = tally.plan.load(Ordering::SeqCst) + 1;
                        let plan = json!({ "plan": next.to_string() });
                        match admin.ask("PATCH", "/practices/north", Some(&plan)) {
                            Some((200, _)) => tally.plan.store(next, Ordering::SeqCst),
                            Some((status, value)) => panic!("{status}: {value}"),
                            None => {}
                        }
                    } else {
                        let number = tally.tried.fetch_add(1, Ordering::SeqCst);
                        let username = format!("u{number}");
                        match admin.hire(&username) {
                            Some(201) => tally.answered.lock().unwrap().push(username),
                            Some(status) => panic!("{status}"),
                            None => {}
                        }
                    }
                }
            })
        })
        .collect();
    for writer in writers {
        writer.join().unwrap();
    }
}

/// Everything that was answered is there, everything that is there is whole, and the audit says the same.
fn assert_whole(admin: &Admin, tally: &Tally) {
    let staff = admin.staff();
    let answered = tally.answered.lock().unwrap();
    for username in answered.iter() {
        assert!(staff.contains_key(username), "{username} was answered and is gone");
    }
    let tried = tally.tried.load(Ordering::SeqCst);
    for (username, name) in &staff {
        assert_eq!(*name, name_of(username));
        let number: usize = username[1..].parse().unwrap();
        assert!(number < tried, "{username} was never hired");
    }
    let plan = admin.see("/practices/north")["plan"].as_str().unwrap_or("0").parse::<usize>();
    let (plan, told) = (plan.unwrap(), tally.plan.load(Ordering::SeqCst));
    assert!(plan == told || plan == told + 1, "`plan` is {plan} after {told} was answered");
    // What was written and not answered counts from here on.
    tally.plan.store(plan, Ordering::SeqCst);
    let audit = admin.list("/audit?practice=north");
    let deeds = |action: &str| audit.iter().filter(|entry| entry["action"] == action).count();
    assert_eq!(deeds("user.create"), staff.len(), "a document without its entry, or the reverse");
    assert_eq!(deeds("practice.edit"), plan);
    let verdict = admin.see("/audit/verify");
    assert_eq!(verdict["ok"], true, "{verdict}");
}

fn survives_kills(store: &str) {
    let site = Site::new(store);
    let mut serving = site.serve();
    serving.admin.make("/practices", &json!({ "id": "north", "name": "North" }));
    let tally = Arc::new(Tally::default());
    let (total, most) = extent();
    let mut kills = 0;
    loop {
        let before = tally.answered.lock().unwrap().len();
        if before >= total {
            break;
        }
        let enough = before + fastrand::usize(1..=most);
        let killed = Arc::new(AtomicBool::new(false));
        let writers = {
            let (admin, tally, killed) =
                (serving.admin.clone(), Arc::clone(&tally), Arc::clone(&killed));
            thread::spawn(move || write_until_killed(&admin, &tally, &killed))
        };
        eventually("enough answers", || {
            writers.is_finished() || tally.answered.lock().unwrap().len() >= enough
        });
        serving.kill();
        killed.store(true, Ordering::SeqCst);
        writers.join().unwrap();
        kills += 1;
        serving = site.serve();
        assert_whole(&serving.admin, &tally);
    }
    let (answered, tried) =
        (tally.answered.lock().unwrap().len(), tally.tried.load(Ordering::SeqCst));
    say(&format!("{store}: {kills} kills, {answered} answered of {tried} tried"));
}

#[test]
fn every_answered_write_survives_kills_in_an_embedded_store() {
    survives_kills("embedded:./data");
}

#[test]
fn every_answered_write_survives_kills_in_redis() {
    let redis = Redis::start(&[]);
    survives_kills(&format!("redis://127.0.0.1:{}", redis.port));
}

#[test]
fn a_second_process_is_refused_and_told_which_one_has_the_store() {
    let site = Site::new("embedded:./data");
    let serving = site.serve();
    let process = format!("process {}", serving.child.id());
    let create =
        ["admins", "create", "--config", "postern.yaml", "--username", "eve", "--role", "auditor"];
    for args in [&["serve", "--config", "postern.yaml"][..], &create] {
        let said = site.refused(args);
        assert!(said.contains("in use") && said.contains(&process), "{said}");
    }
    serving.admin.make("/practices", &json!({ "id": "north", "name": "North" }));
    serving.kill();
    let admins = site.serve().admin.list("/admins");
    assert_eq!(admins.len(), 1, "{admins:?}");
}

#[test]
fn a_backup_taken_while_serving_becomes_a_store_that_serves() {
    let site = Site::new("embedded:./data");
    let serving = site.serve();
    serving.admin.make("/practices", &json!({ "id": "north", "name": "North" }));
    for number in 0..5 {
        assert_eq!(serving.admin.hire(&format!("u{number}")), Some(201));
    }
    let (stop, tally) = (Arc::new(AtomicBool::new(false)), Arc::new(Tally::default()));
    tally.tried.store(5, Ordering::SeqCst);
    let writers = {
        let (admin, tally, stop) = (serving.admin.clone(), Arc::clone(&tally), Arc::clone(&stop));
        thread::spawn(move || write_until_killed(&admin, &tally, &stop))
    };
    let restored = TempDir::new().unwrap();
    write_config(restored.path(), "embedded:./data");
    fs::create_dir(restored.path().join("data")).unwrap();
    let to = restored.path().join("data/postern.db");
    let backup = ["backup", "--config", "postern.yaml", "--json", "--to", to.to_str().unwrap()];
    let made = command(site.path()).args(backup).output().unwrap();
    stop.store(true, Ordering::SeqCst);
    writers.join().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let made: Value = serde_json::from_slice(&made.stdout).unwrap();
    assert!(made["documents"].as_u64().unwrap() >= 8, "{made}");
    let again = site.refused(&backup);
    assert!(again.contains("there already"), "{again}");

    fs::create_dir(restored.path().join("secrets")).unwrap();
    fs::set_permissions(restored.path().join("secrets"), fs::Permissions::from_mode(0o700))
        .unwrap();
    for name in ["pepper", "sealing.key"] {
        let file = Path::new("secrets").join(name);
        fs::copy(site.path().join(&file), restored.path().join(&file)).unwrap();
    }
    let second = Serving::start(restored.path(), &site.token);
    let (kept, all) = (second.admin.staff(), serving.admin.staff());
    assert!(kept.len() >= 5 && kept.iter().all(|user| all.get(user.0) == Some(user.1)), "{kept:?}");
    assert_eq!(second.admin.see("/audit/verify")["ok"], true);
    assert_eq!(second.admin.hire("after"), Some(201));
}

#[test]
fn a_damaged_database_is_refused_by_name() {
    for damage in ["garbage", "truncated"] {
        let site = Site::new("embedded:./data");
        let mut bytes = fs::read(site.database()).unwrap();
        if damage == "garbage" {
            bytes.fill(b'#')
        } else {
            bytes.truncate(bytes.len() / 2)
        }
        fs::write(site.database(), &bytes).unwrap();
        let said = site.refused(&["serve", "--config", "postern.yaml"]);
        assert!(said.contains("postern.db") && said.contains("backup"), "{damage}: {said}");
        assert!(fs::read(site.database()).unwrap() == bytes, "{damage}: it was written to");
    }
}

#[test]
fn a_directory_that_cannot_be_written_is_refused_by_name() {
    let site = Site::new("embedded:./data");
    let data = site.path().join("data");
    let mut serve = command(site.path());
    serve.args(["serve", "--config", "postern.yaml"]);
    if is_root() {
        // Whom no permission stops. Somebody else is asked to serve what is theirs, and read-only.
        give_to(site.path(), NOBODY);
        serve.uid(NOBODY).gid(NOBODY);
    }
    fs::set_permissions(site.database(), fs::Permissions::from_mode(0o400)).unwrap();
    fs::set_permissions(data.join("lock"), fs::Permissions::from_mode(0o400)).unwrap();
    fs::set_permissions(&data, fs::Permissions::from_mode(0o500)).unwrap();
    let said = refused(&serve.output().unwrap());
    fs::set_permissions(&data, fs::Permissions::from_mode(0o700)).unwrap();
    assert!(said.contains("data") && said.contains("denied"), "{said}");
}

const NOBODY: u32 = 65_534;

fn is_root() -> bool {
    std::os::unix::fs::MetadataExt::uid(&fs::metadata("/proc/self").unwrap()) == 0
}

fn give_to(path: &Path, user: u32) {
    chown(path, Some(user), Some(user)).unwrap();
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            give_to(&entry.unwrap().path(), user);
        }
    }
}
