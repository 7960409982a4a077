//! Subscriber keys by slot, with what lists them.
//!
//! A slot is a key's place in here and in every view; the index knows which. Documents are kept compact and made when
//! somebody asks.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::model::{KeyId, PracticeId, SubscriberKey, Timestamp, Username};
use crate::registry::index::Index;
use crate::registry::records::Kept;
use crate::registry::records::compact::CompactKey;
use crate::registry::records::names::{Names, to_index, to_number};
use crate::registry::view::KeySlot;
use crate::store::Position;

#[derive(Debug, Default)]
pub(in crate::registry) struct Keys {
    /// By slot; None for a slot whose key the store no longer has.
    slots: Vec<Option<Arc<CompactKey>>>,
    /// The slots of each practice's keys, oldest first.
    by_practice: HashMap<u32, Vec<KeySlot>>,
    /// How many keys a person of a practice owns.
    owned: HashMap<(u32, u32), u32>,
    count: usize,
    /// Practices whose list is out of order.
    unsettled: BTreeSet<u32>,
}

/// By which keys are listed.
type Age = (Timestamp, KeyId);

impl Keys {
    /// No key, and the same slots spoken for.
    pub(super) fn emptied(&self) -> Self {
        Self { slots: vec![None; self.slots.len()], ..Self::default() }
    }

    pub(super) fn len(&self) -> usize {
        self.count
    }

    pub(in crate::registry) fn at(&self, slot: KeySlot) -> Option<&Arc<CompactKey>> {
        self.slots.get(to_index(slot.0))?.as_ref()
    }

    /// Puts a key into its slot, or a new one. Lists are in order only after [`Keys::settle`].
    pub(super) fn put(
        &mut self,
        key: SubscriberKey,
        revision: Position,
        names: &mut Names,
        index: &Index,
    ) -> KeySlot {
        let compact = Arc::new(CompactKey::new(key, revision, names));
        let slot = index.key_by_id(compact.id).filter(|slot| to_index(slot.0) < self.slots.len());
        let slot = slot.unwrap_or_else(|| {
            self.slots.push(None);
            KeySlot(to_number(self.slots.len() - 1))
        });
        let before = self.at(slot).cloned();
        let stays_in_place = |before: &Arc<CompactKey>| {
            (before.practice, before.owner, before.created_at)
                == (compact.practice, compact.owner, compact.created_at)
        };
        if !before.as_ref().is_some_and(stays_in_place) {
            self.take(slot);
            self.count += 1;
            self.list(compact.practice, slot, (compact.created_at, compact.id));
            *self.owned.entry((compact.practice, compact.owner)).or_default() += 1;
        }
        if before.is_none_or(|before| before.digest != compact.digest) {
            index.add_key(compact.id, compact.digest, slot);
        }
        if let Some(place) = self.slots.get_mut(to_index(slot.0)) {
            *place = Some(compact);
        }
        slot
    }

    fn list(&mut self, practice: u32, slot: KeySlot, age: Age) {
        let last = self.by_practice.get(&practice).and_then(|listed| listed.last());
        let is_newest = last.is_none_or(|last| self.age(*last) < Some(age));
        if !is_newest {
            self.unsettled.insert(practice);
        }
        self.by_practice.entry(practice).or_default().push(slot);
    }

    /// Takes a key out, everywhere but of the index.
    pub(super) fn take(&mut self, slot: KeySlot) -> Option<Arc<CompactKey>> {
        let key = self.slots.get_mut(to_index(slot.0))?.take()?;
        self.count -= 1;
        if let Some(listed) = self.by_practice.get_mut(&key.practice) {
            // Usually a recent one.
            if let Some(place) = listed.iter().rposition(|listed| *listed == slot) {
                listed.remove(place);
            }
        }
        if let Some(owned) = self.owned.get_mut(&(key.practice, key.owner)) {
            *owned = owned.saturating_sub(1);
        }
        Some(key)
    }

    /// Brings lists in order after keys were put. Near linear, for they were in order but for a few.
    pub(super) fn settle(&mut self) {
        let Self { slots, by_practice, unsettled, .. } = self;
        for practice in std::mem::take(unsettled) {
            let Some(listed) = by_practice.get_mut(&practice) else { continue };
            listed.sort_by_key(|slot| {
                let key = slots.get(to_index(slot.0)).and_then(Option::as_ref);
                key.map(|key| (key.created_at, key.id))
            });
        }
    }

    pub(super) fn owns(&self, practice: u32, owner: u32) -> bool {
        self.owned.get(&(practice, owner)).is_some_and(|count| *count > 0)
    }

    pub(super) fn kept(&self, slot: KeySlot, names: &Names) -> Option<Kept<SubscriberKey>> {
        let compact = self.at(slot)?;
        Some(Kept { revision: compact.revision, value: Arc::new(compact.key(names)?) })
    }

    /// Newest first, after (so, older than) the key at `after`.
    pub(super) fn of_practice(
        &self,
        practice: u32,
        after: Option<KeySlot>,
    ) -> impl Iterator<Item = KeySlot> {
        let listed = self.by_practice.get(&practice).map_or(&[][..], Vec::as_slice);
        let end = match after.map(|slot| self.age(slot)) {
            None => listed.len(),
            Some(age) => listed.partition_point(|slot| self.age(*slot) < age),
        };
        listed.iter().take(end).rev().copied()
    }

    fn age(&self, slot: KeySlot) -> Option<Age> {
        self.at(slot).map(|key| (key.created_at, key.id))
    }

    pub(super) fn by_id(&self) -> Vec<KeySlot> {
        let mut found: Vec<(KeyId, KeySlot)> = (0..)
            .zip(&self.slots)
            .filter_map(|(slot, key)| Some((key.as_ref()?.id, KeySlot(slot))))
            .collect();
        found.sort_unstable_by_key(|(id, _)| *id);
        found.into_iter().map(|(_, slot)| slot).collect()
    }

    pub(in crate::registry) fn all(&self) -> impl Iterator<Item = (KeySlot, &Arc<CompactKey>)> {
        (0..).zip(&self.slots).filter_map(|(slot, key)| Some((KeySlot(slot), key.as_ref()?)))
    }
}

/// Numbers of a practice and a person, where both are known.
pub(super) fn numbers(
    names: &Names,
    practice: &PracticeId,
    owner: &Username,
) -> Option<(u32, u32)> {
    Some((names.practices.find(practice)?, names.people.find(owner)?))
}
