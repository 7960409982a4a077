//! Any history, in any order, tidied and expired at any time: it is always what a list of records would be.

use std::collections::HashMap;
use std::sync::Arc;

use proptest::prelude::*;
use rusqlite::Connection;

use crate::journal::Batch;
use crate::model::{AccessRecord, Decision, LaneId, Timestamp};
use crate::store::access::{ActivityQuery, Cursor, Filter, Page, StatusFilter, Step, Taken, Whose};
use crate::store::conformance::access::newest_first;
use crate::store::conformance::access::samples::{
    DAY, MIDNIGHT, Part, any_part, batch, node_of, records,
};
use crate::store::conformance::access::sums::{expected, expected_refusals, is_of};
use crate::store::embedded::access::tables::HISTORY;
use crate::store::embedded::access::tidying::{Rounds, SETTLING};
use crate::store::embedded::access::{pages, sums, taking, tidying};
use crate::store::embedded::schema::{self, Found};

const ALWAYS: Timestamp = Timestamp::from_micros(i64::MIN);
const NEVER: Timestamp = Timestamp::from_micros(i64::MAX);

#[derive(Clone, Debug)]
enum Move {
    /// New records of a lane.
    Take(u64, Vec<Part>),
    /// What a lane has sent already, from so far back, with new records behind it.
    Again(u64, usize, Vec<Part>),
    /// From beyond what the store has.
    Beyond(u64, Vec<Part>),
    Tidy(usize),
    Expire(Timestamp),
    Forget(Timestamp),
}

fn any_step() -> impl Strategy<Value = Move> {
    let parts = |most| prop::collection::vec(any_part(), 0..most);
    let moment = || (-DAY..3 * DAY).prop_map(|offset| Timestamp::from_micros(MIDNIGHT + offset));
    prop_oneof![
        8 => (0..3_u64, parts(60)).prop_map(|(lane, parts)| Move::Take(lane, parts)),
        8 => (0..3_u64, parts(2)).prop_map(|(lane, parts)| Move::Take(lane, parts)),
        2 => (0..3_u64, 0..20_usize, parts(8)).prop_map(|(lane, back, parts)| Move::Again(lane, back, parts)),
        1 => (0..3_u64, parts(3)).prop_map(|(lane, parts)| Move::Beyond(lane, parts)),
        6 => prop_oneof![3 => Just(1_usize), 1 => Just(SETTLING as usize)].prop_map(Move::Tidy),
        1 => moment().prop_map(Move::Expire),
        1 => moment().prop_map(Move::Forget),
    ]
}

/// The store, and beside it what it should hold.
struct Tried {
    connection: Connection,
    rounds: Rounds,
    horizon: Timestamp,
    forgotten: Timestamp,
    lanes: HashMap<u64, Vec<Part>>,
    kept: Vec<AccessRecord<'static>>,
    /// Also of records that are gone.
    counted: Vec<AccessRecord<'static>>,
}

impl Tried {
    fn new() -> Self {
        let mut connection = Connection::open_in_memory().unwrap();
        schema::migrate(&mut connection, Found::Nothing, HISTORY).unwrap();
        Self {
            connection,
            rounds: Rounds::default(),
            horizon: ALWAYS,
            forgotten: ALWAYS,
            lanes: HashMap::new(),
            kept: Vec::new(),
            counted: Vec::new(),
        }
    }

    fn take(&mut self, batch: &Arc<Batch>) -> Taken {
        taking::take(&mut self.connection, batch).unwrap()
    }

    fn add(&mut self, lane: u64, back: usize, new: Vec<Part>) {
        let sent = self.lanes.entry(lane).or_default();
        let there = sent.len();
        let from = there.saturating_sub(back);
        sent.extend(new);
        let batch = batch(lane, from as u64, &sent[from..]);
        let new = records(lane, there as u64, &sent[there..]);
        self.kept.extend(new.iter().filter(|record| record.opening.ts >= self.horizon).cloned());
        // A sum that is too old when it comes is there until the next round.
        self.counted.extend(new);
        assert_eq!(self.take(&batch), Taken::All);
    }

    fn tidy(&mut self, times: usize) {
        let mut left = times;
        for _ in 0..10_000 {
            let expired = tidying::round(
                &mut self.connection,
                &mut self.rounds,
                self.horizon,
                self.forgotten,
            )
            .unwrap();
            left = left.saturating_sub(1);
            if left == 0 && !expired.more {
                break;
            }
        }
        assert_eq!(left, 0);
        let forgotten = self.forgotten.as_micros();
        self.counted.retain(|record| {
            let micros = record.opening.ts.as_micros();
            // Of days that are partly too old, hours are left that are not.
            micros - micros.rem_euclid(3_600_000_000) >= forgotten
        });
    }

