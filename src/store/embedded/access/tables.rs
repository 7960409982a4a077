//! The tables of `access.db`.
//!
//! - `names`: practices (kind 1) and keys (kind 2) by small numbers; 0 stands for everybody.
//! - `lanes`: the number of the last record that was taken, of each lane (its 64 bits as a signed number); and since when it
//!   is over, where its files are gone.
//! - `blocks`: records, by `block` and `tidying`. An id is the UTC day (days since 1970) × 2^32 and a number within the day:
//!   so what is of one day is together in the file, and goes together. `tier` is how far a block has come.
//! - `sums`: tallies. `step` is the hour (1) or the day (2), `start` its beginning in microseconds. Time comes first in the
//!   key: all that a batch adds to is on a few pages, and what is old is in one place.
//! - `refusals`: what keys were refused, by UTC day.
//! - `acknowledged`: alerts that somebody has taken note of.
//!
//! Every look at blocks goes by day, then by `last`; the indexes hold all that decides whether a block is read at all.
//! Moments are in microseconds.

use rusqlite::{Connection, OptionalExtension, Transaction};

use crate::model::Timestamp;
use crate::store::access::{Step, Whose};
use crate::store::embedded::fault::Fault;
use crate::store::embedded::schema::{Form, Migration};

const MIGRATIONS: &[Migration] = &[first_tables];

/// "PSTH".
pub(super) const HISTORY: Form =
    Form { application: 0x5053_5448, migrations: MIGRATIONS, shrinks: true };

pub(super) const DAY: i64 = 86_400_000_000;
pub(super) const HOUR: i64 = 3_600_000_000;

pub(super) const EVERYBODY: i64 = 0;
pub(super) const PRACTICE: i64 = 1;
pub(super) const KEY: i64 = 2;

/// Days since 1970. No moment is so far away that the first id of its day is not a number.
pub(super) fn day_of(moment: Timestamp) -> i64 {
    moment.as_micros().div_euclid(DAY)
}

pub(super) fn first_id(day: i64) -> i64 {
    day << 32
}

pub(super) fn number_of(step: Step) -> i64 {
    match step {
        Step::Hour => 1,
        Step::Day => 2,
    }
}

/// None for a name that no record ever had.
pub(super) fn number_of_name(
    connection: &Connection,
    kind: i64,
    name: &str,
) -> rusqlite::Result<Option<i64>> {
    let sql = "SELECT id FROM names WHERE kind = ?1 AND name = ?2";
    connection.prepare_cached(sql)?.query_row((kind, name), |row| row.get(0)).optional()
}

pub(super) fn number_of_whose(
    connection: &Connection,
    whose: &Whose,
) -> rusqlite::Result<Option<i64>> {
    match whose {
        Whose::Everybody => Ok(Some(EVERYBODY)),
        Whose::Practice(id) => number_of_name(connection, PRACTICE, id),
        Whose::Key(id) => number_of_name(connection, KEY, id),
    }
}

pub(super) fn name_of(connection: &Connection, number: i64) -> Result<String, Fault> {
    let mut statement = connection.prepare_cached("SELECT name FROM names WHERE id = ?1")?;
    let name = statement.query_row([number], |row| row.get(0)).optional()?;
    name.ok_or_else(|| Fault::damaged("the name of a practice or a key"))
}

fn first_tables(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    transaction.execute_batch(
        "CREATE TABLE names (
            id INTEGER PRIMARY KEY,
            kind INTEGER NOT NULL,
            name TEXT NOT NULL,
            UNIQUE (kind, name)
        ) STRICT;

        CREATE TABLE lanes (
            lane INTEGER PRIMARY KEY,
            last INTEGER NOT NULL,
            over INTEGER
        ) STRICT;

        CREATE TABLE blocks (
            id INTEGER PRIMARY KEY,
            day INTEGER NOT NULL,
            practice INTEGER NOT NULL,
            key INTEGER NOT NULL,
            tier INTEGER NOT NULL,
            count INTEGER NOT NULL,
            first INTEGER NOT NULL,
            last INTEGER NOT NULL,
            marks INTEGER NOT NULL,
            words INTEGER NOT NULL,
            places BLOB NOT NULL,
            facts BLOB NOT NULL,
            rest BLOB NOT NULL
        ) STRICT;
        CREATE INDEX blocks_by_time ON blocks (day, last, first, marks, words);
        CREATE INDEX blocks_by_practice ON blocks (day, practice, last, first, marks, words);
        CREATE INDEX blocks_by_key ON blocks (day, key, last, first, marks, words);
        CREATE INDEX blocks_unsettled ON blocks (tier, day, practice, key) WHERE tier < 3;

        CREATE TABLE sums (
            step INTEGER NOT NULL,
            start INTEGER NOT NULL,
            whose INTEGER NOT NULL,
            tally BLOB NOT NULL,
            PRIMARY KEY (step, start, whose)
        ) STRICT, WITHOUT ROWID;

        CREATE TABLE refusals (
            day INTEGER NOT NULL,
            key INTEGER NOT NULL,
            practice INTEGER NOT NULL,
            code TEXT NOT NULL,
            category TEXT NOT NULL,
            access TEXT NOT NULL,
            count INTEGER NOT NULL,
            PRIMARY KEY (day, key, practice, code, category, access)
        ) STRICT, WITHOUT ROWID;
        CREATE INDEX refusals_by_practice ON refusals (day, practice);

        CREATE TABLE acknowledged (
            alert TEXT PRIMARY KEY,
            by TEXT NOT NULL,
            at INTEGER NOT NULL
        ) STRICT, WITHOUT ROWID;",
    )
}
