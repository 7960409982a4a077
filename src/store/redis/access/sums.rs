//! What records add up to: reading it, and how it is written for `take.lua`.

use std::collections::BTreeMap;

use redis::Pipeline;

use crate::model::usage::{Bucket, Durations};
use crate::model::{AccessRecord, Tally, Timestamp};
use crate::store::StoreError;
use crate::store::access::{RefusalCount, Span, Step, Whose};
use crate::store::redis::access::packed::{self, Packed};
use crate::store::redis::access::{RedisHistory, names};

/// The most that a number of Lua counts exactly.
const MOST: u64 = 1 << 53;
const DAY_FIELD: &str = "day";
/// Between the parts of a refusal's name; in none of them.
const BETWEEN: char = '\u{1f}';

/// An array: six counters, then pairs of a bucket and a count. Nothing at all where there is nothing to count.
pub(super) fn pack(tally: &Tally) -> Packed {
    let Tally { requests, errors, client_errors, denied, bytes_in, bytes_out, durations } = tally;
    if *requests == 0 && durations.0.is_empty() {
        return Packed::default();
    }
    let mut packed = Packed::array(6 + 2 * durations.0.len());
    for count in [requests, errors, client_errors, denied, bytes_in, bytes_out] {
        packed.count((*count).min(MOST));
    }
    for (bucket, count) in &durations.0 {
        packed.count(u64::from(bucket.0));
        packed.count((*count).min(MOST));
    }
    packed
}

/// Of arrays that are one behind the other.
fn read(mut bytes: &[u8]) -> Option<Tally> {
    let mut total = Tally::default();
    while !bytes.is_empty() {
        total.merge(&read_one(&packed::take_counts(&mut bytes)?)?);
    }
    Some(total)
}

fn read_one(counts: &[u64]) -> Option<Tally> {
    let (first, rest) = counts.split_first_chunk::<6>()?;
    let [requests, errors, client_errors, denied, bytes_in, bytes_out] = *first;
    let (pairs, odd) = rest.as_chunks::<2>();
    if !odd.is_empty() {
        return None;
    }
    let mut durations = BTreeMap::new();
    for [bucket, count] in pairs {
        durations.insert(Bucket(u16::try_from(*bucket).ok()?), *count);
    }
    let durations = Durations(durations);
    Some(Tally { requests, errors, client_errors, denied, bytes_in, bytes_out, durations })
}

fn read_of(name: &str, bytes: &[u8]) -> Result<Tally, StoreError> {
    read(bytes).ok_or_else(|| StoreError::Corrupt(format!("a sum in {name} cannot be read")))
}

/// Which refusal it is.
pub(super) fn refusal_field(record: &AccessRecord<'_>) -> String {
    let (opening, code) = (&record.opening, &record.outcome.code);
    format!("{code}{BETWEEN}{}{BETWEEN}{}", opening.category, opening.access)
}

/// The days that have sums and can have something in `from..to`, in order.
async fn days(
    store: &RedisHistory,
    from: Timestamp,
    to: Timestamp,
) -> Result<Vec<i64>, StoreError> {
    let mut question = redis::pipe();
    question.cmd("SMEMBERS").arg(names::SUM_DAYS);
    let (mut days,): (Vec<i64>,) = store.talk.ask(&question).await?;
    days.retain(|day| (names::day_of(from)..=names::day_of(to)).contains(day));
    days.sort_unstable();
    Ok(days)
}

/// From here on sums are told: what is older may be deleted by halves.
async fn kept_from(store: &RedisHistory, from: Timestamp) -> Result<Timestamp, StoreError> {
    let mut question = redis::pipe();
    question.cmd("GET").arg(names::SUMS_EXPIRED);
    let (expired,): (Option<i64>,) = store.talk.ask(&question).await?;
    Ok(expired.map_or(from, |expired| from.max(Timestamp::from_micros(expired))))
}

pub(super) async fn usage(
    store: &RedisHistory,
    whose: &Whose,
    from: Timestamp,
    to: Timestamp,
    step: Step,
) -> Result<Vec<Span>, StoreError> {
    let from = kept_from(store, from).await?;
    let whose = names::of(whose);
    let mut spans = Vec::new();
    let together = match step {
        Step::Hour => names::AT_ONCE / 24,
        Step::Day => names::AT_ONCE,
    };
    for days in days(store, from, to).await?.chunks(together) {
        let sums: Vec<_> = days.iter().map(|day| names::sum(*day, &whose)).collect();
        let mut question = redis::pipe();
        for name in &sums {
            match step {
                Step::Hour => question.cmd("HGETALL").arg(name),
                Step::Day => question.cmd("HMGET").arg(name).arg(DAY_FIELD),
            };
        }
        let found: Vec<Vec<(i64, Vec<u8>)>> = match step {
            Step::Hour => hours_of(store, &question).await?,
            Step::Day => days_of(store, &question).await?,
        };
        for ((day, name), found) in days.iter().zip(&sums).zip(found) {
            for (hour, bytes) in found {
                let start = names::start_of_hour(day.saturating_mul(24).saturating_add(hour));
                if (from..to).contains(&start) {
                    spans.push(Span { start, tally: read_of(name, &bytes)? });
                }
            }
        }
    }
    Ok(spans)
}

