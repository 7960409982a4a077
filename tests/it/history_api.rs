//! The past over the admin API: pages that stay what they are while records arrive, filters, CSV, exports, and who may see it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::support::admin::assert_refused;
use super::support::fixture::{request, request_with};
use super::support::ledger::differences;
use super::support::load;
use super::support::nodes::{FIRST, Fleet, Node, Plan, at_last};
use super::support::records::{Books, Counts, FIELDS, Record, exported};
use super::support::wire::Wire;

fn fleet() -> Fleet {
    Fleet::of(Plan::quiet("embedded:./data", ", sync: 20ms"), load::upstream())
}

/// A request of each kind, so often; how many that were.
fn ask(node: &Node, times: usize) -> usize {
    let kinds = [
        ("GET", "/v1/patients", "key-all"),
        ("GET", "/v1/patients/missing", "key-all"),
        ("GET", "/v1/patients/broken", "key-all"),
        ("GET", "/v1/appointments/7", "key-read"),
        ("GET", "/v1/invoices", "key-scope"),
        ("GET", "/v1/patients", "key-none"),
        ("PUT", "/v1/appointments/7", "key-read"),
    ];
    for _ in 0..times {
        for (method, target, name) in kinds {
            let mut wire = Wire::to(node.gateway);
            wire.send(&request(method, target, name));
            assert!(wire.answer().complete);
        }
    }
    times * kinds.len()
}

fn ids(records: &[Record]) -> Vec<&str> {
    records.iter().map(|record| record.get("id")).collect()
}

#[test]
fn pages_stay_what_they_are_while_records_arrive() {
    let fleet = fleet();
    let node = fleet.node();
    let books = Books::of_node(&node);
    let before = books.exactly(ask(&node, 8));
    let mut paged = Vec::new();
    let mut cursor = String::new();
    let mut first = None;
    loop {
        let page = node.operator.see(&format!("/activity?limit=5{cursor}"));
        let items = page["items"].as_array().unwrap();
        assert!(items.len() <= 5);
        paged.extend(items.iter().map(Record::of_json));
        let asked_again = node.operator.see(&format!("/activity?limit=5{cursor}"));
        if cursor.is_empty() {
            first = Some(page.clone());
        } else {
            assert_eq!(asked_again, page, "the same cursor, another page");
        }
        // In between, more come, which belong to no later page.
        let more = ask(&node, 1);
        let known = paged.len();
        at_last("they are there", || books.all().len() >= before.len() + more);
        let Some(next) = page["next"].as_str() else { break };
        cursor = format!("&cursor={next}");
        assert!(known <= before.len());
    }
    assert_eq!(ids(&paged), ids(&before), "each once, in their order");
    assert_ne!(first.unwrap(), node.operator.see("/activity?limit=5"), "the first page moves on");
    let nonsense = node.operator.get("/activity?cursor=nonsense");
    assert!(matches!(nonsense.status, 400 | 422), "{}", nonsense.text());
}

#[test]
fn filters_give_what_they_say_and_all_of_it() {
    let fleet = fleet();
    let node = fleet.node();
    let books = Books::of_node(&node);
    let all = books.exactly(ask(&node, 3));
    let middle = all[all.len() / 2].get("ts").to_owned();
    type Takes = Box<dyn Fn(&Record) -> bool>;
    let is = |field: &'static str, value: &'static str| -> Takes {
        Box::new(move |record: &Record| record.get(field) == value)
    };
    let since = middle.clone();
    let until = middle.clone();
    let cases: Vec<(String, Takes)> = vec![
        ("status=404".to_owned(), is("status", "404")),
        ("status=4xx".to_owned(), Box::new(|record| record.get("status").starts_with('4'))),
        ("status=5xx".to_owned(), is("status", "500")),
        ("status=418".to_owned(), is("status", "418")),
        ("decision=deny".to_owned(), is("decision", "deny")),
        ("category=appointment".to_owned(), is("category", "appointment")),
        ("category=billing".to_owned(), is("category", "billing.invoices")),
        ("category=billing.invoices".to_owned(), is("category", "billing.invoices")),
        ("category=billing.claims".to_owned(), is("category", "billing.claims")),
        ("vendor=acme".to_owned(), is("vendor", "acme")),
        ("vendor=beta".to_owned(), is("vendor", "beta")),
        (format!("from={middle}"), Box::new(move |record| record.get("ts") >= since.as_str())),
        (format!("to={middle}"), Box::new(move |record| record.get("ts") < until.as_str())),
        (
            "decision=deny&category=appointment&status=403".to_owned(),
            Box::new(|record| {
                record.get("decision") == "deny" && record.get("category") == "appointment"
            }),
        ),
    ];
    for (query, takes) in &cases {
        let expected: Vec<_> = all.iter().filter(|record| takes(record)).cloned().collect();
        let found = books.list("/activity", query);
        assert_eq!(ids(&found), ids(&expected), "{query}");
        for (name, id) in fleet.ids() {
            let own: Vec<_> =
                expected.iter().filter(|record| record.get("key") == id).cloned().collect();
            let found = books.list(&format!("/keys/{id}/activity"), query);
            assert_eq!(ids(&found), ids(&own), "{name}: {query}");
        }
    }
    for faulty in ["status=9", "status=abc", "decision=maybe", "from=yesterday", "limit=0"] {
        let answer = node.operator.get(&format!("/activity?{faulty}"));
        assert!(matches!(answer.status, 400 | 422), "{faulty}: {}", answer.text());
    }
}

