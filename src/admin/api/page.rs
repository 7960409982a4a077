//! What every list takes, and how one page of it is made.

use serde_json::Value;

use crate::admin::endpoint::{Call, Reply};
use crate::admin::field::kind::{CURSOR, PAGE_SIZE};
use crate::admin::field::{Field, Record};
use crate::admin::problem::Problem;

pub(super) static LIMIT: Field<usize> =
    Field::kept("limit", &PAGE_SIZE, "How many items at most; 50 where it is left out.");
pub(super) static AFTER: Field<String> =
    Field::kept("cursor", &CURSOR, "The `next` of the page before.");
pub(super) static LIST: Record = Record { name: "List", fields: &[&LIMIT, &AFTER] };

const USUAL: usize = 50;

/// Where a page begins and how long it is.
#[derive(Clone, Debug)]
pub(super) struct Page {
    /// What the page before ended with.
    pub(super) after: Option<String>,
    pub(super) size: usize,
}

impl Page {
    pub(super) fn of(call: &Call) -> Self {
        Self { after: call.query.get(&AFTER), size: call.query.get(&LIMIT).unwrap_or(USUAL) }
    }

    /// The cursor as the id it must be.
    pub(super) fn after<T, E>(
        &self,
        parse: fn(&str) -> Result<T, E>,
    ) -> Result<Option<T>, Problem> {
        let read = self.after.as_deref().map(parse).transpose();
        read.map_err(|_| bad_cursor())
    }

    /// Takes one item more than the page holds, which says whether there is another page.
    pub(super) fn fill(&self, items: impl Iterator<Item = (String, Value)>) -> Reply {
        Reply::page(items.take(self.size + 1).collect(), self.size)
    }
}

pub(super) fn bad_cursor() -> Problem {
    Problem::invalid_field("cursor", "must be the `next` of the page before")
}
