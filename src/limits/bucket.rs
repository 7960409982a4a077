//! One bucket, and the one place where it is decided whether something may be taken out of it.
//!
//! A bucket is kept as its **debt**: how long, from a moment on, until it is full again. Debt shrinks as time passes; a unit
//! adds one interval to it; what would make it more than the bucket holds is refused. That is GCRA, with its "theoretical
//! arrival time" written as a distance from now: `governor` decides, over a state that is as old as the question. Kept
//! this way a bucket means the same to every clock, so it can be handed to Redis and back (`store/redis/limits/take.lua`
//! does the same arithmetic), and it can be read under another limit than it was written under: see [`Bucket::debt`].

use std::cell::Cell;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{NotKeyed, StateStore};
use governor::{Quota, RateLimiter};

use crate::model::RateLimit;

/// Nanoseconds since this process began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub u64);

/// What was taken, and not yet given back by time. The default is a full one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bucket {
    at: Moment,
    /// Nanoseconds until it is full, from `at` on.
    debt: u64,
    /// Of the limit that it was written under.
    interval: u64,
    burst: u32,
}

/// What becomes of a bucket if something is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trial {
    Fits(Bucket),
    /// It would fit after so many nanoseconds, and not sooner.
    Wait(u64),
}

impl Bucket {
    /// With so much debt at a moment.
    pub fn owing(debt: u64, limit: &RateLimit, at: Moment) -> Self {
        let debt = debt.min(limit.fill());
        Self { at, debt, interval: limit.interval(), burst: limit.burst().get() }
    }

    /// Nanoseconds until it is full. Under a limit that has changed since, it holds as many units as it held, but no more
    /// than the new bucket can: what was used up stays so and comes back at the new rate. A full one is full.
    pub fn debt(&self, limit: &RateLimit, now: Moment) -> u64 {
        let debt = self.debt.saturating_sub(now.0.saturating_sub(self.at.0));
        let (interval, burst) = (limit.interval(), limit.burst().get());
        if debt == 0 || (self.interval, self.burst) == (interval, burst) {
            return debt;
        }
        let whole = u128::from(self.burst) * u128::from(self.interval);
        let left = whole.saturating_sub(debt.into()) * u128::from(interval)
            / u128::from(self.interval.max(1));
        u64::try_from(u128::from(limit.fill()).saturating_sub(left)).unwrap_or(u64::MAX)
    }

    /// The same under a limit that may have changed: from now on it comes back at the new rate.
    #[must_use]
    pub fn under(&self, limit: &RateLimit, now: Moment) -> Self {
        if (self.interval, self.burst) == (limit.interval(), limit.burst().get()) {
            return *self;
        }
        let now = now.max(self.at);
        Self::owing(self.debt(limit, now), limit, now)
    }

    /// Whether `cost` can be taken now; a cost beyond what the bucket holds is all of it.
    pub fn take(&self, limit: &RateLimit, cost: NonZeroU32, now: Moment) -> Trial {
        // Who came a little earlier, and is looked at a little later, came when it is looked at.
        let now = now.max(self.at);
        let Some(quota) = Quota::with_period(Duration::from_nanos(limit.interval())) else {
            return Trial::Fits(*self);
        };
        let state = Debt { before: self.debt(limit, now), after: Cell::new(None) };
        let bucket = RateLimiter::<_, _, _, NoOpMiddleware<Duration>>::new(
            quota.allow_burst(limit.burst()),
            state,
            Now,
        );
        match bucket.check_n(limit.cost(cost)) {
            Ok(Err(until)) => {
                let wait = until.wait_time_from(Duration::ZERO);
                Trial::Wait(u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX))
            }
            // More than it holds is not asked for.
            Ok(Ok(())) | Err(_) => {
                let debt = bucket.into_state_store().after.get().unwrap_or_default();
                Trial::Fits(Self::owing(debt, limit, now))
            }
        }
    }

    /// What was taken comes back.
    #[must_use]
    pub fn give_back(&self, limit: &RateLimit, cost: NonZeroU32, now: Moment) -> Self {
        let now = now.max(self.at);
        let taken = limit.interval().saturating_mul(limit.cost(cost).get().into());
        Self::owing(self.debt(limit, now).saturating_sub(taken), limit, now)
    }

    /// The same, or so much debt at a moment where that is full later.
    #[must_use]
    pub fn at_least(&self, debt: u64, limit: &RateLimit, at: Moment) -> Self {
        let now = at.max(self.at);
        let debt = debt.saturating_sub(now.0 - at.0);
        Self::owing(self.debt(limit, now).max(debt), limit, now)
    }

    /// Whether it is as good as a new one.
    pub fn is_full(&self, now: Moment) -> bool {
        self.debt <= now.0.saturating_sub(self.at.0)
    }
}

/// How many whole units are left beside a debt.
pub fn left(limit: &RateLimit, debt: u64) -> u64 {
    limit.fill().saturating_sub(debt) / limit.interval()
}

/// The state of one question: what is owed before, and what after.
struct Debt {
    before: u64,
    after: Cell<Option<u64>>,
}

impl StateStore for Debt {
    type Key = NotKeyed;

    fn measure_and_replace<T, F, E>(&self, _: &NotKeyed, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let (told, after) = decide(Some(Nanos::new(self.before)))?;
        self.after.set(Some(after.as_u64()));
        Ok(told)
    }
}

/// Debts are told from now on, so it is always nought.
struct Now;

impl Clock for Now {
    type Instant = Duration;

    fn now(&self) -> Duration {
        Duration::ZERO
    }
}

#[cfg(test)]
mod tests;
