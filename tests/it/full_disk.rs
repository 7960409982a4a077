//! A disk without room, and `max_disk` reached: under `deny` nothing passes unrecorded, under `serve` what could not be kept
//! is counted; and both end by themselves when there is room again.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use super::support::disk::{self, SmallDisk};
use super::support::fixture::request;
use super::support::ledger::{Answered, Forwarded, Ledger};
use super::support::nodes::{FIRST, Fleet, Node, Plan, at_last};
use super::support::records::{Books, REFUSED, UNRECORDED, in_stream};
use super::support::redis::Redis;
use super::support::wire::Wire;
use super::support::{Upstream, say};

/// Of the small disk: store and journal, with room for a few segments.
const MEBIBYTES: usize = 24;
/// More than the disk has, so that it is the disk that ends.
const LOG: &str = ", sync: 20ms, path: full, max_disk: 64MiB";
/// A journal on the small disk.
const JOURNAL: &str = "disk/journal";

/// Requests whose records are large.
fn target() -> String {
    format!("/v1/appointments/{}", "x".repeat(1_900))
}

/// Somebody who asks one thing after the other, and remembers.
struct Caller {
    wire: Option<Wire>,
    ledger: Ledger,
    /// Answered with `log_unavailable`.
    refused: BTreeSet<String>,
}

impl Caller {
    fn new() -> Self {
        Self { wire: None, ledger: Ledger::default(), refused: BTreeSet::new() }
    }

    /// The code of the answer; empty where the request passed.
    fn ask(&mut self, node: &Node) -> String {
        let wire = self.wire.get_or_insert_with(|| Wire::to(node.gateway));
        assert!(wire.send(&request("GET", &target(), "key-all")));
        self.ledger.asked += 1;
        let answer = wire.answer();
        if answer.closes() {
            self.wire = None;
        }
        let (request_id, code) =
            (answer.head.one("x-request-id").unwrap().to_owned(), answer.code());
        let expected = if code.is_empty() { 200 } else { 503 };
        assert_eq!(answer.status, expected, "{}", answer.text());
        if code == "log_unavailable" {
            self.refused.insert(request_id);
        } else {
            let method = "GET".to_owned();
            let status = answer.status;
            let answered = Answered { request_id, method, status, code: code.clone(), whole: true };
            self.ledger.answered.push(answered);
        }
        code
    }

    /// Until there is no room for a record; many at a time, as there is much to fill.
    fn until_refused(&mut self, node: &Node) {
        at_last("`log_unavailable`", || (0..50).any(|_| self.ask(node) == "log_unavailable"));
    }

    /// Until requests pass again.
    fn until_passed(&mut self, node: &Node) {
        at_last("requests pass again", || self.ask(node).is_empty());
        at_last("it is ready again", || Books::of_node(node).readiness() == 200);
    }

    /// Whoever was refused was not passed on, and everybody else is recorded.
    fn assert_accounted(mut self, fleet: &Fleet, node: &Node) {
        let seen = fleet.upstream.requests();
        self.ledger.forwarded = seen.iter().map(|seen| Forwarded::of(&seen.head)).collect();
        let passed: BTreeSet<_> =
            self.ledger.forwarded.iter().map(|seen| seen.request_id.clone()).collect();
        let unrecorded: Vec<_> = passed.intersection(&self.refused).collect();
        assert!(unrecorded.is_empty(), "refused, and passed on: {unrecorded:?}");
        let books = Books::of_node(node);
        books.settle();
        let records = books.all();
        let faults = self.ledger.faults(&records);
        say(&format!("{}, {} refused", self.ledger.summary(&records), self.refused.len()));
        assert!(faults.is_empty(), "{}", faults.join("\n"));
        assert_eq!(records.len(), self.ledger.answered.len());
    }
}

/// The gateway is full and says so, again and again.
fn assert_refusing(caller: &mut Caller, fleet: &Fleet, node: &Node) {
    let books = Books::of_node(node);
    let before = (fleet.upstream.count(), books.metric(REFUSED));
    for _ in 0..20 {
        assert_eq!(caller.ask(node), "log_unavailable");
    }
    assert_eq!(fleet.upstream.count(), before.0, "passed on without a record");
    assert!(books.metric(REFUSED) >= before.1 + 20);
    assert_eq!(books.readiness(), 503);
}

/// A gateway that has store and journal on a small disk.
fn on_a_small_disk(log: &str) -> Option<(Fleet, SmallDisk)> {
    let directory = TempDir::new().unwrap();
    let disk = SmallDisk::mount(&directory.path().join("disk"), MEBIBYTES)?;
    let plan = Plan::quiet("embedded:./disk/data", log);
    Some((Fleet::within(directory, plan, Upstream::ok()), disk))
}

#[test]
fn a_full_disk_refuses_rather_than_forgets_and_ends_by_itself() {
    let Some((fleet, disk)) = on_a_small_disk(LOG) else { return };
    let node = fleet.node_at(JOURNAL);
    let mut caller = Caller::new();
    assert_eq!(caller.ask(&node), "");
    assert_eq!(Books::of_node(&node).readiness(), 200);
    for _ in 0..2 {
        disk.fill();
        caller.until_refused(&node);
        // What was freed a moment ago could still be taken.
        disk.fill();
        caller.until_refused(&node);
        assert_refusing(&mut caller, &fleet, &node);
        disk.free();
        caller.until_passed(&node);
    }
    caller.assert_accounted(&fleet, &node);
}

