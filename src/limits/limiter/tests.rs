//! All limits of a request at once: against a model of them, from many threads, through reloads and over midnight.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;

use super::*;
use crate::config::Config;
use crate::config::tests::with_limits;
use crate::limits::rows;
use crate::model::{Access, Need};

mod days;
mod model;

const NOON: Clock = Clock { day: 20_000, left: DAY / 2 };
const START: Moment = Moment(1 << 50);

/// What `limits: { … }` compiles to.
fn plan_after(limits: &str, previous: Option<&Plan>) -> Plan {
    Plan::of(&with_limits(limits), previous)
}

fn plan(limits: &str) -> Plan {
    plan_after(limits, None)
}

fn who(key: u32) -> Counted {
    Counted { key, practice: 0, vendor: Some(0), own: None }
}

/// One of cost 1 within every category that is limited.
fn charge(plan: &Plan, key: u32) -> Charge<'_> {
    let categories = plan.all_categories();
    Charge { plan, who: who(key), categories, cost: NonZeroU32::MIN, at: START, clock: NOON }
}

fn left_of(told: &Standings, kind: LimitKind) -> u64 {
    told.iter().find(|standing| standing.kind == kind).unwrap().left
}

/// The limit that refused, and for how long.
fn refused(verdict: &Verdict) -> (LimitKind, Option<u64>) {
    let over = verdict.outcome.as_ref().unwrap_err().overrun().unwrap();
    (over.kind, over.wait.map(|wait| u64::try_from(wait.as_nanos()).unwrap()))
}

#[test]
fn whichever_limit_refuses_nothing_is_taken_from_the_others() {
    let wide = [
        ("key", "key: { rate: 100/h }"),
        ("vendor", "vendor: { rate: 100/h }"),
        ("practice", "practice: { rate: 100/h }"),
        ("category", "category: { files: { rate: 100/h }, patient: { rate: 100/h } }"),
        ("daily_quota", "daily_quota: { requests: 100, bytes: 100B }"),
        ("concurrent", "max_concurrent_per_key: 100"),
    ];
    let narrow = [
        ("key", "key: { rate: 100/h, burst: 3 }", "key"),
        ("vendor", "vendor: { rate: 100/h, burst: 3 }", "vendor"),
        ("practice", "practice: { rate: 100/h, burst: 3 }", "practice"),
        (
            "category",
            "category: { files: { rate: 100/h, burst: 3 }, patient: { rate: 100/h } }",
            "category:files",
        ),
        (
            "category",
            "category: { files: { rate: 100/h }, patient: { rate: 100/h, burst: 3 } }",
            "category:patient",
        ),
        ("daily_quota", "daily_quota: { requests: 3, bytes: 100B }", "daily_requests"),
        ("daily_quota", "daily_quota: { requests: 100, bytes: 3B }", "daily_bytes"),
        ("concurrent", "max_concurrent_per_key: 3", "concurrent"),
    ];
    for (place, text, limit) in narrow {
        let others = wide.iter().filter(|(name, _)| *name != place).map(|(_, text)| *text);
        let plan = plan(&others.chain([text]).collect::<Vec<_>>().join(", "));
        let limiter = Limiter::default();
        for _ in 0..3 {
            let spent = limiter.take(&charge(&plan, 7)).outcome.unwrap();
            if limit == "daily_bytes" {
                limiter.end(spent, 1);
            }
        }
        let before = limiter.look(&charge(&plan, 7));
        // What runs at once is always told last.
        let told = if limit == "concurrent" { before.last() } else { before.first() };
        assert_eq!(plan.name(told.unwrap().kind), limit, "the tightest is told first");
        for _ in 0..5 {
            let verdict = limiter.take(&charge(&plan, 7));
            assert_eq!(plan.name(refused(&verdict).0), limit);
            assert_eq!(verdict.standings, before, "{limit}");
        }
        assert_eq!(limiter.look(&charge(&plan, 7)), before, "{limit}");
    }
}

#[test]
fn the_longest_wait_is_told() {
    let plan = plan(
        "key: { rate: 1/s }, vendor: { rate: 1/min }, practice: { rate: 1/h }, max_concurrent_per_key: 1",
    );
    let limiter = Limiter::default();
    limiter.take(&charge(&plan, 1)).outcome.unwrap();
    let over = refused(&limiter.take(&charge(&plan, 1)));
    assert_eq!(over, (LimitKind::Practice, Some(3600 * SECOND)));
    let at = |seconds: u64| Charge { at: Moment(START.0 + seconds * SECOND), ..charge(&plan, 1) };
    let over = refused(&limiter.take(&at(3600)));
    assert_eq!(over, (LimitKind::Concurrent, None), "only where nothing else refuses");
}

