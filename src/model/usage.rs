//! What records add up to: counts, bytes, and how long requests took.
//!
//! A [`Tally`] is made of records alone, so that what is counted always equals what is kept. Tallies of two spans add up to
//! the tally of both, percentiles included: durations are counted in buckets, each about 6 % wide.

use std::collections::BTreeMap;

use crate::model::record::{AccessRecord, Decision};

/// What the records of one key or practice in one span add up to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub requests: u64,
    /// 5xx, whoever answered them.
    pub errors: u64,
    /// 4xx from the upstream.
    pub client_errors: u64,
    /// Refused here.
    pub denied: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub durations: Durations,
}

/// How many requests took how long.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Durations(pub BTreeMap<Bucket, u64>);

/// Durations that are taken for the same: sixteen buckets to each doubling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bucket(pub u16);

const STEPS: u64 = 16;
/// Another protocol followed.
const TUNNEL: u16 = 101;

impl Bucket {
    pub fn of(micros: u64) -> Self {
        if micros < STEPS {
            return Self(u16::try_from(micros).unwrap_or(0));
        }
        let exponent = micros.ilog2() - STEPS.ilog2();
        let step = (micros >> exponent) - STEPS;
        Self(u16::try_from(u64::from(exponent + 1) * STEPS + step).unwrap_or(u16::MAX))
    }

    /// The middle of it, in microseconds.
    pub fn micros(self) -> u64 {
        let number = u64::from(self.0);
        let Some(exponent) = (number / STEPS).checked_sub(1) else { return number };
        let exponent = u32::try_from(exponent).unwrap_or(0).min(59);
        let low = (STEPS + number % STEPS) << exponent;
        low + ((1_u64 << exponent) >> 1)
    }
}

impl Durations {
    /// The duration that the given share (in percent) of the requests did not exceed.
    pub fn percentile(&self, percent: u64) -> Option<u64> {
        let total: u64 = self.0.values().sum();
        let rank = (u128::from(total) * u128::from(percent)).div_ceil(100).max(1);
        let mut passed = 0_u128;
        for (bucket, count) in &self.0 {
            passed += u128::from(*count);
            if passed >= rank {
                return Some(bucket.micros());
            }
        }
        None
    }

    fn count(&mut self, bucket: Bucket, times: u64) {
        let counted = self.0.entry(bucket).or_default();
        *counted = counted.saturating_add(times);
    }
}

impl Tally {
    /// The one place that says what counts as what: refused here, else 5xx, else 4xx.
    pub fn add(&mut self, record: &AccessRecord<'_>) {
        let outcome = &record.outcome;
        let times = u64::from(outcome.count);
        self.requests = self.requests.saturating_add(times);
        let kind = match (outcome.decision, outcome.status) {
            (Decision::Deny, _) => Some(&mut self.denied),
            (_, 500..) => Some(&mut self.errors),
            (_, 400..) => Some(&mut self.client_errors),
            _ => None,
        };
        if let Some(counted) = kind {
            *counted = counted.saturating_add(times);
        }
        self.bytes_in = self.bytes_in.saturating_add(outcome.bytes_in);
        self.bytes_out = self.bytes_out.saturating_add(outcome.bytes_out);
        // A tunnel lasts as long as people like.
        if outcome.status != TUNNEL {
            self.durations.count(Bucket::of(outcome.duration_us), times);
        }
    }

    pub fn merge(&mut self, other: &Self) {
        let add = |sum: &mut u64, more: u64| *sum = sum.saturating_add(more);
        add(&mut self.requests, other.requests);
        add(&mut self.errors, other.errors);
        add(&mut self.client_errors, other.client_errors);
        add(&mut self.denied, other.denied);
        add(&mut self.bytes_in, other.bytes_in);
        add(&mut self.bytes_out, other.bytes_out);
        for (bucket, times) in &other.durations.0 {
            self.durations.count(*bucket, *times);
        }
    }

    /// All that was not answered as asked over all, 0 to 1; none where nothing was asked.
    pub fn error_rate(&self) -> Option<f64> {
        let wrong = self.errors.saturating_add(self.client_errors).saturating_add(self.denied);
        #[expect(clippy::cast_precision_loss, reason = "a rate of counts far below 2^52")]
        (self.requests > 0).then(|| wrong as f64 / self.requests as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_about_a_sixteenth_wide() {
        for micros in (0..100_000).chain([1 << 30, (1 << 40) + 12_345, u64::MAX >> 1]) {
            let near = Bucket::of(micros).micros();
            assert!(near.abs_diff(micros) <= micros / 32 + 1, "{micros}: {near}");
        }
    }

    #[test]
    fn a_tunnel_is_a_request_without_a_duration() {
        let mut tally = Tally::default();
        for status in [101, 200] {
            let record = crate::model::record::tests::record(status, 1_000);
            tally.add(&record);
        }
        assert_eq!((tally.requests, tally.durations.0.values().sum::<u64>()), (2, 1));
    }

    #[test]
    fn percentiles_are_of_all_requests() {
        let mut durations = Durations::default();
        (1..=100).for_each(|n| durations.count(Bucket::of(n * 1_000), 1));
        let near =
            |found: Option<u64>, expected: u64| found.unwrap().abs_diff(expected) < expected / 16;
        assert!(near(durations.percentile(50), 50_000));
        assert!(near(durations.percentile(95), 95_000));
        assert_eq!(Durations::default().percentile(50), None);
    }
}
