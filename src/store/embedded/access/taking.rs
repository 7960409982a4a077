//! Taking a batch: one transaction, and everything that the batch adds up to in it.
//!
//! Records are put into small blocks, one for each key and day of the batch, written without pressing: `tidying` makes dense
//! ones of them. Tallies are added up in memory first, so that a batch of ten thousand touches each sum once.

use std::collections::{BTreeMap, HashMap};

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior};

use crate::journal::Batch;
use crate::model::{AccessRecord, Decision, LaneId, Tally, Timestamp};
use crate::store::access::{Step, Taken};
use crate::store::embedded::access::block::{self, Block};
use crate::store::embedded::access::column::Density;
use crate::store::embedded::access::tables::{
    DAY, EVERYBODY, HOUR, KEY, PRACTICE, day_of, first_id, number_of, number_of_name,
};
use crate::store::embedded::access::tidying::{MOST, tier_of};
use crate::store::embedded::access::{damaged, tally};
use crate::store::embedded::fault::Fault;

pub(super) fn last_of(connection: &Connection, lane: LaneId) -> Result<u64, Fault> {
    let mut statement = connection.prepare_cached("SELECT last FROM lanes WHERE lane = ?1")?;
    let last =
        statement.query_row([lane.0.cast_signed()], |row| row.get::<_, i64>(0)).optional()?;
    u64::try_from(last.unwrap_or(0)).map_err(|_negative| Fault::damaged("the number of a lane"))
}

/// Their numbers stay as long as their records may.
pub(super) fn forget(
    connection: &mut Connection,
    lanes: &[LaneId],
    now: Timestamp,
) -> Result<(), Fault> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for lane in lanes {
        let sql = "UPDATE lanes SET over = ?2 WHERE lane = ?1";
        transaction.prepare_cached(sql)?.execute((lane.0.cast_signed(), now.as_micros()))?;
    }
    transaction.commit().map_err(Fault::Committing)
}

/// Numbers of lanes that were over before that.
pub(super) fn drop_lanes(transaction: &Transaction<'_>, before: Timestamp) -> Result<(), Fault> {
    let sql = "DELETE FROM lanes WHERE over < ?1";
    transaction.prepare_cached(sql)?.execute([before.as_micros()])?;
    Ok(())
}

/// Nobody has the records up to there any more. Never takes a lane back.
pub(super) fn skip(connection: &mut Connection, lane: LaneId, upto: u64) -> Result<(), Fault> {
    let upto = i64::try_from(upto).map_err(|_error| Fault::damaged("the number of a record"))?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let sql = "INSERT INTO lanes (lane, last) VALUES (?1, ?2) \
               ON CONFLICT (lane) DO UPDATE SET last = max(last, excluded.last), over = NULL";
    transaction.prepare_cached(sql)?.execute((lane.0.cast_signed(), upto))?;
    transaction.commit().map_err(Fault::Committing)
}

pub(super) fn take(connection: &mut Connection, batch: &Batch) -> Result<Taken, Fault> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let last = last_of(&transaction, batch.lane)?;
    if last < batch.after {
        return Ok(Taken::Behind(last));
    }
    if last >= batch.last() {
        return Ok(Taken::All);
    }
    let there = usize::try_from(last - batch.after).unwrap_or(usize::MAX);
    let records: Vec<_> = batch.records().skip(there).collect();
    if records.len() + there != batch.len() {
        return Err(Fault::damaged(&format!("a batch of the journal (lane {})", batch.lane)));
    }
    let numbers = put_blocks(&transaction, &records)?;
    put_sums(&transaction, &records, &numbers)?;
    put_refusals(&transaction, &records, &numbers)?;
    let upto =
        i64::try_from(batch.last()).map_err(|_error| Fault::damaged("the number of a record"))?;
    let sql = "INSERT INTO lanes (lane, last) VALUES (?1, ?2) \
               ON CONFLICT (lane) DO UPDATE SET last = excluded.last, over = NULL";
    transaction.prepare_cached(sql)?.execute((batch.lane.0.cast_signed(), upto))?;
    transaction.commit().map_err(Fault::Committing)?;
    Ok(Taken::All)
}

/// The numbers of practices and keys, by their names.
#[derive(Default)]
struct Numbers<'a>(HashMap<(i64, &'a str), i64>);

impl<'a> Numbers<'a> {
    fn make(
        &mut self,
        transaction: &Transaction<'_>,
        kind: i64,
        name: &'a str,
    ) -> Result<i64, Fault> {
        if let Some(number) = self.0.get(&(kind, name)) {
            return Ok(*number);
        }
        let number = match number_of_name(transaction, kind, name)? {
            Some(number) => number,
            None => {
                let sql = "INSERT INTO names (kind, name) VALUES (?1, ?2)";
                transaction.prepare_cached(sql)?.execute((kind, name))?;
                transaction.last_insert_rowid()
            }
        };
        self.0.insert((kind, name), number);
        Ok(number)
    }

    /// Of a name that was made.
    fn get(&self, kind: i64, name: &str) -> i64 {
        self.0.get(&(kind, name)).copied().unwrap_or(EVERYBODY)
    }
}

