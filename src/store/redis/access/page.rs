//! Looking records up: the index backwards, the records of a piece of it at a time.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::model::{AccessRecord, LaneId, RecordId, Timestamp};
use crate::store::StoreError;
use crate::store::access::{ActivityQuery, Cursor, Filter, Page, Whose};
use crate::store::redis::access::index::{self, Place};
use crate::store::redis::access::{RedisHistory, fields, names};

/// Records looked at for one page: with a filter that fits few, a page ends here and says where to go on.
const LOOK: usize = 4_000;
/// Records asked for at once: some milliseconds of Redis's time.
const PIECE: usize = 250;
/// Hours whose index is measured at once.
const HOURS: usize = 100;
/// Bytes of the index read at once, unless one hour alone has more.
const INDEX: usize = 64 * 1024;

pub(super) async fn page(store: &RedisHistory, query: &ActivityQuery) -> Result<Page, StoreError> {
    let whose = names::of(&query.whose);
    let mut known = redis::pipe();
    known.cmd("HGETALL").arg(names::hours(&whose));
    known.cmd("GET").arg(names::EXPIRED);
    let (days, expired): (BTreeMap<i64, u32>, Option<i64>) = store.talk.ask(&known).await?;
    let from = expired.map(Timestamp::from_micros).max(query.from);
    let before = query.to.map(|to| to.as_micros().saturating_sub(1));
    let last = before.into_iter().chain(query.after.map(|after| after.ts.as_micros())).min();
    let mut walk = Walk {
        store,
        query,
        whose,
        from: from.unwrap_or(Timestamp::from_micros(i64::MIN)),
        last: Timestamp::from_micros(last.unwrap_or(i64::MAX)),
        page: Page::default(),
        looked: 0,
    };
    let hours = walk.hours(&days);
    for some in hours.chunks(HOURS) {
        if walk.look_into_hours(some).await? {
            break;
        }
    }
    Ok(walk.page)
}

/// One page in the making. What it does answers whether the page is done.
struct Walk<'a> {
    store: &'a RedisHistory,
    query: &'a ActivityQuery,
    whose: String,
    /// At this moment or later.
    from: Timestamp,
    /// At this moment or before.
    last: Timestamp,
    page: Page,
    looked: usize,
}

