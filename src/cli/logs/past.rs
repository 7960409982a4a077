//! Records that are kept newest first, read oldest first, from a store or through the admin API.
//!
//! Neither can be asked for the oldest, and neither says how much it has. So time is read window by window: a window is
//! read whole, turned round and written, and the next one is wider or narrower by what was found in it. One with more
//! than may be held at once is read in parts. So what is held is bounded, however long the past is, and no record is
//! asked for more than twice, however uneven it is.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::cli::logs::form::Form;
use crate::cli::logs::selection::{Selection, Span};
use crate::cli::remote::Remote;
use crate::cli::url::segment;
use crate::model::{RecordId, Timestamp};
use crate::store::access::{AccessStore, ActivityQuery, Cursor};

/// About as many records are held at once.
const MOST: usize = if cfg!(test) { 1000 } else { 20_000 };
const NO_RECORDS: &str = "the gateway answered with something that is no list of access records";
const FIRST_WIDTH: Duration = Duration::from_secs(3600);
const NARROWEST: Duration = Duration::from_micros(1);

/// A record as it is written, and where it stands among others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) at: Cursor,
    pub(super) line: String,
}

/// Some of a stretch of time, newest first. It may be empty and still go on.
#[derive(Debug, Default)]
pub(super) struct Leaf {
    pub(super) found: Vec<Found>,
    pub(super) next: Option<String>,
}

/// Where records are looked up.
pub(super) trait Past {
    /// From the newest of the span on, or from where an earlier leaf ended.
    fn leaf(&mut self, span: Span, after: Option<&str>, most: usize) -> anyhow::Result<Leaf>;
    /// How many at once are worth the way.
    fn page(&self) -> usize;
}

/// Gives every record of the span to `each`, the oldest first.
pub(super) fn oldest_first(
    past: &mut impl Past,
    span: Span,
    each: &mut dyn FnMut(Found) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let Some(newest) = newest(past, span)? else { return Ok(()) };
    let mut start = match span.from {
        Some(from) => from,
        None => beginning(past, newest)?,
    };
    let mut width = FIRST_WIDTH;
    loop {
        let end = start.after(width);
        // The last has the end of the span, so that what came meanwhile is in it, too.
        let is_last = end > newest;
        let to = if is_last { span.to } else { Some(end) };
        let count = window(past, Span { from: Some(start), to }, each)?;
        if is_last {
            return Ok(());
        }
        start = end;
        width = match count {
            thin if thin < MOST / 8 => width.saturating_mul(4),
            // As wide as half of what may be held takes, where it goes on like this.
            crowd if crowd > MOST => {
                let most = u32::try_from(MOST / 2).unwrap_or(u32::MAX);
                let crowd = u32::try_from(crowd).unwrap_or(u32::MAX);
                width.saturating_mul(most).checked_div(crowd).unwrap_or(width).max(NARROWEST)
            }
            _ => width,
        };
    }
}

/// A place in a window, behind the last record of a part of it.
struct Cut {
    last: Cursor,
    after: String,
}

/// All of a window, the oldest first; says how many. Where that is more than may be held, the parts of it are marked on
/// the way to the oldest and read once more on the way back: nothing is asked for more than twice, however crowded it is.
fn window(
    past: &mut impl Past,
    window: Span,
    each: &mut dyn FnMut(Found) -> anyhow::Result<()>,
) -> anyhow::Result<usize> {
    let (mut cuts, mut held, mut count) = (Vec::new(), Vec::<Found>::new(), 0);
    let mut next: Option<String> = None;
    loop {
        let leaf = past.leaf(window, next.as_deref(), past.page())?;
        count += leaf.found.len();
        held.extend(leaf.found);
        next = leaf.next;
        let Some(after) = &next else { break };
        if held.len() >= MOST
            && let Some(last) = held.last().map(|last| last.at)
        {
            cuts.push(Cut { last, after: after.clone() });
            held.clear();
        }
    }
    held.into_iter().rev().try_for_each(&mut *each)?;
    while let Some(Cut { last, .. }) = cuts.pop() {
        let after = cuts.last().map(|cut| cut.after.clone());
        part(past, window, after, last)?.into_iter().rev().try_for_each(&mut *each)?;
    }
    Ok(count)
}

