//! The laws of one bucket, held against GCRA as its authors write it: a theoretical arrival time on an absolute clock.

use proptest::prelude::*;

use super::*;

/// Nanoseconds, of which no sum overflows.
type Time = i128;

const SECOND: Time = 1_000_000_000;
const DAY: Time = 86_400 * SECOND;

/// Written without a look at what it judges: the time at which the next unit was due if all came evenly.
#[derive(Clone, Copy, Debug)]
struct Reference {
    interval: Time,
    burst: Time,
    due: Time,
}

impl Reference {
    /// `count` in `period`; the interval is cut to whole nanoseconds.
    fn new(count: u64, period: Time, burst: u64) -> Self {
        let interval = (period / Time::from(count)).max(1);
        Self { interval, burst: burst.into(), due: Time::MIN / 4 }
    }

    /// Takes, or says how long to wait.
    fn arrive(&mut self, now: Time, cost: u32) -> Result<(), Time> {
        let weight = Time::from(cost).min(self.burst) * self.interval;
        let due = self.due.max(now);
        match due + weight - self.burst * self.interval - now {
            wait @ 1.. => Err(wait),
            _ => {
                self.due = due + weight;
                Ok(())
            }
        }
    }
}

fn moment(time: Time) -> Moment {
    Moment(u64::try_from(time).unwrap())
}

/// In these, parts of a whole are told.
const WHOLE: u32 = 1 << 16;

fn part_of(time: u64, parts: u32) -> u64 {
    u64::try_from(u128::from(time) * u128::from(parts) / u128::from(WHOLE)).unwrap()
}

fn units(cost: u32) -> NonZeroU32 {
    NonZeroU32::new(cost).unwrap()
}

fn limit_of(count: u64, period: Time, burst: u64) -> Option<RateLimit> {
    let period = Duration::from_nanos(u64::try_from(period).unwrap());
    RateLimit::new(count, period, Some(burst)).ok()
}

/// From once a day to a thousand million in ten seconds, with room for one or for a million.
fn any_limit() -> impl Strategy<Value = (RateLimit, Reference)> {
    let counts = prop_oneof![1_u64..=10, 1_u64..=10_000, 1_u64..=1_000_000_000];
    let periods = prop_oneof![
        (1_i128..=10).prop_map(|seconds| seconds * SECOND),
        Just(60 * SECOND),
        Just(3600 * SECOND),
        Just(DAY),
    ];
    let bursts = prop_oneof![1_u64..=3, 1_u64..=100, 1_u64..=1_000_000];
    (counts, periods, bursts).prop_filter_map(
        "its bucket fills in time",
        |(count, period, burst)| {
            Some((limit_of(count, period, burst)?, Reference::new(count, period, burst)))
        },
    )
}

/// When the next one comes.
#[derive(Clone, Copy, Debug)]
enum Gap {
    AtOnce,
    /// As fast as units come back, and so much later or earlier.
    Steady(i8),
    /// A nanosecond before what was last refused would pass, at that time, or a nanosecond after.
    Boundary(i8),
    /// Parts of 256 of the time that an empty bucket needs to be full.
    Idle(u16),
}

fn any_pattern() -> impl Strategy<Value = Vec<(Gap, u32)>> {
    let gaps = prop_oneof![
        4 => Just(Gap::AtOnce),
        2 => (-2_i8..=2).prop_map(Gap::Steady),
        3 => (-1_i8..=1).prop_map(Gap::Boundary),
        1 => (0_u16..600).prop_map(Gap::Idle),
    ];
    let costs = prop_oneof![4 => Just(1_u32), 2 => 1_u32..=10, 1 => 1_u32..=2_000_000];
    proptest::collection::vec((gaps, costs), 1..200)
}

