//! What is left of a limit, for headers and for people.

use std::cmp::Ordering;

use smallvec::SmallVec;

use crate::limits::bucket;
use crate::model::{LimitKind, RateLimit};

/// Of one limit, at the moment of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    pub kind: LimitKind,
    /// The most there can be at once.
    pub quota: u64,
    /// In so many seconds it all comes back; nothing where time brings nothing back.
    pub window: Option<u64>,
    pub left: u64,
    /// Seconds until there is more; nothing where there cannot be, or where time brings nothing.
    pub next: Option<u64>,
    /// Seconds until all of it is there again.
    pub reset: Option<u64>,
}

/// Of a request: the tightest first. A key, its vendor, its practice, two categories, two quotas and what runs find room.
pub type Standings = SmallVec<[Standing; 8]>;

pub(super) const SECOND: u64 = 1_000_000_000;

impl Standing {
    pub(super) fn of_rate(kind: LimitKind, limit: &RateLimit, debt: u64) -> Self {
        let left = bucket::left(limit, debt);
        // What is owed beyond the next whole unit.
        let beyond = limit.fill().saturating_sub(limit.interval().saturating_mul(left + 1));
        Self {
            kind,
            quota: limit.burst().get().into(),
            window: Some(limit.fill().div_ceil(SECOND).max(1)),
            left,
            next: (debt > 0).then(|| debt.saturating_sub(beyond).div_ceil(SECOND).max(1)),
            reset: Some(debt.div_ceil(SECOND)),
        }
    }

    /// Of a UTC day that ends in so many seconds.
    pub(super) fn of_day(kind: LimitKind, quota: u64, used: u64, ends_in: u64) -> Self {
        let left = quota.saturating_sub(used);
        Self { kind, quota, window: Some(86_400), left, next: Some(ends_in), reset: Some(ends_in) }
    }

    pub(super) fn of_running(most: u32, running: u32) -> Self {
        Self {
            kind: LimitKind::Concurrent,
            quota: most.into(),
            window: None,
            left: most.saturating_sub(running).into(),
            next: None,
            reset: None,
        }
    }

    /// By what part of each is left: less is tighter. Without a division, and so without rounding.
    fn tighter(&self, other: &Self) -> Ordering {
        let part = |of: &Self, than: &Self| u128::from(of.left) * u128::from(than.quota.max(1));
        let runs = |of: &Self| of.kind == LimitKind::Concurrent;
        runs(self).cmp(&runs(other)).then_with(|| part(self, other).cmp(&part(other, self)))
    }
}

/// The tightest first; of equals the one that was named first. Last what runs at once: the request itself is one of
/// those, and when its answer is read it is none any more.
pub(super) fn sort(standings: &mut Standings) {
    standings.sort_by(Standing::tighter);
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn of_rate(count: u64, seconds: u64, burst: u64, debt: u64) -> Standing {
        let limit = RateLimit::new(count, Duration::from_secs(seconds), Some(burst)).unwrap();
        Standing::of_rate(LimitKind::Key, &limit, debt)
    }

    #[test]
    fn a_rate_tells_whole_units_and_whole_seconds_that_are_long_enough() {
        let told = of_rate(600, 60, 100, 250_000_001);
        assert_eq!((told.quota, told.window, told.left, told.reset), (100, Some(10), 97, Some(1)));
        let full = of_rate(600, 60, 100, 0);
        assert_eq!((full.left, full.next, full.reset), (100, None, Some(0)));
        // Five a minute out of two hundred, empty: the next in twelve seconds, all of them in forty minutes.
        let empty = of_rate(5, 60, 200, 2_400_000_000_000);
        assert_eq!((empty.left, empty.next, empty.reset), (0, Some(12), Some(2400)));
        let half_a_unit = of_rate(5, 60, 200, 6_000_000_000);
        assert_eq!((half_a_unit.left, half_a_unit.next), (199, Some(6)));
        // One in a millisecond fills in no whole second.
        assert_eq!(of_rate(1000, 1, 1, 1).window, Some(1));
        assert_eq!(of_rate(2, 3, 3, 0).window, Some(5), "4.5 seconds");
    }

    #[test]
    fn what_is_over_is_nothing_left() {
        let told = Standing::of_day(LimitKind::DailyBytes, 100, 101, 7);
        assert_eq!((told.left, told.window, told.reset), (0, Some(86_400), Some(7)));
        let told = Standing::of_running(3, 5);
        assert_eq!((told.left, told.quota, told.window, told.reset), (0, 3, None, None));
    }

    #[test]
    fn the_tightest_comes_first_and_equals_keep_their_order() {
        let of = |kind, quota, left| Standing {
            kind,
            quota,
            window: None,
            left,
            next: None,
            reset: None,
        };
        let huge = 1 << 60;
        let mut told: Standings = [
            of(LimitKind::Key, 3, 1),
            of(LimitKind::Vendor, 10, 10),
            of(LimitKind::Practice, 9, 3),
            of(LimitKind::DailyRequests, huge, huge / 3 - 1),
            of(LimitKind::DailyBytes, u64::MAX, 0),
            of(LimitKind::Concurrent, 5, 0),
        ]
        .into_iter()
        .collect();
        sort(&mut told);
        let order: Vec<LimitKind> = told.iter().map(|told| told.kind).collect();
        let expected = [
            LimitKind::DailyBytes,
            LimitKind::DailyRequests,
            LimitKind::Key,
            LimitKind::Practice,
            LimitKind::Vendor,
            LimitKind::Concurrent,
        ];
        assert_eq!(order, expected);
    }
}
