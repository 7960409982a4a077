//! What the audit tells of a decision.
//!
//! Of every object a list says which of its fields may be shown; a field that is not on it (a digest, a hash, a sealed
//! copy, and whatever will be added one day) never gets into the audit by itself.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::model::{
    Administrator, Deed, Practice, PracticeId, StaffUser, SubscriberKey, Vendor, VendorKey,
};

/// An object that the audit tells of.
pub(super) trait Told: Serialize {
    const SHOWN: &'static [&'static str];

    /// `key/4fJ2…`.
    fn object(&self) -> String;

    /// Whose admins may read it.
    fn practice(&self) -> Option<&PracticeId> {
        None
    }
}

impl Told for Practice {
    const SHOWN: &'static [&'static str] = &["name", "region", "api_access", "plan"];

    fn object(&self) -> String {
        format!("practice/{}", self.id)
    }

    fn practice(&self) -> Option<&PracticeId> {
        Some(&self.id)
    }
}

impl Told for StaffUser {
    const SHOWN: &'static [&'static str] = &["name"];

    fn object(&self) -> String {
        format!("user/{}/{}", self.practice, self.username)
    }

    fn practice(&self) -> Option<&PracticeId> {
        Some(&self.practice)
    }
}

impl Told for Vendor {
    const SHOWN: &'static [&'static str] =
        &["name", "contact", "status", "review", "agreement_expires"];

    fn object(&self) -> String {
        format!("vendor/{}", self.id)
    }
}

impl Told for VendorKey {
    const SHOWN: &'static [&'static str] = &["vendor", "revoked_at"];

    fn object(&self) -> String {
        format!("vendor_key/{}", self.id)
    }
}

impl Told for SubscriberKey {
    const SHOWN: &'static [&'static str] = &[
        "name",
        "description",
        "owner",
        "api",
        "permissions",
        "vendor",
        "expires_at",
        "allowed_ips",
        "limits",
        "enabled",
        "revoked_at",
        "replaces",
        "replaced_by",
        "overlap_ends",
    ];

    fn object(&self) -> String {
        format!("key/{}", self.id)
    }

    fn practice(&self) -> Option<&PracticeId> {
        Some(&self.practice)
    }
}

/// Its role may name a practice; what happens to administrators is for operators and auditors all the same.
impl Told for Administrator {
    const SHOWN: &'static [&'static str] = &["role", "practice"];

    fn object(&self) -> String {
        format!("admin/{}", self.username)
    }
}

/// Something was done with it, and it is as it was.
pub(super) fn done<T: Told>(action: &str, with: &T) -> Deed {
    Deed {
        action: action.into(),
        object: with.object(),
        practice: with.practice().cloned(),
        before: None,
        after: None,
    }
}

pub(super) fn created<T: Told>(action: &str, made: &T) -> Deed {
    Deed { after: Some(shown(made).into()), ..done(action, made) }
}

pub(super) fn removed<T: Told>(action: &str, gone: &T) -> Deed {
    Deed { before: Some(shown(gone).into()), ..done(action, gone) }
}

/// Only the fields that differ.
pub(super) fn edited<T: Told>(action: &str, before: &T, after: &T) -> Deed {
    let (mut was, mut is) = (shown(before), shown(after));
    was.retain(|name, value| {
        let same = is.get(name) == Some(value);
        if same {
            is.remove(name);
        }
        !same
    });
    Deed { before: Some(was.into()), after: Some(is.into()), ..done(action, after) }
}

fn shown<T: Told>(of: &T) -> Map<String, Value> {
    let Ok(Value::Object(mut fields)) = serde_json::to_value(of) else { return Map::new() };
    fields.retain(|name, _| T::SHOWN.contains(&name.as_str()));
    fields
}
