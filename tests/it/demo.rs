//! `postern demo`: the curl lines it prints do what it says.

use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use super::support::eventually;
use super::support::gateway::{BINARY, listen_to};

struct Demo(std::process::Child);

impl Drop for Demo {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
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

impl Demo {
    /// Its child and what it says on both streams, once the guide is there.
    fn start() -> (Self, Arc<Mutex<String>>, Arc<Mutex<String>>) {
        let mut child = Command::new(BINARY)
            .args(["demo", "--gateway", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (stdout, stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let mut demo = Self(child);
        let (said, logged) = (listen_to(stdout), listen_to(stderr));
        eventually("the whole text", || {
            assert!(demo.0.try_wait().unwrap().is_none(), "{}", logged.lock().unwrap());
            said.lock().unwrap().contains("Ctrl-C")
        });
        (demo, said, logged)
    }
}

#[test]
fn a_closed_terminal_ends_the_demo() {
    let (mut demo, said, logged) = Demo::start();
    let pid = demo.0.id().to_string();
    assert!(Command::new("kill").args(["-HUP", &pid]).status().unwrap().success());
    let mut ended = None;
    eventually("the end", || {
        ended = demo.0.try_wait().unwrap();
        ended.is_some()
    });
    assert!(ended.unwrap().success(), "{}", logged.lock().unwrap());
    eventually("the farewell", || said.lock().unwrap().contains("The demo is over"));
}

#[test]
fn the_printed_curl_lines_do_what_they_say() {
    let (_demo, said, _) = Demo::start();
    let text = said.lock().unwrap().clone();
    let (promises, set) = (promises(&text), assignments(&text));
    let statuses: Vec<&str> = promises.iter().map(|promise| promise.status.as_str()).collect();
    for wanted in ["200", "101", "401", "403"] {
        assert!(statuses.contains(&wanted), "no example of {wanted}:\n{text}");
    }
    for Promise { status, command } in &promises {
        assert_eq!(run(&set, command), *status, "{command}");
    }
}
