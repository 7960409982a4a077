//! A node beside a store that answers, hangs, refuses, or comes back with nothing.

use std::collections::HashMap;
use std::future::pending;
use std::num::NonZeroU32;
use std::sync::{Mutex, MutexGuard};

use tokio::task::LocalSet;
use tokio::task::yield_now;
use tokio::time::Instant as Paused;

use super::*;
use crate::config::{Limits, StoreDown};
use crate::limits::plan::Categories;
use crate::limits::{Plan, Spent};
use crate::model::{RateLimit, Timestamp};
use crate::registry::view::Counted;
use crate::store::Task;
use crate::store::limits::{Settlement, Used};

mod scripts;
mod settlements;

const NOW: i64 = 1_800_000_000_000_000;
const NAMES: Names<'static> = Names { key: "k", practice: "p", vendor: None };

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Mood {
    #[default]
    Answers,
    Hangs,
    Refuses,
    /// Answers when it is greeted, and nothing else.
    Deceives,
}

#[derive(Debug, Default)]
struct State {
    mood: Mood,
    debts: HashMap<String, u64>,
    running: u32,
    questions: Vec<Question>,
    settlements: Vec<Settlement>,
    renewed: Vec<(String, String)>,
    greetings: usize,
    told: Vec<bool>,
    alone: usize,
}

/// In it no time passes.
#[derive(Debug, Default, Clone)]
struct Fake(Arc<Mutex<State>>);

impl Fake {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// From now on; what runs gets to know.
    async fn is(&self, mood: Mood) {
        self.state().mood = mood;
        settled().await;
    }

    async fn mood<T>(&self, answer: impl FnOnce(&mut State) -> T) -> Result<T, StoreError> {
        let mood = self.state().mood;
        match mood {
            Mood::Answers => Ok(answer(&mut self.state())),
            Mood::Refuses | Mood::Deceives => Err(StoreError::Unavailable("not now".to_owned())),
            Mood::Hangs => pending().await,
        }
    }
}

fn decided(state: &mut State, question: &Question) -> Answer {
    let owed = |rate: &Rate| state.debts.get(&rate.name).copied().unwrap_or_default();
    let before: Vec<u64> = question.rates.iter().map(|rate| owed(rate).max(rate.debt)).collect();
    let taken = |(rate, debt): (&Rate, &u64)| debt + rate.interval * u64::from(rate.cost);
    let after: Vec<u64> = question.rates.iter().zip(&before).map(taken).collect();
    let fill = |rate: &Rate| rate.interval * u64::from(rate.burst);
    let is_free = question.running.as_ref().is_none_or(|running| state.running < running.most);
    let is_admitted =
        is_free && question.rates.iter().zip(&after).all(|(rate, debt)| *debt <= fill(rate));
    let takes = is_admitted && !question.only_look;
    if takes {
        let names = question.rates.iter().map(|rate| rate.name.clone());
        state.debts.extend(names.zip(after.clone()));
        state.running += u32::from(question.running.is_some());
    }
    Answer {
        is_admitted,
        debts: if takes { after } else { before },
        running: state.running,
        used: Used { day: Clock::at(Timestamp::from_micros(NOW)).day, ..Used::default() },
        now: Timestamp::from_micros(NOW),
    }
}

impl SharedLimits for Fake {
    fn decide<'a>(&'a self, question: &'a Question) -> Task<'a, Answer> {
        self.state().questions.push(question.clone());
        Box::pin(self.mood(|state| decided(state, question)))
    }

    fn settle<'a>(&'a self, settlements: &'a [Settlement]) -> Task<'a, ()> {
        Box::pin(self.mood(|state| state.settlements.extend_from_slice(settlements)))
    }

    fn renew<'a>(&'a self, running: &'a [(String, String)], lease: Duration) -> Task<'a, ()> {
        assert_eq!(lease, LEASE);
        Box::pin(self.mood(|state| state.renewed.extend_from_slice(running)))
    }

