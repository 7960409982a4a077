//! Subscriber keys: issuing, editing, rotating, revoking, revealing. A secret is in the answer that makes it, or in that
//! of a reveal, and nowhere else.

use std::time::Duration;

use serde_json::Value;
use tokio::task::spawn_blocking;

use crate::admin::access::Right;
use crate::admin::api::keys::object::{NEW, OBJECT, RECEIPT, SECRET, key_object};
use crate::admin::api::page::{LIST, Page, bad_cursor};
use crate::admin::desk::Desk;
use crate::admin::endpoint::{Answer, Body, Call, Endpoint, Reply, Verb};
use crate::admin::problem::Problem;
use crate::history::watch;
use crate::model::{KeyId, SubscriberKey, Tally};
use crate::registry::operation::keys::{
    EditKey, IssueKey, KeyPatch, RevealKey, RevokeKey, RotateKey,
};
use crate::registry::records::Kept;
use crate::vault::{Fresh, Purpose};

mod fields;
mod object;

const ALL: &str = "/practices/{practice}/keys";
const ONE: &str = "/keys/{key}";

/// Where no overlap is chosen: a day to bring the new key to every integration.
const USUAL_OVERLAP: Duration = Duration::from_secs(24 * 3600);

pub(super) static ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        path: ALL,
        right: Right::See,
        about: "The keys of a practice, newest first, ended ones too.",
        query: &LIST,
        answer: Answer::Page(&OBJECT),
        handle: |call| Box::pin(list(call)),
        ..Endpoint::USUAL
    },
    Endpoint {
        verb: Verb::Post,
        path: ALL,
        right: Right::Manage,
        about: "Issues a key.",
        body: Body::Json(&fields::ISSUE),
        answer: Answer::Created(&NEW),
        handle: |call| Box::pin(issue(call)),
        ..Endpoint::USUAL
    },
    Endpoint {
        path: ONE,
        right: Right::See,
        about: "One key.",
        answer: Answer::Object(&OBJECT),
        handle: |call| Box::pin(show(call)),
        ..Endpoint::USUAL
    },
    Endpoint {
        verb: Verb::Patch,
        path: ONE,
        right: Right::Manage,
        about: "Changes a key; once answered, no request passes by what it was.",
        body: Body::Json(&fields::EDIT),
        conditional: true,
        answer: Answer::Object(&OBJECT),
        conflicts: &["key_revoked"],
        handle: |call| Box::pin(edit(call)),
        ..Endpoint::USUAL
    },
    Endpoint {
        verb: Verb::Delete,
        path: ONE,
        right: Right::Manage,
        about: "Revokes a key for good; its history stays. Again, it answers the same receipt.",
        conditional: true,
        answer: Answer::Object(&RECEIPT),
        handle: |call| Box::pin(revoke(call)),
        ..Endpoint::USUAL
    },
    Endpoint {
        verb: Verb::Post,
        path: "/keys/{key}/rotate",
        right: Right::Manage,
        about: "Issues a key in place of this one, which ends after the overlap or at its own end, whichever is sooner.",
        body: Body::MayBe(&fields::ROTATE),
        conditional: true,
        answer: Answer::Created(&NEW),
        conflicts: &["already_rotated", "key_expired", "key_revoked"],
        handle: |call| Box::pin(rotate(call)),
        ..Endpoint::USUAL
    },
    Endpoint {
        verb: Verb::Post,
        path: "/keys/{key}/reveal",
        right: Right::Manage,
        about: "Shows the secret again, where the configuration says `reveal: always`; each view is in the audit.",
        body: Body::None,
        answer: Answer::Object(&SECRET),
        conflicts: &["not_revealable"],
        handle: |call| Box::pin(reveal(call)),
        ..Endpoint::USUAL
    },
];

/// Makes a secret off this thread: its hash costs some 50 µs.
pub(super) async fn mint(desk: &Desk, purpose: Purpose) -> Result<Fresh, Problem> {
    let registry = desk.registry();
    let (vault, terms) = (registry.vault().clone(), registry.terms());
    let reveal = terms.reveal && purpose == Purpose::SubscriberKey;
    let minted = spawn_blocking(move || vault.mint(purpose, terms.cost, reveal)).await;
    Ok(minted.map_err(|broken| Problem::internal(&broken))??)
}

/// These keys with what they did today, which is asked for all of them at once.
async fn all_shown(call: &Call, keys: &[&SubscriberKey]) -> Vec<Value> {
    let registry = call.desk.registry();
    let (now, terms) = (registry.now(), registry.terms());
    let ids: Vec<KeyId> = keys.iter().map(|key| key.id).collect();
    let today = watch::today(call.desk.past(), &ids, now).await;
    let show = |(key, today): (&&SubscriberKey, Option<Tally>)| {
        let last_used = registry.last_used(key.id);
        key_object(key, now, last_used, today.as_ref(), &terms.lifetimes)
    };
    keys.iter().zip(today).map(show).collect()
}