/// Lines of cells, as RFC 4180 has them.
fn read_csv(text: &str) -> Vec<Vec<String>> {
    let mut lines = vec![vec![String::new()]];
    let mut quoted = false;
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        let cell = lines.last_mut().and_then(|line| line.last_mut()).unwrap();
        match character {
            '"' if quoted && characters.peek() == Some(&'"') => {
                characters.next();
                cell.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => lines.last_mut().unwrap().push(String::new()),
            '\r' if !quoted => {}
            '\n' if !quoted => lines.push(vec![String::new()]),
            other => cell.push(other),
        }
    }
    assert_eq!(lines.pop().unwrap(), [""], "the last line ends");
    lines
}

const FORMULAS: [&str; 6] = [
    "=1+1",
    "+1",
    "-1+cmd|' /c calc'!A0",
    "@SUM(A1)",
    "=HYPERLINK(\"http://evil.test\",\"x\")",
    "a,\"b\"",
];

#[test]
fn csv_has_the_same_records_and_no_formula() {
    let fleet = fleet();
    let node = fleet.node();
    let books = Books::of_node(&node);
    for agent in FORMULAS {
        let mut wire = Wire::to(node.gateway);
        wire.send(&request_with(
            "GET",
            "/v1/patients",
            "key-all",
            &format!("User-Agent: {agent}\r\n"),
            "",
        ));
        assert_eq!(wire.answer().status, 200);
    }
    let records = books.exactly(FORMULAS.len());
    let path = format!("/keys/{}/activity", fleet.key_id("key-all"));
    let answer = node.operator.with("Accept: text/csv").get(&path);
    assert_eq!(answer.status, 200);
    let kind = answer.head.one("content-type").unwrap();
    assert!(kind.starts_with("text/csv"), "{kind}");
    let lines = read_csv(&answer.text());
    assert_eq!(lines[0][..FIELDS.len()], FIELDS);
    assert_eq!(lines.len(), records.len() + 1);
    for (line, record) in lines[1..].iter().zip(&records) {
        for (name, cell) in FIELDS.iter().zip(line) {
            assert!(!cell.starts_with(['=', '+', '-', '@', '\t', '\r']), "{name}: {cell}");
            assert_eq!(cell.strip_prefix('\'').unwrap_or(cell), record.get(name), "{name}");
        }
    }
}

#[test]
fn exports_have_every_record_with_and_without_a_gateway() {
    let fleet = fleet();
    let node = fleet.node();
    let books = Books::of_node(&node);
    let records = books.exactly(ask(&node, 4));
    let through = exported(&fleet, &node);
    assert_eq!(differences("export", &records, &through), Vec::<String>::new());
    let oldest_first = through.windows(2).all(|two| two[0].get("ts") <= two[1].get("ts"));
    assert!(oldest_first, "an export begins with the oldest");
    let one = fleet.key_id("key-read");
    let own = fleet.remote(&node, &["logs", "export", "--key", one, "--decision", "deny"]).done();
    assert_eq!(own.lines().len(), 4);
    // From the journal's own files, while it is in use and after it died.
    let read = || {
        let directory = fleet.directory().join(FIRST);
        let said = fleet.postern(&["logs", "export", "--journal", directory.to_str().unwrap()]);
        said.lines().iter().map(Record::of_json).collect::<Vec<_>>()
    };
    let known: BTreeSet<_> = ids(&records).into_iter().map(str::to_owned).collect();
    let subset = |found: &[Record]| found.iter().all(|record| known.contains(record.get("id")));
    let used = read();
    assert!(!used.is_empty() && subset(&used), "{used:#?}");
    node.kill();
    let left = read();
    assert!(!left.is_empty() && subset(&left), "{left:#?}");
    for record in &left {
        let same = records.iter().find(|known| known.get("id") == record.get("id")).unwrap();
        assert_eq!(record, same);
    }
}

