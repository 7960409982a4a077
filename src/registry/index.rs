//! What finds a key: its digest, or its public id, to its slot.
//!
//! Shared by every thread. Workers ask it at the first use of a key and for every wrong one; the writer alone puts in.
//! An entry is never taken out: a slot belongs to one key for the life of the process, and what the slot is worth is
//! the view's to say. So an entry that comes before its view, or outlives its key, opens nothing.
//!
//! Half of a digest is kept: 128 bits of an HMAC are as good as all of it for telling keys apart, and of a hundred
//! thousand entries the other half is two megabytes.

use std::sync::atomic::{AtomicU64, Ordering};

use dashmap::DashMap;

use crate::model::{KeyDigest, KeyId};
use crate::registry::view::{KeySlot, VendorKeySlot};

#[derive(Debug, Default)]
pub struct Index {
    keys: DashMap<Half, KeySlot>,
    ids: DashMap<KeyId, KeySlot>,
    /// Few, beside the others.
    vendor_keys: DashMap<Half, VendorKeySlot>,
    issued: AtomicU64,
}

/// The first half of a digest.
type Half = [u8; 16];

fn half(digest: &KeyDigest) -> Half {
    // A digest is longer, so there always is one.
    digest.0.first_chunk().copied().unwrap_or_default()
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

    /// How many were put in. Whoever reads it and finds a key missing then knows that it was missing while the number holds: it grows
    /// only after a key was put in.
    pub fn issued(&self) -> u64 {
        self.issued.load(Ordering::SeqCst)
    }

    pub(in crate::registry) fn add_key(&self, id: KeyId, digest: KeyDigest, slot: KeySlot) {
        self.ids.insert(id, slot);
        self.keys.insert(half(&digest), slot);
        self.issued.fetch_add(1, Ordering::SeqCst);
    }

    pub(in crate::registry) fn add_vendor_key(&self, digest: KeyDigest, slot: VendorKeySlot) {
        self.vendor_keys.insert(half(&digest), slot);
        self.issued.fetch_add(1, Ordering::SeqCst);
    }
}
