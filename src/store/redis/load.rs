//! Loading everything.
//!
//! Redis answers one question at a time, so the documents are read in pieces (HSCAN), and changes may come in between. The
//! position is read first; after the last piece the changes since then are read from the feed and put over what was found.
//! That gives the registry as of the last of them: HSCAN tells every document that was there all along, and every other
//! one is in the feed. Where the feed does not reach back so far (a change too big for it came meanwhile), it is read again.
//!
//! A piece is told, and dropped as it is told, before the next is asked for.

use std::collections::HashMap;

use redis::streams::StreamRangeReply;

use crate::model::{AuditHead, KeyId, Timestamp};
use crate::store::redis::commit::names_a_later_version;
use crate::store::redis::{RedisStore, feed, names};
use crate::store::{Document, Intake, Loaded, Position, StoreError};

/// Documents, or uses, in one piece: about a millisecond of Redis's time.
const PIECE: usize = 1_000;
const ATTEMPTS: usize = 5;

struct Meta {
    position: Position,
    change: String,
    head: AuditHead,
    vault: Option<String>,
}

pub(super) async fn load(
    store: &RedisStore,
    intake: &mut dyn Intake,
) -> Result<Loaded, StoreError> {
    for _ in 0..ATTEMPTS {
        intake.restart();
        if let Some(loaded) = try_to_load(store, intake).await? {
            return Ok(loaded);
        }
    }
    let text = "the registry in Redis changes faster than it can be read: try again later";
    Err(StoreError::Unavailable(text.to_owned()))
}

async fn try_to_load(
    store: &RedisStore,
    intake: &mut dyn Intake,
) -> Result<Option<Loaded>, StoreError> {
    let Meta { mut position, change, mut head, vault } = meta(store).await?;
    let known = (position != Position(0)).then_some(change);
    documents(store, intake).await?;

    let mut since = redis::pipe();
    feed::ask_for_entries(&mut since, position, names::FEED_KEPT + 1);
    let (entries,): (StreamRangeReply,) = store.talk.ask(&since).await?;
    let Some(entries) = feed::follow(entries, position, known.as_deref())? else {
        return Ok(None);
    };
    let mut last = known.unwrap_or_default();
    for entry in entries {
        let Some(change) = entry.change else { return Ok(None) };
        position = entry.at;
        last = entry.id;
        for id in &change.removes {
            intake.remove(id);
        }
        for document in change.puts {
            intake.put(position, document);
        }
        if let Some(entry) = change.audit.last() {
            head = AuditHead { seq: entry.seq, hash: entry.hash };
        }
    }
    each_use(store, |key, at| intake.used(key, at)).await?;
    store.trail.restart(position, &last);
    Ok(Some(Loaded { position, head, vault }))
}

type Written = (Option<u64>, Option<u64>, Option<String>, Option<String>, Option<String>);

async fn meta(store: &RedisStore) -> Result<Meta, StoreError> {
    let mut question = redis::pipe();
    question.cmd("HMGET").arg(names::META);
    question.arg("version").arg("position").arg("change").arg("head").arg("vault");
    let ((version, position, change, head, vault),): (Written,) = store.talk.ask(&question).await?;
    if version.is_some_and(|version| version.to_string() != names::VERSION) {
        return Err(StoreError::Corrupt(names_a_later_version()));
    }
    let unreadable = |_| StoreError::Corrupt(format!("the head in {} cannot be read", names::META));
    let head = head.map(|head| serde_json::from_str(&head).map_err(unreadable)).transpose()?;
    Ok(Meta {
        position: Position(position.unwrap_or(0)),
        change: change.unwrap_or_default(),
        head: head.unwrap_or_default(),
        vault,
    })
}

async fn documents(store: &RedisStore, intake: &mut dyn Intake) -> Result<(), StoreError> {
    scan(store, names::DOCUMENTS, |id, text| {
        let read = text.split_once(' ').and_then(|(at, text)| Some((at.parse().ok()?, text)));
        let Some((at, text)) = read else {
            return Err(StoreError::Corrupt(format!("the document {id} has no position")));
        };
        let document = Document::read(&id, text.as_bytes())
            .map_err(|unreadable| StoreError::Corrupt(unreadable.to_string()))?;
        intake.put(Position(at), document);
        Ok(())
    })
    .await
}

pub(super) async fn used(store: &RedisStore) -> Result<Vec<(KeyId, Timestamp)>, StoreError> {
    let mut used = HashMap::new();
    each_use(store, |key, at| {
        used.insert(key, at);
    })
    .await?;
    Ok(used.into_iter().collect())
}

async fn each_use(
    store: &RedisStore,
    mut take: impl FnMut(KeyId, Timestamp),
) -> Result<(), StoreError> {
    scan(store, names::USED, |id, at| {
        let read = KeyId::parse(&id).ok().zip(at.parse().ok());
        let Some((id, at)) = read else {
            return Err(StoreError::Corrupt(format!(
                "a last use in {} cannot be read",
                names::USED
            )));
        };
        take(id, Timestamp::from_micros(at));
        Ok(())
    })
    .await
}

/// Every field of a hash with its value; one that is written meanwhile may come twice.
async fn scan(
    store: &RedisStore,
    key: &str,
    mut take: impl FnMut(String, String) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut cursor = 0_u64;
    loop {
        let mut piece = redis::pipe();
        piece.cmd("HSCAN").arg(key).arg(cursor).arg("COUNT").arg(PIECE);
        let ((next, fields),): ((u64, Vec<(String, String)>),) = store.talk.ask(&piece).await?;
        for (field, value) in fields {
            take(field, value)?;
        }
        if next == 0 {
            return Ok(());
        }
        cursor = next;
    }
}
