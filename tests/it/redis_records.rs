//! Access records in a Redis that is full, read-only, locked or emptied while the gateway serves, and as consumers read them.

use std::collections::BTreeMap;

use super::support::Upstream;
use super::support::fixture::{key, request_with, vendor_key};
use super::support::ledger::{Answered, Forwarded, Ledger, differences, usage_faults};
use super::support::nodes::{FIRST, Fleet, Node, Plan, at_last};
use super::support::records::{
    Books, Counts, Entries, FIELDS, Record, STREAM, WAITING, connection, in_stream,
    record_of_entry, stream_length,
};
use super::support::redis::{Redis, free_port};
use super::support::wire::Wire;

/// A gateway on a Redis of its own, and what its callers were answered.
struct Site {
    node: Node,
    fleet: Fleet,
    redis: Redis,
    ledger: Ledger,
}

const ASKED: [(&str, &str, &str); 4] = [
    ("GET", "/v1/patients/17", "key-all"),
    ("POST", "/v1/patients", "key-all"),
    ("GET", "/v1/patients", "key-none"),
    ("GET", "/v1/nowhere", "key-read"),
];

impl Site {
    fn new() -> Self {
        let redis = Redis::start(&[]);
        let fleet = Fleet::of(Plan::quiet(&redis.url(), ", sync: 20ms"), Upstream::ok());
        let node = fleet.node();
        Self { node, fleet, redis, ledger: Ledger::default() }
    }

    /// So many of each kind of request.
    fn ask(&mut self, times: usize) {
        let mut wire = Wire::to(self.node.gateway);
        for _ in 0..times {
            for (method, target, name) in ASKED {
                let lines = "User-Agent: Zapier/1.0\r\n";
                let body = if method == "POST" { "hello" } else { "" };
                wire.send(&request_with(method, target, name, lines, body));
                let answer = wire.answer();
                self.ledger.asked += 1;
                self.ledger.answered.push(Answered {
                    request_id: answer.head.one("x-request-id").unwrap().to_owned(),
                    method: method.to_owned(),
                    status: answer.status,
                    code: answer.code(),
                    whole: true,
                });
                if answer.closes() {
                    wire = Wire::to(self.node.gateway);
                }
            }
        }
    }

    /// Everything that was asked is in the stream, once, and in the activity and the sums.
    fn assert_whole(&mut self) -> Vec<Record> {
        let seen = self.fleet.upstream.requests();
        self.ledger.forwarded = seen.iter().map(|seen| Forwarded::of(&seen.head)).collect();
        let books = Books::of_node(&self.node);
        let everything = self.ledger.answered.len() as u64;
        at_last("the stream has everything", || stream_length(&self.redis) >= everything);
        books.settle();
        let records = in_stream(&self.redis);
        let mut faults = self.ledger.faults(&records);
        faults.extend(differences("the activity", &records, &books.all()));
        for (name, id) in self.fleet.ids() {
            let own = records.iter().filter(|record| record.get("key") == id);
            let used = books.usage(&format!("/keys/{id}/usage"), "day");
            faults.extend(usage_faults(name, &used, &Counts::by_span(own, 10)));
        }
        assert!(faults.is_empty(), "{}", faults.join("\n"));
        assert_eq!(records.len() as u64, everything);
        records
    }

    /// Records wait, and requests pass all the same.
    fn assert_waiting(&mut self) {
        let books = Books::of_node(&self.node);
        for waiting in [20, 40] {
            self.ask(5);
            at_last("records wait", || books.metric(WAITING) >= waiting);
        }
        assert_eq!(books.readiness(), 200);
    }

    fn configure(&self, name: &str, value: &str) {
        assert_eq!(self.redis.command(&["CONFIG", "SET", name, value]), "OK");
    }
}

#[test]
fn a_redis_without_memory_is_waited_for() {
    let mut site = Site::new();
    site.ask(5);
    site.assert_whole();
    site.configure("maxmemory-policy", "noeviction");
    site.configure("maxmemory", "1");
    site.assert_waiting();
    site.configure("maxmemory", "0");
    site.assert_whole();
}

#[test]
fn a_redis_that_became_a_replica_is_waited_for() {
    let mut site = Site::new();
    site.ask(5);
    site.assert_whole();
    // Of nobody: it keeps what it has, and takes nothing.
    let nobody = free_port().to_string();
    assert_eq!(site.redis.command(&["REPLICAOF", "127.0.0.1", &nobody]), "OK");
    site.assert_waiting();
    site.redis.promote();
    site.assert_whole();
}

