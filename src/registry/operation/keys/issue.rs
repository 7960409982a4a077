//! A new key, with all that was chosen for it.

use std::sync::Arc;

use ipnet::IpNet;

use crate::model::{
    Access, KeyLimits, Permissions, PracticeId, SubscriberKey, Timestamp, Username, VendorId,
};
use crate::registry::operation::field::{Faults, default_permissions};
use crate::registry::operation::{Ground, Operation, Plan, Rejection, deed};
use crate::store::Document;
use crate::vault::Fresh;

#[derive(Clone, Debug)]
pub struct IssueKey {
    pub practice: PracticeId,
    pub name: String,
    pub description: Option<String>,
    pub owner: Username,
    /// None: the only API, where there is one.
    pub api: Option<String>,
    /// None: `keys.default_access` everywhere.
    pub permissions: Option<Vec<(String, Access)>>,
    pub vendor: Option<VendorId>,
    pub expires_at: Option<Timestamp>,
    pub allowed_ips: Vec<IpNet>,
    pub limits: Option<KeyLimits>,
    pub fresh: Fresh,
}

impl Operation for IssueKey {
    type Output = SubscriberKey;

    fn plan(&self, ground: &Ground<'_>) -> Result<Plan<SubscriberKey>, Rejection> {
        ground.practice(&self.practice)?;
        let records = ground.records;
        let mut faults = Faults::default();
        if records.user(&self.practice, &self.owner).is_none() {
            let users = records.users(&self.practice, None);
            let known = users.map(|user| user.value.username.as_str());
            faults.unknown("owner", "staff user", self.owner.as_str(), known);
        }
        if let Some(vendor) = &self.vendor
            && records.vendor(vendor).is_none()
        {
            let known = records.vendors(None).map(|vendor| vendor.value.id.as_str());
            faults.unknown("vendor", "vendor", vendor.as_str(), known);
        }
        let chosen = self.chosen();
        let checked = chosen.check(ground, &mut faults);
        faults.judge()?;
        if records.key(self.fresh.id).is_some() || records.has_digest(&self.fresh.digest) {
            return Err(Rejection::duplicate("key", &self.fresh.id));
        }
        let key = chosen.key(checked, &self.fresh, ground);
        let deed = deed::created("key.issue", &key);
        Ok(Plan::put(Document::Key(key.clone()), deed, key))
    }
}

impl IssueKey {
    fn chosen(&self) -> Chosen<'_> {
        Chosen {
            practice: &self.practice,
            name: &self.name,
            description: self.description.as_deref(),
            owner: &self.owner,
            api: self.api.as_deref(),
            permissions: self.permissions.as_deref(),
            vendor: self.vendor.as_ref(),
            expires_at: self.expires_at,
            allowed_ips: &self.allowed_ips,
            limits: self.limits.as_ref(),
            enabled: true,
        }
    }
}

/// What became of it where it had to be read.
#[derive(Debug)]
pub(in crate::registry::operation) struct Checked {
    name: Box<str>,
    description: Option<Box<str>>,
    api: Arc<str>,
    permissions: Permissions,
}

/// What people choose of a key, here or in a line of an import.
#[derive(Debug)]
pub(in crate::registry::operation) struct Chosen<'a> {
    pub practice: &'a PracticeId,
    pub name: &'a str,
    pub description: Option<&'a str>,
    pub owner: &'a Username,
    pub api: Option<&'a str>,
    pub permissions: Option<&'a [(String, Access)]>,
    pub vendor: Option<&'a VendorId>,
    pub expires_at: Option<Timestamp>,
    pub allowed_ips: &'a [IpNet],
    pub limits: Option<&'a KeyLimits>,
    pub enabled: bool,
}

impl Chosen<'_> {
    /// Finds the faults of everything but its practice, its owner and its vendor: an import looks for those elsewhere, too.
    pub(in crate::registry::operation) fn check(
        &self,
        ground: &Ground<'_>,
        faults: &mut Faults,
    ) -> Checked {
        let name = faults.name(self.name).into();
        let description = self.description.and_then(|text| faults.text("description", text));
        let api = faults.api(self.api, ground.terms);
        let permissions = match self.permissions {
            Some(written) => faults.permissions(written, ground.terms),
            None => default_permissions(ground.terms),
        };
        if let Some(end) = self.expires_at {
            faults.future("expires_at", end, ground.now);
        }
        faults.addresses(self.allowed_ips);
        if let Some(limits) = self.limits {
            faults.limits(limits);
        }
        Checked { name, description: description.map(Into::into), api, permissions }
    }

    /// The key, with its secret.
    pub(in crate::registry::operation) fn key(
        &self,
        checked: Checked,
        fresh: &Fresh,
        ground: &Ground<'_>,
    ) -> SubscriberKey {
        SubscriberKey {
            id: fresh.id,
            practice: self.practice.clone(),
            name: checked.name,
            description: checked.description,
            owner: self.owner.clone(),
            created_by: ground.actor.username.clone(),
            created_at: ground.now,
            api: checked.api,
            permissions: checked.permissions,
            vendor: self.vendor.cloned(),
            expires_at: self.expires_at,
            allowed_ips: self.allowed_ips.into(),
            limits: self.limits.cloned().map(Box::new),
            enabled: self.enabled,
            revoked_at: None,
            replaces: None,
            replaced_by: None,
            overlap_ends: None,
            preview: fresh.preview.clone(),
            digest: fresh.digest,
            hash: fresh.hash.clone(),
            sealed: fresh.sealed.clone(),
        }
    }
}
