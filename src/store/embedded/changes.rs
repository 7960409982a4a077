//! Documents, changes and the feed: what one commit writes, and how others read that it did.

use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use crate::model::AuditHead;
use crate::store::embedded::audit;
use crate::store::embedded::fault::Fault;
use crate::store::{Change, News, Position, StoreError};

/// How many changes the feed remembers. A node that was away for longer loads again, which is quick.
pub(super) const REMEMBERED: u64 = 1_000;
/// A change of more documents than this is not told in the feed: it would be as long as what it changes.
const MAX_TOLD: usize = 1_000;
/// About how much text is given out in one answer.
const MAX_ANSWER: usize = 4 << 20;

pub(super) fn number(value: i64, what: &str) -> Result<u64, Fault> {
    u64::try_from(value).map_err(|_negative| Fault::damaged(what))
}

/// SQLite's integers end where half of ours do, at a number that nobody counts to.
pub(super) fn integer(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

pub(super) fn position(connection: &Connection) -> Result<Position, Fault> {
    let mut statement = connection.prepare_cached("SELECT position FROM meta")?;
    let position = statement.query_row([], |row| row.get(0))?;
    Ok(Position(number(position, "the position")?))
}

/// Remembers the vault, if there is none.
pub(super) fn adopt(connection: &mut Connection, vault: &str) -> Result<(), Fault> {
    let sql = "UPDATE meta SET vault = ?1 WHERE vault IS NULL";
    match connection.execute(sql, [vault])? {
        1 => Ok(()),
        _ => Err(StoreError::Conflict.into()),
    }
}

/// On the disk when it returns. A heartbeat lowers that for itself, and may have failed to raise it again.
pub(super) fn commit_synced(
    connection: &mut Connection,
    after: Position,
    change: &Change,
) -> Result<Position, Fault> {
    connection.pragma_update(None, "synchronous", "full")?;
    commit(connection, after, change)
}

pub(super) fn commit(
    connection: &mut Connection,
    after: Position,
    change: &Change,
) -> Result<Position, Fault> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if position(&transaction)? != after {
        return Err(StoreError::Conflict.into());
    }
    let next = Position(after.0 + 1);
    write_documents(&transaction, next, change)?;
    write_to_feed(&transaction, next, change)?;
    for entry in &change.audit {
        audit::add(&transaction, entry)?;
    }
    transaction
        .prepare_cached("UPDATE meta SET position = ?1, head = coalesce(?2, head)")?
        .execute(params![integer(next.0), head(change)?])?;
    transaction.commit().map_err(Fault::Committing)?;
    Ok(next)
}

fn write_documents(
    transaction: &Transaction<'_>,
    position: Position,
    change: &Change,
) -> Result<(), Fault> {
    let mut remove = transaction.prepare_cached("DELETE FROM documents WHERE id = ?1")?;
    for id in &change.removes {
        remove.execute([&id.0])?;
    }
    let mut put = transaction.prepare_cached(
        "INSERT INTO documents (id, position, body) VALUES (?1, ?2, ?3)
         ON CONFLICT (id) DO UPDATE SET position = excluded.position, body = excluded.body",
    )?;
    for document in &change.puts {
        put.execute(params![document.id().0, integer(position.0), written(document)?])?;
    }
    Ok(())
}

fn write_to_feed(
    transaction: &Transaction<'_>,
    position: Position,
    change: &Change,
) -> Result<(), Fault> {
    let is_told = change.puts.len() + change.removes.len() <= MAX_TOLD;
    let body = if is_told { Some(written(change)?) } else { None };
    transaction
        .prepare_cached("INSERT INTO changes (position, body) VALUES (?1, ?2)")?
        .execute(params![integer(position.0), body])?;
    transaction
        .prepare_cached("DELETE FROM changes WHERE position <= ?1")?
        .execute([integer(position.0.saturating_sub(REMEMBERED))])?;
    Ok(())
}

/// The end of the chain after this change; None where it adds nothing.
fn head(change: &Change) -> Result<Option<String>, Fault> {
    let last = change.audit.last();
    last.map(|entry| written(&AuditHead { seq: entry.seq, hash: entry.hash })).transpose()
}

/// As JSON. The model has no value that JSON has no form for, so this is a formality.
pub(super) fn written(value: &impl serde::Serialize) -> Result<String, Fault> {
    serde_json::to_string(value).map_err(|error| {
        StoreError::Unavailable(format!("a document cannot be written: {error}")).into()
    })
}

pub(super) fn after(connection: &mut Connection, after: Position) -> Result<News, Fault> {
    let transaction = connection.transaction()?;
    let latest = position(&transaction)?;
    if after == latest {
        return Ok(News::Changes(Vec::new()));
    }
    if after > latest {
        return Ok(News::Reload);
    }
    let mut statement = transaction.prepare_cached(
        "SELECT position, body FROM changes WHERE position > ?1 ORDER BY position",
    )?;
    let mut rows = statement.query([integer(after.0)])?;
    let mut changes: Vec<(Position, Change)> = Vec::new();
    let mut expected = after.0;
    let mut told = 0;
    while let Some(row) = rows.next()? {
        expected += 1;
        let position = number(row.get(0)?, "the feed")?;
        let body: Option<&str> =
            row.get_ref(1)?.as_str_or_null().map_err(|_type| Fault::damaged("the feed"))?;
        let Some(body) = body.filter(|_| position == expected) else { return Ok(News::Reload) };
        let change = serde_json::from_str(body)
            .map_err(|_unreadable| Fault::damaged(&format!("change {position}")))?;
        changes.push((Position(position), change));
        told += body.len();
        if told >= MAX_ANSWER {
            return Ok(News::Changes(changes));
        }
    }
    // A feed that ends before the position does has lost its end.
    Ok(if expected == latest.0 { News::Changes(changes) } else { News::Reload })
}

pub(super) fn count(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("SELECT count(*) FROM documents", [], |row| row.get(0))
}
