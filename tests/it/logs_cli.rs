//! Access records from the command line: exported from a store, a journal and through the admin API, and followed.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::Value;

use super::support::fixture::{operator, request};
use super::support::gateway::BINARY;
use super::support::program::{Said, run};
use super::support::{Gateway, Upstream, eventually};

const FROM_STORE: [&str; 4] = ["logs", "export", "--config", "postern.yaml"];

/// A gateway that was asked some things: each answer's request id.
struct Asked {
    gateway: Gateway,
    ids: Vec<String>,
    _upstream: Upstream,
}

impl Asked {
    fn with(log: &str, requests: usize) -> Self {
        let upstream = Upstream::ok();
        let gateway = Gateway::over(&upstream).top(log).start();
        let mut asked = Self { gateway, ids: Vec::new(), _upstream: upstream };
        (0..requests).for_each(|_| asked.ask("key-all", "/v1/appointments"));
        asked
    }

    fn ask(&mut self, key: &str, target: &str) {
        let answer = self.gateway.send(&request("GET", target, key));
        self.ids.push(answer.head.one("x-request-id").unwrap().to_owned());
    }

    fn postern(&self, args: &[&str]) -> Said {
        let url = format!("http://{}", self.gateway.admin);
        let variables = [("POSTERN_ADMIN_URL", &*url), ("POSTERN_ADMIN_TOKEN", operator())];
        run(self.gateway.directory.path(), &variables, args)
    }

    /// The records of an export hold each request once, the oldest first.
    fn assert_whole(&self, said: &Said) {
        let records = said.lines();
        let times: Vec<&str> =
            records.iter().map(|record| record["ts"].as_str().unwrap()).collect();
        assert!(times.is_sorted(), "{times:?}");
        let mut found = request_ids(&records);
        found.sort();
        let mut expected = self.ids.clone();
        expected.sort();
        assert_eq!(found, expected);
    }

    /// Waits until the store has everything.
    fn shipped(&self) {
        eventually("the store has all records", || {
            let ready = self.gateway.admin_get("/readyz").json();
            ready["journal"]["waiting"] == 0
        });
    }
}

