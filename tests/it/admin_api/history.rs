//! Usage, activity and alerts over the admin API: what was asked of the gateway is what they show, to those who may see it.

use serde_json::{Value, json};

use crate::support::admin::{Client, Office, assert_refused, faulty_fields};
use crate::support::eventually;
use crate::support::wire::{Answer, Wire};

/// A key of `north` that may read patients, and what calls with it.
struct Caller {
    office: Office,
    id: String,
    headers: String,
}

impl Caller {
    fn new() -> Self {
        let office = Office::furnished();
        let made = office.key("north");
        let vendor = office.keep(&office.operator.make("/vendors/acme/keys", &json!({}))["key"]);
        let key = made["key"].as_str().unwrap();
        let headers = format!("Host: gw\r\nX-Subscriber-Key: {key}\r\nX-Vendor-Key: {vendor}\r\n");
        Self { id: made["id"].as_str().unwrap().to_owned(), office, headers }
    }

    fn send(&self, target: &str, headers: &str) -> u16 {
        let mut wire = Wire::to(self.office.gateway);
        let head = format!(
            "GET {target} HTTP/1.1\r\n{headers}User-Agent: =cmd\r\nConnection: close\r\n\r\n"
        );
        wire.send(head.as_bytes());
        wire.answer().status
    }

    /// Three that no upstream answers, two that are not permitted, and one of a stranger.
    fn ask(&self) {
        for id in 1..=3 {
            assert_eq!(self.send(&format!("/v1/patients/{id}"), &self.headers), 502);
        }
        for _ in 0..2 {
            assert_eq!(self.send("/v1/files/7", &self.headers), 403);
        }
        assert_eq!(self.send("/v1/patients/1", "Host: gw\r\n"), 401);
        self.arrived(5);
    }

    fn activity(&self, query: &str) -> Vec<Value> {
        let found = self.office.operator.see(&format!("/keys/{}/activity{query}", self.id));
        found["items"].as_array().unwrap().clone()
    }

    /// Until the store has so many records of the key.
    fn arrived(&self, count: usize) {
        eventually("records in the store", || self.activity("?limit=200").len() >= count);
    }
}

#[test]
fn usage_is_what_the_records_add_up_to_and_the_key_says_the_same() {
    let caller = Caller::new();
    caller.ask();
    let operator = &caller.office.operator;
    let of_key = operator.see(&format!("/keys/{}/usage", caller.id));
    let items = of_key["items"].as_array().unwrap();
    assert_eq!(items.len(), 30, "every day, those without requests too");
    let asked: u64 = items.iter().map(|item| item["requests"].as_u64().unwrap()).sum();
    assert_eq!(asked, 5);
    let counts = |total: &Value| {
        ["requests", "errors", "client_errors", "denied"].map(|name| total[name].as_u64().unwrap())
    };
    assert_eq!(counts(&of_key["total"]), [5, 3, 0, 2]);
    assert_eq!(of_key["total"]["error_rate"], json!(1.0));
    assert!(of_key["total"]["p95_ms"].as_f64().unwrap() > 0.0);
    assert_eq!(items[0]["p50_ms"], json!(null));
    for query in ["?step=hour", "?step=day&from=2020-01-01T00:00:00Z&to=2020-01-03"] {
        let found = operator.see(&format!("/practices/north/usage{query}"));
        let length = found["items"].as_array().unwrap().len();
        assert_eq!(length, if query == "?step=hour" { 48 } else { 2 });
    }
    assert_eq!(counts(&operator.see("/practices/north/usage")["total"]), [5, 3, 0, 2]);
    assert_eq!(counts(&operator.see("/practices/south/usage")["total"]), [0, 0, 0, 0]);
    let key = operator.see(&format!("/keys/{}", caller.id));
    assert_eq!((&key["requests_today"], &key["error_rate_today"]), (&json!(5), &json!(1.0)));
    assert_eq!(operator.see("/practices/north/keys")["items"], json!([key]));
}

