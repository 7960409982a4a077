//! Growing old: records and their index go after their retention, sums after theirs.
//!
//! What is older than it may be is told no more from the first call on; it is deleted piece by piece. The stream is trimmed
//! from its head: an old entry behind a young one (of a node that could not ship for long) waits until that one is old, too.
//! What a consumer group has not confirmed stays, up to twice the retention; `postern:access` has more than is told then.
//!
//! Nothing that Redis believes to be young goes, whatever the caller's clock says.

use std::time::Duration;

use crate::model::Timestamp;
use crate::store::StoreError;
use crate::store::access::Expired;
use crate::store::redis::access::{RedisHistory, alerts, names};
use crate::store::redis::fault::Kind;
use crate::store::redis::script;

/// Entries that one call of `trim.lua` looks at: some milliseconds of Redis's time.
const ENTRIES: usize = 300;
/// Calls of a script in one round.
const CALLS: usize = 10;
/// Of how many the index, or the sums, of a day go in one call of `drop.lua`.
const SOME: usize = 40;
/// So far in the future a record may be. What is further is of a clock that was wrong.
const BELIEVED: Duration = Duration::from_secs(24 * 3600);
const FORGET: &str = include_str!("forget.lua");

pub(super) async fn expire(
    store: &RedisHistory,
    records: Timestamp,
    sums: Timestamp,
) -> Result<Expired, StoreError> {
    store.must_write()?;
    let now = time(store).await?;
    let (records, sums) = (records.min(now), sums.min(now));
    let mut expired = trim(store, records, now).await?;
    forget_lanes(store, records).await?;
    let index = Daily { what: "index", days: names::DAYS, on: names::on };
    let summed = Daily { what: "sums", days: names::SUM_DAYS, on: names::sums_on };
    expired.more |= index.drop(store, records).await?;
    expired.more |= summed.drop(store, sums).await?;
    if !expired.more {
        alerts::forget_before(store, sums).await?;
    }
    let mut told_from = redis::pipe();
    told_from.cmd("SET").arg(names::EXPIRED).arg(records.as_micros()).ignore();
    told_from.cmd("SET").arg(names::SUMS_EXPIRED).arg(sums.as_micros()).ignore();
    match store.talk.ask::<()>(&told_from).await {
        // Its memory is full, so it deletes and writes nothing. Deleting must go on then above all.
        Err(trouble) if trouble.kind == Kind::Later => {
            tracing::debug!(error = trouble.text, "old access records go, and are told until then");
        }
        outcome => outcome?,
    }
    Ok(expired)
}

/// As Redis has it.
async fn time(store: &RedisHistory) -> Result<Timestamp, StoreError> {
    let mut question = redis::pipe();
    question.cmd("TIME");
    let ((seconds, micros),): ((u64, u64),) = store.talk.ask(&question).await?;
    Ok(Timestamp::default()
        .after(Duration::from_secs(seconds))
        .after(Duration::from_micros(micros)))
}

/// Before this, entries go whoever has not confirmed them: twice as long ago as `records`.
fn cap(records: Timestamp, now: Timestamp) -> Timestamp {
    let age = i64::try_from(now.since(records).as_micros()).unwrap_or(i64::MAX);
    if age == 0 {
        // No retention is that short: the caller's clock is ahead, and how long is twice as long is not known.
        return Timestamp::default();
    }
    Timestamp::from_micros(records.as_micros().saturating_sub(age))
}

async fn forget_lanes(store: &RedisHistory, before: Timestamp) -> Result<(), StoreError> {
    let mut call = script::whole_call(FORGET, &[names::LANES, names::COUNTED, names::OVER]);
    call.arg(before.as_micros());
    Ok(store.talk.ask::<()>(redis::pipe().add_command(call).ignore()).await?)
}

async fn trim(
    store: &RedisHistory,
    records: Timestamp,
    now: Timestamp,
) -> Result<Expired, StoreError> {
    let cap = cap(records, now);
    let believed = now.after(BELIEVED);
    let mut expired = Expired::default();
    for _ in 0..CALLS {
        let mut call = script::call(&script::TRIM, &[names::STREAM]);
        call.arg(records.to_string()).arg(cap.to_string()).arg(ENTRIES);
        call.arg(believed.to_string()).arg(records.as_micros() / 1000).arg(cap.as_micros() / 1000);
        let answer = store.talk.ask(redis::pipe().add_command(call)).await?;
        let ((gone, more, held_back),): ((u64, u8, u64),) = answer;
        expired = Expired { records: expired.records + gone, more: more == 1, held_back };
        if !expired.more {
            break;
        }
    }
    Ok(expired)
}

/// Something that is kept by day.
struct Daily {
    what: &'static str,
    days: &'static str,
    /// The set of those who have it on a day.
    on: fn(i64) -> String,
}

impl Daily {
    /// Deletes some of it, of days that were over at that time. Gives back whether there is more to delete.
    async fn drop(&self, store: &RedisHistory, time: Timestamp) -> Result<bool, StoreError> {
        let mut question = redis::pipe();
        question.cmd("SMEMBERS").arg(self.days);
        let (mut days,): (Vec<i64>,) = store.talk.ask(&question).await?;
        days.retain(|day| *day < names::day_of(time));
        days.sort_unstable();
        let mut days = days.into_iter().peekable();
        for _ in 0..CALLS {
            let Some(day) = days.peek() else { return Ok(false) };
            let on = (self.on)(*day);
            let mut call = script::call(&script::DROP, &[self.days, &on]);
            call.arg(self.what).arg(*day).arg(SOME).arg(names::LONGEST);
            let (left,): (u64,) = store.talk.ask(redis::pipe().add_command(call)).await?;
            if left == 0 {
                days.next();
            }
        }
        Ok(days.peek().is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_group_has_not_confirmed_is_never_capped_by_a_clock_that_is_ahead() {
        let at = Timestamp::from_micros;
        assert_eq!(cap(at(700), at(1_000)), at(400));
        assert_eq!(cap(at(1_000), at(1_000)), at(0));
        assert_eq!(cap(at(1_500), at(1_000)), at(0));
    }
}
