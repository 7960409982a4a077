//! What callers were answered and what the upstream saw, held against the records that were kept.
//!
//! [`Ledger::faults`] is the verdict of every suite that kills something: an empty list, or each promise that was broken.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::message::Head;
use super::records::{Counts, Record};

/// One request that somebody got an answer to.
#[derive(Clone, Debug)]
pub(crate) struct Answered {
    pub(crate) request_id: String,
    pub(crate) method: String,
    pub(crate) status: u16,
    /// Of the gateway's own answer; empty where it is the upstream's.
    pub(crate) code: String,
    /// It came to its proper end.
    pub(crate) whole: bool,
}

/// One request that the upstream saw.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Forwarded {
    pub(crate) request_id: String,
    pub(crate) method: String,
}

impl Forwarded {
    pub(crate) fn of(head: &Head) -> Self {
        let request_id = head.one("x-request-id").expect("a request id").to_owned();
        Self { request_id, method: head.word(0).to_owned() }
    }
}

/// Both sides of the gateway, as they remember it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger {
    /// How many requests were sent, each at least in part.
    pub(crate) asked: u64,
    pub(crate) answered: Vec<Answered>,
    pub(crate) forwarded: BTreeSet<Forwarded>,
}

/// Shown of one kind of fault; the rest is counted.
const SHOWN: usize = 5;

/// Codes of the gateway's own answers to requests that were allowed.
fn is_of_upstream(code: &str) -> bool {
    code.starts_with("upstream_")
}

fn is_of_stranger(code: &str) -> bool {
    ["subscriber_key_missing", "vendor_key_missing", "invalid_credentials"].contains(&code)
}

