//! The tables, and how a store of an earlier version becomes one of this.
//!
//! `PRAGMA user_version` counts the migrations that a store has seen, `PRAGMA application_id` says that it is one of ours,
//! and which: the registry's file or the history's. A migration is written once and never edited after a release: the next
//! change of the tables is the next function.

use rusqlite::{Connection, Transaction, TransactionBehavior};

use crate::store::StoreError;
use crate::store::embedded::fault::Fault;

pub(super) type Migration = fn(&Transaction<'_>) -> rusqlite::Result<()>;

const MIGRATIONS: &[Migration] = &[first_tables];

/// What a file of ours holds, by its mark and the migrations that made it.
#[derive(Clone, Copy)]
pub(super) struct Form {
    pub(super) application: i64,
    pub(super) migrations: &'static [Migration],
    /// Whether free pages are given back to the disk (`PRAGMA incremental_vacuum`). Settled when the file is made.
    pub(super) shrinks: bool,
}

/// "PSTR".
pub(super) const REGISTRY: Form =
    Form { application: 0x5053_5452, migrations: MIGRATIONS, shrinks: false };

/// What a file holds, before anything is done to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Nothing,
    Version(usize),
}

/// Refuses what is not ours, and what a later version has written. Writes nothing.
pub(super) fn look(connection: &Connection, form: Form) -> Result<Found, Fault> {
    let number = |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if tables == 0 {
        return Ok(Found::Nothing);
    }
    if number("application_id")? != form.application {
        let other = "the file is a database of another program; choose another directory";
        return Err(StoreError::Corrupt(other.to_owned()).into());
    }
    let version = number("user_version")?;
    let known = form.migrations.len();
    match usize::try_from(version) {
        Ok(version) if version <= known => Ok(Found::Version(version)),
        _ => Err(StoreError::Corrupt(format!(
            "it was written by a later version of Postern (its form is {version}, this one knows up to {known}); \
             run that version, or restore a backup from before"
        ))
        .into()),
    }
}

/// For a reader, who changes nothing.
pub(super) fn is_current(found: Found, form: Form) -> bool {
    found == Found::Version(form.migrations.len())
}

/// Each in a transaction of its own, with the number that says that it is done.
pub(super) fn migrate(connection: &mut Connection, found: Found, form: Form) -> Result<(), Fault> {
    let Form { application, migrations, .. } = form;
    let done = match found {
        Found::Nothing => 0,
        Found::Version(version) => version,
    };
    for (number, migration) in (1_i64..).zip(migrations).skip(done) {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        migration(&transaction)?;
        transaction.pragma_update(None, "user_version", number)?;
        transaction.pragma_update(None, "application_id", application)?;
        transaction.commit()?;
    }
    Ok(())
}

/// - `meta`: one row. `head` is the last entry of the audit as JSON; `vault` tells which pepper the digests are made with.
/// - `documents`: the written form of each (`store/document.rs`), with the position of the change that put it.
/// - `changes`: the feed. A row without a body is a change too big for it: load again. Old ones are dropped.
/// - `audit`: the entries as JSON; what they are looked for by stands beside them. `at` is in microseconds.
/// - `used`: when each key was last used. `nodes`: who serves, or did lately.
/// - `receipts`: which node took which revocation into effect; a row without a moment has not yet said so.
fn first_tables(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    transaction.execute_batch(
        "CREATE TABLE meta (
            only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
            position INTEGER NOT NULL,
            head TEXT,
            vault TEXT
        ) STRICT;
        INSERT INTO meta (only_row, position) VALUES (1, 0);

        CREATE TABLE documents (
            id TEXT NOT NULL UNIQUE,
            position INTEGER NOT NULL,
            body TEXT NOT NULL
        ) STRICT;

        CREATE TABLE changes (
            position INTEGER PRIMARY KEY,
            body TEXT
        ) STRICT;

        CREATE TABLE audit (
            seq INTEGER PRIMARY KEY,
            at INTEGER NOT NULL,
            practice TEXT,
            body TEXT NOT NULL
        ) STRICT;
        CREATE INDEX audit_by_practice ON audit (practice, seq, at);
        CREATE INDEX audit_by_time ON audit (seq, at);

        CREATE TABLE used (
            key TEXT PRIMARY KEY,
            at INTEGER NOT NULL
        ) STRICT, WITHOUT ROWID;

        CREATE TABLE nodes (
            name TEXT PRIMARY KEY,
            position INTEGER NOT NULL,
            seen_at INTEGER NOT NULL
        ) STRICT, WITHOUT ROWID;

        CREATE TABLE receipts (
            key TEXT NOT NULL,
            node TEXT NOT NULL,
            applied_at INTEGER,
            PRIMARY KEY (key, node)
        ) STRICT, WITHOUT ROWID;",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tables(connection: &Connection) -> Vec<String> {
        let sql = "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name";
        let mut statement = connection.prepare(sql).unwrap();
        let names = statement.query_map([], |row| row.get(0)).unwrap();
        names.collect::<Result<_, _>>().unwrap()
    }

    #[test]
    fn a_new_store_gets_every_table_and_the_number_of_the_last_migration() {
        let mut connection = Connection::open_in_memory().unwrap();
        let found = look(&connection, REGISTRY).unwrap();
        assert_eq!(found, Found::Nothing);
        assert!(!is_current(found, REGISTRY));
        migrate(&mut connection, found, REGISTRY).unwrap();
        let found = look(&connection, REGISTRY).unwrap();
        assert_eq!(found, Found::Version(MIGRATIONS.len()));
        assert!(is_current(found, REGISTRY));
        let expected = ["audit", "changes", "documents", "meta", "nodes", "receipts", "used"];
        assert_eq!(tables(&connection), expected);
        migrate(&mut connection, found, REGISTRY).unwrap();
    }

    fn of(migrations: &'static [Migration]) -> Form {
        Form { migrations, ..REGISTRY }
    }

    fn a_second(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
        transaction.execute_batch("ALTER TABLE nodes ADD COLUMN region TEXT")
    }

    fn a_third_that_fails(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
        transaction.execute_batch("CREATE TABLE half (x) STRICT; SELECT nonsense;")
    }

    #[test]
    fn a_store_of_an_earlier_version_keeps_what_it_has() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection, Found::Nothing, of(&[first_tables])).unwrap();
        connection.execute("INSERT INTO nodes VALUES ('gw-1', 4, 5)", []).unwrap();
        migrate(&mut connection, Found::Version(1), of(&[first_tables, a_second])).unwrap();
        let sql = "SELECT name, position, region FROM nodes";
        let row = connection.query_row(sql, [], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?, row.get::<_, Option<String>>(2)?))
        });
        assert_eq!(row.unwrap(), ("gw-1".to_owned(), 4, None));
    }

    #[test]
    fn a_migration_that_fails_leaves_the_version_before_it() {
        let mut connection = Connection::open_in_memory().unwrap();
        let all = of(&[first_tables, a_second, a_third_that_fails]);
        migrate(&mut connection, Found::Nothing, all).unwrap_err();
        let version: i64 =
            connection.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
        assert_eq!(version, 2);
        assert!(!tables(&connection).contains(&"half".to_owned()));
    }

    #[test]
    fn a_database_of_another_program_is_refused() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("CREATE TABLE letters (a TEXT)").unwrap();
        let refused = look(&connection, REGISTRY).unwrap_err().told(std::path::Path::new("x"));
        assert!(refused.to_string().contains("another program"), "{refused}");
    }
}
