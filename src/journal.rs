//! Where records wait until the store has them: on this machine's disk, so that no store can hold up a request or lose one.
//!
//! ```text
//! data/journal/                              0700
//!   lock                                     0600   held by the process that writes; says its number
//!   00c0ffee00c0ffee-0000000001.journal      0600   a segment of a lane: what is in it, `format` says
//!   00c0ffee00c0ffee-0000000002.damaged             one that a start could not read, or a copy of what it cut off: for people
//!   00c0ffee00c0ffee-0000000003.rewritten           one that is being written anew; what a crash left of it goes
//! ```
//!
//! What is promised:
//!
//! - What was begun has a record, what was completed has it as it was completed, each once, however the process ends. A kill
//!   costs nothing, for records are in the kernel's pages as soon as they are written; a power cut costs what came after the
//!   last sync.
//! - Completing cannot fail; beginning fails only where the disk, or `max_disk`, is full, and succeeds again by itself.
//! - What the store does not have is never deleted.
//! - No file, however damaged, ends the gateway, and none makes a record up.
//!
//! | part | what it is |
//! | --- | --- |
//! | `format` | how records lie on disk |
//! | `mapped` | a file in memory; the only `unsafe` |
//! | `lane` | what a worker writes |
//! | `segment`, `shelf` | one file; all files, and how far each was shipped |
//! | `keeper`, `supply`, `oldest`, `troubles` | the thread that syncs, prepares, deletes and looks; and what it has to say |
//! | `reading`, `remains`, `chain` | a file frame by frame; what is behind its end; a lane after anything |
//! | `recovery`, `export`, `source` | who reads: the next start, a person, the shipper |
//!
//! A worker writes into a mapped file and makes no system call. It has a lock of its own, and publishes by atomics how far it
//! is; the keeper forces it to disk, and the shipper reads the files up to there, through the page cache. So the store never
//! has a record of which the journal does not know after a power cut, and no number is given out twice.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::model::{LaneId, NodeName, Opening, Outcome, Timestamp};
use crate::telemetry::clock::Clock;

mod batch;
mod chain;
pub mod courtesy;
mod export;
mod format;
mod home;
mod keeper;
mod lane;
mod mapped;
mod news;
mod oldest;
mod reading;
mod recovery;
mod remains;
mod segment;
mod shelf;
mod source;
mod supply;
mod troubles;

#[cfg(test)]
mod tests;

pub use batch::Batch;
pub use export::read_directory;
pub use source::Source;

use home::Lock;
use lane::LaneShared;
use news::{Bell, News, lock};
use oldest::Oldest;
use shelf::{Shelf, Shelved};
use supply::Shortage;
use troubles::Troubles;

/// What was shipped is kept for so long until somebody says otherwise.
const KEEP: Duration = Duration::from_secs(600);

/// How a journal is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub dir: PathBuf,
    /// How often it is forced to disk.
    pub sync: Duration,
    pub max_disk: u64,
}

/// All journals of this process: the directory and its lock, and the thread that prepares segments, forces them to disk and
/// deletes them. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Journal {
    keeping: Arc<Keeping>,
}

/// What was found at the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Lanes of earlier starts that still have segments.
    pub lanes: usize,
    /// Requests that were open when the gateway died; each has its record now.
    pub interrupted: u64,
    /// Torn tails that were cut off, and how many bytes they had.
    pub torn: u64,
    pub torn_bytes: u64,
    /// Records of these lanes whose files were deleted, for the store has them.
    pub let_go: u64,
}

/// Numbers for metrics, readiness and early warnings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    pub begun: u64,
    pub completed: u64,
    /// Complete, and not yet in the store.
    pub waiting: u64,
    /// As it was about a second ago.
    pub oldest_waiting: Option<Timestamp>,
    /// Could not be kept: what was refused under `deny`, and what went unrecorded under `serve`.
    pub refused: u64,
    pub disk_used: u64,
    pub disk_max: u64,
    /// No record can be begun just now, in some lane.
    pub is_full: bool,
    /// The last attempt to force it to disk, or to prepare a segment, failed.
    pub is_failing: bool,
}

#[derive(Debug)]
pub enum JournalError {
    InUse(String),
    Io { dir: PathBuf, source: std::io::Error },
    Later { path: PathBuf, version: u32 },
}

/// The cause is in the text, for many print nothing else; so it is not given once more as a source.
impl std::error::Error for JournalError {}

