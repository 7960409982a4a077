//! Limits that several gateways count together in one Redis, and what becomes of them while it is away.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use super::support::fixture::request;
use super::support::nodes::{Fleet, Node, Plan, at_last};
use super::support::redis::{Cluster, Redis, Watched};
use super::support::upstream::ok;
use super::support::{Answer, Then, Upstream, Wire, say};

/// The third node's journal.
const THIRD: &str = "journal-3";

fn fleet(store: &str, limits: &str) -> Fleet {
    let plan = Plan { top: format!("limits: {{ {limits} }}\n"), ..Plan::on(store) };
    Fleet::of(plan, Upstream::ok())
}

/// Returns once a node has found the store again.
#[track_caller]
fn finds_the_store(node: &Node) {
    at_last("the node shares its limits again", || {
        node.said().contains("limits are shared with other nodes again")
    });
}

/// Whoever listens has looked for the store.
fn started(fleet: &Fleet, journal: &str) -> Node {
    fleet.node_at(journal)
}

fn answer(node: &Node, target: &str, key: &str) -> Answer {
    let mut wire = Wire::to(node.gateway);
    wire.send(&request("GET", target, key));
    wire.answer()
}

/// How many of so many requests are let through; the others are over their limit.
fn admitted(node: &Node, requests: usize) -> usize {
    let mut wire = Wire::to(node.gateway);
    let mut admitted = 0;
    for _ in 0..requests {
        wire.send(&request("GET", "/v1/patients", "key-all"));
        let answer = wire.answer();
        match (answer.status, answer.code().as_str()) {
            (200, "") => admitted += 1,
            (429, "rate_limited") => {}
            other => panic!("{other:?}: {}", answer.text()),
        }
    }
    admitted
}

fn admitted_by_all(nodes: &[&Node], callers: usize, requests: usize) -> usize {
    let sum = AtomicUsize::new(0);
    thread::scope(|scope| {
        for node in nodes {
            for _ in 0..callers {
                scope.spawn(|| sum.fetch_add(admitted(node, requests), Ordering::Relaxed));
            }
        }
    });
    sum.into_inner()
}

#[test]
fn three_nodes_admit_what_one_would_and_not_one_more() {
    let redis = Redis::start(&[]);
    // Nothing comes back while this runs.
    let fleet =
        fleet(&redis.url(), "key: { rate: 1/d, burst: 150 }, vendor: { rate: 1/d, burst: 200 }");
    let nodes = ["journal-1", "journal-2", THIRD].map(|journal| started(&fleet, journal));
    assert_eq!(admitted_by_all(&nodes.each_ref(), 2, 40), 150);
    // What the key's limit refused took nothing from the vendor's.
    for (node, left) in nodes.iter().zip([49, 48, 47]) {
        let answer = answer(node, "/v1/patients", "key-read");
        let told = answer.head.one("ratelimit").unwrap().to_owned();
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert!(told.contains(&format!("\"vendor\";r={left};")), "{told}");
    }
}

#[test]
fn a_cluster_and_sentinels_count_for_all_nodes_and_a_failover_gives_no_burst() {
    let limits = "key: { rate: 1/d, burst: 20 }";
    let cluster = Cluster::start();
    let fleet_of_cluster = fleet(&cluster.url(), limits);
    let (one, other) =
        (started(&fleet_of_cluster, "journal-1"), started(&fleet_of_cluster, "journal-2"));
    assert_eq!(admitted_by_all(&[&one, &other], 1, 20), 20);
    drop((one, other));

    let mut watched = Watched::start();
    let fleet = fleet(&watched.url(), limits);
    let node = started(&fleet, "journal-1");
    assert_eq!(admitted(&node, 12), 12);
    watched.fail_over();
    // Whether alone or together again.
    assert_eq!(admitted(&node, 20), 8);
    // Its first question may have found the new primary at once, and then there is nothing to be found again.
    at_last("the node shares its limits", || {
        node.ready().text().contains("\"limits\":{\"shared\":true}")
    });
    assert_eq!(admitted(&node, 20), 0);
}

