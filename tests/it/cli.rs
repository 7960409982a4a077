//! The command line through the real binary: what it prints, where, and with which exit code.

#![expect(clippy::unwrap_used, reason = "in a test, a panic is the report")]

use std::collections::HashMap;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::support::program::{Said, run};

mod faults;
mod routes;

const BIN: &str = env!("CARGO_BIN_EXE_postern");

/// A directory with files, in which the binary runs.
struct Desk {
    directory: TempDir,
    /// Of imported keys, by name; a name among the arguments of a command stands for its id.
    ids: HashMap<String, String>,
}

const CONFIG: &str = "\
listen: { gateway: 127.0.0.1:0, admin: 127.0.0.1:0 }
upstreams: { practice: { url: http://127.0.0.1:9000 } }
apis: { standard: { mount: /v1, upstream: practice, routes: routes.yaml } }
";

/// A practice with two keys, as `import` takes it.
const LINES: &str = r#"{"kind":"practice","id":"north","name":"North Clinic","api_access":true}
{"kind":"user","practice":"north","username":"ada","name":"Ada"}
{"kind":"vendor","id":"acme","name":"Acme","status":"approved"}
{"kind":"vendor_key","vendor":"acme","key":"vendor-secret-0f1e2d3c4b5a6978","random":true}
{"kind":"key","practice":"north","name":"k-read","owner":"ada","api":"standard","permissions":{"patient":"read"},"key":"secret-1-0f1e2d3c4b5a6978","random":true}
{"kind":"key","practice":"north","name":"k-all","owner":"ada","api":"standard","permissions":{"patient":"write","clinical":"read"},"vendor":"acme","key":"secret-2-0f1e2d3c4b5a6978","random":true}
"#;

const ROUTES: &str = "\
version: 1
routes:
  - path: /v1/patients/**
    category: patient
  - path: /v1/patients
    category: patient
    methods: [GET, POST]
    when:
      - { query: include, contains: notes, requires: { clinical: read } }
  - path: /v1/status
    public: true
  - path: /v1/internal/**
    deny: true
";

impl Desk {
    fn new() -> Self {
        Self::with(&[("postern.yaml", CONFIG), ("routes.yaml", ROUTES)])
    }

    fn with(files: &[(&str, &str)]) -> Self {
        let desk = Self { directory: tempfile::tempdir().unwrap(), ids: HashMap::new() };
        for (name, text) in files {
            desk.write(name, text.as_bytes());
        }
        desk
    }

    /// With a practice and its keys in the store.
    fn peopled() -> Self {
        let mut desk = Self::new();
        desk.write("lines.jsonl", LINES.as_bytes());
        let said =
            desk.run(&["import", "--config", "postern.yaml", "--from", "lines.jsonl", "--json"]);
        assert_eq!(said.code, 0, "{}", said.err);
        let made = said.out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let text = |line: &Value, field: &str| line[field].as_str().unwrap().to_owned();
        let keys = made.filter(|line| line["kind"] == "key");
        desk.ids = keys.map(|line| (text(&line, "name"), text(&line, "id"))).collect();
        desk
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn id(&self, name: &str) -> &str {
        &self.ids[name]
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path().join(name), bytes).unwrap();
    }

    fn run(&self, args: &[&str]) -> Said {
        let args = args.iter().map(|arg| self.ids.get(*arg).map_or(*arg, String::as_str));
        run(self.path(), &[], &args.collect::<Vec<_>>())
    }

    fn explain(&self, args: &[&str]) -> Value {
        let said = self.run(&[&["explain", "--config", "postern.yaml", "--json"], args].concat());
        assert_eq!(said.code, 0, "{}", said.err);
        said.json()
    }
}

#[test]
fn check_sums_up_a_configuration_without_faults() {
    let said = Desk::new().run(&["check", "--config", "postern.yaml"]);
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    assert!(
        said.out.starts_with("ok: 4 routes, 1 API, 1 upstream, 2 files read\n"),
        "{}",
        said.out
    );
    assert_eq!(said.err, "");
}

#[test]
fn check_notes_what_is_seldom_meant() {
    let desk = Desk::new();
    desk.write("postern.yaml", CONFIG.replace("gateway: 127.0.0.1", "gateway: 0.0.0.0").as_bytes());
    let said = desk.run(&["check", "--config", "postern.yaml", "--json"]);
    assert_eq!(said.code, 0, "{}", said.out);
    let notes = said.json()["notes"].to_string();
    assert!(notes.contains("0.0.0.0:0 without TLS"), "{notes}");
    let spare = CONFIG.replace("upstreams: {", "upstreams: { spare: { url: http://127.0.0.1:9 },");
    desk.write("postern.yaml", spare.as_bytes());
    let notes =
        desk.run(&["check", "--config", "postern.yaml", "--json"]).json()["notes"].to_string();
    assert!(notes.contains("no API names the upstream `spare`"), "{notes}");
}

#[test]
fn explain_has_the_fields_of_the_contract() {
    let desk = Desk::peopled();
    let explained = desk.explain(&["GET", "/v1/patients/7", "--key", "k-read"]);
    let expected = json!({
        "decision": "allow",
        "code": "",
        "rule": { "file": "routes.yaml", "line": 3, "pattern": "/v1/patients/**" },
        "needs": { "patient": "read" },
        "upstream": "practice",
        "key": desk.id("k-read"),
    });
    assert_eq!(explained, expected);
}

#[test]
fn explain_decides_as_the_gateway_does() {
    let desk = Desk::peopled();
    let upgrade = ["--header", "Upgrade: websocket", "--header", "Connection: Upgrade"];
    let websocket = [&["GET", "/v1/patients/7", "--key", "k-read"][..], &upgrade].concat();
    let twice = ["--header", "X-Subscriber-Key: a", "--header", "X-Subscriber-Key: b"];
    let twice = [&["GET", "/v1/status"][..], &twice].concat();
    let cases: [(&[&str], &str, Value); 21] = [
        (&websocket, "upgrade_not_allowed", json!({ "patient": "read" })),
        (&twice, "duplicate_credentials", json!({})),
        (&["TRACE", "/v1/status"], "malformed_request", json!({})),
        (&["TRACE", "/v1//status"], "malformed_request", json!({})),
        (&["GET", "/v1/status#top"], "ambiguous_path", json!({})),
        (&["GET", "//x", "--header", "X-HTTP-Method: PUT"], "method_override", json!({})),
        (&["OPTIONS", "/v1/status"], "route_denied", json!({})),
        (&["GET", "/.well-known/postern"], "", json!({})),
        (&["GET", "/v1/status", "--header", "X-HTTP-Method: PUT"], "method_override", json!({})),
        (&["GET", "/v1/status?access_token=x"], "credentials_in_query", json!({})),
        (&["GET", "/v1/patients/7"], "subscriber_key_missing", json!({ "patient": "read" })),
        (&["GET", "/v1/status"], "", json!({})),
        (&["GET", "/v1/nowhere"], "subscriber_key_missing", json!({})),
        (&["GET", "/v1/nowhere", "--key", "k-read"], "route_unmapped", json!({})),
        (&["PUT", "/v1/patients", "--key", "k-all"], "route_unmapped", json!({})),
        (&["GET", "/v1/internal/x", "--key", "k-all"], "route_denied", json!({})),
        (
            &["DELETE", "/v1/patients/7", "--key", "k-read"],
            "permission_denied",
            json!({ "patient": "write" }),
        ),
        (&["DELETE", "/v1/patients/7", "--key", "k-all"], "", json!({ "patient": "write" })),
        (
            &["GET", "/v1/patients?include=x,notes", "--key", "k-read"],
            "permission_denied",
            json!({ "clinical": "read", "patient": "read" }),
        ),
        (&["GET", "/v1/patients/../internal", "--key", "k-all"], "ambiguous_path", json!({})),
        (&["POST", "/v1/patients?_method=DELETE"], "method_override", json!({})),
    ];
    for (args, code, needs) in cases {
        let explained = desk.explain(args);
        assert_eq!(explained["code"], code, "{args:?} {explained}");
        assert_eq!(explained["needs"], needs, "{args:?}");
        let decision = if code.is_empty() { "allow" } else { "deny" };
        assert_eq!(explained["decision"], decision, "{args:?}");
    }
}

#[test]
fn explain_says_why_to_people() {
    let desk = Desk::peopled();
    let config = ["explain", "--config", "postern.yaml"];
    let said = desk.run(&[&config[..], &["GET", "/v1//patients"]].concat());
    assert_eq!(said.code, 0);
    assert!(said.out.starts_with("deny  ambiguous_path\n"), "{}", said.out);
    assert!(said.out.contains("two slashes in a row"), "{}", said.out);

    let said = desk.run(&[&config[..], &["GET", "/v1/patients", "--key", "nobody"]].concat());
    assert_eq!(said.code, 1);
    assert!(said.err.contains("no key `nobody`; there are "), "{}", said.err);
    assert!(!said.err.contains(desk.id("k-all")), "{}", said.err);
    let new = Desk::new().run(&[&config[..], &["GET", "/v1/patients", "--key", "nobody"]].concat());
    assert!(new.err.contains("has nothing in it yet, so there are no keys"), "{}", new.err);

    let said = desk.run(&[&config[..], &["get", "/v1/patients"]].concat());
    assert!(said.out.contains("did you mean GET?"), "{}", said.out);

    for (args, line) in [
        (
            &["GET", "/v1/nope"][..],
            "  any key  route_unmapped: what no rule speaks of is refused\n",
        ),
        (
            &["PUT", "/v1/patients"],
            "  any key  route_unmapped: the rule does not take this method\n",
        ),
        (&["GET", "/v1/internal/x"], "  any key  route_denied: the rule refuses everybody\n"),
        (&["OPTIONS", "/v1/status"], "  refused  nothing else is answered\n"),
        (
            &["GET", "/v1/status", "--header", "Expect: foo"],
            "`100-continue` is the only expectation",
        ),
    ] {
        let said = desk.run(&[&config[..], args].concat());
        assert!(said.out.contains(line), "{args:?}: {}", said.out);
    }
    let said = desk.run(&[&config[..], &["GET", "/v1/patients"]].concat());
    assert!(!said.out.contains("any key"), "{}", said.out);
}

#[test]
fn explain_shows_the_path_that_the_upstream_is_asked_for() {
    let desk = Desk::new();
    let config = CONFIG.replace("mount: /v1,", "mount: /v1, strip_mount: true,");
    desk.write("postern.yaml", config.as_bytes());
    let said = desk.run(&["explain", "--config", "postern.yaml", "GET", "/v1/patients?page=2"]);
    let line = "standard, served by upstream practice, which is asked for /patients?page=2\n";
    assert!(said.out.contains(line), "{}", said.out);
}

#[test]
fn diff_of_the_same_meaning_is_no_change() {
    let desk = Desk::new();
    let entries: Vec<&str> = ROUTES.split("  - path:").collect();
    let turned: Vec<&str> = entries[1..].iter().rev().copied().collect();
    let text = format!("{}  - path:{}", entries[0], turned.join("  - path:"));
    desk.write("turned.yaml", text.as_bytes());
    desk.write("new.yaml", CONFIG.replace("routes.yaml", "turned.yaml").as_bytes());
    let said = desk.run(&["diff", "--config", "new.yaml", "--against", "postern.yaml"]);
    assert_eq!(
        (said.code, said.out.lines().next()),
        (0, Some("no change in effect")),
        "{}",
        said.err
    );
}

#[test]
fn costs_and_limits_are_explained_and_compared() {
    let desk = Desk::peopled();
    let costly = ROUTES.replacen("public: true", "public: true\n    cost: 5", 1);
    assert_ne!(costly, ROUTES);
    desk.write("costly.yaml", costly.as_bytes());
    let config = CONFIG.replace("routes.yaml", "costly.yaml");
    desk.write("new.yaml", format!("{config}limits: {{ key: {{ rate: 600/min }} }}\n").as_bytes());
    let said = desk.run(&["diff", "--config", "new.yaml", "--against", "postern.yaml"]);
    assert!(said.out.contains("- GET HEAD POST PUT PATCH DELETE  /v1/status"), "{}", said.out);
    assert!(said.out.contains("now public, cost 5 (before: public)"), "{}", said.out);
    assert!(said.out.contains("~ limits.key: 600/min, burst 600 (new)"), "{}", said.out);
    let said = desk.run(&["explain", "--config", "new.yaml", "GET", "/v1/status"]);
    assert!(said.out.contains("cost     5 requests' worth"), "{}", said.out);
    let json = desk.run(&["explain", "--config", "new.yaml", "GET", "/v1/status", "--json"]).json();
    assert_eq!(json["cost"], 5);
    let usual = desk.run(&["explain", "--config", "postern.yaml", "GET", "/v1/status"]);
    assert!(!usual.out.contains("cost"), "{}", usual.out);
    let list = desk.run(&["routes", "list", "--config", "new.yaml"]).out;
    assert_eq!(list.matches(", cost 5").count(), 1, "{list}");
}

#[test]
fn diff_shows_who_gains_and_who_loses() {
    let desk = Desk::peopled();
    let routes = ROUTES.replace("methods: [GET, POST]", "methods: [GET, POST, DELETE]");
    desk.write("wider.yaml", routes.replace("public: true", "deny: true").as_bytes());
    let config = CONFIG.replace("routes.yaml", "wider.yaml").replace(":9000", ":9001");
    desk.write("new.yaml", config.as_bytes());
    let diff = ["diff", "--config", "new.yaml", "--against", "postern.yaml"];
    let said = desk.run(&diff);
    assert_eq!(said.code, 0, "{}", said.err);
    let key = format!("key {}\n+ DELETE  /v1/patients\n", desk.id("k-all"));
    for line in [
        "+ DELETE                         /v1/patients  now needs patient:write of standard",
        "- GET HEAD POST PUT PATCH DELETE  /v1/status",
        &key,
        "vendor acme\n+ DELETE  /v1/patients\n",
        "~ upstreams.practice.url: http://127.0.0.1:9001 (was http://127.0.0.1:9000)",
    ] {
        let squeezed =
            |text: &str| text.split(' ').filter(|w| !w.is_empty()).collect::<Vec<_>>().join(" ");
        assert!(squeezed(&said.out).contains(&squeezed(line)), "{line}\n{}", said.out);
    }
    let json = desk.run(&[&diff[..], &["--json"]].concat()).json();
    assert_eq!(json["changed"], true);
    assert_eq!(json["operations"][0]["direction"], "wider");
    assert_eq!(json["operations"][0]["after"]["needs"], json!({ "patient": "write" }));
    assert!(!said.out.contains("secret-"), "{}", said.out);
}

#[test]
fn diff_says_that_there_are_no_keys_to_compare() {
    let desk = Desk::new();
    desk.write("new.yaml", CONFIG.replace(":9000", ":9001").as_bytes());
    let said = desk.run(&["diff", "--config", "new.yaml", "--against", "postern.yaml"]);
    assert_eq!(said.code, 0, "{}", said.err);
    assert!(said.out.contains("note: the store embedded:"), "{}", said.out);
    assert!(said.out.ends_with("has nothing in it yet, so there are no keys\n"), "{}", said.out);
}

#[test]
fn a_route_map_in_place_of_a_configuration_is_recognised() {
    let desk = Desk::new();
    let said = desk.run(&["diff", "--config", "routes.yaml", "--against", "postern.yaml"]);
    assert_eq!(said.code, 1);
    let line = "routes.yaml:1:1: this is a route map, not a configuration — give the file whose `apis` name it";
    assert_eq!(said.err.lines().nth(1), Some(line), "{}", said.err);
    assert_eq!(said.err.lines().count(), 2, "{}", said.err);
}

#[test]
fn schema_is_json() {
    let desk = Desk::with(&[]);
    for args in [&["schema"][..], &["schema", "--route-map"]] {
        let said = desk.run(args);
        assert_eq!(said.code, 0, "{}", said.err);
        assert!(said.json()["$schema"].is_string(), "{args:?}");
    }
}

#[test]
fn health_is_the_status_of_the_answer() {
    let desk = Desk::with(&[]);
    for (status, code) in [("200 OK", 0), ("503 Service Unavailable", 1)] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/healthz", listener.local_addr().unwrap());
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut head = [0; 1024];
            let read = stream.read(&mut head).unwrap();
            assert!(head[..read].starts_with(b"GET /healthz HTTP/1.1\r\n"));
            stream.write_all(format!("HTTP/1.1 {status}\r\n\r\n").as_bytes()).unwrap();
        });
        let said = desk.run(&["health", "--url", &url]);
        assert_eq!(said.code, code, "{}", said.err);
        server.join().unwrap();
    }
    // `localhost` may be ::1 first, where nobody listens.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://localhost:{}/", listener.local_addr().unwrap().port());
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
        let mut head = [0; 1024];
        assert!(stream.read(&mut head).unwrap() > 0);
    });
    assert_eq!(desk.run(&["health", "--url", &url]).code, 0);
    server.join().unwrap();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let said = desk.run(&["health", "--url", &format!("http://{closed}/")]);
    assert_eq!(said.code, 1);
    assert!(said.err.starts_with("postern: no answer from"), "{}", said.err);
}

#[test]
fn usage_is_exit_code_2_and_help_is_0() {
    let desk = Desk::with(&[]);
    let wrong: [&[&str]; 8] = [
        &[],
        &["fly"],
        &["check"],
        &["check", "--config"],
        &["keys", "list"],
        &["explain", "--config", "x", "GET", "http://a/b"],
        &["explain", "--config", "x", "GET", "/", "--header", "nothing"],
        &["routes"],
    ];
    for args in wrong {
        let said = desk.run(args);
        assert_eq!(said.code, 2, "{args:?} {}", said.out);
        assert!(!said.err.is_empty() && said.out.is_empty(), "{args:?}");
    }
    for args in [&["--help"][..], &["explain", "--help"], &["routes", "import", "--help"]] {
        let said = desk.run(args);
        assert_eq!(said.code, 0, "{args:?}");
        assert!(said.out.contains("Example"), "{args:?} {}", said.out);
    }
    let said = desk.run(&["--version"]);
    assert_eq!(said.out, format!("postern {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_reader_that_goes_away_is_no_fault() {
    let desk = Desk::new();
    let routes: String =
        (0..5_000).map(|n| format!("  - {{ path: /v1/r{n}, category: patient }}\n")).collect();
    desk.write("routes.yaml", format!("version: 1\nroutes:\n{routes}").as_bytes());
    let mut child = Command::new(BIN)
        .args(["routes", "list", "--config", "postern.yaml"])
        .current_dir(desk.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}
