//! The audit's entries.

use rusqlite::{Connection, Row, Rows, Transaction, named_params, params};

use crate::model::AuditEntry;
use crate::store::AuditQuery;
use crate::store::embedded::changes::{integer, number, written};
use crate::store::embedded::fault::Fault;

/// A number that is there already is a chain with two ends: refused by the table, and with it the whole change.
pub(super) fn add(transaction: &Transaction<'_>, entry: &AuditEntry) -> Result<(), Fault> {
    let practice = entry.deed.practice.as_ref().map(|practice| practice.as_str());
    transaction
        .prepare_cached("INSERT INTO audit (seq, at, practice, body) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![integer(entry.seq), entry.at.as_micros(), practice, written(entry)?])?;
    Ok(())
}

/// Two statements, because one that takes any practice where none is asked for uses no index on it.
pub(super) fn newest(
    connection: &mut Connection,
    query: &AuditQuery,
) -> Result<Vec<AuditEntry>, Fault> {
    let before = query.before.map_or(i64::MAX, integer);
    let from = query.from.map_or(i64::MIN, |from| from.as_micros());
    let to = query.to.map_or(i64::MAX, |to| to.as_micros());
    let limit = i64::try_from(query.limit).unwrap_or(i64::MAX);
    match &query.practice {
        None => {
            let mut statement = connection.prepare_cached(
                "SELECT seq, body FROM audit
                 WHERE seq < :before AND at >= :from AND at < :to
                 ORDER BY seq DESC LIMIT :limit",
            )?;
            entries(statement.query(named_params! {
                ":before": before, ":from": from, ":to": to, ":limit": limit,
            })?)
        }
        Some(practice) => {
            let mut statement = connection.prepare_cached(
                "SELECT seq, body FROM audit
                 WHERE practice = :practice AND seq < :before AND at >= :from AND at < :to
                 ORDER BY seq DESC LIMIT :limit",
            )?;
            entries(statement.query(named_params! {
                ":practice": practice.as_str(),
                ":before": before, ":from": from, ":to": to, ":limit": limit,
            })?)
        }
    }
}

pub(super) fn from(
    connection: &mut Connection,
    seq: u64,
    limit: usize,
) -> Result<Vec<AuditEntry>, Fault> {
    let mut statement = connection
        .prepare_cached("SELECT seq, body FROM audit WHERE seq >= ?1 ORDER BY seq LIMIT ?2")?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    entries(statement.query(params![integer(seq), limit])?)
}

fn entries(mut rows: Rows<'_>) -> Result<Vec<AuditEntry>, Fault> {
    let mut entries = Vec::new();
    while let Some(row) = rows.next()? {
        entries.push(entry(row)?);
    }
    Ok(entries)
}

fn entry(row: &Row<'_>) -> Result<AuditEntry, Fault> {
    let seq = number(row.get(0)?, "an entry of the audit")?;
    let damaged = || Fault::damaged(&format!("entry {seq} of the audit"));
    let body = row.get_ref(1)?.as_bytes().map_err(|_type| damaged())?;
    serde_json::from_slice(body).map_err(|_unreadable| damaged())
}
