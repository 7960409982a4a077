//! When each key was last used: written by workers without a lock, read by whoever asks, flushed now and then.
//!
//! One number a key, in pages that every view shares, so that noting a use changes no view. A number only grows. What a
//! kill kept from being flushed is learned from access records at the next start.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use crate::model::Timestamp;
use crate::registry::records::names::to_index;
use crate::registry::view::KeySlot;
use crate::registry::view::pages::PAGE;

/// No key was used in 1970.
const NEVER: i64 = 0;
/// A use within the same second is not worth a write to memory that every core reads.
const STEP: i64 = 1_000_000;

/// Clones share their numbers.
#[derive(Clone, Debug, Default)]
pub(in crate::registry) struct Uses(Arc<Vec<Arc<[AtomicI64]>>>);

impl Uses {
    /// Makes room for the slot. Clones from before have none for it.
    pub(in crate::registry) fn reach(&mut self, slot: KeySlot) {
        let page = to_index(slot.0) / PAGE;
        while self.0.len() <= page {
            let fresh = (0..PAGE).map(|_| AtomicI64::new(NEVER)).collect();
            Arc::make_mut(&mut self.0).push(fresh);
        }
    }

    fn cell(&self, slot: KeySlot) -> Option<&AtomicI64> {
        let index = to_index(slot.0);
        self.0.get(index / PAGE)?.get(index % PAGE)
    }

    pub(in crate::registry) fn last(&self, slot: KeySlot) -> Option<Timestamp> {
        let micros = self.cell(slot)?.load(Ordering::Relaxed);
        (micros != NEVER).then(|| Timestamp::from_micros(micros))
    }

    /// Of a request: at most one write a second.
    pub(in crate::registry) fn note(&self, slot: KeySlot, now: Timestamp) {
        let Some(cell) = self.cell(slot) else { return };
        if now.as_micros().saturating_sub(cell.load(Ordering::Relaxed)) >= STEP {
            cell.fetch_max(now.as_micros(), Ordering::Relaxed);
        }
    }

    /// Of a store: the later of the two counts.
    pub(in crate::registry) fn learn(&self, slot: KeySlot, at: Timestamp) {
        if let Some(cell) = self.cell(slot) {
            cell.fetch_max(at.as_micros(), Ordering::Relaxed);
        }
    }
}

/// What the store knows of, so that only the rest is sent.
#[derive(Debug, Default)]
pub(in crate::registry) struct Flushed(Vec<i64>);

impl Flushed {
    /// Notes what the store has; says whether it is news to it.
    pub(in crate::registry) fn is_news(&mut self, slot: KeySlot, at: Timestamp) -> bool {
        let index = to_index(slot.0);
        if self.0.len() <= index {
            self.0.resize(index + 1, NEVER);
        }
        match self.0.get_mut(index) {
            Some(known) if *known < at.as_micros() => {
                *known = at.as_micros();
                true
            }
            _ => false,
        }
    }

    /// The store did not take them after all.
    pub(in crate::registry) fn forget(&mut self, slot: KeySlot) {
        if let Some(known) = self.0.get_mut(to_index(slot.0)) {
            *known = NEVER;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::records::names::to_number;

    #[test]
    fn a_use_is_noted_once_a_second_and_never_goes_back() {
        let slot = KeySlot(to_number(PAGE + 3));
        let mut uses = Uses::default();
        uses.note(slot, Timestamp::from_micros(5_000_000));
        assert_eq!(uses.last(slot), None, "no room yet");
        uses.reach(slot);
        let seen_by_a_view = uses.clone();
        assert_eq!(seen_by_a_view.last(slot), None);
        uses.note(slot, Timestamp::from_micros(5_000_000));
        seen_by_a_view.note(slot, Timestamp::from_micros(5_999_999));
        assert_eq!(uses.last(slot), Some(Timestamp::from_micros(5_000_000)));
        seen_by_a_view.note(slot, Timestamp::from_micros(6_000_000));
        uses.learn(slot, Timestamp::from_micros(2));
        assert_eq!(uses.last(slot), Some(Timestamp::from_micros(6_000_000)));
    }

    #[test]
    fn only_what_the_store_does_not_know_is_news() {
        let (mut flushed, slot) = (Flushed::default(), KeySlot(7));
        let at = Timestamp::from_micros;
        assert!(flushed.is_news(slot, at(5)));
        assert!(!flushed.is_news(slot, at(5)) && !flushed.is_news(slot, at(4)));
        flushed.forget(slot);
        assert!(flushed.is_news(slot, at(5)) && flushed.is_news(slot, at(6)));
    }
}
