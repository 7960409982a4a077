//! Managing keys from the command line: in a store that nobody serves, and through the admin API of a gateway that runs.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::support::fixture::{self, has_secret, import_lines, key_id, operator, vendor_key};
use super::support::program::{Said, run};
use super::support::setup::Setup;
use super::support::{Answer, Gateway, Upstream};

mod history;
mod listener;

/// A gateway that runs, and the operator's command line beside it.
struct Office {
    upstream: Upstream,
    gateway: Gateway,
    url: String,
}

impl Office {
    fn open() -> Self {
        let upstream = Upstream::ok();
        let gateway = Gateway::over(&upstream).start();
        let url = format!("http://{}", gateway.admin);
        Self { upstream, gateway, url }
    }

    fn postern(&self, args: &[&str]) -> Said {
        let variables = [("POSTERN_ADMIN_URL", &*self.url), ("POSTERN_ADMIN_TOKEN", operator())];
        run(self.gateway.directory.path(), &variables, args)
    }

    fn json(&self, args: &[&str]) -> Value {
        self.postern(&[args, &["--json"]].concat()).done().json()
    }

    /// What a subscriber key gets.
    fn get(&self, subscriber: &str) -> Answer {
        self.get_as(subscriber, &vendor_key("acme"))
    }

    fn get_as(&self, subscriber: &str, vendor: &str) -> Answer {
        let head = format!(
            "GET /v1/appointments HTTP/1.1\r\nHost: gw.test\r\nX-Subscriber-Key: {subscriber}\r\n\
             X-Vendor-Key: {vendor}\r\n\r\n"
        );
        self.gateway.send(head.as_bytes())
    }
}

fn text(value: &Value, field: &str) -> String {
    value[field].as_str().unwrap_or_else(|| panic!("no {field} in {value}")).to_owned()
}

/// A directory with a configuration and no store.
fn empty_desk() -> tempfile::TempDir {
    let desk = tempfile::tempdir().unwrap();
    Setup::to(&["http://127.0.0.1:9".to_owned()]).write_files(desk.path());
    fs::write(desk.path().join("lines.jsonl"), import_lines()).unwrap();
    desk
}

/// Every file below a directory.
fn files(directory: &Path) -> Vec<Vec<u8>> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let read = |path: std::path::PathBuf| {
        if path.is_dir() { files(&path) } else { vec![fs::read(path).unwrap()] }
    };
    entries.flat_map(read).collect()
}

fn is_on_disk(directory: &Path, secret: &str) -> bool {
    let bytes = secret.as_bytes();
    files(directory).iter().any(|file| file.windows(bytes.len()).any(|window| window == bytes))
}

const IMPORT: [&str; 5] = ["import", "--config", "postern.yaml", "--from", "lines.jsonl"];
const EXPORT: [&str; 3] = ["export", "--config", "postern.yaml"];

#[test]
fn the_first_operator_is_made_where_nobody_serves_and_is_shown_once() {
    let desk = empty_desk();
    let create = ["admins", "create", "--config", "postern.yaml", "--role", "operator"];
    let create = |name| run(desk.path(), &[], &[&create[..], &["--username", name]].concat());
    let made = create("ana").done().json();
    assert_eq!(made["username"], "ana");
    let (password, token) = (text(&made, "password"), text(&made, "token"));
    assert!(password.len() >= 16 && token.starts_with("pst_adm_"), "their form");
    for secret in [&password, &token] {
        assert!(!is_on_disk(desk.path(), secret), "a secret on disk");
    }
    let again = create("ana");
    assert_eq!((again.code, again.out.as_str()), (1, ""));
    assert!(again.err.contains("`ana` is there already"), "{}", again.err);
    assert_eq!(create("b:d").code, 2);
}

