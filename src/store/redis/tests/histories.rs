//! A Redis that comes back with less than it acknowledged, and other histories than the one a node knows.

use std::time::Duration;

use crate::store::conformance::Subject;
use crate::store::conformance::samples::{self, change, commit, practice};
use crate::store::redis::names;
use crate::store::redis::tests::{Single, open};
use crate::store::{Mode, News, Position, RegistryStore, Safety, StoreError};

async fn news(store: &dyn RegistryStore, after: u64) -> News {
    store.news(Position(after), Duration::ZERO).await.unwrap()
}

/// What a failover to a replica that lacked the last change leaves, done to the keys themselves.
fn forget_the_last_change(Single(server, _): &Single, last: u64) {
    let command = |words: &[&str]| {
        let answer = server.command(
            &[&["EVAL", "redis.call('SELECT', 3) return redis.call(unpack(ARGV))", "0"], words]
                .concat(),
        );
        assert!(!answer.starts_with('-'), "{answer}");
        answer
    };
    command(&["XDEL", names::FEED, &format!("{last}-0")]);
    command(&["XSETID", names::FEED, &format!("{}-0", last - 1)]);
    let kept = command(&["XREVRANGE", names::FEED, "+", "-", "COUNT", "1"]);
    let id = kept.lines().skip_while(|line| *line != "id").nth(1).unwrap_or_default().to_owned();
    command(&["HSET", names::META, "position", &(last - 1).to_string(), "change", &id]);
}

#[tokio::test]
async fn a_store_that_went_back_asks_for_a_reload() {
    let subject = Single::start().await;
    let store = subject.node().await;
    for (after, id) in (0..).zip(["a", "b", "c"]) {
        commit(&*store, after, &change(id, vec![practice(id, id)])).await;
    }
    assert!(matches!(news(&*store, 3).await, News::Changes(none) if none.is_empty()));
    forget_the_last_change(&subject, 3);
    assert!(matches!(news(&*store, 3).await, News::Reload));
    let stale = store.commit(Position(3), &change("d", vec![]), Safety::Usual).await;
    assert!(matches!(stale, Err(StoreError::Conflict)), "{stale:?}");
    assert_eq!(store.everything().await.unwrap().position, Position(2), "lower than what is known");
}

/// The position alone is the same again: only the id of the change tells.
#[tokio::test]
async fn a_node_is_not_led_into_another_history() {
    let subject = Single::start().await;
    let knows_more = subject.node().await;
    for (after, id) in (0..).zip(["a", "b", "revoked"]) {
        commit(&*knows_more, after, &change(id, vec![practice(id, id)])).await;
    }
    forget_the_last_change(&subject, 3);
    let other = subject.node().await;
    other.everything().await.unwrap();
    commit(&*other, 2, &change("something else", vec![practice("else", "")])).await;
    commit(&*other, 3, &change("and more", vec![])).await;

    for (at, store) in [(3, &knows_more), (4, &other)] {
        let again = news(&**store, at).await;
        assert_eq!(matches!(again, News::Reload), at == 3, "{again:?}");
    }
    let late = knows_more.commit(Position(3), &change("late", vec![]), Safety::Usual).await;
    assert!(matches!(late, Err(StoreError::Conflict)), "{late:?}");
    // At the very position that it knows, too.
    forget_the_last_change(&subject, 4);
    let late = knows_more.commit(Position(3), &change("late", vec![]), Safety::Usual).await;
    assert!(matches!(late, Err(StoreError::Conflict)), "{late:?}");

    assert_eq!(knows_more.everything().await.unwrap().position, Position(3));
    commit(&*knows_more, 3, &change("in the new one", vec![])).await;
}

#[tokio::test]
async fn a_node_that_fell_behind_the_feed_loads_again() {
    let subject = Single::start().await;
    let store = subject.node().await;
    let behind = subject.node().await;
    let all = names::FEED_KEPT as u64 + 2;
    for after in 0..all {
        commit(&*store, after, &change("x", vec![])).await;
    }
    // The feed has the last ones, from 3 on. Without the entry of its own position a node cannot be sure of its history.
    for after in [0, 1, 2] {
        assert!(matches!(news(&*behind, after).await, News::Reload), "{after}");
    }
    let News::Changes(told) = news(&*behind, 3).await else { panic!("asked to load again") };
    assert_eq!(told[0].0, Position(4));
}

/// The script is run again with the same change, as it is after an unknown outcome.
#[tokio::test]
async fn a_change_that_is_written_again_is_there_once() {
    let subject = Single::start().await;
    let store = subject.node().await;
    let mut once = change("once", vec![practice("north", "North")]);
    once.audit = vec![samples::entry(1, samples::moment(1), Some("north"))];
    commit(&*store, 0, &once).await;
    let again = subject.node().await.commit(Position(0), &once, Safety::Usual).await;
    assert!(matches!(again, Err(StoreError::Conflict)), "{again:?}");
    assert_eq!(store.audit_from(1, 9).await.unwrap().len(), 1);
    let News::Changes(told) = news(&*store, 0).await else { panic!("asked to load again") };
    assert_eq!(told, [(Position(1), once)]);
}

#[tokio::test]
async fn an_audit_that_does_not_fit_is_refused_whole() {
    let subject = Single::start().await;
    let store = subject.node().await;
    let mut gap = change("gap", vec![practice("north", "North")]);
    gap.audit = vec![samples::entry(7, samples::moment(1), None)];
    let outcome = store.commit(Position(0), &gap, Safety::Usual).await;
    assert!(matches!(outcome, Err(StoreError::Corrupt(_))), "{outcome:?}");
    let loaded = store.everything().await.unwrap();
    assert_eq!((loaded.position, loaded.documents), (Position(0), vec![]));
}

#[tokio::test]
async fn a_later_layout_is_left_alone() {
    let subject = Single::start().await;
    let store = subject.node().await;
    subject.0.command(&[
        "EVAL",
        "redis.call('SELECT', 3) redis.call('HSET', ARGV[1], 'version', '2')",
        "0",
        names::META,
    ]);
    for outcome in [
        store.everything().await.map(drop),
        store.commit(Position(0), &change("a", vec![]), Safety::Usual).await.map(drop),
    ] {
        let error = outcome.unwrap_err();
        assert!(matches!(&error, StoreError::Corrupt(_)), "{error:?}");
        assert!(error.to_string().contains("later version"), "{error}");
    }
}

#[tokio::test]
async fn a_reader_writes_nothing() {
    let subject = Single::start().await;
    let reader = open(&subject.1, Mode::Reader).await;
    let change = change("a", vec![practice("north", "North")]);
    assert!(reader.commit(Position(0), &change, Safety::Usual).await.is_err());
    assert!(reader.adopt("vault".to_owned()).await.is_err());
    assert!(reader.record_use(&[(samples::key_id(1), samples::now())]).await.is_err());
    let keys =
        subject.0.command(&["EVAL", "redis.call('SELECT', 3) return redis.call('DBSIZE')", "0"]);
    assert_eq!(keys, "0");
}
