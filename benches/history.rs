//! The history at its full size: how fast records are taken, what they take on disk, how long looks take among them.
//!
//! ```text
//! DAYS=90 PER_DAY=1000000 KEYS=1000 cargo bench --bench history
//! ```
//!
//! loads so many days of so many records over so many keys into an embedded store, through `AccessStore::take` in batches
//! of ten thousand a lane and with `expire` as the gateway calls it, and then times looks. `DIR` names where (a temporary
//! directory otherwise; one that has a history already is looked at and not loaded again). `ROUNDS` is how often each look is
//! timed. Defaults are small enough for a cup of tea.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    reason = "a bench that cannot go on shall stop, and says what it found"
)]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use postern::config::StoreAddress;
use postern::journal::Batch;
use postern::model::{Decision, LaneId, Timestamp};
use postern::store::access::{
    AccessStore, ActivityQuery, Filter, StatusFilter, Step, Taken, Whose,
};
use postern::store::{Mode, open_history};

#[path = "history/traffic.rs"]
mod traffic;

use traffic::{DAY, FIRST_DAY, Traffic};

const BATCH: usize = 10_000;
const LANES: u64 = 2;

#[derive(Clone, Copy)]
struct Size {
    days: i64,
    per_day: u64,
    keys: usize,
    rounds: usize,
}

fn setting<T: std::str::FromStr>(name: &str, otherwise: T) -> T {
    let set = std::env::var(name).ok();
    set.map_or(otherwise, |set| set.parse().ok().unwrap())
}

fn main() {
    let size = Size {
        days: setting("DAYS", 3),
        per_day: setting("PER_DAY", 300_000),
        keys: setting("KEYS", 1_000),
        rounds: setting("ROUNDS", 50),
    };
    let temporary = tempfile::TempDir::new().unwrap();
    let directory = std::env::var("DIR").map_or(temporary.path().join("data"), PathBuf::from);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(run(size, &directory));
}

async fn opened(directory: &Path) -> Arc<dyn AccessStore> {
    let address = StoreAddress::Embedded(directory.to_owned());
    open_history(&address, Mode::Sole).await.unwrap()
}

async fn run(size: Size, directory: &Path) {
    let mut traffic = Traffic::new(size.keys);
    let store = opened(directory).await;
    let end = Timestamp::from_micros(FIRST_DAY + size.days * DAY);
    let everybody = [Whose::Everybody];
    let there = store.totals(&everybody, Timestamp::from_micros(0), end).await.unwrap();
    if there[0].requests == 0 {
        load(&*store, &mut traffic, size).await;
    }
    // Closed and opened again, so that the log is in the file.
    drop(store);
    let bytes = std::fs::metadata(directory.join("access.db")).unwrap().len();
    let store = opened(directory).await;
    let total = store.totals(&everybody, Timestamp::from_micros(0), end).await.unwrap();
    let records = total[0].requests;
    println!("on disk: {bytes} bytes for {records} records: {} a record", per(bytes, records));
    look(&*store, size, end).await;
    drop_oldest_day(&*store, &mut traffic, size).await;
}

fn per(sum: u64, count: u64) -> String {
    let hundredths = sum.saturating_mul(100) / count.max(1);
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}

fn a_second(count: u64, took: Duration) -> u128 {
    u128::from(count) * 1_000_000 / took.as_micros().max(1)
}

/// Takes every record, day by day, each lane's in batches; tidies as the gateway does.
async fn load(store: &dyn AccessStore, traffic: &mut Traffic, size: Size) {
    let long_ago = Timestamp::from_micros(0);
    let (mut taking, mut tidying, mut longest) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
    let mut last = [0; LANES as usize];
    for day in 0..size.days {
        let mut taken = 0;
        while taken < size.per_day {
            for lane in 0..LANES {
                let count = (BATCH as u64).min(size.per_day - taken);
                let window = (taken, taken + count * LANES, size.per_day);
                let batch =
                    traffic.batch(LaneId(lane + 1), last[lane as usize], day, window, count);
                let begun = Instant::now();
                assert_eq!(store.take(batch).await.unwrap(), Taken::All);
                longest = longest.max(begun.elapsed());
                taking += begun.elapsed();
                last[lane as usize] += count;
                taken += count;
            }
            let begun = Instant::now();
            // Up to so many rounds between batches, as the shipper does.
            for _ in 0..20 {
                if !store.expire(long_ago, long_ago).await.unwrap().more {
                    break;
                }
            }
            tidying += begun.elapsed();
        }
        let all = size.per_day * (day + 1).unsigned_abs();
        println!(
            "day {}: taken {} a second, with tidying {} a second; longest batch {longest:?}",
            day + 1,
            a_second(all, taking),
            a_second(all, taking + tidying),
        );
    }
    let begun = Instant::now();
    for _ in 0..200 {
        while store.expire(long_ago, long_ago).await.unwrap().more {}
    }
    println!("settled in {:?}", begun.elapsed());
}