/// From a place of a window on, to this record.
fn part(
    past: &mut impl Past,
    window: Span,
    mut after: Option<String>,
    last: Cursor,
) -> anyhow::Result<Vec<Found>> {
    let mut held = Vec::new();
    loop {
        let leaf = past.leaf(window, after.as_deref(), past.page())?;
        let before = held.len() + leaf.found.len();
        held.extend(leaf.found.into_iter().filter(|found| found.at >= last));
        let is_there = held.len() < before || held.last().is_some_and(|found| found.at == last);
        after = leaf.next;
        if is_there || after.is_none() {
            return Ok(held);
        }
    }
}

fn newest(past: &mut impl Past, span: Span) -> anyhow::Result<Option<Timestamp>> {
    let mut next = None;
    loop {
        let leaf = past.leaf(span, next.as_deref(), 1)?;
        if let Some(found) = leaf.found.first() {
            return Ok(Some(found.at.ts));
        }
        next = leaf.next;
        if next.is_none() {
            return Ok(None);
        }
    }
}

/// A moment before which there is nothing.
fn beginning(past: &mut impl Past, newest: Timestamp) -> anyhow::Result<Timestamp> {
    const EPOCH: Timestamp = Timestamp::from_micros(0);
    let mut step = FIRST_WIDTH;
    loop {
        let step_micros = i64::try_from(step.as_micros()).unwrap_or(i64::MAX);
        let edge = Timestamp::from_micros(newest.as_micros().saturating_sub(step_micros));
        if edge <= EPOCH {
            return Ok(EPOCH);
        }
        let before = past.leaf(Span { from: None, to: Some(edge) }, None, 1)?;
        // One that is empty and goes on may have something further back.
        if before.found.is_empty() && before.next.is_none() {
            return Ok(edge);
        }
        step = step.saturating_mul(4);
    }
}

/// A store, read beside whoever serves it.
pub(super) struct Kept<'s> {
    pub(super) store: Arc<dyn AccessStore>,
    pub(super) runtime: &'s Runtime,
    pub(super) selection: &'s Selection,
    pub(super) form: Form,
}

impl Past for Kept<'_> {
    fn leaf(&mut self, span: Span, after: Option<&str>, most: usize) -> anyhow::Result<Leaf> {
        let query = ActivityQuery {
            whose: self.selection.whose(),
            from: span.from,
            to: span.to,
            filter: self.selection.filter(),
            after: after.and_then(Cursor::parse),
            limit: most,
        };
        let page = self.runtime.block_on(self.store.page(&query))?;
        if !page.records.iter().all(|record| self.selection.is_of_practice(record)) {
            return Ok(Leaf::default());
        }
        let found = page
            .records
            .iter()
            .map(|record| Ok(Found { at: Cursor::of(record), line: self.form.of_record(record)? }));
        let found = found.collect::<anyhow::Result<_>>()?;
        Ok(Leaf { found, next: page.next.map(|next| next.to_string()) })
    }

    fn page(&self) -> usize {
        1000
    }
}

/// The admin API.
pub(super) struct Asked<'s> {
    pub(super) remote: &'s Remote,
    pub(super) selection: &'s Selection,
    pub(super) form: Form,
}

impl Past for Asked<'_> {
    fn leaf(&mut self, span: Span, after: Option<&str>, most: usize) -> anyhow::Result<Leaf> {
        let most = ("limit", most.to_string());
        let cursor = after.map(|cursor| ("cursor", cursor.to_owned()));
        let query = self.selection.query(span).into_iter().chain([most]).chain(cursor);
        let query = query.map(|(name, value)| format!("{name}={}", segment(&value)));
        let path = self.selection.path();
        let query = query.collect::<Vec<_>>().join("&");
        // One page, however little is on it: who asks decides how long to look.
        let page = self.remote.get(&format!("{path}?{query}"))?;
        let items = page.get("items").and_then(Value::as_array).context(NO_RECORDS)?;
        let found = items.iter().map(|document| {
            let at = place(document).context(NO_RECORDS)?;
            Ok(Found { at, line: self.form.of_document(document) })
        });
        let next = page.get("next").and_then(Value::as_str).map(str::to_owned);
        Ok(Leaf { found: found.collect::<anyhow::Result<_>>()?, next })
    }

    fn page(&self) -> usize {
        200
    }
}

