//! What the workers read: every key compiled for one configuration. Cheap to clone, changed by copying a page.
//!
//! A key's own standing is in its entry; that of its practice and of vendors is looked up beside it, so that switching
//! off a practice of ten thousand keys changes one entry. Nothing here is remembered between requests: what a caller is
//! worth is judged anew each time, against the view and the time of that moment.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use crate::model::{
    Access, Caller, Grants, KeyId, KeyLimits, RateLimit, Refusal, SecretHash, Subscriber,
    Timestamp, Vendor, VendorKey,
};
use crate::registry::Terms;
use crate::registry::index::Index;
use crate::registry::records::compact::CompactKey;
use crate::registry::uses::Uses;
use crate::registry::view::pages::Pages;
use crate::store::Position;

pub(in crate::registry) mod compile;
pub(in crate::registry) mod pages;

/// The place of a key in every view of this process: given once, never to another key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeySlot(pub(in crate::registry) u32);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VendorKeySlot(pub(in crate::registry) u32);

/// Who presented genuine secrets, still to be held against the view.
#[derive(Clone, Debug)]
pub struct Identity {
    pub key: KeySlot,
    pub vendor_key: Option<VendorKeySlot>,
    /// Of an access token: what it was narrowed to, by name.
    pub scope: Option<Arc<[String]>>,
    /// Of an access token.
    pub token: Option<(KeyId, Timestamp)>,
}

#[derive(Clone, Debug)]
pub struct View {
    position: Position,
    terms: Arc<Terms>,
    keys: Pages<Entry>,
    vendor_keys: Pages<VendorEntry>,
    /// By the number of the practice.
    practices: Pages<Standing>,
    /// By the number of the vendor.
    vendors: Pages<Arc<Vendor>>,
    /// Access tokens that were given back.
    dead_tokens: Arc<HashSet<KeyId>>,
    index: Arc<Index>,
    uses: Uses,
}

/// A subscriber key, compiled.
#[derive(Clone, Debug)]
struct Entry {
    subscriber: Arc<Subscriber>,
    record: Arc<CompactKey>,
    practice: u32,
    /// The number of the vendor that it is bound to, or [`FREE`].
    vendor: u32,
    ends_at: Timestamp,
    // What most keys have nothing of lies here too: the record is not looked at on the way of a request.
    is_revoked: bool,
    is_enabled: bool,
    is_bound_to_addresses: bool,
}

/// No vendor's number: any may use the key.
const FREE: u32 = u32::MAX;

#[derive(Clone, Debug)]
struct VendorEntry {
    record: Arc<VendorKey>,
    vendor: u32,
}

/// What is asked of a practice at every request.
#[derive(Clone, Copy, Debug)]
struct Standing {
    api_access: bool,
    region: Region,
}

/// Where a practice lives, in terms of the running configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Region {
    /// It has no region, or the configuration has none.
    Anywhere,
    /// The position in `Config::regions`.
    Here(usize),
    /// One that the configuration does not name: its requests are refused, for nobody knows where its data may go.
    Unknown,
}

/// What `whoami` and `explain` tell of a key.
#[derive(Clone, Debug)]
pub struct About {
    pub name: String,
    /// The first of its ends, whoever set it.
    pub expires_at: Option<Timestamp>,
    /// Its own, in place of the configuration's.
    pub limits: Option<KeyLimits>,
}

/// A caller as limits know it: by numbers that mean the same for as long as the process lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    pub key: u32,
    pub practice: u32,
    pub vendor: Option<u32>,
    /// The key's own limit, in place of the configuration's.
    pub own: Option<RateLimit>,
}

impl Entry {
    /// As [`crate::model::SubscriberKey::status`] has it.
    fn standing(
        &self,
        now: Timestamp,
        last_used: impl FnOnce() -> Option<Timestamp>,
        terms: &Terms,
    ) -> Result<(), Refusal> {
        if self.is_revoked {
            return Err(Refusal::KeyRevoked);
        }
        let is_idle = terms.lifetimes.idle_expiry.is_some_and(|span| {
            let created_at = self.record.created_at;
            now >= last_used().unwrap_or(created_at).max(created_at).after(span)
        });
        if now >= self.ends_at || is_idle {
            return Err(Refusal::KeyExpired);
        }
        if self.is_enabled { Ok(()) } else { Err(Refusal::KeyDisabled) }
    }

    fn bound_to(&self) -> Option<u32> {
        (self.vendor != FREE).then_some(self.vendor)
    }

    fn may_come_from(&self, address: IpAddr) -> bool {
        let allows = |net: &IpNet| net.contains(&address.to_canonical());
        !self.is_bound_to_addresses || self.record.allowed_ips().iter().any(allows)
    }
}

