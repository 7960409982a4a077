//! Taking a batch: in pieces, each by one call of `take.lua`.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use redis::Cmd;

use crate::journal::Batch;
use crate::model::{AccessRecord, Decision, Tally};
use crate::store::StoreError;
use crate::store::access::Taken;
use crate::store::redis::access::packed::Packed;
use crate::store::redis::access::{RedisHistory, fields, index, names, sums, worth};
use crate::store::redis::fault::Trouble;
use crate::store::redis::line::COMMAND;
use crate::store::redis::script;

/// Records in one call: it keeps Redis for some milliseconds, and nobody else is answered meanwhile.
pub(super) const PIECE: usize = 500;
/// The same in bytes, for records that are long.
const PIECE_BYTES: usize = 256 * 1024;
/// Calls that are sent together. Redis answers others between two of them.
const TOGETHER: usize = 8;
/// More than a healthy Redis needs for all of them.
const PATIENCE: Duration = COMMAND.saturating_mul(2);

/// Where a lane is: the last record in the stream, and the last one that was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stand {
    have: u64,
    counted: u64,
}

pub(super) async fn take(store: &RedisHistory, batch: &Batch) -> Result<Taken, StoreError> {
    store.must_write()?;
    if batch.is_empty() {
        let known = store.lanes_of(&[batch.lane]).await?.first().copied().unwrap_or(0);
        return Ok(if known < batch.after { Taken::Behind(known) } else { Taken::All });
    }
    // Mostly it is where the batch begins; where not, it says so.
    let mut stand = Stand { have: batch.after, counted: batch.after };
    loop {
        let reached = offer(store, batch, stand).await?;
        if reached.have >= batch.last() {
            worth::say(store).await;
            return Ok(Taken::All);
        }
        if reached.have < batch.after {
            return Ok(Taken::Behind(reached.have));
        }
        if reached == stand {
            let text = format!("Redis does not take records of the lane {}", batch.lane);
            return Err(StoreError::Corrupt(text));
        }
        stand = reached;
    }
}

/// Sends what the store has not got, as far as it is where we believe it to be; gives back where it is then.
async fn offer(store: &RedisHistory, batch: &Batch, stand: Stand) -> Result<Stand, StoreError> {
    let mut reached = stand;
    let calls = calls(batch, stand);
    for some in calls.chunks(TOGETHER) {
        let mut question = redis::pipe();
        for (call, _) in some {
            question.add_command(call.clone());
        }
        let answers: Vec<(String, String)> =
            store.writes.ask_within(&question, PATIENCE).await.map_err(untold)?;
        let told = answers.last().and_then(|(have, counted)| {
            Some(Stand { have: have.parse().ok()?, counted: counted.parse().ok()? })
        });
        reached = told.ok_or_else(|| {
            StoreError::Corrupt(format!("the lane {} in Redis has no number", batch.lane))
        })?;
        let expected = some.last().map(|(_, last)| *last);
        if expected != Some(reached.have) {
            break;
        }
    }
    Ok(reached)
}

/// Where the answer did not come, it may have been taken. To take it again does no harm.
fn untold(trouble: Trouble) -> StoreError {
    if trouble.leaves_doubt() { StoreError::Unknown(trouble.text) } else { trouble.into() }
}

/// The calls for all records after `stand.have`, each with the number of its last record.
fn calls(batch: &Batch, stand: Stand) -> Vec<(Cmd, u64)> {
    let skipped = usize::try_from(stand.have.saturating_sub(batch.after)).unwrap_or(usize::MAX);
    let mut calls = Vec::new();
    let mut piece = Piece::after(stand);
    for record in batch.records().skip(skipped) {
        piece.add(&record);
        if piece.is_full() {
            let stand = piece.end();
            calls.push((piece.call(batch), stand.have));
            piece = Piece::after(stand);
        }
    }
    if !piece.records.is_empty() {
        let last = piece.end().have;
        calls.push((piece.call(batch), last));
    }
    calls
}

/// Records that are taken in one call, and what they add up to.
struct Piece {
    before: Stand,
    records: Vec<Packed>,
    bytes: usize,
    numbers: HashMap<(String, i64), usize>,
    groups: Vec<Group>,
    refusals: BTreeMap<(String, i64, String), u64>,
}