#[test]
fn a_redis_with_another_password_is_waited_for() {
    const PASSWORD: &str = "changed-on-the-way";
    let mut site = Site::new();
    site.ask(5);
    site.assert_whole();
    let mut own = connection(&site.redis);
    let mut tell = |words: &[&str]| {
        let mut command = redis::cmd(words[0]);
        for word in &words[1..] {
            command.arg(*word);
        }
        command.query::<redis::Value>(&mut own).unwrap();
    };
    tell(&["CONFIG", "SET", "requirepass", PASSWORD]);
    // Who is connected stays so; whoever connects now has the wrong one. Not this connection.
    tell(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    site.assert_waiting();
    assert!(!site.node.said().contains(PASSWORD));
    tell(&["CONFIG", "SET", "requirepass", ""]);
    site.assert_whole();
}

/// What the journal still has comes back, and is not counted twice.
#[test]
fn a_stream_that_was_deleted_is_filled_again() {
    let mut site = Site::new();
    site.ask(10);
    site.assert_whole();
    assert_eq!(site.redis.command(&["DEL", STREAM]), "1");
    site.ask(1);
    site.assert_whole();
}

#[test]
fn a_redis_that_was_emptied_is_filled_again() {
    let mut site = Site::new();
    site.ask(10);
    site.assert_whole();
    let documents = || site.redis.command(&["HLEN", "{postern}:documents"]);
    let before = documents();
    assert_eq!(site.redis.command(&["FLUSHALL"]), "OK");
    // By who knows them still; whoever starts before has nobody to ask.
    at_last("the keys and administrators are back", || documents() == before);
    site.ask(1);
    site.assert_whole();
    // By a gateway that was not there before, too.
    let Site { node, fleet, redis, ledger } = site;
    assert_eq!(redis.command(&["DEL", STREAM]), "1");
    node.kill();
    let node = fleet.node();
    let mut site = Site { node, fleet, redis, ledger };
    site.ask(1);
    site.assert_whole();
}

/// All that a group was not given yet, read in small steps as consumers do.
fn read_group(redis: &mut redis::Connection, group: &str) -> Entries {
    let mut entries = Entries::new();
    loop {
        let mut read = redis::cmd("XREADGROUP");
        read.arg("GROUP").arg(group).arg("me").arg("COUNT").arg(7);
        let streams: Option<Vec<(String, Entries)>> =
            read.arg("STREAMS").arg(STREAM).arg(">").query(redis).unwrap();
        let Some((name, more)) = streams.into_iter().flatten().next() else { return entries };
        assert_eq!(name, STREAM);
        for (id, _) in &more {
            let taken: u64 =
                redis::cmd("XACK").arg(STREAM).arg(group).arg(id).query(redis).unwrap();
            assert_eq!(taken, 1);
        }
        entries.extend(more);
    }
}

#[test]
fn a_consumer_group_gets_each_record_once_by_the_names_of_the_contract() {
    let mut site = Site::new();
    let mut own = connection(&site.redis);
    let mut create = redis::cmd("XGROUP");
    create.arg("CREATE").arg(STREAM).arg("practice-system").arg("0").arg("MKSTREAM");
    create.query::<()>(&mut own).unwrap();
    drop(own);
    site.ask(10);
    site.assert_whole();
    let mut entries = read_group(&mut connection(&site.redis), "practice-system");
    // The gateway dies, and Redis is started again: nothing comes a second time.
    let Site { node, fleet, mut redis, ledger } = site;
    node.kill();
    redis.kill();
    redis.restart();
    let node = fleet.node();
    let mut site = Site { node, fleet, redis, ledger };
    site.ask(10);
    let all = site.assert_whole();
    entries.extend(read_group(&mut connection(&site.redis), "practice-system"));
    for (_, fields) in &entries {
        let names: Vec<&str> = fields.iter().step_by(2).map(String::as_str).collect();
        assert_eq!(names, FIELDS, "{fields:?}");
    }
    let consumed: Vec<Record> = entries.iter().map(|(_, fields)| record_of_entry(fields)).collect();
    assert_eq!(differences("the consumer", &all, &consumed), Vec::<String>::new());
}

/// Two that wrote into one journal would tear it.
#[test]
fn a_journal_that_is_in_use_is_refused_by_name() {
    let redis = Redis::start(&[]);
    let fleet = Fleet::of(Plan::quiet(&redis.url(), ""), Upstream::ok());
    let _node = fleet.node();
    let said = fleet.postern(&["serve", "--config", "postern.yaml"]);
    assert_eq!(said.code, 1, "{}", said.err);
    assert!(said.err.contains(FIRST) && said.err.contains("in use"), "{}", said.err);
}

#[test]
fn an_entry_has_the_values_of_its_request() {
    let mut site = Site::new();
    site.ask(1);
    let records = site.assert_whole();
    let by_target: BTreeMap<_, _> = records
        .iter()
        .map(|record| ((record.get("method"), record.get("route")), record))
        .collect();
    by_target[&("POST", "/v1/patients")].assert(&[
        ("practice", "north"),
        ("key", site.fleet.key_id("key-all")),
        ("vendor", "acme"),
        ("owner", "dr-lee"),
        ("api", "standard"),
        ("category", "patient"),
        ("access", "write"),
        ("decision", "allow"),
        ("status", "200"),
        ("bytes_in", "5"),
        ("bytes_out", "2"),
        ("ip", "127.0.0.1"),
        ("user_agent", "Zapier/1.0"),
    ]);
    by_target[&("GET", "/v1/patients")].assert(&[
        ("decision", "deny"),
        ("code", "permission_denied"),
        ("status", "403"),
        ("upstream_us", ""),
    ]);
}

/// Strangers are in the stream, too, with the count that a sum has and nothing secret.
#[test]
fn a_stranger_is_in_the_stream_without_a_secret() {
    let mut site = Site::new();
    let (wrong, vendor) = (key("nobody"), vendor_key("acme"));
    let bytes = format!(
        "GET /v1/patients/{wrong} HTTP/1.1\r\nHost: gw.test\r\nX-Subscriber-Key: {wrong}\r\nX-Vendor-Key: {vendor}\r\n\
         User-Agent: {wrong}\r\n\r\n"
    );
    const TIMES: u64 = 300;
    let mut wire = Wire::to(site.node.gateway);
    wire.send(bytes.repeat(usize::try_from(TIMES).unwrap()).as_bytes());
    for _ in 0..TIMES {
        assert_eq!(wire.answer().code(), "invalid_credentials");
    }
    let counted = || in_stream(&site.redis).iter().map(Record::count).sum::<u64>();
    at_last("all of them are counted", || counted() >= TIMES);
    assert_eq!(counted(), TIMES);
    let everything = site.redis.command(&["XRANGE", STREAM, "-", "+"]);
    assert!(!everything.contains(&vendor), "{everything}");
    site.ask(1);
}
