//! The audit: who changed what, and whether the chain of it is whole.

use serde_json::{Value, json};

use crate::admin::access::Right;
use crate::admin::api::page::{AFTER, LIMIT, Page, bad_cursor};
use crate::admin::endpoint::{Answer, Call, Endpoint, Reply};
use crate::admin::field::kind::{PRACTICE, TIME};
use crate::admin::field::{Field, Record};
use crate::admin::problem::Problem;
use crate::admin::shape::{Out, Shape};
use crate::model::{Actor, AuditEntry, Deed, PracticeId, Timestamp};
use crate::store::AuditQuery;

static ENTRY: Shape = Shape {
    name: "AuditEntry",
    fields: &[
        ("seq", Out::Whole, "From 1, without gaps."),
        ("at", Out::Time, ""),
        ("username", Out::Text, "Who did it."),
        ("address", Out::Maybe(&Out::Text), "From where."),
        ("action", Out::Text, "`key.rotate`: the kind of the object and what was done."),
        ("object", Out::Text, ""),
        ("practice", Out::Maybe(&Out::Text), ""),
        ("before", Out::Anything, ""),
        ("after", Out::Anything, ""),
        (
            "hash",
            Out::Text,
            "Over the previous entry's hash and this entry, under a key that is not in the store.",
        ),
    ],
};
static VERDICT: Shape = Shape {
    name: "AuditVerdict",
    fields: &[
        ("ok", Out::Flag, ""),
        ("entries", Out::Whole, "How many were checked."),
        ("broken_at", Out::Maybe(&Out::Whole), "The first entry that does not fit."),
    ],
};

static OF: Field<PracticeId> =
    Field::kept("practice", &PRACTICE, "Only what concerns this practice.");
static FROM: Field<Timestamp> = Field::kept("from", &TIME, "Only entries at or after this.");
static TO: Field<Timestamp> = Field::kept("to", &TIME, "Only entries before this.");
static QUERY: Record = Record { name: "AuditQuery", fields: &[&OF, &FROM, &TO, &LIMIT, &AFTER] };

pub(super) static ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        path: "/audit",
        right: Right::See,
        about: "Who changed what, newest first; a practice admin sees what concerns its practice.",
        query: &QUERY,
        answer: Answer::Page(&ENTRY),
        handle: |call| Box::pin(list(call)),
        ..Endpoint::USUAL
    },
    Endpoint {
        path: "/audit/verify",
        right: Right::SeeAll,
        about: "Whether every entry is there as it was written.",
        answer: Answer::Object(&VERDICT),
        handle: |call| Box::pin(verify(call)),
        ..Endpoint::USUAL
    },
];

fn object(entry: &AuditEntry) -> Value {
    let AuditEntry { seq, at, actor, deed, hash } = entry;
    let Actor { username, address } = actor;
    let Deed { action, object, practice, before, after } = deed;
    json!({
        "seq": seq, "at": at, "username": username, "address": address, "action": action,
        "object": object, "practice": practice, "before": before, "after": after, "hash": hash,
    })
}

async fn list(call: Call) -> Result<Reply, Problem> {
    let page = Page::of(&call);
    let asked = call.query.get(&OF);
    let foreign = asked.as_ref().filter(|practice| !call.who.sees(practice));
    if let Some(practice) = foreign {
        return Err(Problem::unknown("practice", practice.as_str()));
    }
    let before = page.after.as_deref().map(str::parse).transpose().map_err(|_| bad_cursor())?;
    let query = AuditQuery {
        practice: asked.or_else(|| call.who.confined_to().cloned()),
        from: call.query.get(&FROM),
        to: call.query.get(&TO),
        before,
        limit: page.size + 1,
    };
    let entries = call.desk.registry().store().audit(&query).await?;
    Ok(page.fill(entries.iter().map(|entry| (entry.seq.to_string(), object(entry)))))
}

async fn verify(call: Call) -> Result<Reply, Problem> {
    let verdict = call.desk.registry().verify_audit().await?;
    let body =
        json!({ "ok": verdict.ok, "entries": verdict.entries, "broken_at": verdict.broken_at });
    Ok(Reply::ok(body))
}
