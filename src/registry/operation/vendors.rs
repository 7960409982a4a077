//! Vendors and their keys.
//!
//! A vendor's keys may be issued before its review is done, and while it is suspended: they count once it is approved.

use crate::model::{KeyId, Timestamp, Vendor, VendorId, VendorKey, VendorStatus};
use crate::registry::operation::field::Faults;
use crate::registry::operation::{
    Ground, IfMatch, Operation, Patch, Plan, Rejection, deed, unless_stale,
};
use crate::store::Document;
use crate::vault::Fresh;

#[derive(Clone, Debug)]
pub struct CreateVendor {
    pub id: VendorId,
    pub name: String,
    pub contact: Option<String>,
    pub status: VendorStatus,
    pub review: Option<String>,
    pub agreement_expires: Option<Timestamp>,
}
#[derive(Clone, Debug)]
pub struct EditVendor {
    pub id: VendorId,
    pub if_match: IfMatch,
    pub name: Option<String>,
    pub contact: Patch<String>,
    pub status: Option<VendorStatus>,
    pub review: Patch<String>,
    pub agreement_expires: Patch<Timestamp>,
}
#[derive(Clone, Debug)]
pub struct IssueVendorKey {
    pub vendor: VendorId,
    pub fresh: Fresh,
}
/// Revoking again changes nothing and answers the same.
#[derive(Clone, Debug)]
pub struct RevokeVendorKey {
    pub vendor: VendorId,
    pub key: KeyId,
}

impl Operation for CreateVendor {
    type Output = Vendor;

    fn plan(&self, ground: &Ground<'_>) -> Result<Plan<Vendor>, Rejection> {
        let mut faults = Faults::default();
        let name = faults.name(&self.name);
        let contact = self.contact.as_ref().and_then(|text| faults.text("contact", text));
        let review = self.review.as_ref().and_then(|text| faults.text("review", text));
        faults.judge()?;
        if ground.records.vendor(&self.id).is_some() {
            return Err(Rejection::duplicate("vendor", &self.id));
        }
        let vendor = Vendor {
            id: self.id.clone(),
            name,
            contact,
            status: self.status,
            review,
            agreement_expires: self.agreement_expires,
            created_at: ground.now,
        };
        let deed = deed::created("vendor.create", &vendor);
        Ok(Plan::put(Document::Vendor(vendor.clone()), deed, vendor))
    }
}

impl Operation for EditVendor {
    type Output = Vendor;

    fn plan(&self, ground: &Ground<'_>) -> Result<Plan<Vendor>, Rejection> {
        let (revision, before) = ground.vendor(&self.id)?;
        unless_stale(self.if_match, revision)?;
        let mut faults = Faults::default();
        let mut vendor = Vendor::clone(&before);
        if let Some(name) = self.name.as_ref().filter(|name| **name != before.name) {
            vendor.name = faults.name(name);
        }
        vendor.contact = faults.patched_text("contact", &self.contact, before.contact.as_deref());
        vendor.review = faults.patched_text("review", &self.review, before.review.as_deref());
        vendor.status = self.status.unwrap_or(before.status);
        if vendor.status == VendorStatus::Pending && before.status != VendorStatus::Pending {
            faults.add("status", "cannot go back to pending once reviewed: approved or suspended");
        }
        match self.agreement_expires {
            Patch::Keep => {}
            Patch::Clear => vendor.agreement_expires = None,
            Patch::Set(end) => vendor.agreement_expires = Some(end),
        }
        faults.judge()?;
        if vendor == *before {
            return Ok(Plan::nothing(vendor));
        }
        let deed = deed::edited("vendor.edit", &*before, &vendor);
        Ok(Plan::put(Document::Vendor(vendor.clone()), deed, vendor))
    }
}

impl Operation for IssueVendorKey {
    type Output = VendorKey;

    fn plan(&self, ground: &Ground<'_>) -> Result<Plan<VendorKey>, Rejection> {
        ground.vendor(&self.vendor)?;
        let fresh = &self.fresh;
        if ground.records.vendor_key(fresh.id).is_some() || ground.records.has_digest(&fresh.digest)
        {
            return Err(Rejection::duplicate("vendor key", &fresh.id));
        }
        let key = VendorKey {
            id: fresh.id,
            vendor: self.vendor.clone(),
            preview: fresh.preview.clone(),
            digest: fresh.digest,
            hash: fresh.hash.clone(),
            created_by: ground.actor.username.clone(),
            created_at: ground.now,
            revoked_at: None,
        };
        let deed = deed::created("vendor_key.issue", &key);
        Ok(Plan::put(Document::VendorKey(key.clone()), deed, key))
    }
}

impl Operation for RevokeVendorKey {
    type Output = VendorKey;

    fn plan(&self, ground: &Ground<'_>) -> Result<Plan<VendorKey>, Rejection> {
        ground.vendor(&self.vendor)?;
        let kept = ground.records.vendor_key(self.key);
        let before = kept
            .filter(|kept| kept.value.vendor == self.vendor)
            .map(|kept| VendorKey::clone(&kept.value))
            .ok_or_else(|| Rejection::missing("vendor key", &self.key))?;
        if before.revoked_at.is_some() {
            return Ok(Plan::nothing(before));
        }
        let key = VendorKey { revoked_at: Some(ground.now), ..before.clone() };
        let deed = deed::edited("vendor_key.revoke", &before, &key);
        Ok(Plan::put(Document::VendorKey(key.clone()), deed, key))
    }
}
