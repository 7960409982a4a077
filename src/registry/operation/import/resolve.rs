//! Lines against the records: what they refer to must be there or be made by a line, and what they make must be new.

use std::collections::{HashMap, HashSet};

use crate::model::{Practice, PracticeId, StaffUser, Username, Vendor, VendorId, VendorKey};
use crate::registry::operation::field::{Faults, Hints, PLAN_CHARS_MAX};
use crate::registry::operation::import::line::{
    self, KeyLine, Line, PracticeLine, UserLine, VendorKeyLine, VendorLine,
};
use crate::registry::operation::import::told::Gathered;
use crate::registry::operation::import::{Imported, Numbered};
use crate::registry::operation::keys::Chosen;
use crate::registry::operation::{FieldFault, Ground};
use crate::store::Document;
use crate::vault::Fresh;

/// What lines come to.
#[derive(Debug)]
pub(super) struct Resolved {
    pub documents: Vec<Document>,
    pub made: Vec<Imported>,
    pub faults: Gathered,
}

/// No decision is made while this looks, so it looks no further once there are as many faults as are told.
pub(super) fn resolve(lines: &[Numbered], ground: &Ground<'_>, faults: Gathered) -> Resolved {
    let within = Within::of(lines);
    let mut resolved = Resolved { documents: Vec::new(), made: Vec::new(), faults };
    let mut hints = Hints::default();
    for Numbered { number, line, digest, key: hashed } in lines {
        if resolved.faults.is_full() {
            resolved.faults.cut_off(*number);
            break;
        }
        let mut faults = Faults::with(hints);
        let fresh = hashed.as_ref().map(|hashed| &hashed.fresh);
        let new = hashed.as_ref().filter(|hashed| hashed.is_new);
        let mut made = Imported {
            line: *number,
            kind: line::KEY,
            id: String::new(),
            name: None,
            key_id: fresh.map(|fresh| fresh.id),
            plain: new.map(|hashed| hashed.fresh.plain.clone()),
        };
        let document = match line {
            Line::Practice(line) => practice(line, ground, &mut made, &mut faults),
            Line::User(line) => user(line, &within, ground, &mut made, &mut faults),
            Line::Vendor(line) => vendor(line, ground, &mut made, &mut faults),
            Line::VendorKey(line) => {
                vendor_key(line, fresh, &within, ground, &mut made, &mut faults)
            }
            Line::Key(line) => key(line, fresh, &within, ground, &mut made, &mut faults),
        };
        if digest.is_some_and(|digest| ground.records.has_digest(&digest)) {
            faults.add("key", "is there already");
        }
        hints = faults.hints();
        for FieldFault { field, message } in faults.into_list() {
            let message = if field.is_empty() { message } else { format!("`{field}` {message}") };
            resolved.faults.add(*number, &message);
        }
        resolved.documents.extend(document);
        resolved.made.push(made);
    }
    resolved
}

/// What the lines themselves make, for others to refer to.
struct Within<'l> {
    practices: HashSet<&'l PracticeId>,
    users: HashMap<&'l PracticeId, HashSet<&'l Username>>,
    vendors: HashSet<&'l VendorId>,
}

impl<'l> Within<'l> {
    fn of(lines: &'l [Numbered]) -> Self {
        let mut within =
            Self { practices: HashSet::new(), users: HashMap::new(), vendors: HashSet::new() };
        for Numbered { line, .. } in lines {
            match line {
                Line::Practice(line) => drop(within.practices.insert(&line.id)),
                Line::User(line) => {
                    within.users.entry(&line.practice).or_default().insert(&line.username);
                }
                Line::Vendor(line) => drop(within.vendors.insert(&line.id)),
                Line::VendorKey(_) | Line::Key(_) => {}
            }
        }
        within
    }

    fn check_practice(&self, id: &PracticeId, ground: &Ground<'_>, faults: &mut Faults) -> bool {
        let records = ground.records;
        if self.practices.contains(id) || records.practice(id).is_some() {
            return true;
        }
        let there = records.practices(None).map(|kept| kept.value.id.as_str());
        let known = self.practices.iter().map(|id| id.as_str()).chain(there);
        faults.unknown("practice", "practice", id.as_str(), known);
        false
    }

    fn check_owner(
        &self,
        practice: &PracticeId,
        owner: &Username,
        ground: &Ground<'_>,
        faults: &mut Faults,
    ) {
        let records = ground.records;
        let here = self.users.get(practice);
        let is_here = here.is_some_and(|users| users.contains(owner));
        if is_here || records.user(practice, owner).is_some() {
            return;
        }
        let there = records.users(practice, None).map(|kept| kept.value.username.as_str());
        let here = here.into_iter().flatten().map(|username| username.as_str());
        let known = here.chain(there);
        faults.unknown("owner", "user", owner.as_str(), known);
    }

