//! What the scripts decide, under a clock of the test's own. That their arithmetic is that of a node is shown in
//! `limits::shared`.

use std::time::Duration;

use super::{day, running};
use crate::model::Timestamp;
use crate::store::limits::{Day, Question, Rate, Running, Settlement, Used};
use crate::store::redis::limits::simulated::Simulated;

const DAY: u64 = 86_400_000_000;

#[tokio::test]
async fn what_a_node_believes_is_taken_as_of_the_time_when_it_asked() {
    let store = Simulated::start().await;
    let now = 1_800_000_000_000_000;
    let asked = |ago: i64, debt| Question {
        rates: vec![Rate {
            debt,
            name: "key:a".to_owned(),
            interval: 1_000_000_000,
            burst: 10,
            cost: 1,
        }],
        only_look: true,
        asked_at: Some(Timestamp::from_micros(1_800_000_000_000_000 - ago)),
        ..Question::default()
    };
    for (ago, owed) in [(0, 5_000_000_000), (40, 4_999_960_000), (100_000, 4_900_000_000)] {
        assert_eq!(store.take(&asked(ago, 5_000_000_000), now).await.debts, [owed], "{ago}");
    }
    // A clock that jumped since is not believed.
    assert_eq!(store.take(&asked(9_000_000, 5_000_000_000), now).await.debts, [4_900_000_000_u64]);
    assert_eq!(store.take(&asked(-9_000_000, 5_000_000_000), now).await.debts, [5_000_000_000_u64]);
    assert_eq!(store.take(&asked(50, 20_000), now).await.debts, [0_u64]);
}

#[tokio::test]
async fn a_day_is_that_of_the_store_and_what_is_used_of_it_is_never_less_than_anybody_knows() {
    let store = Simulated::start().await;
    let today = 20_833;
    let (start, end) = (today * DAY, (today + 1) * DAY - 1);
    let asked = |believed: Used| Question {
        day: Some(Day { believed, ..day(Some(5), Some(1000)) }),
        ..Question::default()
    };
    let used = |requests, bytes| Used { day: u32::try_from(today).unwrap(), requests, bytes };
    let unknown = Used::default();
    let answer = store.take(&asked(unknown), start).await;
    assert_eq!((answer.is_admitted, answer.used), (true, used(1, 0)));
    // Of another day, which says nothing; and of this one, which does.
    let other = Used { day: 20_832, requests: 5, bytes: 5000 };
    assert_eq!(store.take(&asked(other), start + 1).await.used, used(2, 0));
    assert_eq!(store.take(&asked(used(3, 10)), start + 2).await.used, used(4, 10));
    let moved = |bytes, requests| Settlement {
        day: Some(("a".to_owned(), used(requests, bytes))),
        ..Settlement::default()
    };
    store.settle(&[moved(989, 0), moved(0, 2)], start + 3).await;
    let answer = store.take(&asked(unknown), start + 4).await;
    assert_eq!((answer.is_admitted, answer.used), (true, used(3, 999)));
    store.settle(&[moved(1, 0)], end).await;
    let answer = store.take(&asked(unknown), end).await;
    assert_eq!((answer.is_admitted, answer.used), (false, used(3, 1000)));
    // What only one node knows, all know, though it was refused.
    assert!(!store.take(&asked(used(5, 1000)), end).await.is_admitted);
    assert_eq!(store.take(&asked(unknown), end).await.used, used(5, 1000));
    let answer = store.take(&asked(used(5, 1000)), end + 1).await;
    let tomorrow = Used { day: 20_834, requests: 1, bytes: 0 };
    assert_eq!((answer.is_admitted, answer.used), (true, tomorrow));
    // Of yesterday, and too late; then a clock that goes back, which brings no new day.
    store.settle(&[moved(500, 0)], end + 2).await;
    let answer = store.take(&asked(unknown), end).await;
    assert_eq!(answer.used, Used { requests: 2, ..tomorrow });
}

