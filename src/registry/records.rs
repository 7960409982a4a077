//! Every document of the registry in memory, found by id and listed in order.
//!
//! Applying a change is total: whatever a store gives is taken as it is, also a key of a practice that nobody knows.
//! What such a key may do is the view's to decide, which is nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::model::{
    AdminToken, Administrator, AuditHead, KeyDigest, KeyId, Practice, PracticeId, Session,
    StaffUser, SubscriberKey, Timestamp, Username, Vendor, VendorId, VendorKey,
};
use crate::registry::index::Index;
use crate::registry::records::dead_tokens::DeadTokens;
use crate::registry::records::held::{Held, after};
use crate::registry::records::keys::Keys;
use crate::registry::records::names::Names;
use crate::registry::records::vendor_keys::VendorKeys;
use crate::registry::view::{KeySlot, VendorKeySlot};
use crate::store::{DeadToken, Position};

mod apply;
pub(in crate::registry) mod compact;
mod dead_tokens;
mod documents;
mod held;
pub(in crate::registry) mod keys;
pub(in crate::registry) mod names;
pub(in crate::registry) mod vendor_keys;

/// A document with the position of the change that last put it: its ETag.
#[derive(Clone, Debug)]
pub struct Kept<T> {
    pub revision: Position,
    pub value: Arc<T>,
}

#[derive(Debug, Default)]
pub struct Records {
    position: Position,
    head: AuditHead,
    practices: BTreeMap<PracticeId, Kept<Practice>>,
    users: BTreeMap<PracticeId, BTreeMap<Username, Kept<StaffUser>>>,
    vendors: BTreeMap<VendorId, Kept<Vendor>>,
    pub(in crate::registry) vendor_keys: VendorKeys,
    pub(in crate::registry) keys: Keys,
    admins: BTreeMap<Username, Kept<Administrator>>,
    tokens: Held<AdminToken>,
    sessions: Held<Session>,
    dead_tokens: DeadTokens,
    pub(in crate::registry) names: Names,
    /// The slots and digests of keys; shared with the workers.
    index: Arc<Index>,
}

/// What a change touched, for the view.
#[derive(Debug, Default)]
pub(in crate::registry) struct Touched {
    pub(in crate::registry) keys: BTreeSet<KeySlot>,
    pub(in crate::registry) vendor_keys: BTreeSet<VendorKeySlot>,
    /// By number.
    pub(in crate::registry) practices: BTreeSet<u32>,
    pub(in crate::registry) vendors: BTreeSet<u32>,
    pub(in crate::registry) dead_tokens: BTreeSet<KeyId>,
    /// Keys that were not revoked before.
    pub(in crate::registry) revoked: Vec<KeyId>,
}

impl Records {
    pub fn position(&self) -> Position {
        self.position
    }

    pub fn head(&self) -> AuditHead {
        self.head
    }

    pub fn practice(&self, id: &PracticeId) -> Option<&Kept<Practice>> {
        self.practices.get(id)
    }

