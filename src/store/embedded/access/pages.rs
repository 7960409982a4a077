//! Pages: blocks opened as late as possible, and their records put in one order.
//!
//! Days are looked through from the newest, as no block is of two. Within a day, blocks come by the moment of their last
//! record. A block is opened (its `places` are read, and `facts` where there is a filter) once it may hold a record newer
//! than the best that is known; then the best that is known is the next of the page, and only for that the rest of its block
//! is read. So the first page of everybody opens some dozens of a thousand blocks, and a filter that fits nothing reads
//! hardly more than the indexes, where `marks` stand.
//!
//! Looking is bounded: every step has its price, and once [`BUDGET`] is used up the page ends before the next step that
//! costs, at a place that says how far it came. That is always beyond where it began, or the step is taken all the same.

use std::collections::hash_map::Entry;
use std::collections::{BinaryHeap, HashMap};

use rusqlite::Connection;

use crate::model::{LaneId, RecordId, Timestamp};
use crate::store::access::{ActivityQuery, Cursor, Filter, Page, Whose};
use crate::store::embedded::access::block::{self, Facts, Places, Rest};
use crate::store::embedded::access::marks::Marks;
use crate::store::embedded::access::stored::{Part, part};
use crate::store::embedded::access::tables::{day_of, name_of, number_of_whose};
use crate::store::embedded::fault::Fault;

/// What a call may cost: about so many records, read whole; a quarter of a second.
const BUDGET: usize = 200_000;
/// Who asks for many at once (an export) has the patience for them: a record may cost so much.
const PATIENCE: usize = 64;

/// Up to `limit` records of a query, of those not older than `horizon`.
pub(super) fn page(
    connection: &mut Connection,
    query: &ActivityQuery,
    horizon: Timestamp,
) -> Result<Page, Fault> {
    // One moment of the store, whatever is moved meanwhile.
    let transaction = connection.transaction()?;
    let Some(whose) = number_of_whose(&transaction, &query.whose)? else {
        return Ok(Page::default());
    };
    let from = query.from.map_or(horizon, |from| from.max(horizon));
    let before = query.to.map(|to| Cursor { ts: to, id: FIRST });
    // Everything that is told is before this place.
    let bound = [before, query.after].into_iter().flatten().min();
    if query.limit == 0 || bound.is_some_and(|bound| bound.ts < from) {
        return Ok(Page::default());
    }
    let mut look = Look {
        connection: &transaction,
        query,
        whose,
        needed: Marks::needed(&query.filter),
        from,
        bound,
        budget: BUDGET.max(query.limit.saturating_mul(PATIENCE)),
        names: HashMap::new(),
        page: Page::default(),
    };
    let mut day = bound.map_or(i64::MAX, |bound| day_of(bound.ts));
    while let Some(next) = look.day_up_to(day)? {
        if look.through_day(next)? == Seen::Enough {
            break;
        }
        day = next - 1;
    }
    Ok(look.page)
}

/// Before and after every other of its moment.
const FIRST: RecordId = RecordId { lane: LaneId(0), seq: 0 };
const LAST: RecordId = RecordId { lane: LaneId(u64::MAX), seq: u64::MAX };

#[derive(Debug, PartialEq, Eq)]
enum Seen {
    /// The page has all that it shall have, and knows where to go on.
    Enough,
    All,
}

/// What an index says of a block.
#[derive(Clone, Copy, Debug)]
struct Listed {
    id: i64,
    last: Timestamp,
}

/// A block with records that are still to come.
#[derive(Debug)]
struct Open {
    id: i64,
    places: Places,
    facts: Option<Facts>,
    passing: Option<Vec<bool>>,
    rest: Option<(String, String, Rest)>,
    /// Records before this one, and from that one on.
    next: usize,
    end: usize,
}

struct Look<'a> {
    connection: &'a Connection,
    query: &'a ActivityQuery,
    whose: i64,
    needed: Marks,
    from: Timestamp,
    bound: Option<Cursor>,
    budget: usize,
    names: HashMap<i64, String>,
    page: Page,
}

