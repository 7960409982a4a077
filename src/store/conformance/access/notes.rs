//! Growing old, and what people have taken note of.

use crate::store::access::{Acknowledged, Whose};
use crate::store::conformance::access::samples::{at, parts, records};
use crate::store::conformance::access::{
    HistorySubject, all_of, everybody, expire, newest_first, read, ship,
};

pub(crate) async fn old_records_are_gone_and_younger_ones_stay(subject: &impl HistorySubject) {
    let store = subject.node().await;
    let all = parts(1..=120);
    ship(&*store, 1, 0, &all).await;
    let all = newest_first(records(1, 0, &all));
    // Within a day, at its end, and exactly at a record.
    for until in [at(2), at(24), all[40].opening.ts, at(1_000)] {
        expire(&*store, until, at(-1_000)).await;
        let mut left = all.clone();
        left.retain(|record| record.opening.ts >= until);
        assert_eq!(read(&*store, everybody()).await, left, "before {until}");
        left.retain(|record| record.opening.key == "n2");
        assert_eq!(read(&*store, all_of(Whose::Key("n2".into()))).await, left, "before {until}");
    }
    ship(&*store, 1, 120, &parts(5_000..=5_003)).await;
    assert_eq!(read(&*store, everybody()).await.len(), 4, "it goes on");
}

pub(crate) async fn what_is_expired_twice_is_gone_once(subject: &impl HistorySubject) {
    let store = subject.node().await;
    ship(&*store, 1, 0, &parts(1..=120)).await;
    let mut gone = 0;
    for _ in 0..10_000 {
        let expired = store.expire(at(2_000), at(2_000)).await.unwrap();
        assert_eq!(expired.held_back, 0);
        gone += expired.records;
        if !expired.more {
            break;
        }
    }
    assert_eq!(gone, 120);
    let again = store.expire(at(2_000), at(2_000)).await.unwrap();
    assert_eq!((again.records, again.more), (0, false));
}

pub(crate) async fn an_alert_is_acknowledged_once(subject: &impl HistorySubject) {
    let store = subject.node().await;
    let note = |alert: &str, by: &str, hours| Acknowledged {
        alert: alert.into(),
        by: by.into(),
        at: at(hours),
    };
    store.acknowledge(note("spike:n1:2025-11-20", "ada", 1)).await.unwrap();
    store.acknowledge(note("silence:n1", "bea", 2)).await.unwrap();
    store.acknowledge(note("spike:n1:2025-11-20", "bea", 3)).await.unwrap();
    let asked = ["spike:n1:2025-11-20".into(), "never:n2".into(), "silence:n1".into()];
    let mut found = subject.reader().await.acknowledged(&asked).await.unwrap();
    found.sort_by_key(|note| note.at);
    assert_eq!(found, [note("spike:n1:2025-11-20", "ada", 1), note("silence:n1", "bea", 2)]);
    assert_eq!(store.acknowledged(&asked[1..2]).await.unwrap(), []);
    assert_eq!(store.acknowledged(&[]).await.unwrap(), []);
}

pub(crate) async fn a_history_tells_its_concerns(subject: &impl HistorySubject) {
    for store in [subject.node().await, subject.reader().await] {
        let concerns = store.concerns().await.unwrap();
        assert!(concerns.iter().all(|concern| concern.len() > 20), "sentences: {concerns:?}");
    }
}