    fn check_vendor(&self, id: &VendorId, ground: &Ground<'_>, faults: &mut Faults) {
        let records = ground.records;
        if self.vendors.contains(id) || records.vendor(id).is_some() {
            return;
        }
        let there = records.vendors(None).map(|kept| kept.value.id.as_str());
        let known = self.vendors.iter().map(|id| id.as_str()).chain(there);
        faults.unknown("vendor", "vendor", id.as_str(), known);
    }
}

fn practice(
    line: &PracticeLine,
    ground: &Ground<'_>,
    made: &mut Imported,
    faults: &mut Faults,
) -> Option<Document> {
    if ground.records.practice(&line.id).is_some() {
        faults.add("", format!("the practice `{}` is there already", line.id));
    }
    if let Some(region) = &line.region {
        faults.region(region, ground.terms);
    }
    let name = faults.name(&line.name);
    (made.kind, made.id, made.name) = (line::PRACTICE, line.id.to_string(), Some(name.clone()));
    Some(Document::Practice(Practice {
        id: line.id.clone(),
        name,
        region: line.region.clone(),
        api_access: line.api_access,
        plan: line.plan.as_ref().map(|plan| faults.line("plan", plan, PLAN_CHARS_MAX)),
        created_at: ground.now,
    }))
}

fn user(
    line: &UserLine,
    within: &Within<'_>,
    ground: &Ground<'_>,
    made: &mut Imported,
    faults: &mut Faults,
) -> Option<Document> {
    within.check_practice(&line.practice, ground, faults);
    faults.unless_key("username", line.username.as_str());
    if ground.records.user(&line.practice, &line.username).is_some() {
        let (user, practice) = (&line.username, &line.practice);
        faults.add("", format!("the user `{user}` of practice `{practice}` is there already"));
    }
    let name = faults.name(&line.name);
    (made.kind, made.id, made.name) = (line::USER, line.username.to_string(), Some(name.clone()));
    Some(Document::User(StaffUser {
        practice: line.practice.clone(),
        username: line.username.clone(),
        name,
        created_at: ground.now,
    }))
}

fn vendor(
    line: &VendorLine,
    ground: &Ground<'_>,
    made: &mut Imported,
    faults: &mut Faults,
) -> Option<Document> {
    if ground.records.vendor(&line.id).is_some() {
        faults.add("", format!("the vendor `{}` is there already", line.id));
    }
    let name = faults.name(&line.name);
    (made.kind, made.id, made.name) = (line::VENDOR, line.id.to_string(), Some(name.clone()));
    Some(Document::Vendor(Vendor {
        id: line.id.clone(),
        name,
        contact: line.contact.as_ref().and_then(|text| faults.text("contact", text)),
        status: line.status,
        review: line.review.as_ref().and_then(|text| faults.text("review", text)),
        agreement_expires: line.agreement_expires,
        created_at: ground.now,
    }))
}

fn vendor_key(
    line: &VendorKeyLine,
    fresh: Option<&Fresh>,
    within: &Within<'_>,
    ground: &Ground<'_>,
    made: &mut Imported,
    faults: &mut Faults,
) -> Option<Document> {
    within.check_vendor(&line.vendor, ground, faults);
    made.kind = line::VENDOR_KEY;
    made.name = Some(line.vendor.to_string());
    let fresh = fresh?;
    made.id = fresh.id.to_string();
    Some(Document::VendorKey(VendorKey {
        id: fresh.id,
        vendor: line.vendor.clone(),
        preview: fresh.preview.clone(),
        digest: fresh.digest,
        hash: fresh.hash.clone(),
        created_by: ground.actor.username.clone(),
        created_at: ground.now,
        revoked_at: None,
    }))
}

fn key(
    line: &KeyLine,
    fresh: Option<&Fresh>,
    within: &Within<'_>,
    ground: &Ground<'_>,
    made: &mut Imported,
    faults: &mut Faults,
) -> Option<Document> {
    // Of a practice that is not there, every owner would be unknown.
    if within.check_practice(&line.practice, ground, faults) {
        within.check_owner(&line.practice, &line.owner, ground, faults);
    }
    if let Some(vendor) = &line.vendor {
        within.check_vendor(vendor, ground, faults);
    }
    let chosen = Chosen {
        practice: &line.practice,
        name: &line.name,
        description: line.description.as_deref(),
        owner: &line.owner,
        api: line.api.as_deref(),
        permissions: line.permissions.as_deref(),
        vendor: line.vendor.as_ref(),
        expires_at: line.expires_at,
        allowed_ips: &line.allowed_ips,
        limits: line.limits.as_ref(),
        enabled: line.enabled,
    };
    let checked = chosen.check(ground, faults);
    let fresh = fresh?;
    let key = chosen.key(checked, fresh, ground);
    (made.id, made.name) = (key.id.to_string(), Some(key.name.to_string()));
    Some(Document::Key(key))
}
