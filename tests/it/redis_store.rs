//! A gateway on Redis in each of its layouts, and on a Redis that is absent, wrong, unsafe, dies or fails over.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use super::support::fixture;
use super::support::nodes::{Fleet, Node, at_last};
use super::support::redis::{Cluster, Redis, Watched, free_port};
use super::support::tls::Authority;

/// Somebody passes, is revoked, and stays so after a restart.
fn serves_and_keeps(fleet: &Fleet) {
    let node = fleet.node();
    assert_eq!(node.try_key("key-all").0, 200);
    assert_eq!(node.operator.delete(&fleet.key_path("key-all")).status, 200);
    assert_eq!(node.try_key("key-all").1, "key_revoked");
    assert_eq!(node.ready().status, 200);
    drop(node);
    let node = fleet.node();
    assert_eq!(node.try_key("key-all").1, "key_revoked");
    assert_eq!(node.try_key("key-read").0, 200);
    assert_eq!(node.operator.see("/audit/verify")["ok"], true);
}

#[test]
fn a_server_with_a_password_and_a_database() {
    let redis = Redis::start(&["--requirepass", "s3same-street"]);
    let url = format!("redis://default:s3same-street@{}/5", redis.address());
    let fleet = Fleet::on(&url);
    serves_and_keeps(&fleet);
    let node = fleet.node();
    assert!(!node.said().contains("s3same-street"));
}

#[test]
fn a_server_behind_tls() {
    let authority = Authority::new();
    let identity = authority.issue("localhost");
    let redis = Redis::start_tls(&identity.certificate, &identity.key);
    let roots = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(roots.path(), authority.pem()).unwrap();
    let trusted = vec![("SSL_CERT_FILE", roots.path().display().to_string())];
    let url = format!("rediss://localhost:{}/0", redis.tls_port);
    serves_and_keeps(&Fleet::with(&url, "", trusted));
    // Nobody vouches for it.
    let plain = Redis::start(&[]);
    let fleet = Fleet::on(&plain.url());
    fleet.rewrite(&url);
    let said = fleet.postern(&["serve", "--config", "postern.yaml"]);
    assert_eq!(said.code, 1, "{}", said.err);
    assert!(said.err.contains("certificate"), "{}", said.err);
}

#[test]
fn a_cluster_of_three() {
    let mut cluster = Cluster::start();
    let fleet = Fleet::on(&cluster.url());
    serves_and_keeps(&fleet);
    let node = fleet.node();
    let owner = cluster.owner();
    owner.kill();
    assert_eq!(node.try_key("key-read").0, 200, "what is known goes on");
    owner.restart();
    at_last("a revocation is taken again", || {
        node.operator.delete(&fleet.key_path("key-read")).status == 200
    });
    assert_eq!(node.try_key("key-read").1, "key_revoked");
}

#[test]
fn sentinels_and_a_failover() {
    let mut watched = Watched::start();
    let fleet = Fleet::on(&watched.url());
    let (one, other) = fleet.pair();
    let revoke = |node: &Node, key: &str| node.operator.delete(&fleet.key_path(key));
    let answer = revoke(&one, "key-all");
    assert_eq!(answer.status, 200, "{}", answer.text());
    let replicas = &answer.json()["replicas"];
    assert_eq!(*replicas, json!({ "connected": 1, "confirmed": 1 }), "{}", answer.text());
    watched.fail_over();
    at_last("the new primary takes a revocation", || revoke(&one, "key-read").status == 200);
    for node in [&one, &other] {
        node.comes_to("key-read", "key_revoked");
        assert_eq!(node.try_key("key-all").1, "key_revoked");
        assert_eq!(node.try_key("key-mixed").0, 200);
    }
    drop((one, other));
    serves_and_keeps_the_rest(&fleet);
}

fn serves_and_keeps_the_rest(fleet: &Fleet) {
    let node = fleet.node();
    for key in ["key-all", "key-read"] {
        assert_eq!(node.try_key(key).1, "key_revoked");
    }
    assert_eq!(node.operator.see("/audit/verify")["ok"], true);
}

#[test]
fn what_cannot_be_used_is_told_at_the_start() {
    let redis = Redis::start(&["--requirepass", "s3same-street"]);
    let fleet = Fleet::on(&redis.url());
    let absent = format!("127.0.0.1:{}", free_port());
    let cases = [
        (format!("redis://{absent}"), absent.as_str()),
        (format!("redis+sentinel://{absent}/postern"), absent.as_str()),
        (format!("redis+cluster://{absent}"), absent.as_str()),
        (format!("redis://:hunter2-no@{}", redis.address()), "password"),
        (format!("redis://{}", redis.address()), "password"),
    ];
    for (store, expected) in &cases {
        fleet.rewrite(store);
        let said = fleet.postern(&["serve", "--config", "postern.yaml"]);
        assert_eq!(said.code, 1, "{store}: {}", said.err);
        assert!(said.err.contains(expected), "{store}: {}", said.err);
        assert!(!said.err.contains("hunter2") && !said.err.contains("s3same"), "{}", said.err);
        assert!(!said.err.contains("panicked"), "{}", said.err);
    }
}

