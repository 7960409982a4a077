//! Taking a batch: one transaction, and everything that the batch adds up to in it.
//!
//! Records are put into blocks, one for each key and day of the batch. Small ones are written without pressing: `tidying`
//! makes dense ones of them. One that is big enough to stay is dense at once. Tallies are added up in memory first, so that a
//! batch of ten thousand touches each sum once.

use std::collections::{BTreeMap, HashMap};

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior};

use crate::journal::{Batch, courtesy};
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

/// Reading and writing a sum takes as long as so many records.
const ROWS: usize = 4;

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
    // All at once: records are large, and a list that grows is moved each time.
    let mut records = Vec::with_capacity(batch.len());
    records.extend(batch.records().skip(there).inspect(|_| courtesy::worked(1)));
    if records.len() + there != batch.len() {
        return Err(Fault::damaged(&format!("a batch of the journal (lane {})", batch.lane)));
    }
    let groups = group(&records);
    let numbers = put_blocks(&transaction, &groups)?;
    put_sums(&transaction, &groups, &numbers)?;
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

/// Records of one key, oldest first.
struct Group<'a> {
    practice: &'a str,
    key: &'a str,
    records: Vec<&'a AccessRecord<'a>>,
}

/// By practice and key.
fn group<'a>(records: &'a [AccessRecord<'a>]) -> Vec<Group<'a>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    let mut places: HashMap<(&str, &str), usize> = HashMap::new();
    let mut last = 0;
    for record in records {
        let (practice, key) = (&*record.opening.practice, &*record.opening.key);
        let is_of = |group: &&mut Group<'_>| group.key == key && group.practice == practice;
        if let Some(group) = groups.get_mut(last).filter(is_of) {
            group.records.push(record);
            continue;
        }
        last = *places.entry((practice, key)).or_insert(groups.len());
        match groups.get_mut(last) {
            Some(group) => group.records.push(record),
            None => groups.push(Group { practice, key, records: vec![record] }),
        }
    }
    for group in &mut groups {
        group.records.sort_by_key(|record| (record.opening.ts, record.id));
    }
    groups.sort_unstable_by_key(|group| (group.practice, group.key));
    groups
}

fn put_blocks<'a>(
    transaction: &Transaction<'_>,
    groups: &[Group<'a>],
) -> Result<Numbers<'a>, Fault> {
    let mut numbers = Numbers::default();
    let mut next: BTreeMap<i64, i64> = BTreeMap::new();
    for Group { practice, key, records } in groups {
        let practice = numbers.make(transaction, PRACTICE, practice)?;
        let key = numbers.make(transaction, KEY, key)?;
        let day = |record: &&AccessRecord<'_>| day_of(record.opening.ts);
        for of_day in records.chunk_by(|one, other| day(one) == day(other)) {
            let place = Place { day: of_day.first().map_or(0, day), practice, key };
            let mut id = match next.get(&place.day) {
                Some(id) => *id,
                None => next_id(transaction, place.day)?,
            };
            for chunk in of_day.chunks(MOST) {
                // What is big enough already is never written again.
                let tier = tier_of(chunk.len());
                let density = if tier < 3 { Density::Fresh } else { Density::Dense };
                put(transaction, id, place, tier, &block::encode(chunk, density))?;
                id += 1;
            }
            next.insert(place.day, id);
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
    courtesy::worked(block.count);
    Ok(())
}

fn beginning(moment: Timestamp, length: i64) -> i64 {
    // The beginning of time is not the beginning of an hour.
    moment.as_micros().saturating_sub(moment.as_micros().rem_euclid(length))
}

fn put_sums(
    transaction: &Transaction<'_>,
    groups: &[Group<'_>],
    numbers: &Numbers<'_>,
) -> Result<(), Fault> {
    // Each record is counted once; what is counted then is added up for the day, the practice and everybody.
    let mut hours: BTreeMap<(i64, i64), Tally> = BTreeMap::new();
    for Group { practice, key, records } in groups {
        let whose = [EVERYBODY, numbers.get(PRACTICE, practice), numbers.get(KEY, key)];
        let hour = |record: &&AccessRecord<'_>| beginning(record.opening.ts, HOUR);
        for of_hour in records.chunk_by(|one, other| hour(one) == hour(other)) {
            let mut tally = Tally::default();
            of_hour.iter().for_each(|record| tally.add(record));
            let start = of_hour.first().map_or(0, hour);
            for whose in whose {
                hours.entry((start, whose)).or_default().merge(&tally);
            }
        }
    }
    let mut sums: BTreeMap<(i64, i64, i64), Tally> = BTreeMap::new();
    for ((hour, whose), tally) in hours {
        let day = beginning(Timestamp::from_micros(hour), DAY);
        sums.entry((number_of(Step::Day), day, whose)).or_default().merge(&tally);
        sums.insert((number_of(Step::Hour), hour, whose), tally);
    }
    let mut look = transaction
        .prepare_cached("SELECT tally FROM sums WHERE step = ?1 AND start = ?2 AND whose = ?3")?;
    // Of a table without other indexes, SQLite writes over a row without looking for it first.
    let mut write = transaction.prepare_cached(
        "INSERT OR REPLACE INTO sums (step, start, whose, tally) VALUES (?1, ?2, ?3, ?4)",
    )?;
    for ((step, start, whose), mut sum) in sums {
        let kept: Option<Vec<u8>> =
            look.query_row((step, start, whose), |row| row.get(0)).optional()?;
        if let Some(kept) = kept {
            sum.merge(&tally::decode(&kept).map_err(|error| damaged("a sum", start, &error))?);
        }
        write.execute((step, start, whose, tally::encode(&sum)))?;
        courtesy::worked(ROWS);
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
