//! What nodes tell each other beside changes: last uses, heartbeats, and the receipts of revocations.

use std::time::Duration;

use redis::Pipeline;

use crate::model::{KeyId, NodeName, Timestamp};
use crate::store::redis::{RedisStore, names, script};
use crate::store::{Applied, NodeStatus, StoreError};

/// In one call of a script: about a millisecond of Redis's time.
const PIECE: usize = 1_000;
/// A node that was not heard of for so long is forgotten: names of containers come and go.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(7 * 24 * 3600);

pub(super) async fn record_use(
    store: &RedisStore,
    used: &[(KeyId, Timestamp)],
) -> Result<(), StoreError> {
    store.must_write()?;
    for piece in used.chunks(PIECE) {
        let mut call = script::call(&script::RECORD_USE, &[names::USED]);
        for (key, at) in piece {
            call.arg(key.as_str()).arg(at.as_micros());
        }
        store.talk.ask::<()>(redis::pipe().add_command(call).ignore()).await?;
    }
    Ok(())
}

pub(super) async fn heartbeat(store: &RedisStore, node: &NodeStatus) -> Result<(), StoreError> {
    store.must_write()?;
    let seen_at = node.seen_at.as_micros();
    let span = i64::try_from(FORGOTTEN_AFTER.as_micros()).unwrap_or(i64::MAX);
    let text = serde_json::to_string(node)
        .map_err(|error| StoreError::Corrupt(format!("a heartbeat cannot be written: {error}")))?;
    let mut call = script::call(&script::HEARTBEAT, &[names::NODES]);
    call.arg(node.name.as_str()).arg(format!("{seen_at} {text}"));
    call.arg(seen_at.saturating_sub(span));
    Ok(store.talk.ask::<()>(redis::pipe().add_command(call).ignore()).await?)
}

pub(super) async fn nodes(store: &RedisStore) -> Result<Vec<NodeStatus>, StoreError> {
    let mut question = redis::pipe();
    question.cmd("HVALS").arg(names::NODES);
    let (nodes,): (Vec<String>,) = store.talk.ask(&question).await?;
    let read = |text: &String| {
        let status = text.split_once(' ').and_then(|(_, text)| serde_json::from_str(text).ok());
        let unreadable = || format!("a heartbeat in {} cannot be read", names::NODES);
        status.ok_or_else(|| StoreError::Corrupt(unreadable()))
    };
    nodes.iter().map(read).collect()
}

pub(super) async fn open_receipt(
    store: &RedisStore,
    key: KeyId,
    nodes: &[NodeName],
) -> Result<(), StoreError> {
    store.must_write()?;
    let mut call = script::call(&script::OPEN_RECEIPT, &[names::receipt(key)]);
    for node in nodes {
        call.arg(node.as_str());
    }
    Ok(store.talk.ask::<()>(redis::pipe().add_command(call).ignore()).await?)
}

pub(super) async fn acknowledge(
    store: &RedisStore,
    keys: &[KeyId],
    node: &NodeName,
    at: Timestamp,
) -> Result<(), StoreError> {
    store.must_write()?;
    for piece in keys.chunks(PIECE) {
        let receipts: Vec<_> = piece.iter().map(|key| names::receipt(*key)).collect();
        let mut call = script::call(&script::ACKNOWLEDGE, &receipts);
        call.arg(node.as_str()).arg(at.as_micros());
        store.talk.ask::<()>(redis::pipe().add_command(call).ignore()).await?;
    }
    Ok(())
}

/// Its lines in the order of the nodes' names.
pub(super) async fn receipt(store: &RedisStore, key: KeyId) -> Result<Vec<Applied>, StoreError> {
    let mut question: Pipeline = redis::pipe();
    question.cmd("HGETALL").arg(names::receipt(key));
    let (lines,): (Vec<(String, String)>,) = store.talk.ask(&question).await?;
    let unreadable = || StoreError::Corrupt(format!("the receipt of {key} cannot be read"));
    let mut receipt = Vec::with_capacity(lines.len());
    for (node, at) in lines {
        // Says that the receipt is open.
        if node.is_empty() {
            continue;
        }
        let node = NodeName::parse(&node).map_err(|_| unreadable())?;
        let applied_at = if at.is_empty() {
            None
        } else {
            Some(Timestamp::from_micros(at.parse().map_err(|_| unreadable())?))
        };
        receipt.push(Applied { node, applied_at });
    }
    receipt.sort_by(|one, other| one.node.cmp(&other.node));
    Ok(receipt)
}
