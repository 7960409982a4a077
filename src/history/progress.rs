//! How far shipping is: counted by those who do it, read by metrics, readiness and people. What changes for the worse is
//! said once, and once when it is over.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::history::ShippingStatus;

#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Since when, and the latest reason. Held for a look or a change.
    trouble: Mutex<Option<(Instant, String)>>,
    /// What the store said last endangers records. Held for a look or a change.
    concerns: Mutex<Vec<String>>,
    shipped: AtomicU64,
    rewinds: AtomicU64,
    gone: AtomicU64,
    held_back: AtomicU64,
}

impl Progress {
    pub(super) fn status(&self) -> ShippingStatus {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let since = |(since, what): &(Instant, String)| (since.elapsed(), what.clone());
        ShippingStatus {
            trouble: self.trouble().as_ref().map(since),
            shipped: read(&self.shipped),
            rewinds: read(&self.rewinds),
            gone: read(&self.gone),
            held_back: read(&self.held_back),
        }
    }

    pub(super) fn concerns(&self) -> Vec<String> {
        self.concerns.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn concerned(&self, concerns: &[String]) {
        *self.concerns.lock().unwrap_or_else(PoisonError::into_inner) = concerns.to_vec();
    }

    fn trouble(&self) -> MutexGuard<'_, Option<(Instant, String)>> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn works(&self) {
        if let Some((since, _)) = self.trouble().take() {
            let seconds = since.elapsed().as_secs();
            tracing::info!(seconds, "all access records reach the store again");
        }
    }

    /// `outcome` is what people are told that it comes to.
    pub(super) fn fails(&self, outcome: &str, error: &dyn std::fmt::Display) {
        let what = error.to_string();
        let mut trouble = self.trouble();
        if let Some((_, said)) = trouble.as_mut() {
            *said = what;
            return;
        }
        tracing::warn!(error = %what, "{outcome}");
        *trouble = Some((Instant::now(), what));
    }

    pub(super) fn shipped(&self, records: u64) {
        self.shipped.fetch_add(records, Ordering::Relaxed);
    }

    pub(super) fn rewound(&self) {
        self.rewinds.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn gone(&self, records: u64) {
        self.gone.fetch_add(records, Ordering::Relaxed);
    }

    pub(super) fn held_back(&self, records: u64) {
        let before = self.held_back.swap(records, Ordering::Relaxed);
        if before == 0 && records > 0 {
            tracing::warn!(
                records,
                "records are older than log.retention and stay, because a consumer group of the stream has not confirmed them"
            );
        } else if before > 0 && records == 0 {
            tracing::info!("no consumer group holds back old records any more");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_lasts_until_it_works_and_tells_its_latest_reason() {
        let progress = Progress::default();
        assert_eq!(progress.status(), ShippingStatus::default());
        progress.fails("nothing goes", &"first");
        let (early, _) = progress.status().trouble.unwrap();
        progress.fails("nothing goes", &"second");
        let (late, said) = progress.status().trouble.unwrap();
        assert!(late >= early && said == "second", "{said}");
        progress.works();
        assert_eq!(progress.status().trouble, None);
    }
}
