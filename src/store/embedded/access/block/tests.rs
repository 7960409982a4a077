//! Blocks are read as they were written, and what was not written is an error.

use proptest::prelude::*;

use super::*;
use crate::model::{LaneId, RecordId, RequestId};
use crate::store::access::{Cursor, Filter};
use crate::store::conformance::access::samples::{Part, any_part, part, records};
use crate::store::embedded::access::column::Damaged;

/// As a merge has them: of several lanes, in order.
fn ordered(lanes: &[Vec<Part>]) -> Vec<AccessRecord<'static>> {
    let all = (1..).zip(lanes).flat_map(|(lane, parts)| records(lane << 60, 0, parts));
    let mut all: Vec<_> = all.collect();
    for record in &mut all {
        (record.opening.practice, record.opening.key) = ("p".into(), "k".into());
    }
    all.sort_by_key(Cursor::of);
    all
}

fn read(places: &[u8], facts: &[u8], rest: &[u8]) -> Result<Vec<AccessRecord<'static>>, Damaged> {
    let places = Places::read(places)?;
    let facts = Facts::read(facts, places.len())?;
    let rest = Rest::read(rest, places.len())?;
    let one = |index| record(index, ("p", "k"), &places, &facts, &rest);
    (0..places.len())
        .map(|index| one(index).map(AccessRecord::into_owned).ok_or(Damaged("gone")))
        .collect()
}

fn density() -> impl Strategy<Value = Density> {
    prop::sample::select(&[Density::Fresh, Density::Dense][..])
}

proptest! {
    #[test]
    fn blocks_are_read_as_they_were_written(
        lanes in prop::collection::vec(prop::collection::vec(any_part(), 0..30), 1..4),
        density in density(),
        status in 0..600_u16,
    ) {
        let all = ordered(&lanes);
        let block = encode(&all.iter().collect::<Vec<_>>(), density);
        prop_assert_eq!(block.count, all.len());
        prop_assert_eq!(&read(&block.places, &block.facts, &block.rest).unwrap(), &all);
        let places = Places::read(&block.places).unwrap();
        let facts = Facts::read(&block.facts, all.len()).unwrap();
        let filter = Filter {
            status: Some(crate::store::access::StatusFilter::Class(status / 100)),
            ..Filter::default()
        };
        let passing: Vec<_> = all.iter().map(|record| filter.takes(record)).collect();
        prop_assert_eq!(facts.passing(&filter), passing);
        for (index, record) in all.iter().enumerate() {
            prop_assert_eq!(places.at(index), Some(Cursor::of(record)));
            prop_assert_eq!(places.before(Cursor::of(record)), index);
        }
    }

    /// With its checksum made to fit, as a bug of ours would leave it: still no panic.
    #[test]
    fn no_damage_is_more_than_an_error(
        parts in prop::collection::vec(any_part(), 1..20),
        density in density(),
        which in 0..3_usize,
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let all = ordered(&[parts]);
        let block = encode(&all.iter().collect::<Vec<_>>(), density);
        let mut written = [block.places, block.facts, block.rest];
        let part = &mut written[which];
        part.truncate(part.len() - 4);
        let at = at.index(part.len());
        part[at] = byte;
        let check = crc32fast::hash(part);
        part.extend_from_slice(&check.to_le_bytes());
        if let Ok(found) = read(&written[0], &written[1], &written[2]) {
            prop_assert!(found.is_sorted_by_key(Cursor::of));
        }
    }
}

#[test]
fn the_ends_of_numbers_come_back() {
    let mut all = records(u64::MAX, u64::MAX - 4, &[part(1), part(2), part(3)]);
    let far = [i64::MIN, 0, i64::MAX];
    for (record, micros) in all.iter_mut().zip(far) {
        record.opening.ts = Timestamp::from_micros(micros);
        record.opening.request_id = RequestId::new(u128::MAX);
        (record.opening.practice, record.opening.key) = ("p".into(), "k".into());
        let outcome = &mut record.outcome;
        (outcome.bytes_in, outcome.bytes_out, outcome.duration_us) = (u64::MAX, u64::MAX, 0);
        outcome.upstream_us = Some(u64::MAX);
        outcome.count = u32::MAX;
        outcome.status = u16::MAX;
    }
    all[1].id = RecordId { lane: LaneId(0), seq: 0 };
    for density in [Density::Fresh, Density::Dense] {
        let block = encode(&all.iter().collect::<Vec<_>>(), density);
        assert_eq!(read(&block.places, &block.facts, &block.rest).unwrap(), all);
    }
}

/// The whole point: a day of one key at what the issue asks for, less what the store adds around it.
#[test]
fn a_day_of_a_key_takes_little_more_than_its_request_ids() {
    let mut parts: Vec<_> = (0..1_000).map(part).collect();
    for (number, (opening, _)) in (0_i64..).zip(&mut parts) {
        opening.ts =
            Timestamp::from_micros(number * 86_400_000 + number * number * 7_919 % 80_000_000);
        opening.path = opening.route.clone();
        opening.request_id = RequestId::new(u128::from_le_bytes(std::array::from_fn(|at| {
            (crc32fast::hash(&[number.to_le_bytes(), at.to_le_bytes()].concat()) & 0xff) as u8
        })));
    }
    let all = ordered(&[parts]);
    let block = encode(&all.iter().collect::<Vec<_>>(), Density::Dense);
    let bytes = block.places.len() + block.facts.len() + block.rest.len();
    assert!(bytes < 36 * all.len(), "{bytes} bytes");
    assert!(block.rest.len() > 16 * all.len(), "request ids are noise");
}
