//! Reading: every record in its place, once, in whatever steps.

use crate::model::{AccessRecord, Decision, Timestamp};
use crate::store::access::{AccessStore, ActivityQuery, Cursor, Filter, StatusFilter, Whose};
use crate::store::conformance::access::samples::{self, at, part, parts, records};
use crate::store::conformance::access::{
    HistorySubject, all_of, everybody, expire, newest_first, read, ship,
};

/// 120 records over three days in two lanes, in several batches, tidied in between.
async fn some_history(store: &dyn AccessStore) -> Vec<AccessRecord<'static>> {
    let lanes = [(1, parts((1..=120).step_by(2))), (2, parts((2..=120).step_by(2)))];
    for (lane, parts) in &lanes {
        for (number, chunk) in parts.chunks(13).enumerate() {
            ship(store, *lane, number as u64 * 13, chunk).await;
            expire(store, at(-1_000), at(-1_000)).await;
        }
    }
    newest_first(lanes.iter().flat_map(|(lane, parts)| records(*lane, 0, parts)))
}

type Wanted<'a> = &'a dyn Fn(&AccessRecord<'_>) -> bool;

async fn expect(
    store: &dyn AccessStore,
    query: ActivityQuery,
    all: &[AccessRecord<'static>],
    wanted: Wanted<'_>,
) {
    let expected: Vec<_> = all.iter().filter(|record| wanted(record)).cloned().collect();
    assert!(!expected.is_empty(), "nothing is tried by {query:?}");
    for limit in [1, 4, 100] {
        let query = ActivityQuery { limit, ..query.clone() };
        assert_eq!(read(store, query.clone()).await, expected, "{query:?}");
    }
}

pub(crate) async fn records_are_told_newest_first(subject: &impl HistorySubject) {
    let store = subject.node().await;
    let all = some_history(&*store).await;
    assert_eq!(read(&*store, everybody()).await, all);
    let first = store.page(&ActivityQuery { limit: 3, ..everybody() }).await.unwrap();
    assert_eq!(first.records, all[..3]);
    assert_eq!(first.next, Some(Cursor::of(&all[2])));
}

pub(crate) async fn pages_of_any_size_have_neither_gap_nor_repeat(subject: &impl HistorySubject) {
    let store = subject.node().await;
    let all = some_history(&*store).await;
    for limit in [1, 2, 7, 119, 120, 121, 10_000] {
        assert_eq!(read(&*store, ActivityQuery { limit, ..everybody() }).await, all, "by {limit}");
    }
    for start in [0, 50, 119] {
        let after = Some(Cursor::of(&all[start]));
        let rest = read(&*store, ActivityQuery { after, ..everybody() }).await;
        assert_eq!(rest, all[start + 1..]);
    }
}

pub(crate) async fn records_of_one_moment_are_ordered_by_id(subject: &impl HistorySubject) {
    let store = subject.node().await;
    let mut same = parts(1..=12);
    same.iter_mut().for_each(|(opening, _)| opening.ts = at(5));
    // Numbers are ordered as numbers, lanes without a sign.
    let lanes = [3, u64::MAX, 1 << 63];
    for lane in lanes {
        ship(&*store, lane, 0, &same).await;
    }
    let expected = newest_first(lanes.iter().flat_map(|lane| records(*lane, 0, &same)));
    assert_eq!(expected[0].id.to_string(), "ffffffffffffffff-12");
    for limit in [1, 5, 100] {
        assert_eq!(read(&*store, ActivityQuery { limit, ..everybody() }).await, expected);
    }
    let moment = ActivityQuery {
        from: Some(at(5)),
        to: Some(Timestamp::from_micros(at(5).as_micros() + 1)),
        ..everybody()
    };
    assert_eq!(read(&*store, moment).await, expected);
}

pub(crate) async fn records_are_found_by_whose_they_are(subject: &impl HistorySubject) {
    let store = subject.node().await;
    let all = some_history(&*store).await;
    for key in samples::KEYS {
        let query = all_of(Whose::Key(key.into()));
        expect(&*store, query, &all, &|record| record.opening.key == key).await;
    }
    for practice in ["north", "south"] {
        let query = all_of(Whose::Practice(practice.into()));
        expect(&*store, query, &all, &|record| record.opening.practice == practice).await;
    }
    for nobody in [Whose::Key("north".into()), Whose::Practice("n1".into()), Whose::Key("n".into())]
    {
        assert_eq!(read(&*store, all_of(nobody)).await, []);
    }
}

pub(crate) async fn records_are_found_by_time(subject: &impl HistorySubject) {
    let store = subject.node().await;
    let all = some_history(&*store).await;
    let exact = all[60].opening.ts;
    for whose in [Whose::Everybody, Whose::Key("n1".into())] {
        let of =
            |record: &AccessRecord<'_>| whose == Whose::Everybody || record.opening.key == "n1";
        let query = all_of(whose.clone());
        for (from, to) in [
            (at(10), at(30)),
            (at(0), at(24)),
            (at(24), at(1_000)),
            (exact, at(1_000)),
            (at(0), exact),
        ] {
            let bounded = ActivityQuery { from: Some(from), to: Some(to), ..query.clone() };
            let within = |record: &AccessRecord<'_>| (from..to).contains(&record.opening.ts);
            expect(&*store, bounded, &all, &|record| of(record) && within(record)).await;
        }
        let from = ActivityQuery { from: Some(at(30)), ..query.clone() };
        expect(&*store, from, &all, &|record| of(record) && record.opening.ts >= at(30)).await;
        let to = ActivityQuery { to: Some(at(30)), ..query.clone() };
        expect(&*store, to, &all, &|record| of(record) && record.opening.ts < at(30)).await;
    }
    for (from, to) in [(at(30), at(30)), (at(31), at(30)), (at(-50), at(0)), (at(900), at(901))] {
        let nothing = ActivityQuery { from: Some(from), to: Some(to), ..everybody() };
        assert_eq!(read(&*store, nothing).await, []);
    }
}

pub(crate) async fn records_are_found_by_what_became_of_them(subject: &impl HistorySubject) {
    let store = subject.node().await;
    let all = some_history(&*store).await;
    let none = Filter::default();
    let filters = [
        Filter { status: Some(StatusFilter::Exactly(403)), ..none.clone() },
        Filter { status: Some(StatusFilter::Exactly(0)), ..none.clone() },
        Filter { status: Some(StatusFilter::Class(4)), ..none.clone() },
        Filter { status: Some(StatusFilter::Class(5)), ..none.clone() },
        Filter { category: Some("billing".into()), ..none.clone() },
        Filter { category: Some("files.scans".into()), ..none.clone() },
        Filter { category: Some("patient".into()), ..none.clone() },
        Filter { vendor: Some("zeta".into()), ..none.clone() },
        Filter { decision: Some(Decision::Deny), ..none.clone() },
        Filter { decision: Some(Decision::Observe), ..none.clone() },
    ];
    for filter in filters {
        let query = ActivityQuery { filter: filter.clone(), ..everybody() };
        expect(&*store, query, &all, &|record| filter.takes(record)).await;
    }
    let nothing = Filter { status: Some(StatusFilter::Exactly(418)), ..none };
    assert_eq!(read(&*store, ActivityQuery { filter: nothing, ..everybody() }).await, []);
}

pub(crate) async fn filters_hold_together(subject: &impl HistorySubject) {
    let store = subject.node().await;
    let all = some_history(&*store).await;
    let filter = Filter {
        status: Some(StatusFilter::Class(2)),
        category: Some("billing".into()),
        vendor: Some("acme".into()),
        decision: Some(Decision::Allow),
    };
    let query = ActivityQuery {
        from: Some(at(3)),
        to: Some(at(70)),
        filter: filter.clone(),
        ..all_of(Whose::Practice("south".into()))
    };
    let within = at(3)..at(70);
    let wanted = |record: &AccessRecord<'_>| {
        filter.takes(record)
            && record.opening.practice == "south"
            && within.contains(&record.opening.ts)
    };
    expect(&*store, query, &all, &wanted).await;
}

pub(crate) async fn a_cursor_stays_while_records_arrive(subject: &impl HistorySubject) {
    let store = subject.node().await;
    let all = some_history(&*store).await;
    let mut query = ActivityQuery { limit: 9, ..everybody() };
    let mut found = Vec::new();
    for (round, number) in (0..).zip(1_000_u64..) {
        let page = store.page(&query).await.unwrap();
        found.extend(page.records);
        let Some(next) = page.next else { break };
        query.after = Some(next);
        // All of these are newer than what is still to come.
        ship(&*store, 3, round, &[part(number)]).await;
        expire(&*store, at(-1_000), at(-1_000)).await;
    }
    assert_eq!(found, all);
}

pub(crate) async fn records_that_came_late_stand_where_they_belong(subject: &impl HistorySubject) {
    let store = subject.node().await;
    let mut expected = some_history(&*store).await;
    let mut late = parts(40..=60);
    late.reverse();
    late.iter_mut().for_each(|(opening, _)| opening.key = "n1".into());
    ship(&*store, 9, 0, &late).await;
    expected = newest_first(expected.into_iter().chain(records(9, 0, &late)));
    assert_eq!(read(&*store, everybody()).await, expected);
    expire(&*store, at(-1_000), at(-1_000)).await;
    expect(&*store, all_of(Whose::Key("n1".into())), &expected, &|record| {
        record.opening.key == "n1"
    })
    .await;
}
