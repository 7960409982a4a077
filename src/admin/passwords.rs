//! Passwords are hashed and checked off the control thread, few at a time.
//!
//! Each takes tens of milliseconds of a core and 19 MiB, so that nobody may ask for many at once: two run, a few wait,
//! and more are refused.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use crate::admin::problem::Problem;

const AT_ONCE: usize = 2;
/// About half a second of waiting.
const MAX_WAITING: usize = 16;

#[derive(Debug)]
pub(super) struct Passwords {
    permits: Arc<Semaphore>,
    waiting: AtomicUsize,
}

impl Default for Passwords {
    fn default() -> Self {
        Self { permits: Arc::new(Semaphore::new(AT_ONCE)), waiting: AtomicUsize::new(0) }
    }
}

/// A place in the queue, given back when dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Passwords {
    /// Does slow work when it is its turn. The permit goes with the work, which ends even where nobody waits for it.
    pub(super) async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        let place = Waiting(&self.waiting);
        if before >= MAX_WAITING {
            return Err(Problem::busy());
        }
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        let permit = permit.map_err(|closed| Problem::internal(&closed))?;
        drop(place);
        let done = spawn_blocking(move || {
            let outcome = work();
            drop(permit);
            outcome
        });
        done.await.map_err(|broken| Problem::internal(&broken))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn two_run_sixteen_wait_and_the_next_is_refused() {
        let passwords = Arc::new(Passwords::default());
        let (release, gate) = mpsc::channel::<()>();
        let gate = Arc::new(std::sync::Mutex::new(gate));
        let mut running = Vec::new();
        for _ in 0..AT_ONCE + MAX_WAITING {
            let (passwords, gate) = (Arc::clone(&passwords), Arc::clone(&gate));
            running.push(tokio::spawn(async move {
                passwords.work(move || gate.lock().unwrap().recv().is_ok()).await
            }));
        }
        while passwords.waiting.load(Ordering::Relaxed) < MAX_WAITING
            || passwords.permits.available_permits() > 0
        {
            tokio::task::yield_now().await;
        }
        let refused = passwords.work(|| ()).await.unwrap_err();
        assert_eq!(refused.code, "overloaded");
        for _ in 0..AT_ONCE + MAX_WAITING {
            release.send(()).unwrap();
        }
        for task in running {
            assert_eq!(task.await.unwrap(), Ok(true));
        }
        assert_eq!(passwords.waiting.load(Ordering::Relaxed), 0);
        assert_eq!(passwords.work(|| 7).await, Ok(7));
    }
}
