//! The history in an embedded store: SQLite in `access.db`, beside the registry's file and apart from it, so that neither
//! waits for the other, and so that records may be lost from one disk without a single key.
//!
//! What is promised:
//!
//! - A batch that was answered is on the disk with all it adds up to: one transaction, synced before the answer
//!   (`synchronous=FULL`). A process that is killed at any moment leaves whole batches, each once.
//! - Readers read beside the writer, in other processes too: each page and each sum is of one moment.
//! - A full or failing disk and a damaged file are answers, never a panic; what was not answered may be sent again.
//! - Ninety days of a million records each take 40 bytes a record or less, sums and indexes included; a page of a key is
//!   found without reading the pages of others.
//!
//! A record comes in with its batch (`taking`), in a small block of its key and day (`block`, `column`, `marks`), which is
//! merged into bigger and denser ones and is deleted with its day (`tidying`). `pages` reads blocks, `sums` reads what was
//! added up when they came (`tally`). `tables` has the tables.
//!
//! As for the registry, a thread owns each of the two connections ([`Clerk`]).

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::journal::Batch;
use crate::model::{LaneId, Tally, Timestamp};
use crate::store::access::{
    AccessStore, Acknowledged, ActivityQuery, Expired, Page, RefusalCount, Span, Step, Taken, Whose,
};
use crate::store::embedded::clerk::{Clerk, Errand};
use crate::store::embedded::fault::Fault;
use crate::store::embedded::{Home, LONG, SHORT, concerns, opening};
use crate::store::{Mode, StoreError, Task};
use crate::telemetry::clock::Clock;

mod block;
mod column;
mod marks;
mod pages;
mod stored;
mod sums;
mod tables;
mod taking;
mod tally;
mod tidying;

#[cfg(test)]
mod tests;

use column::Damaged;
use tables::HISTORY;
use tidying::Rounds;

#[derive(Debug)]
struct EmbeddedHistory {
    home: Home,
    file: PathBuf,
    /// None where a reader has found no file: nothing was ever recorded.
    reader: Option<Clerk>,
    /// None for a reader.
    writer: Option<Clerk>,
    rounds: Arc<Mutex<Rounds>>,
    /// Records before this moment are not told any more, whether they are deleted yet or not.
    horizon: Arc<AtomicI64>,
}

/// Opens the history in a store's directory; makes it where there is none and it is to be served.
pub(in crate::store) async fn open(
    directory: &Path,
    mode: Mode,
) -> Result<Arc<dyn AccessStore>, StoreError> {
    let home = Home(directory.to_owned());
    let opening = tokio::task::spawn_blocking(move || EmbeddedHistory::open(home, mode));
    let opened = tokio::time::timeout(LONG, opening).await;
    let store = opened
        .map_err(|_elapsed| StoreError::Unavailable("opening it took too long".to_owned()))?
        .map_err(|_panicked| StoreError::Unavailable("opening it was given up".to_owned()))?;
    Ok(Arc::new(store?))
}

/// Of the writer's memory, in KiB: the pages that batches come back to.
const WRITER_CACHE: i64 = -32_768;
const READER_CACHE: i64 = -16_384;

/// What is kept under a number and cannot be read.
fn damaged(what: &str, number: i64, error: &Damaged) -> Fault {
    Fault::damaged(&format!("{what} (number {number} in access.db: {})", error.0))
}

impl EmbeddedHistory {
    fn open(home: Home, mode: Mode) -> Result<Self, StoreError> {
        let file = home.history();
        let remembering = |connection: rusqlite::Connection, cache: i64| {
            let set = connection.pragma_update(None, "cache_size", cache);
            set.map(|()| connection).map_err(|error| Fault::from(error).told(&file))
        };
        let writer = match mode {
            Mode::Reader => None,
            Mode::Sole => {
                opening::make_directory(&home)?;
                let connection = opening::to_write(&home, &file, HISTORY)?;
                let connection = remembering(connection, WRITER_CACHE)?;
                Some(Clerk::start("history writer", file.clone(), connection)?)
            }
        };
        let nothing = writer.is_none() && home.0.is_dir() && !file.exists();
        let reader = if nothing {
            None
        } else {
            let connection = opening::to_read(&home, &file, HISTORY)?;
            let connection = remembering(connection, READER_CACHE)?;
            Some(Clerk::start("history reader", file.clone(), connection)?)
        };
        let horizon = Arc::new(AtomicI64::new(i64::MIN));
        Ok(Self { home, file, reader, writer, rounds: Arc::default(), horizon })
    }

