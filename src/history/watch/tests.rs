//! What is asked of the store, and how often: a practice may have thousands of keys that nobody uses.

use std::sync::{Arc, Mutex};

use super::*;
use crate::journal::Batch;
use crate::model::LaneId;
use crate::store::Task;
use crate::store::access::{Acknowledged, ActivityQuery, Expired, Page, RefusalCount, Span, Taken};

/// A store in which some keys were used, and which remembers what it was asked.
#[derive(Debug, Default)]
struct Fake {
    /// Requests of each key on any day, and how many of them were refused.
    used: Vec<(&'static str, u64, u64)>,
    is_down: bool,
    asked: Mutex<Vec<String>>,
}

impl Fake {
    fn tally(&self, whose: &Whose) -> Tally {
        let Whose::Key(key) = whose else { panic!("{whose:?} is no key") };
        let found = self.used.iter().find(|(used, ..)| **used == **key);
        let (requests, denied) = found.map_or((0, 0), |(_, requests, denied)| (*requests, *denied));
        Tally { requests, denied, ..Tally::default() }
    }

    fn answer<'a, T: Send + 'a>(&self, asked: String, answer: T) -> Task<'a, T> {
        self.asked.lock().unwrap().push(asked);
        let down = || StoreError::Unavailable("down".to_owned());
        let answer = if self.is_down { Err(down()) } else { Ok(answer) };
        Box::pin(std::future::ready(answer))
    }

    fn asked(&self, what: &str) -> usize {
        self.asked.lock().unwrap().iter().filter(|asked| asked.starts_with(what)).count()
    }
}

impl AccessStore for Fake {
    fn usage<'a>(
        &'a self,
        whose: &'a Whose,
        from: Timestamp,
        _: Timestamp,
        step: Step,
    ) -> Task<'a, Vec<Span>> {
        let spans = vec![Span { start: from, tally: self.tally(whose) }];
        self.answer(format!("usage {step:?} {whose:?}"), spans)
    }

    fn totals<'a>(
        &'a self,
        whose: &'a [Whose],
        _: Timestamp,
        _: Timestamp,
    ) -> Task<'a, Vec<Tally>> {
        let tallies = whose.iter().map(|whose| self.tally(whose)).collect();
        self.answer(format!("totals {}", whose.len()), tallies)
    }

    fn refusals<'a>(
        &'a self,
        whose: &'a Whose,
        _: Timestamp,
        _: Timestamp,
    ) -> Task<'a, Vec<RefusalCount>> {
        self.answer(format!("refusals {whose:?}"), Vec::new())
    }

    fn lanes<'a>(&'a self, _: &'a [LaneId]) -> Task<'a, Vec<u64>> {
        self.answer("lanes".to_owned(), Vec::new())
    }

    fn take(&self, _: Arc<Batch>) -> Task<'_, Taken> {
        self.answer("take".to_owned(), Taken::All)
    }

    fn skip(&self, _: LaneId, _: u64) -> Task<'_, ()> {
        self.answer("skip".to_owned(), ())
    }

    fn forget<'a>(&'a self, _: &'a [LaneId]) -> Task<'a, ()> {
        self.answer("forget".to_owned(), ())
    }

    fn page<'a>(&'a self, _: &'a ActivityQuery) -> Task<'a, Page> {
        self.answer("page".to_owned(), Page::default())
    }

    fn expire(&self, _: Timestamp, _: Timestamp) -> Task<'_, Expired> {
        self.answer("expire".to_owned(), Expired::default())
    }

    fn acknowledge(&self, _: Acknowledged) -> Task<'_, ()> {
        self.answer("acknowledge".to_owned(), ())
    }

    fn acknowledged<'a>(&'a self, _: &'a [Box<str>]) -> Task<'a, Vec<Acknowledged>> {
        self.answer("acknowledged".to_owned(), Vec::new())
    }

    fn concerns(&self) -> Task<'_, Vec<String>> {
        self.answer("concerns".to_owned(), Vec::new())
    }
}

fn keys(count: u32) -> Vec<KeyId> {
    (0..count).map(|number| KeyId::parse(&format!("{number:012}")).unwrap()).collect()
}

fn now() -> Timestamp {
    Timestamp::parse("2026-11-20T14:35:00Z").unwrap()
}

fn wait<T>(task: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(task)
}

#[test]
fn keys_that_nobody_uses_cost_nothing_each() {
    let store =
        Fake { used: vec![("000000000007", 30, 0), ("000000000009", 90, 4)], ..Fake::default() };
    let found = wait(evidence(&store, &keys(200), now())).unwrap();
    assert_eq!(found.len(), 200);
    let used = |evidence: &Evidence| *evidence != Evidence::default();
    assert!(used(&found[7]) && used(&found[9]), "each in its place");
    assert_eq!(store.asked("totals 200"), 2);
    assert_eq!((store.asked("totals"), store.asked("usage Day")), (2, 2));
    assert_eq!(store.asked("usage Hour"), 2 * alerts::hours(now()).len());
    assert_eq!(store.asked("refusals Key(\"000000000009\")"), 1);
    assert_eq!(store.asked("refusals"), 1);
    let with_days = found.iter().filter(|evidence| **evidence != Evidence::default()).count();
    assert_eq!(with_days, 2);
}

#[test]
fn answers_are_waited_for_side_by_side_and_come_in_their_order() {
    let barrier = tokio::sync::Barrier::new(3);
    let meeting = |number: u32| -> Task<'_, u32> {
        let barrier = &barrier;
        Box::pin(async move {
            // Nobody gets by alone.
            barrier.wait().await;
            Ok(number)
        })
    };
    assert_eq!(wait(side_by_side((1..=3).map(meeting).collect())).unwrap(), [1, 2, 3]);
    let never: Task<'_, u32> = Box::pin(std::future::pending());
    let down: Task<'_, u32> = Box::pin(async { Err(StoreError::Unavailable("down".to_owned())) });
    assert!(wait(side_by_side(vec![never, down])).is_err());
    assert!(wait(side_by_side(Vec::<Task<'_, u32>>::new())).unwrap().is_empty());
}

#[test]
fn a_store_that_is_down_is_told_to_who_asks_for_alerts_and_leaves_keys_without_numbers() {
    let store = Fake { is_down: true, ..Fake::default() };
    assert!(wait(evidence(&store, &keys(3), now())).is_err());
    assert_eq!(wait(today(&store, &keys(3), now())), [None, None, None]);
    assert_eq!(store.asked("totals"), 2, "once for all of them");
    let store = Fake { used: vec![("000000000001", 5, 1)], ..Fake::default() };
    let found = wait(today(&store, &keys(2), now()));
    let requests: Vec<u64> = found.iter().flatten().map(|tally| tally.requests).collect();
    assert_eq!(requests, [0, 5]);
    assert!(wait(today(&store, &[], now())).is_empty() && store.asked("totals") == 1);
}
