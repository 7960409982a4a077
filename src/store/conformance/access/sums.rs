//! Usage: always what the records add up to, and longer there than they.

use std::collections::BTreeMap;

use crate::model::{AccessRecord, Decision, Tally, Timestamp};
use crate::store::access::{AccessStore, RefusalCount, Span, Step, Whose};
use crate::store::conformance::access::samples::{DAY, HOUR, KEYS, at, parts, records};
use crate::store::conformance::access::{HistorySubject, everybody, expire, read, ship};

const FROM: i64 = -24;
const TO: i64 = 240;

/// What the records of some add up to, span by span.
pub(crate) fn expected(all: &[AccessRecord<'_>], whose: &Whose, step: Step) -> Vec<Span> {
    let length = match step {
        Step::Hour => HOUR,
        Step::Day => DAY,
    };
    let mut spans: BTreeMap<i64, Tally> = BTreeMap::new();
    for record in all.iter().filter(|record| is_of(whose, record)) {
        let micros = record.opening.ts.as_micros();
        spans.entry(micros - micros.rem_euclid(length)).or_default().add(record);
    }
    let span = |(start, tally)| Span { start: Timestamp::from_micros(start), tally };
    spans.into_iter().map(span).collect()
}

pub(crate) fn is_of(whose: &Whose, record: &AccessRecord<'_>) -> bool {
    match whose {
        Whose::Everybody => true,
        Whose::Practice(id) => record.opening.practice == **id,
        Whose::Key(id) => record.opening.key == **id,
    }
}

/// As a store has to count them.
pub(crate) fn expected_refusals(all: &[AccessRecord<'_>], whose: &Whose) -> Vec<RefusalCount> {
    let mut counts = BTreeMap::new();
    let denied = |record: &&AccessRecord<'_>| {
        record.outcome.decision == Decision::Deny && !record.opening.key.is_empty()
    };
    for record in all.iter().filter(denied).filter(|record| is_of(whose, record)) {
        let micros = record.opening.ts.as_micros();
        let day = Timestamp::from_micros(micros - micros.rem_euclid(DAY));
        let (opening, outcome) = (&record.opening, &record.outcome);
        let what = (day, outcome.code.clone(), opening.category.clone(), opening.access.clone());
        *counts.entry(what).or_insert(0) += u64::from(outcome.count);
    }
    let count = |((day, code, category, access), count): ((_, _, _, _), _)| {
        let own = |text: std::borrow::Cow<'_, str>| Box::from(&*text);
        RefusalCount { day, code: own(code), category: own(category), access: own(access), count }
    };
    counts.into_iter().map(count).collect()
}

fn known() -> Vec<Whose> {
    let keys = KEYS.iter().filter(|key| !key.is_empty()).map(|key| Whose::Key((*key).into()));
    let practices = ["north", "south"].map(|id| Whose::Practice(id.into()));
    keys.chain(practices).chain([Whose::Everybody]).collect()
}

async fn some_history(store: &dyn AccessStore) -> Vec<AccessRecord<'static>> {
    let all = parts(1..=120);
    for (number, chunk) in all.chunks(17).enumerate() {
        ship(store, 1, number as u64 * 17, chunk).await;
    }
    records(1, 0, &all)
}

