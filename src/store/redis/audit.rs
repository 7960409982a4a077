//! Reading the audit: pages newest first, or in the order of the chain.

use redis::streams::{StreamId, StreamRangeReply};
use redis::{Pipeline, from_redis_value};

use crate::model::AuditEntry;
use crate::store::redis::{RedisStore, names};
use crate::store::{AuditQuery, StoreError};

/// Entries in one piece, where more have to be looked at than are told.
const PIECE: usize = 500;

/// By time they are looked at one after the other: clocks of nodes differ, so the order of the chain is not that of time.
pub(super) async fn page(
    store: &RedisStore,
    query: &AuditQuery,
) -> Result<Vec<AuditEntry>, StoreError> {
    let mut found = Vec::new();
    let mut before = query.before;
    let by_time = query.from.is_some() || query.to.is_some();
    let piece = if by_time { PIECE } else { query.limit.min(PIECE) };
    while found.len() < query.limit {
        let entries = piece_before(store, query, before, piece).await?;
        let Some(oldest) = entries.last().map(|entry| entry.seq) else { break };
        let at_end = entries.len() < piece;
        let wanted = entries.into_iter().filter(|entry| {
            query.from.is_none_or(|from| entry.at >= from)
                && query.to.is_none_or(|to| entry.at < to)
        });
        found.extend(wanted.take(query.limit - found.len()));
        if at_end {
            break;
        }
        before = Some(oldest);
    }
    Ok(found)
}

async fn piece_before(
    store: &RedisStore,
    query: &AuditQuery,
    before: Option<u64>,
    how_many: usize,
) -> Result<Vec<AuditEntry>, StoreError> {
    let newest = match before {
        None => "+".to_owned(),
        Some(0 | 1) => return Ok(Vec::new()),
        Some(seq) => format!("{}-0", seq - 1),
    };
    let index = query.practice.as_ref().map(names::audit_of);
    let mut question = redis::pipe();
    question.cmd("XREVRANGE").arg(index.as_deref().unwrap_or(names::AUDIT));
    question.arg(newest).arg("-").arg("COUNT").arg(how_many);
    let (page,): (StreamRangeReply,) = store.talk.ask(&question).await?;
    if index.is_none() || page.ids.is_empty() {
        return page.ids.iter().map(read).collect();
    }
    let mut each = Pipeline::with_capacity(page.ids.len());
    for StreamId { id, .. } in &page.ids {
        each.cmd("XRANGE").arg(names::AUDIT).arg(id).arg(id);
    }
    let entries: Vec<StreamRangeReply> = store.talk.ask(&each).await?;
    entries.iter().flat_map(|one| &one.ids).map(read).collect()
}

/// Of which there are so many or fewer, from `seq` on.
pub(super) async fn from(
    store: &RedisStore,
    seq: u64,
    limit: usize,
) -> Result<Vec<AuditEntry>, StoreError> {
    let mut found: Vec<AuditEntry> = Vec::new();
    while found.len() < limit {
        let piece = (limit - found.len()).min(PIECE);
        let first = found.last().map_or(seq, |entry| entry.seq + 1);
        let mut question = redis::pipe();
        question.cmd("XRANGE").arg(names::AUDIT).arg(format!("{first}-0")).arg("+");
        question.arg("COUNT").arg(piece);
        let (page,): (StreamRangeReply,) = store.talk.ask(&question).await?;
        let at_end = page.ids.len() < piece;
        for entry in &page.ids {
            found.push(read(entry)?);
        }
        if at_end {
            break;
        }
    }
    Ok(found)
}

fn read(entry: &StreamId) -> Result<AuditEntry, StoreError> {
    let text: Option<String> =
        entry.map.get("entry").and_then(|value| from_redis_value(value.clone()).ok());
    // What serde says may quote the text: only which entry it is, is told.
    text.and_then(|text| serde_json::from_str(&text).ok()).ok_or_else(|| {
        StoreError::Corrupt(format!("the entry {} of {} cannot be read", entry.id, names::AUDIT))
    })
}
