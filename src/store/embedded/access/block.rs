//! A block: records of one key on one UTC day, oldest first, column by column.
//!
//! A block is a row of the store. Beside it stand its practice and its key (so they are not in it), how many records it has,
//! the moments of the first and the last, and its `marks`. The records are in three parts, so that a look reads no more than
//! it needs; `column` says how a part is written.
//!
//! ```text
//! places  what orders records
//!     number   how many records
//!     number   how many lanes; of each: numbers (its 64 bits), texts (the name of its node)
//!     number   the first moment, in microseconds, folded (a sign is the lowest bit)
//!     numbers  of each record, how much later it is than the one before it
//!     indexes  of each, its lane
//!     numbers  of each, how much its number is above the one before it in its lane, folded
//! facts   what filters ask
//!     number   how many texts; texts
//!     number   how many shapes; of each the indexes of ten: vendor, owner, api, method, route, category, access, code
//!              (texts), decision (0 allow, 1 deny, 2 observe) and status
//!     indexes  of each record, its shape
//! rest    everything else
//!     number   how many texts; texts
//!     number   how many callers; of each the index of its user agent (a text); all their addresses in one column, 16
//!              bytes each, IPv4 as mapped into IPv6; of each whether it is IPv6 (1) or not (0)
//!     indexes  of each record, its caller
//!     indexes  of each record, 0 where its path is its route, else 1 + its text
//!     numbers  of each: bytes in; then bytes out; then the duration
//!     indexes  of each, 1 where there was an upstream
//!     numbers  of each, the duration less the upstream's time, folded; then count
//!     column   the request ids, 16 bytes each, never pressed: they are noise
//! ```
//!
//! Requests of one key are alike: a shape is mostly one of a dozen, so that eight texts, a decision and a status cost less
//! than a byte. Of the 30 bytes or so that a record takes, 16 are its request id.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;

use crate::model::{AccessRecord, Decision, Timestamp};
use crate::store::embedded::access::column::{Density, Kind, Writer, fold};
use crate::store::embedded::access::marks::Marks;

mod reading;

#[cfg(test)]
mod tests;

pub(super) use reading::{Facts, Places, Rest, record};

/// As it is put into the store.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) count: usize,
    pub(super) first: Timestamp,
    pub(super) last: Timestamp,
    pub(super) marks: Marks,
    pub(super) places: Vec<u8>,
    pub(super) facts: Vec<u8>,
    pub(super) rest: Vec<u8>,
}

/// Different values in the order in which they were met.
struct Dictionary<T>(HashMap<T, u64>, Vec<T>);

/// Mostly there are no more: to compare with each costs less than to hash eight texts.
const FEW: usize = 8;

impl<T: Hash + Eq + Copy> Dictionary<T> {
    fn new() -> Self {
        Self(HashMap::new(), Vec::new())
    }

    fn index(&mut self, value: T) -> u64 {
        let Self(behind, all) = self;
        let next = all.len() as u64;
        if let Some(index) = all.iter().take(FEW).position(|known| *known == value) {
            return index as u64;
        }
        if all.len() < FEW {
            all.push(value);
            return next;
        }
        *behind.entry(value).or_insert_with(|| {
            all.push(value);
            next
        })
    }
}

