//! When the store was last in reach, and what is said about it: once when it is lost, once when it is back.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::registry::RegistryError;

#[derive(Debug)]
pub(in crate::registry) struct Contact {
    opened: Instant,
    /// Milliseconds from `opened`.
    last: AtomicU64,
    is_lost: AtomicBool,
}

impl Contact {
    pub(in crate::registry) fn now() -> Self {
        Self { opened: Instant::now(), last: AtomicU64::new(0), is_lost: AtomicBool::new(false) }
    }

    pub(in crate::registry) fn made(&self) {
        let since = u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.fetch_max(since, Ordering::Relaxed);
        if self.is_lost.swap(false, Ordering::Relaxed) {
            tracing::info!("the store is in reach again");
        }
    }

    pub(in crate::registry) fn failed(&self, error: &RegistryError) {
        if !self.is_lost.swap(true, Ordering::Relaxed) {
            tracing::error!(%error, "the store cannot be followed; serving by what is known so far");
        }
    }

    pub(in crate::registry) fn age(&self) -> Duration {
        let last = Duration::from_millis(self.last.load(Ordering::Relaxed));
        self.opened.elapsed().saturating_sub(last)
    }
}

/// Pauses between tries: short at first, never so long that contact which is back goes unnoticed for a second.
#[derive(Debug, Default)]
pub(in crate::registry) struct Backoff(u32);

impl Backoff {
    const LONGEST: Duration = Duration::from_millis(500);

    pub(in crate::registry) fn reset(&mut self) {
        self.0 = 0;
    }

    pub(in crate::registry) fn pause(&mut self) -> Duration {
        let pause = Duration::from_millis(20).saturating_mul(1 << self.0.min(5));
        self.0 = self.0.saturating_add(1);
        // So that many nodes do not come back all at once.
        pause.min(Self::LONGEST).mul_f64(0.5 + fastrand::f64() / 2.0)
    }
}