    fn greet(&self) -> Task<'_, ()> {
        self.state().greetings += 1;
        Box::pin(async {
            let deceives = self.state().mood == Mood::Deceives;
            if deceives { Ok(()) } else { self.mood(|_| ()).await }
        })
    }
}

impl Told for Fake {
    fn shared(&self, is_up: bool) {
        self.state().told.push(is_up);
    }

    fn alone(&self) {
        self.state().alone += 1;
    }
}

/// Whatever can be done without time passing is done.
async fn settled() {
    for _ in 0..20 {
        yield_now().await;
    }
}

struct Node {
    store: Fake,
    shared: Rc<Shared>,
    plan: Plan,
}

impl Node {
    /// One that has found the store.
    async fn with(limits: Limits) -> Self {
        let node = Self::before_it_runs(limits);
        node.run().await;
        assert!(node.shared.is_up.get());
        node
    }

    fn before_it_runs(limits: Limits) -> Self {
        let store = Fake::default();
        let limiter = Arc::new(Limiter::default());
        let shared = Shared::new(Arc::new(store.clone()), limiter, Box::new(store.clone()));
        Self { store, shared: Rc::new(shared), plan: Plan::holding(limits) }
    }

    async fn run(&self) {
        tokio::task::spawn_local(Rc::clone(&self.shared).run());
        settled().await;
    }

    fn charge(&self) -> Charge<'_> {
        Charge {
            plan: &self.plan,
            who: Counted { key: 1, practice: 1, vendor: None, own: None },
            categories: Categories::new(),
            cost: NonZeroU32::MIN,
            at: self.shared.limiter.moment(Instant::now()),
            clock: Clock::at(Timestamp::from_micros(NOW)),
        }
    }

    async fn take(&self, request: u128) -> Result<Spent, Refusal> {
        self.shared.take(&self.charge(), NAMES, RequestId::new(request)).await.outcome
    }

    /// How many of so many requests are let through.
    async fn admitted(&self, requests: usize) -> usize {
        let mut admitted = 0;
        for _ in 0..requests {
            match self.take(1).await {
                Ok(_) => admitted += 1,
                Err(refusal) => assert!(matches!(refusal, Refusal::RateLimited(_)), "{refusal:?}"),
            }
        }
        admitted
    }

    /// Until the store is found again.
    async fn found(&self) {
        while !self.shared.is_up.get() {
            sleep(Duration::from_millis(1)).await;
        }
        settled().await;
    }
}

/// So many, and one comes back in an hour.
fn hourly(burst: u64) -> Limits {
    let key = RateLimit::new(1, Duration::from_secs(3600), Some(burst)).unwrap();
    Limits { key: Some(key), ..Limits::default() }
}

