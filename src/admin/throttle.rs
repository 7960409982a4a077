//! Sign-ins that fail are made to wait, each time longer: by username and by source address.
//!
//! An attempt is counted as failed before its password is looked at and taken back when it was right, so that many at
//! once are as few as one after the other. While a name or a source waits, the right password is refused, too: else
//! guessing could go on. So that strangers cannot keep somebody out, a name is counted by itself for each source that
//! signed it in before. What is remembered is bounded; what failed least is forgotten first.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::model::Timestamp;

/// Mistakes that cost nothing.
const FREE_BY_NAME: u32 = 5;
/// A practice's people may share an address.
const FREE_BY_SOURCE: u32 = 20;
const LONGEST: Duration = Duration::from_secs(300);
/// After so long without an attempt everything is forgiven.
const FORGIVEN_AFTER: Duration = Duration::from_secs(3600);
const MAX_REMEMBERED: usize = 10_000;

#[derive(Debug)]
pub(super) struct Throttle(Mutex<Both>);

#[derive(Debug)]
struct Both {
    names: Attempts<Name>,
    sources: Attempts<IpAddr>,
    /// Who signed in from where, and when. Only right passwords get in here.
    known: HashMap<(Box<str>, IpAddr), Timestamp>,
}

/// A name as it is counted: from a source that signed it in before, or from anywhere else.
type Name = (Box<str>, Option<IpAddr>);

/// An attempt that was counted as failed, until something else is said of it.
#[derive(Debug)]
#[must_use]
pub(super) struct Attempt {
    name: Name,
    source: IpAddr,
}

impl Default for Throttle {
    fn default() -> Self {
        let names = Attempts::new(FREE_BY_NAME, MAX_REMEMBERED);
        let sources = Attempts::new(FREE_BY_SOURCE, MAX_REMEMBERED);
        Self(Mutex::new(Both { names, sources, known: HashMap::new() }))
    }
}

impl Throttle {
    /// Counts an attempt, or says how long to wait.
    pub(super) fn begin(
        &self,
        name: &str,
        source: IpAddr,
        now: Timestamp,
    ) -> Result<Attempt, Duration> {
        let mut both = self.both();
        let mut name: Name = (name.into(), None);
        if both.known.contains_key(&(name.0.clone(), source)) {
            name.1 = Some(source);
        }
        let wait = both.names.wait(&name, now).max(both.sources.wait(&source, now));
        if !wait.is_zero() {
            return Err(wait);
        }
        both.names.count(name.clone(), now);
        both.sources.count(source, now);
        Ok(Attempt { name, source })
    }

    /// The attempt was right: the name starts anew, and the source has one failure less.
    pub(super) fn succeeded(&self, attempt: Attempt, now: Timestamp) {
        let Attempt { name, source } = attempt;
        let mut both = self.both();
        both.names.remembered.remove(&name);
        both.sources.take_back(&source, now);
        both.know(name.0, source, now);
    }

    /// Nobody looked at the password, or it was right and something else failed: there was no mistake.
    pub(super) fn take_back(&self, attempt: &Attempt, now: Timestamp) {
        let mut both = self.both();
        both.names.take_back(&attempt.name, now);
        both.sources.take_back(&attempt.source, now);
    }

    fn both(&self) -> MutexGuard<'_, Both> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Both {
    fn know(&mut self, name: Box<str>, source: IpAddr, now: Timestamp) {
        let who = (name, source);
        if self.known.len() >= MAX_REMEMBERED && !self.known.contains_key(&who) {
            let oldest = self.known.iter().min_by_key(|(_, at)| **at).map(|(who, _)| who.clone());
            oldest.and_then(|who| self.known.remove(&who));
        }
        self.known.insert(who, now);
    }
}

#[derive(Debug)]
struct Attempts<K> {
    free: u32,
    most: usize,
    remembered: HashMap<K, Failures>,
}

#[derive(Clone, Copy, Debug)]
struct Failures {
    count: u32,
    last: Timestamp,
    until: Timestamp,
}

impl<K: Clone + Eq + Hash> Attempts<K> {
    fn new(free: u32, most: usize) -> Self {
        Self { free, most, remembered: HashMap::new() }
    }

    fn wait(&self, key: &K, now: Timestamp) -> Duration {
        self.remembered.get(key).map_or(Duration::ZERO, |failures| failures.until.since(now))
    }

    fn count(&mut self, key: K, now: Timestamp) {
        if self.remembered.len() >= self.most && !self.remembered.contains_key(&key) {
            self.forget_one(now);
        }
        let failures =
            self.remembered.entry(key).or_insert(Failures { count: 0, last: now, until: now });
        if now.since(failures.last) >= FORGIVEN_AFTER {
            failures.count = 0;
        }
        failures.count = failures.count.saturating_add(1);
        failures.last = now;
        failures.until = now.after(delay(failures.count, self.free));
    }

    fn take_back(&mut self, key: &K, now: Timestamp) {
        if let Some(failures) = self.remembered.get_mut(key) {
            failures.count = failures.count.saturating_sub(1);
            failures.until = now;
        }
    }

    /// All that is forgiven, or else what failed least and longest ago.
    fn forget_one(&mut self, now: Timestamp) {
        self.remembered.retain(|_, failures| now.since(failures.last) < FORGIVEN_AFTER);
        if self.remembered.len() < self.most {
            return;
        }
        let least =
            self.remembered.iter().min_by_key(|(_, failures)| (failures.count, failures.last));
        if let Some(key) = least.map(|(key, _)| key.clone()) {
            self.remembered.remove(&key);
        }
    }
}