#[test]
fn a_store_that_a_gateway_has_is_not_changed_beside_it() {
    let office = Office::open();
    let directory = office.gateway.directory.path();
    fs::write(
        directory.join("lines.jsonl"),
        "{\"kind\":\"practice\",\"id\":\"b\",\"name\":\"B\"}\n",
    )
    .unwrap();
    let id = key_id("key-all");
    let create =
        ["admins", "create", "--config", "postern.yaml", "--username", "x", "--role", "auditor"];
    let revoke = ["keys", "revoke", "--config", "postern.yaml", id];
    for args in [&create[..], &IMPORT, &revoke] {
        let said = run(directory, &[], args);
        assert_eq!((said.code, said.out.as_str()), (1, ""), "{args:?}");
        assert!(said.err.contains("POSTERN_ADMIN_URL="), "{args:?}: {}", said.err);
    }
    assert_eq!(office.gateway.get("/v1/appointments").status, 200);
}

#[test]
fn a_key_lives_its_life_through_the_admin_api() {
    let office = Office::open();
    let create =
        ["keys", "create", "--practice", "north", "--name", "Website", "--owner", "dr-lee"];
    let rules = ["--api", "standard", "--permission", "appointment=read,patient=write"];
    let made = office.json(&[&create[..], &rules].concat());
    let (id, key) = (text(&made, "id"), text(&made, "key"));
    assert_eq!(office.get(&key).status, 200);
    assert_eq!(office.upstream.only().head.one("x-postern-key-id"), Some(&*id));

    let shown = office.postern(&["keys", "show", &id]).done();
    assert!(!has_secret(&shown.out), "{}", shown.out);
    assert!(shown.out.contains("appointment:read patient:write"), "{}", shown.out);
    let listed = office.postern(&["keys", "list", "--practice", "north"]).done();
    assert!(listed.out.starts_with("ID ") && listed.out.contains(&id), "{}", listed.out);
    let everywhere = office.json(&["keys", "list"]);
    assert_eq!(everywhere["items"].as_array().unwrap().len(), fixture::KEYS.len() + 1);

    office.postern(&["keys", "edit", &id, "--disable"]).done();
    assert_eq!(office.get(&key).code(), "key_disabled");
    office.postern(&["keys", "edit", &id, "--enable", "--permission", "patient=read"]).done();
    assert_eq!(office.get(&key).code(), "permission_denied");
    let changed = office.json(&["keys", "edit", &id, "--permission", "appointment=read"]);
    assert_eq!(changed["permissions"]["appointment"], "read");
    assert_eq!(office.postern(&["keys", "edit", &id]).code, 2);

    let successor = office.json(&["keys", "rotate", &id, "--overlap", "1h"]);
    let (new_id, new_key) = (text(&successor, "id"), text(&successor, "key"));
    assert_eq!((office.get(&key).status, office.get(&new_key).status), (200, 200));
    assert_eq!(office.json(&["keys", "show", &id])["replaced_by"], new_id.as_str());

    let receipt = office.json(&["keys", "revoke", &new_id]);
    assert_eq!(office.get(&new_key).code(), "key_revoked");
    let again = office.json(&["keys", "revoke", &new_id]);
    assert_eq!(again["revoked_at"], receipt["revoked_at"]);
    assert_eq!(office.get(&key).status, 200);
}

#[test]
fn vendors_and_practices_are_managed_too() {
    let office = Office::open();
    let create =
        ["vendors", "create", "--id", "newco", "--name", "New Co", "--contact", "a@b.example"];
    assert_eq!(office.json(&create)["status"], "pending");
    let made = office.json(&["vendors", "keys", "create", "newco"]);
    let (vendor_id, vendor) = (text(&made, "id"), text(&made, "key"));
    let subscriber = fixture::key("key-all");
    let call = || office.get_as(&subscriber, &vendor);
    assert_eq!(call().code(), "vendor_not_approved");
    office
        .postern(&["vendors", "edit", "newco", "--status", "approved", "--review", "good"])
        .done();
    assert_eq!(call().status, 200);
    office.postern(&["practices", "edit", "north", "--api-access", "off"]).done();
    assert_eq!(call().code(), "api_access_disabled");
    office.postern(&["practices", "edit", "north", "--api-access", "on"]).done();
    office.postern(&["vendors", "keys", "revoke", "newco", &vendor_id]).done();
    assert_eq!(call().code(), "invalid_credentials");

    let south = ["practices", "create", "--id", "south", "--name", "South"];
    assert_eq!(office.json(&south)["id"], "south");
    let user = ["practices", "users", "create", "south", "--username", "o'hara?", "--name", "O"];
    office.postern(&user).done();
    let users = office.json(&["practices", "users", "list", "south"]);
    assert_eq!(users["items"][0]["username"], "o'hara?");
    office.postern(&["practices", "users", "delete", "south", "o'hara?"]).done();
    assert_eq!(office.json(&["practices", "users", "list", "south"])["items"], json!([]));
}

