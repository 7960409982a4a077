//! What stores say endangers what they keep, for `/readyz`: told in the log where it begins, and here for as long as it is so.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::time::sleep;

use crate::history::History;
use crate::registry::Registry;
use crate::telemetry::readiness::{StoreSource, StoreStatus};

/// As often as the history asks about records.
const EVERY: Duration = Duration::from_secs(60);

/// Of the registry's store, as it said last.
pub(super) type Concerns = Arc<ArcSwap<Vec<String>>>;

/// Asks the registry's store now and then; endless. Where it does not answer, what it said before still holds.
pub(super) async fn watch(registry: Arc<Registry>, concerns: Concerns) {
    loop {
        if let Ok(told) = registry.store().concerns().await {
            concerns.store(Arc::new(told));
        }
        sleep(EVERY).await;
    }
}

/// What both stores say, each thing once.
pub(super) fn standing(history: &Arc<History>, concerns: &Concerns) -> StoreSource {
    let (history, of_registry) = (Arc::clone(history), Arc::clone(concerns));
    Arc::new(move || {
        let mut concerns = Vec::clone(&of_registry.load());
        let of_records = history.concerns();
        concerns
            .extend(of_records.into_iter().filter(|concern| !of_registry.load().contains(concern)));
        StoreStatus { concerns }
    })
}
