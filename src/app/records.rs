//! Access records in a gateway that serves: opened before anybody is let in, told of while it runs, kept at its end.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use arc_swap::ArcSwap;
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::app::signals::Stop;
use crate::config::{Config, OnFailure, StoreAddress};
use crate::history::{History, Shipper};
use crate::journal::{Journal, Recovered, Settings};
use crate::model::NodeName;
use crate::proxy::Snapshot;
use crate::registry::Registry;
use crate::store::{self, Mode};
use crate::telemetry::metrics::{RecordFigures, RecordSource};
use crate::telemetry::readiness::{JournalSource, JournalStatus, Shipping, Writing};

mod uses;

/// For how long segments stay once Redis has their records. A failover to a replica that lagged, and a restart without
/// the last writes of the AOF, lose seconds; somebody who restores a machine by hand needs minutes.
const KEPT_FOR_REDIS: Duration = Duration::from_secs(600);
/// For what is left when the gateway ends. What takes longer is shipped at the next start.
const LAST: Duration = Duration::from_secs(5);

/// The journal, which nobody else may have, and the history behind it. `node` stands in every record. What the records of
/// an earlier start say of last uses, the registry knows afterwards.
pub(super) async fn open(
    config: &Config,
    node: &NodeName,
    registry: &Registry,
) -> anyhow::Result<History> {
    let store = store::open_history(&config.store, Mode::Sole).await?;
    let log = &config.log;
    let settings = Settings { dir: log.dir.clone(), sync: log.sync, max_disk: log.max_disk };
    let (journal, recovered) =
        Journal::open(&settings, node).context("access records have no place (log.dir)")?;
    let Recovered { lanes, interrupted, torn, torn_bytes, let_go } = recovered;
    if recovered != Recovered::default() {
        let waiting = journal.figures().waiting;
        tracing::info!(
            lanes,
            kept = waiting,
            interrupted,
            torn,
            torn_bytes,
            "found access records of an earlier start in the journal"
        );
    }
    let history = History::new(journal, store);
    if lanes > 0 {
        uses::recover(&settings.dir, let_go > 0, &history, registry).await;
    }
    Ok(history)
}

/// The thread that ships. To be called on the control runtime, on which the store's connections live.
pub(super) fn ship(history: &History, config: &Config) -> anyhow::Result<Shipper> {
    let keep = match config.store {
        // In its file they are as safe as in ours.
        StoreAddress::Embedded(_) => Duration::ZERO,
        StoreAddress::Redis(_) => KEPT_FOR_REDIS,
    };
    history.ship(Handle::current(), keep).context("cannot start the thread that ships records")
}

/// Forces what is left to disk, for only that is shipped, and ships it, unless somebody cannot wait. Nobody writes any more.
pub(super) async fn close(history: &History, shipper: &Shipper, stop: &mut Stop) {
    let closing = async {
        // A disk that hangs is no reason not to ship what was forced before.
        let _in_time_or_not = timeout(LAST, flush(&history.journal)).await;
        shipper.finish(LAST).await;
        flush(&history.journal).await;
    };
    tokio::select! {
        () = closing => {}
        () = stop.asked() => shipper.finish(Duration::ZERO).await,
    }
    let waiting = history.journal.figures().waiting;
    if waiting > 0 {
        tracing::warn!(waiting, "access records wait in the journal; the next start ships them");
    }
}

async fn flush(journal: &Journal) {
    let journal = journal.clone();
    if let Ok(Err(error)) = spawn_blocking(move || journal.flush()).await {
        tracing::error!(%error, "the journal could not be forced to disk");
    }
}

pub(super) fn figures(history: &Arc<History>) -> RecordSource {
    let history = Arc::clone(history);
    Arc::new(move || {
        let (journal, shipping) = history.status();
        let now = history.clock.now();
        RecordFigures {
            begun: journal.begun,
            completed: journal.completed,
            shipped: shipping.shipped,
            waiting: journal.waiting,
            oldest_waiting: journal.oldest_waiting.map(|oldest| now.since(oldest)),
            without_a_place: journal.refused,
            disk_used: journal.disk_used,
            disk_max: journal.disk_max,
            is_full: journal.is_full,
            is_failing: journal.is_failing,
            is_shipping_failing: shipping.trouble.is_some(),
            rewinds: shipping.rewinds,
            gone: shipping.gone,
            held_back: shipping.held_back,
        }
    })
}

pub(super) fn standing(history: &Arc<History>, snapshot: &Arc<ArcSwap<Snapshot>>) -> JournalSource {
    let (history, running) = (Arc::clone(history), Arc::clone(snapshot));
    Arc::new(move || {
        let (journal, shipping) = history.status();
        let waited = journal.oldest_waiting.map(|oldest| history.clock.now().since(oldest));
        JournalStatus {
            status: match (journal.is_full, journal.is_failing) {
                (true, _) => Writing::Full,
                (false, true) => Writing::Failing,
                (false, false) => Writing::Writing,
            },
            waiting: journal.waiting,
            oldest_waiting_seconds: waited.unwrap_or_default().as_secs(),
            disk_used: journal.disk_used,
            disk_max: journal.disk_max,
            shipping: match shipping.trouble {
                None => Shipping::Current,
                Some((since, error)) => Shipping::Failing { seconds: since.as_secs(), error },
            },
            is_required: running.load().config.log.on_failure == OnFailure::Deny,
        }
    })
}
