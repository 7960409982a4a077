//! What an administrator holds: tokens or sessions, found by their digest and listed by their holder.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;

use crate::model::{AdminToken, KeyDigest, KeyId, Session, Username};
use crate::registry::records::Kept;

/// Something with a digest that belongs to an administrator.
pub(in crate::registry) trait Holding {
    fn id(&self) -> KeyId;
    fn digest(&self) -> KeyDigest;
    fn holder(&self) -> &Username;
}

#[derive(Debug)]
pub(in crate::registry) struct Held<T> {
    by_id: BTreeMap<KeyId, Kept<T>>,
    by_digest: HashMap<KeyDigest, KeyId>,
    by_holder: HashMap<Username, BTreeSet<KeyId>>,
}

impl<T> Default for Held<T> {
    fn default() -> Self {
        Self { by_id: BTreeMap::new(), by_digest: HashMap::new(), by_holder: HashMap::new() }
    }
}

impl<T: Holding> Held<T> {
    pub(super) fn put(&mut self, kept: Kept<T>) {
        let id = kept.value.id();
        self.remove(id);
        self.by_digest.insert(kept.value.digest(), id);
        self.by_holder.entry(kept.value.holder().clone()).or_default().insert(id);
        self.by_id.insert(id, kept);
    }

    pub(super) fn remove(&mut self, id: KeyId) {
        if let Some(kept) = self.by_id.remove(&id) {
            self.by_digest.remove(&kept.value.digest());
            let holder = kept.value.holder();
            if let Some(ids) = self.by_holder.get_mut(holder) {
                ids.remove(&id);
                if ids.is_empty() {
                    self.by_holder.remove(holder);
                }
            }
        }
    }

    pub(super) fn get(&self, id: KeyId) -> Option<&Kept<T>> {
        self.by_id.get(&id)
    }

    pub(super) fn by_digest(&self, digest: &KeyDigest) -> Option<&Kept<T>> {
        self.by_id.get(self.by_digest.get(digest)?)
    }

    pub(super) fn of<'a>(
        &'a self,
        holder: &Username,
    ) -> impl Iterator<Item = &'a Kept<T>> + use<'a, T> {
        let ids = self.by_holder.get(holder).into_iter().flatten();
        ids.filter_map(|id| self.by_id.get(id))
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Kept<T>> {
        self.by_id.values()
    }
}

/// After `id`, or from the first.
pub(super) fn after<T>(id: Option<T>) -> (Bound<T>, Bound<T>) {
    (id.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded)
}

impl Holding for AdminToken {
    fn id(&self) -> KeyId {
        self.id
    }
    fn digest(&self) -> KeyDigest {
        self.digest
    }
    fn holder(&self) -> &Username {
        &self.username
    }
}

impl Holding for Session {
    fn id(&self) -> KeyId {
        self.id
    }
    fn digest(&self) -> KeyDigest {
        self.digest
    }
    fn holder(&self) -> &Username {
        &self.username
    }
}