impl View {
    pub fn position(&self) -> Position {
        self.position
    }

    /// Standing at `now`: refuses with `KeyExpired`, `KeyDisabled`, `KeyRevoked`, `InvalidCredentials` (a vendor key that
    /// was revoked, a token that is over) and `VendorKeyMissing` (the key is bound to a vendor and none called);
    /// everything that is told only after the route (address, practice, binding, vendor, unknown region) is in the
    /// caller's `objection`. Whether the request came to the right region is for whoever knows its host:
    /// [`View::region`].
    pub fn caller(
        &self,
        identity: &Identity,
        address: IpAddr,
        now: Timestamp,
    ) -> Result<Caller, Refusal> {
        let (entry, vendor_key) = self.genuine(identity, now)?;
        let vendor = vendor_key.map(|vendor_key| vendor_key.vendor);
        let objection = if entry.may_come_from(address) {
            self.objection(entry, vendor, now)
        } else {
            Some(Refusal::IpNotAllowed)
        };
        Ok(Caller {
            objection,
            narrowed: identity.scope.as_deref().map(|scope| self.narrow(scope)),
            ..Caller::new(
                Arc::clone(&entry.subscriber),
                vendor_key.map(|vendor_key| vendor_key.record.vendor.shared()),
            )
        })
    }

    /// Whose secrets these are, whatever they are worth now: for records of refusals.
    pub fn holder(&self, identity: &Identity) -> Option<Caller> {
        let subscriber = Arc::clone(&self.keys.get(identity.key.0)?.subscriber);
        let vendor_key = identity.vendor_key.and_then(|slot| self.vendor_keys.get(slot.0));
        Some(Caller::new(subscriber, vendor_key.map(|entry| entry.record.vendor.shared())))
    }

    /// The key and the vendor key, where both still count.
    fn genuine(
        &self,
        identity: &Identity,
        now: Timestamp,
    ) -> Result<(&Entry, Option<&VendorEntry>), Refusal> {
        let entry = self.keys.get(identity.key.0).ok_or(Refusal::InvalidCredentials)?;
        entry.standing(now, || self.uses.last(identity.key), &self.terms)?;
        if let Some((id, end)) = &identity.token
            && (now >= *end || self.dead_tokens.contains(id))
        {
            return Err(Refusal::InvalidCredentials);
        }
        let vendor_key = match identity.vendor_key {
            None if entry.bound_to().is_some() => return Err(Refusal::VendorKeyMissing),
            None => None,
            Some(slot) => Some(
                self.vendor_keys
                    .get(slot.0)
                    .filter(|vendor_key| vendor_key.record.revoked_at.is_none())
                    .ok_or(Refusal::InvalidCredentials)?,
            ),
        };
        Ok((entry, vendor_key))
    }

    /// What stands against whatever the key asks for, but for its address.
    fn objection(&self, entry: &Entry, vendor: Option<u32>, now: Timestamp) -> Option<Refusal> {
        let practice = self.practices.get(entry.practice);
        if !practice.is_some_and(|practice| practice.api_access) {
            return Some(Refusal::ApiAccessDisabled);
        }
        if entry.bound_to().is_some_and(|bound| vendor != Some(bound)) {
            return Some(Refusal::VendorMismatch);
        }
        if vendor.is_some_and(|vendor| !self.is_approved(vendor, now)) {
            return Some(Refusal::VendorNotApproved);
        }
        let is_nowhere = practice.is_some_and(|practice| practice.region == Region::Unknown);
        is_nowhere.then_some(Refusal::WrongRegion { host: None })
    }

    fn is_approved(&self, vendor: u32, now: Timestamp) -> bool {
        self.vendors.get(vendor).is_some_and(|vendor| vendor.is_approved(now))
    }

    /// Names that the configuration does not have, or that are no permissions, grant nothing.
    fn narrow(&self, scope: &[String]) -> Grants {
        let named = scope.iter().filter_map(|text| {
            let (name, access) = text.rsplit_once(':')?;
            self.terms.catalogue.id(name)?;
            Some((name, Access::from_permission(access)?))
        });
        self.terms.catalogue.grants(named).unwrap_or_default()
    }

    /// Notes a use, for `last_used_at` and idle expiry. No lock; writes once a second at most.
    pub fn used(&self, key: KeySlot, now: Timestamp) {
        self.uses.note(key, now);
    }

