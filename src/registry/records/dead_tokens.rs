//! Access tokens that were given back before their end: found by id, and counted by the key that they were issued to.

use std::collections::{BTreeMap, HashMap};

use crate::model::KeyId;
use crate::registry::records::Kept;
use crate::store::DeadToken;

#[derive(Debug, Default)]
pub(super) struct DeadTokens {
    by_id: BTreeMap<KeyId, Kept<DeadToken>>,
    of_key: HashMap<KeyId, usize>,
}

impl DeadTokens {
    pub(super) fn put(&mut self, kept: Kept<DeadToken>) {
        let id = kept.value.id;
        self.remove(id);
        if let Some(key) = kept.value.key {
            *self.of_key.entry(key).or_default() += 1;
        }
        self.by_id.insert(id, kept);
    }

    pub(super) fn remove(&mut self, id: KeyId) {
        let Some(key) = self.by_id.remove(&id).and_then(|kept| kept.value.key) else { return };
        if let Some(count) = self.of_key.get_mut(&key) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.of_key.remove(&key);
            }
        }
    }

    pub(super) fn get(&self, id: KeyId) -> Option<&Kept<DeadToken>> {
        self.by_id.get(&id)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Kept<DeadToken>> {
        self.by_id.values()
    }

    pub(super) fn count_of(&self, key: KeyId) -> usize {
        self.of_key.get(&key).copied().unwrap_or_default()
    }
}