#[test]
fn strangers_are_not_forgotten_on_a_full_disk_either() {
    let Some((fleet, disk)) = on_a_small_disk(LOG) else { return };
    let node = fleet.node_at(JOURNAL);
    let mut caller = Caller::new();
    disk.fill();
    caller.until_refused(&node);
    disk.fill();
    caller.until_refused(&node);
    let mut told = 0;
    for _ in 0..40 {
        let mut wire = Wire::to(node.gateway);
        for _ in 0..50 {
            assert!(wire.send(b"GET /v1/patients HTTP/1.1\r\nHost: gw.test\r\n\r\n"));
            let answer = wire.answer();
            match answer.code().as_str() {
                "subscriber_key_missing" => told += 1,
                code => assert_eq!(code, "log_unavailable"),
            }
        }
    }
    disk.free();
    caller.until_passed(&node);
    let books = Books::of_node(&node);
    at_last("every refusal that was told is on record", || {
        let records = books.all();
        let of_strangers = records.iter().filter(|record| record.is_of_stranger());
        of_strangers.map(|record| record.count()).sum::<u64>() == told
    });
}

#[test]
fn a_gateway_that_dies_on_a_full_disk_has_lost_nothing() {
    let Some((fleet, disk)) = on_a_small_disk(LOG) else { return };
    let node = fleet.node_at(JOURNAL);
    let mut caller = Caller::new();
    disk.fill();
    caller.until_refused(&node);
    node.kill();
    caller.wire = None;
    disk.free();
    let node = fleet.node_at(JOURNAL);
    caller.until_passed(&node);
    caller.assert_accounted(&fleet, &node);
}

#[test]
fn a_full_disk_is_counted_where_serving_matters_more() {
    let Some((fleet, disk)) = on_a_small_disk(&format!("{LOG}, on_failure: serve")) else { return };
    let node = fleet.node_at(JOURNAL);
    let books = Books::of_node(&node);
    let mut caller = Caller::new();
    disk.fill();
    at_last("something is not kept", || {
        let passed = (0..50).all(|_| caller.ask(&node).is_empty());
        assert!(passed, "refused");
        books.metric(UNRECORDED) > 0
    });
    disk.free();
    at_last("records are kept again", || {
        let before = books.metric(UNRECORDED);
        (0..50).all(|_| caller.ask(&node).is_empty()) && books.metric(UNRECORDED) == before
    });
    books.settle();
    let kept = books.all().len() as u64;
    let (asked, lost) = (caller.ledger.asked, books.metric(UNRECORDED));
    say(&format!("{asked} asked, {kept} kept, {lost} counted"));
    assert!(kept > 0 && lost > 0);
    assert_eq!(kept + lost, asked, "each is recorded or counted");
    assert_eq!(books.metric(REFUSED), 0);
    assert_eq!(fleet.upstream.count() as u64, asked);
    assert!(node.said().contains("journal"), "it says so: {}", node.said());
}

fn journal(fleet: &Fleet) -> u64 {
    disk::used(&Path::new(fleet.directory()).join(FIRST))
}

#[test]
fn what_waits_for_redis_stays_within_max_disk_and_goes_when_it_is_back() {
    const MOST: u64 = 1 << 20;
    let mut redis = Redis::start(&[]);
    let plan = Plan::quiet(&redis.url(), ", sync: 20ms, path: full, max_disk: 1MiB");
    let fleet = Fleet::of(plan, Upstream::ok());
    let node = fleet.node();
    let mut caller = Caller::new();
    assert_eq!(caller.ask(&node), "");
    for _ in 0..2 {
        redis.kill();
        caller.until_refused(&node);
        assert_refusing(&mut caller, &fleet, &node);
        let used = journal(&fleet);
        assert!(used <= MOST, "{used} bytes of {MOST}");
        redis.restart();
        caller.until_passed(&node);
    }
    let said = node.said();
    let relieved = said.lines().find(|line| line.contains("the journal has room again")).unwrap();
    let relieved: Value = serde_json::from_str(relieved).unwrap();
    assert!(relieved["requests"].as_u64() >= Some(20), "{relieved}");
    caller.assert_accounted(&fleet, &node);
    let books = Books::of_node(&node);
    assert_eq!(in_stream(&redis).len(), books.all().len());
}

/// With a store that takes them, any number of records goes through a small journal.
#[test]
fn a_small_journal_does_not_refuse_while_records_are_shipped() {
    let plan = Plan::quiet("embedded:./data", ", path: full, max_disk: 1MiB");
    let fleet = Fleet::of(plan, Upstream::ok());
    let node = fleet.node();
    let mut caller = Caller::new();
    for _ in 0..20 {
        for _ in 0..50 {
            assert_eq!(caller.ask(&node), "");
        }
        Books::of_node(&node).settle();
    }
    assert!(journal(&fleet) <= 1 << 20);
    caller.assert_accounted(&fleet, &node);
}