#[test]
fn a_redis_that_is_killed_under_load_and_comes_back_without_limits_gives_no_burst() {
    const BURST: usize = 60;
    let mut redis = Redis::start(&[]);
    let fleet = fleet(&redis.url(), "key: { rate: 1/d, burst: 60 }");
    let (one, other) = (started(&fleet, "journal-1"), started(&fleet, "journal-2"));
    assert_eq!(admitted(&one, 10), 10);
    // It forgets, and the next moment it is gone.
    let forget = "for _, key in ipairs(redis.call('KEYS', '{postern:limits}*')) do redis.call('DEL', key) end";
    let ended = AtomicBool::new(false);
    let longest = thread::scope(|scope| {
        // Of another key, so that what is counted here is what is asked here. All it wants is answers.
        let load = [&one, &other].map(|node| {
            let ended = &ended;
            scope.spawn(move || {
                let mut longest = Duration::ZERO;
                // Should the test fail meanwhile, this ends by itself.
                let until = Instant::now() + Duration::from_secs(60);
                while !ended.load(Ordering::Relaxed) && Instant::now() < until {
                    let begun = Instant::now();
                    let answer = answer(node, "/v1/patients", "key-read");
                    assert!([200, 429].contains(&answer.status), "{}", answer.text());
                    longest = longest.max(begun.elapsed());
                }
                longest
            })
        });
        redis.command(&["EVAL", forget, "0"]);
        redis.kill();
        // Each by what it knows: the one of ten, the other of nothing.
        assert_eq!(admitted(&one, BURST + 20), BURST - 10);
        assert_eq!(admitted(&other, BURST + 20), BURST);
        redis.restart();
        finds_the_store(&one);
        finds_the_store(&other);
        assert_eq!(admitted_by_all(&[&one, &other], 2, 20), 0, "a burst at its return");
        ended.store(true, Ordering::Relaxed);
        load.map(|load| load.join().unwrap()).into_iter().max().unwrap()
    });
    say(&format!(
        "the longest that a request took while Redis was killed and came back: {longest:?}"
    ));
    // A node that knows nothing of it hears of it from the others.
    assert_eq!(admitted(&started(&fleet, THIRD), 20), 0);
}

#[test]
fn a_redis_that_hangs_holds_nobody_up_and_costs_nobody_anything() {
    let redis = Redis::start(&[]);
    let fleet = fleet(&redis.url(), "key: { rate: 1/d, burst: 30 }");
    let node = started(&fleet, "journal-1");
    assert_eq!(admitted(&node, 5), 5);
    redis.stop();
    assert_eq!(admitted(&node, 15), 15);
    redis.go_on();
    finds_the_store(&node);
    assert_eq!(admitted(&node, 30), 10);
}

#[test]
fn without_redis_nothing_with_a_limit_is_served_where_that_is_asked_for() {
    let mut redis = Redis::start(&[]);
    let fleet = fleet(&redis.url(), "key: { rate: 1/d, burst: 30 }, store_down: deny");
    let node = started(&fleet, "journal-1");
    assert_eq!(admitted(&node, 5), 5);
    redis.kill();
    for _ in 0..5 {
        let answer = answer(&node, "/v1/patients", "key-all");
        assert_eq!((answer.status, answer.code().as_str()), (503, "limits_unavailable"));
    }
    redis.restart();
    finds_the_store(&node);
    assert_eq!(admitted(&node, 30), 25);
}

