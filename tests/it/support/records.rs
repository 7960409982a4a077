//! Access records as others read them: from the stream in Redis, from the admin API, from `postern logs export`.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde_json::Value;

use super::admin::Client;
use super::fixture;
use super::nodes::{Fleet, Node, at_last};
use super::redis::Redis;
use super::wire::Wire;
use super::{Answer, Gateway};

/// The stream's name, as consumers know it.
pub(crate) const STREAM: &str = "postern:access";

/// The names of contract.md, section 7, in its order.
pub(crate) const FIELDS: [&str; 23] = [
    "id",
    "ts",
    "node",
    "request_id",
    "practice",
    "key",
    "vendor",
    "owner",
    "api",
    "method",
    "route",
    "path",
    "category",
    "access",
    "decision",
    "code",
    "status",
    "bytes_in",
    "bytes_out",
    "duration_us",
    "upstream_us",
    "ip",
    "user_agent",
];

/// Complete, and not yet in the store.
pub(crate) const WAITING: &str = "postern_records_waiting";
/// Confirmed by the store since this process began.
pub(crate) const SHIPPED: &str = "postern_records_shipped_total";
/// Refused because there was no room for a record, under `deny`.
pub(crate) const REFUSED: &str = "postern_records_refused_total";
/// Served without a record, under `serve`.
pub(crate) const UNRECORDED: &str = "postern_records_unrecorded_total";
/// The store lacks them, and the journal has them no more.
pub(crate) const GONE: &str = "postern_records_gone_total";
/// How often the store came back with less than it had confirmed.
pub(crate) const REWINDS: &str = "postern_shipping_rewinds_total";

/// One record: texts by the names of the contract, wherever it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record(BTreeMap<String, String>);

impl Record {
    /// Panics where the names are not those of the contract. What is absent by right is empty; a count of one is none.
    pub(crate) fn of(fields: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut fields: BTreeMap<String, String> = fields.into_iter().collect();
        fields.entry("upstream_us".to_owned()).or_default();
        if fields.get("count").is_some_and(|count| count == "1") {
            fields.remove("count");
        }
        for name in FIELDS {
            assert!(fields.contains_key(name), "no {name} in {fields:?}");
        }
        for name in fields.keys() {
            assert!(name == "count" || FIELDS.contains(&name.as_str()), "{name}? {fields:?}");
        }
        Self(fields)
    }

    pub(crate) fn of_json(object: &Value) -> Self {
        let text = |value: &Value| match value {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            number => number.to_string(),
        };
        let fields = object.as_object().unwrap_or_else(|| panic!("no record: {object}"));
        Self::of(fields.iter().map(|(name, value)| (name.clone(), text(value))))
    }

    pub(crate) fn get(&self, name: &str) -> &str {
        self.0.get(name).map(String::as_str).unwrap_or_default()
    }

    #[track_caller]
    pub(crate) fn number(&self, name: &str) -> u64 {
        self.get(name).parse().unwrap_or_else(|_| panic!("{name} is no number: {self:?}"))
    }

    /// How many requests it stands for.
    pub(crate) fn count(&self) -> u64 {
        if self.0.contains_key("count") { self.number("count") } else { 1 }
    }

    /// Whether a caller without a good key was refused.
    pub(crate) fn is_of_stranger(&self) -> bool {
        self.get("key").is_empty() && self.get("decision") == "deny"
    }

    /// What tells it from others, on one line.
    pub(crate) fn brief(&self) -> String {
        let names = ["id", "request_id", "ts", "method", "route", "decision", "code", "status"];
        names.map(|name| self.get(name)).join(" ")
    }

    /// The same with another value in one field.
    pub(crate) fn with(&self, name: &str, value: &str) -> Self {
        let mut changed = self.clone();
        changed.0.insert(name.to_owned(), value.to_owned());
        changed
    }

    /// Its fields have these values.
    #[track_caller]
    pub(crate) fn assert(&self, wanted: &[(&str, &str)]) {
        let wrong: Vec<_> =
            wanted.iter().filter(|(name, value)| self.get(name) != *value).collect();
        assert!(wrong.is_empty(), "not {wrong:?}: {self:#?}");
    }
}

/// Where the records of a gateway are read: its admin listener, as an operator.
#[derive(Clone, Debug)]
pub(crate) struct Books {
    pub(crate) operator: Client,
    admin: SocketAddr,
}

impl Books {
    pub(crate) fn of(gateway: &Gateway) -> Self {
        let operator = Client::bearer(gateway.admin, fixture::operator());
        Self { operator, admin: gateway.admin }
    }

    pub(crate) fn of_node(node: &Node) -> Self {
        Self { operator: node.operator.clone(), admin: node.admin }
    }

    fn ask(&self, path: &str) -> Answer {
        let mut wire = Wire::to(self.admin);
        let head = format!("GET {path} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n");
        wire.send(head.as_bytes());
        wire.answer()
    }

