//! Blocks as they stand in the store: read part by part, and named where they are damaged.

use rusqlite::{Connection, OptionalExtension};

use crate::journal::courtesy;
use crate::model::AccessRecord;
use crate::store::embedded::access::block::{self, Facts, Places, Rest};
use crate::store::embedded::access::column::Damaged;
use crate::store::embedded::access::damaged;
use crate::store::embedded::access::tables::name_of;
use crate::store::embedded::fault::Fault;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Places,
    Facts,
    Rest,
}

/// What `read` makes of one part of a block.
pub(super) fn part<T>(
    connection: &Connection,
    id: i64,
    part: Part,
    read: impl FnOnce(&[u8]) -> Result<T, Damaged>,
) -> Result<T, Fault> {
    // SQLite reads a row from its beginning: what is asked first stands first in it.
    let sql = match part {
        Part::Places => "SELECT places FROM blocks WHERE id = ?1",
        Part::Facts => "SELECT facts FROM blocks WHERE id = ?1",
        Part::Rest => "SELECT rest FROM blocks WHERE id = ?1",
    };
    let mut statement = connection.prepare_cached(sql)?;
    let result = statement
        .query_row([id], |row| Ok(row.get_ref(0)?.as_blob().map(read)))
        .optional()?
        .and_then(Result::ok)
        .unwrap_or(Err(Damaged("it is not there")));
    result.map_err(|error| damaged("a block of access records", id, &error))
}

/// A block, read whole.
#[derive(Debug)]
pub(super) struct Whole {
    practice: String,
    key: String,
    places: Places,
    facts: Facts,
    rest: Rest,
}

impl Whole {
    pub(super) fn read(connection: &Connection, id: i64) -> Result<Self, Fault> {
        let places = part(connection, id, Part::Places, Places::read)?;
        let count = places.len();
        courtesy::worked(count);
        let sql = "SELECT practice, key FROM blocks WHERE id = ?1";
        let (practice, key) = connection
            .prepare_cached(sql)?
            .query_row([id], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(Self {
            practice: name_of(connection, practice)?,
            key: name_of(connection, key)?,
            places,
            facts: part(connection, id, Part::Facts, |part| Facts::read(part, count))?,
            rest: part(connection, id, Part::Rest, |part| Rest::read(part, count))?,
        })
    }

    /// All of them, oldest first.
    pub(super) fn records(&self) -> impl Iterator<Item = AccessRecord<'_>> {
        let owner = (&*self.practice, &*self.key);
        let record =
            move |index| block::record(index, owner, &self.places, &self.facts, &self.rest);
        (0..self.places.len()).filter_map(record)
    }
}
