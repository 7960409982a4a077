//! The embedded store: SQLite in a directory of its own, for one node.
//!
//! ```text
//! data/                 0700
//!   postern.db          0600   everything that is kept (`schema` has the tables)
//!   postern.db-wal      0600   changes on their way into it; part of it until a clean end
//!   postern.db-shm      0600   which of them are where; made anew when it is lost
//!   access.db           0600   access records and their sums, with files like these beside it ([`access`])
//!   lock                0600   held by the process that serves; says its number
//! ```
//!
//! What is promised:
//!
//! - A change that was answered is on the disk: one transaction, synced before the answer (`synchronous=FULL`). A process
//!   that is killed at any moment leaves every answered change and no half of any. Heartbeats alone are not synced.
//! - One process serves. The lock is the kernel's, so it ends with the process, however that ends.
//! - Readers read beside it, in other processes too, and neither waits for the other (write-ahead log).
//! - A full or failing disk, a directory without permission and a damaged file are answers, never a panic; a commit that
//!   failed is undone. Only where the disk failed in the very sync of a commit is its outcome unknown.
//! - A store of a later version is refused and left as it is.
//!
//! SQLite calls block. A thread owns each of the two connections, one to write and one to read, and is asked by messages
//! ([`clerk`]); an operation that is not answered in its time is given up.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::model::{AuditEntry, KeyId, NodeName, Timestamp};
use crate::store::{
    Applied, AuditQuery, Change, Committed, Intake, Loaded, Mode, News, NodeStatus, Position,
    RegistryStore, Safety, StoreError, Task,
};

pub(super) mod access;
mod audit;
mod backup;
mod changes;
mod clerk;
mod concerns;
mod fault;
mod loading;
mod lock;
mod nodes;
mod opening;
mod schema;

#[cfg(test)]
mod tests;

pub use backup::{Copied, back_up};

use clerk::{Clerk, Errand};
use lock::Lock;
use schema::REGISTRY;

/// Where the files of a store are.
#[derive(Clone, Debug)]
struct Home(PathBuf);

impl Home {
    fn database(&self) -> PathBuf {
        self.0.join("postern.db")
    }

    fn history(&self) -> PathBuf {
        self.0.join("access.db")
    }

    fn lock(&self) -> PathBuf {
        self.0.join("lock")
    }
}

/// How long an operation may take. A lookup that takes longer has met a disk that hangs.
const SHORT: Duration = Duration::from_secs(10);
/// For everything at once: a start, an import of many thousand keys.
const LONG: Duration = Duration::from_secs(60);
/// How often a reader in another process looks for news: nothing wakes it.
const LOOK: Duration = Duration::from_millis(100);
/// The longest that anybody waits for news in one go.
const MAX_PATIENCE: Duration = Duration::from_secs(3600);

/// Fields are in the order of closing: the lock is given back last.
#[derive(Debug)]
struct EmbeddedStore {
    home: Home,
    reader: Clerk,
    /// None for a reader.
    writer: Option<Clerk>,
    /// The position of the last change, told by the writer's thread: wakes whoever waits for news.
    latest: watch::Sender<Position>,
    _lock: Option<Lock>,
}

/// Opens the store in a directory; makes it where there is none and it is to be served.
pub(super) async fn open(
    directory: &Path,
    mode: Mode,
) -> Result<Arc<dyn RegistryStore>, StoreError> {
    let home = Home(directory.to_owned());
    let opening = tokio::task::spawn_blocking(move || EmbeddedStore::open(home, mode));
    let opened = tokio::time::timeout(LONG, opening).await;
    let store = opened
        .map_err(|_elapsed| StoreError::Unavailable("opening it took too long".to_owned()))?
        .map_err(|_panicked| StoreError::Unavailable("opening it was given up".to_owned()))?;
    Ok(Arc::new(store?))
}

impl EmbeddedStore {
    fn open(home: Home, mode: Mode) -> Result<Self, StoreError> {
        let file = home.database();
        let (latest, _) = watch::channel(Position::default());
        let (lock, writer) = match mode {
            Mode::Reader => (None, None),
            Mode::Sole => {
                let lock = opening::make_directory(&home).and_then(|()| Lock::take(&home))?;
                let connection = opening::to_write(&home, &file, REGISTRY)?;
                (Some(lock), Some(Clerk::start("store writer", file.clone(), connection)?))
            }
        };
        let connection = opening::to_read(&home, &file, REGISTRY)?;
        let reader = Clerk::start("store reader", file, connection)?;
        Ok(Self { home, reader, writer, latest, _lock: lock })
    }

    fn writer(&self) -> Result<&Clerk, StoreError> {
        let reading = || StoreError::Unavailable("it was opened for reading alone".to_owned());
        self.writer.as_ref().ok_or_else(reading)
    }

