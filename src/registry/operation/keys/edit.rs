//! Changing what a key may do. Its practice, its owner and its API stay.

use ipnet::IpNet;

use crate::model::{Access, KeyId, KeyLimits, SubscriberKey, Timestamp, VendorId};
use crate::registry::operation::field::Faults;
use crate::registry::operation::keys::is_revoked;
use crate::registry::operation::{
    Ground, IfMatch, Operation, Patch, Plan, Rejection, deed, unless_stale,
};
use crate::store::Document;

#[derive(Clone, Debug, Default)]
pub struct KeyPatch {
    pub name: Option<String>,
    pub description: Patch<String>,
    pub permissions: Option<Vec<(String, Access)>>,
    pub vendor: Patch<VendorId>,
    pub expires_at: Patch<Timestamp>,
    pub allowed_ips: Option<Vec<IpNet>>,
    pub limits: Patch<KeyLimits>,
    pub enabled: Option<bool>,
}

#[derive(Clone, Debug)]
pub struct EditKey {
    pub id: KeyId,
    pub if_match: IfMatch,
    pub patch: KeyPatch,
}

impl Operation for EditKey {
    type Output = SubscriberKey;

    fn plan(&self, ground: &Ground<'_>) -> Result<Plan<SubscriberKey>, Rejection> {
        let (revision, before) = ground.key(self.id)?;
        unless_stale(self.if_match, revision)?;
        if before.revoked_at.is_some() {
            return Err(is_revoked(self.id));
        }
        let mut faults = Faults::default();
        let mut key = SubscriberKey::clone(&before);
        self.patch.describe(&mut key, &mut faults);
        self.patch.entitle(&mut key, ground, &mut faults);
        faults.judge()?;
        if key == *before {
            return Ok(Plan::nothing(key));
        }
        let deed = deed::edited("key.edit", &*before, &key);
        Ok(Plan::put(Document::Key(key.clone()), deed, key))
    }
}

impl KeyPatch {
    fn describe(&self, key: &mut SubscriberKey, faults: &mut Faults) {
        if let Some(name) = self.name.as_ref().filter(|name| ***name != *key.name) {
            key.name = faults.name(name).into();
        }
        let now = key.description.as_deref();
        let description = faults.patched_text("description", &self.description, now);
        key.description = description.map(Into::into);
        key.enabled = self.enabled.unwrap_or(key.enabled);
    }

    fn entitle(&self, key: &mut SubscriberKey, ground: &Ground<'_>, faults: &mut Faults) {
        if let Some(written) = &self.permissions {
            // Read first without judging: a category that left the configuration may be sent back with the others.
            let sent = written.iter().map(|(name, access)| (name.as_str(), *access)).collect();
            if key.permissions != sent {
                key.permissions = faults.permissions(written, ground.terms);
            }
        }
        match &self.vendor {
            Patch::Keep => {}
            Patch::Clear => key.vendor = None,
            Patch::Set(vendor) => {
                if ground.records.vendor(vendor).is_none() {
                    let vendors = ground.records.vendors(None);
                    let known = vendors.map(|vendor| vendor.value.id.as_str());
                    faults.unknown("vendor", "vendor", vendor.as_str(), known);
                }
                key.vendor = Some(vendor.clone());
            }
        }
        match self.expires_at {
            Patch::Keep => {}
            Patch::Clear => key.expires_at = None,
            Patch::Set(end) => {
                if key.expires_at != Some(end) {
                    faults.future("expires_at", end, ground.now);
                }
                key.expires_at = Some(end);
            }
        }
        if let Some(addresses) = &self.allowed_ips {
            if *key.allowed_ips != **addresses {
                faults.addresses(addresses);
            }
            key.allowed_ips = addresses.clone().into();
        }
        match &self.limits {
            Patch::Keep => {}
            Patch::Clear => key.limits = None,
            Patch::Set(limits) => {
                if key.limits.as_deref() != Some(limits) {
                    faults.limits(limits);
                }
                key.limits = Some(Box::new(limits.clone()));
            }
        }
    }
}
