//! The scripts of Redis beside what a node would have decided: the same arithmetic, over limits and times at random.

use std::num::NonZeroU32;
use std::time::Duration;

use proptest::prelude::*;

use crate::limits::bucket::{Bucket, Moment, Trial};
use crate::model::RateLimit;
use crate::store::limits::{Question, Rate, Settlement, Simulated};

#[derive(Clone, Debug)]
struct Step {
    /// In microseconds; a clock may go back.
    passes: i64,
    cost: u32,
    /// Of two limits, which one each bucket is held to.
    limits: [usize; 2],
    what: What,
}

#[derive(Clone, Copy, Debug)]
enum What {
    Take,
    Look,
    GiveBack,
    /// With more than the store knows of.
    Believe(u64),
}

fn limit() -> impl Strategy<Value = RateLimit> {
    let seconds = vec![1, 60, 3600, 86_400, 30 * 86_400, 365 * 86_400];
    let count = prop_oneof![1..10_u64, 1..100_000_u64, 1..4_000_000_000_u64];
    let burst = prop_oneof![1..10_u64, 1..1000_u64, 1..4_000_000_000_u64];
    (count, prop::sample::select(seconds), burst).prop_filter_map(
        "too long",
        |(count, seconds, burst)| {
            RateLimit::new(count, Duration::from_secs(seconds), Some(burst)).ok()
        },
    )
}

/// Times that matter to limits: around a unit, and around all of them.
fn steps(limits: &[RateLimit; 2]) -> impl Strategy<Value = Vec<Step>> + use<> {
    let longest = limits.iter().map(|limit| limit.fill() / 1000).max().unwrap_or(1).min(1 << 60);
    let interval = limits.iter().map(|limit| limit.interval() / 1000).max().unwrap_or(1);
    let (longest, interval) = (longest.cast_signed() + 2, interval.cast_signed() + 2);
    let passes = prop_oneof![
        4 => Just(0_i64),
        4 => 0..interval * 2,
        2 => 0..longest,
        1 => -1000..1000_i64,
        1 => -interval..0,
    ];
    let most = limits.iter().map(|limit| limit.burst().get()).max().unwrap_or(1);
    let cost = prop_oneof![3 => 1..3_u32, 1 => 1..=most, 1 => Just(most), 1 => Just(most / 2 + 1)];
    let what = prop_oneof![
        8 => Just(What::Take),
        1 => Just(What::Look),
        1 => Just(What::GiveBack),
        1 => (0..=u64::try_from(longest).unwrap() * 1000).prop_map(What::Believe),
    ];
    let limits = prop_oneof![3 => Just([0, 1]), 1 => [0..2_usize, 0..2_usize]];
    let step = (passes, cost, limits, what).prop_map(|(passes, cost, limits, what)| Step {
        passes,
        cost,
        limits,
        what,
    });
    prop::collection::vec(step, 1..40)
}

fn cases() -> u32 {
    if std::env::var_os("POSTERN_BIG").is_some() { 5000 } else { 150 }
}

#[test]
fn the_script_decides_as_a_node_does() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let store = runtime.block_on(Simulated::start());
    let config =
        ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases()) };
    let plan = [limit(), limit()].prop_flat_map(|limits| (Just(limits), steps(&limits)));
    proptest!(config, |((limits, steps) in plan)| {
        store.ask_redis(&["FLUSHALL"]);
        runtime.block_on(beside(&store, &limits, &steps))?;
    });
}

fn rate(name: &str, limit: &RateLimit, cost: NonZeroU32, debt: u64) -> Rate {
    let (interval, burst) = (limit.interval(), limit.burst().get());
    Rate { name: name.to_owned(), interval, burst, cost: limit.cost(cost).get(), debt }
}

/// Two buckets that are taken from together, by the script and by the arithmetic of a node.
async fn beside(
    store: &Simulated,
    limits: &[RateLimit; 2],
    steps: &[Step],
) -> Result<(), TestCaseError> {
    let mut now = 1_800_000_000_000_000_u64;
    let mut buckets = [Bucket::default(); 2];
    let mut kept_at = [0; 2];
    for step in steps {
        now = now.saturating_add_signed(step.passes);
        let (at, cost) = (Moment(now * 1000), NonZeroU32::new(step.cost).unwrap());
        let held_to = step.limits.map(|place| limits[place]);
        let believed = match step.what {
            What::Believe(debt) => held_to.map(|limit| debt.min(limit.fill())),
            _ => [0; 2],
        };
        let rates: Vec<_> = ["key:a", "vendor:b"]
            .into_iter()
            .zip(&held_to)
            .zip(believed)
            .map(|((name, limit), debt)| rate(name, limit, cost, debt))
            .collect();
        let owed =
            |bucket: &Bucket, place: usize| bucket.debt(&held_to[place], at).max(believed[place]);
        if matches!(step.what, What::GiveBack) {
            let returned = Settlement { returned: rates, ..Settlement::default() };
            store.settle(&[returned], now).await;
            for place in 0..2 {
                let limit = &held_to[place];
                let taken = limit.interval() * u64::from(limit.cost(cost).get());
                let debt = owed(&buckets[place], place).saturating_sub(taken);
                // What was full before is not kept, and as good as a full one of now.
                buckets[place] = Bucket::owing(debt, limit, at);
                kept_at[place] = now;
            }
            continue;
        }
        let trials: Vec<_> = (0..2)
            .map(|place| {
                let (bucket, limit) = (&buckets[place], &held_to[place]);
                Bucket::owing(owed(bucket, place), limit, at).take(limit, cost, at)
            })
            .collect();
        let fits = trials.iter().all(|trial| matches!(trial, Trial::Fits(_)));
        let only_look = matches!(step.what, What::Look);
        let question = Question { rates, only_look, ..Question::default() };
        let answer = store.take(&question, now).await;
        prop_assert_eq!(answer.is_admitted, fits, "{:?} at {}", step, now);
        for place in 0..2 {
            let (bucket, limit) = (&mut buckets[place], &held_to[place]);
            let before = owed(bucket, place);
            let after = match trials[place] {
                Trial::Fits(after) if fits && !only_look => after,
                // A moment that is yet to come was kept by a clock that was wrong.
                _ if before > bucket.debt(limit, at) || (kept_at[place] > now && !only_look) => {
                    Bucket::owing(before, limit, at)
                }
                _ => *bucket,
            };
            if after != *bucket {
                (*bucket, kept_at[place]) = (after, now);
            }
            let owed = bucket.debt(limit, at);
            prop_assert_eq!(answer.debts[place], owed, "bucket {} of {:?}", place, step);
        }
    }
    Ok(())
}
