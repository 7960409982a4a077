//! What is counted on this node, and the decision over all limits of one request at once.
//!
//! Rows are locked in one order (key, vendor, practice) and held while the request is decided, so that what is admitted is
//! what one queue of requests would have been admitted, whatever comes at once. Nothing waits while it holds a row.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use smallvec::SmallVec;

use crate::limits::bucket::{Bucket, Moment, Trial};
use crate::limits::plan::{Categories, Plan};
use crate::limits::rows::{Row, Rows};
use crate::limits::shared::StoreClock;
use crate::limits::sources::Sources;
use crate::limits::standing::{self, SECOND, Standing, Standings};
use crate::model::{LimitKind, Overrun, RateLimit, Refusal, Timestamp};
use crate::registry::view::Counted;
use crate::store::limits::Used;

const DAY: u64 = 86_400 * SECOND;

/// Everything that is counted, of all workers; it outlives every configuration.
#[derive(Debug)]
pub struct Limiter {
    began: Instant,
    pub(super) keys: Rows<KeyRow>,
    pub(super) vendors: Rows<Bucket>,
    pub(super) practices: Rows<Bucket>,
    /// Callers without valid keys.
    failures: Sources,
    /// Callers of public routes.
    public: Sources,
    pub(super) store_clock: StoreClock,
}

/// Of one key.
#[derive(Debug, Default)]
pub(super) struct KeyRow {
    bucket: Bucket,
    /// By the number of the category.
    categories: SmallVec<[(u16, Bucket); 1]>,
    pub(super) today: Used,
    /// What of it is being told to other nodes just now: `limits::shared`.
    pub(super) unsettled: Option<Box<Used>>,
    pub(super) running: u32,
}

/// One request, as far as limits go.
#[derive(Clone, Debug)]
pub struct Charge<'p> {
    pub plan: &'p Plan,
    pub who: Counted,
    pub categories: Categories,
    pub cost: NonZeroU32,
    pub at: Moment,
    pub clock: Clock,
}

/// Keys that share a bucket, by the number of what they have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    Vendor(u32),
    Practice(u32),
}

/// The day, and how much of it is left: by the clock on the wall.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    pub day: u32,
    /// Nanoseconds.
    pub left: u64,
}

/// What was decided, and what is left of everything that holds.
#[derive(Debug)]
pub struct Verdict {
    pub standings: Standings,
    pub outcome: Result<Spent, Refusal>,
}

/// What a request that was let through still owes an account of: how it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spent {
    pub(super) key: u32,
    pub(super) day: u32,
    /// It is one of those that run.
    pub(super) is_running: bool,
    /// What it moves is counted.
    pub(super) has_weight: bool,
}

impl Group {
    pub(super) fn kind(self) -> LimitKind {
        match self {
            Self::Vendor(_) => LimitKind::Vendor,
            Self::Practice(_) => LimitKind::Practice,
        }
    }
}

impl Clock {
    pub fn at(now: Timestamp) -> Self {
        const MICROS: i64 = 86_400_000_000;
        let micros = now.as_micros();
        let gone = u64::try_from(micros.rem_euclid(MICROS)).unwrap_or_default() * 1000;
        Self { day: u32::try_from(micros.div_euclid(MICROS)).unwrap_or_default(), left: DAY - gone }
    }
}

impl<'p> Charge<'p> {
    /// Every bucket that it is held against, in the order in which they are told.
    pub(super) fn rates(&self) -> SmallVec<[(LimitKind, RateLimit); 5]> {
        let limits = self.plan.limits();
        let mut rates = SmallVec::new();
        let mut hold =
            |kind, limit: Option<RateLimit>| rates.extend(limit.map(|limit| (kind, limit)));
        hold(LimitKind::Key, self.who.own.or(limits.key));
        for place in &self.categories {
            hold(LimitKind::Category(*place), self.plan.category(*place).copied());
        }
        hold(LimitKind::Vendor, limits.vendor.filter(|_| self.who.vendor.is_some()));
        hold(LimitKind::Practice, limits.practice);
        rates
    }