impl Walk<'_> {
    /// Those that have an index and can have something, the newest first.
    fn hours(&self, days: &BTreeMap<i64, u32>) -> Vec<i64> {
        let (first, last) = (names::hour_of(self.from), names::hour_of(self.last));
        let of_day = |(day, mask): (&i64, &u32)| {
            let (start, mask) = (day.saturating_mul(24), *mask);
            (0..24).rev().filter(move |hour| mask >> hour & 1 == 1).map(move |hour| start + hour)
        };
        let hours = days.iter().rev().flat_map(of_day);
        hours.filter(|hour| (first..=last).contains(hour)).collect()
    }

    async fn look_into_hours(&mut self, hours: &[i64]) -> Result<bool, StoreError> {
        let lengths =
            self.lengths(hours.iter().map(|hour| names::index_of_hour(*hour, &self.whose)));
        let lengths = lengths.await?;
        let mut together: Vec<i64> = Vec::new();
        let mut bytes = 0;
        for (hour, length) in hours.iter().zip(lengths) {
            if !together.is_empty() && bytes + length > INDEX {
                if self.look_into(&together).await? {
                    return Ok(true);
                }
                together.clear();
                bytes = 0;
            }
            if length < names::LONGEST {
                together.push(*hour);
                bytes += length;
            } else if self.look_into(&std::mem::take(&mut together)).await?
                || self.look_into_minutes(*hour).await?
            {
                return Ok(true);
            }
        }
        self.look_into(&together).await
    }

    async fn look_into(&mut self, hours: &[i64]) -> Result<bool, StoreError> {
        if hours.is_empty() {
            return Ok(false);
        }
        let names = hours.iter().map(|hour| names::index_of_hour(*hour, &self.whose));
        let strings = self.strings(names).await?;
        let places = hours.iter().zip(&strings);
        let places = places.flat_map(|(hour, string)| index::places(*hour, string)).collect();
        self.tell(places).await
    }

    /// A busy hour: what came first is in its own string, the rest in those of its minutes.
    async fn look_into_minutes(&mut self, hour: i64) -> Result<bool, StoreError> {
        let own = self.strings([names::index_of_hour(hour, &self.whose)].into_iter()).await?;
        let own: Vec<Place> = own.iter().flat_map(|string| index::places(hour, string)).collect();
        let first = hour.saturating_mul(60);
        for minute in (first..first.saturating_add(60)).rev() {
            let start = minute.saturating_mul(names::MINUTE);
            let end = start.saturating_add(names::MINUTE);
            if start > self.last.as_micros() || end <= self.from.as_micros() {
                continue;
            }
            let name = names::index_of_minute(minute, &self.whose);
            let strings = self.strings([name].into_iter()).await?;
            let within = own.iter().filter(|place| (start..end).contains(&place.ts.as_micros()));
            let more = strings.iter().flat_map(|string| index::places(hour, string));
            let places = within.copied().chain(more).collect();
            if self.tell(places).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn lengths(&self, names: impl Iterator<Item = String>) -> Result<Vec<usize>, StoreError> {
        let mut question = redis::pipe();
        names.for_each(|name| {
            question.cmd("STRLEN").arg(name);
        });
        Ok(self.store.talk.ask(&question).await?)
    }

    async fn strings(
        &self,
        names: impl Iterator<Item = String>,
    ) -> Result<Vec<Vec<u8>>, StoreError> {
        let mut question = redis::pipe();
        names.for_each(|name| {
            question.cmd("GET").arg(name);
        });
        let strings: Vec<Option<Vec<u8>>> = self.store.talk.ask(&question).await?;
        Ok(strings.into_iter().map(Option::unwrap_or_default).collect())
    }

    /// Everything there is of a span of time, which is before all that was told.
    async fn tell(&mut self, mut places: Vec<Place>) -> Result<bool, StoreError> {
        places.retain(|place| (self.from..=self.last).contains(&place.ts));
        index::newest_first(&mut places);
        let mut rest = places.as_slice();
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(self.length_of_piece(rest));
            rest = after;
            let records = self.fetch(piece).await?;
            if records.into_iter().any(|record| self.put(record)) {
                return Ok(true);
            }
            self.looked += piece.len();
            if self.looked >= LOOK {
                // All of that moment were looked at. No id comes before this one, so what is earlier comes next.
                let ts = piece.last().map_or(self.last, |place| place.ts);
                let first = RecordId { lane: LaneId(0), seq: 0 };
                self.page.next = Some(Cursor { ts, id: first });
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Records of one moment are ordered by an id that the index does not know, so they are fetched together.
    fn length_of_piece(&self, rest: &[Place]) -> usize {
        let missing = (self.query.limit + 1).saturating_sub(self.page.records.len());
        // Where a filter fits few, more at a time.
        let guess = missing.saturating_mul(4).max(self.looked);
        let wanted = if self.is_filtered() { guess } else { missing }.min(PIECE);
        let Some(end) = rest.get(wanted.saturating_sub(1)).map(|place| place.ts) else {
            return rest.len();
        };
        rest.iter().position(|place| place.ts < end).unwrap_or(rest.len())
    }

    fn is_filtered(&self) -> bool {
        self.query.filter != Filter::default()
    }

    /// Those that the stream still has, in the order of a page.
    async fn fetch(&self, places: &[Place]) -> Result<Vec<AccessRecord<'static>>, StoreError> {
        type Entry = (String, Vec<(String, String)>);
        let mut records = Vec::with_capacity(places.len());
        for some in places.chunks(PIECE) {
            let mut question = redis::pipe();
            for place in some {
                let id = place.id();
                question.cmd("XRANGE").arg(names::STREAM).arg(&id).arg(&id);
            }
            let entries: Vec<Vec<Entry>> = self.store.talk.ask(&question).await?;
            for (place, entry) in some.iter().zip(entries) {
                let record = entry.into_iter().next().and_then(|(_, entry)| fields::read(entry));
                // An id may have been given out again, by a stream that was made anew.
                records.extend(
                    record.filter(|record| record.opening.ts == place.ts && self.is_its(record)),
                );
            }
        }
        records.sort_unstable_by_key(|record| Reverse(Cursor::of(record)));
        records.dedup_by_key(|record| record.id);
        Ok(records)
    }

    fn is_its(&self, record: &AccessRecord<'_>) -> bool {
        match &self.query.whose {
            Whose::Everybody => true,
            Whose::Practice(practice) => record.opening.practice == **practice,
            Whose::Key(key) => record.opening.key == **key,
        }
    }

    fn put(&mut self, record: AccessRecord<'static>) -> bool {
        let is_told = self.query.after.is_some_and(|after| Cursor::of(&record) >= after);
        if is_told || !self.query.filter.takes(&record) {
            return false;
        }
        if self.page.records.len() >= self.query.limit {
            self.page.next = self.page.records.last().map(Cursor::of);
            return true;
        }
        self.page.records.push(record);
        false
    }
}