/// Records of one key, one practice or everybody, in one hour.
struct Group {
    whose: String,
    hour: i64,
    tally: Tally,
}

impl Piece {
    fn after(before: Stand) -> Self {
        Self {
            before,
            records: Vec::with_capacity(PIECE),
            bytes: 0,
            numbers: HashMap::new(),
            groups: Vec::new(),
            refusals: BTreeMap::new(),
        }
    }

    fn end(&self) -> Stand {
        let have = self.before.have + self.records.len() as u64;
        Stand { have, counted: have.max(self.before.counted) }
    }

    fn is_full(&self) -> bool {
        self.records.len() >= PIECE || self.bytes >= PIECE_BYTES
    }

    fn add(&mut self, record: &AccessRecord<'_>) {
        let opening = &record.opening;
        let is_counted = self.end().have < self.before.counted;
        let whose = [
            // Those of strangers are those of the key without a name.
            Some(names::of_key(&opening.key)),
            Some(&*opening.practice)
                .filter(|practice| !practice.is_empty())
                .map(names::of_practice),
            Some(names::EVERYBODY.to_owned()),
        ];
        let summed = record.outcome.count > 1;
        let mut packed = Packed::array(4 + AccessRecord::FIELDS.len() + usize::from(summed));
        packed.text(index::offset(opening.ts));
        for whose in whose {
            let number = whose.map(|whose| self.put_into_group(whose, record, is_counted));
            packed.count(number.unwrap_or(0));
        }
        fields::pack(record, &mut packed);
        if summed {
            packed.text(record.outcome.count.to_string());
        }
        self.bytes += packed.bytes().len();
        self.records.push(packed);
    }

    /// Gives back the group's number, counted from 1 as Lua does.
    fn put_into_group(
        &mut self,
        whose: String,
        record: &AccessRecord<'_>,
        is_counted: bool,
    ) -> u64 {
        let hour = names::hour_of(record.opening.ts);
        let is_refused =
            record.outcome.decision == Decision::Deny && !record.opening.key.is_empty();
        if !is_counted && is_refused && whose != names::EVERYBODY {
            let what = sums::refusal_field(record);
            let day = names::day_of(record.opening.ts);
            let count = self.refusals.entry((whose.clone(), day, what)).or_default();
            *count += u64::from(record.outcome.count);
        }
        let next = self.groups.len();
        let number = *self.numbers.entry((whose.clone(), hour)).or_insert(next);
        if number == next {
            self.groups.push(Group { whose, hour, tally: Tally::default() });
        }
        if let Some(group) = self.groups.get_mut(number).filter(|_| !is_counted) {
            group.tally.add(record);
        }
        number as u64 + 1
    }

    fn call(&self, batch: &Batch) -> Cmd {
        let end = self.end();
        let [stream, lanes, counted] = names::OF_LANES;
        let keys = [stream, lanes, counted, names::DAYS, names::SUM_DAYS];
        let mut call = script::call(&script::TAKE, &keys);
        call.arg(batch.lane.to_string()).arg(self.before.have).arg(self.before.counted);
        call.arg(end.have).arg(end.counted);
        call.arg(self.records.len()).arg(self.groups.len()).arg(self.refusals.len());
        call.arg(names::LONGEST);
        for record in &self.records {
            call.arg(record.bytes());
        }
        for group in &self.groups {
            call.arg(group.pack().bytes());
        }
        for ((whose, day, what), count) in &self.refusals {
            let mut packed = Packed::array(4);
            packed.text(whose);
            packed.text(day.to_string());
            packed.text(what);
            packed.count(*count);
            call.arg(packed.bytes());
        }
        call
    }
}

impl Group {
    fn pack(&self) -> Packed {
        let mut packed = Packed::array(5);
        packed.text(&self.whose);
        packed.text(self.hour.to_string());
        packed.text(self.hour.div_euclid(24).to_string());
        packed.count(self.hour.rem_euclid(24).unsigned_abs());
        packed.text(sums::pack(&self.tally).bytes());
        packed
    }
}
