//! When keys were last used, out of the records of a start that was killed: the registry writes uses every few seconds, and
//! a record is kept from its first moment.
//!
//! Promised: after a start, no key was used later than it is known to have been, by any record that is kept of a request
//! that was let through, however the gateway ended before. Read are all records that are still in the journal. Those of the
//! last seconds that it let go, because the store had them, are read from the history. A history that cannot be read, or
//! not in time, costs the uses of those seconds and is told; nobody is kept from being served by it.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::history::History;
use crate::journal::read_directory;
use crate::model::{AccessRecord, Decision, KeyId, Timestamp};
use crate::registry::Registry;
use crate::store::StoreError;
use crate::store::access::{ActivityQuery, Whose};

/// Before the last record of all, every use was written: more than the registry takes from one writing to the next.
const UNWRITTEN: Duration = Duration::from_secs(15);
/// For reading the history, while nobody is served.
const PATIENCE: Duration = Duration::from_secs(5);
const AT_ONCE: usize = 1000;

/// What records say.
#[derive(Debug, Default)]
struct Seen {
    uses: HashMap<KeyId, Timestamp>,
    /// The latest of all, whoever's it is.
    latest: Option<Timestamp>,
}

impl Seen {
    fn take(&mut self, record: &AccessRecord<'_>) {
        let at = record.opening.ts;
        self.latest = self.latest.max(Some(at));
        if record.outcome.decision == Decision::Deny {
            return;
        }
        if let Ok(key) = KeyId::parse(&record.opening.key) {
            let known = self.uses.entry(key).or_insert(at);
            *known = at.max(*known);
        }
    }
}

/// Tells the registry. `has_let_go` says that the journal does not have all records of its lanes.
pub(super) async fn recover(dir: &Path, has_let_go: bool, history: &History, registry: &Registry) {
    let dir = dir.to_owned();
    let read = spawn_blocking(move || {
        let mut seen = Seen::default();
        let read = read_directory(&dir, &mut |record| {
            seen.take(&record);
            Ok(())
        });
        (seen, read.err())
    });
    let Ok((mut seen, fault)) = read.await else { return };
    if let Some(error) = fault {
        tracing::warn!(%error, "when keys were last used before this start is not all known: the journal cannot be read");
    }
    if has_let_go {
        match timeout(PATIENCE, read_history(history, &mut seen)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(%error, "when keys were last used before this start is not all known: the history cannot be read");
            }
            Err(_) => {
                tracing::warn!(
                    "when keys were last used before this start is not all known: reading the history takes too long"
                );
            }
        }
    }
    let uses: Vec<_> = seen.uses.into_iter().collect();
    match registry.recover_uses(&uses).await {
        Ok(0) => {}
        Ok(keys) => tracing::info!(keys, "learned from access records when keys were last used"),
        Err(error) => {
            tracing::warn!(%error, "when keys were last used could not be written; it is tried again");
        }
    }
}

/// The last seconds of what the store has, up to the last record that the journal has.
async fn read_history(history: &History, seen: &mut Seen) -> Result<(), StoreError> {
    let mut query = ActivityQuery::of(Whose::Everybody, 1);
    while seen.latest.is_none() {
        let page = history.store.page(&query).await?;
        page.records.iter().for_each(|record| seen.take(record));
        query.after = page.next;
        if page.next.is_none() {
            break;
        }
    }
    let Some(latest) = seen.latest else { return Ok(()) };
    let back = i64::try_from(UNWRITTEN.as_micros()).unwrap_or(i64::MAX);
    query.from = Some(Timestamp::from_micros(latest.as_micros().saturating_sub(back)));
    query.to = Some(latest.after(Duration::from_micros(1)));
    (query.after, query.limit) = (None, AT_ONCE);
    history.each(query, |record| seen.take(record)).await
}