impl std::fmt::Display for JournalError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::InUse(by) => f.write_str(by),
            Self::Io { dir, source } => {
                write!(f, "the journal in {} cannot be used: {source}", dir.display())
            }
            Self::Later { path, version } => write!(
                f,
                "{} was written by a later version of Postern (journal format {version}): run that version until the store has all of \
                 it, or move the file away",
                path.display()
            ),
        }
    }
}

/// No record can be begun: the disk or `max_disk` is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the journal is full")]
pub struct Full;

/// What the workers, the keeper and whoever reads share.
#[derive(Debug)]
struct Shared {
    dir: Box<Path>,
    node: Box<str>,
    terms: Mutex<Terms>,
    shelf: Mutex<Shelf>,
    /// The disk that all segments take, spares included.
    used: AtomicU64,
    /// All there were since the start, for what they counted.
    workers: Mutex<Vec<Arc<LaneShared>>>,
    news: News,
    bell: Bell,
    /// Held for a round of the keeper, so that whoever flushes does not meet it.
    duty: Mutex<()>,
    troubles: Troubles,
    /// How often something was forced to disk.
    forced: AtomicU64,
    oldest: Oldest,
    _lock: Lock,
    #[cfg(test)]
    failures: AtomicU64,
}

#[derive(Clone, Copy, Debug)]
struct Terms {
    sync: Duration,
    max_disk: u64,
    /// How long what was shipped is kept.
    keep: Duration,
}

/// The keeper lives as long as anybody holds this.
#[derive(Debug)]
struct Keeping {
    shared: Arc<Shared>,
    keeper: Mutex<Option<JoinHandle<()>>>,
}

impl Drop for Keeping {
    fn drop(&mut self) {
        self.shared.bell.end();
        let keeper = self.keeper.get_mut().ok().and_then(Option::take);
        // It ends with its round; that it panicked would have been told.
        drop(keeper.map(JoinHandle::join));
    }
}

impl Journal {
    /// Takes the directory (makes it, 0700), cuts torn tails, completes what was begun as `interrupted`.
    pub fn open(settings: &Settings, node: &NodeName) -> Result<(Self, Recovered), JournalError> {
        let Settings { dir, sync, max_disk } = settings.clone();
        let lock = Lock::take(&dir)?;
        home::warn_of_copying(&dir);
        let (shelf, used, recovered) = recovery::recover(&dir)?;
        let shared = Arc::new(Shared {
            dir: dir.clone().into(),
            node: node.as_str().into(),
            terms: Mutex::new(Terms { sync, max_disk, keep: KEEP }),
            shelf: Mutex::new(shelf),
            used: AtomicU64::new(used),
            workers: Mutex::default(),
            news: News::default(),
            bell: Bell::default(),
            duty: Mutex::default(),
            troubles: Troubles::default(),
            forced: AtomicU64::default(),
            oldest: Oldest::default(),
            _lock: lock,
            #[cfg(test)]
            failures: AtomicU64::default(),
        });
        let kept = Arc::clone(&shared);
        let keeper = std::thread::Builder::new()
            .name("journal keeper".to_owned())
            .spawn(move || keeper::keep(&kept))
            .map_err(|source| JournalError::Io { dir, source })?;
        let keeping = Keeping { shared, keeper: Mutex::new(Some(keeper)) };
        Ok((Self { keeping: Arc::new(keeping) }, recovered))
    }

    /// A line of records for one worker. Its first segment is ready; where there is no room for one, it begins no record until
    /// there is.
    pub fn lane(&self) -> Result<Lane, JournalError> {
        let shared = &self.keeping.shared;
        let failed = |source| JournalError::Io { dir: shared.dir.to_path_buf(), source };
        let bits = getrandom::u64().map_err(|error| failed(std::io::Error::other(error)))?;
        let worker = Arc::new(LaneShared::new(LaneId(bits)));
        lock(&shared.workers).push(Arc::clone(&worker));
        lock(&shared.shelf).lanes.push(Shelved::of_worker(
            Arc::clone(&worker),
            (*shared.node).into(),
            Clock::default().now(),
        ));
        let lane = Lane { worker, keeping: Arc::clone(&self.keeping) };
        let _alone = lock(&shared.duty);
        match shared.supply(&lane.worker) {
            Ok(()) => lane.worker.begin_segment(),
            Err(Shortage::Failed(source)) => return Err(failed(source)),
            Err(Shortage::Bound | Shortage::Disk) => lane.worker.has_none(),
        }
        shared.bell.ring();
        Ok(lane)
    }

