//! Nothing passes unrecorded: the gateway and its Redis are killed, stopped, restarted and replaced under load, and in the
//! end every request that was answered, or that the upstream saw, has its one record, and the sums are those of the records.
//!
//! `tests/crash.sh` runs the long form: `POSTERN_KILLS` says how often the gateway is killed on each store, `POSTERN_FAULTS`
//! how often its Redis fails. `POSTERN_SEED` repeats the choices of a run, though not the moments.

use std::collections::BTreeSet;
use std::io::Read;
use std::time::{Duration, Instant};

use super::support::ledger::{Ledger, differences, usage_faults};
use super::support::load::{self, Load};
use super::support::nodes::{FIRST, Fleet, Node, Plan, SECOND, at_last};
use super::support::records::{
    Books, Counts, GONE, REWINDS, Record, SHIPPED, exported, in_stream, stream_length,
};
use super::support::redis::{Redis, Watched};
use super::support::say;

/// Segments of a few mebibytes each, as every start of a gateway has its own.
const LOG: &str = ", sync: 50ms, max_disk: 128MiB";

fn how_often(variable: &str, big: usize, usual: usize) -> usize {
    let told = std::env::var(variable).ok().and_then(|number| number.parse().ok());
    let is_big = std::env::var_os("POSTERN_BIG").is_some();
    told.unwrap_or(if is_big { big } else { usual })
}

fn kills() -> usize {
    how_often("POSTERN_KILLS", 100, 8)
}

fn faults() -> usize {
    how_often("POSTERN_FAULTS", 24, TROUBLES.len())
}