impl Look<'_> {
    /// The newest day with any blocks, up to one.
    fn day_up_to(&self, day: i64) -> Result<Option<i64>, Fault> {
        let sql =
            "SELECT max(day) FROM blocks INDEXED BY blocks_by_time WHERE day <= ?1 AND day >= ?2";
        let bounds = (day, day_of(self.from));
        Ok(self.connection.prepare_cached(sql)?.query_row(bounds, |row| row.get(0))?)
    }

    fn through_day(&mut self, day: i64) -> Result<Seen, Fault> {
        let (by, index) = match self.query.whose {
            Whose::Everybody => ("?2 = 0", "blocks_by_time"),
            Whose::Practice(_) => ("practice = ?2", "blocks_by_practice"),
            Whose::Key(_) => ("key = ?2", "blocks_by_key"),
        };
        let sql = format!(
            "SELECT id, last, marks, words FROM blocks INDEXED BY {index} \
             WHERE day = ?1 AND {by} AND last >= ?3 AND first <= ?4 ORDER BY last DESC"
        );
        let newest = self.bound.map_or(i64::MAX, |bound| bound.ts.as_micros());
        let connection = self.connection;
        let mut statement = connection.prepare_cached(&sql)?;
        let mut rows = statement.query((day, self.whose, self.from.as_micros(), newest))?;
        let mut listed = self.next_listed(&mut rows)?;
        let mut opened: Vec<Open> = Vec::new();
        let mut heads: BinaryHeap<(Cursor, usize)> = BinaryHeap::new();
        loop {
            // A block that ends in the same moment may have the greater id.
            while let Some(next) = listed
                && heads.peek().is_none_or(|(head, _)| next.last >= head.ts)
            {
                if self.ends_before(Cursor { ts: next.last, id: LAST }) {
                    return Ok(Seen::Enough);
                }
                let block = self.open(next.id)?;
                heads.extend(block.head().map(|head| (head, opened.len())));
                opened.push(block);
                listed = self.next_listed(&mut rows)?;
            }
            let Some((place, number)) = heads.pop() else { return Ok(Seen::All) };
            let Some(block) = opened.get_mut(number) else { return Ok(Seen::All) };
            if self.tell(place, block)? == Seen::Enough {
                return Ok(Seen::Enough);
            }
            block.go_on();
            match block.head() {
                Some(head) => heads.push((head, number)),
                None => block.rest = None,
            }
        }
    }

    /// The next block that the filter does not rule out.
    fn next_listed(&mut self, rows: &mut rusqlite::Rows<'_>) -> Result<Option<Listed>, Fault> {
        while let Some(row) = rows.next()? {
            self.budget = self.budget.saturating_sub(1);
            let marks = Marks { marks: row.get(2)?, words: row.get(3)? };
            if marks.have(self.needed) {
                let last = Timestamp::from_micros(row.get(1)?);
                return Ok(Some(Listed { id: row.get(0)?, last }));
            }
        }
        Ok(None)
    }

    /// Whether the page ends here: all before `place` is told, and the next step costs more than is left.
    fn ends_before(&mut self, place: Cursor) -> bool {
        let goes_on = self.query.after.is_none_or(|after| place < after);
        let ends = self.budget == 0 && goes_on;
        if ends {
            self.page.next = Some(place);
        }
        ends
    }

    fn open(&mut self, id: i64) -> Result<Open, Fault> {
        let places = part(self.connection, id, Part::Places, Places::read)?;
        let count = places.len();
        let end = places.earlier(self.from);
        let next = self.bound.map_or(count, |bound| places.before(bound));
        self.budget = self.budget.saturating_sub(16 + count / 8);
        let mut block = Open { id, places, facts: None, passing: None, rest: None, next, end };
        if self.query.filter != Filter::default() {
            let facts = part(self.connection, id, Part::Facts, |part| Facts::read(part, count))?;
            block.passing = Some(facts.passing(&self.query.filter));
            block.facts = Some(facts);
            self.budget = self.budget.saturating_sub(16 + count / 8);
        }
        block.skip();
        Ok(block)
    }

    /// Puts a record on the page.
    fn tell(&mut self, place: Cursor, block: &mut Open) -> Result<Seen, Fault> {
        if self.page.records.len() >= self.query.limit {
            self.page.next = self.page.records.last().map(Cursor::of);
            return Ok(Seen::Enough);
        }
        if block.rest.is_none() {
            // Just before it, so that it is the first of the next page.
            let id = RecordId { lane: place.id.lane, seq: place.id.seq.saturating_add(1) };
            if self.ends_before(Cursor { id, ..place }) {
                return Ok(Seen::Enough);
            }
            self.read_rest(block)?;
        }
        let Some(index) = block.next.checked_sub(1) else { return Ok(Seen::All) };
        if let (Some(facts), Some((practice, key, rest))) = (&block.facts, &block.rest) {
            let record = block::record(index, (practice, key), &block.places, facts, rest);
            self.page.records.extend(record.map(|record| record.into_owned()));
        }
        self.budget = self.budget.saturating_sub(1);
        Ok(Seen::All)
    }

    fn read_rest(&mut self, block: &mut Open) -> Result<(), Fault> {
        let (id, count) = (block.id, block.places.len());
        if block.facts.is_none() {
            let facts = part(self.connection, id, Part::Facts, |part| Facts::read(part, count))?;
            block.facts = Some(facts);
        }
        let rest = part(self.connection, id, Part::Rest, |part| Rest::read(part, count))?;
        let sql = "SELECT practice, key FROM blocks WHERE id = ?1";
        let (practice, key) = self
            .connection
            .prepare_cached(sql)?
            .query_row([id], |row| Ok((row.get(0)?, row.get(1)?)))?;
        block.rest = Some((self.name(practice)?, self.name(key)?, rest));
        self.budget = self.budget.saturating_sub(32 + count / 2);
        Ok(())
    }

    fn name(&mut self, number: i64) -> Result<String, Fault> {
        match self.names.entry(number) {
            Entry::Occupied(known) => Ok(known.get().clone()),
            Entry::Vacant(new) => Ok(new.insert(name_of(self.connection, number)?).clone()),
        }
    }
}

impl Open {
    /// The newest that is still to come.
    fn head(&self) -> Option<Cursor> {
        let index = self.next.checked_sub(1).filter(|index| *index >= self.end)?;
        self.places.at(index)
    }

    fn go_on(&mut self) {
        self.next = self.next.saturating_sub(1);
        self.skip();
    }

    /// Past what does not pass.
    fn skip(&mut self) {
        let Some(passing) = &self.passing else { return };
        while self.next > self.end && !passing.get(self.next - 1).copied().unwrap_or(false) {
            self.next -= 1;
        }
    }
}
