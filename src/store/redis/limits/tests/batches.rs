//! Many questions in a call are answered as they would be one by one.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use tokio::time::timeout;

use super::{HANG, HOUR, greeted, hourly, limits, rates};
use crate::model::Timestamp;
use crate::store::limits::{Day, Question, Rate, Running, SharedLimits, Used};
use crate::store::redis::limits::batch::Batch;
use crate::store::redis::limits::simulated::Simulated;
use crate::store::redis::tests::server::Redis;

const NOW: u64 = 1_800_000_000_000_000;

/// The same for every question about it, as a worker would tell it.
fn buckets() -> impl Strategy<Value = Vec<Rate>> {
    // The longest is more than a double holds.
    let interval = prop_oneof![Just(1_u64), Just(1_000_000_007), Just(5_000_000_000_000_001)];
    let bucket = (interval, 1..6_u32, 1..3_u32, 0..3_u64);
    prop::collection::vec(bucket, 4).prop_map(|buckets| {
        let rate = |(number, (interval, burst, cost, owed)): (usize, (u64, u32, u32, u64))| Rate {
            name: format!("key:{number}"),
            interval,
            burst,
            cost: cost.min(burst),
            debt: interval * owed,
        };
        buckets.into_iter().enumerate().map(rate).collect()
    })
}

fn question(buckets: Vec<Rate>) -> impl Strategy<Value = Question> {
    let most = || prop::option::of(1..6_u64);
    let day = prop::option::of((0..2_u64, most(), most()));
    let running = prop::option::of((0..2_u8, 1..4_u32, 0..2_u32, 0..8_u16));
    let rates = prop::sample::subsequence(buckets, 0..=4);
    (rates, day, running, prop::bool::weighted(0.1)).prop_map(|(rates, day, running, only_look)| {
        let day = day.map(|(name, requests, bytes)| Day {
            name: name.to_string(),
            requests,
            bytes,
            believed: Used { day: 20_833, requests: name, bytes: 2 * name },
        });
        let running = running.map(|(name, most, own, request)| Running {
            name: name.to_string(),
            most,
            own,
            request: request.to_string(),
            lease: Duration::from_secs(15),
        });
        let asked_at = Some(Timestamp::from_micros(NOW as i64));
        Question { rates, day, running, only_look, asked_at }
    })
}

fn batches() -> impl Strategy<Value = Vec<Vec<Question>>> {
    buckets().prop_flat_map(|buckets| {
        let batch = prop::collection::vec(question(buckets), 1..12);
        prop::collection::vec(batch, 1..4)
    })
}

#[test]
fn a_batch_is_answered_as_its_questions_one_by_one() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let together = runtime.block_on(Simulated::start());
    let alone = runtime.block_on(Simulated::start());
    let cases = if std::env::var_os("POSTERN_BIG").is_some() { 5000 } else { 150 };
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases) };
    proptest!(config, |(batches in batches())| {
        together.ask_redis(&["FLUSHALL"]);
        alone.ask_redis(&["FLUSHALL"]);
        runtime.block_on(beside(&together, &alone, &batches))?;
    });
}

async fn beside(
    together: &Simulated,
    alone: &Simulated,
    batches: &[Vec<Question>],
) -> Result<(), TestCaseError> {
    for (passed, batch) in batches.iter().enumerate() {
        let now = NOW + 700_000 * passed as u64;
        let answers = together.take_all(batch, now).await;
        for (question, answer) in batch.iter().zip(answers) {
            prop_assert_eq!(answer, alone.take(question, now).await, "{:?}", question);
        }
    }
    Ok(())
}

#[test]
fn a_batch_is_held_to_one_rate_of_a_name_and_to_one_kind_of_clock() {
    let dated = |seconds| Question {
        asked_at: Some(Timestamp::from_micros(seconds)),
        ..rates(vec![hourly("key:a", 5)])
    };
    let [first, other, undated] = [dated(7), dated(9), rates(vec![hourly("key:a", 5)])];
    let changed = Question { rates: vec![hourly("key:a", 6)], ..dated(7) };
    let mut batch = Batch::default();
    assert!(batch.take(&first) && batch.take(&other));
    assert!(!batch.take(&undated) && !batch.take(&changed));
    let full = (2..).take_while(|_| batch.take(&first)).count();
    assert_eq!(full, 98);
}

#[tokio::test]
async fn whoever_cannot_be_asked_together_is_asked_one_after_the_other() {
    let server = Redis::start(&[]);
    let node = limits(&server);
    greeted(&node).await;
    // As after a reload that came while others were asked for.
    let bursts = (0..300).map(|number| 1000 + number % 3);
    let asked: Vec<_> = bursts
        .map(|burst| {
            let node = Arc::clone(&node);
            tokio::spawn(async move { node.decide(&rates(vec![hourly("key:a", burst)])).await })
        })
        .collect();
    for asked in asked {
        let answer = timeout(HANG, asked).await.unwrap().unwrap();
        assert!(answer.unwrap().is_admitted);
    }
    let look = Question { only_look: true, ..rates(vec![hourly("key:a", 1000)]) };
    let owed = node.decide(&look).await.unwrap().debts[0];
    assert_eq!(owed.div_ceil(HOUR), 300);
}