/// Nothing, then 1 s, 2 s, 4 s…
fn delay(count: u32, free: u32) -> Duration {
    match count.checked_sub(free) {
        None => Duration::ZERO,
        Some(beyond) => {
            Duration::from_secs(1_u64.checked_shl(beyond).unwrap_or(u64::MAX)).min(LONGEST)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    fn elsewhere(n: u32) -> IpAddr {
        IpAddr::V4(std::net::Ipv4Addr::from_bits(n))
    }

    #[test]
    fn waiting_grows_and_has_an_end() {
        let throttle = Throttle::default();
        let mut now = 0;
        let mut waits = Vec::new();
        for _ in 0..20 {
            match throttle.begin("lee", HOME, at(now)) {
                Ok(_) => waits.push(0),
                Err(wait) => {
                    let seconds = wait.as_secs();
                    now += i64::try_from(seconds).unwrap();
                    waits.push(seconds);
                }
            }
        }
        waits.retain(|wait| *wait > 0);
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128]);
        assert_eq!(delay(1000, 5), LONGEST);
    }

    #[test]
    fn a_name_waits_from_wherever_it_is_tried() {
        let throttle = Throttle::default();
        for n in 0..FREE_BY_NAME {
            assert!(throttle.begin("lee", elsewhere(n), at(0)).is_ok());
        }
        assert!(throttle.begin("lee", elsewhere(99), at(0)).is_err());
        assert!(throttle.begin("kim", elsewhere(99), at(0)).is_ok());
    }

    #[test]
    fn a_source_waits_whatever_name_it_tries() {
        let throttle = Throttle::default();
        for n in 0..FREE_BY_SOURCE {
            assert!(throttle.begin(&format!("name{n}"), HOME, at(0)).is_ok());
        }
        assert!(throttle.begin("another", HOME, at(0)).is_err());
        assert!(throttle.begin("another", elsewhere(1), at(0)).is_ok());
    }

    #[test]
    fn success_clears_the_name_and_takes_back_its_own_attempt() {
        let throttle = Throttle::default();
        for n in 0..1000 {
            let attempt = throttle.begin("lee", HOME, at(0));
            throttle.succeeded(attempt.unwrap_or_else(|wait| panic!("{n}: {wait:?}")), at(0));
        }
    }

    #[test]
    fn strangers_keep_nobody_out_who_signed_in_from_there_before() {
        let throttle = Throttle::default();
        throttle.succeeded(throttle.begin("lee", HOME, at(0)).unwrap(), at(0));
        for n in 0..FREE_BY_NAME {
            assert!(throttle.begin("lee", elsewhere(n), at(0)).is_ok());
        }
        assert!(throttle.begin("lee", elsewhere(99), at(0)).is_err());
        throttle.succeeded(throttle.begin("lee", HOME, at(0)).unwrap(), at(0));
        assert!(throttle.begin("lee", elsewhere(99), at(0)).is_err(), "they go on waiting");
        for _ in 0..FREE_BY_NAME {
            assert!(throttle.begin("lee", HOME, at(0)).is_ok());
        }
        assert!(throttle.begin("lee", HOME, at(0)).is_err(), "guessing waits from there, too");
        assert!(throttle.begin("kim", HOME, at(0)).is_ok());
    }

    #[test]
    fn an_attempt_that_nobody_looked_at_is_no_mistake() {
        let throttle = Throttle::default();
        for n in 0..1000 {
            let attempt = throttle.begin("lee", HOME, at(0));
            throttle.take_back(&attempt.unwrap_or_else(|wait| panic!("{n}: {wait:?}")), at(0));
        }
        for _ in 0..FREE_BY_NAME {
            assert!(throttle.begin("lee", HOME, at(0)).is_ok());
        }
        assert!(throttle.begin("lee", HOME, at(0)).is_err());
    }

    #[test]
    fn sources_that_signed_in_are_not_remembered_endlessly() {
        let throttle = Throttle::default();
        for n in 0..u32::try_from(MAX_REMEMBERED).unwrap() + 10 {
            let (source, now) = (elsewhere(n), at(i64::from(n)));
            throttle.succeeded(throttle.begin("lee", source, now).unwrap(), now);
        }
        let both = throttle.both();
        assert_eq!(both.known.len(), MAX_REMEMBERED);
        assert!(!both.known.contains_key(&("lee".into(), elsewhere(9))));
        assert!(both.known.contains_key(&("lee".into(), elsewhere(10))));
    }

    #[test]
    fn after_an_hour_of_quiet_it_starts_anew() {
        let throttle = Throttle::default();
        for _ in 0..FREE_BY_NAME {
            assert!(throttle.begin("lee", HOME, at(0)).is_ok());
        }
        assert!(throttle.begin("lee", HOME, at(3600)).is_ok());
        assert!(throttle.begin("lee", HOME, at(3600)).is_ok());
    }

    #[test]
    fn what_is_remembered_is_bounded_and_the_worst_is_kept() {
        let mut names: Attempts<u32> = Attempts::new(5, 100);
        for _ in 0..9 {
            names.count(7, at(0));
        }
        for n in 1000..3000 {
            names.count(n, at(1));
        }
        assert_eq!(names.remembered.len(), 100);
        assert!(!names.wait(&7, at(1)).is_zero());
    }
}
