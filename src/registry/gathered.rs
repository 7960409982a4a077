//! Everything that a store has, as it is told: each document is brought into the form in which it stays, and dropped.
//!
//! It has an index and slots of its own, for it may yet turn out to be void, late or another history. At a start it becomes
//! what the node knows; later it is held against that first, and taken over from one document to the next.

use crate::model::{KeyId, Timestamp};
use crate::registry::Records;
use crate::registry::uses::Uses;
use crate::store::{Document, DocumentId, Intake, Loaded, Position, RegistryStore, StoreError};

#[derive(Debug, Default)]
pub(in crate::registry) struct Gathered {
    pub(in crate::registry) records: Records,
    /// By the slots of these records.
    pub(in crate::registry) uses: Uses,
}

impl Gathered {
    /// Gathers all of it, in place of what was gathered before; answers which vault made it.
    pub(in crate::registry) async fn load(
        &mut self,
        store: &dyn RegistryStore,
    ) -> Result<Option<String>, StoreError> {
        let Loaded { position, head, vault } = store.load(self).await?;
        self.records.complete(position, head);
        Ok(vault)
    }
}

impl Intake for Gathered {
    fn restart(&mut self) {
        *self = Self::default();
    }

    fn put(&mut self, at: Position, document: Document) {
        self.records.gather(at, document);
    }

    fn remove(&mut self, id: &DocumentId) {
        self.records.forget(id);
    }

    fn used(&mut self, key: KeyId, at: Timestamp) {
        if let Some(slot) = self.records.index().key_by_id(key) {
            self.uses.reach(slot);
            self.uses.learn(slot, at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::tests::samples::{at, id, key};

    #[test]
    fn a_restart_leaves_nothing_of_what_was_told() {
        let mut gathered = Gathered::default();
        gathered.put(Position(1), Document::Key(key(1)));
        gathered.used(id(1), at(5));
        gathered.restart();
        gathered.put(Position(1), Document::Key(key(2)));
        gathered.used(id(2), at(6));
        let slot = gathered.records.index().key_by_id(id(2)).unwrap();
        assert_eq!(gathered.uses.last(slot), Some(at(6)));
        assert!(gathered.records.index().key_by_id(id(1)).is_none());
        assert_eq!(gathered.records.documents().count(), 1);
    }

    #[test]
    fn what_is_put_again_or_removed_meanwhile_is_as_it_was_told_last() {
        let mut gathered = Gathered::default();
        for number in [3, 1, 2] {
            gathered.put(Position(1), Document::Key(key(number)));
        }
        gathered.put(Position(2), Document::Key(key(1)));
        gathered.remove(&Document::Key(key(2)).id());
        gathered.used(id(2), at(9));
        gathered.records.complete(Position(3), Default::default());
        let practice = key(1).practice;
        let told: Vec<_> = gathered
            .records
            .keys(&practice, None)
            .map(|kept| (kept.revision, kept.value.id))
            .collect();
        assert_eq!(told, [(Position(1), id(3)), (Position(2), id(1))]);
    }
}