#[test]
fn admins_are_managed_through_the_admin_api() {
    let office = Office::open();
    let create = ["admins", "create", "--username", "lee", "--role", "practice-admin"];
    let made = office.json(&[&create[..], &["--practice", "north"]].concat());
    let lee = text(&made, "token");
    let as_lee = |args: &[&str]| {
        let variables = [("POSTERN_ADMIN_URL", &*office.url), ("POSTERN_ADMIN_TOKEN", &*lee)];
        run(office.gateway.directory.path(), &variables, args)
    };
    as_lee(&["keys", "list", "--practice", "north"]).done();
    let refused = as_lee(&["vendors", "create", "--id", "mine", "--name", "Mine"]);
    assert_eq!((refused.code, refused.out.as_str()), (1, ""));
    assert!(refused.err.contains("(403"), "{}", refused.err);
    let listed = office.postern(&["admins", "list"]).done();
    assert!(listed.out.contains("lee       practice-admin  north"), "{}", listed.out);
    office.postern(&["admins", "delete", "lee"]).done();
    let gone = as_lee(&["keys", "list", "--practice", "north"]);
    assert!(gone.code == 1 && gone.err.contains("(401"), "{}", gone.err);
    assert!(!has_secret(&gone.err), "a token in an error");
}

#[test]
fn faulty_lines_are_named_and_nothing_is_written() {
    let faulty = "{\"kind\":\"practice\",\"id\":\"east\",\"name\":\"East\"}\n\
                  {\"kind\":\"practice\",\"id\":\"No Good\",\"name\":\"B\"}\n\
                  \n\
                  {\"kind\":\"key\",\"practice\":\"nowhere\",\"name\":\"x\",\"owner\":\"y\",\"api\":\"standard\"}\n";
    let is_named = |said: &Said| {
        assert_eq!((said.code, said.out.as_str()), (1, ""), "{}", said.err);
        for line in ["\nlines.jsonl:2: ", "\nlines.jsonl:4: "] {
            assert!(said.err.contains(line), "{line}: {}", said.err);
        }
        assert!(!said.err.contains("lines.jsonl:1:"), "{}", said.err);
    };
    let desk = empty_desk();
    fs::write(desk.path().join("lines.jsonl"), faulty).unwrap();
    is_named(&run(desk.path(), &[], &IMPORT));
    assert_eq!(run(desk.path(), &[], &EXPORT).out, "");

    let office = Office::open();
    fs::write(office.gateway.directory.path().join("lines.jsonl"), faulty).unwrap();
    is_named(&office.postern(&["import", "--from", "lines.jsonl"]));
    assert_eq!(office.json(&["practices", "list"])["items"].as_array().unwrap().len(), 1);
}

#[test]
fn an_import_tells_what_it_made_and_shows_only_its_own_keys() {
    let office = Office::open();
    let lines = [
        json!({ "kind": "practice", "id": "east", "name": "East", "api_access": true }),
        json!({ "kind": "user", "practice": "east", "username": "bo", "name": "Bo" }),
        json!({ "kind": "key", "practice": "east", "name": "made", "owner": "bo", "api": "standard",
                "permissions": { "appointment": "read" } }),
        json!({ "kind": "key", "practice": "east", "name": "brought", "owner": "bo", "api": "standard",
                "permissions": { "appointment": "read" }, "key": "0123456789abcdef0123456789abcdef", "random": true }),
    ];
    let lines: String = lines.iter().map(|line| format!("{line}\n")).collect();
    fs::write(office.gateway.directory.path().join("lines.jsonl"), &lines).unwrap();
    let desk = empty_desk();
    fs::write(desk.path().join("lines.jsonl"), &lines).unwrap();
    let there = office.postern(&["keys", "import", "--from", "lines.jsonl", "--json"]).done();
    let here = run(desk.path(), &[], &[&IMPORT[..], &["--json"]].concat()).done();
    for said in [&here, &there] {
        let made = said.lines();
        let kinds: Vec<String> = made.iter().map(|line| text(line, "kind")).collect();
        assert_eq!(kinds, ["practice", "user", "key", "key"]);
        assert_eq!((&made[2]["name"], &made[2]["practice"]), (&json!("made"), &json!("east")));
        assert!(text(&made[2], "key").starts_with("pst_sub_"));
        assert_eq!((&made[3]["name"], &made[3]["key"]), (&json!("brought"), &Value::Null));
    }
    assert_eq!(office.get("0123456789abcdef0123456789abcdef").status, 200);
    assert_eq!(office.get(&text(&there.lines()[2], "key")).status, 200);
    assert!(!is_on_disk(desk.path(), &text(&here.lines()[2], "key")), "a key on disk");
}