/// The times of a pattern; what was refused last is known from the reference.
fn next(now: Time, gap: Gap, reference: &Reference, wait: Option<Time>) -> Time {
    now + match gap {
        Gap::AtOnce => 0,
        Gap::Steady(off) => (reference.interval + Time::from(off)).max(0),
        Gap::Boundary(off) => wait.map_or(0, |wait| (wait + Time::from(off)).max(0)),
        Gap::Idle(parts) => reference.interval * reference.burst * Time::from(parts) / 256,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(250))]

    #[test]
    fn it_admits_what_a_reference_admits((limit, mut reference) in any_limit(), pattern in any_pattern()) {
        let (mut bucket, mut now, mut refused) = (Bucket::default(), DAY, None);
        for (gap, cost) in pattern {
            now = next(now, gap, &reference, refused);
            let wanted = reference.arrive(now, cost);
            match bucket.take(&limit, units(cost), moment(now)) {
                Trial::Fits(after) => {
                    prop_assert_eq!(wanted, Ok(()));
                    prop_assert!(after.debt(&limit, moment(now)) <= limit.fill());
                    let owed = (reference.due - now).max(0);
                    prop_assert_eq!(Time::from(after.debt(&limit, moment(now))), owed);
                    bucket = after;
                    refused = None;
                }
                Trial::Wait(wait) => {
                    prop_assert_eq!(wanted, Err(Time::from(wait)));
                    refused = Some(wait.into());
                }
            }
        }
    }

    #[test]
    fn the_wait_is_exact((limit, _) in any_limit(), cost in 1_u32..=2_000_000, owed in 0..=WHOLE, at in 0_u64..=1 << 60) {
        let debt = part_of(limit.fill(), owed);
        let (bucket, now) = (Bucket::owing(debt, &limit, Moment(at)), Moment(at));
        let Trial::Wait(wait) = bucket.take(&limit, units(cost), now) else { return Ok(()) };
        prop_assert!(wait > 0 && wait <= limit.fill());
        let fits = |after| matches!(bucket.take(&limit, units(cost), Moment(at + after)), Trial::Fits(_));
        prop_assert!(fits(wait), "not after {wait}");
        prop_assert!(!fits(wait - 1), "before {wait}");
        prop_assert!(!fits(wait / 10 * 9), "10 % less");
    }

    #[test]
    fn what_was_taken_and_given_back_was_never_taken(
        (limit, _) in any_limit(), owed in 0..=WHOLE, costs in proptest::collection::vec(1_u32..=1_000, 1..20),
    ) {
        let now = Moment(1 << 50);
        let before = Bucket::owing(part_of(limit.fill(), owed), &limit, now);
        let mut taken = Vec::new();
        let mut bucket = before;
        for cost in costs {
            if let Trial::Fits(after) = bucket.take(&limit, units(cost), now) {
                bucket = after;
                taken.push(cost);
            }
        }
        // In the order in which they came, while others are still out: the sum is what counts.
        for cost in taken {
            bucket = bucket.give_back(&limit, units(cost), now);
        }
        prop_assert_eq!(bucket, before);
    }

    /// Requests come from several threads, each with the time at which it came: whatever their order, no more is admitted
    /// than the bucket held at first and than came back since.
    #[test]
    fn time_that_seems_to_go_back_gives_nothing(
        (limit, _) in any_limit(), steps in proptest::collection::vec((0..=WHOLE / 5, 0..=WHOLE, 1_u32..=100, any::<bool>()), 1..200),
    ) {
        let start = 2 * limit.fill() + 1;
        let (mut bucket, mut latest, mut units_taken) = (Bucket::default(), start, 0_u128);
        let part = |parts| part_of(limit.fill(), parts);
        for (forward, back, cost, is_given_back) in steps {
            latest += part(forward);
            let now = Moment((latest - part(back)).max(start));
            match bucket.take(&limit, units(cost), now) {
                Trial::Fits(after) if is_given_back => {
                    let given_back = after.give_back(&limit, units(cost), now);
                    prop_assert!(given_back.debt(&limit, Moment(latest)) >= bucket.debt(&limit, Moment(latest)));
                }
                Trial::Fits(after) => {
                    bucket = after;
                    units_taken += u128::from(limit.cost(units(cost)).get());
                }
                Trial::Wait(wait) => {
                    let then = Moment(latest.saturating_add(wait));
                    prop_assert!(matches!(bucket.take(&limit, units(cost), then), Trial::Fits(_)));
                }
            }
            let came_back = u128::from((latest - start) / limit.interval()) + 1;
            prop_assert!(units_taken <= u128::from(limit.burst().get()) + came_back);
        }
    }

    /// The law of a change: a full bucket is full; any other has the whole and part units that it had, and never more than
    /// the new one holds; from the first question on it fills at the new rate.
    #[test]
    fn a_changed_limit_gives_no_burst_and_takes_nothing(
        (old, _) in any_limit(), (new, _) in any_limit(), owed in 0..=WHOLE, cost in 1_u32..=1_000, later in 0..=WHOLE,
    ) {
        let now = Moment(1 << 50);
        let debt = part_of(old.fill(), owed);
        let before = Bucket::owing(debt, &old, now);
        let after = before.under(&new, now);
        let new_debt = after.debt(&new, now);
        prop_assert_eq!(new_debt, before.debt(&new, now), "writing it back changes nothing");
        if debt == 0 {
            prop_assert_eq!(new_debt, 0);
        } else {
            // In units of a whole one, times both intervals, so that nothing is rounded here.
            let had = u128::from(old.fill() - debt) * u128::from(new.interval());
            let has = u128::from(new.fill() - new_debt) * u128::from(old.interval());
            let most = u128::from(new.fill()) * u128::from(old.interval());
            prop_assert!(has <= had.min(most), "a free burst");
            prop_assert!(has + u128::from(old.interval()) > had.min(most), "taken and not owed");
        }
        // And back again, untouched: no more than before.
        let back = after.under(&old, now).debt(&old, now);
        prop_assert!(new_debt == 0 || back >= debt);
        // What was told after the change holds.
        if let Trial::Wait(wait) = after.take(&new, units(cost), now) {
            let fits = |at: u64| matches!(after.take(&new, units(cost), Moment(now.0 + at)), Trial::Fits(_));
            prop_assert!(fits(wait) && !fits(wait - 1));
        }
        let passed = part_of(new.fill(), later);
        prop_assert_eq!(after.debt(&new, Moment(now.0 + passed)), new_debt.saturating_sub(passed));
    }
}

