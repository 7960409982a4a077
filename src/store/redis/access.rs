//! Access records in Redis: a stream that others may read, an index of it by key and time, and sums.
//!
//! # The layout
//!
//! The stream is `postern:access`, as the contract says. Every other name begins with `{postern:access}:`, which hashes to the
//! same slot: in a cluster all of it is on one primary, perhaps another one than the registry. Nothing has a time to live, so
//! no `volatile-*` policy can drop any of it. *WHOSE* is `e` (everybody), `p:PRACTICE` or `k:KEY`; hours, minutes and days
//! are counted since 1970, in UTC.
//!
//! | key | kind | holds |
//! | --- | --- | --- |
//! | `postern:access` | stream | the records: fields of the names of `AccessRecord::FIELDS` (and `count` where it is more than 1), numbers as decimal text, `ts` as RFC 3339, `upstream_us` empty where unknown. Ids are Redis's own |
//! | `{…}:lanes` | hash | lane → the number of its last record in the stream; `last` → the last id written |
//! | `{…}:counted` | hash | lane → the number of the last record that the sums have; `last` → the last id written; `lost`, where the stream was lost once, and `in:LANE` → the number of its last record in the stream since then |
//! | `{…}:over` | hash | lane → microseconds since 1970, by the clock of Redis: since when it is over. Its numbers go with the records of that time |
//! | `{…}:at:HOUR:WHOSE` | string | the index: 15 bytes for each record of that hour, see `index` |
//! | `{…}:minute:MINUTE:WHOSE` | string | the same of a minute: where the string of its hour is [`names::LONGEST`] and grows no more |
//! | `{…}:hours:WHOSE` | hash | day → a bit for each hour that has an index |
//! | `{…}:sum:DAY:WHOSE` | hash | `0` to `23` and `day` → what the records of that hour, or of the day, add up to: MessagePack arrays, one behind the other and each to be added, of requests, errors, client errors, denied, bytes in, bytes out, and pairs of a bucket of durations and its count |
//! | `{…}:refused:DAY:WHOSE` | hash | code, category and access with 1F between them → how often that was refused |
//! | `{…}:days`, `{…}:sum-days` | sets | the days that have an index, and sums |
//! | `{…}:on:DAY`, `{…}:sums-on:DAY` | sets | of whom there are, on that day |
//! | `{…}:expired`, `{…}:sums-expired` | strings | microseconds since 1970: records, or sums, that are older are told no more |
//! | `{…}:acknowledged` | hash | alert → who took note of it, and when (JSON) |
//!
//! # What holds
//!
//! - **Once.** A piece of a batch is written by one script (`take.lua`): the entries, the index, the sums and the number of
//!   the lane, whole or not at all, and Redis logs and replicates it as one transaction. It begins where the lane is, or is
//!   refused. So a piece whose answer was lost is simply sent again, and a Redis that went back (a failover before the replica
//!   had it, the lost tail of an AOF, an old snapshot) says where it is and is caught up from there.
//! - **Lost on one side.** `last` is the last id that was written. Where the stream has not given it out, it was taken away
//!   (evicted, deleted): all lanes are at 0 then, and whatever the journals still have comes again. What `counted` has is
//!   not counted again. Where the lanes alone are gone, they are what was counted, or what
//!   came since the stream was lost (`in:LANE`). Sums that were evicted stay lost: nothing
//!   has them twice.
//! - **Redis is kept for milliseconds.** A piece has at most [`take::PIECE`] records.
//! - A record is told by its index, and only where the stream still has it and it is the one that the index means.
//! - **Order.** Entries of the stream are in the order of their arrival; the index gives them in the order of time.

use std::sync::Arc;

use tokio_rustls::rustls::RootCertStore;

use crate::config::RedisAddress;
use crate::journal::Batch;
use crate::model::{LaneId, Tally, Timestamp};
use crate::store::access::{
    AccessStore, Acknowledged, ActivityQuery, Expired, Page, RefusalCount, Span, Step, Taken, Whose,
};
use crate::store::redis::door::Door;
use crate::store::redis::line::Line;
use crate::store::redis::{concerns, greet, refuse_reader, script};
use crate::store::{Mode, StoreError, Task};

mod alerts;
mod expire;
mod fields;
mod index;
mod names;
mod packed;
mod page;
mod sums;
mod take;
mod worth;

use worth::Copies;

const MARK_OVER: &str = include_str!("access/over.lua");

#[derive(Debug)]
pub(super) struct RedisHistory {
    mode: Mode,
    talk: Line,
    /// For records, and the wait for their replicas: a question need not wait behind them.
    writes: Line,
    copies: Copies,
}

