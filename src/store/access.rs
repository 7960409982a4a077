//! What is kept of the past: access records for `log.retention`, and what they add up to for thirteen months.
//!
//! One trait, two stores, one suite that both are held to (`store::conformance::access`), as for the registry. What every
//! store promises:
//!
//! - Records come in batches of one lane, in order. The last number of each lane is kept in the same transaction as the
//!   records, so a batch that is sent twice is taken once, and a store that went back is noticed and caught up.
//! - A batch is taken whole, with all that it adds up to, or not at all. What `take` has answered is seen by every call that
//!   begins after it.
//! - Sums are of exactly the records that were taken: `usage` of a key is the [`Tally`] of its records, also after the
//!   records themselves are gone.
//! - Time is what records say (`ts`), never the order in which they came: lanes are shipped one after the other, a clock may
//!   be set back, and a batch may be of last week.
//! - The records of strangers have no key: they are those of the empty key.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::journal::Batch;
use crate::model::{AccessRecord, Decision, LaneId, RecordId, Tally, Timestamp};
use crate::store::Task;

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// The store has the lane up to the end of the batch, whether by this call or before.
    All,
    /// The store is not where the batch begins: it has the lane up to this number (less than `batch.after`). Nothing was
    /// taken; ship again from there.
    Behind(u64),
}

/// Whose records.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Whose {
    Everybody,
    Practice(Box<str>),
    Key(Box<str>),
}

/// Records newest first: by `ts`, then by id.
#[derive(Clone, Debug)]
pub struct ActivityQuery {
    pub whose: Whose,
    /// At this moment or later.
    pub from: Option<Timestamp>,
    /// Before this moment.
    pub to: Option<Timestamp>,
    pub filter: Filter,
    /// Only what comes after it in this order.
    pub after: Option<Cursor>,
    pub limit: usize,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    pub status: Option<StatusFilter>,
    /// One of the record's scopes, or the category of one (`billing` for `billing.invoices`).
    pub category: Option<Box<str>>,
    pub vendor: Option<Box<str>>,
    pub decision: Option<Decision>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusFilter {
    Exactly(u16),
    /// 4 for all of 4xx.
    Class(u16),
}

/// A place in the order of records. It stays one while records come and go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor {
    pub ts: Timestamp,
    pub id: RecordId,
}

#[derive(Debug, Default)]
pub struct Page {
    pub records: Vec<AccessRecord<'static>>,
    /// Where to go on; None at the end. A page may have fewer records than asked for, even none, and still go on: looking
    /// is bounded.
    pub next: Option<Cursor>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    Hour,
    Day,
}

/// The tally of one step that had any requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    pub start: Timestamp,
    pub tally: Tally,
}

/// How often one thing was refused on one UTC day. Each of these stands once in an answer, in the order of its fields.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RefusalCount {
    pub day: Timestamp,
    pub code: Box<str>,
    /// What was needed, as in the record.
    pub category: Box<str>,
    pub access: Box<str>,
    pub count: u64,
}

/// What one round of deleting did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expired {
    /// Deleted by this call. A store may hide at once what it deletes somewhat later.
    pub records: u64,
    /// There is more to delete or to tidy: call again soon.
    pub more: bool,
    /// Records are older than the retention and still kept, because a consumer group has not confirmed them.
    pub held_back: u64,
}

/// An alert that somebody has taken note of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledged {
    pub alert: Box<str>,
    pub by: Box<str>,
    pub at: Timestamp,
}

