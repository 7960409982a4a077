//! Documents to what a request reads of them, for one configuration.
//!
//! Keys with the same permissions share their grants. What the configuration no longer has grants nothing: a permission
//! of a category that is gone is left out, and a key of an API that is gone fits no rule.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::config::read_rate_limit;
use crate::model::{ApiId, Grants, KeyLimits, RateLimit, Subscriber, Timestamp};
use crate::registry::Terms;
use crate::registry::records::compact::CompactKey;
use crate::registry::records::{Records, Touched};
use crate::registry::uses::Uses;
use crate::registry::view::pages::Pages;
use crate::registry::view::{Entry, FREE, Region, Standing, VendorEntry, VendorKeySlot, View};

/// No API of any configuration.
const GONE: ApiId = ApiId(usize::MAX);

/// Compiles for one configuration; keeps what keys have in common.
#[derive(Debug)]
pub(in crate::registry) struct Compiler {
    terms: Arc<Terms>,
    /// By the number of the permissions.
    grants: HashMap<u32, Grants>,
    /// By the number of the API's name.
    apis: HashMap<u32, ApiId>,
    /// Names that the configuration does not have; each is reported once.
    unknown: BTreeSet<String>,
}

impl Compiler {
    pub(in crate::registry) fn new(terms: Arc<Terms>) -> Self {
        Self { terms, grants: HashMap::new(), apis: HashMap::new(), unknown: BTreeSet::new() }
    }

    pub(in crate::registry) fn terms(&self) -> &Arc<Terms> {
        &self.terms
    }

    pub(in crate::registry) fn whole(&mut self, records: &Records, uses: &mut Uses) -> View {
        let mut view = View {
            position: records.position(),
            terms: Arc::clone(&self.terms),
            keys: Pages::default(),
            vendor_keys: Pages::default(),
            practices: Pages::default(),
            vendors: Pages::default(),
            dead_tokens: Arc::default(),
            index: Arc::clone(records.index()),
            uses: uses.clone(),
        };
        self.unknown.clear();
        let numbers = &records.names;
        let touched = Touched {
            keys: records.keys.all().map(|(slot, _)| slot).collect(),
            vendor_keys: records.vendor_keys.slots().collect(),
            practices: records
                .practices(None)
                .filter_map(|kept| numbers.practices.find(&kept.value.id))
                .collect(),
            vendors: records
                .vendors(None)
                .filter_map(|kept| numbers.vendors.find(&kept.value.id))
                .collect(),
            dead_tokens: records.dead_tokens().map(|kept| kept.value.id).collect(),
            revoked: Vec::new(),
        };
        self.change(&mut view, records, &touched, uses);
        view
    }

    /// Brings a view up to the records, which changed where they were touched.
    pub(in crate::registry) fn change(
        &mut self,
        view: &mut View,
        records: &Records,
        touched: &Touched,
        uses: &mut Uses,
    ) {
        view.position = records.position();
        for slot in &touched.keys {
            uses.reach(*slot);
            let entry = records.keys.at(*slot).map(|key| self.key(key, records));
            view.keys.set(slot.0, entry);
        }
        view.uses = uses.clone();
        for slot in &touched.vendor_keys {
            view.vendor_keys.set(slot.0, vendor_key(*slot, records));
        }
        for number in &touched.practices {
            view.practices.set(*number, self.practice(*number, records));
        }
        for number in &touched.vendors {
            let id = records.names.vendors.value(*number);
            let kept = id.and_then(|id| records.vendor(id));
            view.vendors.set(*number, kept.map(|kept| Arc::clone(&kept.value)));
        }
        if !touched.dead_tokens.is_empty() {
            let dead = Arc::make_mut(&mut view.dead_tokens);
            for id in &touched.dead_tokens {
                if records.dead_token(*id).is_some() {
                    dead.insert(*id);
                } else {
                    dead.remove(id);
                }
            }
        }
    }

    fn key(&mut self, key: &Arc<CompactKey>, records: &Records) -> Entry {
        let names = &records.names;
        let practice = names.practices.value(key.practice).map(|id| id.shared());
        let owner = names.people.value(key.owner).map(|name| name.shared());
        Entry {
            subscriber: Arc::new(Subscriber {
                practice: practice.unwrap_or_default(),
                key_id: key.id.as_str().into(),
                owner: owner.unwrap_or_default(),
                api: self.api(key.api, records),
                grants: self.grants(key.permissions, records),
                limit: key.limits().and_then(rate_limit).map(Box::new),
            }),
            record: Arc::clone(key),
            practice: key.practice,
            vendor: key.vendor.unwrap_or(FREE),
            ends_at: key.ends_at(&self.terms.lifetimes).unwrap_or(Timestamp::from_micros(i64::MAX)),
            is_revoked: key.is_revoked(),
            is_enabled: key.enabled,
            is_bound_to_addresses: !key.allowed_ips().is_empty(),
        }
    }

    fn api(&mut self, number: u32, records: &Records) -> ApiId {
        if let Some(known) = self.apis.get(&number) {
            return *known;
        }
        let name = records.names.apis.value(number).map_or("", |name| &**name);
        let position = self.terms.apis.iter().position(|api| **api == *name);
        if position.is_none() {
            self.report(name, "keys are for an API that the configuration does not have");
        }
        let api = position.map_or(GONE, ApiId);
        self.apis.insert(number, api);
        api
    }

    fn grants(&mut self, number: u32, records: &Records) -> Grants {
        if let Some(known) = self.grants.get(&number) {
            return known.clone();
        }
        let mut known = Vec::new();
        if let Some(permissions) = records.names.permissions.value(number) {
            for (name, access) in permissions.iter() {
                if self.terms.catalogue.id(name).is_some() {
                    known.push((name, access));
                } else {
                    let what = "permissions of keys name what the configuration does not have";
                    self.report(name, what);
                }
            }
        }
        let grants = self.terms.catalogue.grants(known).unwrap_or_default();
        self.grants.insert(number, grants.clone());
        grants
    }

    fn report(&mut self, name: &str, what: &'static str) {
        if self.unknown.insert(name.to_owned()) {
            tracing::warn!(name, "{what}: it grants nothing");
        }
    }

    fn practice(&self, number: u32, records: &Records) -> Option<Standing> {
        let practice = &records.practice(records.names.practices.value(number)?)?.value;
        let region = match &practice.region {
            Some(name) if !self.terms.regions.is_empty() => {
                let position = self.terms.regions.iter().position(|region| region == name);
                position.map_or(Region::Unknown, Region::Here)
            }
            _ => Region::Anywhere,
        };
        Some(Standing { api_access: practice.api_access, region })
    }
}

fn vendor_key(slot: VendorKeySlot, records: &Records) -> Option<VendorEntry> {
    let record = records.vendor_keys.at(slot)?;
    let vendor = records.names.vendors.find(&record.vendor)?;
    Some(VendorEntry { record: Arc::clone(record), vendor })
}

/// Held against its form when it was chosen.
fn rate_limit(limits: &KeyLimits) -> Option<RateLimit> {
    read_rate_limit(&limits.rate, limits.burst).ok()
}

#[cfg(test)]
const _: () = assert!(size_of::<Option<Entry>>() <= 40, "a hundred thousand keys have one each");