async fn shown(call: &Call, key: &SubscriberKey) -> Value {
    all_shown(call, &[key]).await.pop().unwrap_or_default()
}

fn find(call: &Call) -> Result<Kept<SubscriberKey>, Problem> {
    let id = call.key()?;
    let found = call.desk.registry().read(|records| records.key(id));
    found.ok_or_else(|| Problem::unknown("key", id.as_str()))
}

async fn list(call: Call) -> Result<Reply, Problem> {
    let page = Page::of(&call);
    let practice = call.practice()?;
    let after = page.after(KeyId::parse)?;
    // The keys are taken out first: to look at one asks the registry for more.
    let keys = call.desk.registry().read(|records| {
        let is_own = |id| records.key(id).is_some_and(|key| key.value.practice == *practice);
        if after.is_some_and(|after| !is_own(after)) {
            return Err(bad_cursor());
        }
        let keys = records.keys(practice, after).map(|key| key.value);
        Ok(keys.take(page.size + 1).collect::<Vec<_>>())
    })?;
    let keys: Vec<&SubscriberKey> = keys.iter().map(|key| &**key).collect();
    let shown = all_shown(&call, &keys).await;
    Ok(page.fill(keys.iter().map(|key| key.id.to_string()).zip(shown)))
}

/// The object with its secret, which is nowhere else.
async fn created(call: &Call, key: &SubscriberKey, fresh: &Fresh) -> Reply {
    let mut body = shown(call, key).await;
    if let Some(body) = body.as_object_mut() {
        body.insert("key".to_owned(), Value::from(fresh.plain.reveal()));
    }
    Reply::created(format!("/keys/{}", key.id), body)
}

async fn issue(call: Call) -> Result<Reply, Problem> {
    let given = &call.body;
    let fresh = mint(&call.desk, Purpose::SubscriberKey).await?;
    let operation = IssueKey {
        practice: call.practice()?.clone(),
        name: given.must(&fields::NAMED)?,
        description: given.get(&fields::DESCRIPTION),
        owner: given.must(&fields::OWNER)?,
        api: given.get(&fields::API),
        permissions: given.get(&fields::GRANTS),
        vendor: given.get(&fields::BOUND),
        expires_at: given.get(&fields::ENDS),
        allowed_ips: given.get(&fields::NETS).unwrap_or_default(),
        limits: given.get(&fields::RATES),
        fresh: fresh.clone(),
    };
    let done = call.execute(operation).await?;
    Ok(created(&call, &done.output, &fresh).await.at(done.position))
}

async fn show(call: Call) -> Result<Reply, Problem> {
    let found = find(&call)?;
    Ok(Reply::ok(shown(&call, &found.value).await).at(found.revision))
}

async fn edit(call: Call) -> Result<Reply, Problem> {
    let given = &call.body;
    let patch = KeyPatch {
        name: given.get(&fields::RENAMED),
        description: given.patch(&fields::DESCRIPTION),
        permissions: given.get(&fields::REGRANTED),
        vendor: given.patch(&fields::BOUND),
        expires_at: given.patch(&fields::ENDS),
        allowed_ips: given.get(&fields::RENETTED),
        limits: given.patch(&fields::RATES),
        enabled: given.get(&fields::ENABLED),
    };
    let if_match = call.unless_stale(find(&call)?.revision)?;
    let operation = EditKey { id: call.key()?, if_match, patch };
    let done = call.execute(operation).await?;
    let revision = find(&call).map_or(done.position, |key| key.revision);
    Ok(Reply::ok(shown(&call, &done.output).await).at(revision))
}

async fn revoke(call: Call) -> Result<Reply, Problem> {
    let if_match = call.unless_stale(find(&call)?.revision)?;
    let receipt = call.revoke_key(RevokeKey { id: call.key()?, if_match }).await?;
    let body = serde_json::to_value(&receipt).map_err(|broken| Problem::internal(&broken))?;
    Ok(Reply::ok(body))
}

async fn rotate(call: Call) -> Result<Reply, Problem> {
    let if_match = call.unless_stale(find(&call)?.revision)?;
    let fresh = mint(&call.desk, Purpose::SubscriberKey).await?;
    let operation = RotateKey {
        id: call.key()?,
        if_match,
        overlap: call.body.get(&fields::OVERLAPS).unwrap_or(USUAL_OVERLAP),
        fresh: fresh.clone(),
    };
    let done = call.execute(operation).await?;
    Ok(created(&call, &done.output, &fresh).await.at(done.position))
}

async fn reveal(call: Call) -> Result<Reply, Problem> {
    let (id, registry) = (call.key()?, call.desk.registry());
    let done = call.execute(RevealKey { id }).await?;
    let plain = registry.vault().unseal(id, &done.output)?;
    Ok(Reply::ok(serde_json::json!({ "id": id, "key": plain.reveal() })))
}