fn sow() {
    let told = std::env::var("POSTERN_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = told.unwrap_or_else(|| fastrand::u64(..));
    fastrand::seed(seed);
    say(&format!("POSTERN_SEED={seed}"));
}

fn fleet(store: &str) -> Fleet {
    Fleet::of(Plan::quiet(store, LOG), load::upstream())
}

/// Until so many more requests were answered.
fn pass(load: &Load, more: usize) {
    let enough = load.answered() + more;
    at_last("requests are answered", || load.answered() >= enough);
}

/// A start of the gateway that does not get to its end, or barely.
fn kill_at_the_start(fleet: &Fleet) {
    let mut child = fleet.spawn(FIRST);
    std::thread::sleep(Duration::from_millis(fastrand::u64(0..500)));
    child.kill().unwrap();
    let mut said = String::new();
    drop(child.stderr.take().unwrap().read_to_string(&mut said));
    child.wait().unwrap();
    assert!(!said.contains("panicked at"), "{said}");
}

/// Every way to read the records, the sums, and what both sides remember: one account.
fn reconcile(fleet: &Fleet, node: &Node, ledger: &Ledger, redis: Option<&Redis>) -> Vec<Record> {
    let books = Books::of_node(node);
    books.settle();
    let mut faults = Vec::new();
    let mut records = Vec::new();
    // What callers left open ends a moment after they hung up.
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        records.clone_from(&books.all());
        faults.clone_from(&ledger.faults(&records));
        if faults.is_empty() || Instant::now() > deadline {
            break;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    books.settle();
    records.clone_from(&books.all());
    faults.clone_from(&ledger.faults(&records));
    faults.extend(differences("postern logs export", &records, &exported(fleet, node)));
    if let Some(redis) = redis {
        faults.extend(differences("the stream", &records, &in_stream(redis)));
    }
    faults.extend(usage(fleet, &books, &records));
    say(&ledger.summary(&records));
    assert_eq!(books.metric(GONE), 0);
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    let newest_first = records.windows(2).all(|two| two[0].get("ts") >= two[1].get("ts"));
    assert!(newest_first, "the activity is not in the order of time");
    records
}

/// The usage of every key and of the practice, by day and hour, against the records.
fn usage(fleet: &Fleet, books: &Books, records: &[Record]) -> Vec<String> {
    let mut faults = Vec::new();
    let mut compare = |path: &str, field: &str, value: &str| {
        for (step, letters) in [("day", 10), ("hour", 13)] {
            let own = records.iter().filter(|record| record.get(field) == value);
            let counted = Counts::by_span(own, letters);
            let used = books.usage(path, step);
            faults.extend(usage_faults(&format!("{value} by {step}"), &used, &counted));
        }
    };
    for id in fleet.ids().values() {
        compare(&format!("/keys/{id}/usage"), "key", id);
    }
    compare("/practices/north/usage", "practice", "north");
    faults
}

/// The load ends, and one more gateway says what became of it.
fn verdict(fleet: &Fleet, node: &Node, load: Load, redis: Option<&Redis>) -> Vec<Record> {
    pass(&load, 20);
    let ledger = load.end(&fleet.upstream);
    assert!(ledger.answered.len() > 100, "hardly any load: {}", ledger.answered.len());
    reconcile(fleet, node, &ledger, redis)
}

fn survives_kills(name: &str, store: &str, redis: Option<&Redis>) {
    sow();
    let fleet = fleet(store);
    let load = Load::begin();
    let kills = kills();
    for round in 1..=kills {
        let node = fleet.node();
        load.aim(node.gateway);
        pass(&load, fastrand::usize(1..150));
        std::thread::sleep(Duration::from_micros(fastrand::u64(0..30_000)));
        load.pause();
        node.kill();
        if fastrand::usize(..4) == 0 {
            kill_at_the_start(&fleet);
        }
        if round % 10 == 0 || round == kills {
            say(&format!("{name}: kill {round} of {kills}, {} answered", load.answered()));
        }
    }
    let node = fleet.node();
    load.aim(node.gateway);
    let records = verdict(&fleet, &node, load, redis);
    let interrupted = records.iter().filter(|record| record.get("code") == "interrupted");
    assert!(interrupted.count() > 0, "no request was open at any of {kills} kills");
}

#[test]
fn every_request_has_its_record_through_kills_of_the_gateway_on_an_embedded_store() {
    survives_kills("embedded", "embedded:./data", None);
}

#[test]
fn every_request_has_its_record_through_kills_of_the_gateway_on_redis() {
    let redis = Redis::start(&[]);
    survives_kills("redis", &redis.url(), Some(&redis));
}

/// Until the store takes records again.
fn shipped_again(books: &Books) {
    let before = books.metric(SHIPPED);
    at_last("records are shipped again", || books.metric(SHIPPED) > before);
}

type Trouble = fn(&mut Redis, &Load);

/// What can become of one Redis that keeps its data.
const TROUBLES: [(&str, Trouble); 4] = [
    ("kill -9", |redis, load| {
        redis.kill();
        pass(load, 60);
        redis.restart();
    }),
    ("SIGSTOP", |redis, load| {
        redis.stop();
        let begun = Instant::now();
        pass(load, 60);
        let stalled = Duration::from_millis(fastrand::u64(500..2_500));
        std::thread::sleep(stalled.saturating_sub(begun.elapsed()));
        redis.go_on();
    }),
    ("a clean restart", |redis, load| {
        redis.end();
        pass(load, 60);
        redis.restart();
    }),
    ("every connection cut", |redis, load| {
        for _ in 0..5 {
            let cut = redis.command(&["CLIENT", "KILL", "TYPE", "normal"]);
            assert!(!cut.starts_with('-'), "{cut}");
            pass(load, 10);
        }
    }),
];

#[test]
fn every_request_has_its_record_through_troubles_of_redis() {
    sow();
    let mut redis = Redis::start(&[]);
    let fleet = fleet(&redis.url());
    let load = Load::begin();
    let mut node = fleet.node();
    load.aim(node.gateway);
    let faults = faults();
    for round in 0..faults {
        pass(&load, 60);
        let (name, trouble) = TROUBLES[round % TROUBLES.len()];
        trouble(&mut redis, &load);
        shipped_again(&Books::of_node(&node));
        // Now and then the gateway dies of it, too.
        if fastrand::usize(..3) == 0 {
            load.pause();
            node.kill();
            node = fleet.node();
            load.aim(node.gateway);
        }
        say(&format!("redis: {name}, {} of {faults}, {} answered", round + 1, load.answered()));
    }
    verdict(&fleet, &node, load, Some(&redis));
}

/// A replica takes the primary's place; `lacking`: it was cut off from it while the primary still took records.
fn survives_a_failover(lacking: bool, killed: bool) {
    sow();
    let mut redis = Redis::start(&["--repl-diskless-sync-delay", "0"]);
    let fleet = fleet(&redis.url());
    let load = Load::begin();
    let mut node = fleet.node();
    load.aim(node.gateway);
    pass(&load, 60);
    shipped_again(&Books::of_node(&node));
    let mut replica = redis.replica();
    if lacking {
        replica.promote();
        let had = stream_length(&replica);
        at_last("the primary takes what the replica lacks", || stream_length(&redis) > had + 60);
    }
    pass(&load, 60);
    redis.kill();
    if killed {
        load.pause();
        node.kill();
        replica.take_over(&redis);
        node = fleet.node();
        load.aim(node.gateway);
    } else {
        replica.take_over(&redis);
    }
    pass(&load, 60);
    let books = Books::of_node(&node);
    shipped_again(&books);
    verdict(&fleet, &node, load, Some(&replica));
    // A gateway that was not there when the tail was confirmed cannot know that it goes back.
    assert!(!lacking || killed || books.metric(REWINDS) > 0, "the replica lacked nothing");
}

#[test]
fn every_request_has_its_record_after_a_failover() {
    survives_a_failover(false, false);
}

#[test]
fn every_request_has_its_record_after_a_failover_to_a_replica_that_lacks_the_tail() {
    survives_a_failover(true, false);
}

/// Those who shipped the tail are not there any more; their journals are.
#[test]
fn every_request_has_its_record_after_such_a_failover_and_a_kill_of_the_gateway() {
    survives_a_failover(true, true);
}

#[test]
fn every_request_has_its_record_after_a_failover_by_sentinels() {
    let mut watched = Watched::start();
    let fleet = fleet(&watched.url());
    let load = Load::begin();
    let node = fleet.node();
    load.aim(node.gateway);
    pass(&load, 60);
    shipped_again(&Books::of_node(&node));
    watched.fail_over();
    pass(&load, 60);
    shipped_again(&Books::of_node(&node));
    let primary = watched.primary();
    let now = watched.servers.iter().find(|server| server.port == primary).unwrap();
    verdict(&fleet, &node, load, Some(now));
}

/// Two gateways whose records go into one stream, one of them killed.
#[test]
fn the_records_of_two_nodes_are_one_account() {
    let redis = Redis::start(&[]);
    let fleet = fleet(&redis.url());
    let (one, other) = fleet.pair();
    let load = Load::begin();
    load.aim(one.gateway);
    pass(&load, 30);
    load.aim(other.gateway);
    pass(&load, 60);
    load.pause();
    other.kill();
    let other = fleet.node_at(SECOND);
    load.aim(other.gateway);
    pass(&load, 30);
    load.aim(one.gateway);
    pass(&load, 60);
    let ledger = load.end(&fleet.upstream);
    Books::of_node(&other).settle();
    let records = reconcile(&fleet, &one, &ledger, Some(&redis));
    // Lanes are of one start each: one of the first node, two of the second.
    let lane = |record: &Record| record.get("id").split('-').next().unwrap().to_owned();
    let lanes: BTreeSet<_> = records.iter().map(lane).collect();
    assert_eq!(lanes.len(), 3, "{lanes:?}");
    let nodes: BTreeSet<_> = records.iter().map(|record| record.get("node")).collect();
    assert!(!nodes.contains(""), "{nodes:?}");
}
