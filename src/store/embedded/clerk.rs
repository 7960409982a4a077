//! A thread that owns a connection and does errands on it, one after the other.
//!
//! Whoever asks waits on a channel, never on the disk, and gives up when the time is over. An errand that had not begun by
//! then is never begun, so nothing was written; one that had may still end well, and for a writer that is an unknown
//! outcome.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::oneshot;

use crate::store::StoreError;
use crate::store::embedded::fault::Fault;

/// Errands that may wait. Many more than the tasks that ask; reached only behind a disk that hangs.
const QUEUE: usize = 256;

/// What is to be done on the connection.
pub(super) trait Errand<T>:
    FnOnce(&mut Connection) -> Result<T, Fault> + Send + 'static
{
}

impl<T, F: FnOnce(&mut Connection) -> Result<T, Fault> + Send + 'static> Errand<T> for F {}

type Job = Box<dyn FnOnce(&mut Connection, &Path) + Send>;

/// Ends its thread, and closes the connection, when it is dropped.
#[derive(Debug)]
pub(super) struct Clerk {
    jobs: Option<SyncSender<Job>>,
    thread: Option<JoinHandle<()>>,
}

/// Why there is no result.
#[derive(Debug)]
pub(super) enum Unanswered {
    /// The store said why.
    Failed(StoreError),
    /// It was never begun.
    NotBegun(&'static str),
    /// It was begun, and nobody knows how it ended.
    GivenUp(&'static str),
}

impl Unanswered {
    pub(super) fn of_reading(self) -> StoreError {
        match self {
            Self::Failed(error) => error,
            Self::NotBegun(why) | Self::GivenUp(why) => StoreError::Unavailable(why.to_owned()),
        }
    }

    pub(super) fn of_writing(self) -> StoreError {
        match self {
            Self::Failed(error) => error,
            Self::NotBegun(why) => StoreError::Unavailable(why.to_owned()),
            Self::GivenUp(why) => StoreError::Unknown(why.to_owned()),
        }
    }
}

impl Clerk {
    /// `file` is what errors name.
    pub(super) fn start(
        name: &str,
        file: PathBuf,
        mut connection: Connection,
    ) -> Result<Self, StoreError> {
        let (jobs, errands) = sync_channel::<Job>(QUEUE);
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            while let Ok(job) = errands.recv() {
                job(&mut connection, &file);
            }
        });
        let thread = thread
            .map_err(|error| StoreError::Unavailable(format!("no thread for it: {error}")))?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread) })
    }

    pub(super) async fn ask<T: Send + 'static>(
        &self,
        within: Duration,
        errand: impl Errand<T>,
    ) -> Result<T, Unanswered> {
        let (answer, outcome) = oneshot::channel();
        // Set by whoever is first: the clerk who begins, or the asker who gives up.
        let taken = Arc::new(AtomicBool::new(false));
        let begun = Arc::clone(&taken);
        let job: Job = Box::new(move |connection, file| {
            // Nobody waits any more for what was asked by a task that was dropped.
            if answer.is_closed() || begun.swap(true, Ordering::AcqRel) {
                return;
            }
            let result = errand(connection).map_err(|fault| fault.told(file));
            // Only an asker that gave up meanwhile does not take it.
            drop(answer.send(result));
        });
        let ended = Unanswered::NotBegun("its thread has ended");
        match self.jobs.as_ref().map(|jobs| jobs.try_send(job)) {
            Some(Ok(())) => {}
            Some(Err(TrySendError::Full(_))) => {
                return Err(Unanswered::NotBegun("it does not keep up: too many operations wait"));
            }
            Some(Err(TrySendError::Disconnected(_))) | None => return Err(ended),
        }
        match tokio::time::timeout(within, outcome).await {
            Ok(Ok(result)) => result.map_err(Unanswered::Failed),
            Ok(Err(_ended)) if taken.load(Ordering::Acquire) => {
                Err(Unanswered::GivenUp("its thread ended meanwhile"))
            }
            Ok(Err(_ended)) => Err(ended),
            Err(_elapsed) if taken.swap(true, Ordering::AcqRel) => {
                Err(Unanswered::GivenUp("no answer in time from the disk"))
            }
            Err(_elapsed) => Err(Unanswered::NotBegun("no answer in time: the disk hangs")),
        }
    }
}

impl Drop for Clerk {
    fn drop(&mut self) {
        drop(self.jobs.take());
        // So that the file is closed, and what the log holds is in it, before the lock is given back. A thread that
        // waits for a disk holds up the process's end whether it is waited for or not.
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn clerk() -> Clerk {
        let connection = Connection::open_in_memory().unwrap();
        Clerk::start("clerk", "test.db".into(), connection).unwrap()
    }

    #[tokio::test]
    async fn what_was_begun_and_not_answered_in_time_is_unknown_for_a_writer() {
        let clerk = clerk();
        let (release, held) = mpsc::channel::<()>();
        let stuck = clerk
            .ask(Duration::from_millis(20), move |_| {
                held.recv().unwrap_err();
                Ok(())
            })
            .await;
        let error = stuck.unwrap_err();
        assert!(matches!(error, Unanswered::GivenUp(_)), "{error:?}");
        assert!(matches!(error.of_writing(), StoreError::Unknown(_)));
        drop(release);
        assert_eq!(clerk.ask(Duration::from_secs(20), |_| Ok(7)).await.unwrap(), 7);
    }

    #[tokio::test]
    async fn what_was_not_begun_in_time_never_is() {
        let clerk = clerk();
        let (release, held) = mpsc::channel::<()>();
        let (told, ran) = mpsc::channel::<()>();
        let first = clerk.ask(Duration::from_millis(20), move |_| {
            held.recv().unwrap_err();
            Ok(())
        });
        let second = clerk.ask(Duration::from_millis(20), move |_| {
            told.send(()).unwrap();
            Ok(())
        });
        let (first, second) = tokio::join!(first, second);
        assert!(matches!(first, Err(Unanswered::GivenUp(_))), "{first:?}");
        let error = second.unwrap_err();
        assert!(matches!(error, Unanswered::NotBegun(_)), "{error:?}");
        assert!(matches!(error.of_writing(), StoreError::Unavailable(_)));
        drop(release);
        clerk.ask(Duration::from_secs(20), |_| Ok(())).await.unwrap();
        assert!(ran.try_recv().is_err(), "given up, and done all the same");
    }

    #[tokio::test]
    async fn a_clerk_that_died_is_an_error() {
        let clerk = clerk();
        let ask = clerk.ask(Duration::from_secs(20), |_| -> Result<(), Fault> { panic!("a bug") });
        assert!(matches!(ask.await, Err(Unanswered::GivenUp(_))));
        let next = clerk.ask(Duration::from_secs(20), |_| Ok(())).await;
        assert!(next.is_err());
    }
}