#[test]
fn usage_and_the_key_object_say_what_the_records_say() {
    let fleet = fleet();
    let node = fleet.node();
    let books = Books::of_node(&node);
    let records = books.exactly(ask(&node, 5));
    for (name, id) in fleet.ids() {
        let own: Vec<_> = records.iter().filter(|record| record.get("key") == id).collect();
        for (step, letters) in [("day", 10), ("hour", 13)] {
            let expected = Counts::by_span(own.iter().copied(), letters);
            let used = books.usage(&format!("/keys/{id}/usage"), step);
            assert_eq!(used, expected, "{name} by {step}");
        }
        let key = node.operator.see(&format!("/keys/{id}"));
        let today = jiff::Timestamp::now().to_string()[..10].to_owned();
        let counts: BTreeMap<_, _> = Counts::by_span(own.iter().copied(), 10);
        // At midnight, today is another day than it was.
        let Some(counts) = counts.get(&today) else { continue };
        assert_eq!(key["requests_today"].as_u64(), Some(counts.requests), "{name}: {key}");
        let wrong = counts.errors + counts.client_errors + counts.denied;
        let (told, requests) = (key["error_rate_today"].as_f64().unwrap(), counts.requests);
        // Wrong by less than a thousandth of a request.
        let distance = (told * f64::from(u32::try_from(requests).unwrap()))
            - f64::from(u32::try_from(wrong).unwrap());
        assert!(distance.abs() < 0.001, "{name}: {key}");
    }
}

#[test]
fn a_practice_sees_its_own_past_and_nobody_elses() {
    let fleet = fleet();
    let node = fleet.node();
    let books = Books::of_node(&node);
    let count = ask(&node, 1);
    let mut wire = Wire::to(node.gateway);
    wire.send(b"GET /v1/patients HTTP/1.1\r\nHost: gw.test\r\n\r\n");
    assert_eq!(wire.answer().status, 401);
    books.exactly(count + 1);
    node.operator.make("/practices", &json!({ "id": "south", "name": "South" }));
    let hired = |username: &str, role: &str, practice: Option<&str>| {
        let wanted = json!({ "username": username, "role": role, "practice": practice });
        node.operator.make("/admins", &wanted);
        let made =
            node.operator.make(&format!("/admins/{username}/tokens"), &json!({ "name": "t" }));
        super::support::admin::Client::bearer(node.admin, made["token"].as_str().unwrap())
    };
    let id = fleet.key_id("key-all");
    let own = hired("ann", "practice-admin", Some("north"));
    assert!(!own.see(&format!("/keys/{id}/activity"))["items"].as_array().unwrap().is_empty());
    assert!(!own.see(&format!("/keys/{id}/usage"))["items"].as_array().unwrap().is_empty());
    assert!(!own.see("/practices/north/usage")["items"].as_array().unwrap().is_empty());
    assert_eq!(own.get("/activity").status, 403);
    let other = hired("bob", "practice-admin", Some("south"));
    for path in ["activity", "usage"] {
        assert_refused(&other.get(&format!("/keys/{id}/{path}")), 404, "not_found");
    }
    assert_eq!(other.get("/practices/north/usage").status, 404);
    let auditor = hired("eve", "auditor", None);
    assert_eq!(auditor.see("/activity?limit=200")["items"].as_array().unwrap().len(), count + 1);
}

/// Of the configuration that runs.
const GENERATION: &str = "postern_config_generation";

/// What a reload can show without waiting for an hour, the shortest retention there is: it is taken, and drops nothing young.
#[test]
fn a_shorter_retention_is_taken_and_keeps_what_is_younger() {
    let fleet = fleet();
    let node = fleet.node();
    let books = Books::of_node(&node);
    let records = books.exactly(ask(&node, 3));
    let generation = books.metric(GENERATION);
    let log = format!("{}, retention: 1h", fleet.plan().log);
    fleet.rewrite_as(&Plan { log, ..fleet.plan().clone() });
    at_last("the configuration is taken", || books.metric(GENERATION) > generation);
    let count = ask(&node, 1);
    let after = books.exactly(records.len() + count);
    assert_eq!(ids(&after[count..]), ids(&records));
}