/// Connects, so that a wrong address or password is found at the start.
pub(in crate::store) async fn open_history(
    address: &RedisAddress,
    mode: Mode,
) -> Result<Arc<dyn AccessStore>, StoreError> {
    Ok(Arc::new(RedisHistory::open(address, mode, None).await?))
}

impl RedisHistory {
    async fn open(
        address: &RedisAddress,
        mode: Mode,
        roots: Option<RootCertStore>,
    ) -> Result<Self, StoreError> {
        let door = Arc::new(Door::new(address, mode, roots)?.that_leads_to(names::STREAM));
        let store = Self {
            mode,
            talk: Line::new(Arc::clone(&door)),
            writes: Line::new(door),
            copies: Copies::default(),
        };
        greet(&store.talk, names::STREAM).await?;
        Ok(store)
    }

    fn must_write(&self) -> Result<(), StoreError> {
        refuse_reader(self.mode)
    }

    async fn lanes_of(&self, lanes: &[LaneId]) -> Result<Vec<u64>, StoreError> {
        let mut numbers = Vec::with_capacity(lanes.len());
        for piece in lanes.chunks(names::AT_ONCE) {
            let mut call = script::whole_call(script::LANES, &names::OF_LANES);
            for lane in piece {
                call.arg(lane.to_string());
            }
            let (told,): (Vec<u64>,) = self.talk.ask(redis::pipe().add_command(call)).await?;
            numbers.extend(told);
        }
        Ok(numbers)
    }

    async fn skip_records(&self, lane: LaneId, upto: u64) -> Result<(), StoreError> {
        self.must_write()?;
        let mut call = script::call(&script::SKIP, &names::OF_LANES);
        call.arg(lane.to_string()).arg(upto);
        Ok(self.writes.ask::<()>(redis::pipe().add_command(call).ignore()).await?)
    }

    async fn forget_lanes(&self, lanes: &[LaneId]) -> Result<(), StoreError> {
        self.must_write()?;
        for piece in lanes.chunks(names::AT_ONCE) {
            let mut call = script::whole_call(MARK_OVER, &[names::OVER]);
            for lane in piece {
                call.arg(lane.to_string());
            }
            self.talk.ask::<()>(redis::pipe().add_command(call).ignore()).await?;
        }
        Ok(())
    }
}

impl AccessStore for RedisHistory {
    fn lanes<'a>(&'a self, lanes: &'a [LaneId]) -> Task<'a, Vec<u64>> {
        Box::pin(self.lanes_of(lanes))
    }

    fn take(&self, batch: Arc<Batch>) -> Task<'_, Taken> {
        Box::pin(async move { take::take(self, &batch).await })
    }

    fn skip(&self, lane: LaneId, upto: u64) -> Task<'_, ()> {
        Box::pin(self.skip_records(lane, upto))
    }

    fn forget<'a>(&'a self, lanes: &'a [LaneId]) -> Task<'a, ()> {
        Box::pin(self.forget_lanes(lanes))
    }

    fn page<'a>(&'a self, query: &'a ActivityQuery) -> Task<'a, Page> {
        Box::pin(page::page(self, query))
    }

    fn usage<'a>(
        &'a self,
        whose: &'a Whose,
        from: Timestamp,
        to: Timestamp,
        step: Step,
    ) -> Task<'a, Vec<Span>> {
        Box::pin(sums::usage(self, whose, from, to, step))
    }

    fn totals<'a>(
        &'a self,
        whose: &'a [Whose],
        from: Timestamp,
        to: Timestamp,
    ) -> Task<'a, Vec<Tally>> {
        Box::pin(sums::totals(self, whose, from, to))
    }

    fn refusals<'a>(
        &'a self,
        whose: &'a Whose,
        from: Timestamp,
        to: Timestamp,
    ) -> Task<'a, Vec<RefusalCount>> {
        Box::pin(sums::refusals(self, whose, from, to))
    }

    fn expire(&self, records: Timestamp, sums: Timestamp) -> Task<'_, Expired> {
        Box::pin(expire::expire(self, records, sums))
    }

    fn acknowledge(&self, alert: Acknowledged) -> Task<'_, ()> {
        Box::pin(alerts::acknowledge(self, alert))
    }

    fn acknowledged<'a>(&'a self, alerts: &'a [Box<str>]) -> Task<'a, Vec<Acknowledged>> {
        Box::pin(alerts::acknowledged(self, alerts))
    }

    fn concerns(&self) -> Task<'_, Vec<String>> {
        Box::pin(concerns::of_records(&self.talk))
    }
}

#[cfg(test)]
mod tests;
