//! When a key was last used is what its records say, also where the gateway was killed before it wrote the use.

use super::support::fixture::request;
use super::support::nodes::{FIRST, Fleet, Node, Plan, at_last};
use super::support::records::Books;
use super::support::redis::Redis;
use super::support::upstream::Upstream;
use super::support::wire::Wire;

/// Records that fill a segment soon.
const LOG: &str = ", sync: 20ms, path: full, max_disk: 1MiB";

/// What is said of the use of `key-all` is what its one record says.
#[track_caller]
fn assert_known(fleet: &Fleet, node: &Node) {
    let books = Books::of_node(node);
    books.settle();
    let key = fleet.key_path("key-all");
    let records = books.list(&format!("{key}/activity"), "");
    assert_eq!(records.len(), 1, "{records:?}");
    assert_eq!(node.operator.see(&key)["last_used_at"], records[0].get("ts"));
}

fn survives_a_kill(store: &str) {
    let fleet = Fleet::on(store);
    let node = fleet.node();
    assert_eq!(node.try_key("key-all").0, 200);
    // It is refused, which is no use.
    assert_eq!(node.try_key("key-none").0, 403);
    node.kill();
    // The next start ships its record, and may be killed as soon.
    let node = fleet.node();
    let said = node.said();
    assert!(said.contains("\"kept\":2"), "what the journal has, shipped or not: {said}");
    Books::of_node(&node).settle();
    node.kill();
    let node = fleet.node();
    assert_known(&fleet, &node);
    assert!(node.operator.see(&fleet.key_path("key-none"))["last_used_at"].is_null());
}

#[test]
fn a_use_just_before_a_kill_is_known_after_it() {
    survives_a_kill("embedded:./data");
}

#[test]
fn a_use_just_before_a_kill_is_known_after_it_with_redis() {
    let redis = Redis::start(&[]);
    survives_a_kill(&format!("redis://127.0.0.1:{}", redis.port));
}

#[test]
fn a_use_whose_record_the_journal_has_no_more_is_known_after_a_kill() {
    let fleet = Fleet::of(Plan::quiet("embedded:./data", LOG), Upstream::ok());
    let node = fleet.node();
    assert_eq!(node.try_key("key-all").0, 200);
    let journal = fleet.directory().join(FIRST);
    let has_first = || {
        let names = std::fs::read_dir(&journal).unwrap().map(|entry| entry.unwrap().file_name());
        names.into_iter().any(|name| name.to_string_lossy().ends_with("-0000000001.journal"))
    };
    let mut wire = Wire::to(node.gateway);
    let target = format!("/v1/appointments/{}", "x".repeat(1_900));
    at_last("the first file of the journal is deleted", || {
        for _ in 0..50 {
            assert!(wire.send(&request("GET", &target, "key-read")));
            assert_eq!(wire.answer().status, 200);
        }
        !has_first()
    });
    node.kill();
    assert_known(&fleet, &fleet.node());
}
