//! What is done now and then: small blocks become big ones, old ones go, free pages are given back.
//!
//! Records arrive in blocks of a few, or of as many as a busy key has in a second. A block's tier says how big it is:
//!
//! ```text
//! tier 0   up to 7 records        eight of a tier (and of one key, practice and day) are merged, with all smaller ones,
//!      1   up to 63               into one of the next; of tier 1 only thirty-two, for half a minute of a key with thirty
//!      2   up to 1023             requests a second is big enough to settle then
//!      3   settled: not merged any more, but with late-comers where it has fewer than 1024
//! ```
//!
//! So a record is written two to four times in all, and a key has at most some fifty blocks of today. What is left of a day
//! that is over is settled in a pass of its own, every [`SETTLING`] rounds: late-comers wait for it together. Which day is
//! over is told by records, not by a clock: another one has begun.
//!
//! A round takes about [`SLICE`], so that batches wait no longer than that; whoever asked is told whether to ask again. All
//! of a round is one transaction, and readers see the state before it or after it.
//!
//! What is older than the retention is hidden at once (`page` is told). Of the one day at the edge, whole blocks go when
//! their last record is old, and a block that is old in part is written anew once an hour's worth of it is: not with every
//! record that grows old.
//!
//! The file keeps its free pages for what comes next, and in a steady state that is what they are for. Only where more than
//! a quarter of it is free (the retention was made shorter), pages are given back to the disk, some each round.

use std::time::{Duration, Instant};

use rusqlite::{Connection, Transaction, TransactionBehavior};

use crate::model::{AccessRecord, Timestamp};
use crate::store::access::{Cursor, Expired};
use crate::store::embedded::access::block;
use crate::store::embedded::access::column::Density;
use crate::store::embedded::access::stored::Whole;
use crate::store::embedded::access::tables::{DAY, HOUR, day_of, first_id};
use crate::store::embedded::access::taking::{Place, drop_lanes, next_id, put};
use crate::store::embedded::fault::Fault;

/// Records of a block at most.
pub(super) const MOST: usize = 2_048;
/// Of each tier, before they are merged.
const FAN: [i64; 3] = [8, 32, 8];
/// Where a block is big enough.
const BIG: usize = 1_024;
/// Records that are merged at once at most: some tens of milliseconds.
const AT_ONCE: usize = 8 * MOST;
const SLICE: Duration = Duration::from_millis(50);
/// Rounds between passes over days that are over.
pub(super) const SETTLING: u32 = 64;
/// Blocks, or groups of them, that are looked up at once.
const LOOK: i64 = 256;
/// Entries of unsettled blocks that are looked at in one go.
const SCAN: i64 = 20_000;
/// Pages that are given back in a round, and from how many free ones on.
const GIVEN_BACK: i64 = 512;
const SPARE: i64 = 16_384;

pub(super) fn tier_of(count: usize) -> i64 {
    match count {
        ..8 => 0,
        8..64 => 1,
        64..BIG => 2,
        _ => 3,
    }
}

/// Where the rounds of this process are.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    round: u32,
    settling: bool,
    /// Groups before this one were looked at in this pass.
    from: Option<Group>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Group {
    tier: i64,
    place: Place,
}

/// When a round has to end.
#[derive(Clone, Copy)]
struct End(Instant);

impl End {
    fn is_over(self) -> bool {
        Instant::now() >= self.0
    }
}

pub(super) fn round(
    connection: &mut Connection,
    rounds: &mut Rounds,
    records: Timestamp,
    sums: Timestamp,
) -> Result<Expired, Fault> {
    let end = End(Instant::now() + SLICE);
    rounds.round = rounds.round.wrapping_add(1);
    rounds.settling |= rounds.round.is_multiple_of(SETTLING);
    let mut expired = Expired::default();
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    expired.more |= drop_days(&transaction, records, end, &mut expired.records)?;
    expired.more |= trim_edge(&transaction, records, end, &mut expired.records)?;
    expired.more |= drop_sums(&transaction, sums, end)?;
    drop_lanes(&transaction, records)?;
    expired.more |= merge_tiers(&transaction, rounds, end)?;
    if rounds.settling {
        rounds.settling = settle(&transaction, end)?;
        expired.more |= rounds.settling;
    }
    transaction.commit().map_err(Fault::Committing)?;
    if !end.is_over() {
        expired.more |= give_back(connection)?;
    }
    Ok(expired)
}

