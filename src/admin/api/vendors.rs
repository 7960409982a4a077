//! Vendors and their keys. Practice admins see the approved ones, so that they can bind keys to them, and no more of
//! them than the name.

use serde_json::{Value, json};

use crate::admin::access::Right;
use crate::admin::api::page::{LIST, Page, bad_cursor};
use crate::admin::endpoint::{Answer, Body, Call, Endpoint, Reply, Verb};
use crate::admin::field::kind::{NAME, NOTE, STATUS, TIME, VENDOR};
use crate::admin::field::{Field, Record};
use crate::admin::problem::Problem;
use crate::admin::shape::{Out, Shape};
use crate::model::{KeyId, Timestamp, Vendor, VendorId, VendorKey, VendorStatus};
use crate::registry::operation::vendors::{
    CreateVendor, EditVendor, IssueVendorKey, RevokeVendorKey,
};
use crate::registry::records::Kept;
use crate::vault::Purpose;

const STANDING: Out = Out::Choice(&["pending", "approved", "suspended"]);

static OBJECT: Shape = Shape {
    name: "Vendor",
    fields: &[
        ("id", Out::Text, ""),
        ("name", Out::Text, ""),
        ("status", STANDING, ""),
        ("contact", Out::Sometimes(&Out::Maybe(&Out::Text)), "Not for practice admins."),
        ("review", Out::Sometimes(&Out::Maybe(&Out::Text)), "Not for practice admins."),
        (
            "agreement_expires",
            Out::Sometimes(&Out::Maybe(&Out::Time)),
            "After it, its keys are refused. Not for practice admins.",
        ),
        ("created_at", Out::Sometimes(&Out::Time), "Not for practice admins."),
    ],
};

/// All but the last, which only the answer that makes a key has.
const KEY_FIELDS: [(&str, Out, &str); 7] = [
    ("id", Out::Text, ""),
    ("vendor", Out::Text, ""),
    ("preview", Out::Text, "What of the secret may be shown."),
    ("created_by", Out::Text, ""),
    ("created_at", Out::Time, ""),
    ("revoked_at", Out::Maybe(&Out::Time), ""),
    ("key", Out::Text, "The secret, this once."),
];
static KEY: Shape = Shape {
    name: "VendorKey",
    fields: match KEY_FIELDS.split_last() {
        Some((_, fields)) => fields,
        None => &[],
    },
};
static NEW_KEY: Shape = Shape { name: "NewVendorKey", fields: &KEY_FIELDS };

static ID: Field<VendorId> =
    Field::required("id", &VENDOR, "The operator's choice; never changes.");
static NAMED: Field<String> = Field::required("name", &NAME, "What people call it.");
static CONTACT: Field<String> = Field::optional("contact", &NAME, "Whom to reach.");
static STANDS: Field<VendorStatus> =
    Field::kept("status", &STATUS, "Where the review stands; pending for a new vendor.");
static REVIEW: Field<String> = Field::optional("review", &NOTE, "The operator's note.");
static AGREED: Field<Timestamp> =
    Field::optional("agreement_expires", &TIME, "After it, its keys are refused.");
static CREATE: Record =
    Record { name: "NewVendor", fields: &[&ID, &NAMED, &CONTACT, &STANDS, &REVIEW, &AGREED] };
static RENAMED: Field<String> = Field::kept("name", &NAME, "What people call it.");
static EDIT: Record =
    Record { name: "VendorPatch", fields: &[&RENAMED, &CONTACT, &STANDS, &REVIEW, &AGREED] };
static ISSUE: Record = Record { name: "VendorKeyRequest", fields: &[] };

const KEYS: &str = "/vendors/{vendor}/keys";

pub(super) static ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        path: "/vendors",
        right: Right::See,
        about: "Vendors by id; a practice admin sees the approved ones.",
        query: &LIST,
        answer: Answer::Page(&OBJECT),
        handle: |call| Box::pin(list(call)),
        ..Endpoint::USUAL
    },
    Endpoint {
        verb: Verb::Post,
        path: "/vendors",
        about: "Registers a vendor.",
        body: Body::Json(&CREATE),
        answer: Answer::Created(&OBJECT),
        conflicts: &["duplicate"],
        handle: |call| Box::pin(create(call)),
        ..Endpoint::USUAL
    },
    Endpoint {
        path: "/vendors/{vendor}",
        right: Right::See,
        about: "One vendor.",
        answer: Answer::Object(&OBJECT),
        handle: |call| Box::pin(show(call)),
        ..Endpoint::USUAL
    },
    Endpoint {
        verb: Verb::Patch,
        path: "/vendors/{vendor}",
        about: "Changes a vendor; a suspension holds from the next request on.",
        body: Body::Json(&EDIT),
        conditional: true,
        answer: Answer::Object(&OBJECT),
        conflicts: &["not_possible"],
        handle: |call| Box::pin(edit(call)),
        ..Endpoint::USUAL
    },
    Endpoint {
        path: KEYS,
        right: Right::SeeAll,
        about: "The keys of a vendor by id, revoked ones too.",
        query: &LIST,
        answer: Answer::Page(&KEY),
        handle: |call| Box::pin(list_keys(call)),
        ..Endpoint::USUAL
    },
    Endpoint {
        verb: Verb::Post,
        path: KEYS,
        about: "Issues a vendor key. Nothing needs to be sent.",
        body: Body::MayBe(&ISSUE),
        answer: Answer::Created(&NEW_KEY),
        handle: |call| Box::pin(issue(call)),
        ..Endpoint::USUAL
    },
    Endpoint {
        verb: Verb::Delete,
        path: "/vendors/{vendor}/keys/{kid}",
        about: "Revokes a vendor key for good. Again, it answers the same.",
        answer: Answer::Object(&KEY),
        handle: |call| Box::pin(revoke(call)),
        ..Endpoint::USUAL
    },
];

