//! The past of this gateway: records on their way into the store, what becomes of them there, and how far that is.
//!
//! - `ship`: out of the journal into the store, each record once, for as long as the store takes to be there.
//! - `retention`: what is too old goes; what endangers the rest is told.
//! - [`alerts`], [`watch`]: what people should look at, and out of what that is computed.
//! - [`calendar`], [`csv`]: days and hours; records for spreadsheets.

use std::sync::Arc;
use std::time::Duration;

use crate::journal::{Figures, Journal};
use crate::model::AccessRecord;
use crate::store::StoreError;
use crate::store::access::{AccessStore, ActivityQuery};
use crate::telemetry::clock::Clock;

pub mod alerts;
pub mod calendar;
pub mod csv;
mod progress;
mod retention;
mod ship;
pub mod watch;

use progress::Progress;
pub use ship::Shipper;

/// What the admin listener, the metrics and the shipper share.
#[derive(Clone, Debug)]
pub struct History {
    pub journal: Journal,
    pub store: Arc<dyn AccessStore>,
    pub clock: Arc<Clock>,
    progress: Arc<Progress>,
}

/// How far shipping is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShippingStatus {
    /// For how long the store has not taken anything that it was given, and what it said.
    pub trouble: Option<(Duration, String)>,
    /// Records that this process handed over and the store confirmed; again, where it had lost them.
    pub shipped: u64,
    /// How often the store came back with less than it had confirmed.
    pub rewinds: u64,
    /// Records that the store lacks and the journal has no more.
    pub gone: u64,
    /// Records that are too old and still kept, because a consumer has not confirmed them.
    pub held_back: u64,
}

impl History {
    pub fn new(journal: Journal, store: Arc<dyn AccessStore>) -> Self {
        Self { journal, store, clock: Arc::default(), progress: Arc::default() }
    }

    /// What the store said last of what endangers records.
    pub fn concerns(&self) -> Vec<String> {
        self.progress.concerns()
    }

    /// Every record that a query speaks of, a page at a time.
    pub async fn each(
        &self,
        mut query: ActivityQuery,
        mut take: impl FnMut(&AccessRecord<'_>),
    ) -> Result<(), StoreError> {
        loop {
            let page = self.store.page(&query).await?;
            page.records.iter().for_each(&mut take);
            query.after = page.next;
            if page.next.is_none() {
                return Ok(());
            }
        }
    }

    pub fn status(&self) -> (Figures, ShippingStatus) {
        (self.journal.figures(), self.progress.status())
    }
}