type Packs = Vec<Vec<(i64, Vec<u8>)>>;

async fn hours_of(store: &RedisHistory, question: &Pipeline) -> Result<Packs, StoreError> {
    let found: Vec<Vec<(String, Vec<u8>)>> = store.talk.ask(question).await?;
    let of_day = |found: Vec<(String, Vec<u8>)>| {
        let hours = found.into_iter();
        let mut hours: Vec<_> =
            hours.filter_map(|(hour, bytes)| Some((hour.parse().ok()?, bytes))).collect();
        hours.sort_unstable_by_key(|(hour, _)| *hour);
        hours
    };
    Ok(found.into_iter().map(of_day).collect())
}

async fn days_of(store: &RedisHistory, question: &Pipeline) -> Result<Packs, StoreError> {
    let found: Vec<(Option<Vec<u8>>,)> = store.talk.ask(question).await?;
    Ok(found.into_iter().map(|(day,)| day.map(|bytes| (0, bytes)).into_iter().collect()).collect())
}

pub(super) async fn totals(
    store: &RedisHistory,
    whose: &[Whose],
    from: Timestamp,
    to: Timestamp,
) -> Result<Vec<Tally>, StoreError> {
    let from = kept_from(store, from).await?;
    let mut days = days(store, from, to).await?;
    days.retain(|day| (from..to).contains(&names::start_of_day(*day)));
    let mut totals = vec![Tally::default(); whose.len()];
    let all = whose.iter().map(names::of).enumerate();
    let all: Vec<_> = all
        .flat_map(|(place, whose)| days.iter().map(move |day| (place, names::sum(*day, &whose))))
        .collect();
    for some in all.chunks(names::AT_ONCE) {
        let mut question = redis::pipe();
        for (_, name) in some {
            question.cmd("HGET").arg(name).arg(DAY_FIELD);
        }
        let found: Vec<Option<Vec<u8>>> = store.talk.ask(&question).await?;
        for ((place, name), bytes) in some.iter().zip(found) {
            if let (Some(total), Some(bytes)) = (totals.get_mut(*place), bytes) {
                total.merge(&read_of(name, &bytes)?);
            }
        }
    }
    Ok(totals)
}

pub(super) async fn refusals(
    store: &RedisHistory,
    whose: &Whose,
    from: Timestamp,
    to: Timestamp,
) -> Result<Vec<RefusalCount>, StoreError> {
    let from = kept_from(store, from).await?;
    let whose = names::of(whose);
    let mut days = days(store, from, to).await?;
    days.retain(|day| (from..to).contains(&names::start_of_day(*day)));
    let mut refusals = Vec::new();
    for days in days.chunks(names::AT_ONCE / 10) {
        let mut question = redis::pipe();
        for day in days {
            question.cmd("HGETALL").arg(names::refused(*day, &whose));
        }
        let found: Vec<BTreeMap<String, u64>> = store.talk.ask(&question).await?;
        for (day, found) in days.iter().zip(found) {
            let day = names::start_of_day(*day);
            let mut of_day: Vec<_> =
                found.iter().filter_map(|(what, count)| refusal(day, what, *count)).collect();
            of_day.sort_unstable_by(|one, other| {
                (&one.code, &one.category, &one.access).cmp(&(
                    &other.code,
                    &other.category,
                    &other.access,
                ))
            });
            refusals.extend(of_day);
        }
    }
    Ok(refusals)
}

fn refusal(day: Timestamp, what: &str, count: u64) -> Option<RefusalCount> {
    let mut parts = what.split(BETWEEN).map(Box::from);
    let (code, category, access) = (parts.next()?, parts.next()?, parts.next()?);
    (count > 0).then_some(RefusalCount { day, code, category, access, count })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_one_behind_the_other_are_read_as_one() {
        let one = Tally {
            requests: 3,
            bytes_out: u64::MAX,
            durations: Durations([(Bucket(9), 2), (Bucket(700), 1)].into()),
            ..Tally::default()
        };
        let other = Tally {
            requests: 1,
            denied: 1,
            durations: Durations([(Bucket(9), 1)].into()),
            ..Tally::default()
        };
        let both = [pack(&one).bytes(), pack(&other).bytes()].concat();
        let mut expected = Tally { bytes_out: MOST, ..one };
        expected.merge(&other);
        assert_eq!(read(&both), Some(expected));
        assert_eq!(read(&both[..both.len() - 1]), None);
        assert_eq!(pack(&Tally::default()).bytes(), b"");
        let mut odd = Packed::array(7);
        (0..7).for_each(|count| odd.count(count));
        assert_eq!(read(odd.bytes()), None);
    }
}