/// A refusal used to leave a bucket under the limit that had been: once a day, although it was ten a second by then.
#[test]
fn what_was_told_after_a_change_holds_for_an_empty_bucket_of_a_slow_limit() {
    let slow = limit_of(1, DAY, 1).unwrap();
    let fast = limit_of(10, SECOND, 10).unwrap();
    let bucket = Bucket::owing(slow.fill(), &slow, Moment(7)).under(&fast, Moment(7));
    assert_eq!(bucket.take(&fast, units(1), Moment(7)), Trial::Wait(100_000_000));
    assert!(matches!(bucket.take(&fast, units(1), Moment(100_000_007)), Trial::Fits(_)));
}

#[test]
fn an_earlier_question_gives_no_time_back() {
    let limit = limit_of(1, SECOND, 2).unwrap();
    let at = Moment(10_000_000_000);
    let Trial::Fits(one) = Bucket::default().take(&limit, units(1), at) else { panic!("full") };
    let Trial::Fits(two) = one.take(&limit, units(1), Moment(9_000_000_000)) else { panic!("one") };
    assert_eq!(two.debt(&limit, at), 2_000_000_000);
    assert_eq!(two.take(&limit, units(1), Moment(0)), Trial::Wait(1_000_000_000));
    assert_eq!(two.give_back(&limit, units(1), Moment(9_000_000_000)), one);
}

#[test]
fn the_extremes_are_counted_too() {
    let most = u64::from(u32::MAX);
    let limits = [
        limit_of(1, 10 * 366 * DAY, 1),
        limit_of(10 * 366, 10 * 366 * DAY, 10 * 366),
        limit_of(most, SECOND, most),
        limit_of(1, SECOND, 10 * 366 * 86_400),
        limit_of(1_000_000_000, 10 * SECOND, 1),
        limit_of(1, SECOND / 1000, 1),
    ];
    for limit in limits.map(Option::unwrap) {
        for at in [0, 1, u64::MAX / 2, u64::MAX - 1, u64::MAX].map(Moment) {
            let all = units(u32::MAX);
            let Trial::Fits(empty) = Bucket::default().take(&limit, all, at) else {
                panic!("{limit} is not full at first")
            };
            assert_eq!(empty.debt(&limit, at), limit.fill(), "{limit}");
            assert_eq!(left(&limit, limit.fill()), 0);
            assert_eq!(empty.take(&limit, all, at), Trial::Wait(limit.fill()), "{limit}");
            assert_eq!(empty.take(&limit, units(1), at), Trial::Wait(limit.interval()));
            let full = empty.give_back(&limit, all, at);
            assert_eq!((full.debt(&limit, at), left(&limit, 0)), (0, limit.burst().get().into()));
            assert!(full.is_full(at) && !empty.is_full(at));
            assert!(empty.is_full(Moment(u64::MAX)) || at.0 > u64::MAX - limit.fill());
        }
    }
    let (huge, tiny) = the_slowest_and_the_fastest();
    let owing = Bucket::owing(u64::MAX, &huge, Moment(u64::MAX));
    assert_eq!(owing.debt(&tiny, Moment(0)), tiny.fill());
    let owing = Bucket::owing(u64::MAX, &tiny, Moment(0));
    assert_eq!(owing.under(&huge, Moment(0)).debt(&huge, Moment(0)), huge.fill());
}

/// The slowest with the smallest bucket, and the fastest with the largest.
fn the_slowest_and_the_fastest() -> (RateLimit, RateLimit) {
    let most = u64::from(u32::MAX);
    (limit_of(1, 10 * 366 * DAY, 1).unwrap(), limit_of(most, SECOND, most).unwrap())
}

#[test]
fn whole_units_are_told() {
    let limit = limit_of(600, 60 * SECOND, 100).unwrap();
    let interval = limit.interval();
    for (debt, units_left) in
        [(0, 100), (1, 99), (interval, 99), (interval + 1, 98), (99 * interval, 1)]
    {
        assert_eq!(left(&limit, debt), units_left, "{debt}");
    }
    assert_eq!(left(&limit, u64::MAX), 0);
}
