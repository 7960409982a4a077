//! Sign-ins that fail are made to wait, each time longer: by username and by source address.
//!
//! An attempt is counted as failed before its password is looked at and taken back when it was right, so that many at
//! once are as few as one after the other. While a name or a source waits, the right password is refused, too: else
//! guessing could go on. What is remembered is bounded; what failed least is forgotten first.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
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
    names: Attempts<Box<str>>,
    sources: Attempts<IpAddr>,
}

impl Default for Throttle {
    fn default() -> Self {
        let names = Attempts::new(FREE_BY_NAME, MAX_REMEMBERED);
        let sources = Attempts::new(FREE_BY_SOURCE, MAX_REMEMBERED);
        Self(Mutex::new(Both { names, sources }))
    }
}

impl Throttle {
    /// Counts an attempt, or says how long to wait.
    pub(super) fn begin(&self, name: &str, source: IpAddr, now: Timestamp) -> Result<(), Duration> {
        let mut both = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let wait = both.names.wait(name, now).max(both.sources.wait(&source, now));
        if !wait.is_zero() {
            return Err(wait);
        }
        both.names.count(name.into(), now);
        both.sources.count(source, now);
        Ok(())
    }

    /// The attempt was right: the name starts anew, and the source has one failure less.
    pub(super) fn succeeded(&self, name: &str, source: IpAddr, now: Timestamp) {
        let mut both = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        both.names.remembered.remove(name);
        both.sources.take_back(&source, now);
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

    fn wait<Q>(&self, key: &Q, now: Timestamp) -> Duration
    where
        K: std::borrow::Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
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
                Ok(()) => waits.push(0),
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
            assert_eq!(throttle.begin("lee", elsewhere(n), at(0)), Ok(()));
        }
        assert!(throttle.begin("lee", elsewhere(99), at(0)).is_err());
        assert_eq!(throttle.begin("kim", elsewhere(99), at(0)), Ok(()));
    }

    #[test]
    fn a_source_waits_whatever_name_it_tries() {
        let throttle = Throttle::default();
        for n in 0..FREE_BY_SOURCE {
            assert_eq!(throttle.begin(&format!("name{n}"), HOME, at(0)), Ok(()));
        }
        assert!(throttle.begin("another", HOME, at(0)).is_err());
        assert_eq!(throttle.begin("another", elsewhere(1), at(0)), Ok(()));
    }

    #[test]
    fn success_clears_the_name_and_takes_back_its_own_attempt() {
        let throttle = Throttle::default();
        for n in 0..1000 {
            assert_eq!(throttle.begin("lee", HOME, at(0)), Ok(()), "{n}");
            throttle.succeeded("lee", HOME, at(0));
        }
    }

    #[test]
    fn after_an_hour_of_quiet_it_starts_anew() {
        let throttle = Throttle::default();
        for _ in 0..FREE_BY_NAME {
            assert_eq!(throttle.begin("lee", HOME, at(0)), Ok(()));
        }
        assert_eq!(throttle.begin("lee", HOME, at(3600)), Ok(()));
        assert_eq!(throttle.begin("lee", HOME, at(3600)), Ok(()));
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
