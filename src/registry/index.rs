//! What finds a key: its digest, or its public id, to its slot.
//!
//! Shared by every thread. Workers ask it at the first use of a key and for every wrong one; the writer alone puts in.
//! An entry is never taken out: a slot belongs to one key for the life of the process, and what the slot is worth is
//! the view's to say. So an entry that comes before its view, or outlives its key, opens nothing.
//!
//! Half of a digest is kept: 128 bits of an HMAC are as good as all of it for telling keys apart, and of a hundred
//! thousand entries the other half is two megabytes.

use dashmap::DashMap;

use crate::model::{KeyDigest, KeyId};
use crate::registry::view::{KeySlot, VendorKeySlot};

#[derive(Debug, Default)]
pub struct Index {
    keys: DashMap<Half, KeySlot>,
    ids: DashMap<KeyId, KeySlot>,
    /// Few, beside the others.
    vendor_keys: DashMap<Half, VendorKeySlot>,
}

/// The first half of a digest.
type Half = [u8; 16];

fn half(digest: &KeyDigest) -> Half {
    std::array::from_fn(|index| digest.0[index])
}

impl Index {
    pub fn key(&self, digest: &KeyDigest) -> Option<KeySlot> {
        self.keys.get(&half(digest)).map(|slot| *slot)
    }

    pub fn vendor_key(&self, digest: &KeyDigest) -> Option<VendorKeySlot> {
        self.vendor_keys.get(&half(digest)).map(|slot| *slot)
    }

    /// The slot of a subscriber key by its public id.
    pub fn key_by_id(&self, id: KeyId) -> Option<KeySlot> {
        self.ids.get(&id).map(|slot| *slot)
    }

    pub(in crate::registry) fn add_key(&self, id: KeyId, digest: KeyDigest, slot: KeySlot) {
        self.ids.insert(id, slot);
        self.keys.insert(half(&digest), slot);
    }

    pub(in crate::registry) fn add_vendor_key(&self, digest: KeyDigest, slot: VendorKeySlot) {
        self.vendor_keys.insert(half(&digest), slot);
    }
}
