//! `postern demo`: the lines it prints do what it says, and it tells what becomes of a change.

use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use super::support::eventually;
use super::support::gateway::{BINARY, listen_to};

struct Demo {
    child: std::process::Child,
    said: Arc<Mutex<String>>,
    logged: Arc<Mutex<String>>,
}

impl Demo {
    /// A demo that has said all it says at the start.
    fn start() -> Self {
        let mut child = Command::new(BINARY)
            .args(["demo", "--gateway", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (stdout, stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let mut demo = Self { child, said: listen_to(stdout), logged: listen_to(stderr) };
        eventually("the whole text", || {
            assert!(demo.child.try_wait().unwrap().is_none(), "{}", demo.logged());
            demo.said().contains("Ctrl-C")
        });
        demo
    }

    fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    fn logged(&self) -> String {
        self.logged.lock().unwrap().clone()
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A printed command and the status that is promised beside it.
struct Promise {
    status: String,
    command: String,
}

/// Lines of `✓ what  STATUS` or `✗ what  STATUS code`, each followed by its curl line.
fn promises(text: &str) -> Vec<Promise> {
    let mut found = Vec::new();
    let mut status = String::new();
    for line in text.lines().map(str::trim) {
        if line.starts_with(['✓', '✗']) {
            let numbers = line
                .split_whitespace()
                .filter(|word| word.len() == 3 && word.parse::<u16>().is_ok());
            status = numbers.max().unwrap_or_default().to_owned();
        } else if line.starts_with("curl") {
            found.push(Promise { status: status.clone(), command: line.to_owned() });
        }
    }
    found
}

/// What the shell is asked to remember: keys and addresses.
fn assignments(text: &str) -> String {
    let named = |line: &&str| {
        let name = line.split('=').next().unwrap_or_default();
        line.contains('=') && !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_uppercase())
    };
    text.lines().map(str::trim).filter(named).collect::<Vec<_>>().join("\n")
}

fn run(set: &str, command: &str) -> String {
    let directory = tempfile::TempDir::new().unwrap();
    let script = format!("{set}\n{command} --max-time 5 -s -w '\n%{{http_code}}'");
    let output =
        Command::new("sh").args(["-c", &script]).current_dir(directory.path()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    said.lines().last().unwrap_or_default().to_owned()
}

#[test]
fn a_closed_terminal_ends_the_demo() {
    let mut demo = Demo::start();
    let pid = demo.child.id().to_string();
    assert!(Command::new("kill").args(["-HUP", &pid]).status().unwrap().success());
    let mut ended = None;
    eventually("the end", || {
        ended = demo.child.try_wait().unwrap();
        ended.is_some()
    });
    assert!(ended.unwrap().success(), "{}", demo.logged());
    eventually("the farewell", || demo.said().contains("The demo is over"));
}

#[test]
fn the_printed_curl_lines_do_what_they_say() {
    let demo = Demo::start();
    let text = demo.said();
    let (promises, set) = (promises(&text), assignments(&text));
    let statuses: Vec<&str> = promises.iter().map(|promise| promise.status.as_str()).collect();
    for wanted in ["200", "101", "401", "403"] {
        assert!(statuses.contains(&wanted), "no example of {wanted}:\n{text}");
    }
    for Promise { status, command } in &promises {
        assert_eq!(run(&set, command), *status, "{command}");
    }
}

#[test]
fn the_printed_explanation_works_and_a_saved_change_is_told_of() {
    let demo = Demo::start();
    let text = demo.said();
    let line = text.lines().find(|line| line.contains(" explain --config ")).unwrap().trim();
    let output = Command::new("sh").args(["-c", line]).output().unwrap();
    let explained = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(explained.starts_with("deny  permission_denied\n"), "{line}: {explained}");

    let config = line.split_whitespace().find(|word| word.ends_with("/postern.yaml")).unwrap();
    let routes = config.replace("postern.yaml", "routes.yaml");
    let good = std::fs::read_to_string(&routes).unwrap();
    std::fs::write(&routes, good.replace("category: clinical", "category: clincal")).unwrap();
    eventually("a word on the fault", || demo.said().contains("not taken"));
    let told = demo.said();
    assert!(told.contains(&format!("    {routes}:17:15: ")), "{told}");
    std::fs::write(&routes, good + "  - { path: /v1/payroll, category: system }\n").unwrap();
    eventually("a word on the change", || demo.said().contains("Your change is taken."));
    assert_eq!(demo.logged(), "");
}