/// Each of these says whether there is more to do.
fn drop_days(
    transaction: &Transaction<'_>,
    before: Timestamp,
    end: End,
    dropped: &mut u64,
) -> Result<bool, Fault> {
    let bound = first_id(day_of(before));
    loop {
        let sql = "SELECT max(id), coalesce(sum(count), 0) \
                   FROM (SELECT id, count FROM blocks WHERE id < ?1 ORDER BY id LIMIT 32)";
        let (last, count): (Option<i64>, i64) = transaction
            .prepare_cached(sql)?
            .query_row([bound], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let Some(last) = last else { return Ok(false) };
        if end.is_over() {
            return Ok(true);
        }
        transaction.prepare_cached("DELETE FROM blocks WHERE id <= ?1")?.execute([last])?;
        *dropped += u64::try_from(count).unwrap_or(0);
    }
}

fn trim_edge(
    transaction: &Transaction<'_>,
    before: Timestamp,
    end: End,
    dropped: &mut u64,
) -> Result<bool, Fault> {
    let (day, micros) = (day_of(before), before.as_micros());
    let ids = |sql: &str, bounds: (i64, i64, i64)| -> Result<Vec<(i64, i64)>, Fault> {
        let mut statement = transaction.prepare_cached(sql)?;
        let rows = statement.query_map(bounds, |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    };
    let over = "SELECT id, count FROM blocks WHERE day = ?1 AND last < ?2 LIMIT ?3";
    loop {
        let found = ids(over, (day, micros, LOOK))?;
        if found.is_empty() {
            break;
        }
        for (id, count) in found {
            if end.is_over() {
                return Ok(true);
            }
            transaction.prepare_cached("DELETE FROM blocks WHERE id = ?1")?.execute([id])?;
            *dropped += u64::try_from(count).unwrap_or(0);
        }
    }
    let partly = "SELECT id, tier FROM blocks INDEXED BY blocks_by_time \
                  WHERE day = ?1 AND last >= ?2 AND first < ?3";
    for (id, tier) in ids(partly, (day, micros, micros.saturating_sub(HOUR)))? {
        if end.is_over() {
            return Ok(true);
        }
        *dropped += trim(transaction, id, tier, before)?;
    }
    Ok(false)
}

/// Writes a block anew, without what is old.
fn trim(
    transaction: &Transaction<'_>,
    id: i64,
    tier: i64,
    before: Timestamp,
) -> Result<u64, Fault> {
    let block = Whole::read(transaction, id)?;
    let all: Vec<_> = block.records().collect();
    let kept: Vec<_> = all.iter().filter(|record| record.opening.ts >= before).collect();
    let place = place_of(transaction, id)?;
    transaction.prepare_cached("DELETE FROM blocks WHERE id = ?1")?.execute([id])?;
    if !kept.is_empty() {
        put(transaction, id, place, tier, &block::encode(&kept, Density::Dense))?;
    }
    Ok((all.len() - kept.len()) as u64)
}

fn place_of(connection: &Connection, id: i64) -> Result<Place, Fault> {
    let sql = "SELECT day, practice, key FROM blocks WHERE id = ?1";
    let place = connection.prepare_cached(sql)?.query_row([id], |row| {
        Ok(Place { day: row.get(0)?, practice: row.get(1)?, key: row.get(2)? })
    });
    Ok(place?)
}

fn drop_sums(transaction: &Transaction<'_>, before: Timestamp, end: End) -> Result<bool, Fault> {
    let micros = before.as_micros();
    for step in [1, 2] {
        loop {
            let sql = "SELECT min(start) FROM sums WHERE step = ?1 AND start < ?2";
            let mut statement = transaction.prepare_cached(sql)?;
            let start: Option<i64> = statement.query_row((step, micros), |row| row.get(0))?;
            let Some(start) = start else { break };
            if end.is_over() {
                return Ok(true);
            }
            let sql = "DELETE FROM sums WHERE step = ?1 AND start = ?2";
            transaction.prepare_cached(sql)?.execute((step, start))?;
        }
    }
    let midnight = micros.div_euclid(DAY) + i64::from(micros.rem_euclid(DAY) > 0);
    transaction.prepare_cached("DELETE FROM refusals WHERE day < ?1")?.execute([midnight])?;
    transaction.prepare_cached("DELETE FROM acknowledged WHERE at < ?1")?.execute([micros])?;
    Ok(false)
}

/// Merges where a group has enough blocks of a tier.
fn merge_tiers(
    transaction: &Transaction<'_>,
    rounds: &mut Rounds,
    end: End,
) -> Result<bool, Fault> {
    loop {
        let (full, next) = full_groups(transaction, rounds.from)?;
        for group in &full {
            if end.is_over() {
                rounds.from = Some(*group);
                return Ok(true);
            }
            merge(transaction, group.place, group.tier, false)?;
        }
        rounds.from = next;
        // What was merged may have filled the tier above: looked at once more from the beginning.
        if next.is_none() && full.is_empty() {
            return Ok(false);
        }
        if end.is_over() {
            return Ok(true);
        }
    }
}

/// Groups with enough blocks to merge, of the next ones in order; and where to go on, unless they were the last.
fn full_groups(
    connection: &Connection,
    from: Option<Group>,
) -> Result<(Vec<Group>, Option<Group>), Fault> {
    let sql = "SELECT tier, day, practice, key FROM blocks INDEXED BY blocks_unsettled \
               WHERE tier < 3 AND (tier, day, practice, key) >= (?1, ?2, ?3, ?4) \
               ORDER BY tier, day, practice, key LIMIT ?5";
    let mut statement = connection.prepare_cached(sql)?;
    let from = from.map_or((0, i64::MIN, 0, 0), |Group { tier, place }| {
        (tier, place.day, place.practice, place.key)
    });
    let mut rows = statement.query((from.0, from.1, from.2, from.3, SCAN))?;
    let mut full = Vec::new();
    let (mut current, mut same, mut seen) = (None, 0, 0);
    while let Some(row) = rows.next()? {
        let place = Place { day: row.get(1)?, practice: row.get(2)?, key: row.get(3)? };
        let group = Group { tier: row.get(0)?, place };
        same = if current == Some(group) { same + 1 } else { 1 };
        current = Some(group);
        seen += 1;
        let fan = usize::try_from(group.tier).ok().and_then(|tier| FAN.get(tier));
        if fan == Some(&same) {
            full.push(group);
        }
    }
    Ok((full, current.filter(|_| seen == SCAN)))
}

/// Makes the blocks of a group up to a tier into as few as they fit in. `settled`: as the last word on that day.
fn merge(
    transaction: &Transaction<'_>,
    place: Place,
    tier: i64,
    settled: bool,
) -> Result<(), Fault> {
    let sql = "SELECT id, count FROM blocks WHERE day = ?1 AND key = ?2 AND practice = ?3 \
               AND (tier <= ?4 OR (?5 AND count < ?6)) ORDER BY count, id";
    let big = i64::try_from(BIG).unwrap_or(i64::MAX);
    let bounds = (place.day, place.key, place.practice, tier, settled, big);
    let mut statement = transaction.prepare_cached(sql)?;
    let rows = statement.query_map(bounds, |row| Ok((row.get(0)?, row.get(1)?)))?;
    let (mut ids, mut total) = (Vec::new(), 0);
    for row in rows {
        let (id, count): (i64, i64) = row?;
        total += usize::try_from(count).unwrap_or(0);
        if ids.len() >= 2 && total > AT_ONCE {
            break;
        }
        ids.push(id);
    }
    let blocks: Vec<_> =
        ids.iter().map(|id| Whole::read(transaction, *id)).collect::<Result<_, _>>()?;
    let mut records: Vec<_> = blocks.iter().flat_map(Whole::records).collect();
    records.sort_by_key(Cursor::of);
    let ordered: Vec<&AccessRecord<'_>> = records.iter().collect();
    for id in ids {
        transaction.prepare_cached("DELETE FROM blocks WHERE id = ?1")?.execute([id])?;
    }
    let next = next_id(transaction, place.day)?;
    for (id, chunk) in (next..).zip(ordered.chunks(MOST)) {
        let tier = if settled { 3 } else { tier_of(chunk.len()) };
        put(transaction, id, place, tier, &block::encode(chunk, Density::Dense))?;
    }
    Ok(())
}

/// Merges what days that are over have left in small blocks.
fn settle(transaction: &Transaction<'_>, end: End) -> Result<bool, Fault> {
    let newest: Option<i64> =
        transaction.query_row("SELECT max(day) FROM blocks", [], |row| row.get(0))?;
    let Some(newest) = newest else { return Ok(false) };
    loop {
        let sql = "SELECT day, practice, key FROM blocks INDEXED BY blocks_unsettled \
                   WHERE tier < 3 AND tier = ?1 AND day < ?2 GROUP BY day, practice, key LIMIT ?3";
        let mut places: Vec<Place> = Vec::new();
        for tier in 0..3 {
            let mut statement = transaction.prepare_cached(sql)?;
            let rows = statement.query_map((tier, newest, LOOK), |row| {
                Ok(Place { day: row.get(0)?, practice: row.get(1)?, key: row.get(2)? })
            })?;
            for place in rows {
                places.push(place?);
            }
        }
        places.sort_unstable();
        places.dedup();
        if places.is_empty() {
            return Ok(false);
        }
        for place in places {
            if end.is_over() {
                return Ok(true);
            }
            merge(transaction, place, 2, true)?;
        }
    }
}

fn give_back(connection: &Connection) -> Result<bool, Fault> {
    let number = |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
    let (free, all) = (number("freelist_count")?, number("page_count")?);
    if free < SPARE || free < all / 4 {
        return Ok(false);
    }
    connection.pragma(None, "incremental_vacuum", GIVEN_BACK, |_row| Ok(()))?;
    Ok(true)
}