#[test]
fn activity_is_newest_first_and_is_filtered() {
    let caller = Caller::new();
    caller.ask();
    let records = caller.activity("");
    let of = |name: &str| records.iter().map(|record| record[name].clone()).collect::<Vec<_>>();
    assert_eq!(of("status"), [403, 403, 502, 502, 502]);
    assert_eq!(of("code")[..3], ["permission_denied", "permission_denied", "upstream_unreachable"]);
    assert!(of("key").iter().all(|key| *key == caller.id.as_str()));
    let times = of("ts");
    let mut sorted = times.clone();
    sorted.sort_by(|one, other| other.as_str().cmp(&one.as_str()));
    assert_eq!(times, sorted);
    for (query, count) in [
        ("?status=403", 2),
        ("?status=4xx", 2),
        ("?status=5xx", 3),
        ("?status=200", 0),
        ("?category=patient", 3),
        ("?category=files&decision=deny", 2),
        ("?decision=allow", 3),
        ("?vendor=acme", 5),
        ("?vendor=beta", 0),
        ("?to=2020-01-01", 0),
        ("?from=2020-01-01", 5),
    ] {
        assert_eq!(caller.activity(query).len(), count, "{query}");
    }
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("/keys/{}/activity?limit=2{cursor}", caller.id);
        let page = caller.office.operator.see(&path);
        seen.extend(page["items"].as_array().unwrap().iter().map(|item| item["id"].clone()));
        let Some(next) = page["next"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(seen, of("id"));
}

#[test]
fn what_cannot_be_asked_is_named() {
    let office = Office::furnished();
    let id = office.key("north")["id"].as_str().unwrap().to_owned();
    for (query, field) in [
        ("activity?status=44xx", "status"),
        ("activity?form=2026-01-01", "form"),
        ("activity?from=yesterday", "from"),
        ("activity?to=2026-02-30", "to"),
        ("activity?from=2026-02-02&to=2026-02-01", "from"),
        ("activity?from=2026-02-01&to=2026-02-01&format=csv", "from"),
        ("activity?decision=maybe", "decision"),
        ("activity?vendor=No+Such", "vendor"),
        ("activity?category=", "category"),
        ("activity?limit=0", "limit"),
        ("activity?limit=201", "limit"),
        ("activity?format=csv&limit=10001", "limit"),
        ("activity?format=xml", "format"),
        ("activity?cursor=AAAA", "cursor"),
        ("activity?practice=north", "practice"),
        ("usage?step=week", "step"),
        ("usage?from=2001-01-01", "from"),
        ("usage?from=2026-02-02&to=2026-02-01", "from"),
        ("usage?limit=3", "limit"),
    ] {
        let answer = office.operator.get(&format!("/keys/{id}/{query}"));
        assert_eq!(faulty_fields(&answer), [field], "{query}");
    }
}

fn sheet(client: &Client, target: &str) -> Answer {
    let answer = client.raw("GET", target, "Accept: text/csv\r\n", b"");
    assert_eq!(answer.status, 200, "{target}: {}", answer.text());
    assert_eq!(answer.head.one("content-type"), Some("text/csv; charset=utf-8"));
    answer
}

#[test]
fn csv_goes_on_where_the_link_says_and_runs_no_formula() {
    let caller = Caller::new();
    caller.ask();
    let operator = &caller.office.operator;
    let mut target = format!("/api/v1/keys/{}/activity?limit=2&status=5xx", caller.id);
    let mut lines = Vec::new();
    loop {
        let answer = sheet(operator, &target);
        let kept = answer.head.one("content-disposition").unwrap();
        assert!(kept.starts_with("attachment; filename=\"activity-"), "{kept}");
        let text = answer.text();
        let mut found = text.split_terminator("\r\n").map(str::to_owned);
        assert!(found.next().unwrap().starts_with("id,ts,node,"), "{text}");
        lines.extend(found);
        let Some(link) = answer.head.one("link") else { break };
        target =
            link.strip_prefix('<').unwrap().strip_suffix(">; rel=\"next\"").unwrap().to_owned();
    }
    assert_eq!(lines.len(), 3, "{lines:?}");
    for (line, record) in lines.iter().zip(caller.activity("?status=5xx")) {
        assert!(line.starts_with(record["id"].as_str().unwrap()), "{line}");
        assert!(line.contains(",'=cmd,"), "{line}");
    }
    let all = sheet(operator, "/api/v1/activity?format=csv");
    assert!(all.head.one("link").is_none());
    let json = operator.raw("GET", "/api/v1/activity", "Accept: text/html, */*\r\n", b"");
    assert_eq!(json.head.one("content-type"), Some("application/json"));
}

#[test]
fn everybody_sees_the_past_that_is_theirs() {
    let caller = Caller::new();
    caller.ask();
    let office = &caller.office;
    let north = office.admin("nora", "practice-admin", Some("north"));
    let south = office.admin("sam", "practice-admin", Some("south"));
    let auditor = office.admin("alex", "auditor", None);
    for what in ["activity", "usage"] {
        let path = format!("/keys/{}/{what}", caller.id);
        assert_eq!(north.get(&path).status, 200);
        assert_eq!(auditor.get(&path).status, 200);
        let foreign = south.get(&path).text().replace(&caller.id, "ID");
        let nobody = south.get(&format!("/keys/000000000000/{what}"));
        assert_refused(&nobody, 404, "not_found");
        assert_eq!(foreign, nobody.text().replace("000000000000", "ID"));
    }
    assert_refused(&north.get("/activity"), 403, "forbidden");
    assert_refused(&south.get("/practices/north/usage"), 404, "not_found");
    assert_refused(&south.get("/practices/north/alerts"), 404, "not_found");
    let count =
        |query: &str| auditor.see(&format!("/activity{query}"))["items"].as_array().unwrap().len();
    eventually("the stranger's record", || count("?status=401") == 1);
    assert_eq!((count(""), count("?practice=north"), count("?practice=south")), (6, 5, 0));
    assert_eq!(count(&format!("?key={}&practice=north", caller.id)), 5);
    let wrong = auditor.get(&format!("/activity?key={}&practice=south", caller.id));
    assert_eq!(faulty_fields(&wrong), ["key"]);
    let stranger = &auditor.see("/activity?status=401")["items"][0];
    assert_eq!((&stranger["key"], &stranger["practice"]), (&json!(""), &json!("")));
    let all = auditor.see("/activity").to_string();
    assert!(office.secrets().iter().all(|secret| !all.contains(secret)), "a secret in a record");
}

#[test]
fn alerts_are_explained_acknowledged_and_gone_with_their_reason() {
    let caller = Caller::new();
    let office = &caller.office;
    let north = office.admin("nora", "practice-admin", Some("north"));
    let alerts = || north.see("/practices/north/alerts")["items"].as_array().unwrap().clone();
    assert_eq!(alerts(), [] as [Value; 0]);
    for _ in 0..6 {
        assert_eq!(caller.send("/v1/files/7", &caller.headers), 403);
    }
    caller.arrived(6);
    let found = alerts();
    assert_eq!(found.len(), 1, "{found:?}");
    let alert = &found[0];
    assert_eq!(alert["kind"], "missing_permission");
    assert_eq!((&alert["key"], &alert["key_name"]), (&json!(caller.id), &json!("Intake")));
    assert_eq!((&alert["refused"], &alert["missing"]), (&json!(6), &json!({ "files": "read" })));
    let sentence = alert["sentence"].as_str().unwrap();
    assert!(sentence.contains("6 times") && sentence.contains("`read` on `files`"), "{sentence}");
    let path = format!("/practices/north/alerts/{}/acknowledge", alert["id"].as_str().unwrap());
    let auditor = office.admin("alex", "auditor", None);
    assert_refused(&auditor.post(&path, &json!({})), 403, "forbidden");
    let foreign = path.replace("north", "south");
    assert_refused(&office.operator.post(&foreign, &json!({})), 404, "not_found");
    let other = path.replace("missing_permission", "silence");
    assert_refused(&north.post(&other, &json!({})), 404, "not_found");
    assert_refused(
        &north.post("/practices/north/alerts/x/acknowledge", &json!({})),
        404,
        "not_found",
    );
    let noted = north.post(&path, &json!({})).json();
    assert_eq!(noted["acknowledged"]["by"], "nora");
    assert_eq!(office.operator.post(&path, &json!({})).json(), noted, "the first one is kept");
    assert_eq!(alerts(), [noted]);
    let granted = json!({ "permissions": { "patient": "read", "files": "read" } });
    assert_eq!(north.patch(&format!("/keys/{}", caller.id), &granted).status, 200);
    assert_eq!(alerts(), [] as [Value; 0]);
}

#[test]
fn alerts_go_on_from_page_to_page() {
    let office = Office::furnished();
    let tomorrow = (jiff::Timestamp::now() + jiff::SignedDuration::from_hours(20)).to_string();
    let mut keys = Vec::new();
    for _ in 0..3 {
        let id = office.key("north")["id"].as_str().unwrap().to_owned();
        let changed =
            office.operator.patch(&format!("/keys/{id}"), &json!({ "expires_at": tomorrow }));
        assert_eq!(changed.status, 200, "{}", changed.text());
        keys.push(id);
    }
    keys.reverse();
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = office.operator.see(&format!("/practices/north/alerts?limit=2{cursor}"));
        for item in page["items"].as_array().unwrap() {
            assert_eq!(item["kind"], "expiry_near", "{item}");
            assert!(item["id"].as_str().unwrap().ends_with(":critical"), "{item}");
            seen.push(item["key"].as_str().unwrap().to_owned());
        }
        let Some(next) = page["next"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(seen, keys);
    let bad = office.operator.get("/practices/south/alerts?cursor=MDAwMDAwMDAwMDAw");
    assert_eq!(faulty_fields(&bad), ["cursor"]);
}