/// Access records and their sums. Every operation ends within a deadline of the store's own.
pub trait AccessStore: Send + Sync + std::fmt::Debug {
    /// The last record of each of these lanes that the store has; 0 for a lane that it does not know.
    fn lanes<'a>(&'a self, lanes: &'a [LaneId]) -> Task<'a, Vec<u64>>;
    /// How many records a batch should have at most: what the store takes in about a tenth of a second, for others wait
    /// meanwhile.
    fn appetite(&self) -> usize {
        5_000
    }
    /// Takes a batch whole, with all that it adds up to, or not at all.
    fn take(&self, batch: Arc<Batch>) -> Task<'_, Taken>;
    /// Records of a lane up to this number are lost for good: what comes next may begin after it. Never takes a lane back.
    fn skip(&self, lane: LaneId, upto: u64) -> Task<'_, ()>;
    /// These lanes are over as of now: no file of theirs is left. Their numbers are told for as long as their records may be
    /// there, so that an export that began before misses nothing, and a journal that is put back brings nothing twice. A
    /// lane that records come of again is not over.
    fn forget<'a>(&'a self, lanes: &'a [LaneId]) -> Task<'a, ()>;
    /// Records in order, each once, in whatever steps they are read and whatever comes or goes meanwhile.
    fn page<'a>(&'a self, query: &'a ActivityQuery) -> Task<'a, Page>;
    /// The spans with any requests that begin in `from..to`, in order; each of them whole.
    fn usage<'a>(
        &'a self,
        whose: &'a Whose,
        from: Timestamp,
        to: Timestamp,
        step: Step,
    ) -> Task<'a, Vec<Span>>;
    /// One tally for each of these, over the whole UTC days that begin in `from..to`.
    fn totals<'a>(
        &'a self,
        whose: &'a [Whose],
        from: Timestamp,
        to: Timestamp,
    ) -> Task<'a, Vec<Tally>>;
    /// What was refused here, by the UTC days that begin in `from..to`. Refusals of strangers are not among it.
    fn refusals<'a>(
        &'a self,
        whose: &'a Whose,
        from: Timestamp,
        to: Timestamp,
    ) -> Task<'a, Vec<RefusalCount>>;
    /// Deletes some of what is older: records before `records`, which no page shows from here on, and sums of spans (and
    /// days) that begin before `sums`; also the numbers of lanes that were over before `records`. Bounded work a call; also the place where the store tidies itself.
    fn expire(&self, records: Timestamp, sums: Timestamp) -> Task<'_, Expired>;
    /// Who was first stays: an alert is taken note of once.
    fn acknowledge(&self, alert: Acknowledged) -> Task<'_, ()>;
    /// Of those alerts, what was acknowledged, in any order. It may be forgotten with the sums of its time.
    fn acknowledged<'a>(&'a self, alerts: &'a [Box<str>]) -> Task<'a, Vec<Acknowledged>>;
    /// What about the store endangers records, in sentences for people. Asked at start and now and then.
    fn concerns(&self) -> Task<'_, Vec<String>>;
}

impl ActivityQuery {
    /// Everything there is of somebody, a page of so many at a time.
    pub fn of(whose: Whose, limit: usize) -> Self {
        Self { whose, from: None, to: None, filter: Filter::default(), after: None, limit }
    }
}

impl Filter {
    /// Whether a record passes.
    pub fn takes(&self, record: &AccessRecord<'_>) -> bool {
        let Self { status, category, vendor, decision } = self;
        let status_fits = |wanted: &StatusFilter| match wanted {
            StatusFilter::Exactly(status) => record.outcome.status == *status,
            StatusFilter::Class(class) => record.outcome.status / 100 == *class,
        };
        let category_fits = |wanted: &str| {
            record.opening.category.split(' ').any(|scope| {
                scope == wanted
                    || scope.split_once('.').is_some_and(|(category, _)| category == wanted)
            })
        };
        status.as_ref().is_none_or(status_fits)
            && category.as_deref().is_none_or(category_fits)
            && vendor.as_deref().is_none_or(|wanted| record.opening.vendor == wanted)
            && decision.is_none_or(|wanted| record.outcome.decision == wanted)
    }
}

/// `1763625600000001-00c0ffee00c0ffee-17`.
impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.ts.as_micros(), self.id)
    }
}

impl Cursor {
    pub fn of(record: &AccessRecord<'_>) -> Self {
        Self { ts: record.opening.ts, id: record.id }
    }