fn object(vendor: &Vendor, is_whole: bool) -> Value {
    let Vendor { id, name, contact, status, review, agreement_expires, created_at } = vendor;
    if !is_whole {
        return json!({ "id": id, "name": name, "status": status });
    }
    json!({
        "id": id, "name": name, "status": status, "contact": contact, "review": review,
        "agreement_expires": agreement_expires, "created_at": created_at,
    })
}

fn key_object(key: &VendorKey) -> Value {
    let VendorKey { id, vendor, preview, created_by, created_at, revoked_at, digest: _, hash: _ } =
        key;
    json!({
        "id": id, "vendor": vendor, "preview": preview, "created_by": created_by,
        "created_at": created_at, "revoked_at": revoked_at,
    })
}

/// Whether the caller may know of the vendor, and whether of all of it.
fn sight(call: &Call, vendor: &Vendor) -> Option<bool> {
    match call.who.confined_to() {
        None => Some(true),
        Some(_) => vendor.is_approved(call.desk.registry().now()).then_some(false),
    }
}

fn find(call: &Call) -> Result<Kept<Vendor>, Problem> {
    let id = call.vendor()?;
    let found = call.desk.registry().read(|records| records.vendor(id).cloned());
    found.ok_or_else(|| Problem::unknown("vendor", id.as_str()))
}

async fn list(call: Call) -> Result<Reply, Problem> {
    let page = Page::of(&call);
    let after = page.after(VendorId::parse)?;
    Ok(call.desk.registry().read(|records| {
        let vendors = records.vendors(after.as_ref().map(VendorId::as_str)).map(|kept| &kept.value);
        let seen = vendors.filter_map(|vendor| Some((vendor, sight(&call, vendor)?)));
        page.fill(seen.map(|(vendor, whole)| (vendor.id.to_string(), object(vendor, whole))))
    }))
}

async fn create(call: Call) -> Result<Reply, Problem> {
    let given = &call.body;
    let operation = CreateVendor {
        id: given.must(&ID)?,
        name: given.must(&NAMED)?,
        contact: given.get(&CONTACT),
        status: given.get(&STANDS).unwrap_or(VendorStatus::Pending),
        review: given.get(&REVIEW),
        agreement_expires: given.get(&AGREED),
    };
    let done = call.execute(operation).await?;
    let location = format!("/vendors/{}", done.output.id);
    Ok(Reply::created(location, object(&done.output, true)).at(done.position))
}

async fn show(call: Call) -> Result<Reply, Problem> {
    let found = find(&call)?;
    let unknown = || Problem::unknown("vendor", found.value.id.as_str());
    let is_whole = sight(&call, &found.value).ok_or_else(unknown)?;
    Ok(Reply::ok(object(&found.value, is_whole)).at(found.revision))
}

async fn edit(call: Call) -> Result<Reply, Problem> {
    let given = &call.body;
    let operation = EditVendor {
        id: call.vendor()?.clone(),
        if_match: call.unless_stale(find(&call)?.revision)?,
        name: given.get(&RENAMED),
        contact: given.patch(&CONTACT),
        status: given.get(&STANDS),
        review: given.patch(&REVIEW),
        agreement_expires: given.patch(&AGREED),
    };
    let done = call.execute(operation).await?;
    let revision = find(&call).map_or(done.position, |vendor| vendor.revision);
    Ok(Reply::ok(object(&done.output, true)).at(revision))
}

async fn list_keys(call: Call) -> Result<Reply, Problem> {
    let page = Page::of(&call);
    let vendor = find(&call)?.value;
    let after = page.after(KeyId::parse)?;
    call.desk.registry().read(|records| {
        let is_own = |id| records.vendor_key(id).is_some_and(|key| key.value.vendor == vendor.id);
        if after.is_some_and(|after| !is_own(after)) {
            return Err(bad_cursor());
        }
        let keys = records.vendor_keys(&vendor.id, after);
        Ok(page.fill(keys.map(|key| (key.value.id.to_string(), key_object(&key.value)))))
    })
}

async fn issue(call: Call) -> Result<Reply, Problem> {
    let vendor = find(&call)?.value.id.clone();
    let fresh = super::keys::mint(&call.desk, Purpose::VendorKey).await?;
    let plain = fresh.plain.clone();
    let done = call.execute(IssueVendorKey { vendor, fresh }).await?;
    let VendorKey { vendor, id, .. } = &done.output;
    let location = format!("/vendors/{vendor}/keys/{id}");
    let mut body = key_object(&done.output);
    if let Some(body) = body.as_object_mut() {
        body.insert("key".to_owned(), Value::from(plain.reveal()));
    }
    Ok(Reply::created(location, body).at(done.position))
}

async fn revoke(call: Call) -> Result<Reply, Problem> {
    let operation =
        RevokeVendorKey { vendor: find(&call)?.value.id.clone(), key: call.vendor_key()? };
    let done = call.execute(operation).await?;
    Ok(Reply::ok(key_object(&done.output)))
}