    fn step(&mut self, step: Move) {
        match step {
            Move::Take(lane, new) => self.add(lane, 0, new),
            Move::Again(lane, back, new) => self.add(lane, back, new),
            Move::Beyond(lane, new) => {
                let there = self.lanes.get(&lane).map_or(0, Vec::len) as u64;
                let batch = batch(lane, there + 1, &new);
                assert_eq!(self.take(&batch), Taken::Behind(there));
            }
            Move::Tidy(times) => self.tidy(times),
            Move::Expire(before) => {
                self.horizon = self.horizon.max(before);
                let horizon = self.horizon;
                self.kept.retain(|record| record.opening.ts >= horizon);
                self.tidy(1);
            }
            Move::Forget(before) => {
                // By whole days, so that what is left of hours is what is left of days.
                let micros = before.as_micros();
                let midnight = Timestamp::from_micros(micros - micros.rem_euclid(DAY));
                self.forgotten = self.forgotten.max(midnight);
                self.tidy(1);
            }
        }
    }

    fn read(&mut self, query: &ActivityQuery) -> Vec<AccessRecord<'static>> {
        let mut query = query.clone();
        let mut found = Vec::new();
        loop {
            let Page { records, next } =
                pages::page(&mut self.connection, &query, self.horizon).unwrap();
            assert!(records.len() <= query.limit);
            found.extend(records);
            let Some(next) = next else { return found };
            assert!(query.after.is_none_or(|after| next < after), "it does not go on");
            query.after = Some(next);
        }
    }

    fn check(&mut self, query: &ActivityQuery) {
        let within = |record: &AccessRecord<'_>| {
            is_of(&query.whose, record)
                && query.from.is_none_or(|from| record.opening.ts >= from)
                && query.to.is_none_or(|to| record.opening.ts < to)
                && query.after.is_none_or(|after| Cursor::of(record) < after)
                && query.filter.takes(record)
        };
        let wanted = newest_first(self.kept.iter().filter(|record| within(record)).cloned());
        assert_eq!(self.read(query), wanted, "{query:?}");
    }

    fn check_sums(&mut self) {
        for whose in [
            Whose::Everybody,
            Whose::Practice("north".into()),
            Whose::Key("k1".into()),
            Whose::Key("".into()),
        ] {
            for step in [Step::Hour, Step::Day] {
                let found = sums::usage(&mut self.connection, &whose, ALWAYS, NEVER, step).unwrap();
                assert_eq!(found, expected(&self.counted, &whose, step), "{whose:?} {step:?}");
            }
            let found = sums::refusals(&mut self.connection, &whose, ALWAYS, NEVER).unwrap();
            assert_eq!(found, expected_refusals(&self.counted, &whose), "{whose:?}");
        }
        let lanes: Vec<_> = self.lanes.iter().map(|(lane, sent)| (*lane, sent.len())).collect();
        for (lane, sent) in lanes {
            let last = taking::last_of(&self.connection, LaneId(lane)).unwrap();
            assert_eq!(last, sent as u64, "{}", node_of(lane));
        }
    }
}

fn any_query() -> impl Strategy<Value = ActivityQuery> {
    let whose = prop_oneof![
        3 => Just(Whose::Everybody),
        1 => prop::sample::select(&["north", "south", ""][..]).prop_map(|id| Whose::Practice(id.into())),
        3 => prop::sample::select(&["k1", "k2", "", "k9"][..]).prop_map(|id| Whose::Key(id.into())),
    ];
    let moment = || {
        prop::option::of(
            (-DAY..3 * DAY).prop_map(|offset| Timestamp::from_micros(MIDNIGHT + offset)),
        )
    };
    let status = prop::option::of(prop_oneof![
        prop::sample::select(&[0_u16, 200, 403, 418][..]).prop_map(StatusFilter::Exactly),
        (0..7_u16).prop_map(StatusFilter::Class),
    ]);
    let text = |choices: &'static [&'static str]| {
        prop::option::weighted(0.2, prop::sample::select(choices).prop_map(Box::from))
    };
    let decision = prop::option::weighted(0.2, prop::sample::select(&Decision::ALL[..]));
    let filter = (status, text(&["patient", "billing", "clinical"]), text(&["acme", ""]), decision)
        .prop_map(|(status, category, vendor, decision)| Filter {
            status,
            category,
            vendor,
            decision,
        });
    let filter = prop_oneof![Just(Filter::default()), filter];
    (whose, moment(), moment(), filter, 1..40_usize).prop_map(|(whose, from, to, filter, limit)| {
        ActivityQuery { whose, from, to, filter, after: None, limit }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_history_is_always_what_a_list_of_records_would_be(
        steps in prop::collection::vec(any_step(), 1..24),
        queries in prop::collection::vec(any_query(), 1..8),
    ) {
        let mut tried = Tried::new();
        for step in steps {
            tried.step(step);
        }
        for query in &queries {
            tried.check(query);
        }
        tried.check_sums();
        tried.tidy(SETTLING as usize);
        for query in &queries {
            tried.check(query);
        }
        tried.check_sums();
    }
}