    async fn read<T: Send + 'static>(
        &self,
        within: Duration,
        errand: impl Errand<T>,
    ) -> Result<T, StoreError> {
        self.reader.ask(within, errand).await.map_err(|unanswered| unanswered.of_reading())
    }

    async fn write<T: Send + 'static>(
        &self,
        within: Duration,
        errand: impl Errand<T>,
    ) -> Result<T, StoreError> {
        self.writer()?.ask(within, errand).await.map_err(|unanswered| unanswered.of_writing())
    }

    async fn wait_for_news(&self, after: Position, patience: Duration) -> Result<News, StoreError> {
        let end = Instant::now() + patience.min(MAX_PATIENCE);
        let mut latest = self.latest.subscribe();
        loop {
            // Whatever is told from here on is seen by `changed`: nothing falls between looking and waiting.
            latest.mark_unchanged();
            let news = self.read(SHORT, move |store| changes::after(store, after)).await?;
            let nothing = matches!(&news, News::Changes(changes) if changes.is_empty());
            if !nothing || Instant::now() >= end {
                return Ok(news);
            }
            if self.writer.is_some() {
                // An end of patience is looked at once more, as any other.
                let _woken_or_not = timeout_at(end, latest.changed()).await;
            } else {
                sleep_until(end.min(Instant::now() + LOOK)).await;
            }
        }
    }
}

impl RegistryStore for EmbeddedStore {
    /// Whoever serves it has it alone.
    fn is_shared(&self) -> bool {
        self.writer.is_none()
    }

    fn load<'a>(&'a self, intake: &'a mut dyn Intake) -> Task<'a, Loaded> {
        Box::pin(loading::load(self, intake))
    }

    fn adopt(&self, vault: String) -> Task<'_, ()> {
        Box::pin(self.write(SHORT, move |store| changes::adopt(store, &vault)))
    }

    fn commit<'a>(
        &'a self,
        after: Position,
        change: &'a Change,
        _safety: Safety,
    ) -> Task<'a, Committed> {
        let change = change.clone();
        let latest = self.latest.clone();
        Box::pin(self.write(LONG, move |store| {
            let position = changes::commit_synced(store, after, &change)?;
            // From here, so that a change whose writer gave up waiting is news, too.
            latest.send_replace(position);
            Ok(Committed { position, replicas: None })
        }))
    }

    fn news(&self, after: Position, patience: Duration) -> Task<'_, News> {
        Box::pin(self.wait_for_news(after, patience))
    }

    fn audit<'a>(&'a self, query: &'a AuditQuery) -> Task<'a, Vec<AuditEntry>> {
        let query = query.clone();
        Box::pin(self.read(SHORT, move |store| audit::newest(store, &query)))
    }

    fn audit_from(&self, seq: u64, limit: usize) -> Task<'_, Vec<AuditEntry>> {
        Box::pin(self.read(SHORT, move |store| audit::from(store, seq, limit)))
    }

    fn record_use<'a>(&'a self, used: &'a [(KeyId, Timestamp)]) -> Task<'a, ()> {
        let used = used.to_vec();
        Box::pin(self.write(LONG, move |store| nodes::record_use(store, &used)))
    }

    fn used(&self) -> Task<'_, Vec<(KeyId, Timestamp)>> {
        Box::pin(self.read(LONG, |store| nodes::used(store)))
    }

    fn heartbeat<'a>(&'a self, node: &'a NodeStatus) -> Task<'a, ()> {
        let node = node.clone();
        Box::pin(self.write(SHORT, move |store| nodes::beat(store, &node)))
    }

    fn nodes(&self) -> Task<'_, Vec<NodeStatus>> {
        Box::pin(self.read(SHORT, |store| nodes::nodes(store)))
    }

    fn open_receipt<'a>(&'a self, key: KeyId, nodes: &'a [NodeName]) -> Task<'a, ()> {
        let nodes = nodes.to_vec();
        Box::pin(self.write(SHORT, move |store| nodes::open_receipt(store, key, &nodes)))
    }

    fn acknowledge<'a>(
        &'a self,
        keys: &'a [KeyId],
        node: &'a NodeName,
        at: Timestamp,
    ) -> Task<'a, ()> {
        let (keys, node) = (keys.to_vec(), node.clone());
        Box::pin(self.write(SHORT, move |store| nodes::acknowledge(store, &keys, &node, at)))
    }

    fn receipt(&self, key: KeyId) -> Task<'_, Vec<Applied>> {
        Box::pin(self.read(SHORT, move |store| nodes::receipt(store, key)))
    }

    fn concerns(&self) -> Task<'_, Vec<String>> {
        let home = self.home.clone();
        Box::pin(self.read(SHORT, move |store| concerns::of(store, &home, &home.database())))
    }
}
