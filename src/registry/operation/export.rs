//! What is kept, as lines that an import takes: practices, users, vendors, vendor keys, keys.
//!
//! There is no secret in them, nor anything made from one, so importing them makes new secrets. What is over (a revoked
//! or expired key) is left out: a line cannot say so, and importing must not bring it back. The line of a key that was
//! rotated out says when its overlap ends.

use serde::Serialize;

use crate::model::{
    KeyLimits, Permissions, Practice, StaffUser, SubscriberKey, Timestamp, Vendor, VendorKey,
    VendorStatus,
};
use crate::registry::{Records, Terms};

#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Line<'a> {
    Practice {
        id: &'a str,
        name: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        region: Option<&'a str>,
        api_access: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        plan: Option<&'a str>,
    },
    User {
        practice: &'a str,
        username: &'a str,
        name: &'a str,
    },
    Vendor {
        id: &'a str,
        name: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        contact: Option<&'a str>,
        status: VendorStatus,
        #[serde(skip_serializing_if = "Option::is_none")]
        review: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        agreement_expires: Option<Timestamp>,
    },
    VendorKey {
        vendor: &'a str,
    },
    Key {
        practice: &'a str,
        name: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        description: Option<&'a str>,
        owner: &'a str,
        api: &'a str,
        permissions: &'a Permissions,
        #[serde(skip_serializing_if = "Option::is_none")]
        vendor: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        expires_at: Option<Timestamp>,
        #[serde(skip_serializing_if = "<[_]>::is_empty")]
        allowed_ips: &'a [ipnet::IpNet],
        #[serde(skip_serializing_if = "Option::is_none")]
        limits: Option<&'a KeyLimits>,
        #[serde(skip_serializing_if = "is_true")]
        enabled: bool,
    },
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_true(truth: &bool) -> bool {
    *truth
}

/// The lines, without line breaks, in an order that can be imported and is the same for the same records.
pub fn lines(records: &Records, terms: &Terms, now: Timestamp) -> Vec<String> {
    let mut lines = Vec::new();
    for kept in records.practices(None) {
        lines.push(written(&practice(&kept.value)));
    }
    for kept in records.practices(None) {
        let users = records.users(&kept.value.id, None);
        lines.extend(users.map(|user| written(&staff_user(&user.value))));
    }
    for kept in records.vendors(None) {
        lines.push(written(&vendor(&kept.value)));
    }
    for kept in records.vendors(None) {
        let keys = records.vendor_keys(&kept.value.id, None);
        let held = keys.filter(|key| key.value.revoked_at.is_none());
        lines.extend(held.map(|key| written(&vendor_key(&key.value))));
    }
    for kept in records.practices(None) {
        let keys = records.keys(&kept.value.id, None);
        let is_over = |key: &SubscriberKey| {
            key.revoked_at.is_some() || key.ends_at(&terms.lifetimes).is_some_and(|end| end <= now)
        };
        let keys = keys.filter(|kept| !is_over(&kept.value));
        let mut keys: Vec<String> = keys.map(|kept| written(&key(&kept.value))).collect();
        keys.sort_unstable();
        lines.append(&mut keys);
    }
    lines
}

/// Texts, numbers and times can always be written.
fn written(line: &Line<'_>) -> String {
    serde_json::to_string(line).unwrap_or_default()
}

fn practice(practice: &Practice) -> Line<'_> {
    Line::Practice {
        id: practice.id.as_str(),
        name: &practice.name,
        region: practice.region.as_deref(),
        api_access: practice.api_access,
        plan: practice.plan.as_deref(),
    }
}

fn staff_user(user: &StaffUser) -> Line<'_> {
    Line::User {
        practice: user.practice.as_str(),
        username: user.username.as_str(),
        name: &user.name,
    }
}

fn vendor(vendor: &Vendor) -> Line<'_> {
    Line::Vendor {
        id: vendor.id.as_str(),
        name: &vendor.name,
        contact: vendor.contact.as_deref(),
        status: vendor.status,
        review: vendor.review.as_deref(),
        agreement_expires: vendor.agreement_expires,
    }
}

fn vendor_key(key: &VendorKey) -> Line<'_> {
    Line::VendorKey { vendor: key.vendor.as_str() }
}

fn key(key: &SubscriberKey) -> Line<'_> {
    Line::Key {
        practice: key.practice.as_str(),
        name: &key.name,
        description: key.description.as_deref(),
        owner: key.owner.as_str(),
        api: &key.api,
        permissions: &key.permissions,
        vendor: key.vendor.as_ref().map(|vendor| vendor.as_str()),
        expires_at: [key.expires_at, key.overlap_ends].into_iter().flatten().min(),
        allowed_ips: &key.allowed_ips,
        limits: key.limits.as_deref(),
        enabled: key.enabled,
    }
}