    /// What `/metrics` says under a name without labels.
    #[track_caller]
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let text = self.ask("/metrics").text();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        let number = line.unwrap_or_else(|| panic!("no {name} in\n{text}"));
        number.parse().unwrap_or_else(|_| panic!("{name} is {number}"))
    }

    /// The status of `/readyz`.
    pub(crate) fn readiness(&self) -> u16 {
        self.ask("/readyz").status
    }

    /// Until the store has all that is complete.
    #[track_caller]
    pub(crate) fn settle(&self) {
        at_last("nothing waits for the store", || self.metric(WAITING) == 0);
    }

    /// Every record of a list in the admin API, page by page, newest first. `query` has what stands behind the `?`.
    pub(crate) fn list(&self, path: &str, query: &str) -> Vec<Record> {
        let mut records = Vec::new();
        let mut cursor = String::new();
        loop {
            let page = self.operator.see(&format!("{path}?limit=200&{query}{cursor}"));
            let items = page["items"].as_array().unwrap_or_else(|| panic!("no items: {page}"));
            records.extend(items.iter().map(Record::of_json));
            let Some(next) = page["next"].as_str() else { return records };
            cursor = format!("&cursor={next}");
        }
    }

    /// Every record of everybody.
    pub(crate) fn all(&self) -> Vec<Record> {
        self.list("/activity", "")
    }

    /// The one record of a request that ended, or that must have one soon.
    #[track_caller]
    pub(crate) fn record_of(&self, request_id: &str) -> Record {
        let mut found = None;
        at_last(&format!("a record of request {request_id}"), || {
            let same = |record: &Record| record.get("request_id") == request_id;
            let mut those = self.all().into_iter().filter(same);
            found = those.next();
            assert!(those.next().is_none(), "request {request_id} has two records");
            found.is_some()
        });
        found.unwrap()
    }

    /// The records, once there are as many as that. More are too many.
    #[track_caller]
    pub(crate) fn exactly(&self, count: usize) -> Vec<Record> {
        let mut records = Vec::new();
        at_last(&format!("{count} records"), || {
            records = self.all();
            records.len() >= count
        });
        assert_eq!(records.len(), count, "{records:#?}");
        records
    }

    /// The spans of a usage list, by the first letters of their start: ten for a day, thirteen for an hour.
    pub(crate) fn usage(&self, path: &str, step: &str) -> BTreeMap<String, Counts> {
        let length = if step == "day" { 10 } else { 13 };
        let day = jiff::SignedDuration::from_hours(24);
        let now = jiff::Timestamp::now();
        let (from, to) = (now - day - day, now + day);
        let found = self.operator.see(&format!("{path}?step={step}&from={from:.0}&to={to:.0}"));
        let items = found["items"].as_array().unwrap_or_else(|| panic!("no items: {found}"));
        let number = |item: &Value, name: &str| item[name].as_u64().unwrap();
        let span = |item: &Value| {
            let counts = Counts {
                requests: number(item, "requests"),
                errors: number(item, "errors"),
                client_errors: number(item, "client_errors"),
                denied: number(item, "denied"),
                bytes_out: number(item, "bytes_out"),
            };
            (item["start"].as_str().unwrap()[..length].to_owned(), counts)
        };
        items.iter().map(span).filter(|(_, counts)| counts.requests > 0).collect()
    }
}

/// What the usage of a span says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) requests: u64,
    pub(crate) errors: u64,
    pub(crate) client_errors: u64,
    pub(crate) denied: u64,
    pub(crate) bytes_out: u64,
}

impl Counts {
    pub(crate) fn add(&mut self, record: &Record) {
        let times = record.count();
        self.requests += times;
        match (record.get("decision"), record.number("status")) {
            ("deny", _) => self.denied += times,
            (_, 500..) => self.errors += times,
            (_, 400..) => self.client_errors += times,
            _ => {}
        }
        self.bytes_out += record.number("bytes_out");
    }

    /// Of these records, by the first letters of their time.
    pub(crate) fn by_span<'a>(
        records: impl IntoIterator<Item = &'a Record>,
        letters: usize,
    ) -> BTreeMap<String, Self> {
        let mut spans = BTreeMap::<String, Self>::new();
        for record in records {
            spans.entry(record.get("ts")[..letters].to_owned()).or_default().add(record);
        }
        spans
    }
}

/// A connection of the test's own that gives answers as they are.
pub(crate) fn connection(redis: &Redis) -> redis::Connection {
    redis::Client::open(redis.url()).unwrap().get_connection().unwrap()
}

/// The entries of a stream's answer, each with its fields in order.
pub(crate) type Entries = Vec<(String, Vec<String>)>;

pub(crate) fn record_of_entry(fields: &[String]) -> Record {
    Record::of(fields.chunks(2).map(|pair| (pair[0].clone(), pair[1].clone())))
}

/// Every record in the stream, oldest first.
pub(crate) fn in_stream(redis: &Redis) -> Vec<Record> {
    let mut question = redis::cmd("XRANGE");
    let entries: Entries =
        question.arg(STREAM).arg("-").arg("+").query(&mut connection(redis)).unwrap();
    entries.iter().map(|(_, fields)| record_of_entry(fields)).collect()
}

pub(crate) fn stream_length(redis: &Redis) -> u64 {
    redis.command(&["XLEN", STREAM]).parse().unwrap()
}

/// What `postern logs export` gives.
pub(crate) fn exported(fleet: &Fleet, node: &Node) -> Vec<Record> {
    let said = fleet.remote(node, &["logs", "export"]).done();
    said.lines().iter().map(Record::of_json).collect()
}

pub(crate) fn id_of(answer: &Answer) -> String {
    answer.head.one("x-request-id").expect("a request id").to_owned()
}

/// Sends a request to a gateway, and gives the answer with its record, which is sound and holds no secret.
#[track_caller]
pub(crate) fn recorded(gateway: &Gateway, bytes: &[u8]) -> (Answer, Record) {
    let answer = gateway.send(bytes);
    let record = Books::of(gateway).record_of(&id_of(&answer));
    assert!(!fixture::has_secret(&format!("{record:?}")), "{record:#?}");
    let upstream: u64 = record.get("upstream_us").parse().unwrap_or(0);
    assert!(upstream <= record.number("duration_us"), "{record:#?}");
    assert!(!record.get("node").is_empty(), "{record:#?}");
    (answer, record)
}
