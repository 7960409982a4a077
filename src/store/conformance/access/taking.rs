//! Batches: each record once, whatever is sent again, early or beside each other.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::model::{LaneId, Timestamp};
use crate::store::access::{Step, Taken, Whose};
use crate::store::conformance::access::samples::{HOUR, at, batch, part, parts, records};
use crate::store::conformance::access::{
    HistorySubject, everybody, expire, newest_first, read, ship,
};
use crate::telemetry::clock::Clock;

pub(crate) async fn an_empty_history_has_nothing(subject: &impl HistorySubject) {
    for store in [subject.node().await, subject.reader().await] {
        let page = store.page(&everybody()).await.unwrap();
        assert!(page.records.is_empty() && page.next.is_none(), "{page:?}");
        assert_eq!(store.lanes(&[LaneId(1), LaneId(2)]).await.unwrap(), [0, 0]);
        let of = Whose::Key("n1".into());
        assert_eq!(store.usage(&of, at(0), at(48), Step::Day).await.unwrap(), []);
        assert_eq!(store.refusals(&of, at(0), at(48)).await.unwrap(), []);
        assert_eq!(store.totals(&[of], at(0), at(48)).await.unwrap(), [<_>::default()]);
        assert_eq!(store.acknowledged(&["a".into()]).await.unwrap(), []);
    }
    let expired = subject.node().await.expire(at(0), at(0)).await.unwrap();
    assert_eq!((expired.records, expired.more, expired.held_back), (0, false, 0));
}

pub(crate) async fn what_was_taken_is_there_with_every_field(subject: &impl HistorySubject) {
    let store = subject.node().await;
    let mut all = parts(1..=40);
    // The ends of what a field may hold; the journal keeps 2 KiB of a path.
    let (opening, outcome) = &mut all[20];
    opening.user_agent = "x".repeat(256).into();
    opening.path = format!("/{}", "p\u{e9}".repeat(600)).into();
    opening.owner = "a\u{0}b\n\"'\u{fffd}".into();
    (outcome.bytes_in, outcome.bytes_out) = (1 << 52, (1 << 53) - 1);
    (outcome.duration_us, outcome.upstream_us) = (1 << 45, Some(0));
    outcome.status = 999;
    ship(&*store, 1, 0, &all).await;
    assert_eq!(read(&*store, everybody()).await, newest_first(records(1, 0, &all)));
}

pub(crate) async fn a_batch_that_is_sent_twice_is_taken_once(subject: &impl HistorySubject) {
    let store = subject.node().await;
    let all = parts(1..=10);
    for _ in 0..3 {
        ship(&*store, 1, 0, &all).await;
    }
    assert_eq!(read(&*store, everybody()).await, newest_first(records(1, 0, &all)));
    assert_eq!(store.lanes(&[LaneId(1)]).await.unwrap(), [10]);
    // An earlier part of it is there as well.
    ship(&*store, 1, 2, &all[2..5]).await;
    assert_eq!(store.lanes(&[LaneId(1)]).await.unwrap(), [10]);
    assert_eq!(read(&*store, everybody()).await.len(), 10);
}

pub(crate) async fn the_part_that_is_there_already_is_passed_over(subject: &impl HistorySubject) {
    let store = subject.node().await;
    let all = parts(1..=10);
    ship(&*store, 1, 0, &all[..6]).await;
    ship(&*store, 1, 3, &all[3..]).await;
    assert_eq!(read(&*store, everybody()).await, newest_first(records(1, 0, &all)));
    let spans = store.usage(&Whose::Everybody, at(0), at(48), Step::Day).await.unwrap();
    assert_eq!(spans.iter().map(|span| span.tally.requests).sum::<u64>(), 10);
    assert_eq!(store.lanes(&[LaneId(1)]).await.unwrap(), [10]);
}

pub(crate) async fn a_batch_beyond_the_store_is_not_taken(subject: &impl HistorySubject) {
    let store = subject.node().await;
    let late = store.take(batch(1, 3, &parts(4..=5))).await.unwrap();
    assert_eq!(late, Taken::Behind(0));
    ship(&*store, 1, 0, &parts(1..=2)).await;
    let late = store.take(batch(1, 3, &parts(4..=5))).await.unwrap();
    assert_eq!(late, Taken::Behind(2));
    assert_eq!(read(&*store, everybody()).await.len(), 2);
    assert_eq!(store.lanes(&[LaneId(1)]).await.unwrap(), [2]);
    ship(&*store, 1, 2, &parts(3..=5)).await;
    assert_eq!(read(&*store, everybody()).await, newest_first(records(1, 0, &parts(1..=5))));
}

pub(crate) async fn an_empty_batch_changes_nothing(subject: &impl HistorySubject) {
    let store = subject.node().await;
    ship(&*store, 1, 0, &[]).await;
    assert_eq!(store.lanes(&[LaneId(1)]).await.unwrap(), [0]);
    ship(&*store, 1, 0, &[part(1)]).await;
    ship(&*store, 1, 1, &[]).await;
    assert_eq!(store.take(batch(1, 5, &[])).await.unwrap(), Taken::Behind(1));
    assert_eq!(store.lanes(&[LaneId(1)]).await.unwrap(), [1]);
}