async fn check(store: &dyn AccessStore, all: &[AccessRecord<'static>]) {
    for whose in known() {
        for step in [Step::Hour, Step::Day] {
            let found = store.usage(&whose, at(FROM), at(TO), step).await.unwrap();
            assert_eq!(found, expected(all, &whose, step), "{whose:?} by {step:?}");
        }
    }
}

pub(crate) async fn sums_are_those_of_the_records(subject: &impl HistorySubject) {
    let store = subject.node().await;
    let all = some_history(&*store).await;
    check(&*store, &all).await;
    check(&*subject.reader().await, &all).await;
    let nobody = Whose::Key("north".into());
    assert_eq!(store.usage(&nobody, at(FROM), at(TO), Step::Day).await.unwrap(), []);
}

pub(crate) async fn sums_begin_and_end_with_whole_spans(subject: &impl HistorySubject) {
    let store = subject.node().await;
    let all = some_history(&*store).await;
    let bounds = [
        (at(24), at(48)),
        (at(1), at(25)),
        (at(0), at(1)),
        (at(5), at(5)),
        (at(9), at(7)),
        (Timestamp::from_micros(at(3).as_micros() + 1), at(30)),
    ];
    for whose in [Whose::Everybody, Whose::Key("s2".into())] {
        for step in [Step::Hour, Step::Day] {
            for (from, to) in bounds {
                let mut wanted = expected(&all, &whose, step);
                wanted.retain(|span| span.start >= from && span.start < to);
                let found = store.usage(&whose, from, to, step).await.unwrap();
                assert_eq!(found, wanted, "{whose:?} by {step:?} {from}..{to}");
            }
        }
    }
}

pub(crate) async fn a_repeat_adds_up_to_nothing(subject: &impl HistorySubject) {
    let store = subject.node().await;
    let all = some_history(&*store).await;
    ship(&*store, 1, 17, &parts(18..=90)).await;
    ship(&*store, 1, 100, &parts(101..=120)).await;
    check(&*store, &all).await;
    let refused = store.refusals(&Whose::Key("n1".into()), at(FROM), at(TO)).await.unwrap();
    assert_eq!(refused, expected_refusals(&all, &Whose::Key("n1".into())));
}

pub(crate) async fn totals_answer_each_that_was_asked(subject: &impl HistorySubject) {
    let store = subject.node().await;
    let all = some_history(&*store).await;
    let mut asked = known();
    asked.insert(2, Whose::Key("nobody".into()));
    asked.push(asked[0].clone());
    for (from, to) in [(at(FROM), at(TO)), (at(24), at(48)), (at(1), at(47)), (at(0), at(0))] {
        let sum = |whose: &Whose| {
            let mut sum = Tally::default();
            let spans = expected(&all, whose, Step::Day);
            let within = spans.iter().filter(|span| span.start >= from && span.start < to);
            within.for_each(|span| sum.merge(&span.tally));
            sum
        };
        let wanted: Vec<_> = asked.iter().map(sum).collect();
        assert_eq!(store.totals(&asked, from, to).await.unwrap(), wanted, "{from}..{to}");
    }
    assert_eq!(store.totals(&[], at(FROM), at(TO)).await.unwrap(), []);
}

pub(crate) async fn refusals_are_counted_by_day_and_need(subject: &impl HistorySubject) {
    let store = subject.node().await;
    let all = some_history(&*store).await;
    for whose in known().into_iter().filter(|whose| *whose != Whose::Everybody) {
        let wanted = expected_refusals(&all, &whose);
        assert!(!wanted.is_empty(), "{whose:?}");
        assert_eq!(store.refusals(&whose, at(FROM), at(TO)).await.unwrap(), wanted, "{whose:?}");
        let mut second = wanted;
        second.retain(|refused| refused.day == at(24));
        assert_eq!(store.refusals(&whose, at(24), at(48)).await.unwrap(), second, "{whose:?}");
    }
}

pub(crate) async fn a_summed_refusal_counts_for_all_of_them(subject: &impl HistorySubject) {
    let store = subject.node().await;
    let mut all = parts(1..=30);
    all.iter_mut().for_each(|(_, outcome)| {
        if outcome.decision == Decision::Deny {
            outcome.count = 40;
        }
    });
    ship(&*store, 1, 0, &all).await;
    let all = records(1, 0, &all);
    check(&*store, &all).await;
    let found = read(&*store, everybody()).await;
    assert_eq!(
        found.iter().filter(|record| record.outcome.count == 40).count(),
        all.iter().filter(|record| record.outcome.decision == Decision::Deny).count()
    );
    let key = Whose::Key("n1".into());
    let refused = store.refusals(&key, at(FROM), at(TO)).await.unwrap();
    assert_eq!(refused, expected_refusals(&all, &key));
    assert!(refused.iter().all(|refused| refused.count % 40 == 0));
}

pub(crate) async fn sums_outlive_their_records(subject: &impl HistorySubject) {
    let store = subject.node().await;
    let all = some_history(&*store).await;
    expire(&*store, at(1_000), at(-1_000)).await;
    assert_eq!(read(&*store, everybody()).await, []);
    check(&*store, &all).await;
    let north = Whose::Practice("north".into());
    let refused = store.refusals(&north, at(FROM), at(TO)).await.unwrap();
    assert_eq!(refused, expected_refusals(&all, &north));
}

pub(crate) async fn sums_grow_old_as_well(subject: &impl HistorySubject) {
    let store = subject.node().await;
    let all = some_history(&*store).await;
    expire(&*store, at(-1_000), at(48)).await;
    for whose in known() {
        for step in [Step::Hour, Step::Day] {
            let mut wanted = expected(&all, &whose, step);
            wanted.retain(|span| span.start >= at(48));
            let found = store.usage(&whose, at(FROM), at(TO), step).await.unwrap();
            assert_eq!(found, wanted, "{whose:?} by {step:?}");
        }
    }
    let north = Whose::Practice("north".into());
    let mut wanted = expected_refusals(&all, &north);
    wanted.retain(|refused| refused.day >= at(48));
    assert_eq!(store.refusals(&north, at(FROM), at(TO)).await.unwrap(), wanted);
    assert_eq!(read(&*store, everybody()).await.len(), 120, "records have their own age");
}
