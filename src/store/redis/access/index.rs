//! The index: where in the stream the records of an hour are.
//!
//! A string of an hour (or a minute) has 15 bytes for each record, in the order of arrival, all numbers big-endian: 4 of
//! microseconds since the hour began, then the id of the stream's entry, 6 of milliseconds and 5 of the number behind them.
//! `take.lua` appends them. A stray rest that is shorter than 15 bytes means nothing.

use std::cmp::Reverse;

use crate::model::Timestamp;
use crate::store::redis::access::names;

const LENGTH: usize = 15;

/// Where a record is, and of when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) ts: Timestamp,
    ms: u64,
    seq: u64,
}

impl Place {
    /// Of the entry in the stream.
    pub(super) fn id(self) -> String {
        format!("{}-{}", self.ms, self.seq)
    }
}

/// The time of a record as the index has it.
pub(super) fn offset(ts: Timestamp) -> [u8; 4] {
    let micros = ts.as_micros().rem_euclid(names::HOUR);
    u32::try_from(micros).unwrap_or(u32::MAX).to_be_bytes()
}

/// The places in the string of an hour or of a minute of it.
pub(super) fn places(hour: i64, bytes: &[u8]) -> impl Iterator<Item = Place> + use<'_> {
    let start = names::start_of_hour(hour).as_micros();
    let number = |bytes: &[u8]| bytes.iter().fold(0, |sum, byte| (sum << 8) | u64::from(*byte));
    bytes.chunks_exact(LENGTH).map(move |place| {
        let (offset, id) = place.split_at(4);
        let (ms, seq) = id.split_at(6);
        let offset = i64::try_from(number(offset)).unwrap_or(0);
        let ts = Timestamp::from_micros(start.saturating_add(offset));
        Place { ts, ms: number(ms), seq: number(seq) }
    })
}

/// The newest first. Those of one time are in no order: their records know it.
pub(super) fn newest_first(places: &mut [Place]) {
    places.sort_unstable_by_key(|place| Reverse((place.ts, place.ms, place.seq)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_as_the_script_writes_it() {
        let ts = Timestamp::from_micros(names::HOUR * 7 + 3_599_999_999);
        let id = [0x01, 0x9a, 0xbc, 0xde, 0xf0, 0x12, 0, 0, 0, 1, 2];
        let bytes = [&offset(ts)[..], &id, b"stray"].concat();
        let found: Vec<_> = places(7, &bytes).collect();
        assert_eq!(found, [Place { ts, ms: 0x019a_bcde_f012, seq: 0x0102 }]);
        assert_eq!(found[0].id(), format!("{}-258", 0x019a_bcde_f012_u64));
        let before = Timestamp::from_micros(-1);
        assert_eq!(places(-1, &[&offset(before)[..], &id].concat()).next().unwrap().ts, before);
    }
}
