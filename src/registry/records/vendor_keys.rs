//! Vendor keys by id and by slot. There are few: they are kept as they are.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::model::{KeyId, VendorId, VendorKey};
use crate::registry::index::Index;
use crate::registry::records::Kept;
use crate::registry::records::held::after;
use crate::registry::records::names::{to_index, to_number};
use crate::registry::view::VendorKeySlot;

#[derive(Debug, Default)]
pub(in crate::registry) struct VendorKeys {
    by_id: BTreeMap<KeyId, Kept<VendorKey>>,
    of_vendor: BTreeMap<VendorId, BTreeSet<KeyId>>,
    slots: Vec<KeyId>,
    slot_of: BTreeMap<KeyId, VendorKeySlot>,
}

impl VendorKeys {
    /// No key, and the same slots spoken for.
    pub(super) fn emptied(&self) -> Self {
        let (slots, slot_of) = (self.slots.clone(), self.slot_of.clone());
        Self { slots, slot_of, ..Self::default() }
    }

    pub(super) fn get(&self, id: KeyId) -> Option<&Kept<VendorKey>> {
        self.by_id.get(&id)
    }

    pub(super) fn of<'a>(
        &'a self,
        vendor: &VendorId,
        from: Option<KeyId>,
    ) -> impl Iterator<Item = &'a Kept<VendorKey>> + use<'a> {
        let ids = self.of_vendor.get(vendor).map(|ids| ids.range(after(from)));
        ids.into_iter().flatten().filter_map(|id| self.by_id.get(id))
    }

    pub(in crate::registry) fn at(&self, slot: VendorKeySlot) -> Option<&Arc<VendorKey>> {
        let id = self.slots.get(to_index(slot.0))?;
        self.by_id.get(id).map(|kept| &kept.value)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Kept<VendorKey>> {
        self.by_id.values()
    }

    pub(super) fn put(&mut self, kept: Kept<VendorKey>, index: &Index) -> VendorKeySlot {
        let id = kept.value.id;
        self.remove(id);
        let slot = *self.slot_of.entry(id).or_insert_with(|| {
            self.slots.push(id);
            VendorKeySlot(to_number(self.slots.len() - 1))
        });
        index.add_vendor_key(kept.value.digest, slot);
        self.of_vendor.entry(kept.value.vendor.clone()).or_default().insert(id);
        self.by_id.insert(id, kept);
        slot
    }

    /// Takes a key out, everywhere but of the index.
    pub(super) fn remove(&mut self, id: KeyId) -> Option<VendorKeySlot> {
        let kept = self.by_id.remove(&id)?;
        if let Some(ids) = self.of_vendor.get_mut(&kept.value.vendor) {
            ids.remove(&id);
        }
        self.slot_of.get(&id).copied()
    }

    pub(in crate::registry) fn slots(&self) -> impl Iterator<Item = VendorKeySlot> {
        (0..to_number(self.slots.len())).map(VendorKeySlot)
    }
}