    /// For looking alone: at every limit that could hold for somebody, whatever is asked. None where none does.
    pub fn of_a_look(plan: &'p Plan, who: Counted, at: Moment, clock: Clock) -> Option<Self> {
        let (categories, cost) = (plan.all_categories(), NonZeroU32::MIN);
        (!plan.is_free(&who)).then_some(Self { plan, who, categories, cost, at, clock })
    }

    pub(super) fn spent(&self, is_running: bool) -> Spent {
        let has_weight = self.plan.limits().daily_bytes.is_some();
        Spent { key: self.who.key, day: self.clock.day, is_running, has_weight }
    }

    /// Over a limit: what is told of it.
    pub(super) fn overrun(&self, kind: LimitKind, wait: Option<u64>) -> Box<Overrun> {
        let rate = self.plan.rate(kind, self.who.own);
        Box::new(Overrun {
            kind,
            limit: self.plan.name(kind).into(),
            allowed: self.plan.allowed(kind, self.who.own).into(),
            burst: rate.map(|rate| rate.burst().get()),
            cost: rate.map_or(1, |rate| rate.cost(self.cost).get()),
            wait: wait.map(Duration::from_nanos),
        })
    }

    /// The refusal that holds longest: once it is over, so are the others.
    pub(super) fn refusal(&self, over: &[(LimitKind, Option<u64>)]) -> Option<Refusal> {
        let (kind, wait) = over.iter().copied().max_by_key(|(_, wait)| *wait)?;
        let overrun = self.overrun(kind, wait);
        Some(match kind {
            LimitKind::DailyRequests | LimitKind::DailyBytes => Refusal::QuotaExceeded(overrun),
            LimitKind::Concurrent => Refusal::TooManyConcurrent(overrun),
            _ => Refusal::RateLimited(overrun),
        })
    }
}

impl KeyRow {
    fn bucket(&mut self, number: u16) -> &mut Bucket {
        let place = self.categories.iter().position(|(known, _)| *known == number);
        let place = place.unwrap_or_else(|| {
            self.categories.push((number, Bucket::default()));
            self.categories.len() - 1
        });
        &mut self.categories[place].1
    }

    /// A clock that was set back begins no new day. One that was ahead by more than a day was wrong: what was counted by it
    /// counts today, or the quota of a day would hold for years.
    pub(super) fn begin(&mut self, day: u32) -> &mut Used {
        if self.today.day > day.saturating_add(1) {
            self.today.day = day;
        }
        self.not_before(day)
    }

    /// The same for what began on that day, perhaps long ago: what it moves counts on the last day that has begun.
    pub(super) fn not_before(&mut self, day: u32) -> &mut Used {
        if day > self.today.day {
            self.today = Used { day, ..Used::default() };
        }
        &mut self.today
    }

    fn is_idle(&self, now: Moment, day: u32) -> bool {
        let used =
            self.today.day >= day && self.today != Used { day: self.today.day, ..Used::default() };
        let is_full = |bucket: &Bucket| bucket.is_full(now);
        self.running == 0
            && !used
            && is_full(&self.bucket)
            && self.categories.iter().all(|(_, bucket)| is_full(bucket))
    }
}

/// The rows of one request, locked.
pub(super) struct Locked<'l, 'p> {
    plan: &'p Plan,
    pub(super) key: Row<'l, KeyRow>,
    vendor: Option<Row<'l, Bucket>>,
    practice: Option<Row<'l, Bucket>>,
}

impl Locked<'_, '_> {
    pub(super) fn bucket(&mut self, kind: LimitKind) -> Option<&mut Bucket> {
        match kind {
            LimitKind::Key => Some(&mut self.key.get().bucket),
            LimitKind::Category(place) => Some(self.key.get().bucket(self.plan.number(place))),
            LimitKind::Vendor => self.vendor.as_mut().map(Row::get),
            LimitKind::Practice => self.practice.as_mut().map(Row::get),
            LimitKind::DailyRequests
            | LimitKind::DailyBytes
            | LimitKind::Concurrent
            | LimitKind::FailedAuth
            | LimitKind::Source => None,
        }
    }
}

impl Default for Limiter {
    fn default() -> Self {
        Self {
            began: Instant::now(),
            keys: Rows::default(),
            vendors: Rows::default(),
            practices: Rows::default(),
            failures: Sources::default(),
            public: Sources::default(),
            store_clock: StoreClock::default(),
        }
    }
}