fn put_blocks<'a>(
    transaction: &Transaction<'_>,
    records: &'a [AccessRecord<'a>],
) -> Result<Numbers<'a>, Fault> {
    let mut groups: BTreeMap<(i64, &str, &str), Vec<&AccessRecord<'_>>> = BTreeMap::new();
    for record in records {
        let opening = &record.opening;
        let group = (day_of(opening.ts), &*opening.practice, &*opening.key);
        groups.entry(group).or_default().push(record);
    }
    let mut numbers = Numbers::default();
    let mut next = (i64::MIN, 0);
    for ((day, practice, key), mut group) in groups {
        group.sort_by_key(|record| (record.opening.ts, record.id));
        if next.0 != day {
            next = (day, next_id(transaction, day)?);
        }
        let place = Place {
            day,
            practice: numbers.make(transaction, PRACTICE, practice)?,
            key: numbers.make(transaction, KEY, key)?,
        };
        for chunk in group.chunks(MOST) {
            let block = block::encode(chunk, Density::Fresh);
            put(transaction, next.1, place, tier_of(chunk.len()).min(2), &block)?;
            next.1 += 1;
        }
    }
    Ok(numbers)
}

/// Whose block it is, and of which day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) day: i64,
    pub(super) practice: i64,
    pub(super) key: i64,
}

pub(super) fn next_id(connection: &Connection, day: i64) -> Result<i64, Fault> {
    let sql = "SELECT max(id) FROM blocks WHERE id >= ?1 AND id < ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let bounds = (first_id(day), first_id(day + 1));
    let last: Option<i64> = statement.query_row(bounds, |row| row.get(0))?;
    Ok(last.map_or(bounds.0, |last| last + 1))
}

pub(super) fn put(
    connection: &Connection,
    id: i64,
    place: Place,
    tier: i64,
    block: &Block,
) -> Result<(), Fault> {
    let sql = "INSERT INTO blocks (id, day, practice, key, tier, count, first, last, marks, words, places, facts, rest) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)";
    let count = i64::try_from(block.count).unwrap_or(i64::MAX);
    connection.prepare_cached(sql)?.execute((
        id,
        place.day,
        place.practice,
        place.key,
        tier,
        count,
        block.first.as_micros(),
        block.last.as_micros(),
        block.marks.marks,
        block.marks.words,
        &block.places,
        &block.facts,
        &block.rest,
    ))?;
    Ok(())
}

fn beginning(moment: Timestamp, length: i64) -> i64 {
    // The beginning of time is not the beginning of an hour.
    moment.as_micros().saturating_sub(moment.as_micros().rem_euclid(length))
}

fn put_sums(
    transaction: &Transaction<'_>,
    records: &[AccessRecord<'_>],
    numbers: &Numbers<'_>,
) -> Result<(), Fault> {
    // Each record is counted once; what is counted then is added up for the day, the practice and everybody.
    let mut hours: HashMap<(i64, &str, &str), Tally> = HashMap::new();
    for record in records {
        let opening = &record.opening;
        let of = (beginning(opening.ts, HOUR), &*opening.practice, &*opening.key);
        hours.entry(of).or_default().add(record);
    }
    let mut sums: BTreeMap<(i64, i64, i64), Tally> = BTreeMap::new();
    for ((hour, practice, key), tally) in hours {
        let day = beginning(Timestamp::from_micros(hour), DAY);
        for whose in [EVERYBODY, numbers.get(PRACTICE, practice), numbers.get(KEY, key)] {
            for (step, start) in [(Step::Hour, hour), (Step::Day, day)] {
                sums.entry((number_of(step), start, whose)).or_default().merge(&tally);
            }
        }
    }
    let mut look = transaction
        .prepare_cached("SELECT tally FROM sums WHERE step = ?1 AND start = ?2 AND whose = ?3")?;
    let mut write = transaction.prepare_cached(
        "INSERT INTO sums (step, start, whose, tally) VALUES (?1, ?2, ?3, ?4) \
         ON CONFLICT (step, start, whose) DO UPDATE SET tally = excluded.tally",
    )?;
    for ((step, start, whose), mut sum) in sums {
        let kept: Option<Vec<u8>> =
            look.query_row((step, start, whose), |row| row.get(0)).optional()?;
        if let Some(kept) = kept {
            sum.merge(&tally::decode(&kept).map_err(|error| damaged("a sum", start, &error))?);
        }
        write.execute((step, start, whose, tally::encode(&sum)))?;
    }
    Ok(())
}

fn put_refusals(
    transaction: &Transaction<'_>,
    records: &[AccessRecord<'_>],
    numbers: &Numbers<'_>,
) -> Result<(), Fault> {
    let mut counts: BTreeMap<_, u64> = BTreeMap::new();
    for AccessRecord { opening, outcome, .. } in records {
        if outcome.decision == Decision::Deny && !opening.key.is_empty() {
            let what = (&*outcome.code, &*opening.category, &*opening.access);
            let of = (day_of(opening.ts), &*opening.key, &*opening.practice, what);
            let counted = counts.entry(of).or_default();
            *counted = counted.saturating_add(u64::from(outcome.count));
        }
    }
    let mut write = transaction.prepare_cached(
        "INSERT INTO refusals (day, key, practice, code, category, access, count) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) \
         ON CONFLICT (day, key, practice, code, category, access) DO UPDATE SET count = count + excluded.count",
    )?;
    for ((day, key, practice, (code, category, access)), count) in counts {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        let (key, practice) = (numbers.get(KEY, key), numbers.get(PRACTICE, practice));
        write.execute((day, key, practice, code, category, access, count))?;
    }
    Ok(())
}