/// Median and worst.
fn tell(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let worst = times.last().copied().unwrap_or_default();
    println!("{what}: {:?}, at worst {worst:?} of {}", times[times.len() / 2], times.len());
}

async fn pages(store: &dyn AccessStore, what: &str, queries: impl Iterator<Item = ActivityQuery>) {
    let mut times = Vec::new();
    let mut found = 0;
    for query in queries {
        let begun = Instant::now();
        let page = store.page(&query).await.unwrap();
        times.push(begun.elapsed());
        found += page.records.len();
    }
    tell(&format!("{what} ({found} records found)"), times);
}

async fn look(store: &dyn AccessStore, size: Size, end: Timestamp) {
    let key = |round: usize| Whose::Key(traffic::key_name(round * 7_919 % size.keys).into());
    let all = |whose| ActivityQuery {
        whose,
        from: None,
        to: None,
        filter: Filter::default(),
        after: None,
        limit: 50,
    };
    let rounds = || 0..size.rounds;
    pages(store, "last page of a key", rounds().map(|round| all(key(round)))).await;
    let middle = Timestamp::from_micros(end.as_micros() - size.days * DAY / 2);
    let until = |query: ActivityQuery| ActivityQuery { to: Some(middle), ..query };
    pages(store, "a page of a key in the middle", rounds().map(|round| until(all(key(round)))))
        .await;
    let rare = Filter { status: Some(StatusFilter::Exactly(503)), ..Filter::default() };
    let denied = Filter { decision: Some(Decision::Deny), ..Filter::default() };
    let never = Filter { status: Some(StatusFilter::Exactly(418)), ..Filter::default() };
    for (name, filter) in [("status 503", rare), ("denied", denied), ("status 418", never)] {
        let with = |whose| ActivityQuery { filter: filter.clone(), ..all(whose) };
        let of_key = rounds().map(|round| with(key(round)));
        pages(store, &format!("a key's page of {name}"), of_key).await;
        let of_all = rounds().take(20).map(|_| with(Whose::Everybody));
        pages(store, &format!("everybody's page of {name}"), of_all).await;
    }
    pages(store, "everybody's last page", rounds().map(|_| all(Whose::Everybody))).await;
    pages(store, "everybody's page in the middle", rounds().map(|_| until(all(Whose::Everybody))))
        .await;
    let practice = |round: usize| Whose::Practice(traffic::practice_name(round).into());
    pages(store, "a practice's last page", rounds().map(|round| all(practice(round)))).await;
    let month = Timestamp::from_micros(end.as_micros() - 30 * DAY);
    let mut times = Vec::new();
    for round in rounds() {
        let begun = Instant::now();
        store.usage(&key(round), month, end, Step::Day).await.unwrap();
        times.push(begun.elapsed());
    }
    tell("a month of daily usage", times);
    let whose: Vec<_> = (0..size.keys).map(key).collect();
    let fortnight = Timestamp::from_micros(end.as_micros() - 14 * DAY);
    let begun = Instant::now();
    store.totals(&whose, fortnight, end).await.unwrap();
    println!("totals of {} keys over a fortnight: {:?}", whose.len(), begun.elapsed());
}

/// Deletes a day while small batches go on coming.
async fn drop_oldest_day(store: &dyn AccessStore, traffic: &mut Traffic, size: Size) {
    let until = Timestamp::from_micros(FIRST_DAY + DAY);
    let done = std::cell::Cell::new(false);
    let dropping = async {
        let begun = Instant::now();
        let (mut records, mut rounds) = (0, 0);
        loop {
            let expired = store.expire(until, Timestamp::from_micros(0)).await.unwrap();
            records += expired.records;
            rounds += 1;
            if !expired.more {
                break;
            }
        }
        done.set(true);
        println!(
            "the oldest day, {records} records, dropped in {:?} ({rounds} rounds)",
            begun.elapsed()
        );
    };
    let writing = async {
        let (mut times, mut last) = (Vec::new(), 0);
        while !done.get() {
            let window = (0, 1_000, size.per_day);
            let batch = traffic.batch(LaneId(99), last, size.days, window, 100);
            last += 100;
            let begun = Instant::now();
            store.take(batch).await.unwrap();
            times.push(begun.elapsed());
        }
        tell("a batch of 100 meanwhile", times);
    };
    tokio::join!(dropping, writing);
}

/// A batch that the traffic makes.
type Made = Arc<Batch>;
