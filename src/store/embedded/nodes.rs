//! What is kept beside changes: last uses, heartbeats and receipts.

use rusqlite::{Connection, TransactionBehavior, params};

use crate::model::{KeyId, NodeName, Timestamp};
use crate::store::embedded::changes::{integer, number};
use crate::store::embedded::fault::Fault;
use crate::store::{Applied, NodeStatus, Position};

/// A gateway that was not seen for so long is gone: its host was renamed, or it moved.
const FORGOTTEN_AFTER_MICROS: i64 = 24 * 3600 * 1_000_000;

/// One transaction for all of them, and so one sync.
pub(super) fn record_use(
    connection: &mut Connection,
    used: &[(KeyId, Timestamp)],
) -> Result<(), Fault> {
    if used.is_empty() {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    {
        let mut later = transaction.prepare_cached(
            "INSERT INTO used (key, at) VALUES (?1, ?2)
             ON CONFLICT (key) DO UPDATE SET at = excluded.at WHERE excluded.at > at",
        )?;
        for (key, at) in used {
            later.execute(params![key.as_str(), at.as_micros()])?;
        }
    }
    transaction.commit().map_err(Fault::Committing)
}

pub(super) fn used(connection: &Connection) -> Result<Vec<(KeyId, Timestamp)>, Fault> {
    let mut used = Vec::new();
    each_use(connection, |key, at| {
        used.push((key, at));
        Ok(())
    })?;
    Ok(used)
}

pub(super) fn each_use(
    connection: &Connection,
    mut take: impl FnMut(KeyId, Timestamp) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let mut statement = connection.prepare_cached("SELECT key, at FROM used")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let damaged = || Fault::damaged("the last use of a key");
        let key = row.get_ref(0)?.as_str().map_err(|_type| damaged())?;
        let key = KeyId::parse(key).map_err(|_misnamed| damaged())?;
        take(key, Timestamp::from_micros(row.get(1)?))?;
    }
    Ok(())
}

/// Not synced: a heartbeat that a power cut takes is followed by the next, and a sync each second wears disks out.
pub(super) fn beat(connection: &mut Connection, node: &NodeStatus) -> Result<(), Fault> {
    connection.pragma_update(None, "synchronous", "normal")?;
    let written = write_beat(connection, node);
    connection.pragma_update(None, "synchronous", "full")?;
    written
}

fn write_beat(connection: &mut Connection, node: &NodeStatus) -> Result<(), Fault> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let seen_at = node.seen_at.as_micros();
    transaction
        .prepare_cached(
            "INSERT INTO nodes (name, position, seen_at) VALUES (?1, ?2, ?3)
             ON CONFLICT (name) DO UPDATE SET position = excluded.position, seen_at = excluded.seen_at",
        )?
        .execute(params![node.name.as_str(), integer(node.position.0), seen_at])?;
    transaction
        .prepare_cached("DELETE FROM nodes WHERE seen_at < ?1")?
        .execute([seen_at.saturating_sub(FORGOTTEN_AFTER_MICROS)])?;
    transaction.commit().map_err(Fault::Committing)
}

fn node_name(text: &str) -> Result<NodeName, Fault> {
    NodeName::parse(text).map_err(|_misnamed| Fault::damaged("the name of a node"))
}

pub(super) fn nodes(connection: &Connection) -> Result<Vec<NodeStatus>, Fault> {
    let mut statement =
        connection.prepare_cached("SELECT name, position, seen_at FROM nodes ORDER BY name")?;
    let mut rows = statement.query([])?;
    let mut nodes = Vec::new();
    while let Some(row) = rows.next()? {
        nodes.push(NodeStatus {
            name: node_name(&row.get::<_, String>(0)?)?,
            position: Position(number(row.get(1)?, "the position of a node")?),
            seen_at: Timestamp::from_micros(row.get(2)?),
        });
    }
    Ok(nodes)
}

/// Nodes may acknowledge before a receipt is open, so that it is open is a row of its own: of the node without a name.
const OPEN: &str = "";

pub(super) fn open_receipt(
    connection: &mut Connection,
    key: KeyId,
    nodes: &[NodeName],
) -> Result<(), Fault> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    {
        let mut line = transaction
            .prepare_cached("INSERT OR IGNORE INTO receipts (key, node) VALUES (?1, ?2)")?;
        if line.execute([key.as_str(), OPEN])? == 0 {
            return Ok(());
        }
        for node in nodes {
            line.execute([key.as_str(), node.as_str()])?;
        }
    }
    transaction.commit().map_err(Fault::Committing)
}

pub(super) fn acknowledge(
    connection: &mut Connection,
    keys: &[KeyId],
    node: &NodeName,
    at: Timestamp,
) -> Result<(), Fault> {
    if keys.is_empty() {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    {
        let mut fill = transaction.prepare_cached(
            "INSERT INTO receipts (key, node, applied_at) VALUES (?1, ?2, ?3)
             ON CONFLICT (key, node) DO UPDATE SET applied_at = excluded.applied_at
             WHERE applied_at IS NULL",
        )?;
        for key in keys {
            fill.execute(params![key.as_str(), node.as_str(), at.as_micros()])?;
        }
    }
    transaction.commit().map_err(Fault::Committing)
}

pub(super) fn receipt(connection: &Connection, key: KeyId) -> Result<Vec<Applied>, Fault> {
    let mut statement = connection.prepare_cached(
        "SELECT node, applied_at FROM receipts WHERE key = ?1 AND node <> ?2 ORDER BY node",
    )?;
    let mut rows = statement.query([key.as_str(), OPEN])?;
    let mut lines = Vec::new();
    while let Some(row) = rows.next()? {
        let applied_at: Option<i64> = row.get(1)?;
        lines.push(Applied {
            node: node_name(&row.get::<_, String>(0)?)?,
            applied_at: applied_at.map(Timestamp::from_micros),
        });
    }
    Ok(lines)
}