#[test]
fn unsafe_settings_are_named_at_the_start() {
    let redis = Redis::start_plain(&["--save", "", "--maxmemory-policy", "allkeys-lru"]);
    let said = {
        let fleet = Fleet::on(&redis.url());
        let node = fleet.node();
        at_last("they are named in /readyz", || {
            let concerns = node.ready().json()["store"]["concerns"].to_string();
            concerns.contains("appendonly to yes") && concerns.contains("maxmemory-policy")
        });
        assert_eq!(node.ready().status, 200);
        node.said()
    };
    assert!(said.contains("Set appendonly to yes"), "{said}");
    assert!(said.contains("set maxmemory-policy to noeviction"), "{said}");
    let safe = Redis::start(&[]);
    let fleet = Fleet::on(&safe.url());
    let said = fleet.node().said();
    assert!(!said.contains("appendonly") && !said.contains("maxmemory"), "{said}");
}

/// Redis dies again and again while practices are made; whatever was answered with 201 is there in the end.
#[test]
fn what_was_answered_survives_kill_9_of_redis() {
    let mut redis = Redis::start(&[]);
    let fleet = Fleet::on(&redis.url());
    let node = fleet.node();
    let (ended, operator) = (AtomicBool::new(false), node.operator.clone());
    let answered = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut answered = Vec::new();
            for number in 0.. {
                if ended.load(Ordering::Relaxed) {
                    break;
                }
                let id = format!("p-{number}");
                let answer = operator.post("/practices", &json!({ "id": id, "name": "New" }));
                match answer.status {
                    201 => answered.push(id),
                    503 => {}
                    status => panic!("{status}: {}", answer.text()),
                }
            }
            answered
        });
        for _ in 0..5 {
            let before = redis.command(&["HGET", "{postern}:meta", "position"]);
            at_last("something is written", || {
                redis.command(&["HGET", "{postern}:meta", "position"]) != before
            });
            redis.kill();
            redis.restart();
        }
        let before = redis.command(&["HGET", "{postern}:meta", "position"]);
        at_last("something is written", || {
            redis.command(&["HGET", "{postern}:meta", "position"]) != before
        });
        ended.store(true, Ordering::Relaxed);
        writer.join().unwrap()
    });
    assert!(answered.len() > 5, "{answered:?}");
    drop(node);
    let node = fleet.node();
    let mut kept = BTreeSet::new();
    let mut cursor = String::new();
    loop {
        let page = node.operator.see(&format!("/practices?limit=200{cursor}"));
        let items = page["items"].as_array().unwrap();
        kept.extend(items.iter().map(|item| item["id"].as_str().unwrap().to_owned()));
        let Some(next) = page["next"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    let lost: Vec<_> = answered.iter().filter(|id| !kept.contains(*id)).collect();
    assert!(lost.is_empty(), "{lost:?} of {}", answered.len());
    assert_eq!(node.operator.see("/audit/verify")["ok"], true);
}

/// Whatever a thief of the dump sees, no secret is in it.
#[test]
fn no_secret_is_in_redis() {
    let redis = Redis::start(&[]);
    let fleet = Fleet::on(&redis.url());
    let node = fleet.node();
    assert_eq!(node.try_key("key-all").0, 200);
    let wanted = json!({ "name": "new", "owner": "dr-lee", "api": "standard", "permissions": {} });
    let made = node.operator.make("/practices/north/keys", &wanted);
    let hired = json!({ "username": "ann", "role": "auditor" });
    let password = node.operator.make("/admins", &hired)["password"].as_str().unwrap().to_owned();
    let mut everything = String::new();
    for key in redis.command(&["KEYS", "*"]).lines() {
        let read: &[&str] = match redis.command(&["TYPE", key]).as_str() {
            "hash" => &["HGETALL", key],
            "stream" => &["XRANGE", key, "-", "+"],
            "string" => &["GET", key],
            "set" => &["SMEMBERS", key],
            kind => panic!("{key} is a {kind}"),
        };
        let is_ours = ["{postern}:", "{postern:access}:", "{postern:limits}:"]
            .iter()
            .any(|name| key.starts_with(name));
        assert!(is_ours || key == "postern:access", "{key}");
        everything += &redis.command(read);
    }
    assert!(
        everything.contains("key-all") && everything.contains("ann"),
        "the dump has the documents"
    );
    assert!(!fixture::has_secret(&everything));
    for secret in [made["key"].as_str().unwrap(), &password] {
        assert!(!everything.contains(secret));
    }
}
