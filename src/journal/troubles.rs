//! What is wrong with the journal's disk: kept for readiness, and told when it begins and when it ends, not at each try.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::journal::supply::Shortage;

#[derive(Debug, Default)]
pub(super) struct Troubles {
    syncing: AtomicBool,
    /// Failing, not short of room.
    preparing: AtomicBool,
    short: AtomicBool,
    deleting: AtomicBool,
    /// How many requests had found no room when there last was some.
    refused: AtomicU64,
    /// The mark that was passed, in percent.
    marked: AtomicU64,
    /// So many workers were told to be too many for `max_disk`.
    crowded: AtomicU64,
}

const MARKS: [u64; 3] = [95, 80, 50];

impl Troubles {
    pub(super) fn is_failing(&self) -> bool {
        self.syncing.load(Ordering::Relaxed) || self.preparing.load(Ordering::Relaxed)
    }

    pub(super) fn tell_of_sync(&self, trouble: Option<&io::Error>, path: &Path) {
        let path = path.display();
        match (trouble, self.syncing.swap(trouble.is_some(), Ordering::Relaxed)) {
            (Some(error), false) => tracing::error!(
                %path, %error,
                "the journal cannot be forced to disk: a power cut now would lose records; what is in this file is written again to another one"
            ),
            (None, true) => tracing::info!("the journal is forced to disk again"),
            _ => {}
        }
    }

    pub(super) fn tell_of_supply(
        &self,
        shortage: Option<&Shortage>,
        refused: u64,
        explain: impl Fn(&Shortage) -> String,
    ) {
        let failing = matches!(shortage, Some(Shortage::Failed(_)));
        let short = shortage.is_some() && !failing;
        let failed_before = self.preparing.swap(failing, Ordering::Relaxed);
        let short_before = self.short.swap(short, Ordering::Relaxed);
        match shortage {
            Some(shortage) if (failing, short) != (failed_before, short_before) => {
                tracing::error!("{}", explain(shortage));
            }
            None => {
                let requests = refused - self.refused.swap(refused, Ordering::Relaxed).min(refused);
                if failed_before || short_before {
                    tracing::info!(
                        requests,
                        "the journal has room again; so many requests found none: they were refused, or passed without a record where `log.on_failure` is `serve`"
                    );
                }
            }
            _ => {}
        }
    }

    pub(super) fn tell_of_deleting(&self, trouble: Option<&io::Error>, path: &Path) {
        if let (Some(error), false) =
            (trouble, self.deleting.swap(trouble.is_some(), Ordering::Relaxed))
        {
            let path = path.display();
            tracing::warn!(%path, %error, "a file of the journal that is not needed any more cannot be deleted");
        }
    }

    pub(super) fn tell_of_workers(&self, workers: u64, least: u64, max_disk: u64) {
        let crowd = if least > max_disk { workers } else { 0 };
        if crowd > self.crowded.swap(crowd, Ordering::Relaxed) {
            tracing::warn!(
                workers,
                max_disk,
                least,
                "`log.max_disk` is small for so many workers: under load some may have to refuse although the store keeps up; raise it to `least`, or set fewer workers"
            );
        }
    }

    pub(super) fn tell_of_waiting(&self, waiting: u64, max_disk: u64, dir: &Path) {
        let percent = u128::from(waiting) * 100 / u128::from(max_disk.max(1));
        let passed = MARKS.into_iter().find(|mark| percent >= u128::from(*mark)).unwrap_or(0);
        let before = self.marked.swap(passed, Ordering::Relaxed);
        if passed > before {
            tracing::warn!(
                waiting_bytes = waiting, max_disk, dir = %dir.display(),
                "records that the store has not taken fill {passed} % of `log.max_disk`; where it is full, `log.on_failure` decides"
            );
        }
    }
}