    /// `nothing` where nothing was ever recorded.
    async fn read<T: Send + 'static>(
        &self,
        nothing: impl FnOnce() -> T + Send,
        errand: impl Errand<T>,
    ) -> Result<T, StoreError> {
        match &self.reader {
            None => Ok(nothing()),
            Some(reader) => {
                reader.ask(SHORT, errand).await.map_err(|unanswered| unanswered.of_reading())
            }
        }
    }

    async fn write<T: Send + 'static>(&self, errand: impl Errand<T>) -> Result<T, StoreError> {
        let reading = || StoreError::Unavailable("it was opened for reading alone".to_owned());
        let writer = self.writer.as_ref().ok_or_else(reading)?;
        writer.ask(LONG, errand).await.map_err(|unanswered| unanswered.of_writing())
    }
}

impl AccessStore for EmbeddedHistory {
    fn lanes<'a>(&'a self, lanes: &'a [LaneId]) -> Task<'a, Vec<u64>> {
        let asked = lanes.to_vec();
        Box::pin(self.read(
            || vec![0; lanes.len()],
            move |store| asked.iter().map(|lane| taking::last_of(store, *lane)).collect(),
        ))
    }

    /// What comes in a second on a fast machine: with a thousand keys at work, thirty records of each.
    fn appetite(&self) -> usize {
        32_768
    }

    fn take(&self, batch: Arc<Batch>) -> Task<'_, Taken> {
        Box::pin(self.write(move |store| taking::take(store, &batch)))
    }

    fn skip(&self, lane: LaneId, upto: u64) -> Task<'_, ()> {
        Box::pin(self.write(move |store| taking::skip(store, lane, upto)))
    }

    fn forget<'a>(&'a self, lanes: &'a [LaneId]) -> Task<'a, ()> {
        let lanes = lanes.to_vec();
        let now = Clock::default().now();
        Box::pin(self.write(move |store| taking::forget(store, &lanes, now)))
    }

    fn page<'a>(&'a self, query: &'a ActivityQuery) -> Task<'a, Page> {
        let query = query.clone();
        let horizon = Timestamp::from_micros(self.horizon.load(Ordering::Acquire));
        Box::pin(self.read(Page::default, move |store| pages::page(store, &query, horizon)))
    }

    fn usage<'a>(
        &'a self,
        whose: &'a Whose,
        from: Timestamp,
        to: Timestamp,
        step: Step,
    ) -> Task<'a, Vec<Span>> {
        let whose = whose.clone();
        Box::pin(self.read(Vec::new, move |store| sums::usage(store, &whose, from, to, step)))
    }

    fn totals<'a>(
        &'a self,
        whose: &'a [Whose],
        from: Timestamp,
        to: Timestamp,
    ) -> Task<'a, Vec<Tally>> {
        let asked = whose.to_vec();
        Box::pin(self.read(
            || vec![Tally::default(); whose.len()],
            move |store| sums::totals(store, &asked, from, to),
        ))
    }

    fn refusals<'a>(
        &'a self,
        whose: &'a Whose,
        from: Timestamp,
        to: Timestamp,
    ) -> Task<'a, Vec<RefusalCount>> {
        let whose = whose.clone();
        Box::pin(self.read(Vec::new, move |store| sums::refusals(store, &whose, from, to)))
    }

    fn expire(&self, records: Timestamp, sums: Timestamp) -> Task<'_, Expired> {
        let (rounds, horizon) = (Arc::clone(&self.rounds), Arc::clone(&self.horizon));
        Box::pin(self.write(move |store| {
            // Never back: what was said to be gone is not told again.
            horizon.fetch_max(records.as_micros(), Ordering::AcqRel);
            let mut rounds = rounds.lock().unwrap_or_else(PoisonError::into_inner);
            tidying::round(store, &mut rounds, records, sums)
        }))
    }

    fn acknowledge(&self, alert: Acknowledged) -> Task<'_, ()> {
        Box::pin(self.write(move |store| sums::acknowledge(store, &alert)))
    }

    fn acknowledged<'a>(&'a self, alerts: &'a [Box<str>]) -> Task<'a, Vec<Acknowledged>> {
        let alerts = alerts.to_vec();
        Box::pin(self.read(Vec::new, move |store| sums::acknowledged(store, &alerts)))
    }

    fn concerns(&self) -> Task<'_, Vec<String>> {
        let (home, file) = (self.home.clone(), self.file.clone());
        Box::pin(self.read(Vec::new, move |store| concerns::of(store, &home, &file)))
    }
}
