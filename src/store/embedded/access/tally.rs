//! A tally in the store: a version, six counts, how many durations there are, and the buckets of them that have any, each as
//! its distance from the one before it and its count; LEB128 throughout. What the buckets count must be as many as there
//! are, which checks the whole. Tunnels are requests that have no duration.

use crate::model::Tally;
use crate::model::usage::Bucket;
use crate::store::embedded::access::column::{Bytes, Damaged, put};

const VERSION: u8 = 1;

pub(super) fn encode(tally: &Tally) -> Vec<u8> {
    let mut out = Vec::with_capacity(24 + tally.durations.0.len() * 3);
    out.push(VERSION);
    let Tally { requests, errors, client_errors, denied, bytes_in, bytes_out, durations } = tally;
    for number in [requests, errors, client_errors, denied, bytes_in, bytes_out] {
        put(&mut out, *number);
    }
    put(&mut out, durations.0.values().fold(0, |sum: u64, count| sum.saturating_add(*count)));
    let mut before = 0;
    for (Bucket(bucket), count) in &durations.0 {
        put(&mut out, u64::from(bucket - before));
        put(&mut out, *count);
        before = *bucket;
    }
    out
}

pub(super) fn decode(written: &[u8]) -> Result<Tally, Damaged> {
    let Some((&VERSION, numbers)) = written.split_first() else {
        return Err(Damaged("it is of a later version"));
    };
    let mut bytes = Bytes(numbers);
    let mut tally = Tally {
        requests: bytes.number()?,
        errors: bytes.number()?,
        client_errors: bytes.number()?,
        denied: bytes.number()?,
        bytes_in: bytes.number()?,
        bytes_out: bytes.number()?,
        ..Tally::default()
    };
    let expected = bytes.number()?;
    let (mut bucket, mut counted) = (0_u64, 0_u64);
    while bytes.end().is_err() {
        bucket = bucket.saturating_add(bytes.number()?);
        let count = bytes.number()?;
        let place = u16::try_from(bucket).map_err(|_error| Damaged("a duration is too long"))?;
        tally.durations.0.insert(Bucket(place), count);
        counted = counted.saturating_add(count);
    }
    if counted == expected && expected <= tally.requests {
        Ok(tally)
    } else {
        Err(Damaged("its numbers do not add up"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::conformance::access::samples::{parts, records};

    #[test]
    fn a_tally_is_read_as_it_was_written() {
        let mut tally = Tally::default();
        assert_eq!(decode(&encode(&tally)), Ok(tally.clone()));
        for record in records(1, 0, &parts(1..=200)) {
            tally.add(&record);
            assert_eq!(decode(&encode(&tally)), Ok(tally.clone()));
        }
        tally.requests += 3;
        assert_eq!(decode(&encode(&tally)), Ok(tally), "with tunnels");
    }

    #[test]
    fn a_damaged_tally_is_an_error() {
        let mut tally = Tally::default();
        records(1, 0, &parts(1..=20)).iter().for_each(|record| tally.add(record));
        tally.requests += 3;
        let written = encode(&tally);
        for end in 0..written.len() {
            assert!(decode(&written[..end]).is_err(), "cut at {end}");
        }
        assert!(decode(&[&written[..], &[0]].concat()).is_err());
        assert!(decode(&[&written[..], &[1, 1]].concat()).is_err());
        assert!(decode(&[2, 0, 0, 0, 0, 0, 0]).is_err());
    }
}
