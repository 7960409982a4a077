//! Two gateways on one Redis: what is taken away on one is gone on the other, and after any loss of contact, too.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::support::nodes::{Fleet, Node, at_last};
use super::support::redis::Redis;
use super::support::{Answer, say};

#[track_caller]
fn done(answer: &Answer) -> Value {
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

fn pass_on_both(nodes: [&Node; 2], key: &str) {
    for node in nodes {
        assert_eq!(node.try_key(key), (200, String::new()));
    }
}

/// The nodes that a receipt names, and whether each has applied it.
fn lines(receipt: &Value) -> Vec<(String, bool)> {
    let lines = receipt["nodes"].as_array().unwrap();
    let name = |line: &Value| line["node"].as_str().unwrap().to_owned();
    lines.iter().map(|line| (name(line), line["applied_at"].is_string())).collect()
}

#[test]
fn a_revocation_holds_on_the_other_node_and_the_receipt_names_both() {
    let redis = Redis::start(&[]);
    let fleet = Fleet::on(&redis.url());
    let (one, other) = fleet.pair();
    pass_on_both([&one, &other], "key-all");
    // A node is known by its heartbeat, which begins when it serves.
    at_last("both nodes beat", || redis.command(&["HLEN", "{postern}:nodes"]) == "2");
    let receipt = done(&one.operator.delete(&fleet.key_path("key-all")));
    assert_eq!(one.try_key("key-all"), (401, "key_revoked".to_owned()));
    other.comes_to("key-all", "key_revoked");
    let named = lines(&receipt);
    assert_eq!(named.len(), 2, "{receipt}");
    assert_ne!(named[0].0, named[1].0, "{receipt}");
    at_last("both lines are filled in", || {
        let again = done(&other.operator.delete(&fleet.key_path("key-all")));
        assert_eq!(again["revoked_at"], receipt["revoked_at"]);
        lines(&again).len() == 2 && lines(&again).iter().all(|(_, applied)| *applied)
    });
    pass_on_both([&one, &other], "key-read");
}

#[test]
fn every_kind_of_change_holds_on_the_other_node() {
    let redis = Redis::start(&[]);
    let fleet = Fleet::on(&redis.url());
    let (one, other) = fleet.pair();
    pass_on_both([&one, &other], "key-all");
    let change =
        |node: &Node, path: &str, body: Value| drop(done(&node.operator.patch(path, &body)));

    let key = fleet.key_path("key-all");
    change(&one, &key, json!({ "permissions": { "files": "read" } }));
    other.comes_to("key-all", "permission_denied");
    // Each node decides on what the other one did before.
    change(&other, &key, json!({ "permissions": { "patient": "read" } }));
    one.comes_to("key-all", "");

    change(&other, &key, json!({ "enabled": false }));
    one.comes_to("key-all", "key_disabled");
    change(&one, &key, json!({ "enabled": true }));
    other.comes_to("key-all", "");

    change(&one, "/vendors/acme", json!({ "status": "suspended" }));
    other.comes_to("key-all", "vendor_not_approved");
    change(&other, "/vendors/acme", json!({ "status": "approved" }));
    one.comes_to("key-all", "");

    change(&one, "/practices/north", json!({ "api_access": false }));
    other.comes_to("key-all", "api_access_disabled");
    change(&one, "/practices/north", json!({ "api_access": true }));
    other.comes_to("key-all", "");
}

#[test]
fn a_key_that_one_node_made_works_on_the_other_after_its_restart_too() {
    let redis = Redis::start(&[]);
    let fleet = Fleet::on(&redis.url());
    let (one, other) = fleet.pair();
    let wanted = json!({ "name": "new", "owner": "dr-lee", "api": "standard", "permissions": { "patient": "read" } });
    let made = one.operator.make("/practices/north/keys", &wanted);
    let path = format!("/keys/{}", made["id"].as_str().unwrap());
    at_last("the other node knows it", || other.operator.get(&path).status == 200);
    drop((one, other));
    assert_eq!(fleet.node().operator.see(&path)["name"], "new");
}

/// Changes on one node while the other one cannot hear of them.
#[test]
fn what_was_missed_while_redis_was_away_holds_once_it_is_back() {
    let mut redis = Redis::start(&[]);
    let fleet = Fleet::on(&redis.url());
    let (one, other) = fleet.pair();
    for round in ["key-all", "key-read", "key-mixed"] {
        pass_on_both([&one, &other], round);
        redis.kill();
        // What is known goes on.
        pass_on_both([&one, &other], round);
        assert_eq!(one.operator.delete(&fleet.key_path(round)).status, 503);
        redis.restart();
        at_last("the revocation is taken", || {
            one.operator.delete(&fleet.key_path(round)).status == 200
        });
        assert_eq!(one.try_key(round).1, "key_revoked");
        other.comes_to(round, "key_revoked");
    }
}

#[test]
fn both_nodes_write_at_once_and_nothing_is_lost() {
    const EACH: usize = 15;
    let redis = Redis::start(&[]);
    let fleet = Fleet::on(&redis.url());
    let (one, other) = fleet.pair();
    std::thread::scope(|scope| {
        for (name, node) in [("a", &one), ("b", &other)] {
            scope.spawn(move || {
                for number in 0..EACH {
                    let wanted = json!({ "id": format!("{name}-{number}"), "name": "New" });
                    node.operator.make("/practices", &wanted);
                }
            });
        }
    });
    for node in [&one, &other] {
        at_last("both know all of them", || {
            let page = node.operator.see("/practices?limit=200");
            page["items"].as_array().unwrap().len() == 2 * EACH + 1
        });
        let verdict = node.operator.see("/audit/verify");
        assert_eq!(verdict["ok"], true, "{verdict}");
    }
}

/// A Redis that comes back with less than it answered: what a node knows to be revoked stays so, here and there.
#[test]
fn a_revocation_that_redis_lost_is_not_undone() {
    let mut redis = Redis::start_plain(&["--save", ""]);
    let fleet = Fleet::on(&redis.url());
    let (one, other) = fleet.pair();
    // The state before the revocation, on the disk: without an AOF that is what it starts with.
    assert_eq!(redis.command(&["SAVE"]), "OK");
    done(&one.operator.delete(&fleet.key_path("key-all")));
    other.comes_to("key-all", "key_revoked");
    redis.kill();
    redis.restart();
    at_last("the revocation is in Redis again", || {
        let document = format!("key/{}", fleet.key_id("key-all"));
        redis.command(&["HGET", "{postern}:documents", &document]).contains("revoked_at")
    });
    let noticed = |node: &Node| node.said().contains("the store lost changes");
    assert!(noticed(&one) || noticed(&other), "Redis lost nothing");
    for node in [&one, &other] {
        assert_eq!(node.try_key("key-all").1, "key_revoked");
        node.comes_to("key-read", "");
    }
    // Whoever knew nothing of it learns it from the store.
    assert_eq!(fleet.node_at("journal-3").try_key("key-all").1, "key_revoked");
}

#[test]
fn a_redis_that_hangs_is_survived_until_max_staleness() {
    let redis = Redis::start(&[]);
    let fleet = Fleet::with(&redis.url(), "  max_staleness: 4s\n", Vec::new());
    let node = fleet.node();
    assert_eq!(node.try_key("key-all").0, 200);
    assert_eq!(node.ready().status, 200);
    redis.stop();
    let begun = Instant::now();
    let passed = node.try_key("key-all").0;
    // On a machine so busy that the time is over already, there is nothing to say.
    assert!(passed == 200 || begun.elapsed() > Duration::from_secs(2), "{passed}");
    at_last("requests are refused", || {
        node.try_key("key-all") == (503, "registry_stale".to_owned())
    });
    assert!(begun.elapsed() > Duration::from_secs(3), "refused long before `max_staleness`");
    assert_eq!(node.ready().status, 503);
    redis.go_on();
    node.comes_to("key-all", "");
    at_last("it is ready again", || node.ready().status == 200);
}

/// How long it takes until the other node refuses: `POSTERN_BIG=1` for a hundred keys, five otherwise.
#[test]
fn a_revocation_takes_little_time_to_the_other_node() {
    let redis = Redis::start(&[]);
    let fleet = Fleet::on(&redis.url());
    let (one, other) = fleet.pair();
    let how_many = if std::env::var_os("POSTERN_BIG").is_some() { 100 } else { 5 };
    at_last("both nodes beat", || redis.command(&["HLEN", "{postern}:nodes"]) == "2");
    let key = fleet.key_path("key-all");
    let mut took = Vec::new();
    for _ in 0..how_many {
        pass_on_both([&one, &other], "key-all");
        std::thread::scope(|scope| {
            let refused_at = scope.spawn(|| {
                other.comes_to("key-all", "key_disabled");
                Instant::now()
            });
            done(&one.operator.patch(&key, &json!({ "enabled": false })));
            let answered_at = Instant::now();
            let refused_at = refused_at.join().unwrap();
            took.push(refused_at.saturating_duration_since(answered_at));
        });
        done(&one.operator.patch(&key, &json!({ "enabled": true })));
        other.comes_to("key-all", "");
    }
    took.sort();
    say(&format!(
        "from the answer of one node until the other refuses ({how_many} times): median {:?}, longest {:?}",
        took[how_many / 2],
        took[how_many - 1]
    ));
}