/// Eight keys of one vendor and one practice, each from a thread of its own, and all at once.
#[test]
fn eight_threads_are_admitted_what_one_queue_would_be() {
    let plan = plan(
        "key: { rate: 200/d }, practice: { rate: 900/d }, vendor: { rate: 5000/d }, category: { files: { rate: 150/d } }",
    );
    let limiter = Limiter::default();
    let admitted = AtomicUsize::new(0);
    let by_key: Vec<usize> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8_u32)
            .map(|thread| {
                let (limiter, plan, admitted) = (&limiter, &plan, &admitted);
                scope.spawn(move || {
                    // Keys of one page, so that they wait for each other, and one of another page.
                    let key = if thread == 7 { 100 } else { thread };
                    let mut own = 0;
                    for _ in 0..400 {
                        own += usize::from(limiter.take(&charge(plan, key)).outcome.is_ok());
                    }
                    admitted.fetch_add(own, Ordering::Relaxed);
                    own
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(admitted.into_inner(), 900, "{by_key:?}");
    assert!(by_key.iter().all(|own| *own <= 150), "{by_key:?}");
    let mut taken_of_vendor = charge(&plan, 50);
    taken_of_vendor.categories.clear();
    assert_eq!(left_of(&limiter.look(&taken_of_vendor), LimitKind::Vendor), 4100);
    for (key, own) in (0..7).chain([100]).zip(by_key) {
        let told = limiter.look(&charge(&plan, key));
        assert_eq!(left_of(&told, LimitKind::Key), 200 - u64::try_from(own).unwrap());
    }
}

#[test]
fn eight_threads_run_no_more_at_once_than_may() {
    let plan = plan("max_concurrent_per_key: 3, daily_quota: { requests: 100000 }");
    let limiter = Limiter::default();
    let (running, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..2_000 {
                    let Ok(spent) = limiter.take(&charge(&plan, 3)).outcome else { continue };
                    let now = running.fetch_add(1, Ordering::SeqCst) + 1;
                    most.fetch_max(now, Ordering::SeqCst);
                    running.fetch_sub(1, Ordering::SeqCst);
                    limiter.end(spent, 0);
                }
            });
        }
    });
    assert!(most.into_inner() <= 3);
    assert_eq!(left_of(&limiter.look(&charge(&plan, 3)), LimitKind::Concurrent), 3);
}

#[test]
fn what_is_given_back_was_never_taken() {
    let plan = plan(
        "key: { rate: 9/h }, vendor: { rate: 9/h }, practice: { rate: 9/h }, category: { files: { rate: 9/h } }, \
         daily_quota: { requests: 9, bytes: 9B }, max_concurrent_per_key: 9",
    );
    let limiter = Limiter::default();
    limiter.take(&charge(&plan, 1)).outcome.unwrap();
    let before = limiter.look(&charge(&plan, 1));
    let costly = Charge { cost: NonZeroU32::new(5).unwrap(), ..charge(&plan, 1) };
    let verdict = limiter.take(&costly);
    assert_ne!(verdict.standings, before);
    limiter.give_back(&costly, verdict.outcome.unwrap());
    assert_eq!(limiter.look(&charge(&plan, 1)), before);
}