/// Faults by kind, each with what it was seen on.
#[derive(Debug, Default)]
struct Faults(BTreeMap<&'static str, Vec<String>>);

impl Faults {
    fn note(&mut self, kind: &'static str, what: impl std::fmt::Debug) {
        self.0.entry(kind).or_default().push(format!("{what:?}"));
    }

    fn lines(self) -> Vec<String> {
        let line = |(kind, seen): (&str, Vec<String>)| {
            let shown = seen[..seen.len().min(SHOWN)].join("\n    ");
            format!("{kind}, {} times:\n    {shown}", seen.len())
        };
        self.0.into_iter().map(line).collect()
    }
}

impl Ledger {
    /// What is wrong with these records.
    pub(crate) fn faults(&self, records: &[Record]) -> Vec<String> {
        let mut faults = Faults::default();
        let mut of_request = HashMap::<&str, Vec<&Record>>::new();
        for record in records {
            of_request.entry(record.get("request_id")).or_default().push(record);
        }
        for same in of_request.values().filter(|same| same.len() > 1) {
            let all: Vec<String> = same.iter().map(|record| record.brief()).collect();
            faults.note("a request with two records", all);
        }
        check_ids(records, &mut faults);
        let one = |request_id: &str| of_request.get(request_id).and_then(|same| same.first());
        let mut strangers = 0;
        for answered in &self.answered {
            match one(&answered.request_id) {
                Some(record) => check_answered(answered, record, &mut faults),
                // It may be one of those that are summed.
                None if is_of_stranger(&answered.code) => {}
                None => faults.note("answered and not recorded", answered),
            }
            strangers += u64::from(is_of_stranger(&answered.code));
        }
        for forwarded in &self.forwarded {
            match one(&forwarded.request_id) {
                Some(record) => check_forwarded(forwarded, record, &mut faults),
                None => faults.note("seen upstream and not recorded", forwarded),
            }
        }
        let recorded: u64 = records.iter().map(Record::count).sum();
        if recorded > self.asked {
            faults.note("more was recorded than asked", (recorded, self.asked));
        }
        let summed: u64 =
            records.iter().filter(|one| one.is_of_stranger()).map(Record::count).sum();
        if summed < strangers {
            faults.note("strangers are missing in the sums", (summed, strangers));
        }
        faults.lines()
    }

    /// How many of the requests, by what became of them, for whoever reads a report.
    pub(crate) fn summary(&self, records: &[Record]) -> String {
        let of_code =
            |code: &str| records.iter().filter(|record| record.get("code") == code).count();
        let whole = self.answered.iter().filter(|answered| answered.whole).count();
        format!(
            "{} asked, {} answered ({whole} whole), {} seen upstream, {} records, {} interrupted, {} client_gone",
            self.asked,
            self.answered.len(),
            self.forwarded.len(),
            records.len(),
            of_code("interrupted"),
            of_code("client_gone"),
        )
    }
}

/// No record id twice, and within a lane none left out.
fn check_ids(records: &[Record], faults: &mut Faults) {
    let mut lanes = BTreeMap::<&str, Vec<u64>>::new();
    for record in records {
        let id = record.get("id");
        match id.split_once('-').map(|(lane, number)| (lane, number.parse())) {
            Some((lane, Ok(number))) => lanes.entry(lane).or_default().push(number),
            _ => faults.note("no id", id),
        }
    }
    for (lane, mut numbers) in lanes {
        numbers.sort_unstable();
        let count = numbers.len() as u64;
        if numbers.windows(2).any(|two| two[0] == two[1]) {
            faults.note("an id stands twice", lane);
        } else if numbers.first() != Some(&1) || numbers.last() != Some(&count) {
            let last = numbers.last().copied().unwrap_or_default();
            faults.note("numbers are missing in a lane", (lane, count, last));
        }
    }
}

fn check_answered(answered: &Answered, record: &Record, faults: &mut Faults) {
    if record.get("method") != answered.method {
        faults.note("a wrong method", (answered, record.brief()));
    }
    let refused = !answered.code.is_empty() && !is_of_upstream(&answered.code);
    if refused != (record.get("decision") == "deny") {
        faults.note("a wrong decision", (answered, record.brief()));
    }
    let same_status = record.get("status") == answered.status.to_string();
    if answered.whole {
        if !same_status || record.get("code") != answered.code {
            faults.note("a wrong end", (answered, record.brief()));
        }
    } else if !same_status && record.get("code") != "interrupted" {
        faults.note("a wrong end of what was cut", (answered, record.brief()));
    }
}

fn check_forwarded(forwarded: &Forwarded, record: &Record, faults: &mut Faults) {
    if record.get("decision") != "allow" {
        faults.note("seen upstream and not allowed", (forwarded, record.brief()));
    }
    if record.get("method") != forwarded.method {
        faults.note("another method upstream", (forwarded, record.brief()));
    }
}

/// What is wrong between the usage of a key or practice and its records.
pub(crate) fn usage_faults(
    whose: &str,
    usage: &BTreeMap<String, Counts>,
    counted: &BTreeMap<String, Counts>,
) -> Option<String> {
    (usage != counted)
        .then(|| format!("usage of {whose} is {usage:?}, and its records are {counted:?}"))
}

/// What two readings of the same records differ in.
pub(crate) fn differences(what: &str, ours: &[Record], theirs: &[Record]) -> Vec<String> {
    let by_id = |records: &[Record]| {
        let pairs = records.iter().map(|record| (record.get("id").to_owned(), record.clone()));
        pairs.collect::<BTreeMap<_, _>>()
    };
    let (left, right) = (by_id(ours), by_id(theirs));
    let mut faults = Faults::default();
    for (id, record) in &left {
        match right.get(id) {
            None => faults.note("not there", record.brief()),
            Some(other) if other != record => faults.note("another", (record, other)),
            Some(_) => {}
        }
    }
    for id in right.keys().filter(|id| !left.contains_key(*id)) {
        faults.note("too many", id);
    }
    if ours.len() != theirs.len() {
        faults.note("another count", (ours.len(), theirs.len()));
    }
    faults.lines().into_iter().map(|line| format!("{what}: {line}")).collect()
}

#[test]
fn a_true_account_has_no_fault() {
    let (ledger, records) = account();
    assert_eq!(ledger.faults(&records), Vec::<String>::new());
    assert_eq!(differences("copy", &records, &records), Vec::<String>::new());
}

#[test]
fn every_kind_of_fault_is_found() {
    let (ledger, records) = account();
    type Spoil = fn(&mut Ledger, &mut Vec<Record>);
    let cases: [(&str, Spoil); 14] = [
        ("answered and not recorded", |_, records| drop(records.remove(0))),
        ("seen upstream and not recorded", |_, records| drop(records.remove(2))),
        ("numbers are missing in a lane", |_, records| drop(records.remove(0))),
        ("a request with two records", |_, records| {
            records.push(records[0].with("id", "00000000000000aa-5"));
        }),
        ("an id stands twice", |_, records| {
            records.push(records[0].with("request_id", "another"));
        }),
        ("a wrong method", |_, records| records[0] = records[0].with("method", "PUT")),
        ("another method upstream", |_, records| records[2] = records[2].with("method", "PUT")),
        ("a wrong end", |_, records| records[0] = records[0].with("status", "500")),
        ("a wrong end", |_, records| records[0] = records[0].with("code", "interrupted")),
        ("a wrong end of what was cut", |ledger, records| {
            ledger.answered[0].whole = false;
            records[0] = records[0].with("status", "500");
        }),
        ("a wrong decision", |_, records| records[1] = records[1].with("decision", "allow")),
        ("seen upstream and not allowed", |_, records| {
            records[2] = records[2].with("decision", "deny");
        }),
        ("more was recorded than asked", |ledger, _| ledger.asked = 3),
        ("strangers are missing in the sums", |_, records| drop(records.remove(3))),
    ];
    for (kind, spoil) in cases {
        let (mut ledger, mut records) = (ledger.clone(), records.clone());
        spoil(&mut ledger, &mut records);
        let faults = ledger.faults(&records);
        assert!(faults.iter().any(|fault| fault.starts_with(kind)), "{kind}: {faults:#?}");
    }
    let spoilt = [records[0].with("path", "/elsewhere")];
    assert_eq!(differences("copy", &records[..1], &spoilt).len(), 1);
    assert_eq!(differences("copy", &records, &records[1..]).len(), 2);
}

#[test]
fn usage_that_is_not_its_records_is_found() {
    let (_, records) = account();
    let counted = Counts::by_span(&records, 10);
    assert_eq!(usage_faults("key", &counted, &counted), None);
    for part in [&records[1..], &records[..1]] {
        assert!(usage_faults("key", &counted, &Counts::by_span(part, 10)).is_some());
    }
    let counts = counted["2026-11-21"];
    let expected = Counts { requests: 5, errors: 0, client_errors: 0, denied: 3, bytes_out: 8 };
    assert_eq!(counts, expected);
}

/// Somebody who passed, somebody who was refused, somebody who was cut off before an answer, and two strangers summed.
#[cfg(test)]
fn account() -> (Ledger, Vec<Record>) {
    let record = |number: usize, changed: &[(&str, &str)]| {
        let empty = super::records::FIELDS.map(|name| (name.to_owned(), String::new()));
        let mut record = Record::of(empty);
        let (id, request_id) = (format!("00000000000000aa-{number}"), format!("r{number}"));
        let usual = [
            ("id", id.as_str()),
            ("request_id", &request_id),
            ("ts", "2026-11-21T17:00:00.000000Z"),
            ("method", "GET"),
            ("key", "k1"),
            ("decision", "allow"),
            ("status", "200"),
            ("bytes_out", "2"),
        ];
        for (name, value) in usual.iter().chain(changed) {
            record = record.with(name, value);
        }
        record
    };
    let refused = [("decision", "deny"), ("status", "403"), ("code", "permission_denied")];
    let strange = [
        ("key", ""),
        ("decision", "deny"),
        ("status", "401"),
        ("code", "invalid_credentials"),
        ("count", "2"),
    ];
    let records = vec![
        record(1, &[]),
        record(2, &refused),
        record(3, &[("code", "interrupted"), ("status", "0")]),
        record(4, &strange),
    ];
    let answered = |request_id: &str, status: u16, code: &str| Answered {
        request_id: request_id.to_owned(),
        method: "GET".to_owned(),
        status,
        code: code.to_owned(),
        whole: true,
    };
    let forwarded = |request_id: &str| Forwarded {
        request_id: request_id.to_owned(),
        method: "GET".to_owned(),
    };
    let ledger = Ledger {
        asked: 5,
        answered: vec![
            answered("r1", 200, ""),
            answered("r2", 403, "permission_denied"),
            answered("r4", 401, "invalid_credentials"),
            answered("r5", 401, "invalid_credentials"),
        ],
        forwarded: [forwarded("r1"), forwarded("r3")].into(),
    };
    (ledger, records)
}