#[test]
fn what_runs_at_once_is_counted_over_all_nodes() {
    let redis = Redis::start(&[]);
    let released = Arc::new(AtomicBool::new(false));
    let is_released = Arc::clone(&released);
    let upstream = Upstream::start(move |exchange| {
        exchange.body()?;
        while exchange.head.word(1).ends_with("/held") && !is_released.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(5));
        }
        exchange.send(&ok("", "ok"))?;
        Ok(Then::Keep)
    });
    let top = "limits: { max_concurrent_per_key: 2 }\n".to_owned();
    let fleet = Fleet::of(Plan { top, ..Plan::on(&redis.url()) }, upstream);
    let (one, other) = (started(&fleet, "journal-1"), started(&fleet, "journal-2"));
    let mut held: Vec<_> = [&one, &other]
        .into_iter()
        .map(|node| {
            let mut wire = Wire::to(node.gateway);
            wire.send(&request("GET", "/v1/appointments/held", "key-all"));
            wire
        })
        .collect();
    at_last("both are held", || fleet.upstream.count() == 2);
    for node in [&one, &other] {
        assert_eq!(node.try_key("key-all"), (429, "too_many_concurrent".to_owned()));
        assert_eq!(node.try_key("key-read").0, 200);
    }
    // A Redis that forgot them is told again.
    let running = format!("{{postern:limits}}:running:{}", fleet.key_id("key-all"));
    redis.command(&["DEL", &running]);
    at_last("both are renewed", || redis.command(&["ZCARD", &running]) == "2");
    released.store(true, Ordering::Relaxed);
    assert!(held.iter_mut().all(|wire| wire.answer().status == 200));
    for node in [&one, &other] {
        node.comes_to("key-all", "");
    }
    // One after the other is never two at once.
    let mut wire = Wire::to(one.gateway);
    for _ in 0..50 {
        wire.send(&request("GET", "/v1/patients", "key-all"));
        assert_eq!(wire.answer().status, 200);
    }
    // A node that dies gives its places back when their leases are over: nobody waits for that here.
    at_last("all places are free", || redis.command(&["ZCARD", &running]) == "0");
}

#[test]
fn quotas_of_a_day_are_those_of_all_nodes() {
    let day =
        || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() / 86_400;
    let today = day();
    let redis = Redis::start(&[]);
    let fleet = fleet(&redis.url(), "daily_quota: { requests: 5 }");
    let (one, other) = (started(&fleet, "journal-1"), started(&fleet, "journal-2"));
    let told: Vec<_> =
        [&one, &other, &one, &other, &one].map(|node| node.try_key("key-all").0).into();
    let refused = [&one, &other].map(|node| node.try_key("key-all"));
    let third = started(&fleet, THIRD).try_key("key-all");
    if day() == today {
        assert_eq!(told, [200; 5]);
        for refused in refused.into_iter().chain([third]) {
            assert_eq!(refused, (429, "quota_exceeded".to_owned()));
        }
        assert_eq!(other.try_key("key-read").0, 200);
    }
}

#[test]
fn bytes_of_a_day_are_counted_once_however_many_ask_at_once() {
    const CALLERS: usize = 16;
    let redis = Redis::start(&[]);
    let fleet = fleet(&redis.url(), "daily_quota: { requests: 1000000, bytes: 1GiB }");
    let nodes = ["journal-1", "journal-2"].map(|journal| started(&fleet, journal));
    let key = format!("{{postern:limits}}:day:{}", fleet.key_id("key-all"));
    let used = || -> Vec<u64> {
        redis.command(&["GET", &key]).split(' ').filter_map(|number| number.parse().ok()).collect()
    };
    assert_eq!(admitted(&nodes[0], 1), 1);
    at_last("the bytes of one are told", || used().get(2).is_some_and(|bytes| *bytes > 0));
    let [today, _, each] = used()[..] else { panic!("{:?}", used()) };
    let requests = 1 + admitted_by_all(&nodes.each_ref(), CALLERS, 60);
    let count = u64::try_from(requests).unwrap();
    at_last("all are told", || used()[0] != today || used()[2] >= count * each);
    // One more, so that what a node believes in is told, too.
    assert_eq!(admitted(&nodes[0], 1), 1);
    let told = used();
    if told[0] == today {
        assert_eq!(told[1], count + 1);
        assert!(told[2] <= (count + 1) * each, "{told:?} of {each} each");
    }
}

#[test]
fn a_node_that_may_not_count_in_redis_says_why() {
    let redis = Redis::start(&[]);
    let fleet = fleet(&redis.url(), "key: { rate: 1/d, burst: 30 }");
    let may = |keys: &[&str]| {
        let words = [&["ACL", "SETUSER", "default", "resetkeys"], keys].concat();
        assert_eq!(redis.command(&words), "OK");
    };
    may(&["~{postern}:*", "~postern:access", "~{postern:access}:*"]);
    let node = started(&fleet, "journal-1");
    assert_eq!(admitted(&node, 1), 1);
    at_last("it says why", || {
        let said = node.said();
        let mut lines = said.lines();
        lines.any(|line| line.contains("limits cannot be shared") && line.contains("ACL"))
    });
    may(&["allkeys"]);
    finds_the_store(&node);
}