impl Limiter {
    pub fn moment(&self, at: Instant) -> Moment {
        let nanos = at.saturating_duration_since(self.began).as_nanos();
        Moment(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// Takes from all limits of a request, or from none and says which one refused.
    pub fn take(&self, charge: &Charge<'_>) -> Verdict {
        let limits = charge.plan.limits();
        let mut rows = self.lock(charge);
        let mut fits = SmallVec::<[(LimitKind, Bucket); 5]>::new();
        let mut over = SmallVec::<[(LimitKind, Option<u64>); 2]>::new();
        let rates = charge.rates();
        for (kind, limit) in &rates {
            let Some(bucket) = rows.bucket(*kind) else { continue };
            *bucket = bucket.under(limit, charge.at);
            match bucket.take(limit, charge.cost, charge.at) {
                Trial::Fits(after) => fits.push((*kind, after)),
                Trial::Wait(wait) => over.push((*kind, Some(wait))),
            }
        }
        let row = rows.key.get();
        let today = row.begin(charge.clock.day);
        if limits.daily_requests.is_some_and(|most| today.requests >= most) {
            over.push((LimitKind::DailyRequests, Some(charge.clock.left)));
        }
        if limits.daily_bytes.is_some_and(|most| today.bytes >= most) {
            over.push((LimitKind::DailyBytes, Some(charge.clock.left)));
        }
        if limits.max_concurrent_per_key.is_some_and(|most| row.running >= most) {
            over.push((LimitKind::Concurrent, None));
        }
        let outcome = match charge.refusal(&over) {
            Some(refusal) => Err(refusal),
            None => {
                let is_running = limits.max_concurrent_per_key.is_some();
                if limits.daily_requests.is_some() {
                    row.today.requests += 1;
                }
                row.running += u32::from(is_running);
                for (kind, after) in fits {
                    if let Some(bucket) = rows.bucket(kind) {
                        *bucket = after;
                    }
                }
                Ok(charge.spent(is_running))
            }
        };
        Verdict { standings: standings(charge, &mut rows, &rates), outcome }
    }

    /// What is left, without taking anything.
    pub fn look(&self, charge: &Charge<'_>) -> Standings {
        standings(charge, &mut self.lock(charge), &charge.rates())
    }

    /// The same of the one limit that all keys of a vendor or of a practice share.
    pub fn look_at(&self, plan: &Plan, group: Group) -> Option<Standing> {
        let kind = group.kind();
        let limit = plan.rate(kind, None)?;
        Some(Standing::of_rate(kind, &limit, self.debt(group, &limit)))
    }

    pub(super) fn debt(&self, group: Group, limit: &RateLimit) -> u64 {
        let mut row = match group {
            Group::Vendor(number) => self.vendors.lock(number),
            Group::Practice(number) => self.practices.lock(number),
        };
        row.get().debt(limit, self.moment(Instant::now()))
    }

    /// The request went nowhere after all.
    pub fn give_back(&self, charge: &Charge<'_>, spent: Spent) {
        let mut rows = self.lock(charge);
        for (kind, limit) in charge.rates() {
            if let Some(bucket) = rows.bucket(kind) {
                *bucket = bucket.give_back(&limit, charge.cost, charge.at);
            }
        }
        let row = rows.key.get();
        if charge.plan.limits().daily_requests.is_some() && row.today.day == spent.day {
            row.today.requests = row.today.requests.saturating_sub(1);
        }
        drop(rows);
        self.end(spent, 0);
    }

    /// The request is over, and moved so many bytes.
    pub fn end(&self, spent: Spent, bytes: u64) {
        if !spent.is_running && !spent.has_weight {
            return;
        }
        let mut row = self.keys.lock(spent.key);
        let row = row.get();
        row.running = row.running.saturating_sub(spent.is_running.into());
        if spent.has_weight {
            let today = row.not_before(spent.day);
            today.bytes = today.bytes.saturating_add(bytes);
        }
    }

    /// What a key has used of a day, as records have it: before this process began, or before it was counted.
    pub fn used_before(&self, key: u32, day: u32, requests: u64, bytes: u64) {
        let mut row = self.keys.lock(key);
        let today = row.get().begin(day);
        // Midnight may have passed since the records were read.
        if today.day == day {
            today.requests = today.requests.max(requests);
            today.bytes = today.bytes.max(bytes);
        }
    }

    /// A request without valid keys. Refused where its source had too many.
    pub fn failed(&self, plan: &Plan, ip: IpAddr, at: Instant) -> Result<(), Refusal> {
        let Some(limit) = plan.limits().failed_auth_per_ip else { return Ok(()) };
        let taken = self.failures.take(ip, &limit, NonZeroU32::MIN, self.moment(at));
        taken.map(drop).map_err(|wait| {
            Refusal::TooManyFailures(overrun_of(
                LimitKind::FailedAuth,
                &limit,
                NonZeroU32::MIN,
                wait,
            ))
        })
    }

    /// A request of a public route, which has no key: its source is counted in place of one.
    pub fn take_public(
        &self,
        plan: &Plan,
        ip: IpAddr,
        cost: NonZeroU32,
        at: Instant,
    ) -> Option<(Standing, Result<(), Refusal>)> {
        let limit = plan.limits().key?;
        let at = self.moment(at);
        let told = |debt| Standing::of_rate(LimitKind::Source, &limit, debt);
        Some(match self.public.take(ip, &limit, cost, at) {
            Ok(bucket) => (told(bucket.debt(&limit, at)), Ok(())),
            Err(wait) => {
                let unit = limit.interval().saturating_mul(limit.cost(cost).get().into());
                let debt = limit.fill().saturating_sub(unit).saturating_add(wait);
                let overrun = overrun_of(LimitKind::Source, &limit, cost, wait);
                (told(debt), Err(Refusal::RateLimited(overrun)))
            }
        })
    }

    /// Gives back what idle keys, vendors and practices take up.
    pub fn tidy(&self, now: Timestamp) {
        let (at, day) = (self.moment(Instant::now()), Clock::at(now).day);
        let kept = self.keys.tidy(|row| row.is_idle(at, day))
            + self.vendors.tidy(|bucket| bucket.is_full(at))
            + self.practices.tidy(|bucket| bucket.is_full(at));
        tracing::debug!(kept, "pages of limits are in use");
    }

    pub(super) fn lock<'l, 'p>(&'l self, charge: &Charge<'p>) -> Locked<'l, 'p> {
        let limits = charge.plan.limits();
        let key = self.keys.lock(charge.who.key);
        let vendor = charge.who.vendor.filter(|_| limits.vendor.is_some());
        let vendor = vendor.map(|number| self.vendors.lock(number));
        let practice = limits.practice.map(|_| self.practices.lock(charge.who.practice));
        Locked { plan: charge.plan, key, vendor, practice }
    }
}

fn overrun_of(kind: LimitKind, limit: &RateLimit, cost: NonZeroU32, wait: u64) -> Box<Overrun> {
    Box::new(Overrun {
        kind,
        limit: kind.name().into(),
        allowed: limit.to_string().into(),
        burst: Some(limit.burst().get()),
        cost: limit.cost(cost).get(),
        wait: Some(Duration::from_nanos(wait)),
    })
}

/// As the rows are now.
pub(super) fn standings(
    charge: &Charge<'_>,
    rows: &mut Locked<'_, '_>,
    rates: &[(LimitKind, RateLimit)],
) -> Standings {
    let limits = charge.plan.limits();
    let mut told = Standings::new();
    for (kind, limit) in rates {
        if let Some(bucket) = rows.bucket(*kind) {
            told.push(Standing::of_rate(*kind, limit, bucket.debt(limit, charge.at)));
        }
    }
    let row = rows.key.get();
    let ends_in = charge.clock.left.div_ceil(SECOND);
    let today = *row.begin(charge.clock.day);
    if let Some(most) = limits.daily_requests {
        told.push(Standing::of_day(LimitKind::DailyRequests, most, today.requests, ends_in));
    }
    if let Some(most) = limits.daily_bytes {
        told.push(Standing::of_day(LimitKind::DailyBytes, most, today.bytes, ends_in));
    }
    if let Some(most) = limits.max_concurrent_per_key {
        told.push(Standing::of_running(most, row.running));
    }
    standing::sort(&mut told);
    told
}

#[cfg(test)]
mod tests;