#[test]
fn what_is_exported_can_be_imported_and_has_no_secret() {
    let office = Office::open();
    let directory = office.gateway.directory.path();
    // Beside the gateway that has the store.
    let exported = run(directory, &[], &EXPORT).done().out;
    assert!(!has_secret(&exported) && !exported.contains("argon2"), "{exported}");
    assert_eq!(exported.lines().filter(|line| line.contains("\"kind\":\"key\"")).count(), 8);
    let desk = empty_desk();
    fs::write(desk.path().join("lines.jsonl"), &exported).unwrap();
    run(desk.path(), &[], &IMPORT).done();
    let sorted = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort_unstable();
        lines
    };
    let again = run(desk.path(), &[], &EXPORT).done().out;
    assert_eq!(sorted(&again), sorted(&exported));
}

#[test]
fn a_key_is_revoked_while_no_gateway_runs() {
    let upstream = Upstream::ok();
    let setup = Gateway::over(&upstream);
    let desk = tempfile::tempdir().unwrap();
    setup.write(desk.path());
    let id = key_id("key-read");
    let said = run(desk.path(), &[], &["keys", "revoke", "--config", "postern.yaml", id]).done();
    assert!(said.out.starts_with(&format!("{id} is revoked")), "{}", said.out);
    let nobody = ["keys", "revoke", "--config", "postern.yaml", "nobodyshere1"];
    assert_eq!(run(desk.path(), &[], &nobody).code, 1);
    let explain =
        ["explain", "--config", "postern.yaml", "GET", "/v1/appointments", "--json", "--key"];
    let explain = |id: &str| run(desk.path(), &[], &[&explain[..], &[id]].concat()).done().json();
    assert_eq!(explain(id)["code"], "key_revoked");
    assert_eq!(explain(key_id("key-all"))["decision"], "allow");
    assert_eq!(run(desk.path(), &[], &EXPORT).done().out.matches("\"kind\":\"key\"").count(), 7);
    let gateway = Gateway::start_in(&setup, desk);
    let answer = gateway.request("GET", "/v1/appointments", "key-read");
    assert_eq!((answer.status, answer.code()), (401, "key_revoked".to_owned()));
    assert_eq!(gateway.get("/v1/appointments").status, 200);
}

#[test]
fn explain_tells_the_standing_that_the_gateway_refuses_by() {
    let office = Office::open();
    let explain = |name: &str| {
        let args =
            ["explain", "--config", "postern.yaml", "GET", "/v1/appointments", "--json", "--key"];
        let said =
            run(office.gateway.directory.path(), &[], &[&args[..], &[key_id(name)]].concat());
        text(&said.done().json(), "code")
    };
    assert_eq!(explain("key-bound"), "");
    office.postern(&["vendors", "edit", "beta", "--status", "suspended"]).done();
    assert_eq!(
        (explain("key-bound"), explain("key-all")),
        ("vendor_not_approved".into(), "".into())
    );
    office.postern(&["keys", "edit", key_id("key-read"), "--disable"]).done();
    assert_eq!(explain("key-read"), "key_disabled");
    office.postern(&["practices", "edit", "north", "--api-access", "off"]).done();
    assert_eq!(explain("key-all"), "api_access_disabled");
    assert_eq!(office.gateway.get("/v1/appointments").code(), "api_access_disabled");
}
