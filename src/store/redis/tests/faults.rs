//! Servers that are away, hang, refuse, fail over, or are set up badly.

use std::future::Future;
use std::time::{Duration, Instant};

use crate::config::RedisAddress;
use crate::model::{NodeName, PlainKey};
use crate::store::conformance::Subject;
use crate::store::conformance::samples::{self, change, commit, practice};
use crate::store::redis::RedisStore;
use crate::store::redis::commit::wait_for_replicas;
use crate::store::redis::line::Told;
use crate::store::redis::tests::server::{Redis, free_port};
use crate::store::redis::tests::{Clustered, Sentinels, open, single};
use crate::store::{Mode, News, NodeStatus, Position, Replicas, Safety, StoreError};

/// Far above any deadline of the store's, on a machine that is busy: what takes longer hangs.
const HANG: Duration = Duration::from_secs(60);

async fn ends<T>(what: &str, task: impl Future<Output = T>) -> T {
    tokio::time::timeout(HANG, task).await.unwrap_or_else(|_| panic!("hangs: {what}"))
}

/// Until it is done; panics where it never is.
async fn eventually<T>(what: &str, mut attempt: impl AsyncFnMut() -> Result<T, StoreError>) -> T {
    let deadline = Instant::now() + HANG;
    loop {
        match attempt().await {
            Ok(done) => return done,
            Err(error) => assert!(Instant::now() < deadline, "{what}: {error}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn nothing_hangs_on_a_redis_that_hangs_and_all_is_well_after() {
    let server = Redis::start(&[]);
    let store = open(&single(&server), Mode::Sole).await;
    commit(&*store, 0, &change("a", vec![])).await;
    server.stop();
    let (one, node) = (samples::key_id(1), NodeName::parse("gw-1").unwrap());
    let status = NodeStatus { name: node.clone(), position: Position(1), seen_at: samples::now() };
    let unavailable = |what: &str, error: StoreError| {
        assert!(matches!(error, StoreError::Unavailable(_)), "{what}: {error:?}");
    };
    let second = change("b", vec![]);
    let committed = ends("commit", store.commit(Position(1), &second, Safety::Replicated)).await;
    // The connection was fresh, so it was sent; or it was found to be dead first.
    let unsure = committed.unwrap_err();
    assert!(matches!(unsure, StoreError::Unknown(_) | StoreError::Unavailable(_)), "{unsure:?}");
    unavailable("load", ends("load", store.everything()).await.unwrap_err());
    unavailable("news", ends("news", store.news(Position(1), HANG)).await.unwrap_err());
    unavailable("audit", ends("audit", store.audit_from(1, 9)).await.unwrap_err());
    unavailable("heartbeat", ends("heartbeat", store.heartbeat(&status)).await.unwrap_err());
    unavailable("receipt", ends("receipt", store.receipt(one)).await.unwrap_err());
    unavailable("concerns", ends("concerns", store.concerns()).await.unwrap_err());
    let opened = ends("open", RedisStore::open(&single(&server), Mode::Sole, None)).await;
    unavailable("open", opened.unwrap_err());
    server.go_on();
    eventually("the store is well again", async || store.everything().await).await;
    eventually("nodes beat again", async || store.heartbeat(&status).await).await;
    // What was sent before it stopped may have been done after.
    let position = store.everything().await.unwrap().position;
    let id = format!("after {}", position.0);
    commit(&*store, position.0, &change(&id, vec![])).await;
}

#[tokio::test]
async fn a_wait_for_news_ends_when_redis_hangs_or_dies_and_goes_on_after() {
    let mut server = Redis::start(&[]);
    let store = open(&single(&server), Mode::Sole).await;
    let waiting = ends("news", async {
        let hang = async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            server.stop();
        };
        tokio::join!(store.news(Position(0), HANG * 2), hang).0
    });
    assert!(matches!(waiting.await, Err(StoreError::Unavailable(_))));
    server.go_on();
    eventually("news", async || store.news(Position(0), Duration::ZERO).await).await;
    let waiting = ends("news", async {
        let die = async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            server.kill();
        };
        tokio::join!(store.news(Position(0), HANG * 2), die).0
    });
    assert!(matches!(waiting.await, Err(StoreError::Unavailable(_))));
    server.restart();
    let other = open(&single(&server), Mode::Sole).await;
    commit(&*other, 0, &change("a", vec![])).await;
    let News::Changes(told) =
        eventually("news", async || store.news(Position(0), Duration::ZERO).await).await
    else {
        panic!("asked to load again")
    };
    assert_eq!(told[0].1.id, "a");
}

#[tokio::test]
async fn what_was_answered_is_there_after_kill_9() {
    // With `everysec` a busy disk has Redis keep what it acknowledged in its own memory for up to two seconds.
    let mut server = Redis::start(&["--appendfsync", "always"]);
    let store = open(&single(&server), Mode::Sole).await;
    let mut position = 0;
    for round in 0..3 {
        for _ in 0..40 {
            let id = format!("p{position}");
            commit(&*store, position, &change(&id, vec![practice(&id, &id)])).await;
            position += 1;
        }
        server.kill();
        let lost = change("lost", vec![]);
        let lost = store.commit(Position(position), &lost, Safety::Usual).await.unwrap_err();
        assert!(!matches!(lost, StoreError::Conflict), "{lost:?}");
        server.restart();
        let loaded = eventually("loading", async || store.everything().await).await;
        assert_eq!(loaded.position, Position(position), "round {round}");
        assert_eq!(loaded.documents.len() as u64, position);
    }
}

#[tokio::test]
async fn an_absent_redis_is_told_with_its_address() {
    let port = free_port();
    let mut address = single(&Redis::start(&[]));
    address.servers = vec![("127.0.0.1".to_owned(), port)];
    let outcome = ends("open", RedisStore::open(&address, Mode::Sole, None)).await;
    let told = outcome.unwrap_err().to_string();
    assert!(told.contains(&format!("127.0.0.1:{port}")) && told.contains("refused"), "{told}");
}

#[tokio::test]
async fn a_wrong_password_is_told_without_it() {
    let server = Redis::start(&["--requirepass", "the-right-one"]);
    let with = |password: &str| RedisAddress {
        password: Some(PlainKey::new(password.to_owned())),
        ..single(&server)
    };
    for (address, expected) in [
        (with("hunter2-wrong"), "refuses the username and password"),
        (RedisAddress { username: Some("eve".to_owned()), ..with("hunter2-eve") }, "refuses"),
        (single(&server), "asks for a password"),
    ] {
        let error = RedisStore::open(&address, Mode::Sole, None).await.unwrap_err();
        let told = format!("{error} {error:?} {address:?}");
        assert!(told.contains(expected) && told.contains("`store`"), "{told}");
        assert!(!told.contains("hunter2") && !told.contains("the-right-one"), "{told}");
    }
    let store = open(&with("the-right-one"), Mode::Sole).await;
    assert!(!format!("{store:?}").contains("the-right-one"));
    // Changed while it runs: the connection that there is goes on, the next one is refused.
    server.command(&["CONFIG", "SET", "requirepass", "another"]);
}

#[tokio::test]
async fn a_replica_is_not_written_to() {
    let primary = Redis::start(&[]);
    let replica = primary.replica();
    let error = RedisStore::open(&single(&replica), Mode::Sole, None).await.unwrap_err();
    assert!(error.to_string().contains("is a replica"), "{error}");
    assert_eq!(
        open(&single(&replica), Mode::Reader).await.everything().await.unwrap().documents,
        []
    );

    // One that becomes a replica while it is used.
    let store = open(&single(&primary), Mode::Sole).await;
    commit(&*store, 0, &change("a", vec![])).await;
    replica.command(&["REPLICAOF", "NO", "ONE"]);
    primary.command(&["REPLICAOF", "127.0.0.1", &replica.port.to_string()]);
    let refused = store.commit(Position(1), &change("b", vec![]), Safety::Usual).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
}

#[tokio::test]
async fn a_commit_says_how_many_replicas_have_it() {
    let primary = Redis::start(&[]);
    let store = open(&single(&primary), Mode::Sole).await;
    let alone = store.commit(Position(0), &change("a", vec![]), Safety::Replicated).await.unwrap();
    assert_eq!(alone.replicas, None, "there is none to wait for");
    let (one, other) = (primary.replica(), primary.replica());
    eventually("the primary counts both", async || {
        let known = primary.command(&["INFO", "replication"]);
        if known.contains("connected_slaves:2") { Ok(()) } else { Err(StoreError::Conflict) }
    })
    .await;
    let usual = store.commit(Position(1), &change("b", vec![]), Safety::Usual).await.unwrap();
    assert_eq!(usual.replicas, None);
    let both = store.commit(Position(2), &change("c", vec![]), Safety::Replicated).await.unwrap();
    assert_eq!(both.replicas, Some(Replicas { connected: 2, confirmed: 2 }));
    other.stop();
    let lags = store.commit(Position(3), &change("d", vec![]), Safety::Replicated).await.unwrap();
    assert_eq!(lags.replicas, Some(Replicas { connected: 2, confirmed: 1 }));
    other.go_on();
    assert_eq!(
        open(&single(&one), Mode::Reader).await.everything().await.unwrap().position,
        Position(4)
    );
}

#[tokio::test]
async fn a_replica_confirms_only_what_was_written_on_the_connection_that_asks() {
    let primary = Redis::start(&[]);
    let _replica = primary.replica();
    eventually("the primary counts it", async || {
        let known = primary.command(&["INFO", "replication"]);
        if known.contains("connected_slaves:1") { Ok(()) } else { Err(StoreError::Conflict) }
    })
    .await;
    let store = RedisStore::open(&single(&primary), Mode::Sole, None).await.unwrap();
    let mut write = redis::pipe();
    write.cmd("INCR").arg("written");
    let Told::Answered((1_u32,), same) = store.writes.tell_once(&write, HANG).await else {
        panic!("not written")
    };
    let confirmed = wait_for_replicas(&store, &same).await;
    assert_eq!(confirmed, Some(Replicas { connected: 1, confirmed: 1 }));
    primary.command(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    let lost = wait_for_replicas(&store, &same).await;
    assert_eq!(lost, Some(Replicas { connected: 1, confirmed: 0 }), "another connection's word");
}

#[tokio::test]
async fn a_failover_is_followed() {
    let mut sentinels = Sentinels::start().await;
    let store = sentinels.node().await;
    let first = change("a", vec![practice("north", "North")]);
    let kept = store.commit(Position(0), &first, Safety::Replicated).await.unwrap();
    assert_eq!(kept.replicas, Some(Replicas { connected: 1, confirmed: 1 }));
    sentinels.0.fail_over();
    let second = change("b", vec![practice("east", "East")]);
    let committed = eventually("the new primary takes changes", async || {
        store.commit(Position(1), &second, Safety::Usual).await
    });
    assert_eq!(committed.await.position, Position(2));
    let loaded = store.everything().await.unwrap();
    assert_eq!((loaded.position, loaded.documents.len()), (Position(2), 2));
    let news = store.news(Position(1), Duration::ZERO).await.unwrap();
    assert!(matches!(&news, News::Changes(told) if told[0].1 == second), "{news:?}");
}

#[tokio::test]
async fn a_cluster_whose_node_was_away_is_used_again() {
    let mut cluster = Clustered::start().await;
    let store = cluster.node().await;
    commit(&*store, 0, &change("a", vec![practice("north", "North")])).await;
    let owner = cluster.0.owner();
    owner.kill();
    assert!(ends("load", store.everything()).await.is_err());
    owner.restart();
    let loaded = eventually("loading", async || store.everything().await).await;
    assert_eq!((loaded.position, loaded.documents.len()), (Position(1), 1));
    commit(&*store, 1, &change("b", vec![])).await;
}

#[tokio::test]
async fn what_redis_refuses_is_no_change_and_no_end() {
    let server = Redis::start(&["--min-replicas-to-write", "1"]);
    let store = open(&single(&server), Mode::Sole).await;
    let refused = |outcome: Result<_, StoreError>, code: &str| {
        let error = outcome.map(drop).unwrap_err();
        assert!(matches!(&error, StoreError::Unavailable(_)), "{error:?}");
        assert!(error.to_string().contains(code), "{error}");
    };
    let first = change("a", vec![practice("north", "North")]);
    refused(store.commit(Position(0), &first, Safety::Usual).await, "NOREPLICAS");
    server.command(&["CONFIG", "SET", "min-replicas-to-write", "0"]);
    server.command(&["CONFIG", "SET", "maxmemory", "1"]);
    refused(store.commit(Position(0), &first, Safety::Usual).await, "OOM");
    server.command(&["CONFIG", "SET", "maxmemory", "0"]);
    assert_eq!(store.everything().await.unwrap().documents, []);
    server.command(&["SCRIPT", "FLUSH"]);
    commit(&*store, 0, &first).await;
    server.command(&["SCRIPT", "FLUSH"]);
    store.record_use(&[(samples::key_id(1), samples::now())]).await.unwrap();
    server.command(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    assert_eq!(store.everything().await.unwrap().position, Position(1), "a new connection is made");
    server.command(&["SET", "{postern}:audit", "not a stream"]);
    let audit = store.audit_from(1, 9).await.unwrap_err();
    assert!(matches!(&audit, StoreError::Corrupt(_)), "{audit:?}");
}

#[tokio::test]
async fn unsafe_settings_are_concerns() {
    let server = Redis::start_plain(&["--save", "", "--maxmemory-policy", "allkeys-lru"]);
    let store = open(&single(&server), Mode::Sole).await;
    let concerns = store.concerns().await.unwrap();
    assert_eq!(concerns.len(), 2, "{concerns:?}");
    assert!(concerns[0].contains("appendonly") && concerns[1].contains("allkeys-lru"));
    assert!(concerns.iter().all(|concern| concern.contains(&server.address())));
    server.command(&["CONFIG", "SET", "appendonly", "yes"]);
    server.command(&["CONFIG", "SET", "maxmemory-policy", "volatile-lru"]);
    assert_eq!(store.concerns().await.unwrap(), [""; 0]);

    server.command(&[
        "ACL",
        "SETUSER",
        "postern",
        "on",
        ">sesame",
        "~{postern}:*",
        "+@all",
        "-config",
    ]);
    let limited = RedisAddress {
        username: Some("postern".to_owned()),
        password: Some(PlainKey::new("sesame".to_owned())),
        ..single(&server)
    };
    let limited = open(&limited, Mode::Sole).await;
    commit(&*limited, 0, &change("a", vec![practice("north", "North")])).await;
    let concerns = limited.concerns().await.unwrap();
    assert_eq!(concerns.len(), 1, "{concerns:?}");
    assert!(concerns[0].contains("could not be checked"), "{concerns:?}");
}