fn request_ids(records: &[Value]) -> Vec<String> {
    records.iter().map(|record| record["request_id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn an_export_has_what_is_shipped_and_what_is_not_each_once() {
    let mut asked = Asked::with("", 30);
    asked.ask("key-none", "/v1/patients");
    asked.shipped();
    // Beside the gateway, and while it goes on.
    asked.assert_whole(&asked.postern(&FROM_STORE).done());
    asked.assert_whole(&asked.postern(&["logs", "export"]).done());
    asked.ask("key-all", "/v1/patients");
    asked.assert_whole(&asked.postern(&FROM_STORE).done());
    // After it was killed: what was not shipped is in the journal.
    (0..20).for_each(|_| asked.ask("key-all", "/v1/appointments"));
    asked.gateway.signal("KILL");
    asked.gateway.end();
    asked.assert_whole(&asked.postern(&FROM_STORE).done());
}

#[test]
fn after_the_end_everything_is_exported() {
    let mut asked = Asked::with("", 25);
    asked.gateway.signal("TERM");
    assert_eq!(asked.gateway.end().code(), Some(0));
    let said = asked.postern(&FROM_STORE).done();
    asked.assert_whole(&said);
    let record = &said.lines()[0];
    for field in ["id", "node", "practice", "key", "vendor", "route", "bytes_out", "duration_us"] {
        assert!(!record[field].is_null(), "no {field} in {record}");
    }
    assert_eq!((&record["status"], &record["decision"]), (&200.into(), &"allow".into()));
}

#[test]
fn only_what_is_asked_for_is_exported() {
    let mut asked = Asked::with("", 3);
    asked.ask("key-none", "/v1/patients");
    asked.shipped();
    for source in [&FROM_STORE[..], &["logs", "export"]] {
        let export = |more: &[&str]| asked.postern(&[source, more].concat()).done();
        let denied = export(&["--decision", "deny"]).lines();
        assert_eq!(request_ids(&denied), asked.ids[3..], "{source:?}");
        assert_eq!(denied[0]["code"], "permission_denied");
        assert_eq!(export(&["--status", "2xx"]).lines().len(), 3, "{source:?}");
        assert_eq!(export(&["--to", "2020-01-01T00:00:00Z"]).out, "", "{source:?}");
        assert_eq!(export(&["--from", "2020-01-01T00:00:00Z"]).lines().len(), 4, "{source:?}");
        let key = denied[0]["key"].as_str().unwrap();
        assert_eq!(export(&["--key", key]).lines(), denied, "{source:?}");
        let csv = export(&["--format", "csv", "--status", "403"]).out;
        let lines: Vec<&str> = csv.lines().collect();
        assert!(lines[0].starts_with("id,ts,node,request_id,") && lines.len() == 2, "{csv}");
        assert!(lines[1].contains(&asked.ids[3]), "{csv}");
    }
    let wrong = asked.postern(&["logs", "export", "--status", "many"]);
    assert_eq!((wrong.code, wrong.out.as_str()), (2, ""));
}

#[test]
fn a_journal_alone_is_enough() {
    // Where nothing can be shipped, so that all of it is there.
    let mut asked = Asked::with("log: { dir: ./journal }", 12);
    asked.gateway.signal("KILL");
    asked.gateway.end();
    let copy = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(asked.gateway.directory.path().join("journal")).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    let dir = copy.path().display().to_string();
    let said = run(copy.path(), &[], &["logs", "export", "--journal", &dir]).done();
    let found: BTreeSet<String> = request_ids(&said.lines()).into_iter().collect();
    // What was shipped may be deleted already; the last segment never is.
    assert!(found.contains(asked.ids.last().unwrap()), "{found:?}");
    let missing = run(copy.path(), &[], &["logs", "export", "--journal", "not-there"]);
    assert_eq!((missing.code, missing.out.as_str()), (1, ""));
    assert!(missing.err.contains("not-there"), "{}", missing.err);
}

/// `postern logs tail`, line by line.
struct Tail {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Tail {
    fn start(asked: &Asked, args: &[&str]) -> Self {
        let mut child = Command::new(BINARY)
            .args(["logs", "tail"])
            .args(args)
            .env("POSTERN_ADMIN_URL", format!("http://{}", asked.gateway.admin))
            .env("POSTERN_ADMIN_TOKEN", operator())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self { child, lines }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        line
    }

    fn request_id(&mut self) -> String {
        let line = self.line();
        let record: Value = serde_json::from_str(&line).unwrap();
        record["request_id"].as_str().unwrap().to_owned()
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn the_tail_shows_the_last_ones_and_then_each_new_one_once() {
    let mut asked = Asked::with("", 6);
    asked.shipped();
    let mut tail = Tail::start(&asked, &["-n", "2"]);
    let shown: Vec<String> = (0..2).map(|_| tail.request_id()).collect();
    assert_eq!(shown, asked.ids[4..]);
    for _ in 0..3 {
        asked.ask("key-all", "/v1/appointments");
        assert_eq!(tail.request_id(), *asked.ids.last().unwrap());
    }
    asked.ask("key-none", "/v1/patients");
    let mut for_people = Tail::start(&asked, &["-n", "1", "--text", "--decision", "deny"]);
    let line = for_people.line();
    assert!(line.contains("deny") && line.contains("permission_denied"), "{line}");
}

#[test]
fn a_reader_that_goes_away_ends_it_quietly() {
    let asked = Asked::with("", 10);
    asked.shipped();
    let script = format!("{BINARY} logs export | head -n 1; echo ${{PIPESTATUS[0]}}");
    let output = Command::new("bash")
        .args(["-c", &script])
        .env("POSTERN_ADMIN_URL", format!("http://{}", asked.gateway.admin))
        .env("POSTERN_ADMIN_TOKEN", operator())
        .output()
        .unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    assert_eq!((out.lines().nth(1), output.stderr.as_slice()), (Some("0"), &b""[..]), "{out}");
}

#[test]
fn where_the_journal_is_in_use_or_cannot_be_made_nothing_starts() {
    let asked = Asked::with("log: { dir: ./journal }", 0);
    let directory = asked.gateway.directory.path();
    let other = tempfile::tempdir().unwrap();
    let journal = directory.join("journal");
    for dir in [journal.to_str().unwrap(), "/proc/nowhere"] {
        let setup = Gateway::over(&asked._upstream).top(&format!("log: {{ dir: {dir} }}"));
        setup.write(other.path());
        let said = run(other.path(), &[], &["serve", "--config", "postern.yaml"]);
        assert_eq!((said.code, said.out.as_str()), (1, ""), "{dir}");
        assert!(said.err.contains("log.dir"), "{}", said.err);
    }
}

#[test]
fn metrics_and_readiness_tell_of_records() {
    let asked = Asked::with("", 5);
    asked.shipped();
    let metrics = asked.gateway.admin_get("/metrics").text();
    for line in [
        "postern_records_begun_total 5",
        "postern_records_completed_total 5",
        "postern_records_shipped_total 5",
        "postern_records_waiting 0",
        "postern_shipping_failing 0",
        "postern_records_gone_total 0",
    ] {
        assert!(metrics.lines().any(|found| found == line), "no {line} in\n{metrics}");
    }
    let ready = asked.gateway.admin_get("/readyz").json();
    assert_eq!(ready["journal"]["status"], "writing");
    assert_eq!(ready["journal"]["shipping"]["status"], "current");
}
