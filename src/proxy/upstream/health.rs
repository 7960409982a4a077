//! Whether an endpoint is worth trying, as all workers see it: atomics, written only when something changes.
//!
//! Failures in a row eject an endpoint for a while that doubles up to a bound, with jitter so that no two gateways come
//! back in step. When the while is over, one request tries it; the others stay away until that one has fared well.
//! Probes, where configured, take an endpoint out and in again with hysteresis.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::time::Instant;

const FAILURES_TO_EJECT: u32 = 3;
const FIRST_EJECTION: Duration = Duration::from_secs(1);
const LONGEST_EJECTION: Duration = Duration::from_secs(30);
/// How long the one request that tries an ejected endpoint keeps the others away.
const TRIAL: Duration = Duration::from_secs(2);
const PROBES_TO_RETURN: u32 = 2;
const PROBES_TO_LEAVE: u32 = 3;

#[derive(Debug)]
pub(crate) struct Health {
    born: Instant,
    failures: AtomicU32,
    /// Milliseconds after `born`; 0 is not ejected.
    ejected_until: AtomicU64,
    probed_down: AtomicBool,
    /// Probes in a row that speak against `probed_down`.
    contrary_probes: AtomicU32,
    next_probe: AtomicU64,
}

impl Health {
    pub(crate) fn new() -> Self {
        Self {
            born: Instant::now(),
            failures: AtomicU32::new(0),
            ejected_until: AtomicU64::new(0),
            probed_down: AtomicBool::new(false),
            contrary_probes: AtomicU32::new(0),
            next_probe: AtomicU64::new(0),
        }
    }

    pub(crate) fn is_good(&self) -> bool {
        !self.probed_down.load(Relaxed) && self.ejected_until.load(Relaxed) == 0
    }

    /// Whether a request may go there; of an ejected endpoint whose time is over, one may.
    pub(crate) fn admits(&self) -> bool {
        if self.probed_down.load(Relaxed) {
            return false;
        }
        let until = self.ejected_until.load(Relaxed);
        if until == 0 {
            return true;
        }
        let now = self.now();
        let trial = now.saturating_add(millis(TRIAL));
        until <= now && self.ejected_until.compare_exchange(until, trial, Relaxed, Relaxed).is_ok()
    }

    /// True if it was ejected until now.
    pub(crate) fn fared_well(&self) -> bool {
        if self.failures.load(Relaxed) == 0 {
            return false;
        }
        self.failures.store(0, Relaxed);
        self.ejected_until.swap(0, Relaxed) != 0
    }

    /// True if this is the failure that ejects it.
    pub(crate) fn failed(&self) -> bool {
        let failures = self.failures.fetch_add(1, Relaxed).saturating_add(1);
        let Some(doublings) = failures.checked_sub(FAILURES_TO_EJECT) else { return false };
        let pause = FIRST_EJECTION.saturating_mul(1 << doublings.min(5)).min(LONGEST_EJECTION);
        let pause = pause.mul_f64(0.75 + fastrand::f64() / 2.0);
        self.ejected_until.store(self.now().saturating_add(millis(pause)).max(1), Relaxed);
        doublings == 0
    }

    /// Nothing went wrong since something went well.
    pub(crate) fn is_unblemished(&self) -> bool {
        self.failures.load(Relaxed) == 0
    }

    /// True, and noted, when the next probe is due; the next one after it comes about an interval later.
    pub(crate) fn takes_probe(&self, interval: Duration) -> bool {
        let now = self.now();
        if now < self.next_probe.load(Relaxed) {
            return false;
        }
        let pause = interval.mul_f64(0.9 + fastrand::f64() / 5.0);
        self.next_probe.store(now.saturating_add(millis(pause)), Relaxed);
        true
    }

    /// Takes the outcome of a probe; true if the endpoint left or came back by it.
    pub(crate) fn probed(&self, well: bool) -> bool {
        let down = self.probed_down.load(Relaxed);
        if well != down {
            self.contrary_probes.store(0, Relaxed);
            return false;
        }
        let contrary = self.contrary_probes.fetch_add(1, Relaxed).saturating_add(1);
        if contrary < if down { PROBES_TO_RETURN } else { PROBES_TO_LEAVE } {
            return false;
        }
        self.contrary_probes.store(0, Relaxed);
        self.probed_down.store(!down, Relaxed);
        self.fared_well();
        true
    }

    fn now(&self) -> u64 {
        millis(self.born.elapsed())
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lets the time of an ejection pass.
    fn pass(health: &mut Health, time: Duration) {
        let until = health.ejected_until.get_mut();
        *until = until.saturating_sub(millis(time)).max(1);
        health.born -= Duration::from_millis(1);
    }

    #[test]
    fn failures_in_a_row_eject_and_one_trial_brings_back() {
        let mut health = Health::new();
        health.failed();
        health.failed();
        health.fared_well();
        health.failed();
        health.failed();
        assert!(health.is_good() && health.admits());
        health.failed();
        assert!(!health.is_good() && !health.admits());
        pass(&mut health, Duration::from_millis(1300));
        assert!(health.admits(), "one may try");
        assert!(!health.admits(), "the others wait for it");
        health.fared_well();
        assert!(health.is_good() && health.admits());
    }

    #[test]
    fn ejections_grow_up_to_a_bound() {
        let mut health = Health::new();
        assert_eq!((0..40).filter(|_| health.failed()).count(), 1, "told once that it is ejected");
        pass(&mut health, Duration::from_secs(20));
        assert!(!health.admits());
        pass(&mut health, Duration::from_secs(20));
        assert!(health.admits());
    }

    #[test]
    fn probes_have_hysteresis() {
        let health = Health::new();
        assert_eq!([false, false, true, false, false].map(|well| health.probed(well)), [false; 5]);
        assert!(health.is_good());
        assert!(health.probed(false) && !health.is_good() && !health.admits());
        assert!(!health.probed(true) && !health.probed(false) && !health.probed(true));
        assert!(health.probed(true) && health.is_good());
    }
}
