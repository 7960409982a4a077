//! The feed: every change once, in order, to whoever asks from any position that it still knows.

use std::sync::Arc;
use std::time::Duration;

use crate::store::conformance::Subject;
use crate::store::conformance::follower::Follower;
use crate::store::conformance::samples::{change, commit, key, practice, removal};
use crate::store::{Change, Document, News, Position, RegistryStore};

/// Long enough for any store; only a test that fails waits for so long.
const PATIENCE: Duration = Duration::from_secs(20);

async fn told(store: &dyn RegistryStore, after: u64) -> Vec<(u64, String)> {
    match store.news(Position(after), Duration::ZERO).await.unwrap() {
        News::Changes(changes) => {
            changes.into_iter().map(|(position, change)| (position.0, change.id)).collect()
        }
        News::Reload => panic!("asked to load again"),
    }
}

async fn some_changes(store: &dyn RegistryStore) {
    for (after, id) in (0..).zip(["a", "b", "c", "d"]) {
        commit(store, after, &change(id, vec![practice(id, id)])).await;
    }
}

pub(crate) async fn news_come_in_order_without_a_gap(subject: &impl Subject) {
    let store = subject.node().await;
    some_changes(&*store).await;
    let expected = [(1, "a"), (2, "b"), (3, "c"), (4, "d")].map(|(at, id)| (at, id.to_owned()));
    assert_eq!(told(&*store, 0).await, expected);
    // Asking takes nothing away.
    assert_eq!(told(&*store, 0).await, expected);
}

pub(crate) async fn news_begin_after_the_position_asked_for(subject: &impl Subject) {
    let store = subject.node().await;
    some_changes(&*store).await;
    assert_eq!(told(&*store, 2).await, [(3, "c".to_owned()), (4, "d".to_owned())]);
    assert_eq!(told(&*store, 3).await, [(4, "d".to_owned())]);
    assert_eq!(told(&*store, 4).await, []);
}

pub(crate) async fn no_news_is_said_after_some_patience(subject: &impl Subject) {
    let store = subject.node().await;
    for after in [0, 1] {
        let quiet = store.news(Position(after), Duration::from_millis(30)).await.unwrap();
        assert!(matches!(&quiet, News::Changes(changes) if changes.is_empty()), "{quiet:?}");
        commit(&*store, after, &change("a", vec![])).await;
    }
}

pub(crate) async fn news_wake_whoever_waits(subject: &impl Subject) {
    let store = subject.node().await;
    for after in 0..5 {
        let waiting = Arc::clone(&store);
        let waiter =
            tokio::spawn(async move { waiting.news(Position(after), PATIENCE).await.unwrap() });
        // The waiter runs first on this thread's runtime, up to where it waits.
        tokio::task::yield_now().await;
        let change = change("a", vec![practice("north", "North")]);
        commit(&*store, after, &change).await;
        let News::Changes(changes) = waiter.await.unwrap() else { panic!("asked to load again") };
        assert_eq!(changes, [(Position(after + 1), change)]);
    }
}

pub(crate) async fn news_reach_every_handle(subject: &impl Subject) {
    let writer = subject.node().await;
    let handles = [subject.node().await, subject.reader().await, Arc::clone(&writer)];
    let waiters: Vec<_> = handles
        .into_iter()
        .map(|handle| {
            tokio::spawn(async move { handle.news(Position(0), PATIENCE).await.unwrap() })
        })
        .collect();
    tokio::task::yield_now().await;
    let change = change("a", vec![Document::Key(key(1))]);
    commit(&*writer, 0, &change).await;
    for waiter in waiters {
        let News::Changes(changes) = waiter.await.unwrap() else { panic!("asked to load again") };
        assert_eq!(changes, [(Position(1), change.clone())]);
    }
}

/// A store that lost its last changes (a failover, an older backup) has not seen what a node has.
pub(crate) async fn a_position_that_was_never_reached_asks_for_a_reload(subject: &impl Subject) {
    let store = subject.node().await;
    for ahead in [Position(3), Position(1_000_000)] {
        let news = store.news(ahead, Duration::ZERO).await.unwrap();
        assert!(matches!(news, News::Reload), "{news:?}");
    }
    some_changes(&*store).await;
    let news = store.news(Position(5), PATIENCE).await.unwrap();
    assert!(matches!(news, News::Reload), "{news:?}");
}

pub(crate) async fn a_big_change_is_followed_to_the_same_end(subject: &impl Subject) {
    let store = subject.node().await;
    commit(&*store, 0, &change("before", vec![practice("north", "North")])).await;
    let mut node = Follower::load(&*store).await;
    let keys = (0..5_000).map(|number| Document::Key(key(number))).collect();
    commit(&*store, 1, &change("big", keys)).await;
    commit(&*store, 2, &change("after", vec![practice("east", "East")])).await;
    let mut stranger = Follower::default();
    for follower in [&mut node, &mut stranger] {
        follower.catch_up(&*store).await;
        assert_eq!(follower.position, Position(3));
        assert_eq!(follower.documents.len(), 5_002);
    }
    assert_eq!(node, stranger);
    // The feed goes on behind it.
    commit(&*store, 3, &removal("later", vec![practice("east", "").id()])).await;
    assert_eq!(told(&*store, 3).await, [(4, "later".to_owned())]);
}

pub(crate) async fn a_follower_ends_where_the_store_is(subject: &impl Subject) {
    let store = subject.node().await;
    let mut from_the_start = Follower::default();
    let mut now_and_then = Follower::default();
    for after in 0..60_u64 {
        let id = format!("p{}", after % 7);
        let change: Change = if after % 5 == 4 {
            removal("away", vec![practice(&id, "").id()])
        } else {
            change("here", vec![practice(&id, &after.to_string())])
        };
        commit(&*store, after, &change).await;
        if after % 11 == 0 {
            now_and_then.catch_up(&*store).await;
        }
    }
    from_the_start.catch_up(&*store).await;
    now_and_then.catch_up(&*store).await;
    let loaded = Follower::load(&*subject.node().await).await;
    assert_eq!(loaded.position, Position(60));
    assert_eq!(from_the_start, loaded);
    assert_eq!(now_and_then, loaded);
}