    /// Whether what was admitted may go on: false once its key, its vendor key, its vendor or its practice lost standing,
    /// or its token was given back. A token that merely ends lets what it began go on.
    pub fn may_go_on(&self, identity: &Identity, now: Timestamp) -> bool {
        let begun = Identity {
            token: identity.token.map(|(id, _)| (id, Timestamp::from_micros(i64::MAX))),
            scope: None,
            ..identity.clone()
        };
        self.genuine(&begun, now).is_ok_and(|(entry, vendor_key)| {
            self.objection(entry, vendor_key.map(|key| key.vendor), now).is_none()
        })
    }

    pub fn about(&self, key: KeySlot) -> Option<About> {
        let entry = self.keys.get(key.0)?;
        Some(About {
            name: entry.record.name().to_owned(),
            expires_at: entry.record.ends_at(&self.terms.lifetimes),
            limits: entry.record.limits().cloned(),
        })
    }

    /// What the limits of a caller are counted by.
    pub fn counted(&self, identity: &Identity) -> Option<Counted> {
        let entry = self.keys.get(identity.key.0)?;
        let vendor_key = identity.vendor_key.and_then(|slot| self.vendor_keys.get(slot.0));
        Some(Counted {
            key: identity.key.0,
            practice: entry.practice,
            vendor: vendor_key.map(|entry| entry.vendor),
            own: entry.subscriber.limit.as_deref().copied(),
        })
    }

    /// The same of a key, by whichever vendor it is bound to.
    pub fn counted_by_id(&self, id: KeyId) -> Option<Counted> {
        let slot = self.key_slot(id)?;
        let entry = self.keys.get(slot.0)?;
        let own = entry.subscriber.limit.as_deref().copied();
        Some(Counted { key: slot.0, practice: entry.practice, vendor: entry.bound_to(), own })
    }

    /// Where the practice of a key lives.
    pub fn region(&self, key: KeySlot) -> Region {
        let practice = self.keys.get(key.0).and_then(|entry| self.practices.get(entry.practice));
        practice.map_or(Region::Unknown, |practice| practice.region)
    }

    /// For `explain --key ID`, `diff` and the admin API: the caller that the key would make, with the vendor it is bound
    /// to, from an address that it may use.
    pub fn by_key_id(&self, id: KeyId, now: Timestamp) -> Option<Result<Caller, Refusal>> {
        let slot = self.key_slot(id)?;
        let entry = self.keys.get(slot.0)?;
        if let Err(refusal) = entry.standing(now, || self.uses.last(slot), &self.terms) {
            return Some(Err(refusal));
        }
        let bound = entry.bound_to();
        let vendor = bound.and_then(|vendor| self.vendors.get(vendor));
        let vendor = vendor.map(|vendor| vendor.id.shared());
        let objection = self.objection(entry, bound, now);
        Some(Ok(Caller { objection, ..Caller::new(Arc::clone(&entry.subscriber), vendor) }))
    }

    /// Whether the key may be used from there: for a caller of [`View::by_key_id`], which leaves the address open.
    pub fn may_come_from(&self, key: KeySlot, address: IpAddr) -> bool {
        self.keys.get(key.0).is_some_and(|entry| entry.may_come_from(address))
    }

    /// What argon2 must confirm at the first use.
    pub fn key_hash(&self, key: KeySlot) -> Option<SecretHash> {
        Some(self.keys.get(key.0)?.record.hash())
    }

    pub fn vendor_key_hash(&self, key: VendorKeySlot) -> Option<SecretHash> {
        Some(self.vendor_keys.get(key.0)?.record.hash.clone())
    }

    pub fn key_slot(&self, id: KeyId) -> Option<KeySlot> {
        self.index.key_by_id(id).filter(|slot| self.keys.get(slot.0).is_some())
    }

    pub fn key_id(&self, slot: KeySlot) -> Option<KeyId> {
        Some(self.keys.get(slot.0)?.record.id)
    }

    /// For HTTP Basic and `username_header`.
    pub fn owner_is(&self, key: KeySlot, username: &[u8]) -> bool {
        self.keys.get(key.0).is_some_and(|entry| entry.subscriber.owner.as_bytes() == username)
    }

    /// What a key was granted, by name and as permissions are written (`patient:read`, `patient:write` for both bits),
    /// for token scopes and `whoami`. A scope is named beside its category only where it has more.
    pub fn scopes(&self, grants: &Grants) -> Vec<String> {
        let catalogue = &self.terms.catalogue;
        let granted = |name: &str| catalogue.id(name).map_or(Access::NONE, |id| grants.on(id));
        let is_told = |name: &&str| {
            let of_category =
                name.split_once('.').map_or(Access::NONE, |(category, _)| granted(category));
            !of_category.covers(granted(name))
        };
        let told = catalogue.names().filter(is_told);
        told.map(|name| format!("{name}:{}", granted(name))).collect()
    }
}

#[cfg(test)]
mod tests;
