//! How a thread that waits is told: the source that there are records, the keeper that there is something to do.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Rung when something was forced to disk; whoever waits is woken by a system call only where it sleeps.
///
/// Nothing is missed: who waits raises the flag, then looks for news; who rings has published it, then looks at the flag; all
/// in one order (`SeqCst`).
#[derive(Debug, Default)]
pub(super) struct News {
    sleeps: AtomicBool,
    lock: Mutex<()>,
    bell: Condvar,
}

impl News {
    pub(super) fn ring(&self) {
        if self.sleeps.load(Ordering::SeqCst) {
            self.wake();
        }
    }

    #[cold]
    fn wake(&self) {
        let held = lock(&self.lock);
        if self.sleeps.swap(false, Ordering::SeqCst) {
            self.bell.notify_all();
        }
        drop(held);
    }

    /// Until `has_news`, or the end of patience.
    pub(super) fn wait(&self, end: Instant, mut has_news: impl FnMut() -> bool) {
        let mut held = lock(&self.lock);
        loop {
            self.sleeps.store(true, Ordering::SeqCst);
            let patience = end.saturating_duration_since(Instant::now());
            if has_news() || patience.is_zero() {
                self.sleeps.store(false, Ordering::SeqCst);
                return;
            }
            let woken = self.bell.wait_timeout(held, patience);
            held = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// Wakes the keeper.
#[derive(Debug, Default)]
pub(super) struct Bell {
    state: Mutex<Rung>,
    bell: Condvar,
}

#[derive(Clone, Copy, Debug, Default)]
struct Rung {
    is_rung: bool,
    is_over: bool,
}

impl Bell {
    pub(super) fn ring(&self) {
        lock(&self.state).is_rung = true;
        self.bell.notify_all();
    }

    /// The keeper shall end.
    pub(super) fn end(&self) {
        lock(&self.state).is_over = true;
        self.bell.notify_all();
    }

    /// Until it rings, or for so long; false at the end.
    pub(super) fn wait(&self, patience: Duration) -> bool {
        let silent = |rung: &mut Rung| !rung.is_rung && !rung.is_over;
        let waited = self.bell.wait_timeout_while(lock(&self.state), patience, silent);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner).0;
        state.is_rung = false;
        !state.is_over
    }
}

/// What is behind a lock is whole after every statement: whoever panicked with it left nothing half done.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
impl News {
    pub(super) fn sleeps(&self) -> bool {
        self.sleeps.load(Ordering::SeqCst)
    }
}
