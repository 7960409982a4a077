//! What was counted when: spans by their beginning, where none means that nothing was asked.

use std::collections::BTreeMap;

use crate::model::{Tally, Timestamp};
use crate::store::access::Span;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Series(BTreeMap<Timestamp, Tally>);

impl Series {
    /// How long requests took is left out.
    pub fn of(spans: impl IntoIterator<Item = Span>) -> Self {
        let mut series = Self::default();
        for Span { start, tally } in spans {
            let Tally { requests, errors, client_errors, denied, bytes_in, bytes_out, .. } = tally;
            let durations = crate::model::usage::Durations::default();
            let counted =
                Tally { requests, errors, client_errors, denied, bytes_in, bytes_out, durations };
            series.0.entry(start).or_default().merge(&counted);
        }
        series
    }

    pub(super) fn requests(&self, start: Timestamp) -> u64 {
        self.0.get(&start).map_or(0, |tally| tally.requests)
    }

    pub(super) fn has_spoken(&self, start: Timestamp) -> bool {
        self.requests(start) > 0
    }

    /// The first span with any requests.
    pub(super) fn first(&self) -> Option<Timestamp> {
        self.spoken().next()
    }

    /// The last one that begins before a moment.
    pub(super) fn last_before(&self, end: Timestamp) -> Option<Timestamp> {
        self.spoken().rfind(|start| *start < end)
    }

    fn spoken(&self) -> impl DoubleEndedIterator<Item = Timestamp> {
        self.0.iter().filter(|(_, tally)| tally.requests > 0).map(|(start, _)| *start)
    }

    /// What these spans add up to.
    pub(super) fn sum(&self, starts: impl IntoIterator<Item = Timestamp>) -> Tally {
        let mut sum = Tally::default();
        let found = starts.into_iter().filter_map(|start| self.0.get(&start));
        found.for_each(|tally| sum.merge(tally));
        sum
    }

    /// What everything before a moment adds up to.
    pub(super) fn sum_before(&self, end: Timestamp) -> Tally {
        let mut sum = Tally::default();
        self.0.range(..end).for_each(|(_, tally)| sum.merge(tally));
        sum
    }
}