fn place(document: &Value) -> Option<Cursor> {
    let text = |name| document.get(name).and_then(Value::as_str);
    Some(Cursor { ts: Timestamp::parse(text("ts")?)?, id: RecordId::parse(text("id")?)? })
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::LaneId;

    /// Records in memory, with pages that are short now and then.
    pub(in crate::cli::logs) struct Remembered {
        /// Oldest first.
        pub(in crate::cli::logs) all: Vec<Cursor>,
        pub(in crate::cli::logs) shown: usize,
    }

    pub(in crate::cli::logs) fn cursor(ts: i64, seq: u64) -> Cursor {
        Cursor { ts: Timestamp::from_micros(ts), id: RecordId { lane: LaneId(1), seq } }
    }

    impl Past for Remembered {
        fn leaf(&mut self, span: Span, after: Option<&str>, most: usize) -> anyhow::Result<Leaf> {
            let after = after.map(|text| Cursor::parse(text).unwrap());
            let fits = |at: &&Cursor| {
                after.is_none_or(|after| **at < after)
                    && span.from.is_none_or(|from| from <= at.ts)
                    && span.to.is_none_or(|to| at.ts < to)
            };
            self.shown += 1;
            // Looking is bounded: a page may be short.
            let most = if self.shown.is_multiple_of(3) { most.div_ceil(2) } else { most };
            let found: Vec<Found> = self
                .all
                .iter()
                .rev()
                .filter(fits)
                .take(most)
                .map(|at| Found { at: *at, line: at.to_string() })
                .collect();
            let next = found.last().map(|last| last.at.to_string());
            Ok(Leaf { found, next })
        }

        fn page(&self) -> usize {
            200
        }
    }

    fn read(all: &[Cursor], span: Span) -> Vec<Cursor> {
        read_and_count(all, span).0
    }

    /// With the number of pages that were asked for.
    fn read_and_count(all: &[Cursor], span: Span) -> (Vec<Cursor>, usize) {
        let mut past = Remembered { all: all.to_vec(), shown: 0 };
        let mut found = Vec::new();
        oldest_first(&mut past, span, &mut |one| {
            found.push(one.at);
            Ok(())
        })
        .unwrap();
        (found, past.shown)
    }

    #[test]
    fn a_burst_after_quiet_hours_is_asked_for_twice_at_the_most() {
        const HOUR: i64 = 3_600_000_000;
        let start = 1_000_000_000_000_000;
        let crowd = 3 * i64::try_from(MOST).unwrap();
        for gap in [0, 1, 200_000] {
            let quiet = (0..48).map(|hour| start + hour * HOUR);
            let burst = (0..crowd).map(|n| start + 50 * HOUR + n * gap);
            let late = (60..70).map(|hour| start + hour * HOUR);
            let all: Vec<Cursor> =
                quiet.chain(burst).chain(late).zip(1..).map(|(ts, seq)| cursor(ts, seq)).collect();
            let (found, pages) = read_and_count(&all, Span::default());
            assert_eq!(found, all);
            // A third of the pages is half as long; windows that are thin cost one each.
            let full = all.len().div_ceil(200);
            assert!(pages <= 2 * full * 6 / 5 + 50, "{pages} pages for {full}, every {gap} us");
        }
    }

    #[test]
    fn a_crowded_moment_is_read_whole() {
        let crowd = 3 * u64::try_from(MOST).unwrap();
        let all: Vec<Cursor> = (1..=crowd).map(|seq| cursor(1_000_000_000_000_000, seq)).collect();
        assert_eq!(read(&all, Span::default()), all);
    }

    #[test]
    fn nothing_is_no_trouble() {
        assert_eq!(read(&[], Span::default()), []);
        let span = Span { from: Some(Timestamp::from_micros(5)), to: None };
        assert_eq!(read(&[cursor(1, 1)], span), []);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn every_record_is_read_once_and_in_order(
            bursts in prop::collection::vec((0_i64..3_000_000_000_000_000, 1_u64..2500, 0_i64..5_000_000), 0..8),
            from in prop::option::of(0_i64..3_000_000_000_000_000),
            to in prop::option::of(0_i64..3_000_000_000_000_000),
        ) {
            let mut all: Vec<Cursor> = Vec::new();
            for (start, count, gap) in bursts {
                let first = all.len() as u64;
                let one = |n| cursor(start + gap * i64::try_from(n).unwrap(), first + n);
                all.extend((0..count).map(one));
            }
            all.sort();
            let span = Span { from: from.map(Timestamp::from_micros), to: to.map(Timestamp::from_micros) };
            let expected: Vec<Cursor> = all.iter().copied().filter(|at| {
                span.from.is_none_or(|from| from <= at.ts) && span.to.is_none_or(|to| at.ts < to)
            }).collect();
            prop_assert_eq!(read(&all, span), expected);
        }
    }
}