async fn local<T>(test: impl Future<Output = T>) -> T {
    LocalSet::new().run_until(test).await
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_longer_than_the_deadline_and_only_the_first_does_at_all() {
    local(async {
        let node = Node::with(hourly(10)).await;
        assert!(node.take(1).await.is_ok());
        node.store.is(Mood::Hangs).await;
        let begun = Paused::now();
        let both = tokio::join!(node.take(2), node.take(3));
        assert!(both.0.is_ok() && both.1.is_ok());
        assert_eq!(begun.elapsed(), DEADLINE);
        let begun = Paused::now();
        assert!(node.take(4).await.is_ok());
        assert_eq!(begun.elapsed(), Duration::ZERO);
        let state = node.store.state();
        assert_eq!((state.questions.len(), state.alone), (3, 3));
        assert_eq!(state.told, [true, false]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn neither_the_loss_of_the_store_nor_its_return_gives_a_burst() {
    local(async {
        for lost in [false, true] {
            let node = Node::with(hourly(10)).await;
            assert_eq!(node.admitted(4).await, 4);
            node.store.is(Mood::Refuses).await;
            assert_eq!(node.admitted(3).await, 3, "alone, and it knows of four");
            if lost {
                node.store.state().debts.clear();
            }
            node.store.is(Mood::Answers).await;
            node.found().await;
            assert_eq!(node.admitted(20).await, 3, "it forgot: {lost}");
            node.store.is(Mood::Refuses).await;
            assert_eq!(node.admitted(20).await, 0, "it forgot: {lost}");
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn without_the_store_nothing_is_let_through_where_that_is_asked_for() {
    local(async {
        let limits = Limits { store_down: StoreDown::Deny, ..hourly(10) };
        let node = Node::before_it_runs(limits);
        let unavailable = |outcome| matches!(outcome, Err(Refusal::LimitsUnavailable));
        assert!(unavailable(node.take(1).await), "before it was found");
        node.run().await;
        assert!(node.take(2).await.is_ok());
        node.store.is(Mood::Refuses).await;
        assert!(unavailable(node.take(3).await) && unavailable(node.take(4).await));
        node.store.is(Mood::Answers).await;
        node.found().await;
        assert_eq!(node.admitted(20).await, 9, "what was refused took nothing");
        // For what has no limit nobody is asked.
        let free = Limits { store_down: StoreDown::Deny, ..Limits::default() };
        let node = Node::before_it_runs(free);
        assert!(node.take(1).await.is_ok());
        assert!(node.store.state().questions.is_empty());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_others_took_is_believed_and_told_as_of_the_store_s_time() {
    local(async {
        let node = Node::with(hourly(10)).await;
        node.store.state().debts.insert("key:k".to_owned(), 8 * 3_600_000_000_000);
        assert!(node.shared.limiter.store_clock.at(Moment(0)).is_none());
        assert_eq!(node.admitted(1).await, 1);
        assert_eq!(node.store.state().questions[0].asked_at, None);
        node.store.state().debts.clear();
        assert_eq!(node.admitted(20).await, 1, "another node's eight, and two of this one");
        let asked_at = node.store.state().questions[1].asked_at.unwrap();
        assert!(asked_at >= Timestamp::from_micros(NOW - 1), "{asked_at:?}");
        let looked = node.shared.look(&node.charge(), NAMES).await;
        assert_eq!(looked[0].left, 0);
        assert!(node.store.state().questions.last().unwrap().only_look);
        // The next store may have another clock.
        node.store.is(Mood::Refuses).await;
        assert_eq!(node.admitted(1).await, 0);
        assert!(node.shared.limiter.store_clock.at(Moment(0)).is_none());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_went_nowhere_comes_back_and_what_was_moved_is_told() {
    local(async {
        let limits = Limits { daily_requests: Some(9), daily_bytes: Some(999), ..hourly(10) };
        let node = Node::with(limits).await;
        let (one, two) = (node.take(1).await.unwrap(), node.take(2).await.unwrap());
        node.shared.give_back(&node.charge(), NAMES, one, RequestId::new(1));
        node.shared.end(two, "k", RequestId::new(2), 77);
        settled().await;
        let settlements = std::mem::take(&mut node.store.state().settlements);
        assert_eq!(settlements.len(), 2, "{settlements:?}");
        let day = two.day;
        assert_eq!(settlements[0].returned[0].name, "key:k");
        let back = Used { day, requests: 1, bytes: 0 };
        assert_eq!(settlements[0].day, Some(("k".to_owned(), back)));
        let moved = Used { day, requests: 0, bytes: 77 };
        let expected = Settlement { day: Some(("k".to_owned(), moved)), ..Settlement::default() };
        assert_eq!(settlements[1], expected);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn places_are_held_while_requests_run_and_given_back_whatever_happens() {
    local(async {
        let limits = Limits { max_concurrent_per_key: Some(3), ..Limits::default() };
        let node = Node::with(limits).await;
        let named = |request: u128| ("k".to_owned(), RequestId::new(request).to_string());
        let ended = |store: &Fake| -> Vec<_> {
            let settlements = std::mem::take(&mut store.state().settlements);
            settlements.into_iter().filter_map(|settlement| settlement.ended).collect()
        };
        let one = node.take(1).await.unwrap();
        sleep(RENEWAL * 2 + RENEWAL / 2).await;
        assert_eq!(node.store.state().renewed, [named(1), named(1)]);
        node.shared.end(one, "k", RequestId::new(1), 0);
        settled().await;
        assert_eq!(ended(&node.store), [named(1)]);
        sleep(RENEWAL * 2).await;
        assert_eq!(node.store.state().renewed.len(), 2, "renewed, though it was over");
        // It ends while the store is away, and the one whose answer never came may hold a place, too.
        let two = node.take(2).await.unwrap();
        node.store.is(Mood::Hangs).await;
        let three = node.take(3).await.unwrap();
        node.shared.end(two, "k", RequestId::new(2), 0);
        node.shared.end(three, "k", RequestId::new(3), 0);
        node.store.is(Mood::Answers).await;
        node.found().await;
        assert_eq!(ended(&node.store), [named(2), named(3)]);
        // The caller hangs up before the answer.
        node.store.is(Mood::Hangs).await;
        assert!(timeout(DEADLINE / 2, node.take(4)).await.is_err());
        node.store.is(Mood::Answers).await;
        assert_eq!(ended(&node.store), [named(4)]);
        assert!(node.shared.is_up.get(), "one caller who goes is no loss of the store");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_question_of_before_the_loss_does_not_lose_the_store_again() {
    local(async {
        let node = Node::with(hourly(10)).await;
        node.store.is(Mood::Hangs).await;
        let early = node.take(1);
        tokio::pin!(early);
        assert!(timeout(DEADLINE / 2, &mut early).await.is_err());
        node.store.is(Mood::Refuses).await;
        assert!(node.take(2).await.is_ok());
        assert!(!node.shared.is_up.get());
        node.store.is(Mood::Answers).await;
        node.found().await;
        assert!(early.await.is_ok());
        assert!(node.shared.is_up.get(), "lost again");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_way_that_nobody_uses_is_tried_and_its_loss_is_found_before_a_request_does() {
    local(async {
        let node = Node::with(hourly(10)).await;
        node.store.is(Mood::Hangs).await;
        sleep(QUIET + DEADLINE * 2).await;
        assert!(!node.shared.is_up.get());
        let begun = Paused::now();
        assert!(node.take(1).await.is_ok());
        assert_eq!(begun.elapsed(), Duration::ZERO);
        node.store.is(Mood::Answers).await;
        node.found().await;
        assert_eq!(node.store.state().told, [true, false, true]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_lost_as_soon_as_it_is_found_is_not_looked_for_all_the_time() {
    local(async {
        let node = Node::with(hourly(1)).await;
        node.store.is(Mood::Deceives).await;
        for _ in 0..5000 {
            drop(node.take(1).await);
            sleep(Duration::from_millis(1)).await;
        }
        let greetings = node.store.state().greetings;
        assert!((5..40).contains(&greetings), "{greetings} times in five seconds");
    })
    .await;
}

#[test]
fn a_bucket_owes_no_less_for_what_is_heard_late() {
    let limit = RateLimit::new(1, Duration::from_nanos(1_000_000), Some(1000)).unwrap();
    let heard = |first: (u64, u64), second: (u64, u64)| {
        let bucket = crate::limits::bucket::Bucket::default();
        let bucket = bucket.at_least(first.0, &limit, Moment(first.1));
        bucket.at_least(second.0, &limit, Moment(second.1)).debt(&limit, Moment(100))
    };
    for (first, second, owed) in
        [((50, 60), (30, 20), 10), ((50, 60), (95, 20), 15), ((50, 20), (30, 90), 20)]
    {
        assert_eq!(heard(first, second), owed);
        assert_eq!(heard(second, first), owed);
    }
}