/// What must not be forgotten, and for how long: as long as it is there, its page is.
#[test]
fn idle_pages_are_given_back_and_nobody_who_owes_is_forgotten() {
    let plan = plan(
        "key: { rate: 1/s, burst: 5 }, vendor: { rate: 1/s }, practice: { rate: 1/s, burst: 100000 }, \
         category: { files: { rate: 10/h, burst: 3 } }",
    );
    let limiter = Limiter::default();
    let now = limiter.moment(Instant::now());
    let noon = Timestamp::from_micros(i64::from(NOON.day) * 86_400_000_000 + 43_200_000_000);
    let mut other = Charge { at: now, ..charge(&plan, 0) };
    other.who.vendor = None;
    for key in 0..1000 {
        other.who.key = key * 64;
        limiter.take(&other).outcome.unwrap();
    }
    assert_eq!((limiter.keys.tidy(|_| false), limiter.practices.tidy(|_| false)), (1000, 1));
    limiter.tidy(noon);
    assert_eq!(limiter.keys.tidy(|_| false), 1000, "every one of them owes to a category");
    for key in 0..1000 {
        limiter.keys.lock(key * 64).get().categories.clear();
        limiter.keys.lock(key * 64).get().bucket = Bucket::default();
    }
    // Each of these alone keeps its page.
    limiter.keys.lock(64).get().running = 1;
    limiter.keys.lock(128).get().today = Used { day: NOON.day, requests: 1, bytes: 0 };
    limiter.keys.lock(192).get().today = Used { day: NOON.day, requests: 0, bytes: 1 };
    limiter.keys.lock(256).get().today = Used { day: NOON.day - 1, requests: 1, bytes: 1 };
    let owing = Bucket::owing(
        3600 * SECOND,
        &RateLimit::new(1, Duration::from_secs(3600), None).unwrap(),
        now,
    );
    limiter.keys.lock(320 + 63).get().bucket = owing;
    limiter.tidy(noon);
    assert_eq!(limiter.keys.tidy(|_| false), 4, "all but yesterday's");
    assert_eq!(limiter.keys.lock(383).get().bucket, owing);
    limiter.keys.lock(64).get().running = 0;
    limiter.tidy(noon.after(Duration::from_secs(86_400)));
    assert_eq!(limiter.keys.tidy(|_| false), 1, "a quota of a day that is over is none");
}

#[test]
fn a_million_keys_have_their_bounded_place_and_leave_it() {
    let plan = plan("key: { rate: 1000/s }");
    let limiter = Limiter::default();
    // One of each page is as good as all of it.
    for key in (0..1_000_000).step_by(rows::PAGE) {
        let charge = Charge { at: Moment(1), ..charge(&plan, key) };
        assert!(limiter.take(&charge).outcome.is_ok());
    }
    let pages = limiter.keys.tidy(|_| false);
    assert_eq!(pages, 1_000_000_usize.div_ceil(rows::PAGE));
    // A page is its rows and nothing else: 128 MB for a million keys that are all at work.
    assert!(size_of::<KeyRow>() <= 128, "{} bytes a key", size_of::<KeyRow>());
    assert!(size_of::<Bucket>() <= 32, "{} bytes a vendor or practice", size_of::<Bucket>());
    assert_eq!((limiter.vendors.tidy(|_| false), limiter.practices.tidy(|_| false)), (0, 0));
    let later = Moment(SECOND);
    assert_eq!(limiter.keys.tidy(|row| row.is_idle(later, NOON.day)), 0);
}

#[test]
fn a_key_of_its_own_limit_is_held_against_that_one() {
    let wide = plan("key: { rate: 100/h }");
    let none = plan("");
    let limiter = Limiter::default();
    let own = RateLimit::new(2, Duration::from_secs(3600), None).unwrap();
    for plan in [&wide, &none] {
        let mut own_limit = charge(plan, if plan.is_empty() { 2 } else { 1 });
        assert_eq!(plan.is_free(&own_limit.who), plan.is_empty());
        own_limit.who.own = Some(own);
        assert!(!plan.is_free(&own_limit.who));
        assert!((0..2).all(|_| limiter.take(&own_limit).outcome.is_ok()));
        let verdict = limiter.take(&own_limit);
        assert_eq!(refused(&verdict), (LimitKind::Key, Some(1800 * SECOND)));
        let told = verdict.outcome.unwrap_err().overrun().unwrap().clone();
        assert_eq!((&*told.allowed, told.burst), ("2/h", Some(2)));
    }
    // Taken away again: it had nothing left, and has nothing left.
    let verdict = limiter.take(&charge(&wide, 1));
    assert_eq!(refused(&verdict), (LimitKind::Key, Some(36 * SECOND)));
}

#[test]
fn a_request_without_a_vendor_is_nothing_to_any_vendors_limit() {
    let plan = plan("vendor: { rate: 1/h }");
    let limiter = Limiter::default();
    let mut nobody = charge(&plan, 1);
    nobody.who.vendor = None;
    assert!((0..9).all(|_| limiter.take(&nobody).outcome.is_ok()));
    assert!(limiter.take(&charge(&plan, 1)).outcome.is_ok());
    assert_eq!(refused(&limiter.take(&charge(&plan, 2))).0, LimitKind::Vendor);
}
