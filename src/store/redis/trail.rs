//! Which change this node knows at which position.
//!
//! A store that lost its last changes and was written to again has other changes at the same positions. Whoever knows the
//! id of the change at its own position notices; the number alone would not tell.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::store::Position;

/// More than one answer of the feed holds, so the position that a node asks from is known.
const REMEMBERED: usize = 1_024;

#[derive(Debug, Default)]
pub(super) struct Trail(Mutex<BTreeMap<Position, Box<str>>>);

impl Trail {
    /// Forgets what was known: everything was loaded, as of this position.
    pub(super) fn restart(&self, at: Position, change: &str) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.clear();
        known.insert(at, change.into());
    }

    pub(super) fn note(&self, at: Position, change: &str) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(at, change.into());
        while known.len() > REMEMBERED {
            known.pop_first();
        }
    }

    /// None where nothing is known of that position; empty where no change led to it.
    pub(super) fn known(&self, at: Position) -> Option<Box<str>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&at).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_are_remembered() {
        let trail = Trail::default();
        trail.restart(Position(7), "seventh");
        assert_eq!(trail.known(Position(7)).as_deref(), Some("seventh"));
        for at in 8..8 + 2 * REMEMBERED as u64 {
            trail.note(Position(at), "later");
        }
        assert_eq!(trail.known(Position(7)), None);
        assert!(trail.known(Position(7 + 2 * REMEMBERED as u64)).is_some());
        trail.restart(Position(3), "third");
        assert_eq!(trail.known(Position(8)), None);
    }
}