    /// All lists are in the order of their ids, after `after`.
    pub fn practices<'a>(
        &'a self,
        from: Option<&str>,
    ) -> Box<dyn Iterator<Item = &'a Kept<Practice>> + 'a> {
        Box::new(self.practices.range::<str, _>(after(from)).map(|(_, kept)| kept))
    }

    pub fn user(&self, practice: &PracticeId, username: &Username) -> Option<&Kept<StaffUser>> {
        self.users.get(practice)?.get(username)
    }

    pub fn users<'a>(
        &'a self,
        practice: &PracticeId,
        from: Option<&str>,
    ) -> Box<dyn Iterator<Item = &'a Kept<StaffUser>> + 'a> {
        let Some(users) = self.users.get(practice) else { return Box::new(std::iter::empty()) };
        Box::new(users.range::<str, _>(after(from)).map(|(_, kept)| kept))
    }

    /// By which its keys are counted together: the same as long as the process lives.
    pub fn number_of_practice(&self, id: &PracticeId) -> Option<u32> {
        self.names.practices.find(id)
    }

    /// The same of a vendor.
    pub fn number_of_vendor(&self, id: &VendorId) -> Option<u32> {
        self.names.vendors.find(id)
    }

    pub fn vendor(&self, id: &VendorId) -> Option<&Kept<Vendor>> {
        self.vendors.get(id)
    }

    pub fn vendors<'a>(
        &'a self,
        from: Option<&str>,
    ) -> Box<dyn Iterator<Item = &'a Kept<Vendor>> + 'a> {
        Box::new(self.vendors.range::<str, _>(after(from)).map(|(_, kept)| kept))
    }

    pub fn vendor_key(&self, id: KeyId) -> Option<&Kept<VendorKey>> {
        self.vendor_keys.get(id)
    }

    pub fn vendor_keys<'a>(
        &'a self,
        vendor: &VendorId,
        from: Option<KeyId>,
    ) -> Box<dyn Iterator<Item = &'a Kept<VendorKey>> + 'a> {
        Box::new(self.vendor_keys.of(vendor, from))
    }

    /// Made for the asker: keys are kept in a compact form.
    pub fn key(&self, id: KeyId) -> Option<Kept<SubscriberKey>> {
        self.keys.kept(self.index.key_by_id(id)?, &self.names)
    }

    /// Of one practice, newest first (by creation, then id), after the key `from`; none after a key that nobody knows.
    pub fn keys<'a>(
        &'a self,
        practice: &PracticeId,
        from: Option<KeyId>,
    ) -> Box<dyn Iterator<Item = Kept<SubscriberKey>> + 'a> {
        let Some(practice) = self.names.practices.find(practice) else {
            return Box::new(std::iter::empty());
        };
        let from = match from {
            None => None,
            Some(id) => match self.index.key_by_id(id) {
                Some(slot) => Some(slot),
                None => return Box::new(std::iter::empty()),
            },
        };
        let slots = self.keys.of_practice(practice, from);
        Box::new(slots.filter_map(|slot| self.keys.kept(slot, &self.names)))
    }

    /// Of all practices, by id.
    pub fn all_keys<'a>(&'a self) -> Box<dyn Iterator<Item = Kept<SubscriberKey>> + 'a> {
        let slots = self.keys.by_id().into_iter();
        Box::new(slots.filter_map(|slot| self.keys.kept(slot, &self.names)))
    }

    pub fn key_count(&self) -> usize {
        self.keys.len()
    }

    /// Revoked ones, too.
    pub fn owns_keys(&self, practice: &PracticeId, owner: &Username) -> bool {
        keys::numbers(&self.names, practice, owner)
            .is_some_and(|(practice, owner)| self.keys.owns(practice, owner))
    }

    pub fn admin(&self, username: &Username) -> Option<&Kept<Administrator>> {
        self.admins.get(username)
    }

    pub fn admins<'a>(
        &'a self,
        from: Option<&str>,
    ) -> Box<dyn Iterator<Item = &'a Kept<Administrator>> + 'a> {
        Box::new(self.admins.range::<str, _>(after(from)).map(|(_, kept)| kept))
    }

    pub fn token(&self, digest: &KeyDigest) -> Option<&Kept<AdminToken>> {
        self.tokens.by_digest(digest)
    }

    pub fn tokens_of<'a>(
        &'a self,
        username: &Username,
    ) -> Box<dyn Iterator<Item = &'a Kept<AdminToken>> + 'a> {
        Box::new(self.tokens.of(username))
    }

    /// Of all administrators.
    pub fn tokens(&self) -> impl Iterator<Item = &Kept<AdminToken>> {
        self.tokens.all()
    }

    pub fn session(&self, digest: &KeyDigest) -> Option<&Kept<Session>> {
        self.sessions.by_digest(digest)
    }

    pub fn sessions_of<'a>(
        &'a self,
        username: &Username,
    ) -> Box<dyn Iterator<Item = &'a Kept<Session>> + 'a> {
        Box::new(self.sessions.of(username))
    }

    /// Of all administrators.
    pub fn sessions(&self) -> impl Iterator<Item = &Kept<Session>> {
        self.sessions.all()
    }

    /// Access tokens that were given back, by id.
    pub fn dead_tokens(&self) -> impl Iterator<Item = &Kept<DeadToken>> {
        self.dead_tokens.all()
    }

    pub fn dead_token(&self, id: KeyId) -> Option<&Kept<DeadToken>> {
        self.dead_tokens.get(id)
    }

    /// How many access tokens of a key are kept as dead.
    pub fn dead_tokens_of(&self, key: KeyId) -> usize {
        self.dead_tokens.count_of(key)
    }

    /// Whether a token, a session or a dead access token is kept that ended at that moment or before.
    pub fn has_expired(&self, at: Timestamp) -> bool {
        let ends = self.tokens().filter_map(|kept| kept.value.expires_at);
        let ends = ends.chain(self.sessions().map(|kept| kept.value.expires_at));
        ends.chain(self.dead_tokens().map(|kept| kept.value.expires_at)).any(|end| end <= at)
    }

    /// Whether a digest belongs to a key already (subscriber or vendor).
    pub fn has_digest(&self, digest: &KeyDigest) -> bool {
        self.index.key(digest).is_some() || self.index.vendor_key(digest).is_some()
    }

    pub(in crate::registry) fn index(&self) -> &Arc<Index> {
        &self.index
    }
}

#[cfg(test)]
mod tests;