    /// A reload changed the settings; the directory stays.
    pub fn configure(&self, sync: Duration, max_disk: u64) {
        let mut terms = lock(&self.keeping.shared.terms);
        *terms = Terms { sync, max_disk, ..*terms };
        drop(terms);
        self.keeping.shared.bell.ring();
    }

    pub fn figures(&self) -> Figures {
        self.keeping.shared.figures()
    }

    /// A reader of all lanes, for the one who ships. There is one.
    pub fn source(&self) -> Source {
        Source::new(Arc::clone(&self.keeping))
    }

    /// Forces everything to disk; called when no lane is written to any more.
    pub fn flush(&self) -> Result<(), JournalError> {
        let shared = &self.keeping.shared;
        let _alone = lock(&shared.duty);
        shared.sync().map_or(Ok(()), |source| {
            Err(JournalError::Io { dir: shared.dir.to_path_buf(), source })
        })
    }
}

impl Shared {
    fn terms(&self) -> Terms {
        *lock(&self.terms)
    }

    fn figures(&self) -> Figures {
        let mut figures = Figures {
            disk_used: self.used.load(Ordering::Relaxed),
            disk_max: self.terms().max_disk,
            is_failing: self.troubles.is_failing(),
            ..Figures::default()
        };
        for worker in lock(&self.workers).iter() {
            let counts = &worker.counts;
            figures.begun += counts.begun.load(Ordering::Relaxed);
            figures.completed += counts.completed.load(Ordering::Relaxed);
            figures.refused += counts.refused.load(Ordering::Relaxed);
            let is_gone = worker.is_gone.load(Ordering::Relaxed);
            figures.is_full |= worker.is_refusing.load(Ordering::Relaxed) && !is_gone;
        }
        figures.waiting = lock(&self.shelf).waiting();
        figures.oldest_waiting = self.oldest.seen().filter(|_| figures.waiting > 0);
        figures
    }

    /// Since the start, in all lanes.
    fn refused(&self) -> u64 {
        let workers = lock(&self.workers);
        workers.iter().map(|worker| worker.counts.refused.load(Ordering::Relaxed)).sum()
    }

    #[cfg(test)]
    fn pretend_to_fail(&self) -> std::io::Result<()> {
        let less = |failures: u64| failures.checked_sub(1);
        match self.failures.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less) {
            Ok(_) => Err(std::io::Error::other("a disk that fails")),
            Err(_) => Ok(()),
        }
    }
}

/// What one worker writes. One thread at a time; no system call on the way of a record.
#[derive(Debug)]
pub struct Lane {
    worker: Arc<LaneShared>,
    keeping: Arc<Keeping>,
}

/// A record that was begun, to be completed once. Dropping it without completing leaks its reservation: proxy's guard
/// completes it on drop.
#[derive(Debug)]
pub struct Begun {
    slot: u32,
}

impl Lane {
    pub fn id(&self) -> LaneId {
        self.worker.id
    }

    /// Once this returns, a kill of the process at any point leaves a record.
    pub fn begin(&self, opening: &Opening<'_>) -> Result<Begun, Full> {
        let (begun, rotated) = self.worker.begin(opening);
        self.ask_for_more(rotated);
        begun
    }

    /// Cannot fail: its place was reserved when it was begun.
    #[expect(clippy::needless_pass_by_value, reason = "given up here: it is completed once")]
    pub fn complete(&self, begun: Begun, outcome: &Outcome<'_>) {
        self.worker.complete(begun.slot, outcome);
    }

    /// A record of something that never went upstream, whole at once.
    pub fn write(&self, opening: &Opening<'_>, outcome: &Outcome<'_>) -> Result<(), Full> {
        let (written, rotated) = self.worker.write(opening, outcome);
        self.ask_for_more(rotated);
        written
    }

    fn ask_for_more(&self, rotated: bool) {
        if rotated {
            self.keeping.shared.bell.ring();
        }
    }

    /// As a kill would leave it.
    #[cfg(test)]
    fn abandon(self) {
        self.worker.forget_active();
    }
}

/// The worker has ended: what it left open is interrupted.
impl Drop for Lane {
    fn drop(&mut self) {
        self.worker.end();
    }
}
