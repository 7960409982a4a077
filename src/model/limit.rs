//! How much a caller may have of what, and what is said of it.
//!
//! A [`RateLimit`] is a bucket: it holds `burst` units, and one comes back every [`RateLimit::interval`]. A request takes
//! its cost out of it, or nothing. The arithmetic of it is in `limits::bucket`.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

/// The longest that a bucket may take to fill: times within it are counted in nanoseconds, with room to spare.
const LONGEST: Duration = Duration::from_secs(10 * 366 * 86_400);

/// `600/min` out of a bucket of 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RateLimit {
    count: NonZeroU32,
    burst: NonZeroU32,
    period_ms: u64,
    /// Worked out once: every request asks for it several times.
    interval: u64,
}

impl RateLimit {
    /// The bucket holds what comes in one period where nothing else is said. What is wrong is said in words.
    pub fn new(count: u64, period: Duration, burst: Option<u64>) -> Result<Self, &'static str> {
        let whole = |number: u64| u32::try_from(number).ok();
        let count = whole(count).ok_or("it is more than 4294967295")?;
        let burst = whole(burst.unwrap_or(count.into())).ok_or("it is more than 4294967295")?;
        let period_ms = u64::try_from(period.as_millis()).map_err(|_| "its window is too long")?;
        let (Some(count), Some(burst)) = (NonZeroU32::new(count), NonZeroU32::new(burst)) else {
            return Err("it lets nothing through");
        };
        let interval = u128::from(period_ms) * 1_000_000 / u128::from(count.get());
        let interval = u64::try_from(interval).unwrap_or(u64::MAX).max(1);
        let limit = Self { count, burst, period_ms, interval };
        let fill = u128::from(interval) * u128::from(burst.get());
        if period_ms == 0 || fill > LONGEST.as_nanos() {
            return Err("its bucket takes more than ten years to fill");
        }
        Ok(limit)
    }

    /// Nanoseconds until one unit comes back.
    pub fn interval(&self) -> u64 {
        self.interval
    }

    /// What the bucket holds.
    pub fn burst(&self) -> NonZeroU32 {
        self.burst
    }

    /// Nanoseconds until an empty bucket is full.
    pub fn fill(&self) -> u64 {
        self.interval().saturating_mul(self.burst.get().into())
    }

    /// What a request takes: one that costs more than a full bucket takes all of it, or it could never pass.
    pub fn cost(&self, cost: NonZeroU32) -> NonZeroU32 {
        cost.min(self.burst)
    }
}

/// As it is written in a configuration: `600/min`, `5/10s`.
impl fmt::Display for RateLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1000)];
        let fits = |(_, ms): &(&str, u64)| self.period_ms.is_multiple_of(*ms);
        let (unit, ms) = units.into_iter().find(fits).unwrap_or(("ms", 1));
        match self.period_ms / ms {
            1 => write!(f, "{}/{unit}", self.count),
            several => write!(f, "{}/{several}{unit}", self.count),
        }
    }
}

/// Which limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LimitKind {
    Key,
    Vendor,
    Practice,
    /// Of the key, within a category: its place in the configuration's list.
    Category(u16),
    DailyRequests,
    DailyBytes,
    Concurrent,
    FailedAuth,
    /// Of an address that asks for public paths.
    Source,
}

impl LimitKind {
    /// The names of all, for counters.
    pub const NAMES: [&'static str; 9] = [
        "key",
        "vendor",
        "practice",
        "category",
        "daily_requests",
        "daily_bytes",
        "concurrent",
        "failed_auth",
        "source",
    ];

    /// As it is told; of a category, the name follows it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Vendor => "vendor",
            Self::Practice => "practice",
            Self::Category(_) => "category",
            Self::DailyRequests => "daily_requests",
            Self::DailyBytes => "daily_bytes",
            Self::Concurrent => "concurrent",
            Self::FailedAuth => "failed_auth",
            Self::Source => "source",
        }
    }
}

/// The limit that a request went over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overrun {
    pub kind: LimitKind,
    /// `key`, `category:files`.
    pub limit: Box<str>,
    /// As the configuration has it: `600/min`, `30000/d`.
    pub allowed: Box<str>,
    /// The most at once, where that is not what `allowed` says.
    pub burst: Option<u32>,
    /// What the request takes of it.
    pub cost: u32,
    /// The same request passes after this time, if nothing else comes before it, and not sooner. None where nobody knows.
    pub wait: Option<Duration>,
}

impl Overrun {
    /// In whole seconds, as HTTP has it.
    pub fn retry_after(&self) -> Option<u64> {
        let wait = self.wait?;
        Some((wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn a_bucket_holds_one_period_unless_it_says_otherwise() {
        let plain = RateLimit::new(600, MINUTE, None).unwrap();
        assert_eq!((plain.interval(), plain.burst().get()), (100_000_000, 600));
        assert_eq!(plain.fill(), 60_000_000_000);
        let small = RateLimit::new(600, MINUTE, Some(100)).unwrap();
        assert_eq!((small.burst().get(), small.fill()), (100, 10_000_000_000));
        let cost = |cost| small.cost(NonZeroU32::new(cost).unwrap()).get();
        assert_eq!([cost(99), cost(100), cost(101)], [99, 100, 100]);
    }

    #[test]
    fn limits_that_cannot_be_counted_are_none() {
        let most = u64::from(u32::MAX);
        assert!(RateLimit::new(most, Duration::from_secs(1), None).is_ok());
        assert!(RateLimit::new(most + 1, Duration::from_secs(1), None).is_err());
        assert!(RateLimit::new(1, Duration::from_secs(86_400), Some(most)).is_err());
        assert!(RateLimit::new(1, Duration::ZERO, None).is_err());
        assert!(RateLimit::new(0, MINUTE, None).is_err());
        assert!(RateLimit::new(1, MINUTE, Some(0)).is_err());
        assert!(RateLimit::new(1, Duration::MAX, None).is_err());
    }

    #[test]
    fn rates_are_told_as_they_are_written() {
        for (count, seconds, text) in
            [(600, 60, "600/min"), (5, 10, "5/10s"), (1, 86_400, "1/d"), (7, 7200, "7/2h")]
        {
            let limit = RateLimit::new(count, Duration::from_secs(seconds), None).unwrap();
            assert_eq!(limit.to_string(), text);
        }
    }

    #[test]
    fn waits_are_told_in_whole_seconds_that_are_long_enough() {
        let kind = LimitKind::Key;
        let overrun = |wait| Overrun {
            kind,
            limit: "key".into(),
            allowed: "".into(),
            burst: None,
            cost: 1,
            wait,
        };
        let told = |nanos| overrun(Some(Duration::from_nanos(nanos))).retry_after().unwrap();
        assert_eq!([told(0), told(1), told(1_000_000_000), told(1_000_000_001)], [1, 1, 1, 2]);
        assert_eq!(overrun(None).retry_after(), None);
    }
}