pub(crate) async fn lanes_are_counted_apart(subject: &impl HistorySubject) {
    let store = subject.node().await;
    // Half of all lanes have the highest bit.
    let lanes = [LaneId(0), LaneId(7), LaneId(u64::MAX), LaneId(1 << 63)];
    for (number, lane) in (1..).zip(lanes) {
        ship(&*store, lane.0, 0, &parts(1..=number)).await;
    }
    let asked = [lanes[3], LaneId(8), lanes[2], lanes[1], lanes[0]];
    assert_eq!(store.lanes(&asked).await.unwrap(), [4, 0, 3, 2, 1]);
    assert_eq!(store.lanes(&[]).await.unwrap(), [0; 0]);
    let found = read(&*store, everybody()).await;
    let ids: BTreeSet<_> = found.iter().map(|record| record.id).collect();
    assert_eq!((found.len(), ids.len()), (10, 10));
}

pub(crate) async fn a_lane_that_is_over_keeps_its_number_as_long_as_its_records(
    subject: &impl HistorySubject,
) {
    let store = subject.node().await;
    ship(&*store, 1, 0, &parts(1..=4)).await;
    ship(&*store, 2, 0, &parts(1..=4)).await;
    let before = Clock::default().now();
    store.forget(&[]).await.unwrap();
    store.forget(&[LaneId(1), LaneId(9)]).await.unwrap();
    // An export that began before asks only now.
    let lanes = [LaneId(1), LaneId(2), LaneId(9)];
    expire(&*store, at(-1_000), at(-1_000)).await;
    assert_eq!(subject.reader().await.lanes(&lanes).await.unwrap(), [4, 4, 0]);
    assert_eq!(read(&*store, everybody()).await.len(), 8, "its records stay");
    let expired_before = Timestamp::from_micros(before.as_micros() - HOUR);
    expire(&*store, expired_before, at(-1_000)).await;
    assert_eq!(store.lanes(&lanes).await.unwrap(), [4, 4, 0]);
    expire(&*store, later(), at(-1_000)).await;
    assert_eq!(store.lanes(&lanes).await.unwrap(), [0, 4, 0]);
}

/// An old copy of the journal is put back.
pub(crate) async fn a_lane_that_comes_again_is_not_over(subject: &impl HistorySubject) {
    let store = subject.node().await;
    let lanes = [LaneId(1), LaneId(2)];
    for lane in lanes {
        ship(&*store, lane.0, 0, &parts(1..=4)).await;
    }
    store.forget(&lanes).await.unwrap();
    for lane in lanes {
        ship(&*store, lane.0, 0, &parts(1..=4)).await;
    }
    assert_eq!(read(&*store, everybody()).await.len(), 8, "nothing twice");
    let days = store.totals(&[Whose::Everybody], at(-24), at(240)).await.unwrap();
    assert_eq!(days[0].requests, 8);
    ship(&*store, 1, 4, &parts(5..=6)).await;
    store.skip(LaneId(2), 9).await.unwrap();
    expire(&*store, later(), at(-1_000)).await;
    assert_eq!(store.lanes(&lanes).await.unwrap(), [6, 9]);
}

fn later() -> Timestamp {
    Clock::default().now().after(Duration::from_secs(3600))
}

pub(crate) async fn a_reader_sees_what_nodes_write(subject: &impl HistorySubject) {
    let (store, reader) = (subject.node().await, subject.reader().await);
    ship(&*store, 1, 0, &parts(1..=4)).await;
    assert_eq!(read(&*reader, everybody()).await, newest_first(records(1, 0, &parts(1..=4))));
    ship(&*store, 1, 4, &parts(5..=6)).await;
    assert_eq!(read(&*reader, everybody()).await.len(), 6);
    assert_eq!(reader.lanes(&[LaneId(1)]).await.unwrap(), [6]);
    let before = Timestamp::from_micros(i64::MAX);
    assert_eq!(reader.totals(&[Whose::Everybody], at(0), before).await.unwrap()[0].requests, 6);
}

pub(crate) async fn nodes_that_write_at_once_lose_nothing(subject: &impl HistorySubject) {
    let (first, second) = (subject.node().await, subject.node().await);
    let writer = async |store: &dyn crate::store::access::AccessStore, lane: u64| {
        for after in 0..20 {
            ship(store, lane, after * 5, &parts(after * 5 + 1..=after * 5 + 5)).await;
        }
    };
    // The third sends what the first sends.
    tokio::join!(writer(&*first, 1), writer(&*second, 2), async {
        for after in 0..20 {
            // It may be told to wait, when it is ahead; never to have taken something twice.
            let batch = batch(1, after * 5, &parts(after * 5 + 1..=after * 5 + 5));
            second.take(batch).await.unwrap();
        }
    });
    let expected = [1, 2].into_iter().flat_map(|lane| records(lane, 0, &parts(1..=100)));
    assert_eq!(read(&*first, everybody()).await, newest_first(expected));
    let total = second.totals(&[Whose::Everybody], at(-24), at(240)).await.unwrap();
    assert_eq!(total[0].requests, 200);
}