    /// Reads what `Display` writes, and no other spelling of it.
    pub fn parse(text: &str) -> Option<Self> {
        // A moment before 1970 has a sign in front.
        let (sign, rest) = text.strip_prefix('-').map_or(("", text), |rest| ("-", rest));
        let (micros, id) = rest.split_once('-')?;
        let ts = Timestamp::from_micros(format!("{sign}{micros}").parse().ok()?);
        let cursor = Self { ts, id: RecordId::parse(id)? };
        (cursor.to_string() == text).then_some(cursor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::conformance::access::samples;

    fn record(status: u16, category: &str) -> AccessRecord<'static> {
        let (mut opening, mut outcome) = samples::part(1);
        opening.category = category.to_owned().into();
        opening.vendor = "acme".into();
        outcome.status = status;
        outcome.decision = Decision::Observe;
        AccessRecord {
            id: RecordId { lane: LaneId(1), seq: 1 },
            node: "gw-1".into(),
            opening,
            outcome,
        }
    }

    #[test]
    fn cursors_are_read_as_they_are_written_and_no_other_way() {
        let id = RecordId { lane: LaneId(0x00c0_ffee), seq: 17 };
        for micros in [0, 1_763_625_600_000_001, -5, i64::MIN, i64::MAX] {
            let cursor = Cursor { ts: Timestamp::from_micros(micros), id };
            assert_eq!(Cursor::parse(&cursor.to_string()), Some(cursor));
        }
        let good = "1763625600000001-0000000000c0ffee-17";
        assert!(Cursor::parse(good).is_some());
        for bad in [
            "",
            "-",
            "--",
            "1-2",
            &format!("+{good}"),
            &format!("0{good}"),
            &format!("{good} "),
            &format!("-0-{good}"),
        ] {
            assert_eq!(Cursor::parse(bad), None, "{bad}");
        }
        assert_eq!(Cursor::parse("1763625600000001-0000000000c0ffee-017"), None);
    }

    #[test]
    fn cursors_are_ordered_by_moment_then_lane_then_number() {
        let cursor = |ts, lane, seq| Cursor {
            ts: Timestamp::from_micros(ts),
            id: RecordId { lane: LaneId(lane), seq },
        };
        let ordered = [cursor(1, 9, 9), cursor(2, 1, 9), cursor(2, 2, 1), cursor(2, 2, 10)];
        assert!(ordered.is_sorted());
    }

    #[test]
    fn a_filter_of_nothing_takes_everything() {
        assert!(Filter::default().takes(&record(0, "")));
    }

    #[test]
    fn a_category_is_found_by_itself_and_by_its_scopes() {
        let by = |wanted: &str| Filter { category: Some(wanted.into()), ..Filter::default() };
        let kept = record(200, "patient billing.invoices");
        for wanted in ["patient", "billing", "billing.invoices"] {
            assert!(by(wanted).takes(&kept), "{wanted}");
        }
        for wanted in ["bill", "invoices", "patient billing.invoices", "billing.claims", ""] {
            assert!(!by(wanted).takes(&kept), "{wanted}");
        }
    }

    #[test]
    fn each_part_of_a_filter_must_fit() {
        let fitting = Filter {
            status: Some(StatusFilter::Class(4)),
            category: Some("patient".into()),
            vendor: Some("acme".into()),
            decision: Some(Decision::Observe),
        };
        let kept = record(404, "patient");
        assert!(fitting.takes(&kept));
        let exactly =
            |status| Filter { status: Some(StatusFilter::Exactly(status)), ..fitting.clone() };
        assert!(exactly(404).takes(&kept));
        assert!(!exactly(403).takes(&kept));
        let class = Filter { status: Some(StatusFilter::Class(5)), ..fitting.clone() };
        assert!(!class.takes(&kept));
        let vendor = Filter { vendor: Some("acm".into()), ..fitting.clone() };
        assert!(!vendor.takes(&kept));
        let decision = Filter { decision: Some(Decision::Allow), ..fitting };
        assert!(!decision.takes(&kept));
    }
}