/// Records must be of one practice, one key and one day, in order, and at least one.
pub(super) fn encode(records: &[&AccessRecord<'_>], density: Density) -> Block {
    let moment = |record: Option<&&AccessRecord<'_>>| record.map(|record| record.opening.ts);
    let (facts, marks) = encode_facts(records, density);
    Block {
        count: records.len(),
        first: moment(records.first()).unwrap_or_default(),
        last: moment(records.last()).unwrap_or_default(),
        marks,
        places: encode_places(records, density),
        facts,
        rest: encode_rest(records, density),
    }
}

fn encode_places(records: &[&AccessRecord<'_>], density: Density) -> Vec<u8> {
    let mut lanes = Dictionary::new();
    let mut last = Vec::new();
    let mut seqs = Vec::with_capacity(records.len());
    let mut of = Vec::with_capacity(records.len());
    for record in records {
        let lane = lanes.index((record.id.lane.0, &*record.node));
        let index = usize::try_from(lane).unwrap_or(usize::MAX);
        last.resize(lanes.1.len(), 0_u64);
        if let Some(before) = last.get_mut(index) {
            seqs.push(fold(record.id.seq.wrapping_sub(*before).cast_signed()));
            *before = record.id.seq;
        }
        of.push(lane);
    }
    let moments = || records.iter().map(|record| record.opening.ts.as_micros());
    let first = moments().next().unwrap_or(0);
    let mut writer = Writer::new(Kind::Places, density);
    writer.number(records.len() as u64);
    writer.number(lanes.1.len() as u64);
    writer.numbers(lanes.1.iter().map(|(lane, _)| *lane));
    writer.texts(lanes.1.iter().map(|(_, node)| *node));
    writer.number(fold(first));
    let mut before = first;
    writer.numbers(moments().map(|moment| {
        let later = moment.wrapping_sub(before).cast_unsigned();
        before = moment;
        later
    }));
    writer.indexes(of);
    writer.numbers(seqs);
    writer.finish()
}

fn encode_facts(records: &[&AccessRecord<'_>], density: Density) -> (Vec<u8>, Marks) {
    let mut shapes = Dictionary::new();
    let mut of = Vec::with_capacity(records.len());
    for record in records {
        let AccessRecord { opening, outcome, .. } = record;
        let written: [&str; 8] = [
            &opening.vendor,
            &opening.owner,
            &opening.api,
            &opening.method,
            &opening.route,
            &opening.category,
            &opening.access,
            &outcome.code,
        ];
        of.push(shapes.index((written, outcome.decision, outcome.status)));
    }
    let mut texts = Dictionary::new();
    // One column after the other.
    let mut columns = vec![0; 10 * shapes.1.len()];
    let mut marks = Marks::default();
    for (shape, (written, decision, status)) in shapes.1.iter().enumerate() {
        // All that marks are made of is in a shape, so each is looked at once.
        let [vendor, _, _, _, _, category, ..] = written;
        marks.add(*decision, *status, category, vendor);
        let indexes = written.map(|text| texts.index(text));
        let decision = Decision::ALL.iter().position(|known| known == decision).unwrap_or(0) as u64;
        let all = indexes.into_iter().chain([decision, u64::from(*status)]);
        let places = columns.iter_mut().skip(shape).step_by(shapes.1.len());
        places.zip(all).for_each(|(place, index)| *place = index);
    }
    let mut writer = Writer::new(Kind::Facts, density);
    writer.number(texts.1.len() as u64);
    writer.texts(texts.1.iter().copied());
    writer.number(shapes.1.len() as u64);
    writer.indexes(columns);
    writer.indexes(of);
    (writer.finish(), marks)
}

fn encode_rest(records: &[&AccessRecord<'_>], density: Density) -> Vec<u8> {
    let (mut texts, mut callers) = (Dictionary::new(), Dictionary::new());
    let (mut of, mut paths) =
        (Vec::with_capacity(records.len()), Vec::with_capacity(records.len()));
    for record in records {
        let opening = &record.opening;
        of.push(callers.index((opening.ip, texts.index(&*opening.user_agent))));
        let is_route = opening.path == opening.route;
        paths.push(if is_route { 0 } else { 1 + texts.index(&*opening.path) });
    }
    let mut writer = Writer::new(Kind::Rest, density);
    writer.number(texts.1.len() as u64);
    writer.texts(texts.1.iter().copied());
    writer.number(callers.1.len() as u64);
    writer.indexes(callers.1.iter().map(|(_, user_agent)| *user_agent));
    let mut addresses = Vec::with_capacity(callers.1.len() * 16);
    for (ip, _) in &callers.1 {
        let mapped = match ip {
            IpAddr::V4(ip) => ip.to_ipv6_mapped(),
            IpAddr::V6(ip) => *ip,
        };
        addresses.extend_from_slice(&mapped.octets());
    }
    writer.column(&addresses);
    writer.indexes(callers.1.iter().map(|(ip, _)| u64::from(ip.is_ipv6())));
    writer.indexes(of);
    writer.indexes(paths);
    let outcomes = || records.iter().map(|record| &record.outcome);
    writer.numbers(outcomes().map(|outcome| outcome.bytes_in));
    writer.numbers(outcomes().map(|outcome| outcome.bytes_out));
    writer.numbers(outcomes().map(|outcome| outcome.duration_us));
    writer.indexes(outcomes().map(|outcome| u64::from(outcome.upstream_us.is_some())));
    writer.numbers(outcomes().map(|outcome| {
        let less = |upstream: u64| fold(outcome.duration_us.wrapping_sub(upstream).cast_signed());
        outcome.upstream_us.map_or(0, less)
    }));
    writer.numbers(outcomes().map(|outcome| u64::from(outcome.count)));
    let mut ids = Vec::with_capacity(16 * records.len());
    for record in records {
        ids.extend_from_slice(&record.opening.request_id.bits().to_le_bytes());
    }
    writer.raw(&ids);
    writer.finish()
}