#[tokio::test]
async fn those_that_run_hold_a_place_each_as_long_as_their_leases_are_renewed() {
    let store = Simulated::start().await;
    let second = 1_000_000;
    let start = 1_800_000_000 * second;
    let take = async |request: &str, own, at| {
        let running = Some(Running { own, ..running(request, 2) });
        let answer = store.take(&Question { running, ..Question::default() }, at).await;
        (answer.is_admitted, answer.running)
    };
    assert_eq!(take("one", 0, start).await, (true, 1));
    assert_eq!(take("two", 0, start + second).await, (true, 2));
    assert_eq!(take("three", 0, start + 2 * second).await, (false, 2));
    let ended = Some(("a".to_owned(), "two".to_owned()));
    store.settle(&[Settlement { ended, ..Settlement::default() }], start + 2 * second).await;
    // The node runs more than the store knows of.
    assert_eq!(take("three", 2, start + 2 * second).await, (false, 2));
    assert_eq!(take("three", 1, start + 2 * second).await, (true, 2));
    // Those of the one are renewed; the other node is dead.
    let lease = Duration::from_secs(15);
    store.renew(&["one"], lease, start + 10 * second).await;
    assert_eq!(take("four", 0, start + 16 * second).await, (false, 2));
    assert_eq!(take("four", 0, start + 17 * second).await, (true, 2));
    // Their leases are over, or Redis forgot them: they run all the same.
    store.renew(&["three", "four"], lease, start + 50 * second).await;
    assert_eq!(take("five", 0, start + 51 * second).await, (false, 2));
    store.ask_redis(&["FLUSHALL"]);
    store.renew(&["three", "four"], lease, start + 52 * second).await;
    assert_eq!(take("five", 0, start + 53 * second).await, (false, 2));
    assert_eq!(take("five", 0, start + 67 * second).await, (true, 1));
    assert_eq!(store.ask_redis(&["ZCARD", "{postern:limits}:running:a"]), "1");
}

/// A clock that is years ahead for a moment, and then is set right.
#[tokio::test]
async fn a_clock_that_was_far_ahead_holds_nobody_for_longer_than_what_it_counted() {
    let store = Simulated::start().await;
    let second = 1_000_000;
    let now = 20_833 * DAY;
    let ahead = now + 4000 * DAY;
    // Told in two ways, for a bucket of more than eleven days is reckoned in another one.
    for (name, interval) in [("key:a", 10_000_000_000), ("key:b", 500_000_000_000_000)] {
        let rate = Rate { name: name.to_owned(), interval, burst: 2, cost: 2, debt: 0 };
        let question = Question { rates: vec![rate], ..Question::default() };
        assert!(store.take(&question, ahead).await.is_admitted);
        let answer = store.take(&question, now).await;
        assert_eq!((answer.is_admitted, answer.debts), (false, vec![2 * interval]), "{name}");
        // It was refused, and yet it comes back from then on.
        let full = now + 2 * interval / 1000;
        assert!(!store.take(&question, full - 1).await.is_admitted, "{name}");
        assert!(store.take(&question, full).await.is_admitted, "{name}");
    }
    let question = Question { day: Some(day(Some(2), None)), ..Question::default() };
    for at in [ahead, ahead + 1] {
        assert!(store.take(&question, at).await.is_admitted);
    }
    let used = |requests| Used { day: 20_833, requests, bytes: 0 };
    let answer = store.take(&question, now).await;
    assert_eq!((answer.is_admitted, answer.used), (false, used(2)), "it counts today");
    let back = Settlement { day: Some(("a".to_owned(), used(1))), ..Settlement::default() };
    store.settle(&[back], now).await;
    assert_eq!(store.take(&question, now).await.used, used(2));
    assert!(!store.take(&question, now).await.is_admitted);
    assert_eq!(store.take(&question, now + DAY).await.used, Used { day: 20_834, ..used(1) });
    let take = async |request: &str, at| {
        let question = Question { running: Some(running(request, 1)), ..Question::default() };
        store.take(&question, at).await.is_admitted
    };
    assert!(take("one", ahead).await);
    assert!(!take("two", now).await, "it may still run");
    assert!(!take("two", now + 14 * second).await);
    assert!(take("two", now + 15 * second).await);
}
