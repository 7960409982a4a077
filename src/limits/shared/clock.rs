//! What time it is at the store, as far as its answers tell: never later than it is.
//!
//! An answer that says it was given at T was given after its question was sent, so the store's clock is ahead of this node's
//! by `T - sent` at most; the answer that took the shortest way tells it best. All workers share what is known, for they
//! share what they believe.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use crate::limits::bucket::Moment;
use crate::model::Timestamp;

const UNKNOWN: i64 = i64::MAX;
/// What was heard counts for one to two minutes: a clock that goes faster than ours, or was set forward, is ahead by more
/// with time, and what was heard of it once would be too little for ever.
const WINDOW: u64 = 60_000_000_000;

/// By how many microseconds the store's clock is ahead of this process's, at most.
#[derive(Debug)]
pub(in crate::limits) struct StoreClock {
    /// Of this window and the one before.
    ahead: AtomicI64,
    /// Of this one.
    lately: AtomicI64,
    window: AtomicU64,
}

impl Default for StoreClock {
    fn default() -> Self {
        let unknown = || AtomicI64::new(UNKNOWN);
        Self { ahead: unknown(), lately: unknown(), window: AtomicU64::new(0) }
    }
}

fn micros(moment: Moment) -> i64 {
    i64::try_from(moment.0 / 1000).unwrap_or_default()
}

impl StoreClock {
    pub(super) fn heard(&self, now: Timestamp, sent: Moment) {
        // A microsecond for what both clocks round off.
        let ahead = now.as_micros().saturating_sub(micros(sent)).saturating_sub(1);
        let (window, last) = (sent.0 / WINDOW, self.window.load(Ordering::Relaxed));
        let is_next = window > last
            && self
                .window
                .compare_exchange(last, window, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        if is_next {
            // What another worker hears at this very moment may be missed: it hears more soon.
            let of_last = self.lately.swap(ahead, Ordering::Relaxed);
            let of_last = if window == last + 1 { of_last } else { UNKNOWN };
            self.ahead.store(ahead.min(of_last), Ordering::Relaxed);
            return;
        }
        for known in [&self.ahead, &self.lately] {
            if ahead < known.load(Ordering::Relaxed) {
                known.fetch_min(ahead, Ordering::Relaxed);
            }
        }
    }

    pub(super) fn at(&self, moment: Moment) -> Option<Timestamp> {
        let ahead = self.ahead.load(Ordering::Relaxed);
        let at = Timestamp::from_micros(micros(moment).saturating_add(ahead));
        (ahead != UNKNOWN).then_some(at)
    }

    pub(super) fn forget(&self) {
        self.ahead.store(UNKNOWN, Ordering::Relaxed);
        self.lately.store(UNKNOWN, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shortest_way_tells_best_and_none_tells_too_late_a_time() {
        let clock = StoreClock::default();
        assert_eq!(clock.at(Moment(5000)), None);
        // It is 1000 µs ahead, and questions take so many to it.
        for (way, told) in [(30, 1029), (5, 1004), (80, 1004)] {
            clock.heard(Timestamp::from_micros(7 + way + 1000), Moment(7000));
            assert_eq!(clock.at(Moment(0)), Some(Timestamp::from_micros(told)));
        }
        clock.forget();
        assert_eq!(clock.at(Moment(0)), None);
    }

    #[test]
    fn a_clock_that_goes_ahead_is_followed_within_two_minutes() {
        let clock = StoreClock::default();
        let second = 1_000_000_000;
        let micro = i64::try_from(second / 1000).unwrap();
        let heard = |seconds: u64, ahead: i64| {
            let at = i64::try_from(seconds).unwrap() * micro;
            clock.heard(Timestamp::from_micros(at + ahead + 1), Moment(seconds * second));
            clock.at(Moment(0)).unwrap().as_micros()
        };
        assert_eq!(heard(59, 1000), 1000);
        // The least of the minute before still counts, and one that is less counts at once.
        assert_eq!((heard(60, 5000), heard(119, 5000)), (1000, 1000));
        assert_eq!((heard(120, 6000), heard(130, 7000), heard(140, 900)), (5000, 5000, 900));
        assert_eq!(heard(500, 9000), 9000, "what is long ago counts no more");
    }
}
